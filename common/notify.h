/*
 * notify.h - tells somebody: notify_command and what it gets
 *
 * The command is run by /bin/sh with a JSON document as its standard input.
 * It can hold nothing up for longer than it is given, and fails nothing:
 * whoever calls this has done its work before.
 *
 * Of our environment it gets only what a program needs to run, and to find
 * its way out: NOTIFY_PASSES.  So no key, no credential and no password is in
 * it, whatever the environment has.
 */
#ifndef COMMON_NOTIFY_H
#define COMMON_NOTIFY_H

#include <signal.h>
#include <stddef.h>
#include <stdint.h>

#include "common/deadline.h"
#include "common/err.h"

/* For a command that nobody but us waits for. */
#define NOTIFY_LIMIT_MS 30000

/* Names; one that ends in '_' stands for all that begin so. */
#define NOTIFY_PASSES                                                         \
	"PATH", "HOME", "USER", "LOGNAME", "LANG", "LC_", "TZ", "TMPDIR",         \
		"http_proxy", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY", \
		"no_proxy", "NO_PROXY", "SSL_CERT_FILE", "SSL_CERT_DIR",              \
		"CURL_CA_BUNDLE", "WALSHIP_CONFIG", "NOTIFY_"

/*
 * Runs it until the deadline.  ST_IO: it cannot be run, or failed;
 * ST_DEADLINE; ST_CANCELLED; ST_NOMEM.  Messages name neither the command,
 * which may have somebody's token in it, nor the document.
 */
extern enum status
notify_run(const char *command, const char *text, size_t len,
		   const struct deadline *d, struct err *err) ERR_CHECK;

#endif
