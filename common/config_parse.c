/*
 * config_parse.c - the text of a configuration file
 *
 * libinih takes the lines apart, but it is generous: it splits a long line
 * into two, takes an indented line as a continuation of the one before, cuts
 * values at " ;", section names at 49 bytes, ends at a zero byte, and reads
 * "a:b=c" as a setting of a.  So every line is looked at before it gets
 * there, and what could be read in two ways is refused.
 */
#include "common/config_internal.h"

#include <ini.h>
#include <inttypes.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cli.h"

#define SECTION_PREFIX   "cluster "
#define SECTION_TEXT_MAX 49
#define WORD_CHARS       "abcdefghijklmnopqrstuvwxyz0123456789_"

struct parser
{
	struct config *cfg;
	struct config *other; /* takes the settings of other clusters' sections */
	const char *file;
	const char *at; /* what is still to be read */
	size_t left;
	int line;
	uint64_t cluster;  /* whose section counts */
	uint64_t section;  /* where we are, 0: before any section */
	uint64_t seen;     /* options set in this section, a bit each */
	uint64_t *visited; /* sections so far */
	size_t nvisited;
	bool own_credentials; /* the cluster's section has set some */
	bool holds_secret;
	bool failed;
	struct err *err;
};

/* Puts the place in front of an error that is already set. */
static void
fail_here(struct parser *p)
{
	p->failed = true;
	(void) err_context(p->err, "file \"%s\", line %d", p->file, p->line);
}

static void
fail(struct parser *p, const char *message)
{
	(void) err_set(p->err, ST_CONFIG, "%s", message);
	fail_here(p);
}

/* Where inih, or a hasty reader, would see a comment begin. */
static bool
has_inline_comment(const char *value)
{
	for (const char *s = value; *s != '\0'; s++)
		if ((*s == ' ' || *s == '\t') && (s[1] == ';' || s[1] == '#'))
			return true;
	return false;
}

/* "[cluster 7301234567890123456]" */
static void
enter_section(struct parser *p, const char *line, size_t len)
{
	char name[SECTION_TEXT_MAX + 1];
	uint64_t *more;
	uint64_t id;

	if (len < 2 || len - 2 > SECTION_TEXT_MAX || line[len - 1] != ']')
	{
		fail(p, "malformed section");
		return;
	}
	memcpy(name, line + 1, len - 2);
	name[len - 2] = '\0';
	if (strncmp(name, SECTION_PREFIX, strlen(SECTION_PREFIX)) != 0 ||
		!parse_system_identifier(name + strlen(SECTION_PREFIX), &id))
	{
		fail(p, "unknown section");
		(void) err_hint(p->err, "A section is [cluster <system identifier>].");
		return;
	}
	for (size_t i = 0; i < p->nvisited; i++)
		if (p->visited[i] == id)
		{
			fail(p, "the section of this cluster appears twice");
			return;
		}

	more = realloc(p->visited, (p->nvisited + 1) * sizeof *more);
	if (more == NULL)
	{
		(void) err_set(p->err, ST_NOMEM, "out of memory");
		p->failed = true;
		return;
	}
	p->visited = more;
	p->visited[p->nvisited++] = id;
	p->section = id;
	p->seen = 0;
	if (p->cluster == 0)
		p->cluster = p->cfg->cluster;
}

static void
check_setting(struct parser *p, const char *line)
{
	size_t len = strspn(line, WORD_CHARS);
	const char *value = line + len + strspn(line + len, " \t");

	if (len == 0 || *value != '=')
		fail(p, "this is neither a setting, a section nor a comment");
	else if (has_inline_comment(value + 1))
	{
		fail(p, "a comment must have a line of its own");
		(void) err_hint(p->err, "\" ;\" and \" #\" cannot be part of a value "
								"in the file; the environment takes them.");
	}
}

/*
 * Looks at one line (without its end) before inih does.  Returns whether inih
 * is to see it.
 */
static bool
check_line(struct parser *p, const char *line, size_t len)
{
	if (strlen(line) != len)
	{
		fail(p, "line holds a zero byte");
		return false;
	}
	for (size_t i = 0; i < len; i++)
		if (((unsigned char) line[i] < 0x20 && line[i] != '\t') ||
			line[i] == 0x7f)
		{
			fail(p, "line holds a control character");
			return false;
		}
	if (line[strspn(line, " \t")] == '\0' || line[0] == '#' || line[0] == ';')
		return false;
	if (line[0] == ' ' || line[0] == '\t')
		fail(p, "line is indented; a value cannot be continued");
	else if (line[0] == '[')
		enter_section(p, line, len);
	else
		check_setting(p, line);
	return !p->failed;
}

/*
 * inih's reader, as fgets.  What is not for inih becomes an empty line, so
 * that its line numbers stay ours.
 */
static char *
next_line(char *out, int room, void *arg)
{
	struct parser *p = arg;
	const char *end;
	size_t whole;
	size_t len;

	if (p->failed || p->left == 0)
		return NULL;
	end = memchr(p->at, '\n', p->left);
	whole = end == NULL ? p->left : (size_t) (end - p->at) + 1;
	len = end == NULL ? whole : whole - 1;
	if (len > 0 && p->at[len - 1] == '\r')
		len--;
	while (len > 0 && (p->at[len - 1] == ' ' || p->at[len - 1] == '\t'))
		len--;
	p->line++;

	/* The newline and a zero byte come behind it. */
	if (len + 2 > (size_t) room)
	{
		(void) err_set(p->err, ST_CONFIG, "line is longer than %d bytes",
					   room - 2);
		(void) err_hint(p->err, "Longer values can be given in the "
								"environment.");
		fail_here(p);
		return NULL;
	}
	memcpy(out, p->at, len);
	out[len] = '\0';
	p->at += whole;
	p->left -= whole;
	if (!check_line(p, out, len))
	{
		if (p->failed)
			return NULL;
		len = 0;
	}
	out[len] = '\n';
	out[len + 1] = '\0';
	return out;
}

/* The first of a cluster's own credentials replaces all of the general ones.
 */
static void
forget_general(struct parser *p, const struct config_option *option)
{
	if (p->section == 0 || !option->credential || p->own_credentials)
		return;
	config_forget_credentials(p->cfg);
	p->own_credentials = true;
}

/* inih's handler: a setting.  Returns 0 for an error. */
static int
take_setting(void *arg, const char *section, const char *name,
			 const char *value)
{
	struct parser *p = arg;
	const struct config_option *option;
	bool ours = p->section == 0 || p->section == p->cluster;
	uint64_t bit;

	(void) section; /* enter_section knows it as a number */
	if (p->failed)
		return 0;
	option = config_option_find(name, strlen(name));
	if (option == NULL)
	{
		(void) config_unknown_key(name, strlen(name), p->err);
		fail_here(p);
		return 0;
	}
	if (ours)
		forget_general(p, option);
	bit = UINT64_C(1) << (option - config_options);
	if ((p->seen & bit) != 0)
		(void) err_set(p->err, ST_CONFIG, "key \"%s\" is given twice", name);
	else if (option->general && p->section != 0)
		(void) err_set(p->err, ST_CONFIG,
					   "key \"%s\" cannot be given in a section", name);
	else if (config_option_set(ours ? p->cfg : p->other, option, value,
							   p->err) == ST_OK)
	{
		p->seen |= bit;
		p->holds_secret = p->holds_secret || option->secret;
		return 1;
	}
	fail_here(p);
	return 0;
}

enum status
config_parse_text(struct config *cfg, const char *file, const char *text,
				  size_t len, uint64_t cluster, bool *holds_secret,
				  struct err *err)
{
	static const char bom[] = {'\xEF', '\xBB', '\xBF'};
	struct config other = {.path = NULL};
	struct parser p = {.cfg = cfg,
					   .other = &other,
					   .file = file,
					   .at = text,
					   .left = len,
					   .cluster = cluster,
					   .err = err};
	int bad_line;

	if (len >= sizeof bom && memcmp(text, bom, sizeof bom) == 0)
	{
		p.at += sizeof bom;
		p.left -= sizeof bom;
	}
	bad_line = ini_parse_stream(next_line, &p, take_setting, &p);
	config_clear(&other);
	free(cfg->sections);
	cfg->sections = p.visited;
	cfg->nsections = p.nvisited;

	if (p.failed)
		return err->status;
	if (bad_line < 0)
		return err_set(err, ST_NOMEM, "out of memory");
	if (bad_line > 0)
		return err_set(err, ST_CONFIG, "file \"%s\", line %d: malformed line",
					   file, bad_line);
	*holds_secret = p.holds_secret;
	return ST_OK;
}

enum status
config_parse(struct config *cfg, const char *file, const char *text,
			 size_t len, uint64_t cluster, struct err *err)
{
	bool holds_secret;

	return config_parse_text(cfg, file, text, len, cluster, &holds_secret,
							 err);
}
