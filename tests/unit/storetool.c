/*
 * storetool.c - drives a configured store by hand, for the integration tests
 *
 * The configuration is what WALSHIP_CONFIG and the environment say, as for
 * the programs.  A failure is "status: message" on standard error, with
 * DETAIL and HINT lines, and exit status 1.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cli.h"
#include "common/config.h"
#include "common/store.h"

#define INPUT_MAX ((size_t) 256 * 1024 * 1024)

static const char usage[] =
	"usage: storetool [--timeout MS] [--once] [--stats] COMMAND\n"
	"  --once: one attempt by the backend, without retries\n"
	"  put KEY                   from standard input\n"
	"  get KEY [OFFSET LENGTH]   to standard output\n"
	"  head KEY                  size, time, class, archived\n"
	"  list PREFIX [AFTER]       keys, sizes\n"
	"  dirs PREFIX [AFTER]       the same, one level\n"
	"  rm KEY...                 \"-\": keys from standard input\n"
	"  fill PREFIX FIRST LAST    puts PREFIX<number, 8 digits>\n"
	"  features\n"
	"  thaw KEY DAYS\n"
	"  extend KEY\n";

static bool once;

static void
report(const struct err *err)
{
	(void) fprintf(stderr, "%s: %s\n", status_name(err->status), err->message);
	if (err->detail[0] != '\0')
		(void) fprintf(stderr, "DETAIL: %s\n", err->detail);
	if (err->hint[0] != '\0')
		(void) fprintf(stderr, "HINT: %s\n", err->hint);
}

static enum status
read_input(char **out, size_t *out_len, struct err *err)
{
	char *data = malloc(INPUT_MAX);

	if (data == NULL)
		return err_set(err, ST_NOMEM, "out of memory");
	*out_len = fread(data, 1, INPUT_MAX, stdin);
	*out = data;
	return ST_OK;
}

static enum status
do_put(struct store *store, char **args, int nargs, struct err *err)
{
	char *data = NULL;
	size_t len = 0;
	enum status status = read_input(&data, &len, err);

	(void) nargs;
	if (status == ST_OK && once)
		status = store->ops->put(store, args[0], data, len, err);
	else if (status == ST_OK)
		status = store_put(store, args[0], data, len, err);
	free(data);
	return status;
}

static enum status
write_bytes(void *arg, const void *data, size_t len, struct err *err)
{
	(void) arg;
	if (fwrite(data, 1, len, stdout) != len)
		return err_set_errno(err, ST_IO, errno, "could not write");
	return ST_OK;
}

static enum status
do_get(struct store *store, char **args, int nargs, struct err *err)
{
	uint64_t offset = 0;
	uint64_t length = 0;

	if (nargs == 3 && (!parse_uint64(args[1], UINT64_MAX, &offset) ||
					   !parse_uint64(args[2], UINT64_MAX, &length)))
		return err_set(err, ST_CONFIG, "bad range");
	if (once)
		return store->ops->get(store, args[0], offset, length, write_bytes,
							   NULL, err);
	return store_get(store, args[0], offset, length, write_bytes, NULL, err);
}

static enum status
do_head(struct store *store, char **args, int nargs, struct err *err)
{
	struct store_stat stat;
	enum status status = once ? store->ops->head(store, args[0], &stat, err)
							  : store_head(store, args[0], &stat, err);

	(void) nargs;
	if (status == ST_OK)
		(void) printf("%llu %lld %s %s\n",
					  (unsigned long long) stat.size_bytes,
					  (long long) stat.modified,
					  stat.storage_class[0] != '\0' ? stat.storage_class : "-",
					  stat.archived ? "archived" : "ready");
	return status;
}

static enum status
print_entry(void *arg, const struct store_entry *entry, struct err *err)
{
	(void) arg;
	(void) err;
	if (entry->is_prefix)
		(void) printf("%s\n", entry->key);
	else
		(void) printf("%s %llu\n", entry->key,
					  (unsigned long long) entry->stat.size_bytes);
	return ST_OK;
}

static enum status
list_keys(struct store *store, char **args, int nargs, bool shallow,
		  struct err *err)
{
	const char *after = nargs == 2 ? args[1] : NULL;

	if (once)
		return store->ops->list(store, args[0], after, shallow, print_entry,
								NULL, err);
	return store_list(store, args[0], after, shallow, print_entry, NULL, err);
}

static enum status
do_list(struct store *store, char **args, int nargs, struct err *err)
{
	return list_keys(store, args, nargs, false, err);
}

static enum status
do_dirs(struct store *store, char **args, int nargs, struct err *err)
{
	return list_keys(store, args, nargs, true, err);
}

static void
print_removed(void *arg, const char *key, const struct err *outcome)
{
	(void) arg;
	(void) printf("%s %s\n", key, status_name(outcome->status));
}

static enum status
remove_keys(struct store *store, char **keys, size_t nkeys, struct err *err)
{
	if (once)
		return store->ops->remove(store, (const char *const *) keys, nkeys,
								  print_removed, NULL, err);
	return store_remove(store, (const char *const *) keys, nkeys,
						print_removed, NULL, err);
}

static enum status
remove_input(struct store *store, struct err *err)
{
	char *data = NULL;
	size_t len = 0;
	size_t nkeys = 0;
	char **keys = NULL;
	char *rest = NULL;
	enum status status = read_input(&data, &len, err);

	if (status != ST_OK || data == NULL)
		return status;
	keys = calloc(len / 2 + 1, sizeof *keys);
	data[len < INPUT_MAX ? len : len - 1] = '\0';
	for (char *key = strtok_r(data, "\n", &rest); keys != NULL && key != NULL;
		 key = strtok_r(NULL, "\n", &rest))
		keys[nkeys++] = key;
	status = remove_keys(store, keys, nkeys, err);
	free((void *) keys);
	free(data);
	return status;
}

static enum status
do_rm(struct store *store, char **args, int nargs, struct err *err)
{
	if (nargs == 1 && strcmp(args[0], "-") == 0)
		return remove_input(store, err);
	return remove_keys(store, args, (size_t) nargs, err);
}

static enum status
do_fill(struct store *store, char **args, int nargs, struct err *err)
{
	uint64_t first;
	uint64_t last;
	enum status status = ST_OK;

	(void) nargs;
	if (!parse_uint64(args[1], UINT32_MAX, &first) ||
		!parse_uint64(args[2], UINT32_MAX, &last))
		return err_set(err, ST_CONFIG, "bad number");
	for (uint64_t i = first; status == ST_OK && i <= last; i++)
	{
		char key[STORE_KEY_MAX];

		(void) snprintf(key, sizeof key, "%s%08llu", args[0],
						(unsigned long long) i);
		status = store_put(store, key, key, strlen(key), err);
	}
	return status;
}

static enum status
do_features(struct store *store, char **args, int nargs, struct err *err)
{
	struct store_features f;
	enum status status = store_features(store, &f, err);

	(void) args;
	(void) nargs;
	if (status == ST_OK)
		(void) printf("conditional_put %d\nversioned %d\nobject_lock %d\n"
					  "lifecycle_known %d\nlifecycle_touches %d\n"
					  "lifecycle_min_days %d\nclock_offset_ms %lld\n"
					  "endpoint %s\n",
					  f.conditional_put, f.versioned, f.object_lock,
					  f.lifecycle_known, f.lifecycle_touches,
					  f.lifecycle_min_days, (long long) f.clock_offset_ms,
					  f.endpoint);
	return status;
}

static enum status
do_thaw(struct store *store, char **args, int nargs, struct err *err)
{
	uint64_t days;

	(void) nargs;
	if (!parse_uint64(args[1], 365, &days))
		return err_set(err, ST_CONFIG, "bad number of days");
	return store_thaw(store, args[0], (int) days, err);
}

static enum status
do_extend(struct store *store, char **args, int nargs, struct err *err)
{
	(void) nargs;
	return store_extend(store, args[0], err);
}

static const struct
{
	const char *name;
	enum status (*run)(struct store *store, char **args, int nargs,
					   struct err *err);
	int min_args;
	int max_args;
} commands[] = {
	{"put", do_put, 1, 1},   {"get", do_get, 1, 3},
	{"head", do_head, 1, 1}, {"list", do_list, 1, 2},
	{"dirs", do_dirs, 1, 2}, {"rm", do_rm, 1, 100000},
	{"fill", do_fill, 3, 3}, {"features", do_features, 0, 0},
	{"thaw", do_thaw, 2, 2}, {"extend", do_extend, 1, 1},
};

static enum status
run(const char *name, char **args, int nargs, int64_t timeout_ms, bool stats)
{
	struct config *cfg = NULL;
	struct store *store = NULL;
	struct err err;
	enum status status = config_load(NULL, 0, NULL, &cfg, &err);

	if (status == ST_OK)
		status = store_open(cfg, &store, &err);
	if (status == ST_OK)
	{
		store_set_deadline(store, deadline_in(timeout_ms, cli_cancel()));
		status = err_set(&err, ST_CONFIG, "unknown command");
		for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++)
			if (strcmp(commands[i].name, name) == 0 &&
				nargs >= commands[i].min_args && nargs <= commands[i].max_args)
				status = commands[i].run(store, args, nargs, &err);
		if (stats)
			(void) fprintf(stderr, "requests: %llu\n",
						   (unsigned long long) store->requests);
	}
	if (status != ST_OK)
		report(&err);
	store_free(store);
	config_free(cfg);
	return status;
}

int
main(int argc, char **argv)
{
	uint64_t timeout_ms = 60000;
	bool stats = false;
	int at = 1;

	for (; at < argc && strncmp(argv[at], "--", 2) == 0; at++)
	{
		if (strcmp(argv[at], "--stats") == 0)
			stats = true;
		else if (strcmp(argv[at], "--once") == 0)
			once = true;
		else if (strcmp(argv[at], "--timeout") != 0 || at + 1 == argc ||
				 !parse_uint64(argv[++at], INT32_MAX, &timeout_ms))
			break;
	}
	if (at >= argc || strncmp(argv[at], "--", 2) == 0)
	{
		(void) fputs(usage, stderr);
		return 2;
	}
	cli_signals();
	if (run(argv[at], argv + at + 1, argc - at - 1, (int64_t) timeout_ms,
			stats) != ST_OK)
		return 1;
	return fflush(stdout) == 0 ? 0 : 1;
}
