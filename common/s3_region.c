/*
 * s3_region.c - a bucket that lives in another region than we were told
 */
#include "common/s3_region.h"

#include <string.h>

#include "common/s3_xml.h"

static bool
region_valid(const char *region)
{
	size_t len = strlen(region);

	return len > 0 && len < S3_REGION_SIZE &&
		   strspn(region, "abcdefghijklmnopqrstuvwxyz0123456789-") == len;
}

/* A plain 400 may say anything; without a document, as to HEAD, as well. */
static bool
is_about_region(const struct s3_answer *answer,
				const struct s3_xml_error *error)
{
	if (answer->code == 301 || answer->code == 307)
		return true;
	return answer->code == 400 &&
		   (answer->body_len == 0 ||
			strcmp(error->code, "AuthorizationHeaderMalformed") == 0);
}

bool
s3_region_told(const struct s3_address *address,
			   const struct s3_answer *answer, char out[S3_REGION_SIZE])
{
	struct s3_xml_error error = {.code = ""};
	const char *region = answer->headers.bucket_region;

	if (answer->code / 100 == 2)
		return false;
	if (answer->body_len > 0 && !answer->body_cut &&
		s3_xml_parse_error(answer->body, answer->body_len, &error) != ST_OK)
		error = (struct s3_xml_error){.code = ""};
	if (region[0] == '\0')
		region = error.region;
	if (!is_about_region(answer, &error) || !region_valid(region) ||
		strcmp(region, address->region) == 0)
		return false;
	memcpy(out, region, strlen(region) + 1);
	return true;
}
