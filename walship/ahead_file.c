/*
 * ahead_file.c - one file, stored ahead
 */
#include "walship/ahead_file.h"

#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>

#include "common/cli.h"
#include "common/deadline.h"
#include "walship/marker.h"
#include "walship/push.h"
#include "walship/ready.h"

bool
ahead_stored(const struct ahead *ahead, const char *path, const char *name,
			 bool in_recovery, char object[OBJECT_NAME_MAX + 1])
{
	char boot[MARKER_BOOT_MAX];
	struct stat st;
	struct marker_file file = {.system_identifier = ahead->system_identifier,
							   .boot = boot,
							   .name = name,
							   .stat = &st};
	struct wal_name parsed;
	struct err err;

	if (ahead->spool->fd < 0 || stat(path, &st) != 0 || !marker_boot(boot) ||
		!marker_find(ahead->spool, &file, object))
		return false;
	return object[0] == '\0' || in_recovery ||
		   (wal_name_parse(&parsed, name, &err) == ST_OK &&
			parsed.kind == WAL_PARTIAL);
}

/* Until a later change of the file could not keep its times. */
static enum status
settle(const struct wal_file *file, const struct deadline *d, struct err *err)
{
	struct timespec now;

	(void) clock_gettime(CLOCK_REALTIME_COARSE, &now);
	return deadline_sleep(d, marker_settles_ms(&file->opened, &now), err);
}

static enum status
leave_marker(const struct ahead *ahead, const struct wal_file *file,
			 const struct push_outcome *outcome, struct err *err)
{
	char boot[MARKER_BOOT_MAX];
	struct marker_file about = {.system_identifier = ahead->system_identifier,
								.boot = boot,
								.name = file->name.text,
								.stat = &file->opened};

	if (marker_boot(boot) &&
		marker_leave(ahead->spool, &about,
					 outcome->result == PUSH_SET_ASIDE ? outcome->object : ""))
		return ST_OK;
	return err_set(err, ST_IO, "could not write a marker into spool \"%s\"",
				   ahead->spool->path);
}

static enum status
store_file(struct ahead_hand *hand, const char *path, bool in_recovery,
		   const struct deadline *d, struct err *err)
{
	const struct ahead *ahead = hand->ahead;
	struct push_options options = {.in_recovery = in_recovery,
								   .spill_dir = spool_path(ahead->spool),
								   .budget = hand->budget,
								   .connections = hand->connections,
								   .room = &hand->room,
								   .deadline = *d};
	struct repo repo = {.cfg = ahead->cfg,
						.ring = ahead->ring,
						.system_identifier = ahead->system_identifier};
	struct push_outcome outcome;
	struct wal_file file;
	enum status status =
		wal_file_open(&file, path, ahead->system_identifier, err);

	if (status != ST_OK)
		return status;
	status = settle(&file, d, err);
	if (status == ST_OK && !ready_is(ahead->datadir, file.name.text))
	{
		/* Its call did not wait for us. */
		wal_file_close(&file);
		return ST_OK;
	}
	if (status == ST_OK)
		status = push_file(&repo, &file, &options, &outcome, err);
	if (status == ST_OK)
		status = leave_marker(ahead, &file, &outcome, err);
	wal_file_close(&file);
	return status;
}

enum status
ahead_file(struct ahead_hand *hand, const char *name, struct err *err)
{
	const struct ahead *ahead = hand->ahead;
	struct deadline d = deadline_in(ahead->file_timeout_ms, cli_cancel());
	char path[PATH_MAX];
	char object[OBJECT_NAME_MAX + 1];
	struct pg_control control;
	enum status status;
	int n = snprintf(path, sizeof(path), "%s/pg_wal/%s", ahead->datadir, name);

	if (n < 0 || (size_t) n >= sizeof(path))
		return err_set(err, ST_CONFIG, "too long a path");
	/* For each file anew: the server may have been promoted. */
	status = pg_control_read(ahead->datadir, &control, err);
	if (status == ST_OK &&
		control.system_identifier != ahead->system_identifier)
		return err_set(err, ST_CONFIG, "another cluster's data directory");
	if (status == ST_OK &&
		!ahead_stored(ahead, path, name, control.in_recovery, object))
		status = store_file(hand, path, control.in_recovery, &d, err);
	return status == ST_OK || ready_is(ahead->datadir, name) ? status : ST_OK;
}
