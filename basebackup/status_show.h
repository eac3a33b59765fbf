/*
 * status_show.h - what was gathered, for people and for programs
 *
 * Each writes all of it to a stream; what the stream makes of it is the
 * caller's to ask.
 */
#ifndef BASEBACKUP_STATUS_SHOW_H
#define BASEBACKUP_STATUS_SHOW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "basebackup/status.h"
#include "common/err.h"

struct status_view
{
	const struct overview *clusters;
	size_t nclusters;
	const struct status_server *server; /* NULL: it was not asked */
	int64_t now_s;
	int64_t took_ms;
};

extern void status_show_text(const struct status_view *view, FILE *out);
extern enum status status_show_json(const struct status_view *view, FILE *out,
									struct err *err) ERR_CHECK;
extern enum status status_show_metrics(const struct status_view *view,
									   FILE *out, struct err *err) ERR_CHECK;

#endif
