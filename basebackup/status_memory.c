/*
 * status_memory.c - what `walship status` remembers of what it has listed
 */
#include "basebackup/status_memory.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cli.h"
#include "common/crc32c.h"
#include "common/log.h"
#include "common/walname.h"

#define FILE_MAX   ((size_t) 16 << 20)
#define LINE_BYTES 256
#define WORDS_MAX  8
#define SUM_LEN    13 /* "sum xxxxxxxx\n" */

static const char FILE_NAME[] = "status";
static const char FORMAT[] = "walship-status-v1";

/* --- the arrays -------------------------------------------------------------
 */

/* Room for one more element of that size. */
static enum status
grow(void **array, size_t n, size_t *room, size_t size, struct err *err)
{
	size_t more = *room == 0 ? 16 : *room * 2;
	void *grown;

	if (n < *room)
		return ST_OK;
	grown = reallocarray(*array, more, size);
	if (grown == NULL)
		return err_set(err, ST_NOMEM, "out of memory");
	*array = grown;
	*room = more;
	return ST_OK;
}

void
memory_free(struct memory *memory)
{
	free(memory->blocks);
	free(memory->ends);
	free(memory->usages);
	*memory = (struct memory){.segment_size = 0};
}

enum status
memory_add_block(struct memory *memory, const struct memory_block *block,
				 struct err *err)
{
	void *array = memory->blocks;

	if (grow(&array, memory->nblocks, &memory->blocks_room, sizeof(*block),
			 err) != ST_OK)
		return err->status;
	memory->blocks = array;
	memory->blocks[memory->nblocks++] = *block;
	return ST_OK;
}

enum status
memory_add_end(struct memory *memory, const struct memory_end *end,
			   struct err *err)
{
	void *array = memory->ends;

	if (grow(&array, memory->nends, &memory->ends_room, sizeof(*end), err) !=
		ST_OK)
		return err->status;
	memory->ends = array;
	memory->ends[memory->nends++] = *end;
	return ST_OK;
}

enum status
memory_add_usage(struct memory *memory, const struct memory_usage *usage,
				 struct err *err)
{
	void *array = memory->usages;

	if (grow(&array, memory->nusages, &memory->usages_room, sizeof(*usage),
			 err) != ST_OK)
		return err->status;
	memory->usages = array;
	memory->usages[memory->nusages++] = *usage;
	return ST_OK;
}

bool
memory_takes_class(const char *storage_class)
{
	for (const char *s = storage_class; *s != '\0'; s++)
		if (*s <= ' ' || *s > '~')
			return false;
	return strcmp(storage_class, "-") != 0;
}

static int
compare_blocks(const struct memory_block *a, const struct memory_block *b)
{
	if (a->timeline != b->timeline)
		return a->timeline < b->timeline ? -1 : 1;
	if (a->block != b->block)
		return a->block < b->block ? -1 : 1;
	return 0;
}

const struct memory_block *
memory_find_block(const struct memory *memory, uint32_t timeline,
				  uint64_t block)
{
	const struct memory_block wanted = {.timeline = timeline, .block = block};
	size_t low = 0;
	size_t high = memory->nblocks;

	while (low < high)
	{
		size_t middle = low + (high - low) / 2;
		int order = compare_blocks(&memory->blocks[middle], &wanted);

		if (order == 0)
			return &memory->blocks[middle];
		if (order < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return NULL;
}

const struct memory_end *
memory_find_end(const struct memory *memory, uint32_t timeline)
{
	for (size_t i = 0; i < memory->nends; i++)
		if (memory->ends[i].timeline == timeline)
			return &memory->ends[i];
	return NULL;
}

static bool
too_old(int64_t seen_s, int64_t now_s)
{
	return now_s - seen_s > MEMORY_AGE_MAX_S;
}

static void
forget_block(struct memory *memory, size_t i)
{
	memory->nblocks--;
	memmove(&memory->blocks[i], &memory->blocks[i + 1],
			(memory->nblocks - i) * sizeof(*memory->blocks));
}

void
memory_fade(struct memory *memory, int64_t now_s)
{
	size_t kept = 0;

	for (size_t i = 0; i < memory->nblocks; i++)
		if (!too_old(memory->blocks[i].seen_s, now_s))
			memory->blocks[kept++] = memory->blocks[i];
	memory->nblocks = kept;
	for (int again = 0; again < MEMORY_AGAIN && memory->nblocks > 0; again++)
	{
		size_t oldest = 0;

		for (size_t i = 1; i < memory->nblocks; i++)
			if (memory->blocks[i].seen_s < memory->blocks[oldest].seen_s)
				oldest = i;
		forget_block(memory, oldest);
	}
	kept = 0;
	for (size_t i = 0; i < memory->nusages; i++)
		if (!too_old(memory->usages[i].seen_s, now_s))
			memory->usages[kept++] = memory->usages[i];
	memory->nusages = kept;
}

/* --- reading ----------------------------------------------------------------
 */

/* Splits a line, in place, at single blanks; 0: too many or empty words. */
static size_t
split(char *line, char *words[WORDS_MAX])
{
	size_t n = 0;

	for (char *word = line; word != NULL;)
	{
		char *blank = strchr(word, ' ');

		if (blank != NULL)
			*blank++ = '\0';
		if (*word == '\0' || n == WORDS_MAX)
			return 0;
		words[n++] = word;
		word = blank;
	}
	return n;
}

static bool
parse_seen(const char *word, int64_t now_s, int64_t *out)
{
	uint64_t seen;

	if (!parse_uint64(word, INT64_MAX, &seen) || (int64_t) seen > now_s)
		return false;
	*out = (int64_t) seen;
	return true;
}

static bool
parse_timeline(const char *word, uint32_t *out)
{
	uint64_t timeline;

	if (!parse_uint64(word, UINT32_MAX, &timeline) || timeline == 0)
		return false;
	*out = (uint32_t) timeline;
	return true;
}

static bool
parse_usage(enum usage_kind kind, char *const words[3], struct usage_row *out)
{
	*out = (struct usage_row){.kind = kind};
	if (!parse_uint64(words[0], UINT64_MAX / 2, &out->objects) ||
		!parse_uint64(words[1], UINT64_MAX / 2, &out->bytes) ||
		strlen(words[2]) >= sizeof(out->storage_class))
		return false;
	if (strcmp(words[2], "-") != 0)
		(void) snprintf(out->storage_class, sizeof(out->storage_class), "%s",
						words[2]);
	return true;
}

static bool
parse_block(char *const words[], int64_t now_s, struct memory *out,
			struct err *err)
{
	struct memory_block b;
	const struct memory_block *last =
		out->nblocks > 0 ? &out->blocks[out->nblocks - 1] : NULL;

	return parse_timeline(words[1], &b.timeline) &&
		   parse_uint64(words[2], UINT64_MAX / MEMORY_BLOCK - 1, &b.block) &&
		   parse_seen(words[3], now_s, &b.seen_s) &&
		   parse_usage(USAGE_WAL, words + 4, &b.usage) &&
		   (last == NULL || compare_blocks(last, &b) < 0) &&
		   memory_add_block(out, &b, err) == ST_OK;
}

static bool
parse_end(char *const words[], int64_t now_s, struct memory *out,
		  struct err *err)
{
	struct memory_end end;

	return parse_timeline(words[1], &end.timeline) &&
		   parse_uint64(words[2], UINT64_MAX - 1, &end.segment) &&
		   parse_seen(words[3], now_s, &end.seen_s) &&
		   memory_find_end(out, end.timeline) == NULL &&
		   memory_add_end(out, &end, err) == ST_OK;
}

static bool
parse_newest(char *const words[], int64_t now_s, struct memory *out)
{
	if (out->newest[0] != '\0' || !backup_id_parse(words[1], NULL) ||
		!parse_seen(words[2], now_s, &out->newest_seen_s))
		return false;
	(void) snprintf(out->newest, sizeof(out->newest), "%s", words[1]);
	return true;
}

static bool
parse_backup(char *const words[], int64_t now_s, struct memory *out,
			 struct err *err)
{
	struct memory_usage u;
	uint64_t kind;

	if (!backup_id_parse(words[1], NULL) ||
		!parse_seen(words[2], now_s, &u.seen_s) ||
		!parse_uint64(words[3], USAGE_KINDS - 1, &kind) ||
		!parse_usage((enum usage_kind) kind, words + 4, &u.usage))
		return false;
	(void) snprintf(u.backup_id, sizeof(u.backup_id), "%s", words[1]);
	return memory_add_usage(out, &u, err) == ST_OK;
}

static bool
parse_line(char *line, int64_t now_s, struct memory *out, struct err *err)
{
	char *words[WORDS_MAX];
	size_t n = split(line, words);

	if (n == 7 && strcmp(words[0], "block") == 0)
		return parse_block(words, now_s, out, err);
	if (n == 4 && strcmp(words[0], "end") == 0)
		return parse_end(words, now_s, out, err);
	if (n == 3 && strcmp(words[0], "newest") == 0)
		return parse_newest(words, now_s, out);
	if (n == 7 && strcmp(words[0], "usage") == 0)
		return parse_backup(words, now_s, out, err);
	return false;
}

static bool
parse_first(char *line, struct memory *out)
{
	char *words[WORDS_MAX];
	uint64_t size;

	if (split(line, words) != 2 || strcmp(words[0], FORMAT) != 0 ||
		!parse_uint64(words[1], WAL_SEGMENT_SIZE_MAX, &size) ||
		(size != 0 && !wal_segment_size_valid(size)))
		return false;
	out->segment_size = (uint32_t) size;
	return true;
}

/* The last line is right for all before it. */
static bool
sum_matches(const char *text, size_t len)
{
	char sum[SUM_LEN + 1];

	if (len < SUM_LEN)
		return false;
	(void) snprintf(sum, sizeof(sum), "sum %08" PRIx32 "\n",
					crc32c_update(0, text, len - SUM_LEN));
	return memcmp(text + len - SUM_LEN, sum, SUM_LEN) == 0;
}

enum status
memory_parse(const char *text, size_t len, int64_t now_s, struct memory *out,
			 struct err *err)
{
	struct memory memory = {.segment_size = 0};
	const char *end;
	bool first = true;

	(void) err_set(err, ST_CORRUPT, "not what walship status remembers");
	if (!sum_matches(text, len))
		return ST_CORRUPT;
	end = text + len - SUM_LEN;
	for (const char *at = text; at < end; first = false)
	{
		char line[LINE_BYTES];
		const char *lf = memchr(at, '\n', (size_t) (end - at));
		size_t line_len = lf != NULL ? (size_t) (lf - at) : LINE_BYTES;

		if (line_len >= LINE_BYTES || memchr(at, '\0', line_len) != NULL)
			goto failed;
		memcpy(line, at, line_len);
		line[line_len] = '\0';
		if (first ? !parse_first(line, &memory)
				  : !parse_line(line, now_s, &memory, err))
			goto failed;
		at = lf + 1;
	}
	if (first)
		goto failed;
	*out = memory;
	return ST_OK;

failed:
	memory_free(&memory);
	return err->status;
}

/* --- writing ----------------------------------------------------------------
 */

static const char *
class_word(const struct usage_row *row)
{
	return row->storage_class[0] != '\0' ? row->storage_class : "-";
}

static void
write_lines(const struct memory *m, FILE *out)
{
	(void) fprintf(out, "%s %" PRIu32 "\n", FORMAT, m->segment_size);
	for (size_t i = 0; i < m->nblocks; i++)
	{
		const struct memory_block *b = &m->blocks[i];

		(void) fprintf(out,
					   "block %" PRIu32 " %" PRIu64 " %" PRId64 " %" PRIu64
					   " %" PRIu64 " %s\n",
					   b->timeline, b->block, b->seen_s, b->usage.objects,
					   b->usage.bytes, class_word(&b->usage));
	}
	for (size_t i = 0; i < m->nends; i++)
		(void) fprintf(out, "end %" PRIu32 " %" PRIu64 " %" PRId64 "\n",
					   m->ends[i].timeline, m->ends[i].segment,
					   m->ends[i].seen_s);
	if (m->newest[0] != '\0')
		(void) fprintf(out, "newest %s %" PRId64 "\n", m->newest,
					   m->newest_seen_s);
	for (size_t i = 0; i < m->nusages; i++)
	{
		const struct memory_usage *u = &m->usages[i];

		(void) fprintf(
			out, "usage %s %" PRId64 " %d %" PRIu64 " %" PRIu64 " %s\n",
			u->backup_id, u->seen_s, (int) u->usage.kind, u->usage.objects,
			u->usage.bytes, class_word(&u->usage));
	}
}

enum status
memory_format(const struct memory *memory, char **text, size_t *len,
			  struct err *err)
{
	char *lines = NULL;
	FILE *out = open_memstream(&lines, len);
	bool failed;

	if (out == NULL)
		return err_set(err, ST_NOMEM, "out of memory");
	write_lines(memory, out);
	failed = fflush(out) != 0;
	if (!failed)
		(void) fprintf(out, "sum %08" PRIx32 "\n",
					   crc32c_update(0, lines, *len));
	if (fclose(out) != 0 || failed)
	{
		free(lines);
		return err_set(err, ST_NOMEM, "out of memory");
	}
	*text = lines;
	return ST_OK;
}

void
memory_load(const struct spool *spool, int64_t now_s, struct memory *out)
{
	struct memory memory;
	struct err err;
	char *text;
	int len;

	*out = (struct memory){.segment_size = 0};
	text = spool->fd >= 0 ? malloc(FILE_MAX) : NULL;
	if (text == NULL)
		return;
	len = spool_read(spool, FILE_NAME, text, FILE_MAX);
	if (len > 0 &&
		memory_parse(text, (size_t) len, now_s, &memory, &err) == ST_OK)
		*out = memory;
	else if (len > 0)
		log_info("\"%s/%s\" is not used: %s", spool->path, FILE_NAME,
				 err.message);
	free(text);
}

void
memory_save(const struct spool *spool, const struct memory *memory)
{
	struct err err;
	char *text = NULL;
	size_t len = 0;

	if (spool->fd < 0 || memory_format(memory, &text, &len, &err) != ST_OK)
		return;
	if (!spool_write(spool, FILE_NAME, text, len))
		log_info("could not write \"%s/%s\"", spool->path, FILE_NAME);
	free(text);
}
