/*
 * condition.h - does the store honour "create only"?
 *
 * Some S3 stores ignore If-None-Match, so that a second writer would replace
 * what the first one stored.  That is found out once, by a put of one small
 * object that must not succeed twice, and remembered in the spool for a day;
 * such a store is asked before every put.
 */
#ifndef WALSHIP_CONDITION_H
#define WALSHIP_CONDITION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/config.h"
#include "common/err.h"
#include "common/spool.h"
#include "common/store.h"

/*
 * Recalls, or finds out, and tells the store.  Without a spool nothing can be
 * remembered, so each call asks.  A store that cannot be asked now, or refuses
 * to answer, is taken for one that honours the condition, as the setting says,
 * for this time: credentials that have expired are renewed.  The store's
 * deadline is set.
 */
extern void condition_settle(struct store *store, const struct config *cfg,
							 const struct spool *spool);

/* The note's text, pure; times in milliseconds since 1970. */
#define CONDITION_TEXT_MAX     80
#define CONDITION_FORGOTTEN_MS INT64_C(86400000)
extern int
condition_format(char text[CONDITION_TEXT_MAX], int64_t at_ms, bool honoured);
extern bool
condition_parse(const char *text, size_t len, int64_t now_ms, bool *honoured);

#endif
