/*
 * condition.c - does the store honour "create only"?
 */
#include "walship/condition.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "common/deadline.h"
#include "common/log.h"
#include "common/note.h"

/* Of the store's time: what is asked for shall still get most of it. */
#define PROBE_SHARE 4

/* Threads that begin at the same time shall not all ask. */
static pthread_mutex_t asking = PTHREAD_MUTEX_INITIALIZER;

static const char FILE_NAME[] = "condition";
static const char MAGIC[] = "walship-condition-v1";
static const char HONOURED[] = "honoured";
static const char IGNORED[] = "ignored";

int
condition_format(char text[CONDITION_TEXT_MAX], int64_t at_ms, bool honoured)
{
	return snprintf(text, CONDITION_TEXT_MAX, "%s %" PRId64 " %s\n", MAGIC,
					at_ms, honoured ? HONOURED : IGNORED);
}

bool
condition_parse(const char *text, size_t len, int64_t now_ms, bool *honoured)
{
	struct note note;
	bool yes;

	if (!note_parse(&note, text, len, MAGIC, 2) ||
		!note_recent(note.words[0], now_ms, CONDITION_FORGOTTEN_MS))
		return false;
	yes = strcmp(note.words[1], HONOURED) == 0;
	if (!yes && strcmp(note.words[1], IGNORED) != 0)
		return false;
	*honoured = yes;
	return true;
}

static bool
recall(const struct spool *spool, bool *honoured)
{
	char text[CONDITION_TEXT_MAX];
	int len = spool_read(spool, FILE_NAME, text, sizeof(text));

	return len > 0 &&
		   condition_parse(text, (size_t) len, clock_real_ms(), honoured);
}

/* Asks the store, and notes what it said. */
static void
find_out(struct store *store, const struct spool *spool, bool *honoured)
{
	struct deadline d = store->deadline;
	char text[CONDITION_TEXT_MAX];
	enum status status;
	struct err why;
	int len;

	store_set_deadline(store,
					   deadline_sooner(d, deadline_left_ms(&d) / PROBE_SHARE));
	status = store_probe_condition(store, honoured, &why);
	store_set_deadline(store, d);
	if (status != ST_OK)
	{
		log_debug("could not find out whether the store honours "
				  "conditions: %s",
				  why.message);
		return;
	}
	len = condition_format(text, clock_real_ms(), *honoured);
	if (len > 0 && len < CONDITION_TEXT_MAX)
		(void) spool_write(spool, FILE_NAME, text, (size_t) len);
}

void
condition_settle(struct store *store, const struct config *cfg,
				 const struct spool *spool)
{
	bool honoured = true;

	if (store->asks_first ||
		strncmp(cfg->repository, "s3://", strlen("s3://")) != 0)
		return;
	(void) pthread_mutex_lock(&asking);
	if (!recall(spool, &honoured))
		find_out(store, spool, &honoured);
	(void) pthread_mutex_unlock(&asking);
	if (!honoured)
		store->asks_first = true;
}
