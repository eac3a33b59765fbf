/*
 * store_put_same.c - a put that recognises its own object
 */
#include "basebackup/store_put_same.h"

#include <stdint.h>
#include <string.h>

/* Compares an object with the bytes that were to be stored. */
struct comparison
{
	const uint8_t *expected;
	size_t len;
	size_t at;
};

static enum status
compare_bytes(void *arg, const void *data, size_t len, struct err *err)
{
	struct comparison *c = arg;

	if (len > c->len - c->at || memcmp(c->expected + c->at, data, len) != 0)
		return err_set(err, ST_DIFFERS, "it holds something else");
	c->at += len;
	return ST_OK;
}

enum status
store_put_same(struct store *store, const char *key, const void *data,
			   size_t len, struct err *err)
{
	struct comparison c = {.expected = data, .len = len};
	enum status status = store_put(store, key, data, len, err);

	if (status != ST_EXISTS)
		return status;
	status = store_get(store, key, 0, 0, compare_bytes, &c, err);
	if (status == ST_OK && c.at != len)
		status = err_set(err, ST_DIFFERS, "it holds something else");
	if (status != ST_OK)
		return err_context(err, "object \"%s\" exists already", key);
	return ST_OK;
}
