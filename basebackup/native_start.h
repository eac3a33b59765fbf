/*
 * native_start.h - a backup begins: only changes, or everything
 *
 * Where the server can send only what changed since the base, it is asked to.
 * Whatever speaks against it, the server's own refusal included, is a reason
 * to read everything instead.
 */
#ifndef BASEBACKUP_NATIVE_START_H
#define BASEBACKUP_NATIVE_START_H

#include <stdbool.h>
#include <stdint.h>

#include "basebackup/base.h"
#include "basebackup/native.h"
#include "basebackup/pgconn.h"
#include "basebackup/stream.h"
#include "common/err.h"

/* All borrowed. */
struct native_start
{
	struct pgconn *conn; /* replication */
	struct base *base;   /* NULL: there is none */
	uint32_t page_size;
	bool off; /* do not even try */
};

struct native_outcome
{
	uint32_t pages_max;       /* as native_ask says; 0: everything is read, */
	char why[NATIVE_WHY_MAX]; /* for this reason */
};

/* As stream_begin, which it calls, options->incremental being set here. */
extern enum status
native_stream_begin(const struct native_start *start,
					struct stream_options *options, struct stream **out,
					struct native_outcome *outcome, struct err *err) ERR_CHECK;

#endif
