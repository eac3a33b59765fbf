/*
 * test_dirstore.c - the directory store against a real file system
 */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/dirstore.h"
#include "common/store.h"

static char root[64];
static struct store *store;
static struct err err;

static int
setup(void **state)
{
	(void) state;
	snprintf(root, sizeof(root), "/tmp/walship-test.XXXXXX");
	if (mkdtemp(root) == NULL)
		return -1;
	return dirstore_open(root, &store, &err) == ST_OK ? 0 : -1;
}

static int
teardown(void **state)
{
	char command[128];

	(void) state;
	store_free(store);
	snprintf(command, sizeof(command), "rm -rf '%s'", root);
	return system(command); /* NOLINT(cert-env33-c): tests may */
}

static void
put_ok(const char *key, const char *text)
{
	assert_int_equal(store_put(store, key, text, strlen(text), &err), ST_OK);
}

/* Makes a file that no put made. */
static void
plant(const char *name, const char *text)
{
	char path[256];
	int fd;

	snprintf(path, sizeof(path), "%s/%s", root, name);
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL, 0600);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), (ssize_t) strlen(text));
	assert_int_equal(close(fd), 0);
}

static bool
exists(const char *name)
{
	char path[256];

	snprintf(path, sizeof(path), "%s/%s", root, name);
	return access(path, F_OK) == 0;
}

static void
test_round_trip(void **state)
{
	uint8_t *data;
	size_t len;
	struct store_stat stat;

	(void) state;
	put_ok("1/wal/00000001/a", "hello");
	assert_int_equal(
		store_read(store, "1/wal/00000001/a", 5, &data, &len, &err), ST_OK);
	assert_int_equal(len, 5);
	assert_memory_equal(data, "hello", 5);
	free(data);
	assert_int_equal(store_head(store, "1/wal/00000001/a", &stat, &err),
					 ST_OK);
	assert_int_equal(stat.size_bytes, 5);
	assert_true(stat.modified > 1700000000);
	assert_false(stat.archived);
	assert_string_equal(stat.storage_class, "");

	/* One byte more than the caller takes. */
	assert_int_equal(
		store_read(store, "1/wal/00000001/a", 4, &data, &len, &err),
		ST_CORRUPT);

	put_ok("empty", "");
	assert_int_equal(store_read(store, "empty", 0, &data, &len, &err), ST_OK);
	assert_int_equal(len, 0);
	free(data);
}

static void
test_modes(void **state)
{
	struct stat st;
	char path[256];

	(void) state;
	put_ok("1/x/y", "z");
	snprintf(path, sizeof(path), "%s/1/x/y", root);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_int_equal(st.st_nlink, 1);
	snprintf(path, sizeof(path), "%s/1/x", root);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0700);
}

static void
test_put_never_overwrites(void **state)
{
	uint8_t *data;
	size_t len;

	(void) state;
	put_ok("1/k", "first");
	assert_int_equal(store_put(store, "1/k", "second", 6, &err), ST_EXISTS);
	assert_int_equal(store_read(store, "1/k", 100, &data, &len, &err), ST_OK);
	assert_int_equal(len, 5);
	free(data);

	/* A directory of that name is in the way, too. */
	assert_int_equal(store_put(store, "1", "x", 1, &err), ST_EXISTS);
}

static enum status
append(void *arg, const void *data, size_t len, struct err *e)
{
	char *text = arg;

	(void) e;
	strncat(text, data, len);
	return ST_OK;
}

static enum status
get_text(const char *key, uint64_t offset, uint64_t length, char *text)
{
	text[0] = '\0';
	return store_get(store, key, offset, length, append, text, &err);
}

static void
test_ranges(void **state)
{
	char text[64];

	(void) state;
	put_ok("k", "0123456789");
	assert_int_equal(get_text("k", 0, 0, text), ST_OK);
	assert_string_equal(text, "0123456789");
	assert_int_equal(get_text("k", 3, 4, text), ST_OK);
	assert_string_equal(text, "3456");
	assert_int_equal(get_text("k", 8, 2, text), ST_OK);
	assert_string_equal(text, "89");
	assert_int_equal(get_text("k", 7, 0, text), ST_OK);
	assert_string_equal(text, "789");
	assert_int_equal(get_text("k", 10, 0, text), ST_OK);
	assert_string_equal(text, "");
	assert_int_equal(get_text("k", 8, 3, text), ST_CORRUPT);
	assert_string_equal(text, "");
	assert_int_equal(get_text("k", 11, 0, text), ST_CORRUPT);
	assert_int_equal(get_text("k", UINT64_MAX, 2, text), ST_CORRUPT);
	assert_int_equal(get_text("k", 1, UINT64_MAX, text), ST_CORRUPT);
}

static enum status
refuse(void *arg, const void *data, size_t len, struct err *e)
{
	(void) data;
	(void) len;
	++*(int *) arg;
	return err_set(e, ST_RETRY, "the sink is full");
}

/* The caller's own ST_RETRY ends a get; it is not the store's to retry. */
static void
test_sink_refuses(void **state)
{
	int calls = 0;

	(void) state;
	put_ok("k", "0123456789");
	assert_int_equal(store_get(store, "k", 0, 0, refuse, &calls, &err),
					 ST_RETRY);
	assert_int_equal(calls, 1);
	assert_string_equal(err.message, "the sink is full");
}

static void
test_missing(void **state)
{
	char text[64];
	struct store_stat stat;

	(void) state;
	put_ok("1/file", "x");
	assert_int_equal(get_text("1/absent", 0, 0, text), ST_MISSING);
	assert_int_equal(get_text("2/absent", 0, 0, text), ST_MISSING);
	assert_int_equal(get_text("1/file/below", 0, 0, text), ST_MISSING);
	assert_int_equal(store_head(store, "1/absent", &stat, &err), ST_MISSING);

	/* What is there but no file is not "missing". */
	assert_int_equal(get_text("1", 0, 0, text), ST_CORRUPT);
}

static void
count_removed(void *arg, const char *key, const struct err *outcome)
{
	(void) key;
	if (outcome->status == ST_OK)
		++*(int *) arg;
}

static enum status
count_entry(void *arg, const struct store_entry *entry, struct err *e)
{
	(void) entry;
	(void) e;
	++*(int *) arg;
	return ST_OK;
}

/* An absent root is a file system that is not mounted: never "missing". */
static void
test_root_absent(void **state)
{
	const char *const keys[] = {"1/k"};
	struct store_features features;
	struct store_stat stat;
	char text[64];
	int count = 0;

	(void) state;
	assert_int_equal(rmdir(root), 0);
	assert_int_equal(get_text("1/k", 0, 0, text), ST_CONFIG);
	assert_int_equal(store_head(store, "1/k", &stat, &err), ST_CONFIG);
	assert_int_equal(store_put(store, "1/k", "x", 1, &err), ST_CONFIG);
	assert_int_equal(
		store_list(store, "1/", NULL, false, count_entry, &count, &err),
		ST_CONFIG);
	assert_int_equal(store_remove(store, keys, 1, count_removed, &count, &err),
					 ST_CONFIG);
	assert_int_equal(store_features(store, &features, &err), ST_CONFIG);
	assert_int_equal(count, 0);
	assert_false(exists(""));
	assert_int_equal(mkdir(root, 0700), 0);
}

/* Removed behind an open descriptor: what follows is not "missing" either. */
static void
test_root_removed(void **state)
{
	const struct dirstore *ds = (const struct dirstore *) store;
	int fd;

	(void) state;
	assert_int_equal(dirstore_open_root(ds, &fd, &err), ST_OK);
	assert_int_equal(dirstore_check_root(ds, fd, &err), ST_OK);
	assert_int_equal(rmdir(root), 0);
	assert_int_equal(dirstore_check_root(ds, fd, &err), ST_CONFIG);
	close(fd);
	assert_int_equal(mkdir(root, 0700), 0);
}

static void
test_root_relative(void **state)
{
	struct store *other;

	(void) state;
	assert_int_equal(dirstore_open("var/lib", &other, &err), ST_CONFIG);
}

struct listing
{
	char text[1024];
	char previous[STORE_KEY_MAX];
};

static enum status
collect(void *arg, const struct store_entry *entry, struct err *e)
{
	struct listing *l = arg;

	(void) e;
	assert_true(strcmp(entry->key, l->previous) > 0);
	assert_int_equal(entry->is_prefix,
					 entry->key[strlen(entry->key) - 1] == '/');
	if (!entry->is_prefix)
		assert_int_equal(entry->stat.size_bytes, strlen(entry->key));
	snprintf(l->previous, sizeof(l->previous), "%s", entry->key);
	snprintf(l->text + strlen(l->text), sizeof(l->text) - strlen(l->text),
			 "%s ", entry->key);
	return ST_OK;
}

static const char *
list(const char *prefix, const char *start_after, bool shallow)
{
	static struct listing l;

	memset(&l, 0, sizeof(l));
	assert_int_equal(
		store_list(store, prefix, start_after, shallow, collect, &l, &err),
		ST_OK);
	return l.text;
}

/* '-' and '.' sort before '/', digits and letters behind it. */
static void
test_list_order(void **state)
{
	static const char *const keys[] = {"a/b/2", "a/b/1",  "a/b-x", "a/b.x",
									   "a/b0",  "a-z",    "a.z",   "a0",
									   "B",     "a/c/d/e"};

	(void) state;
	for (size_t i = 0; i < sizeof(keys) / sizeof(*keys); i++)
		put_ok(keys[i], keys[i]);
	assert_string_equal(list("", NULL, false),
						"B a-z a.z a/b-x a/b.x a/b/1 a/b/2 a/b0 a/c/d/e a0 ");
	assert_string_equal(list("", NULL, true), "B a-z a.z a/ a0 ");
	assert_string_equal(list("a/", NULL, true), "a/b-x a/b.x a/b/ a/b0 a/c/ ");
	assert_string_equal(list("a/b", NULL, false),
						"a/b-x a/b.x a/b/1 a/b/2 a/b0 ");
	assert_string_equal(list("a/b", NULL, true), "a/b-x a/b.x a/b/ a/b0 ");
	assert_string_equal(list("a", NULL, true), "a-z a.z a/ a0 ");
	assert_string_equal(list("nothing/here/", NULL, false), "");
	assert_string_equal(list("a0/", NULL, false), "");
}

static void
test_list_start_after(void **state)
{
	static const char *const keys[] = {"a/b-x", "a/b/1",   "a/b/2",
									   "a/b0",  "a/c/d/e", "b"};

	(void) state;
	for (size_t i = 0; i < sizeof(keys) / sizeof(*keys); i++)
		put_ok(keys[i], keys[i]);
	assert_string_equal(list("", "a/b/1", false), "a/b/2 a/b0 a/c/d/e b ");
	assert_string_equal(list("", "a/b", false),
						"a/b-x a/b/1 a/b/2 a/b0 a/c/d/e b ");
	assert_string_equal(list("", "a/b/", false),
						"a/b/1 a/b/2 a/b0 a/c/d/e b ");
	assert_string_equal(list("", "a/b/2", false), "a/b0 a/c/d/e b ");
	assert_string_equal(list("", "a/c/d/e", false), "b ");
	assert_string_equal(list("", "b", false), "");
	assert_string_equal(list("a/b/", "a/b/1", false), "a/b/2 ");
	assert_string_equal(list("a/b/", "A", false), "a/b/1 a/b/2 ");
	assert_string_equal(list("a/b/", "b", false), "");

	/* A prefix is behind start_after as a text, or it is not listed. */
	assert_string_equal(list("a/", "a/b", true), "a/b-x a/b/ a/b0 a/c/ ");
	assert_string_equal(list("a/", "a/b/", true), "a/b0 a/c/ ");
	assert_string_equal(list("a/", "a/b/1", true), "a/b0 a/c/ ");
}

static void
test_list_skips(void **state)
{
	char path[256];

	(void) state;
	put_ok("a/k", "a/k");
	plant("a/.tmp-0123456789abcdef", "half");
	plant("a/with space", "x");
	snprintf(path, sizeof(path), "%s/a/pipe", root);
	assert_int_equal(mkfifo(path, 0600), 0);
	snprintf(path, sizeof(path), "%s/hollow", root);
	assert_int_equal(mkdir(path, 0700), 0);
	plant("hollow/.tmp-1", "half");
	snprintf(path, sizeof(path), "%s/dangling", root);
	assert_int_equal(symlink("nowhere", path), 0);
	snprintf(path, sizeof(path), "%s/z", root);
	assert_int_equal(symlink("a", path), 0);
	plant("a/z", "a/z");

	assert_string_equal(list("a/", NULL, false), "a/k a/z ");
	assert_string_equal(list("", NULL, true), "a/ z/ ");
}

struct order
{
	char previous[STORE_KEY_MAX];
	unsigned count;
};

static enum status
check_order(void *arg, const struct store_entry *entry, struct err *e)
{
	struct order *o = arg;

	(void) e;
	assert_true(strcmp(entry->key, o->previous) > 0);
	snprintf(o->previous, sizeof(o->previous), "%s", entry->key);
	o->count++;
	return ST_OK;
}

/* More than fits one pass over the directory. */
static void
test_list_large(void **state)
{
	const unsigned total = 40000;
	struct order o = {.count = 0};
	char path[512];
	char key[300];
	int dir;

	(void) state;
	snprintf(path, sizeof(path), "%s/d", root);
	assert_int_equal(mkdir(path, 0700), 0);
	dir = open(path, O_RDONLY | O_DIRECTORY);
	assert_true(dir >= 0);
	for (unsigned i = 0; i < total; i++)
	{
		int fd;

		/* Long names fill a batch sooner; the order of making is mixed. */
		snprintf(key, sizeof(key), "%08x%0200x", i * 2654435761U, i);
		fd = openat(dir, key, O_WRONLY | O_CREAT | O_EXCL, 0600);
		assert_true(fd >= 0);
		close(fd);
	}
	close(dir);
	assert_int_equal(
		store_list(store, "d/", NULL, false, check_order, &o, &err), ST_OK);
	assert_int_equal(o.count, total);

	memset(&o, 0, sizeof(o));
	assert_int_equal(
		store_list(store, "", "d/8", false, check_order, &o, &err), ST_OK);
	assert_true(o.count > total / 2 - 10 && o.count < total / 2 + 10);
}

static void
test_remove(void **state)
{
	const char *const keys[] = {"1/a/x", "1/a/y", "1/a/absent", "2/z"};
	int count = 0;

	(void) state;
	put_ok("1/a/x", "x");
	put_ok("1/a/y", "y");
	put_ok("2/z", "z");
	put_ok("2/kept", "k");
	assert_int_equal(store_remove(store, keys, 4, count_removed, &count, &err),
					 ST_OK);
	assert_int_equal(count, 4);
	assert_false(exists("1"));
	assert_true(exists("2/kept"));
	assert_false(exists("2/z"));
	put_ok("1/a/x", "again");
}

static void
tell_removed(void *arg, const char *key, const struct err *outcome)
{
	char *text = arg;

	sprintf(text + strlen(text), "%s=%s ", key, status_name(outcome->status));
}

static void
test_remove_reports_each(void **state)
{
	const char *const keys[] = {"1/a", "1/d", "1/b"};
	char told[128] = "";

	(void) state;
	put_ok("1/a", "x");
	put_ok("1/b", "x");
	put_ok("1/d/below", "x");
	assert_int_equal(store_remove(store, keys, 3, tell_removed, told, &err),
					 ST_IO);
	assert_non_null(strstr(told, "1/a=ok "));
	assert_non_null(strstr(told, "1/b=ok "));
	assert_non_null(strstr(told, "1/d=io "));
	assert_false(exists("1/a"));
	assert_false(exists("1/b"));
	assert_true(exists("1/d/below"));
}

static void
test_features(void **state)
{
	struct store_features f;

	(void) state;
	assert_int_equal(store_features(store, &f, &err), ST_OK);
	assert_true(f.conditional_put);
	assert_false(f.versioned);
	assert_false(f.object_lock);
	assert_true(f.lifecycle_known);
	assert_false(f.lifecycle_touches);
	assert_int_equal(f.clock_offset_ms, 0);
	assert_string_equal(list("", NULL, false), "");
	assert_int_equal(rmdir(root), 0); /* nothing is left over */
	assert_int_equal(mkdir(root, 0700), 0);
}

/* Old leftovers of killed writers go; young ones and objects stay. */
static void
test_sweep(void **state)
{
	char path[256];
	char key[32];
	struct timespec old[2] = {{.tv_nsec = UTIME_OMIT}};

	(void) state;
	put_ok("d/keep", "x");
	plant("d/.tmp-old", "half");
	plant("d/.tmp-young", "half");
	old[1].tv_sec = time(NULL) - 2L * 86400;
	snprintf(path, sizeof(path), "%s/d/.tmp-old", root);
	assert_int_equal(utimensat(AT_FDCWD, path, old, 0), 0);
	snprintf(path, sizeof(path), "%s/d/keep", root);
	assert_int_equal(utimensat(AT_FDCWD, path, old, 0), 0);
	for (unsigned i = 0; i < 4000 && exists("d/.tmp-old"); i++)
	{
		snprintf(key, sizeof(key), "d/%u", i);
		put_ok(key, "x");
	}
	assert_false(exists("d/.tmp-old"));
	assert_true(exists("d/.tmp-young"));
	assert_true(exists("d/keep"));
}

#define RACE_ROUNDS  2000
#define RACE_WRITERS 3

/* One racing process: exits with how many rounds it won, in a file. */
static void
race(int ready_fd, const char *mine, int out_fd)
{
	uint8_t won[RACE_ROUNDS];
	struct store *own;
	char go;

	if (dirstore_open(root, &own, &err) != ST_OK ||
		read(ready_fd, &go, 1) != 0)
		_exit(1);
	for (unsigned i = 0; i < RACE_ROUNDS; i++)
	{
		char key[64];
		enum status rc;

		snprintf(key, sizeof(key), "race/%u/%u", i % 7, i);
		rc = store_put(own, key, mine, strlen(mine), &err);
		if (rc != ST_OK && rc != ST_EXISTS)
			_exit(1);
		won[i] = rc == ST_OK;
	}
	_exit(write(out_fd, won, sizeof(won)) == sizeof(won) ? 0 : 1);
}

static void
test_race(void **state)
{
	static const char *const texts[RACE_WRITERS] = {"one", "two!", "three"};
	uint8_t won[RACE_WRITERS][RACE_ROUNDS];
	int out[RACE_WRITERS][2];
	pid_t pids[RACE_WRITERS];
	int start[2];

	(void) state;
	assert_int_equal(pipe(start), 0);
	for (int w = 0; w < RACE_WRITERS; w++)
	{
		assert_int_equal(pipe(out[w]), 0);
		pids[w] = fork();
		assert_true(pids[w] >= 0);
		if (pids[w] == 0)
		{
			close(start[1]);
			race(start[0], texts[w], out[w][1]);
		}
	}
	close(start[1]); /* go */
	for (int w = 0; w < RACE_WRITERS; w++)
	{
		int status;

		assert_int_equal(waitpid(pids[w], &status, 0), pids[w]);
		assert_int_equal(status, 0);
		assert_int_equal(read(out[w][0], won[w], RACE_ROUNDS), RACE_ROUNDS);
		close(out[w][0]);
		close(out[w][1]);
	}
	close(start[0]);
	for (unsigned i = 0; i < RACE_ROUNDS; i++)
	{
		char key[64];
		char text[64];
		int winners = 0;

		snprintf(key, sizeof(key), "race/%u/%u", i % 7, i);
		assert_int_equal(get_text(key, 0, 0, text), ST_OK);
		for (int w = 0; w < RACE_WRITERS; w++)
		{
			winners += won[w][i];
			if (won[w][i])
				assert_string_equal(text, texts[w]);
		}
		assert_int_equal(winners, 1);
	}
}

#define T(name) cmocka_unit_test_setup_teardown(test_##name, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(round_trip),
		T(modes),
		T(put_never_overwrites),
		T(ranges),
		T(sink_refuses),
		T(missing),
		T(root_absent),
		T(root_removed),
		T(root_relative),
		T(list_order),
		T(list_start_after),
		T(list_skips),
		T(list_large),
		T(remove),
		T(remove_reports_each),
		T(features),
		T(sweep),
		T(race),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
