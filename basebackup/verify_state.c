/*
 * verify_state.c - how far an interrupted verification came
 */
#include "basebackup/verify_state.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "common/cli.h"
#include "common/deadline.h"
#include "common/log.h"

#define SAVE_MS  INT64_C(5000)
#define TEXT_MAX (STORE_KEY_MAX + 96)

static const char FILE_NAME[] = "verify";
static const char PREFIX[] = "walship-verify-v2";

/* What stands in front of the numbers and the key: what is to be read. */
static int
format_head(char *out, size_t size, const struct verify_state *state)
{
	return snprintf(out, size, "%s %" PRIu32 " %" PRId64 " ", PREFIX,
					state->sample_bp, state->since_s);
}

/* "<head><defects> <key>\n"; false if it is anything else. */
static bool
parse(char *text, struct verify_state *state)
{
	char head[TEXT_MAX];
	size_t head_len = (size_t) format_head(head, sizeof(head), state);
	size_t len = strlen(text);
	char *space;

	if (len <= head_len || text[len - 1] != '\n' ||
		strncmp(text, head, head_len) != 0)
		return false;
	text[len - 1] = '\0';
	space = strchr(text + head_len, ' ');
	if (space == NULL || !store_key_valid(space + 1))
		return false;
	*space = '\0';
	if (!parse_uint64(text + head_len, INT64_MAX, &state->defects_before))
		return false;
	(void) snprintf(state->done, sizeof(state->done), "%s", space + 1);
	return true;
}

void
verify_state_open(struct verify_state *state, const struct session *session,
				  const struct verify_options *options,
				  struct verify_counts *counts)
{
	char text[TEXT_MAX + 1];
	int len;

	*state = (struct verify_state){.saved_ms = clock_now_ms(),
								   .sample_bp = options->sample_bp,
								   .since_s = options->since_s};
	spool_open(&state->spool, session->cfg, session->ring,
			   session->repo.system_identifier, NULL);
	if (!options->resume)
		return;
	len = spool_read(&state->spool, FILE_NAME, text, TEXT_MAX);
	if (len > 0)
		text[len] = '\0';
	if (len <= 0 || !parse(text, state))
	{
		log_info("there is no interrupted verification of this kind to "
				 "resume; all is read");
		state->done[0] = '\0';
		state->defects_before = 0;
		return;
	}
	counts->defects += state->defects_before;
	counts->read_defects += state->defects_before;
	log_info("reading goes on behind \"%s\"; %" PRIu64
			 " defects were found before",
			 state->done, state->defects_before);
}

bool
verify_state_done(const struct verify_state *state, const char *key)
{
	return state->done[0] != '\0' && strcmp(key, state->done) <= 0;
}

static void
save(struct verify_state *state, struct verify_pool *pool,
	 verify_defects defects, void *arg)
{
	char text[TEXT_MAX];
	char key[STORE_KEY_MAX];
	int len;

	verify_pool_mark(pool, key);
	if (key[0] == '\0' && state->done[0] == '\0')
		return;
	len = format_head(text, sizeof(text), state);
	len +=
		snprintf(text + len, sizeof(text) - (size_t) len, "%" PRIu64 " %s\n",
				 defects(arg), key[0] != '\0' ? key : state->done);
	(void) spool_write(&state->spool, FILE_NAME, text, (size_t) len);
	state->saved_ms = clock_now_ms();
}

void
verify_state_save(struct verify_state *state, struct verify_pool *pool,
				  verify_defects defects, void *arg)
{
	if (clock_now_ms() - state->saved_ms >= SAVE_MS)
		save(state, pool, defects, arg);
}

void
verify_state_close(struct verify_state *state, struct verify_pool *pool,
				   verify_defects defects, void *arg, bool complete)
{
	if (complete)
		spool_remove(&state->spool, FILE_NAME);
	else
		save(state, pool, defects, arg);
	spool_close(&state->spool);
}
