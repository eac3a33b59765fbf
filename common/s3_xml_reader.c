/*
 * s3_xml_reader.c - walks through an XML document
 */
#include "common/s3_xml_reader.h"

#include <expat.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "common/wipe.h"

void
s3_xml_stop(struct s3_xml_reader *reader, enum status status)
{
	reader->status = status;
	(void) XML_StopParser(reader->parser, XML_FALSE);
}

static void XMLCALL
on_start(void *arg, const XML_Char *name, const XML_Char **attributes)
{
	struct s3_xml_reader *reader = arg;
	const char *colon = strrchr(name, ':');
	size_t len;

	(void) attributes;
	if (reader->status != ST_OK)
		return;
	if (colon != NULL)
		name = colon + 1;
	len = strlen(name);
	if (reader->depth >= S3_XML_DEPTH_MAX ||
		len + 2 > S3_XML_PATH_SIZE - reader->path_len)
	{
		s3_xml_stop(reader, ST_CORRUPT);
		return;
	}
	reader->depth++;
	reader->path[reader->path_len] = '/';
	memcpy(reader->path + reader->path_len + 1, name, len + 1);
	reader->path_len += len + 1;
	reader->text_len = 0;
	reader->text_cut = false;
	if (reader->begin != NULL)
		reader->begin(reader);
}

static void XMLCALL
on_end(void *arg, const XML_Char *name)
{
	struct s3_xml_reader *reader = arg;

	/* expat still tells the end of an empty element that we stopped at. */
	(void) name;
	if (reader->status != ST_OK)
		return;
	reader->text[reader->text_len] = '\0';
	reader->end(reader);

	while (reader->path[reader->path_len - 1] != '/')
		reader->path_len--;
	reader->path[--reader->path_len] = '\0';
	reader->depth--;
	reader->text_len = 0;
	reader->text_cut = false;
}

static void XMLCALL
on_text(void *arg, const XML_Char *text, int len)
{
	struct s3_xml_reader *reader = arg;
	size_t take = (size_t) len;
	size_t room = sizeof reader->text - 1 - reader->text_len;

	if (reader->status != ST_OK)
		return;
	if (take > room)
	{
		take = room;
		reader->text_cut = true;
	}
	memcpy(reader->text + reader->text_len, text, take);
	reader->text_len += take;
}

static void XMLCALL
on_doctype(void *arg, const XML_Char *name, const XML_Char *system_id,
		   const XML_Char *public_id, int has_internal_subset)
{
	(void) name;
	(void) system_id;
	(void) public_id;
	(void) has_internal_subset;
	s3_xml_stop(arg, ST_CORRUPT);
}

bool
s3_xml_at(const struct s3_xml_reader *reader, const char *path)
{
	return strcmp(reader->path, path) == 0;
}

enum status
s3_xml_read(const char *body, size_t len,
			void (*begin)(struct s3_xml_reader *),
			void (*end)(struct s3_xml_reader *), void *arg)
{
	static const XML_Memory_Handling_Suite memory = {malloc, wipe_realloc,
													 wipe_free};
	struct s3_xml_reader *reader = calloc(1, sizeof *reader);
	enum status status = ST_NOMEM;

	if (len > INT_MAX || reader == NULL)
	{
		wipe_free(reader);
		return reader == NULL ? ST_NOMEM : ST_CORRUPT;
	}
	reader->parser = XML_ParserCreate_MM(NULL, &memory, NULL);
	if (reader->parser != NULL)
	{
		reader->begin = begin;
		reader->end = end;
		reader->arg = arg;
		XML_SetUserData(reader->parser, reader);
		XML_SetElementHandler(reader->parser, on_start, on_end);
		XML_SetCharacterDataHandler(reader->parser, on_text);
		XML_SetStartDoctypeDeclHandler(reader->parser, on_doctype);
		if (XML_Parse(reader->parser, body, (int) len, XML_TRUE) ==
				XML_STATUS_OK ||
			reader->status != ST_OK)
			status = reader->status;
		else if (XML_GetErrorCode(reader->parser) != XML_ERROR_NO_MEMORY)
			status = ST_CORRUPT;
		XML_ParserFree(reader->parser);
	}
	wipe_free(reader);
	return status;
}
