/*
 * fuzz_walpage.c - page headers and pg_control of any bytes
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "common/walpage.h"
#include "common/walscan.h"

extern int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct pg_control control;
	struct wal_page page;
	struct wal_scan scan;
	struct wal_name name;
	struct err err;

	if (pg_control_parse(&control, data, size, &err) == ST_OK &&
		control.system_identifier == 0)
		abort();
	if (wal_page_parse(&page, data, size, &err) != ST_OK)
		return 0;
	wal_name_segment(&name, page.timeline,
					 page.page_address / page.segment_size, page.segment_size);
	if (wal_page_check(&page, &name, page.segment_size, page.system_identifier,
					   NULL, &err) != ST_OK &&
		page.page_address % page.segment_size == 0)
		abort();
	(void) wal_pages_match(&page, data, size, 0);
	wal_scan_begin(&scan, &page);
	if (wal_scan_feed(&scan, data, size) && scan.offset > size)
		abort();
	return 0;
}
