/*
 * test_metrics.c - metrics as Prometheus reads them
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <math.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "basebackup/metrics.h"

static void
test_text(void **state)
{
	const struct metrics_label one = {"name", "a \"b\" \\ c\nd"};
	const struct metrics_label two[] = {{"x", ""},
										{"y", "gr\xC3\xBC\xC3\x9F"}};
	const struct metrics_label bad = {"name", "\xFFx"};
	struct metrics *m;
	struct err err;
	const char *text;
	size_t len;

	(void) state;
	assert_int_equal(metrics_new(&m, &err), ST_OK);
	metrics_family(m, "first_bytes", "gauge", "It's a \"b\" \\ c\nd");
	metrics_sample(m, NULL, 0, 1795222800);
	metrics_sample(m, &one, 1, -0.25);
	metrics_family(m, "without_samples", "gauge", "Leaves nothing");
	metrics_family(m, "second_total", "counter", "C");
	metrics_sample(m, two, 2, 1e15);
	metrics_sample(m, &bad, 1, 1e300);
	metrics_sample(m, NULL, 0, 0.1);
	metrics_sample(m, NULL, 0, -HUGE_VAL);
	metrics_sample(m, NULL, 0, HUGE_VAL);
	metrics_sample(m, NULL, 0, (double) NAN);
	assert_int_equal(metrics_done(m, &text, &len, &err), ST_OK);
	assert_int_equal(strlen(text), len);
	assert_string_equal(
		text,
		"# HELP first_bytes It's a \"b\" \\\\ c\\nd\n"
		"# TYPE first_bytes gauge\n"
		"first_bytes 1795222800\n"
		"first_bytes{name=\"a \\\"b\\\" \\\\ c\\nd\"} -0.25\n"
		"# HELP second_total C\n"
		"# TYPE second_total counter\n"
		"second_total{x=\"\",y=\"gr\xC3\xBC\xC3\x9F\"} 1000000000000000\n"
		"second_total{name=\"?x\"} 1e+300\n"
		"second_total 0.1\n"
		"second_total -Inf\n"
		"second_total +Inf\n"
		"second_total NaN\n");
	metrics_free(m);
	metrics_free(NULL);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_text)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
