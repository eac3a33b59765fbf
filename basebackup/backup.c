/*
 * backup.c - one base backup, from connection to published manifest
 */
#include "basebackup/backup.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "basebackup/begin.h"
#include "basebackup/json.h"
#include "basebackup/native_start.h"
#include "basebackup/publish.h"
#include "basebackup/receive.h"
#include "basebackup/reclaim.h"
#include "basebackup/report.h"
#include "common/cli.h"
#include "common/log.h"

/* For what only adds to the backup: the ordinary connection, the report. */
#define SIDE_TIMEOUT_MS 60000

struct backup
{
	const struct backup_source *source;
	const struct backup_options *options;
	struct backup_result *result;
	struct publication pub;
	struct begun begun;
	struct base *empty; /* in the place of a base, if backups died */
	struct salvage *salvage;
	struct reclaim_result reclaim;
	struct native_outcome native;
	const char *base_id; /* the one of bases, if there is a base */
	struct pack_writer *packs;
	struct stream *stream;
	char host[HOST_NAME_MAX_BYTES];
	int64_t begun_ms;
	int64_t client_start; /* by our clock, */
	int64_t server_start; /* and by the server's; 0: unknown */
};

/* What only an ordinary connection tells.  A refusal costs only that. */
static enum status
record_server(struct backup *b, struct err *err)
{
	struct deadline d = deadline_in(SIDE_TIMEOUT_MS, cli_cancel());
	const struct config *cfg = b->source->session->cfg;
	struct pgconn *conn = NULL;
	struct err why;
	enum status status = pgconn_open(b->source->options, PG_ORDINARY,
									 cfg->connect_timeout_ms, &conn, &why);

	if (status != ST_OK)
	{
		(void) err_context(&why, "settings, outside configuration files and "
								 "the server's clock are not recorded");
		log_err_warning(&why);
		return ST_OK;
	}
	status = server_clock_read(conn, &d, &b->server_start, err);
	if (status == ST_OK)
		status = server_settings_record(conn, &d, b->pub.manifest, err);
	if (status == ST_OK)
		status = server_config_store(conn, &d, b->packs, b->pub.manifest, err);
	pgconn_close(conn);
	if (status != ST_SERVER && status != ST_AUTH && status != ST_DEADLINE)
		return status;
	(void) err_context(err, "the server's clock, settings and outside "
							"configuration files are not recorded in full");
	log_err_warning(err);
	return ST_OK;
}

/* The time at which the backup was complete, by the same clock as its start.
 */
static void
record_stop_time(struct backup *b)
{
	struct deadline d = deadline_in(SIDE_TIMEOUT_MS, cli_cancel());
	const struct config *cfg = b->source->session->cfg;
	struct manifest_summary *s = &b->pub.summary;
	struct pgconn *conn = NULL;
	struct err why;

	s->start_time = b->client_start;
	s->stop_time = (int64_t) time(NULL) + 1;
	s->server_clock = false;
	if (b->server_start == 0)
		return;
	if (pgconn_open(b->source->options, PG_ORDINARY, cfg->connect_timeout_ms,
					&conn, &why) == ST_OK &&
		server_clock_read(conn, &d, &s->stop_time, &why) == ST_OK)
	{
		s->start_time = b->server_start;
		s->server_clock = true;
	}
	else
	{
		(void) err_context(&why,
						   "the backup's times are by this host's clock");
		log_err_warning(&why);
	}
	pgconn_close(conn);
}

/*
 * A long outage of the store, or many packs of backups that died, may have
 * taken longer than the server lets a session be idle.
 */
static enum status
revive_connection(const struct backup *b, struct err *err)
{
	struct deadline d =
		deadline_in(b->source->session->cfg->command_timeout_ms, cli_cancel());
	struct pgconn *conn = b->source->conn;
	struct server_facts now = {0};
	bool again = false;
	enum status status = pgconn_revive(conn, &again, err);

	if (status != ST_OK || !again)
		return status;
	log_debug("the server had ended the session");
	status = server_identify(conn, &d, &now, err);
	if (status != ST_OK ||
		now.system_identifier == b->source->facts->system_identifier)
		return status;
	return err_set(err, ST_CONFIG,
				   "the server is of cluster %" PRIu64
				   " now, and was of cluster %" PRIu64,
				   now.system_identifier, b->source->facts->system_identifier);
}

static enum status
begin_stream(struct backup *b, struct err *err)
{
	const struct native_start start = {.conn = b->source->conn,
									   .base = b->begun.base,
									   .page_size =
										   b->source->facts->page_size,
									   .off = b->options->no_native};
	struct stream_options options = {
		.label = b->options->label,
		.fast_checkpoint = b->options->fast_checkpoint,
		.max_rate_kb = b->options->max_rate_kb,
		.verify_checksums = !b->options->no_verify,
		.lz4 = b->options->lz4,
		.wait_ms = b->source->session->cfg->command_timeout_ms,
		.cancel = cli_cancel()};
	char lsn[LSN_TEXT_MAX];
	enum status status;

	log_info("backup %s begins; the server makes a checkpoint first%s",
			 b->result->id,
			 b->options->fast_checkpoint
				 ? ""
				 : " (--checkpoint=fast would hasten it)");
	status = revive_connection(b, err);
	if (status == ST_OK)
		status =
			native_stream_begin(&start, &options, &b->stream, &b->native, err);
	if (status != ST_OK)
		return status;
	b->result->start_lsn = stream_start(b->stream)->lsn;
	b->result->timeline = stream_start(b->stream)->timeline;
	b->result->native = b->native.pages_max > 0;
	(void) snprintf(b->result->why_read, sizeof(b->result->why_read), "%s",
					b->native.why);
	log_info("receiving from %s, timeline %" PRIu32 "%s",
			 lsn_format(b->result->start_lsn, lsn), b->result->timeline,
			 b->result->native ? ", only what changed" : "");
	return ST_OK;
}

/* Step 2. */
static enum status
receive(struct backup *b, struct err *err)
{
	struct progress progress;
	struct receive_target target = {
		.pool = b->pub.pool,
		.packs = b->packs,
		.manifest = b->pub.manifest,
		.progress = &progress,
		.lz4 = b->options->lz4,
		.page_size = b->source->facts->page_size,
		.system_identifier = b->source->facts->system_identifier,
		.data_directory_mode = b->source->facts->data_directory_mode};
	enum status status = begin_stream(b, err);

	if (status != ST_OK)
		return status;
	target.pages_max = b->native.pages_max;
	/* How much of it changed, the server does not tell. */
	progress_begin(&progress, b->options->progress,
				   b->result->native ? 0
									 : stream_start(b->stream)->total_bytes);
	status = receive_backup(b->stream, &target, &b->pub.received, err);
	if (status == ST_OK)
	{
		record_stop_time(b);
		status = pack_writer_finish(b->packs, err);
	}
	progress_end(&progress);
	return status;
}

static void
summarize(struct backup *b)
{
	const struct server_facts *facts = b->source->facts;
	struct manifest_summary *s = &b->pub.summary;

	s->id = b->result->id;
	s->nbases = b->base_id != NULL ? 1 : 0;
	s->bases = &b->base_id;
	s->full = b->begun.full;
	s->digest_key = b->begun.digest_key;
	s->system_identifier = facts->system_identifier;
	s->label = b->options->label;
	s->nannotations = b->options->nannotations;
	s->annotations = b->options->annotations;
	s->server_version = facts->version;
	s->timeline = b->pub.received.stop_timeline;
	s->start_lsn = b->result->start_lsn;
	s->stop_lsn = b->pub.received.stop_lsn;
	s->wal_segment_size = facts->wal_segment_size;
	s->page_size = facts->page_size;
	s->data_checksums = facts->data_checksums;
	s->checksums_verified = b->result->checksums_verified;
	s->data_directory_mode = facts->data_directory_mode;
	s->from_standby = facts->from_standby;
	s->host = b->host;
	s->duration_ms = clock_now_ms() - b->begun_ms;
}

static void
fill_result(struct backup *b)
{
	const struct manifest_summary *s = &b->pub.summary;

	b->result->files = s->files;
	b->result->bytes = s->bytes;
	b->result->packs = s->packs;
	b->result->stored_bytes = s->stored_bytes;
	b->result->digest_bytes = s->digest_bytes;
	b->result->referenced_bytes = s->referenced_bytes;
	b->result->changed_bytes = pack_writer_counts(b->packs)->changed;
	b->result->rewritten_bytes = pack_writer_counts(b->packs)->rewritten;
	b->result->salvaged_bytes = pack_writer_counts(b->packs)->salvaged;
	b->result->stop_lsn = s->stop_lsn;
	b->result->timeline = s->timeline;
	b->result->start_time = s->start_time;
	b->result->stop_time = s->stop_time;
}

/* Steps 1 and 2 of FORMAT.md section 7. */
static enum status
begin(struct backup *b, struct err *err)
{
	const struct begin_request request = {.repo = b->pub.repo,
										  .facts = b->source->facts,
										  .host = b->host,
										  .full = b->options->full};
	enum status status = backup_begin(&request, &b->begun, err);

	memcpy(b->result->id, b->begun.id, sizeof(b->begun.id));
	b->pub.start_put_ms = b->begun.start_put_ms;
	b->pub.base = b->begun.base;
	if (status != ST_OK)
		return status;
	if (b->begun.base == NULL)
	{
		log_info("a full backup: %s", b->begun.why_full);
		return ST_OK;
	}
	b->base_id = base_summary(b->begun.base)->id;
	(void) snprintf(b->result->base, sizeof(b->result->base), "%s",
					b->base_id);
	log_info("building on backup %s", b->base_id);
	return ST_OK;
}

/* What backups that died have stored; after what is to retire is known. */
static enum status
open_salvage(struct backup *b, struct err *err)
{
	struct salvage_source source = {
		.repo = b->pub.repo,
		.page_size = b->source->facts->page_size,
		.base = b->begun.base,
		.nbackups = b->begun.ndead,
		.backups = (const char(*)[BACKUP_ID_MAX]) b->begun.dead};
	enum status status = ST_OK;

	if (b->begun.ndead == 0)
		return ST_OK;
	if (source.base == NULL)
	{
		status = base_new_empty(b->pub.repo, &b->empty, err);
		source.base = b->empty;
	}
	if (status == ST_OK)
		status = salvage_new(&source, &b->salvage, err);
	if (status != ST_OK)
		return status;
	b->pub.base = source.base;
	if (salvage_packs(b->salvage) > 0)
		log_info("%u packs of backups that died may be of use",
				 salvage_packs(b->salvage));
	return ST_OK;
}

static enum status
open_packs(struct backup *b, struct err *err)
{
	const struct pack_target target = {.cfg = b->source->session->cfg,
									   .ring = b->source->session->ring,
									   .system_identifier =
										   b->source->facts->system_identifier,
									   .backup_id = b->result->id,
									   .cancel = cli_cancel()};
	struct pack_source source = {.page_size = b->source->facts->page_size,
								 .digest_key = b->begun.digest_key};
	enum status status = pack_pool_new(&target, &b->pub.pool, err);

	if (status != ST_OK)
		return status;
	source.pool = b->pub.pool;
	if (b->begun.base != NULL)
		status = reclaim_base(b->begun.base,
							  b->pub.repo->cfg->pack_max_age_ms / 1000,
							  b->client_start, &b->reclaim, err);
	if (status == ST_OK)
		status = open_salvage(b, err);
	if (status != ST_OK)
		return status;
	source.base = b->empty != NULL ? b->empty : b->begun.base;
	source.salvage = b->salvage;
	source.retired = b->reclaim.retired;
	if (b->reclaim.nretired > 0)
		log_info("what %u of %u older packs hold is stored again",
				 b->reclaim.nretired, b->reclaim.npacks);
	status = pack_writer_new(&source, &b->packs, err);
	b->pub.packs = b->packs;
	return status;
}

static enum status
run_steps(struct backup *b, struct err *err)
{
	enum status status = begin(b, err);

	if (status == ST_OK)
		status = manifest_writer_new(&b->pub.manifest, err);
	if (status == ST_OK)
		status = open_packs(b, err);
	if (status == ST_OK)
		status = record_server(b, err);
	if (status == ST_OK)
		status = receive(b, err);
	if (status != ST_OK)
		return status;
	summarize(b);
	status = publish_backup(&b->pub, err);
	if (status == ST_OK)
		fill_result(b);
	return status;
}

void
backup_result_members(const struct backup_result *r, struct json *json)
{
	char lsn[LSN_TEXT_MAX];

	json_text(json, "label", r->label);
	json_texts(json, "annotations", r->nannotations, r->annotations);
	json_text(json, "start_lsn", lsn_format(r->start_lsn, lsn));
	json_text(json, "stop_lsn", lsn_format(r->stop_lsn, lsn));
	json_int(json, "timeline", r->timeline);
	json_int(json, "files", (int64_t) r->files);
	json_int(json, "bytes", (int64_t) r->bytes);
	json_int(json, "packs", (int64_t) r->packs);
	json_int(json, "stored_bytes", (int64_t) r->stored_bytes);
	if (r->base[0] != '\0')
		json_text(json, "base", r->base);
	else
		json_null(json, "base");
	json_int(json, "digest_bytes", (int64_t) r->digest_bytes);
	json_int(json, "referenced_bytes", (int64_t) r->referenced_bytes);
	json_int(json, "changed_bytes", (int64_t) r->changed_bytes);
	json_int(json, "rewritten_bytes", (int64_t) r->rewritten_bytes);
	json_int(json, "salvaged_bytes", (int64_t) r->salvaged_bytes);
	json_text(json, "read", r->native ? "changes" : "everything");
	if (r->native)
		json_null(json, "read_why");
	else
		json_text(json, "read_why", r->why_read);
	json_bool(json, "checksums_verified", r->checksums_verified);
	json_int(json, "duration_ms", r->duration_ms);
}

static void
report_members(void *arg, struct json *json)
{
	backup_result_members(arg, json);
}

static void
put_report(struct backup *b, const struct err *failed)
{
	struct repo *repo = &b->source->session->repo;
	const struct report report = {.kind = "backup",
								  .start_time = b->client_start,
								  .end_time = (int64_t) time(NULL),
								  .backup_id = b->result->id,
								  .failed = failed,
								  .members = report_members,
								  .arg = b->result};

	b->result->duration_ms = clock_now_ms() - b->begun_ms;
	/* Also after a signal: a minute is not too long for the last words. */
	store_set_deadline(repo->store, deadline_in(SIDE_TIMEOUT_MS, NULL));
	report_put_or_tell(repo, &report);
}

enum status
backup_run(const struct backup_source *source,
		   const struct backup_options *options, struct backup_result *result,
		   struct err *err)
{
	struct backup b = {.source = source, .options = options, .result = result};
	enum status status;

	memset(result, 0, sizeof(*result));
	result->label = options->label;
	result->nannotations = options->nannotations;
	result->annotations = options->annotations;
	result->checksums_verified =
		source->facts->data_checksums && !options->no_verify;
	(void) host_name(b.host);
	b.begun_ms = clock_now_ms();
	b.client_start = (int64_t) time(NULL);
	b.pub.repo = &source->session->repo;
	b.pub.conn = source->conn;
	b.pub.backup_id = result->id;
	store_set_timeout(b.pub.repo->store,
					  source->session->cfg->command_timeout_ms, cli_cancel());
	status = run_steps(&b, err);
	/* Packs that are still on their way are of no use now. */
	pack_pool_free(b.pub.pool);
	if (result->id[0] != '\0')
		put_report(&b, status == ST_OK ? NULL : err);
	stream_free(b.stream);
	pack_writer_free(b.packs);
	manifest_writer_free(b.pub.manifest);
	salvage_free(b.salvage);
	base_free(b.empty);
	begun_free(&b.begun);
	free(b.reclaim.retired);
	return status;
}
