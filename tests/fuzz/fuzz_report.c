/*
 * fuzz_report.c - a report is refused, or its texts are bounded and sane
 */
#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "basebackup/json.h"
#include "basebackup/report_read.h"

extern int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct report_read r;
	struct err err;
	enum status status = report_parse(data, size, &r, &err);

	assert(status == ST_OK || status == ST_CORRUPT);
	if (status != ST_OK)
		return 0;
	assert(utf8_valid(r.kind, strnlen(r.kind, sizeof(r.kind))));
	assert(utf8_valid(r.host, strnlen(r.host, sizeof(r.host))));
	assert(utf8_valid(r.message, strnlen(r.message, sizeof(r.message))));
	assert(r.backup_id[0] == '\0' || backup_id_parse(r.backup_id, NULL));
	assert(r.rto_ms >= -1 && r.rpo_ms >= -1 && r.defects >= -1);
	return 0;
}
