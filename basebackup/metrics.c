/*
 * metrics.c - writing metrics in Prometheus' text format
 */
#include "basebackup/metrics.h"

#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "basebackup/json.h"

struct metrics
{
	FILE *out;
	char *text;
	size_t len;
	const char *name; /* of the family */
	const char *type;
	const char *help;
	bool begun; /* HELP and TYPE are written */
};

enum status
metrics_new(struct metrics **out, struct err *err)
{
	struct metrics *m = calloc(1, sizeof(*m));

	if (m != NULL)
		m->out = open_memstream(&m->text, &m->len);
	if (m == NULL || m->out == NULL)
	{
		free(m);
		return err_set(err, ST_NOMEM, "out of memory");
	}
	*out = m;
	return ST_OK;
}

void
metrics_free(struct metrics *metrics)
{
	if (metrics == NULL)
		return;
	if (metrics->out != NULL)
		(void) fclose(metrics->out);
	free(metrics->text);
	free(metrics);
}

/* Backslash and line feed are escaped everywhere, quotes within labels. */
static void
put_escaped(FILE *out, const char *text, bool quotes)
{
	bool valid = utf8_valid(text, strlen(text));

	for (const char *s = text; *s != '\0'; s++)
		if (*s == '\\')
			(void) fputs("\\\\", out);
		else if (*s == '\n')
			(void) fputs("\\n", out);
		else if (*s == '"' && quotes)
			(void) fputs("\\\"", out);
		else
			(void) fputc(!valid && (unsigned char) *s >= 0x80 ? '?' : *s, out);
}

void
metrics_family(struct metrics *metrics, const char *name, const char *type,
			   const char *help)
{
	metrics->name = name;
	metrics->type = type;
	metrics->help = help;
	metrics->begun = false;
}

/* Below this every whole number is a double of its own. */
#define WHOLE_MAX 9007199254740992.0

static bool
is_whole(double value)
{
	return value > -WHOLE_MAX && value < WHOLE_MAX &&
		   (double) (int64_t) value == value;
}

/* Whole numbers as such, so that times keep their last digit. */
static void
put_value(FILE *out, double value)
{
	if (isnan(value))
		(void) fputs("NaN", out);
	else if (isinf(value))
		(void) fputs(value > 0 ? "+Inf" : "-Inf", out);
	else if (is_whole(value))
		(void) fprintf(out, "%.0f", value);
	else
		(void) fprintf(out, "%.15g", value);
}

void
metrics_sample(struct metrics *metrics, const struct metrics_label *labels,
			   size_t nlabels, double value)
{
	FILE *out = metrics->out;

	if (!metrics->begun)
	{
		(void) fprintf(out, "# HELP %s ", metrics->name);
		put_escaped(out, metrics->help, false);
		(void) fprintf(out, "\n# TYPE %s %s\n", metrics->name, metrics->type);
		metrics->begun = true;
	}
	(void) fputs(metrics->name, out);
	for (size_t i = 0; i < nlabels; i++)
	{
		(void) fprintf(out, "%s%s=\"", i == 0 ? "{" : ",", labels[i].name);
		put_escaped(out, labels[i].value, true);
		(void) fputc('"', out);
	}
	if (nlabels > 0)
		(void) fputc('}', out);
	(void) fputc(' ', out);
	put_value(out, value);
	(void) fputc('\n', out);
}

enum status
metrics_done(struct metrics *metrics, const char **text, size_t *len,
			 struct err *err)
{
	if (fflush(metrics->out) != 0 || ferror(metrics->out))
		return err_set(err, ST_NOMEM, "out of memory");
	*text = metrics->text;
	*len = metrics->len;
	return ST_OK;
}
