/*
 * key.c - repository keys
 */
#include "common/key.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cli.h"
#include "common/deadline.h"
#include "common/key_internal.h"
#include "common/keycommand.h"
#include "common/secretfile.h"

#define KEY_TEXT_MAX     ((size_t) 64 * 1024)
#define KEY_COMMAND_MS   30000
#define ID_HEX           ((size_t) 2 * KEY_ID_BYTES)
#define KEY_HEX          ((size_t) 2 * KEY_BYTES)
#define LOWER_HEX_DIGITS "0123456789abcdef"

/* One allocation of secret memory, read-only once it is complete. */
struct keyring
{
	size_t nkeys;
	struct
	{
		uint8_t id[KEY_ID_BYTES];
		uint8_t key[KEY_BYTES];
	} keys[KEYS_MAX];
};

static enum status
keyring_new(struct keyring **out, struct err *err)
{
	void *memory;
	enum status status = secret_alloc(sizeof(struct keyring), &memory, err);

	if (status != ST_OK)
		return status;
	*out = memory;
	(*out)->nkeys = 0;
	return ST_OK;
}

/* Takes exactly digits lower-case hex digits at *at, and moves behind them. */
static bool
take_hex(const char **at, const char *end, size_t digits, uint8_t *out)
{
	if ((size_t) (end - *at) < digits)
		return false;
	for (size_t i = 0; i < digits; i++)
		if ((*at)[i] == '\0' || strchr(LOWER_HEX_DIGITS, (*at)[i]) == NULL)
			return false;
	if (sodium_hex2bin(out, digits / 2, *at, digits, NULL, NULL, NULL) != 0)
		return false;
	*at += digits;
	return true;
}

/* Moves over one or more blanks. */
static bool
take_blanks(const char **at, const char *end)
{
	const char *start = *at;

	while (*at < end && (**at == ' ' || **at == '\t'))
		(*at)++;
	return *at > start;
}

/* Adds the key of one line that is neither blank nor a comment. */
static enum status
add_line(struct keyring *ring, const char *line, const char *end,
		 struct err *err)
{
	const size_t magic = strlen(KEY_LINE_MAGIC);
	uint8_t expected[KEY_ID_BYTES];
	uint8_t *id;
	uint8_t *key;

	if (ring->nkeys == KEYS_MAX)
		return err_set(err, ST_CONFIG, "more than %d keys", KEYS_MAX);
	id = ring->keys[ring->nkeys].id;
	key = ring->keys[ring->nkeys].key;
	if ((size_t) (end - line) < magic ||
		memcmp(line, KEY_LINE_MAGIC, magic) != 0)
		return err_set(err, ST_CONFIG, "this is not a key");
	line += magic;
	if (!take_blanks(&line, end) || !take_hex(&line, end, ID_HEX, id) ||
		!take_blanks(&line, end) || !take_hex(&line, end, KEY_HEX, key) ||
		(line < end && !take_blanks(&line, end)))
		return err_set(err, ST_CONFIG, "malformed key");

	if (key_derive_id(expected, key, err) != ST_OK)
		return err->status;
	if (memcmp(expected, id, KEY_ID_BYTES) != 0)
	{
		(void) err_set(err, ST_CONFIG, "damaged key");
		return err_detail(err, "The key does not have the id beside it.");
	}
	if (keyring_find(ring, id) != NULL)
		return err_set(err, ST_CONFIG, "the same key is given twice");
	ring->nkeys++;
	return ST_OK;
}

static enum status
add_lines(struct keyring *ring, const char *source, const char *text,
		  size_t len, struct err *err)
{
	const char *stop = text + len;

	for (size_t number = 1; text < stop; number++)
	{
		const char *newline = memchr(text, '\n', (size_t) (stop - text));
		const char *end = newline != NULL ? newline : stop;
		const char *next = newline != NULL ? newline + 1 : stop;
		const char *first = text;

		if (end > text && end[-1] == '\r')
			end--;
		(void) take_blanks(&first, end);
		if (first < end && *text != '#' &&
			add_line(ring, text, end, err) != ST_OK)
			return err_context(err, "%s, line %zu", source, number);
		text = next;
	}
	if (ring->nkeys == 0)
		return err_set(err, ST_CONFIG, "%s holds no key", source);
	return ST_OK;
}

enum status
keyring_parse(const char *source, const char *text, size_t len,
			  struct keyring **out, struct err *err)
{
	struct keyring *ring;
	enum status status = keyring_new(&ring, err);

	if (status != ST_OK)
		return status;
	status = add_lines(ring, source, text, len, err);
	if (status != ST_OK)
	{
		keyring_free(ring);
		return status;
	}
	(void) sodium_mprotect_readonly(ring);
	*out = ring;
	return ST_OK;
}

enum status
keyring_none(struct keyring **out, struct err *err)
{
	struct keyring *ring;
	enum status status = keyring_new(&ring, err);

	if (status != ST_OK)
		return status;
	(void) sodium_mprotect_readonly(ring);
	*out = ring;
	return ST_OK;
}

void
keyring_free(struct keyring *ring)
{
	secret_free(ring);
}

void
keyring_lock(struct keyring *ring)
{
	(void) sodium_mlock(ring, sizeof(*ring));
}

bool
keyring_sealed(const struct keyring *ring)
{
	return ring->nkeys > 0;
}

const uint8_t *
keyring_first_id(const struct keyring *ring)
{
	return ring->keys[0].id;
}

const uint8_t *
keyring_find(const struct keyring *ring, const uint8_t id[KEY_ID_BYTES])
{
	for (size_t i = 0; i < ring->nkeys; i++)
		if (memcmp(ring->keys[i].id, id, KEY_ID_BYTES) == 0)
			return ring->keys[i].key;
	return NULL;
}

static enum status
load_file(const char *path, struct keyring **out, struct err *err)
{
	struct secret_file file;
	char *source = NULL;
	enum status status = secret_file_read(path, KEY_TEXT_MAX, &file, err);

	/* An absent key file is a host's fault, not proof of absence. */
	if (status == ST_MISSING)
		err->status = status = ST_IO;
	if (status != ST_OK)
		return err_context(err, "key_file");

	status = secret_file_check(&file, path, err);
	if (status == ST_OK && asprintf(&source, "file \"%s\"", path) < 0)
	{
		source = NULL;
		status = err_set(err, ST_NOMEM, "out of memory");
	}
	if (status == ST_OK)
		status = keyring_parse(source, file.text, file.len, out, err);
	free(source);
	secret_file_free(&file);
	return status;
}

static enum status
load_command(const char *command, struct keyring **out, struct err *err)
{
	struct deadline d = deadline_in(KEY_COMMAND_MS, cli_cancel());
	char *text;
	size_t len;
	enum status status =
		key_command_run(command, KEY_TEXT_MAX, &d, &text, &len, err);

	if (status != ST_OK)
		return status;
	status = keyring_parse("output of key_command", text, len, out, err);
	secret_free(text);
	return status;
}

enum status
keyring_load(const struct config *cfg, struct keyring **out, struct err *err)
{
	if (cfg->encryption == ENCRYPTION_NONE)
		return keyring_none(out, err);
	if ((cfg->key_file != NULL) == (cfg->key_command != NULL))
		return err_set(err, ST_CONFIG,
					   "one of key_file and key_command must be set");
	if (cfg->key_file != NULL)
		return load_file(cfg->key_file, out, err);
	return load_command(cfg->key_command, out, err);
}
