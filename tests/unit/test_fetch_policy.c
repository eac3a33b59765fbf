/*
 * test_fetch_policy.c - how wal-fetch answers the server, to the last cell
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "walship/fetch_policy.h"

static void
the_fatal_code(void **state)
{
	(void) state;
	/* The server takes 1 to 125 as the end, 143 as a shutdown request. */
	assert_true(FETCH_EXIT_FATAL > 125);
	assert_true(FETCH_EXIT_FATAL <= 255);
	assert_true(FETCH_EXIT_FATAL != 126 && FETCH_EXIT_FATAL != 127);
	/* 129 to 192 is how a shell reports a signal. */
	assert_true(FETCH_EXIT_FATAL > 128 + 64);
}

static void
every_answer(void **state)
{
	static const struct
	{
		enum fetch_finding finding;
		enum fetch_answer recovery;
		enum fetch_answer standby;
		enum fetch_answer ending;
		enum fetch_answer rewind;
	} table[] = {
		{FOUND, ANSWER_DONE, ANSWER_DONE, ANSWER_DONE, ANSWER_DONE},
		{FOUND_NOTHING, ANSWER_ABSENT, ANSWER_ABSENT, ANSWER_ABSENT,
		 ANSWER_ABSENT},
		{FOUND_GAP, ANSWER_FATAL, ANSWER_ABSENT, ANSWER_ABSENT, ANSWER_FATAL},
		{FOUND_UNREACHABLE, ANSWER_FATAL, ANSWER_ABSENT, ANSWER_ABSENT,
		 ANSWER_FATAL},
		{FOUND_REFUSED, ANSWER_FATAL, ANSWER_ABSENT, ANSWER_ABSENT,
		 ANSWER_FATAL},
		{FOUND_CORRUPT, ANSWER_FATAL, ANSWER_ABSENT, ANSWER_ABSENT,
		 ANSWER_FATAL},
		{FOUND_CANCELLED, ANSWER_SIGNAL, ANSWER_ABSENT, ANSWER_ABSENT,
		 ANSWER_SIGNAL},
	};

	(void) state;
	assert_int_equal(sizeof(table) / sizeof(table[0]), FOUND_CANCELLED + 1);
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
	{
		enum fetch_finding f = table[i].finding;

		assert_int_equal(fetch_policy_answer(FETCH_RECOVERY, f),
						 table[i].recovery);
		assert_int_equal(fetch_policy_answer(FETCH_STANDBY, f),
						 table[i].standby);
		assert_int_equal(fetch_policy_answer(FETCH_ENDING, f),
						 table[i].ending);
		assert_int_equal(fetch_policy_answer(FETCH_REWIND, f),
						 table[i].rewind);
	}
}

static void
every_mode(void **state)
{
	static const struct
	{
		enum fetch_explicit said;
		bool standby;
		bool recovery;
		enum fetch_mode segment;
		enum fetch_mode history;
	} table[] = {
		{EXPLICIT_NONE, false, false, FETCH_REWIND, FETCH_ENDING},
		{EXPLICIT_NONE, false, true, FETCH_RECOVERY, FETCH_RECOVERY},
		{EXPLICIT_NONE, true, false, FETCH_STANDBY, FETCH_STANDBY},
		{EXPLICIT_NONE, true, true, FETCH_STANDBY, FETCH_STANDBY},
		{EXPLICIT_RECOVERY, false, false, FETCH_RECOVERY, FETCH_ENDING},
		{EXPLICIT_RECOVERY, false, true, FETCH_RECOVERY, FETCH_RECOVERY},
		{EXPLICIT_RECOVERY, true, false, FETCH_STANDBY, FETCH_STANDBY},
		{EXPLICIT_RECOVERY, true, true, FETCH_STANDBY, FETCH_STANDBY},
		{EXPLICIT_STANDBY, false, false, FETCH_STANDBY, FETCH_ENDING},
		{EXPLICIT_STANDBY, false, true, FETCH_RECOVERY, FETCH_RECOVERY},
		{EXPLICIT_STANDBY, true, false, FETCH_STANDBY, FETCH_STANDBY},
		{EXPLICIT_STANDBY, true, true, FETCH_STANDBY, FETCH_STANDBY},
	};

	(void) state;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
	{
		assert_int_equal(fetch_policy_mode(table[i].said, table[i].standby,
										   table[i].recovery, WAL_SEGMENT),
						 table[i].segment);
		assert_int_equal(fetch_policy_mode(table[i].said, table[i].standby,
										   table[i].recovery, WAL_HISTORY),
						 table[i].history);
	}
}

/* Only what the store said in clear words counts as absent. */
static void
every_status(void **state)
{
	(void) state;
	assert_int_equal(fetch_policy_finding(ST_OK), FOUND);
	assert_int_equal(fetch_policy_finding(ST_MISSING), FOUND_NOTHING);
	assert_int_equal(fetch_policy_finding(ST_EXISTS), FOUND_REFUSED);
	assert_int_equal(fetch_policy_finding(ST_DIFFERS), FOUND_CORRUPT);
	assert_int_equal(fetch_policy_finding(ST_RETRY), FOUND_UNREACHABLE);
	assert_int_equal(fetch_policy_finding(ST_CORRUPT), FOUND_CORRUPT);
	assert_int_equal(fetch_policy_finding(ST_CONFIG), FOUND_REFUSED);
	assert_int_equal(fetch_policy_finding(ST_AUTH), FOUND_REFUSED);
	assert_int_equal(fetch_policy_finding(ST_IO), FOUND_REFUSED);
	assert_int_equal(fetch_policy_finding(ST_SERVER), FOUND_REFUSED);
	assert_int_equal(fetch_policy_finding(ST_CANCELLED), FOUND_CANCELLED);
	assert_int_equal(fetch_policy_finding(ST_DEADLINE), FOUND_UNREACHABLE);
	assert_int_equal(fetch_policy_finding(ST_NOMEM), FOUND_REFUSED);
	assert_int_equal(fetch_policy_finding((enum status) 99), FOUND_REFUSED);
}

static void
patience(void **state)
{
	const struct fetch_patience p = {.recovery_ms = 300000,
									 .standby_ms = 10000};

	(void) state;
	assert_true(fetch_policy_outage_ms(FETCH_RECOVERY, WAL_SEGMENT, &p) ==
				300000);
	assert_true(fetch_policy_outage_ms(FETCH_RECOVERY, WAL_HISTORY, &p) ==
				300000);
	assert_true(fetch_policy_outage_ms(FETCH_STANDBY, WAL_SEGMENT, &p) ==
				10000);
	assert_true(fetch_policy_outage_ms(FETCH_STANDBY, WAL_HISTORY, &p) >
				10000);
	assert_true(fetch_policy_outage_ms(FETCH_ENDING, WAL_HISTORY, &p) ==
				10000);
	assert_true(fetch_policy_outage_ms(FETCH_REWIND, WAL_SEGMENT, &p) ==
				10000);
	assert_true(fetch_policy_gap_ms(FETCH_RECOVERY, &p) == 300000);
	assert_true(fetch_policy_gap_ms(FETCH_STANDBY, &p) == 0);
	assert_true(fetch_policy_gap_ms(FETCH_ENDING, &p) == 0);
	assert_true(fetch_policy_gap_ms(FETCH_REWIND, &p) == 0);
}

static void
looking_for_gaps(void **state)
{
	(void) state;
	assert_true(fetch_policy_looks_for_gap(FETCH_RECOVERY, WAL_SEGMENT));
	assert_true(fetch_policy_looks_for_gap(FETCH_REWIND, WAL_SEGMENT));
	assert_false(fetch_policy_looks_for_gap(FETCH_STANDBY, WAL_SEGMENT));
	assert_false(fetch_policy_looks_for_gap(FETCH_RECOVERY, WAL_HISTORY));
	assert_false(fetch_policy_looks_for_gap(FETCH_ENDING, WAL_HISTORY));
	assert_false(fetch_policy_looks_for_gap(FETCH_RECOVERY, WAL_PARTIAL));
	assert_false(fetch_policy_looks_for_gap(FETCH_RECOVERY, WAL_BACKUP));
}

static void
parts_of_segments(void **state)
{
	(void) state;
	assert_true(fetch_policy_takes_partial(FETCH_RECOVERY));
	assert_false(fetch_policy_takes_partial(FETCH_STANDBY));
	assert_false(fetch_policy_takes_partial(FETCH_ENDING));
	assert_false(fetch_policy_takes_partial(FETCH_REWIND));
}

/* A mistake in restore_command must not end a recovery either. */
static void
usage_errors(void **state)
{
	(void) state;
	assert_int_equal(fetch_policy_usage_exit(false, true), FETCH_EXIT_FATAL);
	assert_int_equal(fetch_policy_usage_exit(true, true), 2);
	assert_int_equal(fetch_policy_usage_exit(true, false), 2);
	assert_int_equal(fetch_policy_usage_exit(false, false), 2);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_fatal_code),
		cmocka_unit_test(every_answer),
		cmocka_unit_test(every_mode),
		cmocka_unit_test(every_status),
		cmocka_unit_test(patience),
		cmocka_unit_test(looking_for_gaps),
		cmocka_unit_test(parts_of_segments),
		cmocka_unit_test(usage_errors),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
