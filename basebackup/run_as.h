/*
 * run_as.h - being the user that PostgreSQL's programs want
 */
#ifndef BASEBACKUP_RUN_AS_H
#define BASEBACKUP_RUN_AS_H

#include <stdbool.h>

#include "common/err.h"

#define RUN_AS_USER "postgres"

/*
 * Of root, makes the user postgres, for good; anybody else stays.  *became:
 * which it was.  ST_CONFIG: there is no such user.
 */
extern enum status run_as_postgres(bool *became, struct err *err) ERR_CHECK;

#endif
