/*
 * key_memo.h - which key key_command printed a moment ago
 *
 * The spool's path has the id of the first key in it.  A key file is read for
 * that; a command, which may ask a key server, is not run only to find out
 * that there is nothing to do.  So each run leaves the id in the spool, and
 * for a minute it is believed: what was stored then was sealed with a key
 * that was the right one at that time.
 */
#ifndef WALSHIP_KEY_MEMO_H
#define WALSHIP_KEY_MEMO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/config.h"
#include "common/key.h"

/* False if there is no such note, or too old a one. */
extern bool key_memo_recall(const struct config *cfg, const char *datadir,
							uint8_t id[KEY_ID_BYTES]);
extern void key_memo_note(const struct config *cfg, const char *datadir,
						  const struct keyring *ring);

/* The note's text, pure; times in milliseconds since 1970. */
#define KEY_MEMO_TEXT_MAX     80
#define KEY_MEMO_FORGOTTEN_MS 60000
extern int key_memo_format(char text[KEY_MEMO_TEXT_MAX], int64_t at_ms,
						   const uint8_t id[KEY_ID_BYTES]);
extern bool key_memo_parse(const char *text, size_t len, int64_t now_ms,
						   uint8_t id[KEY_ID_BYTES]);

#endif
