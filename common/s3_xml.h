/*
 * s3_xml.h - the XML documents that S3 sends
 *
 * Pure, over bytes in memory.  Documents with a DTD are refused (no entity is
 * ever expanded), as are deep nesting and overlong names; nothing allocates
 * more than a small multiple of the document.  Element names are taken without
 * a namespace prefix.  Statuses: ST_OK; ST_CORRUPT: not well-formed, not the
 * document that was expected, or a field that makes no sense; ST_NOMEM.
 * Outputs are untouched on failure.
 */
#ifndef COMMON_S3_XML_H
#define COMMON_S3_XML_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err.h"

/* What an <Error> document says; texts are cut to fit, made printable. */
struct s3_xml_error
{
	char code[64];
	char message[384];
	char request_id[128];
	char region[64];
	char endpoint[256];
};

extern enum status s3_xml_parse_error(const char *body, size_t len,
									  struct s3_xml_error *out) ERR_CHECK;

/* One key of a listing. */
struct s3_list_entry
{
	char *name; /* as stored, with the repository's prefix */
	bool is_prefix;
	uint64_t size_bytes;
	int64_t modified_s; /* 0 for a prefix */
	char storage_class[32];
};

/* One page of ListObjectsV2; names are decoded if they came encoded. */
struct s3_list_page
{
	struct s3_list_entry *entries;
	size_t nentries;
	bool truncated;
	char *next_token; /* set if truncated */
};

extern enum status s3_xml_parse_list(const char *body, size_t len,
									 struct s3_list_page *out) ERR_CHECK;
extern void s3_list_page_free(struct s3_list_page *page);

/*
 * Receives one outcome of a multi-object delete: deleted, or the code and
 * message of why not.
 */
typedef void (*s3_xml_deleted)(void *arg, const char *name, bool deleted,
							   const char *code, const char *message);

extern enum status
s3_xml_parse_delete(const char *body, size_t len, s3_xml_deleted deleted,
					void *arg) ERR_CHECK;

/* Versioning: enabled, or suspended after having been enabled. */
extern enum status s3_xml_parse_versioning(const char *body, size_t len,
										   bool *versioned) ERR_CHECK;

extern enum status
s3_xml_parse_object_lock(const char *body, size_t len, bool *locked) ERR_CHECK;

/* Until when an object is locked; seconds since 1970. */
extern enum status
s3_xml_parse_retention(const char *body, size_t len, int64_t *until) ERR_CHECK;

/* One lifecycle rule, as far as it touches current objects without tags. */
struct s3_lifecycle_rule
{
	char prefix[1025]; /* "": the whole bucket */
	int64_t days;      /* the earliest expiry or transition, -1: none */
	int64_t date_s;    /* the same, as a date; -1: none */
};

typedef void (*s3_xml_rule)(void *arg, const struct s3_lifecycle_rule *rule);

/*
 * Tells the enabled rules that expire or move current objects.  A rule that
 * needs a tag is left out: our objects have none.
 */
extern enum status
s3_xml_parse_lifecycle(const char *body, size_t len, s3_xml_rule rule,
					   void *arg) ERR_CHECK;

#endif
