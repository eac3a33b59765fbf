/*
 * key.h - repository keys
 *
 * A key file holds one or more keys, a line each:
 *
 *     walship-key-v1 <id, 16 hex digits> <key, 64 hex digits> [comment]
 *
 * and blank lines or lines that begin with '#'.  The first key seals, any
 * opens.  The id is a keyed BLAKE2b of the key itself, so a damaged line is
 * noticed.  The file must satisfy PostgreSQL's rule for ssl_key_file: owned
 * by the user without group or world access, or by root and at most 0640.
 *
 * Key bytes live in memory of sodium_malloc: locked, guarded, not dumped.
 * A keyring is read-only after loading and may be shared between threads.
 */
#ifndef COMMON_KEY_H
#define COMMON_KEY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/config.h"
#include "common/err.h"

#define KEY_BYTES    32
#define KEY_ID_BYTES 8
#define KEYS_MAX     64

struct keyring;

/*
 * Loads the keys that cfg names (key_file or key_command), or an empty
 * keyring for encryption = none.  ST_CONFIG: neither or both given, unsafe
 * owner or mode, malformed line (file and line number, never the text).
 * ST_IO: unreadable.  The command runs with a deadline of 30 s.
 */
extern enum status keyring_load(const struct config *cfg, struct keyring **out,
								struct err *err) ERR_CHECK;
extern void keyring_free(struct keyring *ring);

/*
 * Locks the keys' memory again: a lock does not go over to a child process.
 * As in keyring_load, it may fail where locked memory is scarce.
 */
extern void keyring_lock(struct keyring *ring);

/* Parses a key file's text; source names it in errors. */
extern enum status
keyring_parse(const char *source, const char *text, size_t len,
			  struct keyring **out, struct err *err) ERR_CHECK;

/* An empty keyring: objects are stored unsealed and must be unsealed. */
extern enum status
keyring_none(struct keyring **out, struct err *err) ERR_CHECK;

/* True if objects are sealed. */
extern bool keyring_sealed(const struct keyring *ring);

/* The id of the first key; only if keyring_sealed. */
extern const uint8_t *keyring_first_id(const struct keyring *ring);

/* The key of that id, KEY_BYTES long, or NULL.  Belongs to the keyring. */
extern const uint8_t *
keyring_find(const struct keyring *ring, const uint8_t id[KEY_ID_BYTES]);

/*
 * Makes a new key and writes it to path, which must not exist, mode 0600,
 * synced.  id_hex receives the id, 17 bytes.
 */
extern enum status
key_generate_file(const char *path, char *id_hex, struct err *err) ERR_CHECK;

/*
 * Appends a new key to a key file: it opens, but does not seal yet.  The file
 * is replaced at once, synced, with its owner and mode.  ST_MISSING: there is
 * none; ST_EXISTS: another change is under way, or died; ST_CONFIG as in
 * keyring_load.
 */
extern enum status
key_add_to_file(const char *path, char *id_hex, struct err *err) ERR_CHECK;

/*
 * Puts the key of that id first, so that it seals from now on.  ST_MISSING:
 * the file has none such; else as above.  Nothing is done if it is first.
 */
extern enum status key_use_in_file(const char *path, const char *id_hex,
								   struct err *err) ERR_CHECK;

#endif
