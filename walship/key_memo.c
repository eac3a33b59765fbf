/*
 * key_memo.c - which key key_command printed a moment ago
 */
#include "walship/key_memo.h"

#include <inttypes.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>

#include "common/deadline.h"
#include "common/note.h"
#include "common/spool.h"

#define HASH_BYTES 8
#define HASH_HEX   (2 * HASH_BYTES + 1)
#define ID_HEX     (2 * KEY_ID_BYTES + 1)

static const char MAGIC[] = "walship-key-memo-v1";

int
key_memo_format(char text[KEY_MEMO_TEXT_MAX], int64_t at_ms,
				const uint8_t id[KEY_ID_BYTES])
{
	char hex[ID_HEX];

	(void) sodium_bin2hex(hex, sizeof(hex), id, KEY_ID_BYTES);
	return snprintf(text, KEY_MEMO_TEXT_MAX, "%s %" PRId64 " %s\n", MAGIC,
					at_ms, hex);
}

bool
key_memo_parse(const char *text, size_t len, int64_t now_ms,
			   uint8_t id[KEY_ID_BYTES])
{
	struct note note;
	uint8_t found[KEY_ID_BYTES];
	size_t found_len;

	if (!note_parse(&note, text, len, MAGIC, 2) ||
		!note_recent(note.words[0], now_ms, KEY_MEMO_FORGOTTEN_MS) ||
		strlen(note.words[1]) != ID_HEX - 1 ||
		sodium_hex2bin(found, sizeof(found), note.words[1], ID_HEX - 1, NULL,
					   &found_len, NULL) != 0 ||
		found_len != sizeof(found))
		return false;
	memcpy(id, found, sizeof(found));
	return true;
}

/* The note of this command for this repository. */
static bool
file_name(const struct config *cfg, char name[NAME_MAX + 1])
{
	const char *parts[] = {cfg->repository, cfg->key_command};
	crypto_generichash_state state;
	uint8_t hash[HASH_BYTES];
	char hex[HASH_HEX];

	if (cfg->repository == NULL || cfg->key_command == NULL ||
		sodium_init() < 0 ||
		crypto_generichash_init(&state, NULL, 0, sizeof(hash)) != 0)
		return false;
	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
		(void) crypto_generichash_update(&state, (const uint8_t *) parts[i],
										 strlen(parts[i]) + 1);
	(void) crypto_generichash_final(&state, hash, sizeof(hash));
	(void) sodium_bin2hex(hex, sizeof(hex), hash, sizeof(hash));
	(void) snprintf(name, NAME_MAX + 1, "key-%s", hex);
	return true;
}

bool
key_memo_recall(const struct config *cfg, const char *datadir,
				uint8_t id[KEY_ID_BYTES])
{
	char name[NAME_MAX + 1];
	char text[KEY_MEMO_TEXT_MAX];
	struct spool top;
	int len;

	if (!file_name(cfg, name))
		return false;
	spool_open_top(&top, cfg, datadir);
	len = spool_read(&top, name, text, sizeof(text));
	spool_close(&top);
	return len > 0 && key_memo_parse(text, (size_t) len, clock_real_ms(), id);
}

void
key_memo_note(const struct config *cfg, const char *datadir,
			  const struct keyring *ring)
{
	char name[NAME_MAX + 1];
	char text[KEY_MEMO_TEXT_MAX];
	struct spool top;
	int len;

	if (!keyring_sealed(ring) || !file_name(cfg, name))
		return;
	len = key_memo_format(text, clock_real_ms(), keyring_first_id(ring));
	spool_open_top(&top, cfg, datadir);
	if (len > 0 && len < KEY_MEMO_TEXT_MAX)
		(void) spool_write(&top, name, text, (size_t) len);
	spool_close(&top);
}
