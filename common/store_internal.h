/*
 * store_internal.h - behind store.h: opening a backend that is a module
 */
#ifndef COMMON_STORE_INTERNAL_H
#define COMMON_STORE_INTERNAL_H

#include "common/store.h"

/* As store_open, for a repository in S3; the signature chooses the module. */
extern enum status
store_open_module(const struct config *cfg, struct store **out,
				  struct err *err) ERR_CHECK;

#endif
