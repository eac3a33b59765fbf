/*
 * recovery_options.c - where recovery goes to, on a command line
 */
#include "basebackup/recovery_options.h"

#include <string.h>

#include "basebackup/timestamp.h"
#include "common/cli.h"
#include "common/walname.h"

#define DAYS_MAX       3650
#define NAME_MAX_BYTES 63 /* of a restore point: the server's MAXFNAMELEN */

static int
take_target(const char *program, struct restore_request *r,
			enum target_kind kind, const char *arg)
{
	struct recovery_target *t = &r->target;
	struct err err;
	uint64_t xid;

	if (t->kind != TARGET_END)
		return cli_usage(program, "there can be only one target");
	t->kind = kind;
	switch (kind)
	{
		case TARGET_TIME:
			if (timestamp_parse(arg, &t->time_us, &err) != ST_OK)
				return cli_fail(&err);
			break;
		case TARGET_LSN:
			if (!lsn_parse(arg, &t->lsn) || t->lsn == 0)
				return cli_usage(program, "invalid LSN \"%s\"", arg);
			break;
		case TARGET_XID:
			if (!parse_uint64(arg, UINT64_MAX, &xid) || xid < 3)
				return cli_usage(program, "invalid transaction id \"%s\"",
								 arg);
			t->text = arg;
			break;
		case TARGET_NAME:
			if (*arg == '\0' || strlen(arg) > NAME_MAX_BYTES)
				return cli_usage(program, "invalid restore point \"%s\"", arg);
			t->text = arg;
			break;
		case TARGET_END:
		case TARGET_IMMEDIATE:
			break;
	}
	return -1;
}

static int
take_timeline(const char *program, struct restore_request *r, const char *arg)
{
	uint64_t timeline = 0;

	if (strcmp(arg, "latest") != 0 &&
		(!parse_uint64(arg, UINT32_MAX, &timeline) || timeline == 0))
		return cli_usage(program, "invalid timeline \"%s\"", arg);
	r->timeline = (uint32_t) timeline;
	return -1;
}

static int
take_days(const char *program, struct restore_request *r, const char *arg)
{
	uint64_t days;

	if (!parse_uint64(arg, DAYS_MAX, &days) || days == 0)
		return cli_usage(program, "invalid number of days \"%s\"", arg);
	r->thaw_days = (int) days;
	return -1;
}

static int
take_inclusive(const char *program, struct restore_request *r,
			   enum target_inclusive inclusive)
{
	if (r->target.inclusive != INCLUSIVE_DEFAULT)
		return cli_usage(program,
						 "--target-inclusive or --target-exclusive is given "
						 "twice");
	r->target.inclusive = inclusive;
	return -1;
}

bool
recovery_option(int opt)
{
	return opt >= RECOVERY_TIME && opt <= RECOVERY_THAW;
}

int
recovery_option_take(const char *program, struct restore_request *r, int opt,
					 const char *arg)
{
	switch (opt)
	{
		case RECOVERY_TIME:
			return take_target(program, r, TARGET_TIME, arg);
		case RECOVERY_LSN:
			return take_target(program, r, TARGET_LSN, arg);
		case RECOVERY_XID:
			return take_target(program, r, TARGET_XID, arg);
		case RECOVERY_NAME:
			return take_target(program, r, TARGET_NAME, arg);
		case RECOVERY_IMMEDIATE:
			return take_target(program, r, TARGET_IMMEDIATE, NULL);
		case RECOVERY_TIMELINE:
			return take_timeline(program, r, arg);
		case RECOVERY_INCLUSIVE:
			return take_inclusive(program, r, INCLUSIVE_YES);
		case RECOVERY_EXCLUSIVE:
			return take_inclusive(program, r, INCLUSIVE_NO);
		case RECOVERY_THAW:
			return take_days(program, r, arg);
		default:
			r->allow_gap = true;
			return -1;
	}
}

int
recovery_options_check(const char *program, const struct restore_request *r)
{
	const struct recovery_target *t = &r->target;

	if (t->inclusive != INCLUSIVE_DEFAULT && t->kind != TARGET_TIME &&
		t->kind != TARGET_LSN && t->kind != TARGET_XID)
		return cli_usage(program,
						 "--target-inclusive and --target-exclusive are for a "
						 "time, an LSN or a transaction");
	return -1;
}
