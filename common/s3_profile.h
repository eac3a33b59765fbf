/*
 * s3_profile.h - a profile in AWS's shared config and credentials files
 *
 * The grammar of both, as AWS's SDKs and Tools Reference Guide describes it
 * ("Shared config and credentials files", "Format of the config file"):
 *
 *   file     = { blank | comment | section | setting | more }
 *   comment  = [ space ] ( "#" | ";" ) anything
 *   section  = "[" name "]" [ space comment ]
 *   setting  = key [ space ] "=" [ space ] value [ space comment ]
 *   more     = space text          belongs to the setting above
 *
 * In the config file a profile is "[profile name]" or "[default]", in the
 * credentials file "[name]"; other sections are passed over.  "[profile
 * default]" hides a "[default]".  Names with spaces stand in double quotes.
 * Keys are read in either case.  A section that appears twice is one; of a key
 * that appears twice the last counts.  What follows a setting without a value
 * are settings of an inner level ("s3 =") and passed over; what follows one
 * with a value continues it in a new line.
 */
#ifndef COMMON_S3_PROFILE_H
#define COMMON_S3_PROFILE_H

#include <stdbool.h>
#include <stddef.h>

#include "common/err.h"

enum s3_profile_key
{
	PROFILE_ACCESS_KEY_ID,
	PROFILE_SECRET_ACCESS_KEY,
	PROFILE_SESSION_TOKEN,
	PROFILE_ROLE_ARN,
	PROFILE_SOURCE_PROFILE,
	PROFILE_CREDENTIAL_SOURCE,
	PROFILE_EXTERNAL_ID,
	PROFILE_ROLE_SESSION_NAME,
	PROFILE_DURATION_SECONDS,
	PROFILE_MFA_SERIAL,
	PROFILE_WEB_IDENTITY_TOKEN_FILE,
	PROFILE_CREDENTIAL_PROCESS,
	PROFILE_SSO_SESSION,
	PROFILE_SSO_START_URL,
	PROFILE_NKEYS
};

struct s3_profile
{
	bool found;
	const char *values[PROFILE_NKEYS]; /* NULL: not set; point into text */
};

/*
 * Reads the profile of that name from text, which is len bytes and a zero, and
 * which it alters.  file is for messages.  ST_CONFIG: a line that is nothing
 * of the above, named by its number; no message repeats what it says.
 */
extern enum status
s3_profile_parse(const char *file, char *text, size_t len, bool config,
				 const char *name, struct s3_profile *out,
				 struct err *err) ERR_CHECK;

#endif
