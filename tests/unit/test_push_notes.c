/*
 * test_push_notes.c - what wal-push remembers of stores and keys
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "walship/condition.h"
#include "walship/key_memo.h"

#define NOW ((int64_t) 1795222800000)

static void
condition_text(void **state)
{
	static const char *const bad[] = {
		"",
		"walship-condition-v1 1795222800000\n",
		"walship-condition-v1 1795222800000 \n",
		"walship-condition-v1 1795222800000 ignored",
		"walship-condition-v1 1795222800000 ignored\n\n",
		"walship-condition-v1  1795222800000 ignored\n",
		"walship-condition-v1 -1 ignored\n",
		"walship-condition-v2 1795222800000 ignored\n",
		"walship-condition-v1 99999999999999999999 ignored\n",
	};
	char text[CONDITION_TEXT_MAX];
	bool honoured = true;
	size_t len;

	(void) state;
	len = (size_t) condition_format(text, NOW, false);
	assert_true(condition_parse(text, len, NOW, &honoured));
	assert_false(honoured);
	len = (size_t) condition_format(text, NOW, true);
	assert_true(
		condition_parse(text, len, NOW + CONDITION_FORGOTTEN_MS, &honoured));
	assert_true(honoured);
	/* Asked again after a day, or when a clock was set back. */
	assert_false(condition_parse(text, len, NOW + CONDITION_FORGOTTEN_MS + 1,
								 &honoured));
	assert_false(condition_parse(text, len, NOW - 1, &honoured));
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_false(condition_parse(bad[i], strlen(bad[i]), NOW, &honoured));
}

/* A store whose puts have the outcomes that a test wants. */
struct fake
{
	struct store base;
	enum status outcomes[2];
	bool refuses_conditions;
	int puts;
};

static enum status
fake_put(struct store *store, const char *key, const void *bytes, size_t len,
		 struct err *err)
{
	struct fake *fake = (struct fake *) store;

	(void) bytes;
	assert_string_equal(key, ".walship-probe-condition");
	assert_int_equal(len, 0);
	assert_true(fake->puts < 2);
	if (fake->refuses_conditions)
		store->asks_first = true;
	if (fake->outcomes[fake->puts] == ST_OK)
		return fake->outcomes[fake->puts++];
	return err_set(err, fake->outcomes[fake->puts++], "because");
}

static const struct store_ops fake_ops = {.put = fake_put};

static struct fake
probed(enum status first, enum status second, struct spool *spool)
{
	struct config cfg = {.repository = (char[]){"s3://bucket/x"}};
	struct fake fake = {
		.base = {.ops = &fake_ops, .deadline = deadline_in(-1, NULL)},
		.outcomes = {first, second}};

	condition_settle(&fake.base, &cfg, spool);
	return fake;
}

static void
condition_asked_once(void **state)
{
	char dir[] = "/tmp/test_push_notes.XXXXXX";
	struct config cfg = {.spool = dir, .repository = (char[]){"s3://b/x"}};
	struct config local = {.repository = (char[]){"file:///x"}};
	struct spool spool;
	struct fake fake;

	(void) state;
	assert_non_null(mkdtemp(dir));
	spool_open_top(&spool, &cfg, NULL);
	assert_true(spool.fd >= 0);

	/* The probe was there: one request, and the next call knows. */
	fake = probed(ST_EXISTS, ST_OK, &spool);
	assert_int_equal(fake.puts, 1);
	assert_false(fake.base.asks_first);
	fake = probed(ST_OK, ST_OK, &spool);
	assert_int_equal(fake.puts, 0);
	spool_remove(&spool, "condition");
	/* It is new. */
	fake = probed(ST_OK, ST_EXISTS, &spool);
	assert_int_equal(fake.puts, 2);
	assert_false(fake.base.asks_first);
	spool_remove(&spool, "condition");
	/* The store replaces what is there. */
	fake = probed(ST_OK, ST_OK, &spool);
	assert_true(fake.base.asks_first);
	fake = probed(ST_EXISTS, ST_OK, &spool);
	assert_int_equal(fake.puts, 0);
	assert_true(fake.base.asks_first);
	spool_remove(&spool, "condition");
	/* 501: the put itself has found out. */
	fake = (struct fake){
		.base = {.ops = &fake_ops, .deadline = deadline_in(-1, NULL)},
		.refuses_conditions = true};
	condition_settle(&fake.base, &cfg, &spool);
	assert_int_equal(fake.puts, 1);
	assert_true(fake.base.asks_first);
	fake = probed(ST_EXISTS, ST_OK, &spool);
	assert_true(fake.base.asks_first);
	spool_remove(&spool, "condition");
	/* A directory is asked nothing. */
	fake = (struct fake){.base = {.ops = &fake_ops}};
	condition_settle(&fake.base, &local, &spool);
	assert_int_equal(fake.puts, 0);
	spool_close(&spool);
	assert_int_equal(rmdir(dir), 0);
}

static void
condition_not_known(void **state)
{
	char dir[] = "/tmp/test_push_notes.XXXXXX";
	struct config cfg = {.spool = dir};
	struct spool none = {.fd = -1};
	struct spool spool;
	struct fake fake;

	(void) state;
	assert_non_null(mkdtemp(dir));
	spool_open_top(&spool, &cfg, NULL);
	assert_true(spool.fd >= 0);

	/*
	 * Neither an outage nor a refusal is an answer: with new credentials the
	 * store may turn out to replace what is there.
	 */
	fake = probed(ST_RETRY, ST_OK, &spool);
	assert_false(fake.base.asks_first);
	fake = probed(ST_AUTH, ST_OK, &spool);
	assert_int_equal(fake.puts, 1);
	assert_false(fake.base.asks_first);
	fake = probed(ST_CONFIG, ST_OK, &spool);
	assert_int_equal(fake.puts, 1);
	fake = probed(ST_OK, ST_OK, &spool);
	assert_true(fake.base.asks_first);
	spool_remove(&spool, "condition");
	/* Where nothing can be remembered it is asked each time. */
	fake = probed(ST_OK, ST_OK, &none);
	assert_true(fake.base.asks_first);
	fake = probed(ST_EXISTS, ST_OK, &none);
	assert_false(fake.base.asks_first);
	spool_close(&spool);
	assert_int_equal(rmdir(dir), 0);
}

static void
key_text(void **state)
{
	static const char *const bad[] = {
		"",
		"walship-key-memo-v1 1795222800000\n",
		"walship-key-memo-v1 1795222800000 0123456789abcde\n",
		"walship-key-memo-v1 1795222800000 0123456789abcdeg\n",
		"walship-key-memo-v1 1795222800000 0123456789abcdef0\n",
		"walship-key-memo-v1 1795222800000 0123456789abcdef",
		"walship-key-memo-v1 -1795222800000 0123456789abcdef\n",
	};
	const uint8_t id[KEY_ID_BYTES] = {1, 2, 3, 250, 5, 6, 7, 8};
	uint8_t found[KEY_ID_BYTES] = {0};
	char text[KEY_MEMO_TEXT_MAX];
	size_t len = (size_t) key_memo_format(text, NOW, id);

	(void) state;
	assert_true(key_memo_parse(text, len, NOW + KEY_MEMO_FORGOTTEN_MS, found));
	assert_memory_equal(found, id, sizeof(id));
	assert_false(
		key_memo_parse(text, len, NOW + KEY_MEMO_FORGOTTEN_MS + 1, found));
	assert_false(key_memo_parse(text, len, NOW - 1, found));
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_false(key_memo_parse(bad[i], strlen(bad[i]), NOW, found));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(condition_text),
		cmocka_unit_test(condition_asked_once),
		cmocka_unit_test(condition_not_known),
		cmocka_unit_test(key_text),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
