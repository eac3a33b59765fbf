/*
 * config.c - puts the configuration together from its sources
 *
 * From the weakest to the strongest: defaults, AWS's environment variables,
 * the file's general keys, the cluster's section, WALSHIP_<KEY>, overrides.
 */
#include "common/config_internal.h"

#include <ctype.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cli.h"
#include "common/secretfile.h"

#define FILE_MAX ((size_t) 1 << 20)
#define ENV_MAX  64

/* An empty variable counts as none. */
static const char *
env_value(const char *name)
{
	const char *value = getenv(name);

	return value != NULL && *value != '\0' ? value : NULL;
}

/* WALSHIP_<KEY> */
static void
env_name(const char *key, char out[ENV_MAX])
{
	size_t len = (size_t) snprintf(out, ENV_MAX, "WALSHIP_%s", key);

	for (size_t i = 0; i < len && i < ENV_MAX; i++)
		out[i] = (char) toupper((unsigned char) out[i]);
}

static enum status
set_from_env(struct config *cfg, const struct config_option *option,
			 const char *variable, struct err *err)
{
	const char *value = env_value(variable);

	if (value != NULL && config_option_set(cfg, option, value, err) != ST_OK)
		return err_context(err, "environment variable %s", variable);
	return ST_OK;
}

/*
 * A variable of a key that is gone would be passed over in silence, and with
 * it what somebody wanted: TLS 1.3, say.
 */
static enum status
refuse_retired(struct err *err)
{
	char variable[ENV_MAX];

	for (size_t i = 0; i < config_nretired; i++)
	{
		const char *key = config_retired[i].name;

		env_name(key, variable);
		if (env_value(variable) == NULL)
			continue;
		(void) config_unknown_key(key, strlen(key), err);
		return err_context(err, "environment variable %s", variable);
	}
	return ST_OK;
}

static enum status
apply_environment(struct config *cfg, struct err *err)
{
	char variable[ENV_MAX];
	bool credentials = false;

	if (refuse_retired(err) != ST_OK)
		return err->status;
	for (size_t i = 0; i < config_noptions; i++)
	{
		env_name(config_options[i].name, variable);
		if (config_options[i].credential && env_value(variable) != NULL)
			credentials = true;
	}
	if (credentials)
		config_forget_credentials(cfg);
	for (size_t i = 0; i < config_noptions; i++)
	{
		env_name(config_options[i].name, variable);
		if (set_from_env(cfg, &config_options[i], variable, err) != ST_OK)
			return err->status;
	}
	return ST_OK;
}

/* Fills key from the variable unless it has a value. */
static enum status
fill(struct config *cfg, const char *key, const char *variable,
	 struct err *err)
{
	const struct config_option *option = config_option_find(key, strlen(key));

	if (!config_option_empty(cfg, option))
		return ST_OK;
	return set_from_env(cfg, option, variable, err);
}

static enum status
apply_aws(struct config *cfg, struct err *err)
{
	static const char *const pairs[][2] = {
		{"s3_region", "AWS_REGION"},
		{"s3_region", "AWS_DEFAULT_REGION"},
		{"s3_sts_endpoint", "AWS_ENDPOINT_URL_STS"},
		{"s3_endpoint", "AWS_ENDPOINT_URL_S3"},
		{"s3_endpoint", "AWS_ENDPOINT_URL"},
		{"s3_ca_file", "AWS_CA_BUNDLE"},
	};
	static const char *const credentials[][2] = {
		{"s3_access_key_id", "AWS_ACCESS_KEY_ID"},
		{"s3_secret_access_key", "AWS_SECRET_ACCESS_KEY"},
		{"s3_session_token", "AWS_SESSION_TOKEN"},
	};

	for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++)
		if (fill(cfg, pairs[i][0], pairs[i][1], err) != ST_OK)
			return err->status;

	/* Halves of two different credentials would make none. */
	if (config_has_credentials(cfg))
		return ST_OK;
	for (size_t i = 0; i < sizeof credentials / sizeof credentials[0]; i++)
		if (fill(cfg, credentials[i][0], credentials[i][1], err) != ST_OK)
			return err->status;
	return ST_OK;
}

/* strings: the defaults of strings, which come last; else of all others. */
static enum status
apply_defaults(struct config *cfg, bool strings, struct err *err)
{
	for (size_t i = 0; i < config_noptions; i++)
	{
		const struct config_option *option = &config_options[i];

		if (option->def != NULL &&
			config_option_empty(cfg, option) == strings &&
			config_option_set(cfg, option, option->def, err) != ST_OK)
			return err->status;
	}
	return ST_OK;
}

/* Finds "key=" in an override; *value points behind it. */
static const struct config_option *
override_option(const char *override, const char **value)
{
	const char *equals = strchr(override, '=');

	if (equals == NULL)
		return NULL;
	*value = equals + 1;
	return config_option_find(override, (size_t) (equals - override));
}

static enum status
apply_overrides(struct config *cfg, const char *const *overrides,
				struct err *err)
{
	bool forgotten = false;

	for (; overrides != NULL && *overrides != NULL; overrides++)
	{
		const char *value = NULL;
		const struct config_option *option =
			override_option(*overrides, &value);

		if (option == NULL)
		{
			(void) config_unknown_key(*overrides, strcspn(*overrides, "="),
									  err);
			return err_context(err, "command line");
		}
		if (option->secret)
		{
			(void) err_set(err, ST_CONFIG,
						   "key \"%s\" cannot be given on the command line",
						   option->name);
			return err_hint(err, "The command line can be seen by every user "
								 "of this host.");
		}
		if (option->credential && !forgotten)
			config_forget_credentials(cfg);
		forgotten = forgotten || option->credential;
		if (config_option_set(cfg, option, value, err) != ST_OK)
			return err_context(err, "command line");
	}
	return ST_OK;
}

/*
 * Which cluster's section counts must be known before the file is read; the
 * stronger sources may say so.
 */
static enum status
find_cluster(uint64_t *cluster, const char *const *overrides, struct err *err)
{
	struct config cfg = {.cluster = 0};
	const struct config_option *option = config_option_find("cluster", 7);
	const char *value = NULL;

	if (*cluster != 0)
		return ST_OK;
	if (set_from_env(&cfg, option, "WALSHIP_CLUSTER", err) != ST_OK)
		return err->status;
	for (; overrides != NULL && *overrides != NULL; overrides++)
		if (override_option(*overrides, &value) == option &&
			config_option_set(&cfg, option, value, err) != ST_OK)
			return err_context(err, "command line");
	*cluster = cfg.cluster;
	return ST_OK;
}

static enum status
apply_file(struct config *cfg, const char *path, uint64_t cluster,
		   struct err *err)
{
	struct secret_file file = {.text = NULL};
	bool holds_secret = false;
	bool may_lack = false;
	enum status status;

	if (path == NULL)
		path = env_value("WALSHIP_CONFIG");
	if (path == NULL)
	{
		path = CONFIG_DEFAULT_PATH;
		may_lack = true;
	}

	status = secret_file_read(path, FILE_MAX, &file, err);
	if (status == ST_MISSING)
	{
		if (may_lack)
			return ST_OK;
		err->status = ST_CONFIG;
		return ST_CONFIG;
	}
	if (status == ST_OK)
		status = config_parse_text(cfg, path, file.text, file.len, cluster,
								   &holds_secret, err);
	if (status == ST_OK && holds_secret)
		status = secret_file_check(&file, path, err);
	secret_file_free(&file);
	if (status != ST_OK)
		return status;

	cfg->path = strdup(path);
	if (cfg->path == NULL)
		return err_set(err, ST_NOMEM, "out of memory");
	return ST_OK;
}

enum status
config_load(const char *path, uint64_t cluster, const char *const *overrides,
			struct config **out, struct err *err)
{
	struct config *cfg = calloc(1, sizeof *cfg);
	enum status status;

	if (cfg == NULL)
		return err_set(err, ST_NOMEM, "out of memory");

	status = find_cluster(&cluster, overrides, err);
	if (status == ST_OK)
		status = apply_defaults(cfg, false, err);
	if (status == ST_OK)
		status = apply_file(cfg, path, cluster, err);
	if (status == ST_OK)
		status = apply_environment(cfg, err);
	if (status == ST_OK)
		status = apply_overrides(cfg, overrides, err);
	if (status == ST_OK)
		status = apply_aws(cfg, err);
	if (status == ST_OK)
		status = apply_defaults(cfg, true, err);

	if (status == ST_OK)
		*out = cfg;
	else
		config_free(cfg);
	return status;
}

void
config_free(struct config *cfg)
{
	if (cfg == NULL)
		return;
	config_clear(cfg);
	free(cfg->path);
	free(cfg);
}

enum status
config_require(const struct config *cfg, struct err *err)
{
	if (cfg->repository == NULL)
	{
		(void) err_set(err, ST_CONFIG, "no repository is configured");
		return err_hint(err,
						"Set repository in %s, or WALSHIP_REPOSITORY, to "
						"s3://bucket/prefix or file:///directory.",
						cfg->path != NULL ? cfg->path : CONFIG_DEFAULT_PATH);
	}
	if ((cfg->s3_access_key_id == NULL) != (cfg->s3_secret_access_key == NULL))
		return err_set(err, ST_CONFIG,
					   "s3_access_key_id and s3_secret_access_key must be set "
					   "together");
	if (cfg->s3_profile != NULL && cfg->s3_access_key_id != NULL)
		return err_set(err, ST_CONFIG,
					   "both s3_profile and s3_access_key_id are set");
	if (cfg->encryption == ENCRYPTION_NONE)
		return ST_OK;
	if (cfg->key_file != NULL && cfg->key_command != NULL)
		return err_set(err, ST_CONFIG,
					   "both key_file and key_command are set");
	if (cfg->key_file == NULL && cfg->key_command == NULL)
	{
		(void) err_set(err, ST_CONFIG, "no key is configured");
		return err_hint(err, "Make one with \"walship keygen FILE\" and set "
							 "key_file, or set encryption = none.");
	}
	return ST_OK;
}

void
config_visit(const struct config *cfg, config_visitor visit, void *arg)
{
	for (size_t i = 0; i < config_noptions; i++)
	{
		const struct config_option *option = &config_options[i];
		char text[CONFIG_VALUE_MAX];
		const char *value = config_option_text(cfg, option, text);

		if (option->secret && *value != '\0')
			value = "***";
		visit(arg, option->name, value, option->def != NULL ? option->def : "",
			  option->help);
	}
}
