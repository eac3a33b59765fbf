/*
 * scratch_settings.c - the configuration of a scratch server
 */
#include "basebackup/scratch_server.h"

#include <errno.h>
#include <inttypes.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "basebackup/recovery_conf.h"
#include "common/log.h"

/*
 * What keeps the server to itself, and quick.  Without worker processes no
 * subscription follows the original's publishers, and no extension's worker
 * does what the original's does.  As a replica no event trigger hinders
 * pg_amcheck, before event_triggers could switch them off.
 */
static const struct
{
	int since; /* version */
	const char *name;
	const char *value;
} fixed[] = {
	{0, "listen_addresses", ""},
	{0, "port", "5432"},
	{0, "unix_socket_permissions", "0700"},
	{0, "ssl", "off"},
	{0, "archive_mode", "off"},
	{0, "hot_standby", "off"},
	{0, "wal_level", "replica"},
	{0, "max_wal_senders", "0"},
	{0, "max_replication_slots", "0"},
	{0, "max_logical_replication_workers", "0"},
	{0, "max_worker_processes", "0"},
	{0, "synchronous_standby_names", ""},
	{0, "synchronous_commit", "off"},
	{0, "fsync", "off"},
	{0, "full_page_writes", "off"},
	{0, "huge_pages", "off"},
	{0, "max_wal_size", "4GB"},
	{0, "checkpoint_timeout", "1h"},
	{0, "autovacuum", "off"},
	{0, "jit", "off"},
	{0, "max_parallel_workers", "0"},
	{0, "logging_collector", "off"},
	{0, "log_destination", "stderr"},
	{0, "lc_messages", "C"},
	{0, "log_line_prefix", "%n "},
	{0, "restart_after_crash", "off"},
	{0, "cluster_name", "walship scratch"},
	{0, "session_replication_role", "replica"},
	{170000, "event_triggers", "off"},
	{170000, "summarize_wal", "off"},
};

/* What the data, or recovery, needs as the original had it. */
static const char *const recorded[] = {"max_connections",
									   "max_prepared_transactions",
									   "max_locks_per_transaction",
									   "TimeZone",
									   "DateStyle",
									   "IntervalStyle",
									   "lc_monetary",
									   "lc_numeric",
									   "lc_time",
									   "bytea_output",
									   "extra_float_digits"};

/* As the original had it, unless the server would not start so. */
static void
put_recorded(FILE *out, const char *name, const char *value)
{
	locale_t locale;

	if (strncmp(name, "lc_", 3) == 0)
	{
		locale = newlocale(LC_ALL_MASK, value, (locale_t) 0);
		if (locale == (locale_t) 0)
		{
			log_warning("going on without the locale \"%s\" of %s, which this "
						"host lacks",
						value, name);
			return;
		}
		freelocale(locale);
	}
	setting_put(out, name, value);
}

/* A share of the memory, which a limit leaves. */
static void
put_memory(FILE *out, const char *name, int64_t bytes, int64_t most_bytes)
{
	char value[32];

	if (bytes > most_bytes)
		bytes = most_bytes;
	(void) snprintf(value, sizeof(value), "%" PRId64 "kB",
					bytes < 1 << 20 ? 1024 : bytes >> 10);
	setting_put(out, name, value);
}

static void
put_limits(FILE *out, int64_t memory_bytes)
{
	if (memory_bytes == 0)
	{
		setting_put(out, "shared_buffers", "128MB");
		return;
	}
	put_memory(out, "shared_buffers", memory_bytes / 4, 1 << 30);
	put_memory(out, "maintenance_work_mem", memory_bytes / 8, 1 << 30);
	put_memory(out, "work_mem", memory_bytes / 64, 64 << 20);
}

/* Is the library where the server would look for it? */
static bool
has_library(const char *bindir, const char *name)
{
	char path[PATH_MAX];

	if (strchr(name, '/') != NULL)
		return strncmp(name, "$libdir/", 8) != 0
				   ? access(name, R_OK) == 0
				   : has_library(bindir, name + 8);
	/* Debian's layout, and that of a server of one's own making. */
	(void) snprintf(path, sizeof(path), "%s/../lib/%s.so", bindir, name);
	if (access(path, R_OK) == 0)
		return true;
	(void) snprintf(path, sizeof(path), "%s/../lib/postgresql/%s.so", bindir,
					name);
	return access(path, R_OK) == 0;
}

static void
put_libraries(FILE *out, const struct scratch_server_options *o)
{
	const char *value = plan_setting(o->plan, "shared_preload_libraries");
	char *copy = value == NULL ? NULL : strdup(value);
	char *rest = NULL, *list = NULL;
	size_t len;
	FILE *kept = copy == NULL ? NULL : open_memstream(&list, &len);

	if (kept != NULL)
	{
		for (char *name = strtok_r(copy, ", \"", &rest); name != NULL;
			 name = strtok_r(NULL, ", \"", &rest))
			if (has_library(o->bindir, name))
				(void) fprintf(kept, "%s%s", ftell(kept) > 0 ? "," : "", name);
			else
				log_warning("going on without the library \"%s\" of "
							"shared_preload_libraries, which this host lacks",
							name);
		(void) fclose(kept);
		setting_put(out, "shared_preload_libraries", list);
	}
	free(list);
	free(copy);
}

static enum status
write_file(const struct scratch *scratch, const char *name, FILE **out,
		   struct err *err)
{
	char path[PATH_MAX];

	(void) snprintf(path, sizeof(path), "%s/%s", scratch->dir, name);
	*out = fopen(path, "wxe");
	if (*out == NULL)
		return err_set_errno(err, ST_IO, errno, "could not create file \"%s\"",
							 path);
	return ST_OK;
}

static enum status
end_file(FILE *file, struct err *err)
{
	bool failed = ferror(file) != 0;

	if (fclose(file) != 0 || failed)
		return err_set_errno(err, ST_IO, errno,
							 "could not write the scratch server's settings");
	return ST_OK;
}

/* A file of one line, or of none. */
static enum status
write_line(const struct scratch *scratch, const char *name, const char *line,
		   struct err *err)
{
	FILE *out;
	enum status st = write_file(scratch, name, &out, err);

	if (st != ST_OK)
		return st;
	(void) fputs(line, out);
	return end_file(out, err);
}

enum status
scratch_write_settings(const struct scratch_server_options *o, struct err *err)
{
	static const char *const files[][2] = {{"hba_file", "pg_hba.conf"},
										   {"ident_file", "pg_ident.conf"}};
	int version = o->plan->summary.server_version;
	char path[PATH_MAX];
	FILE *out;
	enum status st;

	if ((st = write_line(o->scratch, "pg_hba.conf", "local all all trust\n",
						 err)) != ST_OK ||
		(st = write_line(o->scratch, "pg_ident.conf", "", err)) != ST_OK ||
		(st = write_file(o->scratch, "postgresql.conf", &out, err)) != ST_OK)
		return st;
	for (size_t i = 0; i < sizeof(recorded) / sizeof(recorded[0]); i++)
	{
		const char *value = plan_setting(o->plan, recorded[i]);

		if (value != NULL)
			put_recorded(out, recorded[i], value);
	}
	for (size_t i = 0; i < sizeof(fixed) / sizeof(fixed[0]); i++)
		if (version >= fixed[i].since)
			setting_put(out, fixed[i].name, fixed[i].value);
	for (size_t i = 0; i < 2; i++)
	{
		(void) snprintf(path, sizeof(path), "%s/%s", o->scratch->dir,
						files[i][1]);
		setting_put(out, files[i][0], path);
	}
	put_limits(out, o->memory_bytes);
	setting_put(out, "unix_socket_directories", o->scratch->socket);
	put_libraries(out, o);
	return end_file(out, err);
}

enum status
scratch_find_bindir(const struct plan *plan, const char *bindir, char *out,
					struct err *err)
{
	int major = plan->summary.server_version / 10000;
	char path[PATH_MAX + 16];

	if (bindir != NULL)
		(void) snprintf(out, PATH_MAX, "%s", bindir);
	else
		(void) snprintf(out, PATH_MAX, "/usr/lib/postgresql/%d/bin", major);
	(void) snprintf(path, sizeof(path), "%s/postgres", out);
	if (access(path, X_OK) == 0)
		return ST_OK;
	err_set_errno(err, ST_CONFIG, errno, "cannot find \"%s\"", path);
	return err_hint(err,
					"The backup is of PostgreSQL %d: install that version's "
					"server, or name its programs' directory with --bindir.",
					major);
}
