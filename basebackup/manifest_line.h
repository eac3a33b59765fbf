/*
 * manifest_line.h - what the files of the manifest's reader share
 */
#ifndef BASEBACKUP_MANIFEST_LINE_H
#define BASEBACKUP_MANIFEST_LINE_H

#include "basebackup/manifest_read.h"

/* A file's mode, octal text: "0600". */
extern enum status
manifest_get_mode(const struct jsonl_line *line, const char *name, mode_t *out,
				  struct err *err) ERR_CHECK;

/* *out is untouched on failure. */
extern enum status
manifest_summary_read(const struct jsonl_line *line,
					  struct backup_summary *out, struct err *err) ERR_CHECK;

#endif
