/*
 * server_facts.h - what a backup records about its server
 *
 * The replication connection tells what the manifest cannot do without.  An
 * ordinary connection tells the rest: the server's clock, its settings, and
 * configuration files that lie outside the data directory.  A role that may
 * not connect or may not read some of it still makes a good backup; what is
 * left out is said in a warning that names the missing grant.
 */
#ifndef BASEBACKUP_SERVER_FACTS_H
#define BASEBACKUP_SERVER_FACTS_H

#include <stdbool.h>
#include <stdint.h>

#include "basebackup/manifest.h"
#include "basebackup/pack.h"
#include "basebackup/pgconn.h"
#include "common/deadline.h"
#include "common/err.h"

/* The major versions that walship is tested with. */
#define SERVER_MAJOR_MIN 15
#define SERVER_MAJOR_MAX 19

struct server_facts
{
	uint64_t system_identifier;
	uint32_t timeline; /* at present */
	uint64_t lsn;
	int version;
	uint32_t wal_segment_size;
	uint32_t page_size;
	bool data_checksums;
	uint32_t data_directory_mode;
	bool from_standby;
};

/* Asks on a replication connection.  ST_CONFIG: a version we do not know. */
extern enum status
server_facts_read(struct pgconn *conn, const struct deadline *deadline,
				  struct server_facts *out, struct err *err) ERR_CHECK;

/* Only the first three. */
extern enum status
server_identify(struct pgconn *conn, const struct deadline *deadline,
				struct server_facts *out, struct err *err) ERR_CHECK;

/* A setting as SHOW tells it, cut to 31 bytes; on either connection. */
extern enum status server_show(struct pgconn *conn, const char *name,
							   const struct deadline *deadline, char out[32],
							   struct err *err) ERR_CHECK;

/* The server's clock, in seconds since 1970, rounded up. */
extern enum status
server_clock_read(struct pgconn *conn, const struct deadline *deadline,
				  int64_t *out, struct err *err) ERR_CHECK;

/* Records all settings but those that may hold a secret. */
extern enum status
server_settings_record(struct pgconn *conn, const struct deadline *deadline,
					   struct manifest_writer *manifest,
					   struct err *err) ERR_CHECK;

/* Stores the configuration files from outside the data directory. */
extern enum status
server_config_store(struct pgconn *conn, const struct deadline *deadline,
					struct pack_writer *packs,
					struct manifest_writer *manifest,
					struct err *err) ERR_CHECK;

/* True for a setting whose name or value says that it holds a secret. */
extern bool setting_is_secret(const char *name, const char *value);

#endif
