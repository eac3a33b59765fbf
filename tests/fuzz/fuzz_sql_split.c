/*
 * fuzz_sql_split.c - any bytes as a file of SQL
 *
 * Statements lie one behind the other within the text, and are not empty.
 */
#include <stdint.h>
#include <stdlib.h>

#include "basebackup/sql_split.h"

extern int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct sql_statement s = {.line = 0};
	const char *text = (const char *) data;
	size_t at = 0, before = 0;
	unsigned line = 1;
	struct err err;

	while (sql_split(text, size, &at, &line, &s, &err) == ST_OK)
	{
		if (s.len == 0 || s.at < before || s.at + s.len > at || at > size ||
			s.line > line || s.name_at + s.name_len > s.at ||
			s.database_at + s.database_len > s.at)
			abort();
		before = at;
	}
	return 0;
}
