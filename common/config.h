/*
 * config.h - the configuration: one INI file, then the environment
 *
 * The file is --config, else WALSHIP_CONFIG, else /etc/walship/walship.conf
 * (whose absence alone is no error).  Keys before any section hold for every
 * cluster; a section "[cluster <system identifier>]" overrides them for that
 * cluster.  Every key is also the environment variable WALSHIP_<KEY> in upper
 * case, which wins over the file; an empty variable counts as none.  AWS's own
 * variables fill what neither sets: AWS_REGION, AWS_DEFAULT_REGION,
 * AWS_ENDPOINT_URL_S3, AWS_ENDPOINT_URL, AWS_ENDPOINT_URL_STS, AWS_CA_BUNDLE,
 * and where no s3_profile is set AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and
 * AWS_SESSION_TOKEN.  Key id, secret, token and profile are one: a section,
 * WALSHIP_<KEY> or the command line replaces all or none of them, since halves
 * of two credentials would make none.  Other sources of credentials are
 * s3_cred.h's.
 *
 * An unknown key, a key given twice in one section, a bad value, a line of
 * more than 198 bytes, an indented line, a comment behind a value is refused
 * with file and line; so is a file that holds a secret unless it satisfies the
 * rule of secretfile.h.
 *
 * One table in config_table.c drives parsing, the environment, `walship check`
 * and the option table of README.  Strings belong to the config and live until
 * config_free; the secret ones lie in locked memory and are wiped.
 */
#ifndef COMMON_CONFIG_H
#define COMMON_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err.h"

#define CONFIG_DEFAULT_PATH "/etc/walship/walship.conf"

enum config_encryption
{
	ENCRYPTION_XCHACHA20, /* encryption = xchacha20-poly1305, the default */
	ENCRYPTION_NONE       /* encryption = none */
};

enum config_addressing
{
	ADDRESSING_AUTO, /* virtual-host for AWS and names without dots */
	ADDRESSING_PATH,
	ADDRESSING_VIRTUAL
};

enum config_signature
{
	SIGNATURE_V4,
	SIGNATURE_V2 /* by libs3, the module s3v2 */
};

enum config_tls
{
	TLS_1_2, /* and newer */
	TLS_1_3,
	TLS_UNVERIFIED /* from 1.2 on, with whoever answers */
};

enum config_log_format
{
	LOG_FORMAT_TEXT,
	LOG_FORMAT_JSON
};

enum config_log_level
{
	LOG_LEVEL_ERROR,
	LOG_LEVEL_WARNING,
	LOG_LEVEL_INFO,
	LOG_LEVEL_DEBUG,
	LOG_LEVEL_AUTO /* info for walship, warning for wal-push and wal-fetch */
};

struct config
{
	char *path; /* the file that was read, NULL if none */

	/* The clusters that have a section in it, in its order. */
	uint64_t *sections;
	size_t nsections;

	char *repository; /* s3://bucket[/prefix] or file:///dir */
	uint64_t cluster; /* system identifier, 0: not set */
	enum config_encryption encryption;
	char *key_file;
	char *key_command; /* prints a key file's content */
	char *spool;       /* default /var/spool/walship */

	char *s3_endpoint; /* http[s]://host[:port], NULL: AWS */
	char *s3_region;   /* default us-east-1 */
	enum config_addressing s3_addressing;
	char *s3_access_key_id;
	char *s3_secret_access_key;
	char *s3_session_token;
	char *s3_profile;      /* of AWS's shared files */
	char *s3_sts_endpoint; /* NULL: Amazon's for the region */
	char *s3_ca_file;
	char *s3_client_cert; /* certificate and key in one file, NULL: none */
	enum config_tls s3_tls;
	enum config_signature s3_signature;
	bool s3_conditional_put; /* default on; off: HEAD first */

	/* Grammar: s3_settings.h; NULL: the bucket's own, or none. */
	char *s3_storage_class;
	char *s3_sse;
	char *s3_object_lock;
	char *s3_tags;
	char *s3_bucket_owner;

	/* Gets outcomes as JSON: notify.h.  NULL: nobody is told. */
	char *notify_command;

	enum config_log_format log_format;
	enum config_log_level log_level;

	/* Durations, in milliseconds here; "30s", "5min", "1h" in the file. */
	int64_t connect_timeout_ms;       /* 10 s */
	int64_t stall_timeout_ms;         /* 30 s without a byte */
	int64_t push_timeout_ms;          /* 2 min, one wal-push */
	int64_t fetch_timeout_ms;         /* 5 min, wal-fetch in recovery */
	int64_t fetch_timeout_standby_ms; /* 10 s, wal-fetch on a standby */
	int64_t command_timeout_ms;       /* 1 h, each request of walship */
	int64_t archive_wait_ms;          /* 10 min, backup waits for its WAL */
	int64_t backup_max_age_ms; /* 7 d, a start older than this is dead */

	int64_t fetch_ahead_bytes; /* 256 MB of segments in the spool; 0: none */

	int push_workers;          /* 4: segments stored at once; 1: none ahead */
	int64_t push_memory_bytes; /* 28 MB, for their stored form */
	int64_t full_every_ms;     /* 0: never by itself; a new chain after that */
	int64_t pack_max_age_ms;   /* 0: any; older packs are stored again */

	int backup_workers;  /* 4: threads that compress, seal and upload */
	int restore_workers; /* 4 */

	/* Which backups walship expire keeps; 0: none by that rule. */
	int keep_last;
	int keep_daily;
	int keep_weekly;
	int keep_monthly;
	int keep_yearly;
	int64_t keep_within_ms;

	int64_t quota_bytes; /* what may be stored; 0: not known */
};

/*
 * Reads the configuration.  path NULL: as the header says.  cluster 0: only
 * the general keys (plus cfg->cluster's own section when that key is set).
 * Overrides are "key=value" strings from the command line, which win over
 * all; NULL-terminated, or NULL.  *out is freed with config_free.
 * Does not check that the settings suffice: config_require does.
 */
extern enum status
config_load(const char *path, uint64_t cluster, const char *const *overrides,
			struct config **out, struct err *err) ERR_CHECK;
extern void config_free(struct config *cfg);

/*
 * What every program that touches the repository needs: repository is set and
 * well formed, and there is a key, or encryption = none said so.
 */
extern enum status
config_require(const struct config *cfg, struct err *err) ERR_CHECK;

/* A pure parser of one file's text, for tests and fuzzing. */
extern enum status
config_parse(struct config *cfg, const char *file, const char *text,
			 size_t len, uint64_t cluster, struct err *err) ERR_CHECK;

/* Walks the table: name, value as text ("***" for secrets), default, help. */
typedef void (*config_visitor)(void *arg, const char *name, const char *value,
							   const char *def, const char *help);
extern void
config_visit(const struct config *cfg, config_visitor visit, void *arg);

#endif
