/*
 * scratch_options.h - what every command says that recovers a cluster aside
 */
#ifndef BASEBACKUP_SCRATCH_OPTIONS_H
#define BASEBACKUP_SCRATCH_OPTIONS_H

#include <getopt.h>
#include <stdbool.h>

#include "basebackup/recovery_options.h"
#include "basebackup/restore.h"

struct scratch_options
{
	struct restore_request request; /* backup and target */
	const char *parent;             /* of the scratch directory; absolute */
	const char *bindir;             /* NULL: Debian's */
	const char *user;               /* a superuser of the cluster */
	int64_t memory_bytes;           /* 0: no limit; see scratch_server.h */
};

/* Codes for getopt_long. */
enum scratch_option_code
{
	SCRATCH_DIR = 0x2100,
	SCRATCH_BINDIR,
	SCRATCH_USER
};

/* clang-format off */
#define SCRATCH_OPTIONS \
	RECOVERY_OPTIONS, \
	{"scratch", required_argument, NULL, SCRATCH_DIR}, \
	{"bindir", required_argument, NULL, SCRATCH_BINDIR}, \
	{"username", required_argument, NULL, SCRATCH_USER}
/* clang-format on */

/* The lines of --help about them. */
#define SCRATCH_PLACE_HELP                                                   \
	"  --scratch=DIR            restore in a directory of its own in DIR, "  \
	"which\n"                                                                \
	"                           needs room for the whole cluster "           \
	"(default:\n"                                                            \
	"                           /var/tmp)\n"                                 \
	"  --bindir=DIR             where the server's programs are (default:\n" \
	"                           /usr/lib/postgresql/VERSION/bin)\n"          \
	"  --username=NAME          a superuser of the cluster (default: "       \
	"postgres)\n"
#define SCRATCH_TARGET_HELP                                              \
	"  --target-time=TIME       like \"2026-11-21 13:30:00+01\"\n"       \
	"  --target-lsn=LSN         like 0/3000060\n"                        \
	"  --target-xid=XID         the commit of a transaction\n"           \
	"  --target-name=NAME       a point made by "                        \
	"pg_create_restore_point()\n"                                        \
	"  --target-immediate       the end of the backup\n"                 \
	"  --target-timeline=N      along this timeline (default: the "      \
	"newest)\n"                                                          \
	"  --target-inclusive, --target-exclusive\n"                         \
	"                           stop behind the target (default), or "   \
	"before\n"                                                           \
	"  --allow-gap              go on although WAL that may lie behind " \
	"the\n"                                                              \
	"                           target is missing\n"                     \
	"  --thaw=DAYS              have the store bring back what is "      \
	"archived\n"

extern void scratch_options_init(struct scratch_options *options);

/* Is it one of these? */
extern bool scratch_option(int opt);

/*
 * Takes one.  arg must live as long as the options.  Returns -1 to go on,
 * else the code to exit with.
 */
extern int
scratch_option_take(const char *program, struct scratch_options *options,
					int opt, const char *arg);

/* What does not go together.  As above. */
extern int scratch_options_check(const char *program,
								 const struct scratch_options *options);

#endif
