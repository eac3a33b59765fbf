/*
 * fuzz_config.c - any bytes as a configuration file
 *
 * A refusal always has a reason, whichever cluster's section counts.
 */
#include <stdint.h>
#include <stdlib.h>

#include "common/config.h"

extern int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct config *
parse(const uint8_t *data, size_t size, uint64_t cluster, enum status *status)
{
	struct config *cfg = calloc(1, sizeof *cfg);
	struct err err;

	if (cfg == NULL)
		abort();
	*status = config_parse(cfg, "f", (const char *) data, size, cluster, &err);
	if (*status != ST_OK && (*status != err.status || err.message[0] == '\0'))
		abort();
	return cfg;
}

static void
ignore(void *arg, const char *name, const char *value, const char *def,
	   const char *help)
{
	(void) arg;
	if (name == NULL || value == NULL || def == NULL || help == NULL)
		abort();
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	enum status general;
	enum status with_cluster;
	struct config *cfg = parse(data, size, 0, &general);

	config_visit(cfg, ignore, NULL);
	config_free(cfg);

	/* Whose section counts does not decide whether the file is good. */
	cfg = parse(data, size, 1, &with_cluster);
	config_free(cfg);
	if (general != with_cluster)
		abort();
	return 0;
}
