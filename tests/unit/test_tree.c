#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <sys/stat.h>
#include <unistd.h>

#include "basebackup/tree.h"

static char root[64];
static struct tree *tree;
static struct tree_cursor *cursor;
static struct err err;

static const char *
below(const char *path)
{
	static char full[256];

	snprintf(full, sizeof(full), "%s/%s", root, path);
	return full;
}

static int
set_up(void **state)
{
	(void) state;
	snprintf(root, sizeof(root), "/tmp/walship-tree-XXXXXX");
	if (mkdtemp(root) == NULL || tree_new(2, &tree, &err) != ST_OK ||
		tree_open_area(tree, 0, below("a"), 0700, false, &err) != ST_OK ||
		tree_open_area(tree, 1, below("x/y/b"), 0750, false, &err) != ST_OK)
		return -1;
	return tree_cursor_new(tree, &cursor, &err) == ST_OK ? 0 : -1;
}

static int
remove_one(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
	(void) st;
	(void) flag;
	(void) ftw;
	return remove(path);
}

static int
tear_down(void **state)
{
	(void) state;
	tree_cursor_free(cursor);
	tree_free(tree);
	return nftw(root, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static mode_t
mode_of(const char *path)
{
	struct stat st;

	assert_int_equal(lstat(below(path), &st), 0);
	return st.st_mode;
}

static void
test_areas(void **state)
{
	(void) state;
	assert_int_equal(mode_of("a") & 0777, 0700);
	assert_int_equal(mode_of("x/y/b") & 0777, 0750);
	assert_string_equal(tree_path(tree, 1), below("x/y/b"));
	assert_true(tree_fd(tree, 0) >= 0);
	assert_int_equal(tree_sync(tree, &err), ST_OK);
}

static void
test_check_empty(void **state)
{
	(void) state;
	assert_int_equal(tree_check_empty(below("a"), &err), ST_OK);
	assert_int_equal(tree_check_empty(below("none/at/all"), &err), ST_OK);
	assert_int_equal(access(below("none"), F_OK), -1);
	assert_int_equal(tree_create(cursor, 0, "f", 0, &err), ST_OK);
	assert_int_equal(tree_check_empty(below("a"), &err), ST_CONFIG);
	assert_non_null(strstr(err.message, "is not empty"));
	assert_int_equal(tree_check_empty(below("a/f"), &err), ST_IO);
	assert_int_equal(tree_check_empty(below("a/f/g"), &err), ST_IO);
}

static void
test_area_not_empty(void **state)
{
	struct tree *other;

	(void) state;
	assert_int_equal(tree_create(cursor, 0, "f", 0, &err), ST_OK);
	assert_int_equal(tree_new(1, &other, &err), ST_OK);
	assert_int_equal(tree_open_area(other, 0, below("a"), 0700, false, &err),
					 ST_CONFIG);
	tree_free(other);
}

static void
test_files(void **state)
{
	struct stat st;
	int fd;

	(void) state;
	assert_int_equal(tree_mkdir(cursor, 1, "base", 0700, &err), ST_OK);
	assert_int_equal(tree_mkdir(cursor, 1, "base/1", 0700, &err), ST_OK);
	assert_int_equal(tree_create(cursor, 1, "base/1/f", 1 << 20, &err), ST_OK);
	assert_int_equal(tree_create(cursor, 1, "base/g", 0, &err), ST_OK);
	assert_int_equal(tree_create(cursor, 1, "deep/er/h", 0, &err), ST_OK);
	assert_int_equal(mode_of("x/y/b/deep/er") & 0777, 0750);
	assert_int_equal(tree_open(cursor, 1, "base/1/f", &fd, &err), ST_OK);
	assert_int_equal(pwrite(fd, "xy", 2, 5), 2);
	assert_int_equal(close(fd), 0);
	assert_int_equal(tree_finish(cursor, 1, "base/1/f", 0640, 12345, &err),
					 ST_OK);
	assert_int_equal(lstat(below("x/y/b/base/1/f"), &st), 0);
	assert_int_equal(st.st_size, 1 << 20);
	assert_int_equal(st.st_mtime, 12345);
	assert_int_equal(st.st_mode & 07777, 0640);

	/* A directory may be told after what is in it. */
	assert_int_equal(tree_mkdir(cursor, 1, "deep", 0500, &err), ST_OK);
	assert_int_equal(mode_of("x/y/b/deep") & 0777, 0700);
	assert_int_equal(tree_mkdir(cursor, 1, ".", 0700, &err), ST_OK);
	assert_int_equal(mode_of("x/y/b") & 0777, 0700);
}

static void
test_never_over(void **state)
{
	int fd;

	(void) state;
	assert_int_equal(tree_create(cursor, 0, "f", 0, &err), ST_OK);
	assert_int_equal(tree_create(cursor, 0, "f", 0, &err), ST_IO);
	assert_int_equal(tree_mkdir(cursor, 0, "f", 0700, &err), ST_IO);
	assert_int_equal(tree_create(cursor, 0, "f/g", 0, &err), ST_IO);
	assert_int_equal(tree_mkdir(cursor, 0, "d", 0700, &err), ST_OK);
	assert_int_equal(tree_create(cursor, 0, "d", 0, &err), ST_IO);
	assert_int_equal(tree_open(cursor, 0, "d", &fd, &err), ST_IO);
	assert_int_equal(tree_open(cursor, 0, "none", &fd, &err), ST_IO);
}

/* No step of a path follows a symbolic link. */
static void
test_links(void **state)
{
	int fd;

	(void) state;
	assert_int_equal(tree_symlink(cursor, 0, "link", below("x"), &err), ST_OK);
	assert_int_equal(tree_symlink(cursor, 0, "link", below("x"), &err), ST_OK);
	assert_int_equal(tree_symlink(cursor, 0, "link", below("y"), &err), ST_IO);
	assert_true(S_ISLNK(mode_of("a/link")));
	assert_int_equal(tree_create(cursor, 0, "link/f", 0, &err), ST_IO);
	assert_int_equal(tree_mkdir(cursor, 0, "link/d", 0700, &err), ST_IO);
	assert_int_equal(tree_mkdir(cursor, 0, "link", 0700, &err), ST_IO);
	assert_int_equal(tree_append(cursor, 0, "link/f", "x", &err), ST_IO);
	assert_int_equal(tree_symlink(cursor, 0, "file", below("x/f"), &err),
					 ST_OK);
	assert_int_equal(tree_create(cursor, 0, "file", 0, &err), ST_IO);
	assert_int_equal(tree_append(cursor, 0, "file", "x", &err), ST_IO);
	assert_int_equal(tree_open(cursor, 0, "file", &fd, &err), ST_IO);
	assert_int_equal(access(below("x/f"), F_OK), -1);
	assert_int_equal(access(below("x/d"), F_OK), -1);
}

/*
 * A link that was put where a file of the tree was: what it leads to is
 * neither opened nor changed, and only tree_look removes it.
 */
static void
test_planted_links(void **state)
{
	struct stat st;
	uint64_t size;
	int fd;

	(void) state;
	assert_int_equal(tree_create(cursor, 1, "theirs", 3, &err), ST_OK);
	assert_int_equal(
		tree_symlink(cursor, 0, "file", below("x/y/b/theirs"), &err), ST_OK);
	assert_int_equal(tree_open(cursor, 0, "file", &fd, &err), ST_IO);
	assert_int_equal(tree_append(cursor, 0, "file", "x", &err), ST_IO);
	assert_int_equal(tree_rename(cursor, 0, "file", "other", &err), ST_IO);
	assert_true(S_ISLNK(mode_of("a/file")));
	assert_int_equal(tree_look(cursor, 0, "file", &fd, &size, &err),
					 ST_MISSING);
	assert_int_equal(access(below("a/file"), F_OK), -1);
	assert_int_equal(lstat(below("x/y/b/theirs"), &st), 0);
	assert_int_equal(st.st_size, 3);

	/* A directory on the way, and one to be made. */
	assert_int_equal(tree_mkdir(cursor, 1, "d", 0700, &err), ST_OK);
	assert_int_equal(tree_create(cursor, 1, "d/f", 0, &err), ST_OK);
	assert_int_equal(tree_symlink(cursor, 0, "d", below("x/y/b/d"), &err),
					 ST_OK);
	assert_int_equal(tree_open(cursor, 0, "d/f", &fd, &err), ST_IO);
	assert_int_equal(tree_look(cursor, 0, "d/f", &fd, &size, &err), ST_IO);
	assert_int_equal(tree_finish(cursor, 0, "d/f", 0777, 1, &err), ST_IO);
	assert_int_equal(tree_mkdir(cursor, 0, "d", 0750, &err), ST_IO);
	assert_int_equal(mode_of("x/y/b/d") & 0777, 0700);
	assert_int_equal(mode_of("x/y/b/d/f") & 0777, 0600);
}

/* What tree_look takes for a file of the tree. */
static void
test_look(void **state)
{
	char other[256];
	uint64_t size = 0;
	int fd;

	(void) state;
	assert_int_equal(tree_create(cursor, 0, "f", 7, &err), ST_OK);
	assert_int_equal(tree_look(cursor, 0, "f", &fd, &size, &err), ST_OK);
	assert_int_equal(size, 7);
	assert_int_equal(close(fd), 0);
	(void) snprintf(other, sizeof(other), "%s", below("a/g"));
	assert_int_equal(link(below("a/f"), other), 0);
	assert_int_equal(tree_look(cursor, 0, "f", &fd, &size, &err), ST_MISSING);
	assert_int_equal(access(below("a/f"), F_OK), -1);
	assert_int_equal(access(below("a/g"), F_OK), 0);
	assert_int_equal(mkfifo(below("a/f"), 0600), 0);
	assert_int_equal(tree_look(cursor, 0, "f", &fd, &size, &err), ST_MISSING);
	assert_int_equal(access(below("a/f"), F_OK), -1);
	assert_int_equal(tree_look(cursor, 0, "f", &fd, &size, &err), ST_MISSING);
}

static void
test_append_and_rename(void **state)
{
	char text[16] = "";
	int fd;

	(void) state;
	assert_int_equal(tree_append(cursor, 0, "g/f", "one ", &err), ST_OK);
	assert_int_equal(tree_append(cursor, 0, "g/f", "two", &err), ST_OK);
	assert_int_equal(tree_rename(cursor, 0, "g/f", "g/h", &err), ST_OK);
	assert_int_equal(access(below("a/g/f"), F_OK), -1);
	fd = open(below("a/g/h"), O_RDONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(read(fd, text, sizeof(text) - 1), 7);
	assert_int_equal(close(fd), 0);
	assert_string_equal(text, "one two");
	assert_int_equal(tree_rename(cursor, 0, "g/f", "g/h", &err), ST_IO);
	assert_int_equal(tree_finish(cursor, 0, "g/f", 0600, 1, &err), ST_IO);
}

#define WITH_TREE(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		WITH_TREE(test_areas),
		WITH_TREE(test_check_empty),
		WITH_TREE(test_area_not_empty),
		WITH_TREE(test_files),
		WITH_TREE(test_never_over),
		WITH_TREE(test_links),
		WITH_TREE(test_planted_links),
		WITH_TREE(test_look),
		WITH_TREE(test_append_and_rename),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
