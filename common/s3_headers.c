/*
 * s3_headers.c - what we read of an answer's headers
 */
#include "common/s3_headers.h"

#include <string.h>
#include <strings.h>

#include "common/s3_time.h"

#define VALUE_SIZE        1024
#define RETRY_AFTER_MAX_S 86400

void
s3_headers_reset(struct s3_headers *headers)
{
	memset(headers, 0, sizeof *headers);
	headers->content_length = -1;
	headers->date_s = -1;
	headers->modified_s = -1;
	headers->retry_after_ms = -1;
	headers->retry_after_s = -1;
	headers->range_total = UINT64_MAX;
}

/* Reads digits up to any other byte; false if there is none, or too many. */
static bool
read_number(const char **pos, uint64_t *out)
{
	uint64_t value = 0;
	const char *p = *pos;

	if (*p < '0' || *p > '9')
		return false;
	for (; *p >= '0' && *p <= '9'; p++)
	{
		if (value > (INT64_MAX - 9) / 10)
			return false;
		value = value * 10 + (uint64_t) (*p - '0');
	}
	*pos = p;
	*out = value;
	return true;
}

static bool
whole_number(const char *text, int64_t *out)
{
	uint64_t value;

	if (!read_number(&text, &value) || *text != '\0')
		return false;
	*out = (int64_t) value;
	return true;
}

/* "bytes 0-99/1234" or "bytes 0-99" with "/" and a star. */
static void
take_content_range(struct s3_headers *headers, const char *text)
{
	uint64_t first;
	uint64_t last;
	uint64_t total = UINT64_MAX;

	if (strncasecmp(text, "bytes ", 6) != 0)
		return;
	text += 6;
	if (!read_number(&text, &first) || *text++ != '-' ||
		!read_number(&text, &last) || *text++ != '/')
		return;
	if (strcmp(text, "*") == 0)
		text++;
	else if (!read_number(&text, &total))
		return;
	if (*text != '\0' || last < first || last >= total)
		return;
	headers->has_range = true;
	headers->range_first = first;
	headers->range_last = last;
	headers->range_total = total;
}

static void
take_retry_after(struct s3_headers *headers, const char *text)
{
	int64_t value;

	if (s3_time_parse_http(text, &value))
		headers->retry_after_s = value;
	else if (whole_number(text, &value))
		headers->retry_after_ms =
			(value > RETRY_AFTER_MAX_S ? RETRY_AFTER_MAX_S : value) * 1000;
}

/* Copies what fits, without bytes that could disturb a log. */
static void
take_text(char *out, size_t size, const char *text)
{
	size_t i;

	for (i = 0; i < size - 1 && text[i] != '\0'; i++)
		out[i] = (char) (text[i] < ' ' || text[i] > '~' ? '?' : text[i]);
	out[i] = '\0';
}

static void
take_header(struct s3_headers *headers, const char *name, const char *value)
{
	if (strcmp(name, "content-length") == 0)
	{
		if (!whole_number(value, &headers->content_length))
			headers->content_length = -1;
	}
	else if (strcmp(name, "transfer-encoding") == 0)
		headers->chunked = strcasecmp(value, "chunked") == 0;
	else if (strcmp(name, "content-range") == 0)
		take_content_range(headers, value);
	else if (strcmp(name, "date") == 0)
	{
		if (!s3_time_parse_http(value, &headers->date_s))
			headers->date_s = -1;
	}
	else if (strcmp(name, "last-modified") == 0)
	{
		if (!s3_time_parse_http(value, &headers->modified_s))
			headers->modified_s = -1;
	}
	else if (strcmp(name, "retry-after") == 0)
		take_retry_after(headers, value);
	else if (strcmp(name, "etag") == 0)
		headers->has_etag = *value != '\0';
	else if (strcmp(name, "x-amz-delete-marker") == 0)
		headers->delete_marker = strcasecmp(value, "true") == 0;
	else if (strcmp(name, "x-amz-restore") == 0)
		headers->restored = strstr(value, "ongoing-request=\"false\"") != NULL;
	else if (strcmp(name, "x-amz-storage-class") == 0)
		take_text(headers->storage_class, sizeof headers->storage_class,
				  value);
	else if (strcmp(name, "x-amz-replication-status") == 0)
		take_text(headers->replication, sizeof headers->replication, value);
	else if (strcmp(name, "x-amz-request-id") == 0)
		take_text(headers->request_id, sizeof headers->request_id, value);
	else if (strcmp(name, "x-amz-bucket-region") == 0)
		take_text(headers->bucket_region, sizeof headers->bucket_region,
				  value);
	else if (strcmp(name, "content-type") == 0)
		take_text(headers->content_type, sizeof headers->content_type, value);
}

static bool
is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

void
s3_headers_line(struct s3_headers *headers, const char *line, size_t len)
{
	char name[64];
	char value[VALUE_SIZE];
	const char *colon = memchr(line, ':', len);
	size_t name_len;

	if (colon == NULL || memchr(line, '\0', len) != NULL)
		return;
	name_len = (size_t) (colon - line);
	if (name_len >= sizeof name)
		return;
	for (size_t i = 0; i < name_len; i++)
		name[i] =
			(char) (line[i] >= 'A' && line[i] <= 'Z' ? line[i] + 32 : line[i]);
	name[name_len] = '\0';

	line += name_len + 1;
	len -= name_len + 1;
	while (len > 0 && is_blank(*line))
	{
		line++;
		len--;
	}
	while (len > 0 && is_blank(line[len - 1]))
		len--;
	if (len >= sizeof value)
		return;
	memcpy(value, line, len);
	value[len] = '\0';
	take_header(headers, name, value);
}

int64_t
s3_headers_retry_after(const struct s3_headers *headers, int64_t now_s)
{
	int64_t wait_s;

	if (headers->retry_after_ms >= 0)
		return headers->retry_after_ms;
	if (headers->retry_after_s < 0)
		return 0;
	wait_s = headers->retry_after_s -
			 (headers->date_s >= 0 ? headers->date_s : now_s);
	if (wait_s < 0)
		return 0;
	return (wait_s > RETRY_AFTER_MAX_S ? RETRY_AFTER_MAX_S : wait_s) * 1000;
}
