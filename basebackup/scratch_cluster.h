/*
 * scratch_cluster.h - a copy of the cluster, recovered aside and asked
 *
 * From the command line to a server that has recovered: the user that it runs
 * as, repository, scratch directory, backup and target, files, server.  The
 * steps come in the order below; scratch_cluster_close is due after any of
 * them, and leaves nothing.  The original is not touched: the copy has its
 * own place, no network, archives nothing, follows nobody, and its wal-fetch
 * keeps to a spool of its own.
 */
#ifndef BASEBACKUP_SCRATCH_CLUSTER_H
#define BASEBACKUP_SCRATCH_CLUSTER_H

#include <limits.h>
#include <stdbool.h>

#include "basebackup/restore.h"
#include "basebackup/restore_command.h"
#include "basebackup/scratch_dir.h"
#include "basebackup/scratch_options.h"
#include "basebackup/scratch_server.h"
#include "common/cli.h"
#include "common/err.h"
#include "common/session.h"

/* All zero to begin with. */
struct scratch_cluster
{
	const struct cli_common *common;
	const struct scratch_options *options;
	struct session session;
	struct restore_request request; /* the options', which may be changed */
	struct scratch scratch;
	struct restore_command command;
	char spool_setting[PATH_MAX];
	char config_dir[PATH_MAX];
	struct restore_choice choice;
	struct plan *plan; /* NULL: there is no choice yet */
	struct tablespace_mapping *mappings;
	char (*places)[PATH_MAX]; /* where those lead to */
	char bindir[PATH_MAX];
	struct scratch_server_options server_options;
	struct scratch_server *server;
};

/* Both are borrowed.  Becomes the user postgres if we are root. */
extern enum status scratch_cluster_open(struct scratch_cluster *cluster,
										const struct cli_common *common,
										const struct scratch_options *options,
										struct err *err) ERR_CHECK;

/* Chooses, and checks whether all can be carried out. */
extern enum status scratch_cluster_prepare(struct scratch_cluster *cluster,
										   struct err *err) ERR_CHECK;

/* Restores the files. */
extern enum status scratch_cluster_fetch(struct scratch_cluster *cluster,
										 struct err *err) ERR_CHECK;

/* Recovers; the server then takes connections. */
extern enum status scratch_cluster_start(struct scratch_cluster *cluster,
										 struct err *err) ERR_CHECK;

/* Ends the server and removes all files; the repository stays open. */
extern void scratch_cluster_remove(struct scratch_cluster *cluster);
extern void scratch_cluster_close(struct scratch_cluster *cluster);

#endif
