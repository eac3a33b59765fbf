/*
 * drill.c - proof that a restore works
 */
#include "basebackup/drill.h"

#include <stdio.h>
#include <stdlib.h>

#include "basebackup/timestamp.h"
#include "common/deadline.h"
#include "common/log.h"

#define ASK_MS 60000

/* Both databases are in every cluster, unless somebody dropped the first. */
#define FACTS_DATABASE "template1"

static const char facts_sql[] =
	"select pg_catalog.pg_last_wal_replay_lsn()::pg_catalog.text,"
	" (extract(epoch from pg_catalog.pg_last_xact_replay_timestamp())"
	" * 1000000)::pg_catalog.int8::pg_catalog.text";

/* --- the phases ---------------------------------------------------------- */

static enum status
prepare(struct drill *d, struct err *err)
{
	enum status st = drill_choose(d, err);

	if (st == ST_OK)
		st = scratch_cluster_prepare(&d->cluster, err);
	if (st == ST_OK && d->amcheck)
		st = drill_find_amcheck(d, err);
	return st;
}

static enum status
fetch(struct drill *d, struct err *err)
{
	return scratch_cluster_fetch(&d->cluster, err);
}

/* Where recovery has ended: the server still knows. */
static enum status
ask_facts(struct drill *d, struct err *err)
{
	const struct deadline soon = deadline_in(ASK_MS, cli_cancel());
	struct pgresult *rows = NULL;
	struct pgconn *conn = NULL;
	const char *lsn = NULL, *time = NULL;
	enum status st = drill_connect(d, FACTS_DATABASE, &conn, err);

	if (st == ST_SERVER && err->hint[0] == '\0')
		return err_hint(err, "Name a superuser of the cluster: --username.");
	if (st == ST_OK)
		st = pgconn_query(conn, facts_sql, 0, NULL, &soon, &rows, err);
	if (st == ST_OK && pgresult_rows(rows) == 1)
	{
		lsn = pgresult_value(rows, 0, 0);
		time = pgresult_value(rows, 0, 1);
	}
	if (st == ST_OK && (lsn == NULL || !lsn_parse(lsn, &d->recovered_lsn)))
		st = err_set(err, ST_SERVER,
					 "the server does not say how far it recovered");
	d->recovered = st == ST_OK;
	if (st == ST_OK && time != NULL)
	{
		d->any_replayed = true;
		d->replayed_us = strtoll(time, NULL, 10);
	}
	pgresult_free(rows);
	pgconn_close(conn);
	return st;
}

/* Recovery can end early and look well: where it ended is what counts. */
static enum status
judge_end(const struct drill *d, struct err *err)
{
	const struct recovery_target *t = &d->cluster.request.target;
	char lsn[LSN_TEXT_MAX], last[TIMESTAMP_TEXT_MAX], is[TIMESTAMP_TEXT_MAX];

	/* The transaction's record begins in that segment. */
	if (t->kind == TARGET_END && d->archive.any &&
		d->recovered_lsn <= d->archive.lsn)
		return err_set(err, ST_CORRUPT,
					   "recovery ended at %s, before the last transaction in "
					   "the archive, of %s",
					   lsn_format(d->recovered_lsn, lsn),
					   timestamp_format(d->archive.time_us, last));
	if (t->kind == TARGET_TIME && d->any_replayed &&
		d->replayed_us > t->time_us)
		return err_set(err, ST_CORRUPT,
					   "recovery went on to %s, behind the target %s",
					   timestamp_format(d->replayed_us, is),
					   timestamp_format(t->time_us, last));
	return ST_OK;
}

static enum status
replay(struct drill *d, struct err *err)
{
	struct scratch_milestones m;
	enum status st = scratch_cluster_start(&d->cluster, err);

	if (st != ST_OK)
		return st;
	scratch_server_milestones(d->cluster.server, &m);
	d->segments = m.segments;
	if (m.consistent_ms > d->start_ms)
		d->consistent_ms = m.consistent_ms - d->start_ms;
	st = ask_facts(d, err);
	return st == ST_OK ? judge_end(d, err) : st;
}

static const struct
{
	const char *name;
	enum status (*run)(struct drill *d, struct err *err);
} phases[DRILL_PHASES] = {
	[DRILL_PREPARE] = {"prepare", prepare},
	[DRILL_FETCH] = {"fetch", fetch},
	[DRILL_REPLAY] = {"replay", replay},
	[DRILL_AMCHECK] = {"amcheck", drill_run_amcheck},
	[DRILL_CHECKS] = {"checks", drill_run_checks},
};

const char *
drill_phase_name(enum drill_phase phase)
{
	return phases[phase].name;
}

/* --- all of it ----------------------------------------------------------- */

static bool
is_wanted(const struct drill *d, enum drill_phase phase)
{
	return (phase != DRILL_AMCHECK || d->amcheck) &&
		   (phase != DRILL_CHECKS || d->checks.nchecks > 0);
}

static enum status
run_phase(struct drill *d, enum drill_phase phase, struct err *err)
{
	struct drill_span *span = &d->spans[phase];
	enum status st;

	d->phase = phase;
	span->begun = true;
	span->begin_ms = clock_now_ms() - d->clock_ms;
	st = phases[phase].run(d, err);
	span->end_ms = clock_now_ms() - d->clock_ms;
	span->ended = st == ST_OK;
	return st;
}

enum status
drill_run(struct drill *d, const struct cli_common *common,
		  const struct scratch_options *options, struct err *err)
{
	enum status st;

	d->start_ms = clock_real_ms();
	d->clock_ms = clock_now_ms();
	st = scratch_cluster_open(&d->cluster, common, options, err);
	if (d->refused != NULL)
	{
		*err = *d->refused;
		st = err->status;
	}
	d->cluster.request.cancel = cli_cancel();
	for (enum drill_phase p = DRILL_PREPARE; st == ST_OK && p < DRILL_PHASES;
		 p++)
		if (is_wanted(d, p))
		{
			if (p == DRILL_AMCHECK)
				log_info("recovered; checking tables and indexes");
			st = run_phase(d, p, err);
		}
	d->end_ms = clock_real_ms();
	return st;
}

/* --- what was measured --------------------------------------------------- */

int64_t
drill_rpo_ms(const struct drill *d)
{
	int64_t last_us;

	if (d->archive_known && d->archive.any)
		last_us = d->archive.time_us;
	else if (d->archive_known && d->cluster.plan != NULL)
		last_us = d->cluster.choice.backup.stop_time * 1000000;
	else
		return -1;
	if (d->any_replayed && d->replayed_us > last_us)
		last_us = d->replayed_us;
	return last_us / 1000 < d->start_ms ? d->start_ms - last_us / 1000 : 0;
}

int64_t
drill_rto_ms(const struct drill *d)
{
	return d->spans[DRILL_REPLAY].ended ? d->spans[DRILL_REPLAY].end_ms : -1;
}

const struct drill_check *
drill_failed_check(const struct drill *d)
{
	for (size_t i = 0; i < d->checks.nchecks; i++)
		if (d->checks.list[i].outcome == CHECK_FAILED)
			return &d->checks.list[i];
	return NULL;
}

size_t
drill_checks_run(const struct drill *d)
{
	size_t n = 0;

	for (size_t i = 0; i < d->checks.nchecks; i++)
		n += d->checks.list[i].outcome != CHECK_NOT_RUN;
	return n;
}
