/*
 * keep_config.c - the rules of keep.h as the configuration has them
 */
#include "basebackup/keep_config.h"

bool
keep_rules_set(const struct config *cfg)
{
	return cfg->keep_last != 0 || cfg->keep_daily != 0 ||
		   cfg->keep_weekly != 0 || cfg->keep_monthly != 0 ||
		   cfg->keep_yearly != 0 || cfg->keep_within_ms != 0;
}

struct keep_rules
keep_rules_of(const struct config *cfg)
{
	struct keep_rules rules = {
		.last = (uint32_t) cfg->keep_last,
		.daily = (uint32_t) cfg->keep_daily,
		.weekly = (uint32_t) cfg->keep_weekly,
		.monthly = (uint32_t) cfg->keep_monthly,
		.yearly = (uint32_t) cfg->keep_yearly,
		.within_s = cfg->keep_within_ms > 0 ? cfg->keep_within_ms / 1000
											: KEEP_WITHIN_ALL,
	};

	if (!keep_rules_set(cfg))
		rules.last = UINT32_MAX;
	return rules;
}
