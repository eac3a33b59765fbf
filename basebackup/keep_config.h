/*
 * keep_config.h - the rules of keep.h as the configuration has them
 */
#ifndef BASEBACKUP_KEEP_CONFIG_H
#define BASEBACKUP_KEEP_CONFIG_H

#include "basebackup/keep.h"
#include "common/config.h"

/* Without any rule, all there is lies in the window. */
extern struct keep_rules keep_rules_of(const struct config *cfg);

/* Does any rule say what to keep? */
extern bool keep_rules_set(const struct config *cfg);

#endif
