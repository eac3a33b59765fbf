/*
 * s3_cred_xml.c - STS's answers
 */
#include <string.h>
#include <time.h>

#include "common/s3_cred_internal.h"
#include "common/s3_time.h"
#include "common/s3_xml_reader.h"
#include "common/secretfile.h"

/* In locked memory. */
struct answer
{
	char id[S3_CRED_ID_SIZE];
	char secret[S3_CRED_SECRET_SIZE];
	char token[S3_CRED_TOKEN_SIZE];
	int64_t expires_s;
	bool expires;
};

/* The last part of the path below Credentials; NULL: elsewhere. */
static const char *
credential_part(const struct s3_xml_reader *reader)
{
	static const char *const parents[] = {
		"/AssumeRoleResponse/AssumeRoleResult/Credentials/",
		"/AssumeRoleWithWebIdentityResponse/AssumeRoleWithWebIdentityResult/"
		"Credentials/",
	};

	for (size_t i = 0; i < sizeof parents / sizeof parents[0]; i++)
		if (strncmp(reader->path, parents[i], strlen(parents[i])) == 0)
			return reader->path + strlen(parents[i]);
	return NULL;
}

static void
copy_whole(struct s3_xml_reader *reader, char *out, size_t size)
{
	if (reader->text_cut || reader->text_len >= size || out[0] != '\0')
		s3_xml_stop(reader, ST_CORRUPT);
	else
		memcpy(out, reader->text, reader->text_len + 1);
}

static void
credentials_end(struct s3_xml_reader *reader)
{
	struct answer *a = reader->arg;
	const char *part = credential_part(reader);

	if (part == NULL)
		return;
	if (strcmp(part, "AccessKeyId") == 0)
		copy_whole(reader, a->id, sizeof a->id);
	else if (strcmp(part, "SecretAccessKey") == 0)
		copy_whole(reader, a->secret, sizeof a->secret);
	else if (strcmp(part, "SessionToken") == 0)
		copy_whole(reader, a->token, sizeof a->token);
	else if (strcmp(part, "Expiration") == 0)
		a->expires = s3_time_parse_iso(reader->text, &a->expires_s);
}

enum status
s3_cred_from_xml(const char *text, size_t len, struct s3_cred **out,
				 struct err *err)
{
	struct answer *a;
	void *memory = NULL;
	enum status status = secret_alloc(sizeof *a, &memory, err);

	if (status != ST_OK)
		return status;
	a = memory;
	memset(a, 0, sizeof *a);
	status = s3_xml_read(text, len, NULL, credentials_end, a);
	if (status == ST_NOMEM)
		(void) err_set(err, ST_NOMEM, "out of memory");
	else if (status != ST_OK || !a->expires || a->token[0] == '\0')
		status = err_set(err, ST_CORRUPT,
						 "the answer of STS is not the XML it should be");
	else if (a->expires_s - (int64_t) time(NULL) <= S3_CRED_LEAST_S)
		status = err_set(err, ST_RETRY,
						 "the credentials of STS have expired already");
	else
		status =
			s3_cred_new(a->id, a->secret, a->token, a->expires_s, out, err);
	secret_free(a);
	return status;
}

/* Amazon's root is ErrorResponse; Ceph's and MinIO's are Error, too. */
static void
error_end(struct s3_xml_reader *reader)
{
	struct s3_cred_xml_error *error = reader->arg;
	const char *path = reader->path;

	if (strncmp(path, "/ErrorResponse", 14) == 0)
		path += 14;
	if (strcmp(path, "/Error/Code") == 0)
		s3_cred_printable(error->code, sizeof error->code, reader->text);
	else if (strcmp(path, "/Error/Message") == 0)
		s3_cred_printable(error->message, sizeof error->message, reader->text);
	else if (strcmp(path, "/RequestId") == 0 ||
			 strcmp(path, "/Error/RequestId") == 0)
		s3_cred_printable(error->request_id, sizeof error->request_id,
						  reader->text);
}

bool
s3_cred_xml_error(const char *text, size_t len, struct s3_cred_xml_error *out)
{
	struct s3_cred_xml_error error = {.code = ""};

	if (s3_xml_read(text, len, NULL, error_end, &error) != ST_OK ||
		error.code[0] == '\0')
		return false;
	*out = error;
	return true;
}
