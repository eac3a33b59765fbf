/*
 * connections.c - store handles that several threads take in turn
 */
#include "walship/connections.h"

#include <pthread.h>
#include <stdlib.h>

#include "walship/budget.h"
#include "walship/condition.h"

struct connections
{
	const struct config *cfg;
	const struct spool *cluster_spool;
	struct budget *free; /* how many may be taken */
	pthread_mutex_t mutex;
	unsigned idle;          /* opened and not taken */
	struct store *stores[]; /* those; the last one given is the first taken */
};

enum status
connections_new(const struct config *cfg, const struct spool *cluster_spool,
				unsigned max, struct connections **out, struct err *err)
{
	struct connections *connections =
		calloc(1, sizeof(*connections) + max * sizeof(struct store *));
	enum status status;

	if (connections == NULL ||
		pthread_mutex_init(&connections->mutex, NULL) != 0)
	{
		free(connections);
		return err_set(err, ST_NOMEM, "out of memory");
	}
	status = budget_new(max, &connections->free, err);
	if (status != ST_OK)
	{
		connections_free(connections);
		return status;
	}
	connections->cfg = cfg;
	connections->cluster_spool = cluster_spool;
	*out = connections;
	return ST_OK;
}

void
connections_free(struct connections *connections)
{
	if (connections == NULL)
		return;
	for (unsigned i = 0; i < connections->idle; i++)
		store_free(connections->stores[i]);
	budget_free(connections->free);
	(void) pthread_mutex_destroy(&connections->mutex);
	free(connections);
}

/* One that was used before, or NULL. */
static struct store *
take_idle(struct connections *connections)
{
	struct store *store = NULL;

	(void) pthread_mutex_lock(&connections->mutex);
	if (connections->idle > 0)
		store = connections->stores[--connections->idle];
	(void) pthread_mutex_unlock(&connections->mutex);
	return store;
}

enum status
connections_take(struct connections *connections, const struct deadline *d,
				 struct store **out, struct err *err)
{
	enum status status = budget_take(connections->free, 1, d, err);
	struct store *store;

	if (status != ST_OK)
		return status;
	store = take_idle(connections);
	if (store != NULL)
		store_set_deadline(store, *d);
	else
	{
		status = store_open(connections->cfg, &store, err);
		if (status != ST_OK)
		{
			budget_give(connections->free, 1);
			return status;
		}
		store_set_deadline(store, *d);
		condition_settle(store, connections->cfg, connections->cluster_spool);
	}
	*out = store;
	return ST_OK;
}

void
connections_give(struct connections *connections, struct store *store)
{
	(void) pthread_mutex_lock(&connections->mutex);
	connections->stores[connections->idle++] = store;
	(void) pthread_mutex_unlock(&connections->mutex);
	budget_give(connections->free, 1);
}
