/*
 * s3_profile.c - a profile in AWS's shared config and credentials files
 *
 * Values stay where they are in the text: ended by a zero, and grown in place
 * by lines that continue them, for which there is always room.
 */
#include "common/s3_profile.h"

#include <string.h>
#include <strings.h>

static const char *const key_names[PROFILE_NKEYS] = {
	[PROFILE_ACCESS_KEY_ID] = "aws_access_key_id",
	[PROFILE_SECRET_ACCESS_KEY] = "aws_secret_access_key",
	[PROFILE_SESSION_TOKEN] = "aws_session_token",
	[PROFILE_ROLE_ARN] = "role_arn",
	[PROFILE_SOURCE_PROFILE] = "source_profile",
	[PROFILE_CREDENTIAL_SOURCE] = "credential_source",
	[PROFILE_EXTERNAL_ID] = "external_id",
	[PROFILE_ROLE_SESSION_NAME] = "role_session_name",
	[PROFILE_DURATION_SECONDS] = "duration_seconds",
	[PROFILE_MFA_SERIAL] = "mfa_serial",
	[PROFILE_WEB_IDENTITY_TOKEN_FILE] = "web_identity_token_file",
	[PROFILE_CREDENTIAL_PROCESS] = "credential_process",
	[PROFILE_SSO_SESSION] = "sso_session",
	[PROFILE_SSO_START_URL] = "sso_start_url",
};

enum place
{
	OUTSIDE,  /* before any section, or in one of no interest */
	IN_PLAIN, /* in "[name]" */
	IN_NAMED  /* in "[profile name]" */
};

struct parser
{
	const char *file;
	bool config;
	const char *name;
	enum place place;
	bool after_setting; /* an indented line belongs to something */
	const char **slot;  /* of the setting above; NULL: not one of ours */
	char *end;          /* of its value */
	struct s3_profile plain;
	struct s3_profile named;
};

static bool
is_space(char c)
{
	return c == ' ' || c == '\t';
}

static char *
skip_space(char *s)
{
	while (is_space(*s))
		s++;
	return s;
}

/*
 * Ends the text at the comment that follows a space, and at trailing space.
 * Something stands in front of it.
 */
static void
trim_end(char *text)
{
	size_t len;

	for (char *s = text; *s != '\0'; s++)
		if ((*s == '#' || *s == ';') && is_space(s[-1]))
		{
			*s = '\0';
			break;
		}
	for (len = strlen(text); len > 0 && is_space(text[len - 1]); len--)
		;
	text[len] = '\0';
}

/* Takes the quotes off a name that has them. */
static char *
unquote(char *name)
{
	size_t len = strlen(name);

	if (len < 2 || (name[0] != '"' && name[0] != '\'') ||
		name[len - 1] != name[0])
		return name;
	name[len - 1] = '\0';
	return name + 1;
}

/* line points behind the bracket.  False: malformed. */
static bool
enter_section(struct parser *p, char *line)
{
	char *close = strchr(line, ']');
	char *name = skip_space(line);
	char *rest;

	if (close == NULL)
		return false;
	rest = skip_space(close + 1);
	if (*rest != '\0' && *rest != '#' && *rest != ';')
		return false;
	*close = '\0';
	for (size_t len = strlen(name); len > 0 && is_space(name[len - 1]); len--)
		name[len - 1] = '\0';
	if (*name == '\0')
		return false;

	p->place = OUTSIDE;
	p->slot = NULL;
	p->after_setting = false;
	if (p->config && strncmp(name, "profile", 7) == 0 && is_space(name[7]))
	{
		if (strcmp(unquote(skip_space(name + 7)), p->name) == 0)
			p->place = IN_NAMED;
	}
	else if (strcmp(unquote(name), p->name) == 0 &&
			 (!p->config || strcmp(name, "default") == 0))
		p->place = IN_PLAIN;
	if (p->place == IN_NAMED)
		p->named.found = true;
	else if (p->place == IN_PLAIN)
		p->plain.found = true;
	return true;
}

static bool
take_setting(struct parser *p, char *line)
{
	struct s3_profile *profile = p->place == IN_NAMED ? &p->named : &p->plain;
	char *equals = strchr(line, '=');
	char *value;
	size_t len;

	if (equals == NULL || equals == line)
		return false;
	value = skip_space(equals + 1);
	trim_end(value);
	len = (size_t) (equals - line);
	while (len > 0 && is_space(line[len - 1]))
		len--;
	p->after_setting = true;
	p->slot = NULL;
	for (int i = 0; i < PROFILE_NKEYS && p->place != OUTSIDE; i++)
		if (strlen(key_names[i]) == len &&
			strncasecmp(key_names[i], line, len) == 0)
		{
			p->slot = &profile->values[i];
			*p->slot = *value != '\0' ? value : NULL;
			p->end = value + strlen(value);
		}
	return true;
}

/* Appends an indented line to the value above, behind a newline. */
static bool
continue_setting(struct parser *p, char *text)
{
	size_t len;

	if (!p->after_setting)
		return p->place == OUTSIDE;
	if (p->slot == NULL || *p->slot == NULL)
		return true;
	trim_end(text);
	len = strlen(text);
	*p->end = '\n';
	memmove(p->end + 1, text, len + 1);
	p->end += len + 1;
	return true;
}

/* A whole line, without its end.  False: malformed. */
static bool
take_line(struct parser *p, char *line)
{
	char *text = skip_space(line);

	if (*text == '\0' || *text == '#' || *text == ';')
		return true;
	if (text > line)
		return continue_setting(p, text);
	if (*line == '[')
		return enter_section(p, line + 1);
	return take_setting(p, line);
}

enum status
s3_profile_parse(const char *file, char *text, size_t len, bool config,
				 const char *name, struct s3_profile *out, struct err *err)
{
	struct parser p = {.file = file, .config = config, .name = name};
	char *at = text;
	char *end = text + len;

	if (len >= 3 && memcmp(text, "\xEF\xBB\xBF", 3) == 0)
		at += 3;
	for (int line = 1; at < end; line++)
	{
		char *newline = memchr(at, '\n', (size_t) (end - at));
		char *stop = newline != NULL ? newline : end;
		char *next = newline != NULL ? newline + 1 : end;

		if (stop > at && stop[-1] == '\r')
			stop--;
		*stop = '\0';
		if (strlen(at) != (size_t) (stop - at) || !take_line(&p, at))
			return err_set(err, ST_CONFIG, "file \"%s\", line %d: malformed",
						   file, line);
		at = next;
	}
	*out = p.named.found ? p.named : p.plain;
	return ST_OK;
}
