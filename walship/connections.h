/*
 * connections.h - store handles that several threads take in turn
 *
 * Sealing takes the processor and putting takes the network: threads that do
 * both with a handle of their own leave it idle while they seal.  So there
 * are more threads than handles, and who has sealed takes one.
 */
#ifndef WALSHIP_CONNECTIONS_H
#define WALSHIP_CONNECTIONS_H

#include "common/config.h"
#include "common/deadline.h"
#include "common/err.h"
#include "common/spool.h"
#include "common/store.h"

struct connections;

/*
 * At most so many handles of the configured store, each opened when it is
 * first needed.  cluster_spool: for condition.h.  Everything is borrowed.
 */
extern enum status
connections_new(const struct config *cfg, const struct spool *cluster_spool,
				unsigned max, struct connections **out,
				struct err *err) ERR_CHECK;

/* Nothing may be taken any more.  NULL does nothing. */
extern void connections_free(struct connections *connections);

/*
 * Takes one, with that deadline set; waits for it in order of arrival.
 * Statuses: those of store_open, ST_DEADLINE, ST_CANCELLED.
 */
extern enum status
connections_take(struct connections *connections, const struct deadline *d,
				 struct store **out, struct err *err) ERR_CHECK;
extern void
connections_give(struct connections *connections, struct store *store);

#endif
