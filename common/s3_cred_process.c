/*
 * s3_cred_process.c - credentials that a program prints
 *
 * credential_process is taken apart as AWS's CLI does it, by the rules of a
 * shell's words but without a shell: quotes group, a backslash takes the next
 * byte as it is, and nothing else ($, *, |, ;, ~) has a meaning.  Source:
 * "Process credential provider" of AWS's SDKs and Tools Reference Guide.
 */
#include <stdlib.h>
#include <string.h>

#include "common/s3_cred_internal.h"
#include "common/s3_cred_words.h"
#include "common/secretfile.h"
#include "common/subprocess.h"

#define TIMEOUT_MS 60000
#define OUTPUT_MAX ((size_t) 64 * 1024)
#define WORDS_MAX  64

static bool
is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/*
 * Moves one word to *out and past its end.  False: an open quote, or a
 * backslash at the end.
 */
static bool
take_word(const char **at, char **out)
{
	const char *s = *at;
	char *to = *out;
	char quote = '\0';

	for (; *s != '\0' && (quote != '\0' || !is_blank(*s)); s++)
	{
		if (*s == quote)
			quote = '\0';
		else if (quote == '\0' && (*s == '\'' || *s == '"'))
			quote = *s;
		else if (*s == '\\' && quote == '\0')
		{
			if (*++s == '\0')
				return false;
			*to++ = *s;
		}
		else if (*s == '\\' && quote == '"' && (s[1] == '"' || s[1] == '\\'))
			*to++ = *++s;
		else
			*to++ = *s;
	}
	*to++ = '\0';
	*at = s;
	*out = to;
	return quote == '\0';
}

size_t
s3_cred_split(const char *command, char *room, char **words, size_t max)
{
	size_t count = 0;

	for (;;)
	{
		while (is_blank(*command))
			command++;
		if (*command == '\0')
			return count;
		if (count == max)
			return 0;
		words[count++] = room;
		if (!take_word(&command, &room))
			return 0;
	}
}

static enum status
run(const struct s3_cred_context *context, const struct s3_cred_source *source,
	char *const argv[], struct s3_cred **out, struct err *err)
{
	struct deadline limit = deadline_sooner(*context->deadline, TIMEOUT_MS);
	char *text = NULL;
	size_t len = 0;
	enum status status = subprocess_read("credential_process", argv,
										 OUTPUT_MAX, &limit, &text, &len, err);

	if (status == ST_OK)
	{
		status = s3_cred_from_json("the credentials of credential_process",
								   text, len, false, out, err);
		secret_free(text);
	}
	else if (status == ST_DEADLINE && deadline_left_ms(context->deadline) > 0)
		status = err_set(err, ST_RETRY,
						 "credential_process did not end within %d s",
						 TIMEOUT_MS / 1000);

	/* What it failed at may have passed when it is run again. */
	else if (status == ST_IO)
		status = err->status = ST_RETRY;
	if (status != ST_OK)
		(void) err_context(err, "%s", source->origin);
	return status;
}

enum status
s3_cred_run_process(const struct s3_cred_context *context,
					const struct s3_cred_source *source, struct s3_cred **out,
					struct err *err)
{
	char *words[WORDS_MAX + 1] = {NULL};
	char *room = malloc(strlen(source->command) + 1);
	enum status status;

	if (room == NULL)
		return err_set(err, ST_NOMEM, "out of memory");
	if (s3_cred_split(source->command, room, words, WORDS_MAX) == 0)
		status = err_set(err, ST_CONFIG,
						 "%s: credential_process is empty, too long, or has "
						 "an open quote",
						 source->origin);
	else
		status = run(context, source, words, out, err);
	free(room);
	return status;
}
