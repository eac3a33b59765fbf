/*
 * fetch_policy.c - how wal-fetch answers the server
 */
#include "walship/fetch_policy.h"

/* A standby asks for histories rarely, and a missed one costs a timeline. */
#define HISTORY_PATIENCE 3

#define USAGE_EXIT 2

static const enum fetch_answer answers[][FOUND_CANCELLED + 1] = {
	[FETCH_RECOVERY] =
		{
			[FOUND] = ANSWER_DONE,
			[FOUND_NOTHING] = ANSWER_ABSENT,
			[FOUND_GAP] = ANSWER_FATAL,
			[FOUND_UNREACHABLE] = ANSWER_FATAL,
			[FOUND_REFUSED] = ANSWER_FATAL,
			[FOUND_CORRUPT] = ANSWER_FATAL,
			[FOUND_CANCELLED] = ANSWER_SIGNAL,
		},
	[FETCH_STANDBY] =
		{
			[FOUND] = ANSWER_DONE,
			[FOUND_NOTHING] = ANSWER_ABSENT,
			[FOUND_GAP] = ANSWER_ABSENT,
			[FOUND_UNREACHABLE] = ANSWER_ABSENT,
			[FOUND_REFUSED] = ANSWER_ABSENT,
			[FOUND_CORRUPT] = ANSWER_ABSENT,
			/* A real shutdown reaches the startup process by itself. */
			[FOUND_CANCELLED] = ANSWER_ABSENT,
		},
	[FETCH_ENDING] =
		{
			[FOUND] = ANSWER_DONE,
			[FOUND_NOTHING] = ANSWER_ABSENT,
			[FOUND_GAP] = ANSWER_ABSENT,
			[FOUND_UNREACHABLE] = ANSWER_ABSENT,
			[FOUND_REFUSED] = ANSWER_ABSENT,
			[FOUND_CORRUPT] = ANSWER_ABSENT,
			[FOUND_CANCELLED] = ANSWER_ABSENT,
		},
	[FETCH_REWIND] =
		{
			[FOUND] = ANSWER_DONE,
			[FOUND_NOTHING] = ANSWER_ABSENT,
			[FOUND_GAP] = ANSWER_FATAL,
			[FOUND_UNREACHABLE] = ANSWER_FATAL,
			[FOUND_REFUSED] = ANSWER_FATAL,
			[FOUND_CORRUPT] = ANSWER_FATAL,
			[FOUND_CANCELLED] = ANSWER_SIGNAL,
		},
};

enum fetch_mode
fetch_policy_mode(enum fetch_explicit said, bool standby_signal,
				  bool recovery_signal, enum wal_name_kind kind)
{
	if (standby_signal)
		return FETCH_STANDBY;
	if (recovery_signal)
		return FETCH_RECOVERY;
	if (kind == WAL_HISTORY)
		return FETCH_ENDING;
	if (said == EXPLICIT_RECOVERY)
		return FETCH_RECOVERY;
	return said == EXPLICIT_STANDBY ? FETCH_STANDBY : FETCH_REWIND;
}

enum fetch_answer
fetch_policy_answer(enum fetch_mode mode, enum fetch_finding finding)
{
	return answers[mode][finding];
}

enum fetch_finding
fetch_policy_finding(enum status status)
{
	switch (status)
	{
		case ST_OK:
			return FOUND;
		case ST_MISSING:
			return FOUND_NOTHING;
		case ST_RETRY:
		case ST_DEADLINE:
			return FOUND_UNREACHABLE;
		case ST_CORRUPT:
		case ST_DIFFERS:
			return FOUND_CORRUPT;
		case ST_CANCELLED:
			return FOUND_CANCELLED;
		case ST_EXISTS:
		case ST_CONFIG:
		case ST_AUTH:
		case ST_IO:
		case ST_SERVER:
		case ST_NOMEM:
			break;
	}
	return FOUND_REFUSED;
}

int64_t
fetch_policy_outage_ms(enum fetch_mode mode, enum wal_name_kind kind,
					   const struct fetch_patience *patience)
{
	switch (mode)
	{
		case FETCH_RECOVERY:
			return patience->recovery_ms;
		case FETCH_STANDBY:
			return kind == WAL_HISTORY
					   ? patience->standby_ms * HISTORY_PATIENCE
					   : patience->standby_ms;
		case FETCH_ENDING:
		case FETCH_REWIND:
			break;
	}
	return patience->standby_ms;
}

int64_t
fetch_policy_gap_ms(enum fetch_mode mode,
					const struct fetch_patience *patience)
{
	return mode == FETCH_RECOVERY ? patience->recovery_ms : 0;
}

bool
fetch_policy_looks_for_gap(enum fetch_mode mode, enum wal_name_kind kind)
{
	return kind == WAL_SEGMENT &&
		   (mode == FETCH_RECOVERY || mode == FETCH_REWIND);
}

bool
fetch_policy_takes_partial(enum fetch_mode mode)
{
	return mode == FETCH_RECOVERY;
}

int
fetch_policy_usage_exit(bool standby_signal, bool recovery_signal)
{
	return recovery_signal && !standby_signal ? FETCH_EXIT_FATAL : USAGE_EXIT;
}
