/*
 * s3_cred_chain.c - which source is configured, and what tells it apart
 */
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/s3_cred_internal.h"

const char *
s3_cred_env(const char *name)
{
	const char *value = getenv(name);

	return value != NULL && value[0] != '\0' ? value : NULL;
}

enum status
s3_cred_copy(char **slot, const char *text, struct err *err)
{
	*slot = NULL;
	if (text == NULL)
		return ST_OK;
	*slot = strdup(text);
	if (*slot != NULL)
		return ST_OK;
	(void) err_set(err, ST_NOMEM, "out of memory");
	return ST_NOMEM;
}

enum status
s3_cred_source_new(enum s3_cred_kind kind, const char *origin,
				   struct s3_cred_source **out, struct err *err)
{
	struct s3_cred_source *source = calloc(1, sizeof *source);

	if (source == NULL)
	{
		(void) err_set(err, ST_NOMEM, "out of memory");
		return ST_NOMEM;
	}
	source->kind = kind;
	if (s3_cred_copy(&source->origin, origin, err) != ST_OK)
	{
		free(source);
		return ST_NOMEM;
	}
	*out = source;
	return ST_OK;
}

void
s3_cred_source_free(struct s3_cred_source *source)
{
	while (source != NULL)
	{
		struct s3_cred_source *base = source->base;

		s3_cred_release(source->fixed);
		free(source->origin);
		free(source->command);
		free(source->role_arn);
		free(source->session_name);
		free(source->external_id);
		free(source->token_file);
		free(source->url);
		free(source);
		source = base;
	}
}

/* --- choosing ------------------------------------------------------------ */

static enum status
from_config(const struct s3_cred_settings *settings,
			struct s3_cred_source **out, struct err *err)
{
	if (s3_cred_source_new(S3_CRED_FIXED, "the configuration", out, err) !=
		ST_OK)
		return ST_NOMEM;
	(*out)->fixed = s3_cred_share(settings->fixed);
	return ST_OK;
}

enum status
s3_cred_from_environment(struct s3_cred_source **out, struct err *err)
{
	const char *id = s3_cred_env("AWS_ACCESS_KEY_ID");
	const char *secret = s3_cred_env("AWS_SECRET_ACCESS_KEY");
	struct s3_cred_source *source;

	if (id == NULL || secret == NULL)
		return ST_MISSING;
	if (s3_cred_source_new(S3_CRED_FIXED, "AWS_ACCESS_KEY_ID", &source, err) !=
		ST_OK)
		return ST_NOMEM;
	if (s3_cred_new(id, secret, s3_cred_env("AWS_SESSION_TOKEN"),
					S3_CRED_FOREVER, &source->fixed, err) != ST_OK)
	{
		s3_cred_source_free(source);
		return err_context(err, "AWS_ACCESS_KEY_ID and its secrets");
	}
	*out = source;
	return ST_OK;
}

/* As EKS sets it up for a service account. */
static enum status
from_web_identity(struct s3_cred_source **out, struct err *err)
{
	const char *file = s3_cred_env("AWS_WEB_IDENTITY_TOKEN_FILE");
	const char *role = s3_cred_env("AWS_ROLE_ARN");
	struct s3_cred_source *source;

	if (file == NULL)
		return ST_MISSING;
	if (role == NULL)
		return err_set(err, ST_CONFIG,
					   "AWS_WEB_IDENTITY_TOKEN_FILE is set, but AWS_ROLE_ARN "
					   "is not");
	if (s3_cred_source_new(S3_CRED_WEB_IDENTITY, "AWS_WEB_IDENTITY_TOKEN_FILE",
						   &source, err) != ST_OK)
		return ST_NOMEM;
	if (s3_cred_copy(&source->token_file, file, err) != ST_OK ||
		s3_cred_copy(&source->role_arn, role, err) != ST_OK ||
		s3_cred_copy(&source->session_name,
					 s3_cred_env("AWS_ROLE_SESSION_NAME"), err) != ST_OK)
	{
		s3_cred_source_free(source);
		return err->status;
	}
	*out = source;
	return ST_OK;
}

static enum status
explain_none(const struct s3_cred_settings *settings, struct err *err)
{
	(void) err_set(err, ST_CONFIG, "there are no credentials for \"%s\"",
				   settings->repository);
	(void) err_detail(err, "Looked for in vain: \"s3_access_key_id\" and "
						   "\"s3_secret_access_key\", AWS's environment "
						   "variables, the shared files' profile; the "
						   "instance's metadata service is switched off.");
	return err_hint(err, "README's section \"Credentials\" tells the sources "
						 "and their order.");
}

enum status
s3_cred_choose(const struct s3_cred_settings *settings,
			   struct s3_cred_source **out, struct err *err)
{
	enum status status;

	if (settings->fixed != NULL)
		return from_config(settings, out, err);

	/* A profile that the configuration names is stronger than AWS's. */
	status =
		settings->profile != NULL ? ST_MISSING : from_web_identity(out, err);
	if (status == ST_MISSING)
		status = s3_cred_from_profile(settings->profile != NULL
										  ? settings->profile
										  : s3_cred_env("AWS_PROFILE"),
									  out, err);
	if (status == ST_MISSING)
		status = s3_cred_from_container(out, err);
	if (status == ST_MISSING)
		status = s3_cred_from_instance(out, err);
	if (status == ST_MISSING)
		status = explain_none(settings, err);
	return status;
}

/* --- the digest ---------------------------------------------------------- */

/* With its terminating zero, so that parts cannot run into each other. */
static bool
add(EVP_MD_CTX *ctx, const char *text)
{
	if (text == NULL)
		return EVP_DigestUpdate(ctx, "\1", 2) == 1;
	return EVP_DigestUpdate(ctx, text, strlen(text) + 1) == 1;
}

static bool
add_source(EVP_MD_CTX *ctx, const struct s3_cred_source *source)
{
	char numbers[64];
	bool ok = true;

	for (; ok && source != NULL; source = source->base)
	{
		(void) snprintf(numbers, sizeof numbers, "%d %u", (int) source->kind,
						source->duration_s);
		ok = add(ctx, numbers) && add(ctx, source->command) &&
			 add(ctx, source->role_arn) && add(ctx, source->session_name) &&
			 add(ctx, source->external_id) && add(ctx, source->token_file) &&
			 add(ctx, source->url) &&
			 add(ctx, source->fixed != NULL ? source->fixed->id : NULL);
	}
	return ok;
}

enum status
s3_cred_digest(const struct s3_cred_settings *settings,
			   const struct s3_cred_source *source,
			   char out[S3_CRED_DIGEST_SIZE], struct err *err)
{
	const char *texts[] = {settings->repository, settings->endpoint,
						   settings->region, settings->sts_endpoint};
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	uint8_t hash[(S3_CRED_DIGEST_SIZE - 1) / 2];
	bool ok = ctx != NULL && EVP_DigestInit_ex(ctx, EVP_sha256(), NULL) == 1;

	for (size_t i = 0; ok && i < sizeof texts / sizeof texts[0]; i++)
		ok = add(ctx, texts[i]);
	ok = ok && add_source(ctx, source) &&
		 EVP_DigestFinal_ex(ctx, hash, NULL) == 1;
	EVP_MD_CTX_free(ctx);
	if (!ok)
		return err_set(err, ST_IO, "libcrypto cannot compute SHA-256");
	for (size_t i = 0; i < sizeof hash; i++)
		(void) snprintf(out + 2 * i, 3, "%02x", hash[i]);
	return ST_OK;
}

/* --- asking -------------------------------------------------------------- */

static enum status
assume_role(const struct s3_cred_context *context,
			const struct s3_cred_source *source, struct s3_cred **out,
			struct err *err)
{
	struct s3_cred *base = NULL;
	enum status status = s3_cred_obtain(context, source->base, &base, err);

	if (status == ST_OK)
		status = s3_cred_ask_sts(context, source, &base->keys, out, err);
	s3_cred_release(base);
	return status;
}

enum status
s3_cred_obtain(const struct s3_cred_context *context,
			   const struct s3_cred_source *source, struct s3_cred **out,
			   struct err *err)
{
	switch (source->kind)
	{
		case S3_CRED_FIXED:
			*out = s3_cred_share(source->fixed);
			return ST_OK;
		case S3_CRED_PROCESS:
			return s3_cred_run_process(context, source, out, err);
		case S3_CRED_ROLE:
			return assume_role(context, source, out, err);
		case S3_CRED_WEB_IDENTITY:
			return s3_cred_ask_sts(context, source, NULL, out, err);
		case S3_CRED_CONTAINER:
			return s3_cred_ask_container(context, source, out, err);
		case S3_CRED_INSTANCE:
			return s3_cred_ask_instance(context, source, out, err);
	}
	return err_set(err, ST_CONFIG, "unknown source of credentials");
}
