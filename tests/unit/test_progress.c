/*
 * test_progress.c - what a long transfer says of itself
 *
 * Standard error is a pipe here: no terminal, so log lines.  The clock is the
 * real one; what happened before is laid into the past.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "basebackup/progress.h"
#include "common/deadline.h"

#define MB UINT64_C(1000000)

static const char *verb; /* NULL: none is set */

/* What update prints; there was a line so long ago, of so long a transfer. */
static const char *
told(struct progress *p, uint64_t total, uint64_t done, int64_t seconds,
	 int64_t since_line_s)
{
	static char text[512];
	int saved = dup(STDERR_FILENO);
	int ends[2];
	ssize_t n;

	assert_int_equal(pipe(ends), 0);
	progress_begin(p, true, total);
	if (verb != NULL)
		p->verb = verb;
	p->begun_ms -= seconds * 1000;
	p->shown_ms = clock_now_ms() - since_line_s * 1000;
	assert_return_code(dup2(ends[1], STDERR_FILENO), 0);
	progress_update(p, done);
	progress_end(p);
	/* So that there is something to read. */
	(void) !write(STDERR_FILENO, "|", 1);
	assert_return_code(dup2(saved, STDERR_FILENO), 0);
	n = read(ends[0], text, sizeof(text) - 1);
	assert_true(n > 0);
	text[n] = '\0';
	(void) close(saved);
	(void) close(ends[0]);
	(void) close(ends[1]);
	return text;
}

static void
test_a_line_a_minute(void **state)
{
	struct progress p;

	(void) state;
	assert_string_equal(told(&p, 1000 * MB, 100 * MB, 3600, 30), "|");
	assert_non_null(
		strstr(told(&p, 1000 * MB, 100 * MB, 3600, 61), "INFO: received "));
	assert_string_equal(told(&p, 1000 * MB, 100 * MB, 0, 0), "|");
	verb = "compared";
	assert_non_null(
		strstr(told(&p, 1000 * MB, 100 * MB, 3600, 61), "INFO: compared "));
	verb = NULL;
}

/* An hour for a quarter: three are left, whatever this machine is busy with.
 */
static void
test_rate_and_rest(void **state)
{
	struct progress p;
	const char *line = told(&p, 14400 * MB, 3600 * MB, 3600, 61);

	(void) state;
	assert_non_null(strstr(line, " (25 %), "));
	assert_non_null(strstr(line, "/s, 3:0"));
	assert_non_null(strstr(line, " left"));
	line = told(&p, 1000 * MB, 500 * MB, 600, 61);
	assert_non_null(strstr(line, "/s, 10:"));
}

/* The database grew while it was read; of changes the total is unknown. */
static void
test_totals_that_do_not_hold(void **state)
{
	struct progress p;

	(void) state;
	assert_non_null(strstr(told(&p, 10 * MB, 20 * MB, 60, 61), " (100 %), "));
	assert_null(strstr(told(&p, 0, 20 * MB, 60, 61), " of "));
	assert_non_null(strstr(told(&p, 0, 20 * MB, 60, 61), "/s"));
	assert_non_null(strstr(told(&p, 20 * MB, 0, 60, 61), "0 bytes/s\n"));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_line_a_minute),
		cmocka_unit_test(test_rate_and_rest),
		cmocka_unit_test(test_totals_that_do_not_hold),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
