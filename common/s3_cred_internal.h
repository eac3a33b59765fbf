/*
 * s3_cred_internal.h - sources of credentials, inside the s3 module
 *
 * s3_cred_chain.c chooses a source and describes it; one file for each kind
 * obtains credentials from it; s3_cred.c keeps and renews them;
 * s3_cred_cache.c keeps them in the spool.
 */
#ifndef COMMON_S3_CRED_INTERNAL_H
#define COMMON_S3_CRED_INTERNAL_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "common/s3_cred.h"
#include "common/s3_http.h"
#include "common/s3_sign.h"

#define S3_CRED_ID_SIZE     257
#define S3_CRED_SECRET_SIZE 249
#define S3_CRED_TOKEN_SIZE  8193

#define S3_CRED_FOREVER INT64_MAX

struct s3_cred
{
	atomic_uint refs;
	int64_t obtained_s;
	int64_t expires_s; /* S3_CRED_FOREVER: static ones */
	struct s3_credentials keys;
	char id[S3_CRED_ID_SIZE];
	char secret[S3_CRED_SECRET_SIZE];
	char token[S3_CRED_TOKEN_SIZE];
};

/*
 * Copies them; token NULL or empty: none.  ST_CORRUPT: one is empty, too long,
 * or would not survive in a header.
 */
extern enum status
s3_cred_new(const char *id, const char *secret, const char *token,
			int64_t expires_s, struct s3_cred **out,
			struct err *err) ERR_CHECK;

/* One more owner of it; returns it. */
extern struct s3_cred *s3_cred_share(struct s3_cred *cred);

/* What of the configuration matters here; strings are copies. */
struct s3_cred_settings
{
	struct s3_cred *fixed; /* NULL: the keys are not in the configuration */
	char *profile;         /* NULL: AWS_PROFILE, or "default" */
	char *sts_endpoint;    /* NULL: Amazon's for the region */
	char *region;
	char *ca_file;
	char *spool;
	char *repository;
	char *endpoint;
	int64_t connect_timeout_ms;
	int64_t stall_timeout_ms;
};

enum s3_cred_kind
{
	S3_CRED_FIXED,
	S3_CRED_PROCESS,
	S3_CRED_ROLE,         /* AssumeRole, as somebody else */
	S3_CRED_WEB_IDENTITY, /* AssumeRoleWithWebIdentity */
	S3_CRED_CONTAINER,
	S3_CRED_INSTANCE
};

struct s3_cred_source
{
	enum s3_cred_kind kind;
	char *origin;                /* who configured it, for messages */
	struct s3_cred *fixed;       /* S3_CRED_FIXED */
	char *command;               /* S3_CRED_PROCESS */
	char *role_arn;              /* S3_CRED_ROLE, S3_CRED_WEB_IDENTITY */
	char *session_name;          /* NULL: ours */
	char *external_id;           /* NULL: none */
	unsigned duration_s;         /* 0: the service's default */
	struct s3_cred_source *base; /* S3_CRED_ROLE: who assumes it */
	char *token_file;            /* S3_CRED_WEB_IDENTITY */
	char *url;                   /* S3_CRED_CONTAINER, S3_CRED_INSTANCE */
	bool certain;   /* somebody said that it is there: silence is an outage */
	bool version_1; /* S3_CRED_INSTANCE: may be asked so, too */
};

/* An environment variable; NULL if it is unset or empty. */
extern const char *s3_cred_env(const char *name);

/* Sets *slot to a copy, NULL for NULL. */
extern enum status
s3_cred_copy(char **slot, const char *text, struct err *err) ERR_CHECK;

/* The first source that is configured.  Statuses of s3_cred_open. */
extern enum status
s3_cred_choose(const struct s3_cred_settings *settings,
			   struct s3_cred_source **out, struct err *err) ERR_CHECK;
extern void s3_cred_source_free(struct s3_cred_source *source);

/*
 * What a profile of the shared files gives.  name NULL: the default one, which
 * may be absent.  ST_MISSING (err unset): it gives no credentials.
 */
extern enum status
s3_cred_from_profile(const char *name, struct s3_cred_source **out,
					 struct err *err) ERR_CHECK;

/* The sources that the environment configures; ST_MISSING (err unset). */
extern enum status s3_cred_from_environment(struct s3_cred_source **out,
											struct err *err) ERR_CHECK;
extern enum status
s3_cred_from_container(struct s3_cred_source **out, struct err *err) ERR_CHECK;
extern enum status
s3_cred_from_instance(struct s3_cred_source **out, struct err *err) ERR_CHECK;

/* A new source of that kind.  ST_NOMEM. */
extern enum status
s3_cred_source_new(enum s3_cred_kind kind, const char *origin,
				   struct s3_cred_source **out, struct err *err) ERR_CHECK;

#define S3_CRED_DIGEST_SIZE S3_SHA256_HEX_SIZE

/*
 * Tells configurations apart: where the credentials are from and where they
 * are for.  No secret goes in.  ST_NOMEM, ST_IO.
 */
extern enum status
s3_cred_digest(const struct s3_cred_settings *settings,
			   const struct s3_cred_source *source,
			   char out[S3_CRED_DIGEST_SIZE], struct err *err) ERR_CHECK;

/* --- asking ------------------------------------------------------------- */

struct s3_cred_context
{
	const struct s3_cred_settings *settings;
	const struct deadline *deadline;
};

/* Asks the source; one attempt, but for the instance's service. */
extern enum status
s3_cred_obtain(const struct s3_cred_context *context,
			   const struct s3_cred_source *source, struct s3_cred **out,
			   struct err *err) ERR_CHECK;

extern enum status
s3_cred_run_process(const struct s3_cred_context *context,
					const struct s3_cred_source *source, struct s3_cred **out,
					struct err *err) ERR_CHECK;
extern enum status
s3_cred_ask_sts(const struct s3_cred_context *context,
				const struct s3_cred_source *source,
				const struct s3_credentials *as, struct s3_cred **out,
				struct err *err) ERR_CHECK;
extern enum status
s3_cred_ask_container(const struct s3_cred_context *context,
					  const struct s3_cred_source *source,
					  struct s3_cred **out, struct err *err) ERR_CHECK;
extern enum status
s3_cred_ask_instance(const struct s3_cred_context *context,
					 const struct s3_cred_source *source, struct s3_cred **out,
					 struct err *err) ERR_CHECK;

/* A request to a service of credentials. */
struct s3_cred_ask
{
	const char *what; /* for messages: "ask the instance's role" */
	const char *method;
	const char *url;
	const struct s3_header *headers;
	size_t nheaders;
	const char *body; /* NULL: none */
	bool direct;      /* by no proxy */
	int64_t timeout_ms;
};

/*
 * Sends it once.  ST_OK: a whole answer, whatever its code, freed by the
 * caller in any case.  ST_RETRY: none within the time-out.
 */
extern enum status
s3_cred_send(const struct s3_cred_context *context,
			 const struct s3_cred_ask *ask, struct s3_answer *answer,
			 struct err *err) ERR_CHECK;

/*
 * The status that a refusal means: ST_RETRY where the service is busy or
 * broken, else ST_AUTH.
 */
extern enum status s3_cred_refusal(long http);

/* Hints at this host's clock if the answer's differs.  Returns err's status.
 */
extern enum status
s3_cred_hint_clock(const struct s3_answer *answer, struct err *err);

/* What fits of a service's text, as printable ASCII: it ends up in logs. */
extern void s3_cred_printable(char *out, size_t size, const char *text);

/* So little left is as good as nothing. */
#define S3_CRED_LEAST_S 10

/* A host and a scheme taken from a url; host points into it. */
struct s3_cred_url
{
	bool https;
	const char *host; /* with its port */
	size_t host_len;
	size_t name_len; /* of the host alone, brackets included */
};

/* False: neither http:// nor https://, no host, or a user in front of it. */
extern bool s3_cred_url_parse(const char *url, struct s3_cred_url *out);

/* A host, as in a url, that may be asked for secrets without TLS. */
extern bool s3_cred_plain_allowed(const char *name, size_t len);

/* --- answers ------------------------------------------------------------ */

/*
 * Credentials as JSON: AccessKeyId, SecretAccessKey, Expiration and the token,
 * as Token or SessionToken.  what is for messages: "the container's
 * credentials".  ST_CORRUPT: not such a document; ST_AUTH: a document that
 * tells a failure, by Code and Message; ST_RETRY: they have expired already.
 */
extern enum status
s3_cred_from_json(const char *what, const char *text, size_t len, bool expires,
				  struct s3_cred **out, struct err *err) ERR_CHECK;

/* What an error's JSON says, made printable; empty if it says nothing. */
extern void
s3_cred_json_message(const char *text, size_t len, char *out, size_t size);

/* AssumeRole's and AssumeRoleWithWebIdentity's answer. */
extern enum status
s3_cred_from_xml(const char *text, size_t len, struct s3_cred **out,
				 struct err *err) ERR_CHECK;

struct s3_cred_xml_error
{
	char code[64];
	char message[384];
	char request_id[128];
};

/* False: no error document of STS. */
extern bool
s3_cred_xml_error(const char *text, size_t len, struct s3_cred_xml_error *out);

/* --- the spool ---------------------------------------------------------- */

/*
 * Reads what was kept for that digest.  False if nothing is, or it is not to
 * be trusted, or has expired.  *existed: there was a file of ours, whatever
 * it held.
 */
extern bool
s3_cred_cache_load(const struct s3_cred_settings *settings, const char *digest,
				   int64_t now_s, bool *existed, struct s3_cred **out);

/* Keeps them; silently does not, where there is no place for it. */
extern void
s3_cred_cache_store(const struct s3_cred_settings *settings,
					const char *digest, const struct s3_cred *cred);

/* A cache file's content, for tests: see s3_cred_cache.c. */
extern bool s3_cred_cache_parse(char *text, size_t len, const char *digest,
								struct s3_cred **out);

#endif
