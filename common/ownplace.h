/*
 * ownplace.h - whether files and directories are ours alone
 */
#ifndef COMMON_OWNPLACE_H
#define COMMON_OWNPLACE_H

#include <stdbool.h>
#include <sys/stat.h>

/* Owned by this user, and closed to group and world. */
extern bool own_place(const struct stat *st);

/* Called for a directory, open as dir. */
typedef bool (*own_place_test)(int dir, const struct stat *st,
							   const void *arg);

/* True if the test is, for the directory fd or one above it. */
extern bool own_place_above(int fd, own_place_test test, const void *arg);

#endif
