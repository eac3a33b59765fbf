/*
 * check.c - the report of `walship check`
 */
#include "basebackup/check.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <yajl/yajl_gen.h>

#define FOUND_MAX  (ERR_MESSAGE_MAX + 64)
#define ADVICE_MAX (ERR_DETAIL_MAX + ERR_HINT_MAX + 64)

struct check
{
	yajl_gen json; /* NULL: text */
	unsigned told[CHECK_FAIL + 1];
};

/* What is not UTF-8 (a file's name, say) is shown with question marks. */
static void
put_text(yajl_gen gen, const char *text)
{
	size_t len = strlen(text);
	char ascii[FOUND_MAX + ADVICE_MAX];

	if (yajl_gen_string(gen, (const unsigned char *) text, len) !=
			yajl_gen_invalid_string ||
		len > sizeof(ascii))
		return;
	for (size_t i = 0; i < len; i++)
	{
		ascii[i] = text[i];
		if ((unsigned char) text[i] >= 0x80)
			ascii[i] = '?';
	}
	(void) yajl_gen_string(gen, (const unsigned char *) ascii, len);
}

enum status
check_begin(bool json, struct check **out, struct err *err)
{
	struct check *check = calloc(1, sizeof(*check));

	if (check == NULL)
		return err_set(err, ST_NOMEM, "out of memory");
	if (json)
	{
		check->json = yajl_gen_alloc(NULL);
		if (check->json == NULL)
		{
			free(check);
			return err_set(err, ST_NOMEM, "out of memory");
		}
		(void) yajl_gen_config(check->json, yajl_gen_validate_utf8, 1);
		(void) yajl_gen_map_open(check->json);
		put_text(check->json, "checks");
		(void) yajl_gen_array_open(check->json);
	}
	*out = check;
	return ST_OK;
}

static void
tell_json(yajl_gen gen, const char *verdict, const char *name,
		  const char *advice, const char *found)
{
	(void) yajl_gen_map_open(gen);
	put_text(gen, "name");
	put_text(gen, name);
	put_text(gen, "verdict");
	put_text(gen, verdict);
	put_text(gen, "found");
	put_text(gen, found);
	put_text(gen, "advice");
	put_text(gen, advice);
	(void) yajl_gen_map_close(gen);
}

void
check_tell(struct check *check, enum check_verdict verdict, const char *name,
		   const char *advice, const char *found, ...)
{
	static const char *const text[] = {"OK", "WARNING", "FAIL"};
	static const char *const word[] = {"ok", "warning", "fail"};
	char line[FOUND_MAX];
	va_list args;

	va_start(args, found);
	(void) vsnprintf(line, sizeof(line), found, args);
	va_end(args);
	check->told[verdict]++;
	if (check->json != NULL)
	{
		tell_json(check->json, word[verdict], name,
				  advice != NULL ? advice : "", line);
		return;
	}

	/* A line each, even if a server's message has several. */
	for (char *p = line; *p != '\0'; p++)
		if (*p == '\n')
			*p = ' ';
	(void) printf("%-8s %-24s %s%s%s\n", text[verdict], name, line,
				  advice != NULL ? ". " : "", advice != NULL ? advice : "");
	(void) fflush(stdout);
}

void
check_tell_err(struct check *check, enum check_verdict verdict,
			   const char *name, const struct err *err)
{
	bool both = err->detail[0] != '\0' && err->hint[0] != '\0';
	char advice[ADVICE_MAX];

	(void) snprintf(advice, sizeof(advice), "%s%s%s", err->detail,
					both ? " " : "", err->hint);
	check_tell(check, verdict, name, advice[0] != '\0' ? advice : NULL, "%s",
			   err->message);
}

static int
write_document(yajl_gen gen, const unsigned told[])
{
	const unsigned char *text;
	size_t len;

	(void) yajl_gen_array_close(gen);
	put_text(gen, "warnings");
	(void) yajl_gen_integer(gen, told[CHECK_WARNING]);
	put_text(gen, "failures");
	(void) yajl_gen_integer(gen, told[CHECK_FAIL]);
	if (yajl_gen_map_close(gen) != yajl_gen_status_ok ||
		yajl_gen_get_buf(gen, &text, &len) != yajl_gen_status_ok ||
		fwrite(text, 1, len, stdout) != len)
		return EOF;
	return puts("");
}

int
check_end(struct check *check)
{
	bool failed = check->told[CHECK_FAIL] > 0;
	int written;

	if (check->json != NULL)
		written = write_document(check->json, check->told);
	else
		written = printf("%u OK, %u WARNING, %u FAIL\n", check->told[CHECK_OK],
						 check->told[CHECK_WARNING], check->told[CHECK_FAIL]);
	if (written < 0 || fflush(stdout) == EOF)
		failed = true;
	if (check->json != NULL)
		yajl_gen_free(check->json);
	free(check);
	return failed ? 1 : 0;
}
