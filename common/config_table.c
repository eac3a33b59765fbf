/*
 * config_table.c - every key: its type, default, bounds and explanation
 */
#include "common/config_internal.h"

#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cli.h"
#include "common/s3_settings.h"
#include "common/secretfile.h"

#define SECOND INT64_C(1000)
#define DAY    (86400 * SECOND)
#define KB     INT64_C(1024)
#define MB     (1024 * KB)
#define GB     (1024 * MB)
#define TB     (1024 * GB)

static const char *const encryption_words[] = {"xchacha20-poly1305", "none",
											   NULL};
static const char *const addressing_words[] = {"auto", "path", "virtual",
											   NULL};
static const char *const signature_words[] = {"v4", "v2", NULL};
static const char *const tls_words[] = {"1.2", "1.3", "unverified", NULL};
static const char *const log_format_words[] = {"text", "json", NULL};
static const char *const log_level_words[] = {"error", "warning", "info",
											  "debug", "auto",    NULL};

#define FIELD(name) #name, .offset = offsetof(struct config, name)
#define FIELD_BYTES(name) \
#name, .offset = offsetof(struct config, name##_bytes)
#define FIELD_MS(name)    #name, .offset = offsetof(struct config, name##_ms)
#define DURATION(low, hi) .kind = KIND_DURATION, .min = (low), .max = (hi)
#define SIZE(low, hi)     .kind = KIND_SIZE, .min = (low), .max = (hi)

const struct config_option config_options[] = {
	{FIELD(repository), .kind = KIND_REPOSITORY,
	 .help = "where the archive is: s3://bucket[/prefix] or file:///dir"},
	{FIELD(cluster), .kind = KIND_SYSTEM_IDENTIFIER, .general = true,
	 .help = "system identifier of the cluster that commands mean"},
	{FIELD(encryption), .kind = KIND_WORD, .words = encryption_words,
	 .def = "xchacha20-poly1305",
	 .help = "xchacha20-poly1305, or none to store without a key"},
	{FIELD(key_file), .kind = KIND_PATH,
	 .help = "file with the repository's keys (walship keygen)"},
	{FIELD(key_command), .kind = KIND_STRING,
	 .help = "shell command that prints a key file's content"},
	{FIELD(spool), .kind = KIND_PATH, .def = "/var/spool/walship",
	 .help = "directory for what speeds up wal-push and wal-fetch"},
	{FIELD(s3_endpoint), .kind = KIND_URL,
	 .help = "http[s]://host[:port] of the store; without it, AWS"},
	{FIELD(s3_region), .kind = KIND_STRING, .def = "us-east-1",
	 .help = "region that requests are signed for"},
	{FIELD(s3_addressing), .kind = KIND_WORD, .words = addressing_words,
	 .def = "auto", .help = "bucket in the URL: auto, path or virtual (host)"},
	{FIELD(s3_signature), .kind = KIND_WORD, .words = signature_words,
	 .def = "v4", .help = "v4, or v2 for stores that know nothing newer"},
	{FIELD(s3_access_key_id), .kind = KIND_STRING, .credential = true,
	 .help = "S3 access key id"},
	{FIELD(s3_secret_access_key), .kind = KIND_STRING, .secret = true,
	 .credential = true, .help = "S3 secret access key"},
	{FIELD(s3_session_token), .kind = KIND_STRING, .secret = true,
	 .credential = true, .help = "S3 session token of temporary credentials"},
	{FIELD(s3_profile), .kind = KIND_STRING, .credential = true,
	 .help = "profile of AWS's shared files to take credentials from"},
	{FIELD(s3_sts_endpoint), .kind = KIND_URL,
	 .help = "http[s]://host[:port] that lends roles; without it, AWS"},
	{FIELD(s3_ca_file), .kind = KIND_PATH,
	 .help = "certificates to trust instead of the system's"},
	{FIELD(s3_client_cert), .kind = KIND_PATH,
	 .help = "client certificate and its key, one file in PEM"},
	{FIELD(s3_tls), .kind = KIND_WORD, .words = tls_words, .def = "1.2",
	 .help = "oldest version of TLS to speak, 1.2 or 1.3; unverified: take "
			 "any certificate"},
	{FIELD(s3_conditional_put), .kind = KIND_BOOL, .def = "on",
	 .help = "off where the store ignores If-None-Match: ask before writing"},
	{FIELD(s3_storage_class), .kind = KIND_STRING,
	 .complaint = s3_storage_class_complaint,
	 .help = "storage class of segments and packs; without it, the bucket's"},
	{FIELD(s3_sse), .kind = KIND_STRING, .complaint = s3_sse_complaint,
	 .help = "encryption by the store: AES256, aws:kms or aws:kms KEYID"},
	{FIELD(s3_object_lock), .kind = KIND_STRING,
	 .complaint = s3_lock_complaint,
	 .help = "what a restore needs stays so long: governance or compliance, "
			 "and days: compliance 30d"},
	{FIELD(s3_tags), .kind = KIND_STRING, .complaint = s3_tags_complaint,
	 .help = "tags of every object: name=value, name=value"},
	{FIELD(s3_bucket_owner), .kind = KIND_STRING,
	 .complaint = s3_bucket_owner_complaint,
	 .help = "AWS account that must own the bucket; and, or, requester-pays"},
	{FIELD(notify_command), .kind = KIND_STRING,
	 .help = "shell command that gets each outcome, and trouble with "
			 "archiving, as JSON"},
	{FIELD(log_format), .kind = KIND_WORD, .words = log_format_words,
	 .def = "text", .help = "text or json"},
	{FIELD(log_level), .kind = KIND_WORD, .words = log_level_words,
	 .def = "auto",
	 .help = "error, warning, info, debug; auto: info for walship, "
			 "else warning"},
	{FIELD_MS(connect_timeout), DURATION(1, DAY), .def = "10s",
	 .help = "to connect to the store"},
	{FIELD_MS(stall_timeout), DURATION(SECOND, DAY), .def = "30s",
	 .help = "without a byte from or to the store"},
	{FIELD_MS(push_timeout), DURATION(1, DAY), .def = "2min",
	 .help = "for one wal-push, retries included"},
	{FIELD_MS(fetch_timeout), DURATION(1, DAY), .def = "5min",
	 .help = "for wal-fetch in recovery, retries included"},
	{FIELD_MS(fetch_timeout_standby), DURATION(1, DAY), .def = "10s",
	 .help = "for wal-fetch on a standby, retries included"},
	{FIELD_BYTES(fetch_ahead), SIZE(0, TB), .def = "256MB",
	 .help = "segments that wal-fetch keeps ready in the spool; 0MB: none"},
	{FIELD_MS(command_timeout), DURATION(1, 7 * DAY), .def = "1h",
	 .help = "for each request of walship, retries included"},
	{FIELD_MS(archive_wait), DURATION(0, DAY), .def = "10min",
	 .help = "backup waits that long for its WAL to be archived"},
	{FIELD_MS(backup_max_age), DURATION(3600 * SECOND, 365 * DAY), .def = "7d",
	 .help = "an unfinished backup older than that is dead; the same on all "
			 "hosts"},
	{FIELD_MS(full_every), DURATION(0, 3650 * DAY), .def = "0s",
	 .help = "a backup refers to nothing older that long after the last full "
			 "one; 0: only with --full"},
	{FIELD_MS(pack_max_age), DURATION(0, 3650 * DAY), .def = "0s",
	 .help = "a backup stores again what older packs than that hold; 0: they "
			 "may have any age"},
	{FIELD(push_workers), .kind = KIND_INT, .def = "4", .min = 1, .max = 64,
	 .help = "WAL files that wal-push stores at the same time; 1: none ahead"},
	{FIELD_BYTES(push_memory), SIZE(MB, TB), .def = "28MB",
	 .help = "for the WAL files that wal-push stores at the same time"},
	{FIELD(backup_workers), .kind = KIND_INT, .def = "4", .min = 1, .max = 64,
	 .help = "threads that compress, encrypt and upload"},
	{FIELD(restore_workers), .kind = KIND_INT, .def = "4", .min = 1, .max = 64,
	 .help = "threads that download, decrypt and write"},
	{FIELD(keep_last), .kind = KIND_INT, .def = "0", .min = 0, .max = 100000,
	 .help = "expire keeps that many of the newest backups"},
	{FIELD(keep_daily), .kind = KIND_INT, .def = "0", .min = 0, .max = 100000,
	 .help = "expire keeps the last backup of that many days"},
	{FIELD(keep_weekly), .kind = KIND_INT, .def = "0", .min = 0, .max = 100000,
	 .help = "expire keeps the last backup of that many ISO weeks"},
	{FIELD(keep_monthly), .kind = KIND_INT, .def = "0", .min = 0,
	 .max = 100000,
	 .help = "expire keeps the last backup of that many months"},
	{FIELD(keep_yearly), .kind = KIND_INT, .def = "0", .min = 0, .max = 100000,
	 .help = "expire keeps the last backup of that many years"},
	{FIELD_MS(keep_within), DURATION(0, 36500 * DAY), .def = "0s",
	 .help = "expire keeps what recovers to any moment of that time"},
	{FIELD_BYTES(quota), SIZE(0, 1048576 * TB), .def = "0kB",
	 .help = "what the repository may take; status complains at 85 %; 0kB: "
			 "any amount"},
};

const size_t config_noptions =
	sizeof config_options / sizeof config_options[0];

_Static_assert(sizeof config_options / sizeof config_options[0] <=
				   CONFIG_OPTIONS_MAX,
			   "a set of options is one 64-bit word");

const struct config_retired config_retired[] = {
	{"s3_metadata_v1",
	 "Set the environment variable AWS_EC2_METADATA_V1_DISABLED=false "
	 "instead."},
	{"s3_tls_min", "It is \"s3_tls = 1.2\" or \"s3_tls = 1.3\" now."},
	{"s3_tls_verify", "Instead of off write \"s3_tls = unverified\"."},
};

const size_t config_nretired =
	sizeof config_retired / sizeof config_retired[0];

enum status
config_unknown_key(const char *name, size_t len, struct err *err)
{
	(void) err_set(err, ST_CONFIG, "unknown key \"%.*s\"", (int) len, name);
	for (size_t i = 0; i < config_nretired; i++)
		if (strlen(config_retired[i].name) == len &&
			memcmp(config_retired[i].name, name, len) == 0)
			return err_hint(err, "%s", config_retired[i].instead);
	return err->status;
}

const struct config_option *
config_option_find(const char *name, size_t len)
{
	for (size_t i = 0; i < config_noptions; i++)
		if (strlen(config_options[i].name) == len &&
			memcmp(config_options[i].name, name, len) == 0)
			return &config_options[i];
	return NULL;
}

static void *
field(struct config *cfg, const struct config_option *option)
{
	return (char *) cfg + option->offset;
}

static const void *
field_const(const struct config *cfg, const struct config_option *option)
{
	return (const char *) cfg + option->offset;
}

static bool
is_string(const struct config_option *option)
{
	return option->kind == KIND_STRING || option->kind == KIND_PATH ||
		   option->kind == KIND_REPOSITORY || option->kind == KIND_URL;
}

static bool
starts_with(const char *text, const char *prefix)
{
	return strncmp(text, prefix, strlen(prefix)) == 0;
}

/* A bucket, or a component of a key: see store.h; ends at '/' or the end. */
static size_t
component_length(const char *text)
{
	size_t len = strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
							  "abcdefghijklmnopqrstuvwxyz0123456789._-");

	if (text[len] != '/' && text[len] != '\0')
		return 0;
	if ((len == 1 && text[0] == '.') ||
		(len == 2 && text[0] == '.' && text[1] == '.'))
		return 0;
	return len;
}

#define BUCKET_MIN 3
#define BUCKET_MAX 63
#define PREFIX_MAX 400

static bool
repository_valid(const char *value)
{
	size_t len;

	if (starts_with(value, "file:///"))
		return value[strlen("file:///")] != '\0';
	if (!starts_with(value, "s3://"))
		return false;

	value += strlen("s3://");
	len = component_length(value);
	if (len < BUCKET_MIN || len > BUCKET_MAX ||
		strlen(value + len) > PREFIX_MAX)
		return false;
	while (value[len] == '/')
	{
		value += len + 1;
		len = component_length(value);
		if (len == 0)
			return false;
	}
	return true;
}

/* Scheme, host and perhaps a port: no user, path or query. */
static bool
url_valid(const char *value)
{
	size_t host;

	if (starts_with(value, "http://"))
		value += strlen("http://");
	else if (starts_with(value, "https://"))
		value += strlen("https://");
	else
		return false;
	host = strspn(value, "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
						 "abcdefghijklmnopqrstuvwxyz0123456789._-:[]");
	return host > 0 && value[host] == '\0';
}

/* Returns what is allowed instead, or NULL if the value is good. */
static const char *
string_complaint(const struct config_option *option, const char *value)
{
	for (const char *s = value; *s != '\0'; s++)
		if ((unsigned char) *s < 0x20 || *s == 0x7f)
			return "It must not hold control characters.";
	if (option->complaint != NULL)
		return option->complaint(value);
	if (option->kind == KIND_PATH && value[0] != '/')
		return "It must be an absolute path.";
	if (option->kind == KIND_REPOSITORY && !repository_valid(value))
		return "It must be s3://bucket, s3://bucket/prefix or "
			   "file:///directory.";
	if (option->kind == KIND_URL && !url_valid(value))
		return "It must be http://host or https://host, perhaps with :port.";
	return NULL;
}

static enum status
invalid(const struct config_option *option, const char *value, struct err *err)
{
	if (option->secret)
		return err_set(err, ST_CONFIG, "invalid value for %s", option->name);
	return err_set(err, ST_CONFIG, "invalid value \"%s\" for %s", value,
				   option->name);
}

/* Secrets lie in locked memory.  NULL: err says why. */
static char *
new_text(const struct config_option *option, size_t size, struct err *err)
{
	void *text = NULL;

	if (option->secret)
		return secret_alloc(size, &text, err) == ST_OK ? text : NULL;
	text = malloc(size);
	if (text == NULL)
		(void) err_set(err, ST_NOMEM, "out of memory");
	return text;
}

static void
free_text(const struct config_option *option, char *text)
{
	if (option->secret)
		secret_free(text);
	else
		free(text);
}

static enum status
set_string(struct config *cfg, const struct config_option *option,
		   const char *value, struct err *err)
{
	char **slot = field(cfg, option);
	size_t len = strlen(value);
	const char *complaint;
	char *copy;

	/* "file:///dir/" and "file:///dir" are one repository, and so on. */
	if (option->kind == KIND_REPOSITORY || option->kind == KIND_URL)
		while (len > 0 && value[len - 1] == '/')
			len--;
	copy = new_text(option, len + 1, err);
	if (copy == NULL)
		return err->status;
	memcpy(copy, value, len);
	copy[len] = '\0';

	complaint = string_complaint(option, copy);
	if (complaint != NULL)
	{
		(void) invalid(option, copy, err);
		free_text(option, copy);
		return err_detail(err, "%s", complaint);
	}
	free_text(option, *slot);
	*slot = copy;
	return ST_OK;
}

static enum status
set_word(struct config *cfg, const struct config_option *option,
		 const char *value, struct err *err)
{
	char allowed[128] = "";
	size_t len = 0;

	for (int i = 0; option->words[i] != NULL; i++)
	{
		if (strcmp(option->words[i], value) == 0)
		{
			memcpy(field(cfg, option), &i, sizeof i);
			return ST_OK;
		}
		len += (size_t) snprintf(allowed + len, sizeof allowed - len, "%s%s",
								 i == 0 ? "" : ", ", option->words[i]);
		if (len >= sizeof allowed)
			break;
	}
	(void) invalid(option, value, err);
	return err_detail(err, "Allowed are: %s.", allowed);
}

static enum status
set_bool(struct config *cfg, const struct config_option *option,
		 const char *value, struct err *err)
{
	static const char *const words[] = {"off", "on",  "false", "true",
										"no",  "yes", "0",     "1"};
	bool *slot = field(cfg, option);

	for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
		if (strcmp(words[i], value) == 0)
		{
			*slot = i % 2 == 1;
			return ST_OK;
		}
	(void) invalid(option, value, err);
	return err_detail(err, "Allowed are: on, off.");
}

struct unit
{
	const char *name;
	int64_t factor;
};

/* From the largest to the smallest, with the one that 0 is given in. */
static const struct unit durations[] = {{"d", DAY},
										{"h", 3600 * SECOND},
										{"min", 60 * SECOND},
										{"s", SECOND},
										{"ms", 1}};
static const struct unit sizes[] = {
	{"TB", TB}, {"GB", GB}, {"MB", MB}, {"kB", KB}};

/* The largest unit that leaves no rest. */
static const char *
amount_text(enum config_kind kind, int64_t amount, char out[CONFIG_VALUE_MAX])
{
	const struct unit *unit = kind == KIND_SIZE ? sizes : durations;
	int64_t zero_factor = kind == KIND_SIZE ? KB : SECOND;

	while (amount % unit->factor != 0 ||
		   (amount == 0 && unit->factor != zero_factor))
		unit++;
	(void) snprintf(out, CONFIG_VALUE_MAX, "%" PRId64 "%s",
					amount / unit->factor, unit->name);
	return out;
}

/* A duration or a size. */
static enum status
set_amount(struct config *cfg, const struct config_option *option,
		   const char *value, struct err *err)
{
	bool size = option->kind == KIND_SIZE;
	char low[CONFIG_VALUE_MAX];
	char high[CONFIG_VALUE_MAX];
	int64_t *slot = field(cfg, option);
	int64_t amount;

	if (!(size ? parse_size_bytes(value, &amount)
			   : parse_duration_ms(value, &amount)))
	{
		(void) invalid(option, value, err);
		return err_detail(err, "A %s is a number and one of the units %s.",
						  size ? "size" : "duration",
						  size ? "kB, MB, GB, TB" : "ms, s, min, h, d");
	}
	if (amount < option->min || amount > option->max)
	{
		(void) invalid(option, value, err);
		return err_detail(err, "It must be from %s to %s.",
						  amount_text(option->kind, option->min, low),
						  amount_text(option->kind, option->max, high));
	}
	*slot = amount;
	return ST_OK;
}

static enum status
set_int(struct config *cfg, const struct config_option *option,
		const char *value, struct err *err)
{
	int *slot = field(cfg, option);
	uint64_t number;

	if (!parse_uint64(value, INT_MAX, &number) ||
		(int64_t) number < option->min || (int64_t) number > option->max)
	{
		(void) invalid(option, value, err);
		return err_detail(err, "It must be from %" PRId64 " to %" PRId64 ".",
						  option->min, option->max);
	}
	*slot = (int) number;
	return ST_OK;
}

enum status
config_option_set(struct config *cfg, const struct config_option *option,
				  const char *value, struct err *err)
{
	if (*value == '\0')
		return err_set(err, ST_CONFIG, "empty value for %s", option->name);
	switch (option->kind)
	{
		case KIND_STRING:
		case KIND_PATH:
		case KIND_REPOSITORY:
		case KIND_URL:
			return set_string(cfg, option, value, err);
		case KIND_WORD:
			return set_word(cfg, option, value, err);
		case KIND_BOOL:
			return set_bool(cfg, option, value, err);
		case KIND_DURATION:
		case KIND_SIZE:
			return set_amount(cfg, option, value, err);
		case KIND_INT:
			return set_int(cfg, option, value, err);
		case KIND_SYSTEM_IDENTIFIER:
			if (parse_system_identifier(value, field(cfg, option)))
				return ST_OK;
			break;
	}
	(void) invalid(option, value, err);
	return err_detail(err, "It is the number that pg_controldata shows as "
						   "\"Database system identifier\".");
}

bool
config_option_empty(const struct config *cfg,
					const struct config_option *option)
{
	return is_string(option) &&
		   *(char *const *) field_const(cfg, option) == NULL;
}

const char *
config_option_text(const struct config *cfg,
				   const struct config_option *option,
				   char out[CONFIG_VALUE_MAX])
{
	const void *value = field_const(cfg, option);
	int number;

	switch (option->kind)
	{
		case KIND_STRING:
		case KIND_PATH:
		case KIND_REPOSITORY:
		case KIND_URL:
			return config_option_empty(cfg, option) ? ""
													: *(char *const *) value;
		case KIND_WORD:
			memcpy(&number, value, sizeof number);
			return option->words[number];
		case KIND_BOOL:
			return *(const bool *) value ? "on" : "off";
		case KIND_DURATION:
		case KIND_SIZE:
			return amount_text(option->kind, *(const int64_t *) value, out);
		case KIND_INT:
			(void) snprintf(out, CONFIG_VALUE_MAX, "%d", *(const int *) value);
			return out;
		case KIND_SYSTEM_IDENTIFIER:
			out[0] = '\0';
			if (*(const uint64_t *) value != 0)
				(void) snprintf(out, CONFIG_VALUE_MAX, "%" PRIu64,
								*(const uint64_t *) value);
			return out;
	}
	return "";
}

static void
forget_string(struct config *cfg, const struct config_option *option)
{
	char **slot = field(cfg, option);

	free_text(option, *slot);
	*slot = NULL;
}

void
config_forget_credentials(struct config *cfg)
{
	for (size_t i = 0; i < config_noptions; i++)
		if (config_options[i].credential)
			forget_string(cfg, &config_options[i]);
}

bool
config_has_credentials(const struct config *cfg)
{
	for (size_t i = 0; i < config_noptions; i++)
		if (config_options[i].credential &&
			!config_option_empty(cfg, &config_options[i]))
			return true;
	return false;
}

void
config_clear(struct config *cfg)
{
	for (size_t i = 0; i < config_noptions; i++)
		if (is_string(&config_options[i]))
			forget_string(cfg, &config_options[i]);
	free(cfg->sections);
	cfg->sections = NULL;
	cfg->nsections = 0;
}
