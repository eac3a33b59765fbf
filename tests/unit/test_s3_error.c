/*
 * test_s3_error.c - what an answer means
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/s3_error.h"

static const struct s3_credentials credentials = {
	.access_key_id = "AKIDEXAMPLE",
	.secret_access_key = "hushhush",
	.session_token = "tokentoken",
};

static struct s3_address address;

/* What a GET of "k" with this answer becomes. */
static enum status
explain(long code, const char *header, const char *body, struct err *err)
{
	struct s3_question question = {.what = "get \"k\"",
								   .permission = "s3:GetObject",
								   .may_be_missing = true,
								   .now_s = 1700000000};
	struct s3_answer answer = {
		.code = code, .body = strdup(body), .body_len = strlen(body)};
	enum status status;

	assert_non_null(answer.body);
	s3_headers_reset(&answer.headers);
	s3_headers_line(&answer.headers, header, strlen(header));
	status = s3_error_explain(&address, &credentials, &question, &answer, err);
	s3_answer_free(&answer);
	return status;
}

#define S3(code) "<Error><Code>" code "</Code></Error>"

static void
missing_only_in_clear_words(void **state)
{
	struct err err;

	(void) state;
	assert_int_equal(explain(404, "", S3("NoSuchKey"), &err), ST_MISSING);
	assert_int_equal(explain(404, "", S3("NoSuchBucket"), &err), ST_CONFIG);
	assert_int_equal(explain(404, "", S3("NoSuchVersion"), &err), ST_CONFIG);
	assert_int_equal(explain(404, "", S3("NotFound"), &err), ST_CONFIG);
	assert_int_equal(
		explain(404, "x-amz-delete-marker: true", S3("NoSuchKey"), &err),
		ST_CONFIG);
	assert_int_equal(explain(404, "", "", &err), ST_RETRY);
	assert_int_equal(explain(404, "", "<html/>", &err), ST_RETRY);
	assert_int_equal(explain(404, "", "NoSuchKey", &err), ST_RETRY);
	assert_int_equal(explain(404, "x-amz-request-id: r", "", &err), ST_CONFIG);
	assert_int_equal(explain(403, "", S3("NoSuchKey"), &err), ST_CONFIG);
	assert_int_equal(explain(500, "", S3("NoSuchKey"), &err), ST_CONFIG);
	assert_int_equal(explain(200, "", S3("NoSuchKey"), &err), ST_CONFIG);
	assert_int_equal(explain(410, "", S3("Gone"), &err), ST_CONFIG);
}

static void
codes(void **state)
{
	static const struct
	{
		long http;
		const char *body;
		enum status status;
	} cases[] = {
		{412, S3("PreconditionFailed"), ST_EXISTS},
		{409, S3("ConditionalRequestConflict"), ST_RETRY},
		{409, S3("OperationAborted"), ST_RETRY},
		{403, S3("AccessDenied"), ST_AUTH},
		{403, S3("SignatureDoesNotMatch"), ST_AUTH},
		{403, S3("InvalidAccessKeyId"), ST_AUTH},
		{403, S3("RequestTimeTooSkewed"), ST_AUTH},
		{403, S3("QuotaExceeded"), ST_CONFIG},
		{403, S3("InvalidObjectState"), ST_CONFIG},
		{403, S3("SomethingNew"), ST_AUTH},
		{403, "", ST_AUTH},
		{401, "", ST_AUTH},
		{400, S3("ExpiredToken"), ST_AUTH},
		{400, S3("RequestTimeout"), ST_RETRY},
		{400, S3("BadDigest"), ST_RETRY},
		{400, S3("InvalidArgument"), ST_CONFIG},
		{400, S3("AuthorizationHeaderMalformed"), ST_CONFIG},
		{301, S3("PermanentRedirect"), ST_CONFIG},
		{302, "<html/>", ST_CONFIG},
		{307, S3("TemporaryRedirect"), ST_CONFIG},
		{408, "", ST_RETRY},
		{429, "slow", ST_RETRY},
		{500, S3("InternalError"), ST_RETRY},
		{500, S3("SomethingNew"), ST_RETRY},
		{501, S3("NotImplemented"), ST_CONFIG},
		{502, "<html/>", ST_RETRY},
		{503, S3("SlowDown"), ST_RETRY},
		{503, "", ST_RETRY},
		{504, "", ST_RETRY},
		{599, "", ST_RETRY},
		{200, S3("InternalError"), ST_RETRY},
		{407, "", ST_CONFIG},
	};
	struct err err;

	(void) state;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
	{
		enum status status = explain(cases[i].http, "", cases[i].body, &err);

		if (status != cases[i].status)
			fail_msg("HTTP %ld %s: %d", cases[i].http, cases[i].body,
					 (int) status);
		assert_int_equal(err.status, status);
		assert_non_null(strstr(err.message, "get \"k\": HTTP "));
		assert_non_null(strstr(err.detail, "http://h:1/b"));
	}
}

static void
messages(void **state)
{
	struct err err;

	(void) state;
	(void) explain(503, "Retry-After: 3",
				   "<Error><Code>SlowDown</Code><Message>easy</Message>"
				   "<RequestId>R7</RequestId></Error>",
				   &err);
	assert_string_equal(err.message,
						"could not get \"k\": HTTP 503 SlowDown: easy");
	assert_string_equal(err.detail, "Asked http://h:1/b, request id R7.");
	assert_int_equal(err.retry_after_ms, 3000);

	(void) explain(403, "x-amz-request-id: R8", S3("AccessDenied"), &err);
	assert_string_equal(err.message,
						"cannot get \"k\": HTTP 403 AccessDenied");
	assert_string_equal(err.detail, "Asked http://h:1/b, request id R8.");
	assert_non_null(strstr(err.hint, "s3:GetObject"));
	assert_non_null(strstr(err.hint, "s3:ListBucket"));
	assert_int_equal(err.retry_after_ms, 0);

	(void) explain(403, "Date: Tue, 14 Nov 2023 21:13:20 GMT",
				   S3("RequestTimeTooSkewed"), &err);
	assert_non_null(strstr(err.hint, "3600 s ahead of"));
	(void) explain(403, "Date: Tue, 14 Nov 2023 23:13:20 GMT", "", &err);
	assert_non_null(strstr(err.hint, "3600 s behind"));

	(void) explain(301, "x-amz-bucket-region: eu-west-3",
				   S3("PermanentRedirect"), &err);
	assert_non_null(strstr(err.hint, "\"eu-west-3\""));
	(void) explain(400, "",
				   "<Error><Code>AuthorizationHeaderMalformed</Code>"
				   "<Region>eu-west-4</Region></Error>",
				   &err);
	assert_non_null(strstr(err.hint, "\"eu-west-4\""));
	(void) explain(404, "Content-Type: text/html", "<html/>", &err);
	assert_non_null(strstr(err.hint, "\"text/html\""));
}

/* Each code of the table is of one status, whatever the HTTP status says. */
static void
hints(void **state)
{
	static const struct
	{
		long http;
		const char *code;
		const char *words;
	} cases[] = {
		{403, "AccessDenied", "need s3:GetObject."},
		{403, "InvalidAccessKeyId", "Check the credentials"},
		{403, "SignatureDoesNotMatch", "Check the credentials"},
		{400, "ExpiredToken", "have ended"},
		{404, "NoSuchBucket", "Create the bucket"},
		{400, "InvalidRegion", "s3_region"},
		{405, "MethodNotAllowed", "s3_addressing"},
		{400, "UnsupportedSignature", "signatures"},
		{411, "MissingContentLength", "proxies"},
		{403, "NotSignedUp", "provider"},
		{403, "InvalidObjectState", "archive"},
		{400, "InvalidStorageClass", "s3_storage_class"},
		{400, "KMS.DisabledException", "KMS key"},
		{400, "EntityTooLarge", "size"},
		{507, "XMinioStorageFull", "quota"},
	};
	char body[128];
	struct err err;

	(void) state;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
	{
		(void) stpcpy(stpcpy(stpcpy(body, "<Error><Code>"), cases[i].code),
					  "</Code></Error>");
		assert_int_not_equal(explain(cases[i].http, "", body, &err), ST_RETRY);
		if (strstr(err.hint, cases[i].words) == NULL)
			fail_msg("%s: %s", cases[i].code, err.hint);
	}

	/* The action that the store names counts. */
	(void) explain(403, "",
				   "<Error><Code>AccessDenied</Code><Message>User: u is not "
				   "authorized to perform: kms:GenerateDataKey on resource: "
				   "r</Message></Error>",
				   &err);
	assert_non_null(strstr(err.hint, "need kms:GenerateDataKey."));

	/* A signature is also wrong where the clock is. */
	(void) explain(403, "Date: Tue, 14 Nov 2023 21:13:20 GMT",
				   S3("SignatureDoesNotMatch"), &err);
	assert_non_null(strstr(err.hint, "3600 s ahead of"));
}

static void
credentials_are_never_repeated(void **state)
{
	static const char *const words[] = {
		"your hushhush is wrong",
		"your tokentoken is wrong",
		"got AWS4-HMAC-SHA256 Credential=x",
		"got X-Amz-Signature=abc",
	};
	char body[512];
	struct err err;

	(void) state;
	for (size_t i = 0; i < sizeof words / sizeof *words; i++)
	{
		char *pos = stpcpy(body, "<Error><Code>Odd</Code><Message>");

		(void) stpcpy(stpcpy(pos, words[i]), "</Message></Error>");
		(void) explain(400, "", body, &err);
		assert_null(strstr(err.message, words[i]));
		assert_non_null(strstr(err.message, "withheld"));
	}
}

static void
keys_of_a_multi_delete(void **state)
{
	struct s3_question question = {.what = "delete \"k\"",
								   .permission = "s3:DeleteObject"};
	struct err err;

	(void) state;
	assert_int_equal(
		s3_error_explain_code(&question, "AccessDenied", "no", &err), ST_AUTH);
	assert_string_equal(err.message, "cannot delete \"k\": AccessDenied: no");
	assert_non_null(strstr(err.hint, "s3:DeleteObject"));
	assert_int_equal(
		s3_error_explain_code(&question, "InternalError", "", &err), ST_RETRY);
	assert_string_equal(err.message, "could not delete \"k\": InternalError");
	assert_int_equal(s3_error_explain_code(&question, "", "", &err),
					 ST_CONFIG);
}

static void
codes_are_recognised(void **state)
{
	struct s3_answer answer = {.body = strdup(S3("NoSuchKey")),
							   .body_len = strlen(S3("NoSuchKey"))};

	(void) state;
	assert_non_null(answer.body);
	assert_true(s3_error_is(&answer, "NoSuchKey"));
	assert_false(s3_error_is(&answer, "NoSuchBucket"));
	answer.body_len--;
	assert_false(s3_error_is(&answer, "NoSuchKey"));
	answer.body_len = 0;
	assert_false(s3_error_is(&answer, "NoSuchKey"));
	s3_answer_free(&answer);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(missing_only_in_clear_words),
		cmocka_unit_test(codes),
		cmocka_unit_test(messages),
		cmocka_unit_test(hints),
		cmocka_unit_test(credentials_are_never_repeated),
		cmocka_unit_test(keys_of_a_multi_delete),
		cmocka_unit_test(codes_are_recognised),
	};
	struct err err;

	if (s3_address_parse("s3://b", "http://h:1", NULL, ADDRESSING_PATH,
						 &address, &err) != ST_OK)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
