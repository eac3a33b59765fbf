#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "basebackup/incremental.h"

#define PAGE      64U
#define PAGES_MAX 100U

/* A file in the making; the byte order is the host's. */
struct file
{
	uint8_t bytes[8192];
	size_t len;
};

static void
add_word(struct file *f, uint32_t word)
{
	memcpy(f->bytes + f->len, &word, sizeof(word));
	f->len += sizeof(word);
}

static void
add_fill(struct file *f, int byte, size_t len)
{
	memset(f->bytes + f->len, byte, len);
	f->len += len;
}

static void
add_head(struct file *f, uint32_t truncation, uint32_t count,
		 const uint32_t *blocks)
{
	add_word(f, INCREMENTAL_MAGIC);
	add_word(f, count);
	add_word(f, truncation);
	for (uint32_t i = 0; i < count; i++)
		add_word(f, blocks[i]);
	if (count > 0)
		add_fill(f, 0, (PAGE - f->len % PAGE) % PAGE);
}

/* Each page is filled with its block number. */
static void
add_pages(struct file *f, uint32_t count, const uint32_t *blocks)
{
	for (uint32_t i = 0; i < count; i++)
		add_fill(f, (int) blocks[i], PAGE);
}

/* What was told, as text: "begin 9", "keep 0 3", "zeros 4 1", "data 5 64". */
struct told
{
	char text[2048];
	size_t len;
	int byte;    /* of the data in hand, */
	size_t data; /* and how much of it there is; 0: none */
	bool fail;
};

static void
tell(struct told *t, const char *what, unsigned a, unsigned b)
{
	t->len += (size_t) snprintf(t->text + t->len, sizeof(t->text) - t->len,
								"%s %u %u;", what, a, b);
}

static void
flush_data(struct told *t)
{
	if (t->data > 0)
		tell(t, "data", (unsigned) t->byte, (unsigned) t->data);
	t->data = 0;
}

static enum status
told_begin(void *arg, uint32_t pages, struct err *err)
{
	struct told *t = arg;

	if (t->fail)
		return err_set(err, ST_IO, "as told");
	tell(t, "begin", pages, 0);
	return ST_OK;
}

static enum status
told_keep(void *arg, uint32_t first, uint32_t count, struct err *err)
{
	(void) err;
	flush_data(arg);
	tell(arg, "keep", first, count);
	return ST_OK;
}

static enum status
told_zeros(void *arg, uint32_t first, uint32_t count, struct err *err)
{
	(void) err;
	flush_data(arg);
	tell(arg, "zeros", first, count);
	return ST_OK;
}

static enum status
told_data(void *arg, const void *data, size_t len, struct err *err)
{
	struct told *t = arg;
	const uint8_t *p = data;

	(void) err;
	for (size_t i = 0; i < len; i++)
	{
		if (t->data > 0 && p[i] != t->byte)
			flush_data(t);
		t->byte = p[i];
		t->data++;
	}
	return ST_OK;
}

static const struct incremental_handler handler = {told_begin, told_keep,
												   told_zeros, told_data};

static struct incremental *
make(void)
{
	struct incremental *inc = NULL;
	struct err err;

	assert_int_equal(incremental_new(PAGE, PAGES_MAX, &inc, &err), ST_OK);
	return inc;
}

/* Parses in pieces of a size. */
static enum status
parse(struct incremental *inc, const struct file *f, size_t piece,
	  struct told *told, struct err *err)
{
	enum status status = incremental_begin(inc, f->len, &handler, told, err);

	for (size_t at = 0; at < f->len && status == ST_OK; at += piece)
	{
		size_t n = f->len - at < piece ? f->len - at : piece;

		status = incremental_feed(inc, f->bytes + at, n, err);
	}
	if (status == ST_OK)
		status = incremental_finish(inc, err);
	flush_data(told);
	return status;
}

/* Whatever the pieces, and whatever was parsed before. */
static void
expect(const struct file *f, const char *text)
{
	static const size_t pieces[] = {1, 3, 4, 7, 63, 64, 65, 8192};
	struct incremental *inc = make();

	for (size_t i = 0; i < sizeof(pieces) / sizeof(pieces[0]); i++)
	{
		struct told told = {.len = 0};
		struct err err;

		assert_int_equal(parse(inc, f, pieces[i], &told, &err), ST_OK);
		assert_string_equal(told.text, text);
	}
	incremental_free(inc);
}

static void
refuse(const struct file *f, const char *why)
{
	static const size_t pieces[] = {1, 8192};
	struct incremental *inc = make();

	for (size_t i = 0; i < sizeof(pieces) / sizeof(pieces[0]); i++)
	{
		struct told told = {.len = 0};
		struct err err;

		assert_int_equal(parse(inc, f, pieces[i], &told, &err), ST_CORRUPT);
		if (strstr(err.message, why) == NULL)
			fail_msg("\"%s\" says not \"%s\"", err.message, why);
	}
	incremental_free(inc);
}

static void
test_nothing_changed(void **state)
{
	struct file f = {.len = 0};

	(void) state;
	/* No pages, so no zeros behind the head: 12 bytes. */
	add_head(&f, 9, 0, NULL);
	assert_int_equal(f.len, 12);
	expect(&f, "begin 9 0;keep 0 9;");
}

static void
test_empty(void **state)
{
	struct file f = {.len = 0};

	(void) state;
	add_head(&f, 0, 0, NULL);
	expect(&f, "begin 0 0;");
}

static void
test_changed_and_kept(void **state)
{
	static const uint32_t blocks[] = {1, 2, 5};
	struct file f = {.len = 0};

	(void) state;
	add_head(&f, 8, 3, blocks);
	assert_int_equal(f.len, PAGE);
	add_pages(&f, 3, blocks);
	expect(&f, "begin 8 0;keep 0 1;data 1 64;data 2 64;keep 3 2;data 5 64;"
			   "keep 6 2;");
}

/* Below the truncation pages are kept, from there on they are zeros. */
static void
test_beyond_truncation(void **state)
{
	static const uint32_t blocks[] = {0, 6, 9};
	struct file f = {.len = 0};

	(void) state;
	add_head(&f, 4, 3, blocks);
	add_pages(&f, 3, blocks);
	expect(&f, "begin 10 0;data 0 64;keep 1 3;zeros 4 2;data 6 64;"
			   "zeros 7 2;data 9 64;");
}

static void
test_all_from_zero(void **state)
{
	static const uint32_t blocks[] = {2};
	struct file f = {.len = 0};

	(void) state;
	add_head(&f, 0, 1, blocks);
	add_pages(&f, 1, blocks);
	expect(&f, "begin 3 0;zeros 0 2;data 2 64;");
}

/* 13 block numbers fill a page of 64 bytes, 14 need another. */
static void
test_head_fills_page(void **state)
{
	uint32_t blocks[14];

	(void) state;
	for (uint32_t i = 0; i < 14; i++)
		blocks[i] = i;
	for (uint32_t count = 13; count <= 14; count++)
	{
		struct file f = {.len = 0};
		char text[1024];
		size_t len = 0;

		add_head(&f, 0, count, blocks);
		assert_int_equal(f.len, (count - 12) * PAGE);
		add_pages(&f, count, blocks);
		len += (size_t) snprintf(text + len, sizeof(text) - len, "begin %u 0;",
								 count);
		for (uint32_t i = 0; i < count; i++)
			len += (size_t) snprintf(text + len, sizeof(text) - len,
									 "data %u 64;", i);
		expect(&f, text);
	}
}

static void
test_last_page_allowed(void **state)
{
	static const uint32_t blocks[] = {PAGES_MAX - 1};
	struct file f = {.len = 0};

	(void) state;
	add_head(&f, PAGES_MAX, 1, blocks);
	add_pages(&f, 1, blocks);
	expect(&f, "begin 100 0;keep 0 99;data 99 64;");
}

static void
test_malformed_heads(void **state)
{
	static const uint32_t far[] = {PAGES_MAX};
	static const uint32_t twice[] = {3, 3};
	static const uint32_t back[] = {3, 2};
	struct file magic = {.len = 0};
	struct file count = {.len = 0};
	struct file truncation = {.len = 0};
	struct file beyond = {.len = 0};
	struct file same = {.len = 0};
	struct file down = {.len = 0};
	struct file padding = {.len = 0};

	(void) state;
	/* The magic of a host of the other byte order. */
	add_word(&magic, __builtin_bswap32(INCREMENTAL_MAGIC));
	add_fill(&magic, 0, 8);
	refuse(&magic, "does not begin");

	add_word(&count, INCREMENTAL_MAGIC);
	add_word(&count, PAGES_MAX + 1);
	add_word(&count, 0);
	add_fill(&count, 0, 1000);
	refuse(&count, "more blocks");

	add_head(&truncation, PAGES_MAX + 1, 0, NULL);
	refuse(&truncation, "truncated to more");

	add_head(&beyond, 0, 1, far);
	add_pages(&beyond, 1, far);
	refuse(&beyond, "beyond");

	add_head(&same, 9, 2, twice);
	add_pages(&same, 2, twice);
	refuse(&same, "do not ascend");

	add_head(&down, 9, 2, back);
	add_pages(&down, 2, back);
	refuse(&down, "do not ascend");

	add_head(&padding, 9, 1, back);
	add_pages(&padding, 1, back);
	padding.bytes[PAGE - 1] = 1;
	refuse(&padding, "no zeros");
}

static void
test_sizes_that_disagree(void **state)
{
	static const uint32_t blocks[] = {1, 4};
	struct file whole = {.len = 0};
	struct file padded = {.len = 0};

	(void) state;
	add_head(&whole, 6, 2, blocks);
	add_pages(&whole, 2, blocks);
	for (size_t len = 0; len < whole.len; len++)
	{
		struct file f = whole;

		f.len = len;
		refuse(&f, len < 12 ? "too short" : "disagree");
	}
	whole.len++;
	refuse(&whole, "disagree");

	/* Without pages there may be no zeros behind the head. */
	add_head(&padded, 9, 0, NULL);
	add_fill(&padded, 0, PAGE - padded.len);
	refuse(&padded, "disagree");
}

/* What is fed must be what was announced. */
static void
test_size_not_kept(void **state)
{
	static const uint32_t blocks[] = {1};
	struct file f = {.len = 0};
	struct told told = {.len = 0};
	struct incremental *inc = make();
	struct err err;

	(void) state;
	add_head(&f, 6, 1, blocks);
	add_pages(&f, 1, blocks);
	for (size_t len = 0; len < f.len; len++)
	{
		assert_int_equal(incremental_begin(inc, f.len, &handler, &told, &err),
						 ST_OK);
		assert_int_equal(incremental_feed(inc, f.bytes, len, &err), ST_OK);
		assert_int_equal(incremental_finish(inc, &err), ST_CORRUPT);
		told.len = 0;
	}
	assert_int_equal(incremental_begin(inc, f.len, &handler, &told, &err),
					 ST_OK);
	assert_int_equal(incremental_feed(inc, f.bytes, f.len, &err), ST_OK);
	assert_int_equal(incremental_feed(inc, f.bytes, 1, &err), ST_CORRUPT);
	incremental_free(inc);
}

static void
test_handler_fails(void **state)
{
	struct file f = {.len = 0};
	struct told told = {.fail = true};
	struct incremental *inc = make();
	struct err err;

	(void) state;
	add_head(&f, 9, 0, NULL);
	assert_int_equal(parse(inc, &f, 5, &told, &err), ST_IO);
	incremental_free(inc);
}

static void
test_paths(void **state)
{
	char out[64];

	(void) state;
	assert_true(incremental_path("base/5/INCREMENTAL.16384.1", out));
	assert_string_equal(out, "base/5/16384.1");
	assert_true(incremental_path("INCREMENTAL.x", out));
	assert_string_equal(out, "x");
	assert_false(incremental_path("base/5/16384", out));
	assert_false(incremental_path("base/5/INCREMENTAL.", out));
	assert_false(incremental_path("INCREMENTAL.5/16384", out));
	assert_false(incremental_path("base/INCREMENTAL", out));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_nothing_changed),
		cmocka_unit_test(test_empty),
		cmocka_unit_test(test_changed_and_kept),
		cmocka_unit_test(test_beyond_truncation),
		cmocka_unit_test(test_all_from_zero),
		cmocka_unit_test(test_head_fills_page),
		cmocka_unit_test(test_last_page_allowed),
		cmocka_unit_test(test_malformed_heads),
		cmocka_unit_test(test_sizes_that_disagree),
		cmocka_unit_test(test_size_not_kept),
		cmocka_unit_test(test_handler_fails),
		cmocka_unit_test(test_paths),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
