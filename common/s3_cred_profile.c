/*
 * s3_cred_profile.c - credentials that the shared files configure
 *
 * AWS_CONFIG_FILE and AWS_SHARED_CREDENTIALS_FILE, else ~/.aws/config and
 * ~/.aws/credentials.  Where both know a profile, the second wins, and an
 * access key is taken as a whole from one of them.
 */
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/s3_cred_internal.h"
#include "common/s3_profile.h"
#include "common/secretfile.h"

#define FILE_MAX ((size_t) 1 << 20)

/* Of source_profile; more is a circle. */
#define DEPTH_MAX 8

#define DURATION_MIN_S 900
#define DURATION_MAX_S 43200

enum which
{
	CREDENTIALS,
	CONFIG,
	NFILES
};

/* One of the two files, and what it says of a profile. */
struct shared_file
{
	char *path; /* NULL: there is no home to look in */
	struct secret_file file;
	struct s3_profile profile;
};

/* A profile, out of both. */
struct lookup
{
	const char *name;
	struct shared_file files[NFILES];
};

/* --- the files ----------------------------------------------------------- */

/* A copy of the home directory; NULL: there is none, or no memory. */
static char *
find_home(void)
{
	const char *home = s3_cred_env("HOME");
	struct passwd entry;
	struct passwd *found = NULL;
	char buffer[4096];

	/* A service may run without HOME, and a container's user have no entry. */
	if (home == NULL &&
		getpwuid_r(geteuid(), &entry, buffer, sizeof buffer, &found) == 0 &&
		found != NULL && found->pw_dir[0] == '/')
		home = found->pw_dir;
	return home != NULL ? strdup(home) : NULL;
}

static enum status
find_path(const char *variable, const char *usual, char **out, struct err *err)
{
	const char *path = s3_cred_env(variable);
	char *home;
	int len;

	if (path != NULL && strncmp(path, "~/", 2) != 0)
		return s3_cred_copy(out, path, err);
	if (path == NULL)
		path = usual;
	*out = NULL;
	home = find_home();
	if (home == NULL)
		return ST_OK;
	len = asprintf(out, "%s%s", home, path + 1);
	free(home);
	if (len >= 0)
		return ST_OK;
	*out = NULL;
	return err_set(err, ST_NOMEM, "out of memory");
}

/*
 * Whoever may write it chooses who we are, and what is run.  Who may read it
 * is left to its owner, as AWS's own tools do.
 */
static enum status
check_file(const struct shared_file *shared, struct err *err)
{
	const struct stat *st = &shared->file.stat;

	if ((st->st_uid == 0 || st->st_uid == geteuid()) &&
		(st->st_mode & (S_IWGRP | S_IWOTH)) == 0)
		return ST_OK;
	(void) err_set(err, ST_CONFIG, "file \"%s\" can be written by other users",
				   shared->path);
	return err_hint(err, "It must be owned by this user or root, and closed "
						 "to writing by group and world.");
}

static enum status
read_file(struct shared_file *shared, bool config, const char *name,
		  struct err *err)
{
	enum status status;

	if (shared->path == NULL)
		return ST_OK;
	status = secret_file_read(shared->path, FILE_MAX, &shared->file, err);
	/* Another user's home, say, is nowhere to look. */
	if (status == ST_MISSING ||
		(status == ST_IO && access(shared->path, F_OK) != 0))
		return ST_OK;
	if (status == ST_OK)
		status = check_file(shared, err);
	if (status == ST_OK)
		status =
			s3_profile_parse(shared->path, shared->file.text, shared->file.len,
							 config, name, &shared->profile, err);
	if (status == ST_IO)
		status = err->status = ST_CONFIG;
	return status;
}

static void
end_lookup(struct lookup *lookup)
{
	for (int i = 0; i < NFILES; i++)
	{
		free(lookup->files[i].path);
		if (lookup->files[i].file.text != NULL)
			secret_file_free(&lookup->files[i].file);
	}
}

static enum status
begin_lookup(struct lookup *lookup, const char *name, struct err *err)
{
	*lookup = (struct lookup){.name = name};
	if (find_path("AWS_SHARED_CREDENTIALS_FILE", "~/.aws/credentials",
				  &lookup->files[CREDENTIALS].path, err) == ST_OK &&
		find_path("AWS_CONFIG_FILE", "~/.aws/config",
				  &lookup->files[CONFIG].path, err) == ST_OK &&
		read_file(&lookup->files[CREDENTIALS], false, name, err) == ST_OK &&
		read_file(&lookup->files[CONFIG], true, name, err) == ST_OK)
		return ST_OK;
	end_lookup(lookup);
	return err->status;
}

static const char *
value_of(const struct lookup *lookup, enum s3_profile_key key)
{
	const char *value = lookup->files[CREDENTIALS].profile.values[key];

	return value != NULL ? value : lookup->files[CONFIG].profile.values[key];
}

/* --- what a profile means ------------------------------------------------ */

static enum status
complain(const struct lookup *lookup, struct err *err, const char *what)
{
	return err_set(err, ST_CONFIG, "profile \"%s\": %s", lookup->name, what);
}

static enum status
new_source(const struct lookup *lookup, enum s3_cred_kind kind,
		   struct s3_cred_source **out, struct err *err)
{
	char origin[128];

	(void) snprintf(origin, sizeof origin, "profile \"%s\"", lookup->name);
	return s3_cred_source_new(kind, origin, out, err);
}

/* ST_MISSING (err unset): it has no access key. */
static enum status
from_keys(const struct lookup *lookup, struct s3_cred_source **out,
		  struct err *err)
{
	const struct s3_profile *profile = NULL;
	const char *id;
	const char *secret;
	struct s3_cred_source *source;

	for (int i = 0; i < NFILES && profile == NULL; i++)
	{
		id = lookup->files[i].profile.values[PROFILE_ACCESS_KEY_ID];
		secret = lookup->files[i].profile.values[PROFILE_SECRET_ACCESS_KEY];
		if (id != NULL || secret != NULL)
			profile = &lookup->files[i].profile;
	}
	if (profile == NULL)
		return ST_MISSING;
	if (id == NULL || secret == NULL)
		return complain(lookup, err,
						"aws_access_key_id and aws_secret_access_key must be "
						"set together");
	if (new_source(lookup, S3_CRED_FIXED, &source, err) != ST_OK)
		return ST_NOMEM;
	if (s3_cred_new(id, secret, profile->values[PROFILE_SESSION_TOKEN],
					S3_CRED_FOREVER, &source->fixed, err) != ST_OK)
	{
		s3_cred_source_free(source);
		if (err->status == ST_CORRUPT)
			err->status = ST_CONFIG;
		return err_context(err, "profile \"%s\"", lookup->name);
	}
	*out = source;
	return ST_OK;
}

static enum status resolve(const char *name, unsigned depth,
						   struct s3_cred_source **out, struct err *err);

static enum status
from_credential_source(const struct lookup *lookup, const char *where,
					   struct s3_cred_source **out, struct err *err)
{
	enum status status = ST_MISSING;

	if (strcmp(where, "Ec2InstanceMetadata") == 0)
	{
		status = s3_cred_from_instance(out, err);
		if (status == ST_OK)
			(*out)->certain = true;
	}
	else if (strcmp(where, "EcsContainer") == 0)
		status = s3_cred_from_container(out, err);
	else if (strcmp(where, "Environment") == 0)
		status = s3_cred_from_environment(out, err);
	else
		return complain(lookup, err,
						"credential_source must be Environment, EcsContainer "
						"or Ec2InstanceMetadata");
	if (status == ST_MISSING)
		return complain(lookup, err,
						"the place that credential_source names is not set up "
						"in the environment");
	return status;
}

/* Who assumes the role. */
static enum status
find_base(const struct lookup *lookup, unsigned depth,
		  struct s3_cred_source **out, struct err *err)
{
	const char *profile = value_of(lookup, PROFILE_SOURCE_PROFILE);
	const char *where = value_of(lookup, PROFILE_CREDENTIAL_SOURCE);
	enum status status;

	if ((profile != NULL) == (where != NULL))
		return complain(lookup, err,
						"role_arn needs one of source_profile, "
						"credential_source and web_identity_token_file");
	if (where != NULL)
		return from_credential_source(lookup, where, out, err);

	/* A profile may hold the keys that assume its own role. */
	if (strcmp(profile, lookup->name) == 0)
		status = from_keys(lookup, out, err);
	else if (depth >= DEPTH_MAX)
		return complain(lookup, err, "source_profile goes in a circle");
	else
		status = resolve(profile, depth + 1, out, err);
	if (status == ST_MISSING)
		return complain(lookup, err,
						"its source_profile has no credentials, or does not "
						"exist");
	return status;
}

static enum status
take_duration(const struct lookup *lookup, struct s3_cred_source *source,
			  struct err *err)
{
	const char *text = value_of(lookup, PROFILE_DURATION_SECONDS);
	unsigned value = 0;

	if (text == NULL)
		return ST_OK;
	for (; *text >= '0' && *text <= '9' && value <= DURATION_MAX_S; text++)
		value = value * 10 + (unsigned) (*text - '0');
	if (*text != '\0' || value < DURATION_MIN_S || value > DURATION_MAX_S)
		return complain(lookup, err,
						"duration_seconds must be from 900 to 43200");
	source->duration_s = value;
	return ST_OK;
}

static enum status
from_role(const struct lookup *lookup, unsigned depth,
		  struct s3_cred_source **out, struct err *err)
{
	const char *file = value_of(lookup, PROFILE_WEB_IDENTITY_TOKEN_FILE);
	struct s3_cred_source *source;
	enum status status;

	if (value_of(lookup, PROFILE_MFA_SERIAL) != NULL)
		return complain(lookup, err,
						"a role that needs a one-time code (mfa_serial) "
						"cannot be assumed, since nobody is there to ask");
	status =
		new_source(lookup, file != NULL ? S3_CRED_WEB_IDENTITY : S3_CRED_ROLE,
				   &source, err);
	if (status != ST_OK)
		return status;
	status = file != NULL ? s3_cred_copy(&source->token_file, file, err)
						  : find_base(lookup, depth, &source->base, err);
	if (status == ST_OK)
		status = s3_cred_copy(&source->role_arn,
							  value_of(lookup, PROFILE_ROLE_ARN), err);
	if (status == ST_OK)
		status = s3_cred_copy(&source->external_id,
							  value_of(lookup, PROFILE_EXTERNAL_ID), err);
	if (status == ST_OK)
		status =
			s3_cred_copy(&source->session_name,
						 value_of(lookup, PROFILE_ROLE_SESSION_NAME), err);
	if (status == ST_OK)
		status = take_duration(lookup, source, err);
	if (status == ST_OK)
		*out = source;
	else
		s3_cred_source_free(source);
	return status;
}

static enum status
from_process(const struct lookup *lookup, struct s3_cred_source **out,
			 struct err *err)
{
	struct s3_cred_source *source;

	if (new_source(lookup, S3_CRED_PROCESS, &source, err) != ST_OK)
		return ST_NOMEM;
	if (s3_cred_copy(&source->command,
					 value_of(lookup, PROFILE_CREDENTIAL_PROCESS),
					 err) != ST_OK)
	{
		s3_cred_source_free(source);
		return err->status;
	}
	*out = source;
	return ST_OK;
}

static enum status
refuse_sso(const struct lookup *lookup, struct err *err)
{
	(void) complain(lookup, err,
					"sign-in by IAM Identity Center (sso_...) is not "
					"supported");
	return err_hint(err, "A profile with credential_process = aws configure "
						 "export-credentials --profile NAME uses it.");
}

/* ST_MISSING (err unset): there is no such profile, or nothing in it. */
static enum status
resolve(const char *name, unsigned depth, struct s3_cred_source **out,
		struct err *err)
{
	struct lookup lookup;
	enum status status;

	if (begin_lookup(&lookup, name, err) != ST_OK)
		return err->status;
	if (value_of(&lookup, PROFILE_ROLE_ARN) != NULL)
		status = from_role(&lookup, depth, out, err);
	else
		status = from_keys(&lookup, out, err);
	if (status == ST_MISSING &&
		value_of(&lookup, PROFILE_CREDENTIAL_PROCESS) != NULL)
		status = from_process(&lookup, out, err);
	if (status == ST_MISSING &&
		(value_of(&lookup, PROFILE_SSO_SESSION) != NULL ||
		 value_of(&lookup, PROFILE_SSO_START_URL) != NULL))
		status = refuse_sso(&lookup, err);
	end_lookup(&lookup);
	return status;
}

enum status
s3_cred_from_profile(const char *name, struct s3_cred_source **out,
					 struct err *err)
{
	enum status status = resolve(name != NULL ? name : "default", 0, out, err);

	if (status != ST_MISSING || name == NULL)
		return status;
	(void) err_set(err, ST_CONFIG,
				   "profile \"%s\" has no credentials, or does not exist",
				   name);
	return err_hint(err, "It is looked for in AWS_CONFIG_FILE, else "
						 "~/.aws/config, and in AWS_SHARED_CREDENTIALS_FILE, "
						 "else ~/.aws/credentials, of the user that runs "
						 "this.");
}
