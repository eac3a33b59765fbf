/*
 * metrics.h - writing metrics in Prometheus' text format, version 0.0.4
 *
 * Pure: a growing text in memory.  Errors stick and come out of metrics_done.
 * All samples of a family stand together, behind its HELP and TYPE.
 */
#ifndef BASEBACKUP_METRICS_H
#define BASEBACKUP_METRICS_H

#include <stddef.h>

#include "common/err.h"

struct metrics;

struct metrics_label
{
	const char *name;
	const char *value; /* any bytes; what is not UTF-8 becomes '?' */
};

extern enum status
metrics_new(struct metrics **out, struct err *err) ERR_CHECK;
extern void metrics_free(struct metrics *metrics);

/* Begins a family; type is "gauge" or "counter".  help is escaped. */
extern void metrics_family(struct metrics *metrics, const char *name,
						   const char *type, const char *help);

/* A sample of the family. */
extern void
metrics_sample(struct metrics *metrics, const struct metrics_label *labels,
			   size_t nlabels, double value);

/* *text lives until metrics_free.  A family without samples leaves nothing. */
extern enum status metrics_done(struct metrics *metrics, const char **text,
								size_t *len, struct err *err) ERR_CHECK;

#endif
