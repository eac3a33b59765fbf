/*
 * s3_deliver.h - from a page that a store listed to the caller
 *
 * Pure.  Keys must lie inside the prefix and come in byte order across pages:
 * a store that leaves out or repeats keys would otherwise look like a gap in
 * the WAL.  Names that are no keys of ours are passed over.
 */
#ifndef COMMON_S3_DELIVER_H
#define COMMON_S3_DELIVER_H

#include "common/err.h"
#include "common/s3_url.h"
#include "common/s3_xml.h"
#include "common/store.h"

/* One listing, of as many pages as it takes. */
struct s3_delivery
{
	const struct s3_address *address;
	const char *prefix;
	const char *start_after; /* NULL: none */
	store_lister lister;
	void *arg;
	char last[STORE_KEY_MAX + 1]; /* the greatest delivered, "" at first */
};

/*
 * Sorts the page and gives it to the lister.  ST_CONFIG: the store does not
 * keep to what it was asked for; or what the lister returned.
 */
extern enum status
s3_deliver_page(struct s3_delivery *delivery, struct s3_list_page *page,
				struct err *err) ERR_CHECK;

#endif
