/*
 * s3_xml_reader.h - walks through an XML document
 *
 * A small driver over expat that keeps the path of the element that is open
 * and the text of the innermost one.  What s3_xml.h says of documents with a
 * DTD, of depth and of memory is kept here; memory is wiped, since some
 * documents bring credentials.
 */
#ifndef COMMON_S3_XML_READER_H
#define COMMON_S3_XML_READER_H

#include <stdbool.h>
#include <stddef.h>

#include "common/err.h"

#define S3_XML_DEPTH_MAX 16
#define S3_XML_PATH_SIZE 512
#define S3_XML_TEXT_SIZE 8192

struct s3_xml_reader
{
	void *parser;
	char path[S3_XML_PATH_SIZE]; /* "/ListBucketResult/Contents/Key" */
	size_t path_len;
	unsigned depth;
	char text[S3_XML_TEXT_SIZE]; /* what did not fit is dropped */
	size_t text_len;
	bool text_cut;
	enum status status;
	void (*begin)(struct s3_xml_reader *reader); /* NULL: not told */
	void (*end)(struct s3_xml_reader *reader);
	void *arg;
};

/*
 * Parses a whole document; begin and end see every element, end with its
 * text.  ST_CORRUPT, ST_NOMEM, or what one of them stopped with.
 */
extern enum status
s3_xml_read(const char *body, size_t len,
			void (*begin)(struct s3_xml_reader *),
			void (*end)(struct s3_xml_reader *), void *arg) ERR_CHECK;

/* Ends the reading with that status. */
extern void s3_xml_stop(struct s3_xml_reader *reader, enum status status);

/* True if the element that is open, or ends, has this path. */
extern bool s3_xml_at(const struct s3_xml_reader *reader, const char *path);

#endif
