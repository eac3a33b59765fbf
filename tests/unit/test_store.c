/*
 * test_store.c - retries, resumed reads and lists, against a scripted backend
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/store.h"

/*
 * Each try takes the next step of the script: so many bytes, entries or keys
 * go well, then this status.
 */
struct step
{
	size_t good;
	enum status status;
};

struct scripted
{
	struct store base;
	const struct step *script;
	size_t nsteps;
	size_t tries;
	char log[512]; /* what was asked for */
};

static const char content[] = "0123456789";
static const char *const listing[] = {"a", "b/", "c", "d"};
static struct scripted s;
static struct err err;
static volatile sig_atomic_t cancelled;

static const struct step *next_step(const char *fmt, ...) ERR_PRINTF(1, 2);

static const struct step *
next_step(const char *fmt, ...)
{
	size_t used = strlen(s.log);
	va_list args;

	va_start(args, fmt);
	vsnprintf(s.log + used, sizeof(s.log) - used, fmt, args);
	va_end(args);
	assert_true(s.tries < s.nsteps);
	return &s.script[s.tries++];
}

static enum status
outcome(const struct step *step, struct err *e)
{
	if (step->status == ST_OK)
		return ST_OK;
	if (step->status == ST_CANCELLED) /* here: fails, and a signal comes */
	{
		cancelled = 1;
		return err_set(e, ST_RETRY, "try %zu", s.tries);
	}
	if (step->status == ST_DEADLINE) /* here: not before an hour has passed */
	{
		err_set(e, ST_RETRY, "try %zu", s.tries);
		e->retry_after_ms = INT64_C(3600000);
		return ST_RETRY;
	}
	return err_set(e, step->status, "try %zu", s.tries);
}

static enum status
scripted_put(struct store *store, const char *key, const void *data,
			 size_t len, struct err *e)
{
	(void) store;
	(void) data;
	return outcome(next_step("put %s %zu;", key, len), e);
}

static enum status
scripted_get(struct store *store, const char *key, uint64_t offset,
			 uint64_t length, store_sink sink, void *arg, struct err *e)
{
	const struct step *step =
		next_step("get %s %d+%d;", key, (int) offset, (int) length);
	enum status rc = ST_OK;

	(void) store;
	for (size_t i = 0; i < step->good && rc == ST_OK; i++)
		rc = sink(arg, content + offset + i, 1, e);
	return rc != ST_OK ? rc : outcome(step, e);
}

static enum status
scripted_head(struct store *store, const char *key, struct store_stat *stat,
			  struct err *e)
{
	(void) store;
	memset(stat, 0, sizeof(*stat));
	return outcome(next_step("head %s;", key), e);
}

/* Ignores start_after, as a store whose answer overlaps may. */
static enum status
scripted_list(struct store *store, const char *prefix, const char *start_after,
			  bool shallow, store_lister lister, void *arg, struct err *e)
{
	const struct step *step =
		next_step("list %s>%s;", prefix, start_after ? start_after : "");
	enum status rc = ST_OK;

	(void) store;
	(void) shallow;
	for (size_t i = 0; i < step->good && rc == ST_OK; i++)
	{
		struct store_entry entry = {.key = listing[i]};

		rc = lister(arg, &entry, e);
	}
	return rc != ST_OK ? rc : outcome(step, e);
}

/* Every second key takes the step's status; keys behind good stay untold. */
static enum status
scripted_remove(struct store *store, const char *const *keys, size_t nkeys,
				store_removed removed, void *arg, struct err *e)
{
	const struct step *step = next_step("remove %zu;", nkeys);

	(void) store;
	for (size_t i = 0; i < nkeys && i < step->good; i++)
	{
		struct err one = {.status = ST_OK};

		if (i % 2 == 1)
			outcome(step, &one);
		removed(arg, keys[i], &one);
	}
	return outcome(step, e);
}

static enum status
scripted_features(struct store *store, struct store_features *out,
				  struct err *e)
{
	(void) store;
	(void) out;
	return outcome(next_step("features;"), e);
}

static void
scripted_free(struct store *store)
{
	(void) store;
}

static const struct store_ops scripted_ops = {
	.put = scripted_put,
	.get = scripted_get,
	.head = scripted_head,
	.list = scripted_list,
	.remove = scripted_remove,
	.features = scripted_features,
	.free = scripted_free,
};

static void
play(const struct step *script, size_t nsteps)
{
	memset(&s, 0, sizeof(s));
	s.base.ops = &scripted_ops;
	s.script = script;
	s.nsteps = nsteps;
	cancelled = 0;
	store_set_timeout(&s.base, 60000, &cancelled);
}

#define PLAY(...)                                         \
	do                                                    \
	{                                                     \
		static const struct step steps[] = {__VA_ARGS__}; \
		play(steps, sizeof(steps) / sizeof(*steps));      \
	} while (0)

static void
test_key_valid(void **state)
{
	char key[STORE_KEY_MAX + 1];

	(void) state;
	assert_true(store_key_valid("a"));
	assert_true(store_key_valid("7301/wal/00000001/000000010000000000000001"));
	assert_true(store_key_valid("A-Z_0.9/..."));
	assert_true(store_key_valid(".walship-probe-1"));
	assert_true(store_key_valid("a/.tmp"));
	assert_false(store_key_valid(""));
	assert_false(store_key_valid("/a"));
	assert_false(store_key_valid("a/"));
	assert_false(store_key_valid("a//b"));
	assert_false(store_key_valid("."));
	assert_false(store_key_valid("a/../b"));
	assert_false(store_key_valid("a/."));
	assert_false(store_key_valid("a b"));
	assert_false(store_key_valid("a\xc3\xa4"));
	assert_false(store_key_valid("a/.tmp-1"));
	memset(key, 'k', sizeof(key));
	key[STORE_KEY_MAX] = '\0';
	assert_false(store_key_valid(key));
	key[STORE_KEY_MAX - 1] = '\0';
	assert_true(store_key_valid(key));
}

/* A bad key never reaches a backend. */
static void
test_bad_key(void **state)
{
	const char *const keys[] = {"fine", "../etc/passwd"};
	struct store_stat stat;
	uint8_t *data;
	size_t len;

	(void) state;
	play(NULL, 0);
	assert_int_equal(store_put(&s.base, "../x", "x", 1, &err), ST_CONFIG);
	assert_int_equal(store_head(&s.base, "../x", &stat, &err), ST_CONFIG);
	assert_int_equal(store_read(&s.base, "../x", 9, &data, &len, &err),
					 ST_CONFIG);
	assert_int_equal(store_list(&s.base, "../", NULL, false, NULL, NULL, &err),
					 ST_CONFIG);
	assert_int_equal(store_list(&s.base, "a//", NULL, false, NULL, NULL, &err),
					 ST_CONFIG);
	assert_int_equal(store_remove(&s.base, keys, 2, NULL, NULL, &err),
					 ST_CONFIG);
}

static void
test_put_retries(void **state)
{
	(void) state;
	PLAY({0, ST_RETRY}, {0, ST_RETRY}, {0, ST_OK});
	assert_int_equal(store_put(&s.base, "k", "x", 1, &err), ST_OK);
	assert_int_equal(s.tries, 3);

	/* After a lost answer the retry meets what it stored: not hidden. */
	PLAY({0, ST_RETRY}, {0, ST_EXISTS});
	assert_int_equal(store_put(&s.base, "k", "x", 1, &err), ST_EXISTS);

	PLAY({0, ST_AUTH});
	assert_int_equal(store_put(&s.base, "k", "x", 1, &err), ST_AUTH);
	assert_string_equal(err.message, "try 1");
}

static void
test_deadline(void **state)
{
	(void) state;
	/* Where the next try would come too late, the cause is told at once. */
	PLAY({0, ST_RETRY}, {0, ST_DEADLINE});
	store_set_timeout(&s.base, 5000, NULL);
	assert_int_equal(store_put(&s.base, "k", "x", 1, &err), ST_RETRY);
	assert_string_equal(err.message, "try 2");

	/* A timeout begins again with each call, a deadline does not. */
	PLAY({0, ST_OK});
	store_set_timeout(&s.base, 60000, NULL);
	s.base.deadline = deadline_in(0, NULL);
	assert_int_equal(store_put(&s.base, "k", "x", 1, &err), ST_OK);
	PLAY({0, ST_OK});
	store_set_deadline(&s.base, deadline_in(0, NULL));
	assert_int_equal(store_put(&s.base, "k", "x", 1, &err), ST_DEADLINE);
	assert_int_equal(s.tries, 0);
}

static void
test_cancel(void **state)
{
	(void) state;
	PLAY({0, ST_CANCELLED});
	assert_int_equal(store_put(&s.base, "k", "x", 1, &err), ST_CANCELLED);
	assert_int_equal(store_put(&s.base, "k", "x", 1, &err), ST_CANCELLED);
	assert_int_equal(s.tries, 1);
}

static enum status
append(void *arg, const void *data, size_t len, struct err *e)
{
	(void) e;
	strncat(arg, data, len);
	return ST_OK;
}

static void
test_get_resumes(void **state)
{
	char text[64] = "";

	(void) state;
	PLAY({3, ST_RETRY}, {0, ST_RETRY}, {4, ST_RETRY}, {3, ST_OK});
	assert_int_equal(store_get(&s.base, "k", 0, 0, append, text, &err), ST_OK);
	assert_string_equal(text, content);
	assert_string_equal(s.log, "get k 0+0;get k 3+0;get k 3+0;get k 7+0;");

	text[0] = '\0';
	PLAY({2, ST_RETRY}, {3, ST_OK});
	assert_int_equal(store_get(&s.base, "k", 4, 5, append, text, &err), ST_OK);
	assert_string_equal(text, "45678");
	assert_string_equal(s.log, "get k 4+5;get k 6+3;");

	/* Broken behind the last byte: there is nothing more to ask for. */
	text[0] = '\0';
	PLAY({5, ST_RETRY});
	assert_int_equal(store_get(&s.base, "k", 4, 5, append, text, &err), ST_OK);
	assert_string_equal(text, "45678");

	/* Gone after half of it was delivered: no success, no confusion. */
	text[0] = '\0';
	PLAY({3, ST_RETRY}, {0, ST_MISSING});
	assert_int_equal(store_get(&s.base, "k", 0, 0, append, text, &err),
					 ST_MISSING);
}

static enum status
refuse(void *arg, const void *data, size_t len, struct err *e)
{
	(void) arg;
	(void) data;
	(void) len;
	return err_set(e, ST_RETRY, "full");
}

static void
test_get_sink_refuses(void **state)
{
	(void) state;
	PLAY({3, ST_OK});
	assert_int_equal(store_get(&s.base, "k", 0, 0, refuse, NULL, &err),
					 ST_RETRY);
	assert_string_equal(err.message, "full");
	assert_int_equal(s.tries, 1);
}

static void
test_read(void **state)
{
	uint8_t *data;
	size_t len;

	(void) state;
	PLAY({5, ST_RETRY}, {5, ST_OK});
	assert_int_equal(store_read(&s.base, "k", 10, &data, &len, &err), ST_OK);
	assert_int_equal(len, 10);
	assert_memory_equal(data, content, 10);
	free(data);

	PLAY({10, ST_OK});
	assert_int_equal(store_read(&s.base, "k", 9, &data, &len, &err),
					 ST_CORRUPT);
	assert_int_equal(s.tries, 1);
}

static void
test_head_features(void **state)
{
	struct store_features features;
	struct store_stat stat;

	(void) state;
	PLAY({0, ST_RETRY}, {0, ST_OK});
	assert_int_equal(store_head(&s.base, "k", &stat, &err), ST_OK);
	PLAY({0, ST_RETRY}, {0, ST_OK});
	assert_int_equal(store_features(&s.base, &features, &err), ST_OK);
	assert_string_equal(s.log, "features;features;");
}

static enum status
collect(void *arg, const struct store_entry *entry, struct err *e)
{
	(void) e;
	strncat(arg, entry->key, STORE_KEY_MAX);
	strncat(arg, " ", 1);
	return ST_OK;
}

static enum status
refuse_entry(void *arg, const struct store_entry *entry, struct err *e)
{
	(void) arg;
	return err_set(e, ST_RETRY, "no more than %s", entry->key);
}

static void
test_list_resumes(void **state)
{
	char text[64] = "";

	(void) state;
	PLAY({2, ST_RETRY}, {0, ST_RETRY}, {4, ST_OK});
	assert_int_equal(store_list(&s.base, "", NULL, true, collect, text, &err),
					 ST_OK);
	assert_string_equal(text, "a b/ c d ");
	assert_string_equal(s.log, "list >;list >b/;list >b/;");

	text[0] = '\0';
	PLAY({4, ST_OK});
	assert_int_equal(store_list(&s.base, "", "b/", true, collect, text, &err),
					 ST_OK);
	assert_string_equal(text, "c d ");

	PLAY({4, ST_OK});
	assert_int_equal(
		store_list(&s.base, "", NULL, true, refuse_entry, NULL, &err),
		ST_RETRY);
	assert_string_equal(err.message, "no more than a");
	assert_int_equal(s.tries, 1);
}

struct told
{
	size_t good;
	size_t bad;
};

static void
tell(void *arg, const char *key, const struct err *one)
{
	struct told *told = arg;

	assert_non_null(key);
	if (one->status == ST_OK)
		told->good++;
	else
		told->bad++;
}

static void
test_remove_retries_only_failed(void **state)
{
	static const char *const keys[] = {"k0", "k1", "k2", "k3", "k4"};
	struct told told = {0, 0};

	(void) state;
	/* k1 and k3 fail; then k1 goes, k3 fails; then it goes. */
	PLAY({5, ST_RETRY}, {2, ST_RETRY}, {1, ST_OK});
	assert_int_equal(store_remove(&s.base, keys, 5, tell, &told, &err), ST_OK);
	assert_int_equal(told.good, 5);
	assert_int_equal(told.bad, 0);
	assert_string_equal(s.log, "remove 5;remove 2;remove 1;");

	/* Final failures are told, and the rest is not tried again. */
	memset(&told, 0, sizeof(told));
	PLAY({5, ST_AUTH});
	assert_int_equal(store_remove(&s.base, keys, 5, tell, &told, &err),
					 ST_AUTH);
	assert_int_equal(told.good, 3);
	assert_int_equal(told.bad, 2);

	/* A request that failed as a whole tells of no key. */
	memset(&told, 0, sizeof(told));
	PLAY({0, ST_RETRY}, {5, ST_OK});
	assert_int_equal(store_remove(&s.base, keys, 5, tell, &told, &err), ST_OK);
	assert_int_equal(told.good, 5);
	memset(&told, 0, sizeof(told));
	PLAY({0, ST_CONFIG});
	assert_int_equal(store_remove(&s.base, keys, 5, tell, &told, &err),
					 ST_CONFIG);
	assert_int_equal(told.bad, 5);
}

static void
test_remove_gives_up(void **state)
{
	static const char *const keys[] = {"k0", "k1"};
	struct told told = {0, 0};

	(void) state;
	PLAY({2, ST_DEADLINE});
	store_set_timeout(&s.base, 5000, NULL);
	assert_int_equal(store_remove(&s.base, keys, 2, tell, &told, &err),
					 ST_RETRY);
	assert_int_equal(told.good, 1);
	assert_int_equal(told.bad, 1);
	assert_string_equal(err.message, "could not delete object \"k1\"");
	assert_non_null(strstr(err.detail, "try 1"));
}

static void
test_remove_batches(void **state)
{
	static char names[2500][8];
	static const char *keys[2500];
	struct told told = {0, 0};

	(void) state;
	for (size_t i = 0; i < 2500; i++)
	{
		snprintf(names[i], sizeof(names[i]), "k%zu", i);
		keys[i] = names[i];
	}
	PLAY({1000, ST_OK}, {1000, ST_RETRY}, {500, ST_OK}, {500, ST_OK});
	assert_int_equal(store_remove(&s.base, keys, 2500, tell, &told, &err),
					 ST_OK);
	assert_int_equal(told.good, 2500);
	assert_string_equal(s.log,
						"remove 1000;remove 1000;remove 500;remove 500;");

	play(NULL, 0);
	assert_int_equal(store_remove(&s.base, keys, 0, tell, &told, &err), ST_OK);
}

static void
open_fails(const char *url)
{
	struct config cfg = {.repository = url != NULL ? strdup(url) : NULL};
	struct store *store;

	assert_int_equal(store_open(&cfg, &store, &err), ST_CONFIG);
	free(cfg.repository);
}

static void
test_open(void **state)
{
	char absolute[] = "file:///nonexistent/repository/";
	struct config cfg = {.repository = absolute, .command_timeout_ms = 5000};
	struct store *store;

	(void) state;
	open_fails(NULL);
	assert_string_equal(err.message, "\"repository\" is not set");
	open_fails("file://relative/dir");
	open_fails("/var/lib/walship");
	open_fails("http://bucket/prefix");
	assert_non_null(strstr(err.message, "http://bucket/prefix"));

	/* No request is sent; the first call has its own time. */
	assert_int_equal(store_open(&cfg, &store, &err), ST_OK);
	assert_int_equal(store_put(store, "k", "x", 1, &err), ST_CONFIG);
	assert_non_null(strstr(err.message, "\"/nonexistent/repository\""));
	assert_true(store->deadline.at_ms < INT64_MAX);
	store_free(store);
	store_free(NULL);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_key_valid),
		cmocka_unit_test(test_bad_key),
		cmocka_unit_test(test_put_retries),
		cmocka_unit_test(test_deadline),
		cmocka_unit_test(test_cancel),
		cmocka_unit_test(test_get_resumes),
		cmocka_unit_test(test_get_sink_refuses),
		cmocka_unit_test(test_read),
		cmocka_unit_test(test_head_features),
		cmocka_unit_test(test_list_resumes),
		cmocka_unit_test(test_remove_retries_only_failed),
		cmocka_unit_test(test_remove_gives_up),
		cmocka_unit_test(test_remove_batches),
		cmocka_unit_test(test_open),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
