/*
 * keycommand.h - runs the command that prints the keys
 */
#ifndef COMMON_KEYCOMMAND_H
#define COMMON_KEYCOMMAND_H

#include <stddef.h>

#include "common/deadline.h"
#include "common/err.h"

/* Runs command by /bin/sh; the rest is as subprocess_read has it. */
extern enum status
key_command_run(const char *command, size_t max, const struct deadline *d,
				char **out, size_t *out_len, struct err *err) ERR_CHECK;

#endif
