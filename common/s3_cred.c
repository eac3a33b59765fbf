/*
 * s3_cred.c - keeps credentials, and renews them before they expire
 *
 * Each provider has at most one refresher: a thread that asks the source
 * without holding the lock.  Whoever finds credentials that hold for now takes
 * them meanwhile; the others wait.
 */
#include "common/s3_cred.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/s3_cred_internal.h"
#include "common/secretfile.h"

/* Renewed so long before the end, or a quarter of their life before it. */
#define MARGIN_S 300

/* After a renewal failed while the old ones still hold. */
#define PAUSE_S 30

/* How late a cancellation may be noticed. */
#define POLL_MS 50

struct s3_cred_provider
{
	struct s3_cred_provider *next;
	unsigned users;
	struct s3_cred_settings settings;
	struct s3_cred_source *source;
	char digest[S3_CRED_DIGEST_SIZE];

	pthread_mutex_t lock;
	pthread_cond_t changed;
	struct s3_cred *current; /* NULL: none yet, or refused */
	bool refreshing;
	bool distrust_cache; /* what it holds was refused */
	bool moved;          /* the source is no longer the digest's */
	int64_t pause_until_s;
};

/* Those of this process; by digest, so that stores share one. */
static pthread_mutex_t providers_lock = PTHREAD_MUTEX_INITIALIZER;
static struct s3_cred_provider *providers;

static int64_t
now_s(void)
{
	return (int64_t) time(NULL);
}

/* --- one set ------------------------------------------------------------- */

/* A value that goes into a header must not bring a second one along. */
static bool
take_text(char *out, size_t size, const char *text)
{
	size_t len = strlen(text);

	if (len == 0 || len >= size)
		return false;
	for (size_t i = 0; i < len; i++)
		if (text[i] <= ' ' || text[i] > '~')
			return false;
	memcpy(out, text, len + 1);
	return true;
}

enum status
s3_cred_new(const char *id, const char *secret, const char *token,
			int64_t expires_s, struct s3_cred **out, struct err *err)
{
	struct s3_cred *cred;
	void *memory = NULL;
	const char *bad = NULL;

	if (secret_alloc(sizeof *cred, &memory, err) != ST_OK)
		return err->status;
	cred = memory;
	memset(cred, 0, sizeof *cred);
	atomic_init(&cred->refs, 1);
	cred->obtained_s = now_s();
	cred->expires_s = expires_s;
	cred->keys.access_key_id = cred->id;
	cred->keys.secret_access_key = cred->secret;
	if (!take_text(cred->id, sizeof cred->id, id))
		bad = "access key id";
	else if (!take_text(cred->secret, sizeof cred->secret, secret))
		bad = "secret access key";
	else if (token != NULL && token[0] != '\0')
	{
		cred->keys.session_token = cred->token;
		if (!take_text(cred->token, sizeof cred->token, token))
			bad = "session token";
	}
	if (bad != NULL)
	{
		secret_free(cred);
		return err_set(err, ST_CORRUPT, "the %s is invalid", bad);
	}
	*out = cred;
	return ST_OK;
}

const struct s3_credentials *
s3_cred_keys(const struct s3_cred *cred)
{
	return &cred->keys;
}

void
s3_cred_release(struct s3_cred *cred)
{
	if (cred != NULL && atomic_fetch_sub(&cred->refs, 1) == 1)
		secret_free(cred);
}

struct s3_cred *
s3_cred_share(struct s3_cred *cred)
{
	(void) atomic_fetch_add(&cred->refs, 1);
	return cred;
}

/* --- open and close ------------------------------------------------------ */

static void
free_settings(struct s3_cred_settings *settings)
{
	s3_cred_release(settings->fixed);
	free(settings->profile);
	free(settings->sts_endpoint);
	free(settings->region);
	free(settings->ca_file);
	free(settings->spool);
	free(settings->repository);
	free(settings->endpoint);
}

static void
free_provider(struct s3_cred_provider *provider)
{
	s3_cred_source_free(provider->source);
	s3_cred_release(provider->current);
	free_settings(&provider->settings);
	(void) pthread_cond_destroy(&provider->changed);
	(void) pthread_mutex_destroy(&provider->lock);
	free(provider);
}

static enum status
copy_settings(const struct config *cfg, struct s3_cred_settings *out,
			  struct err *err)
{
	const struct
	{
		char **slot;
		const char *text;
	} texts[] = {
		{&out->profile, cfg->s3_profile},
		{&out->sts_endpoint, cfg->s3_sts_endpoint},
		{&out->region, cfg->s3_region},
		{&out->ca_file, cfg->s3_ca_file},
		{&out->spool, cfg->spool},
		{&out->repository, cfg->repository},
		{&out->endpoint, cfg->s3_endpoint},
	};

	out->connect_timeout_ms = cfg->connect_timeout_ms;
	out->stall_timeout_ms = cfg->stall_timeout_ms;
	for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
		if (s3_cred_copy(texts[i].slot, texts[i].text, err) != ST_OK)
			return err->status;
	if (cfg->s3_access_key_id == NULL && cfg->s3_secret_access_key == NULL)
		return ST_OK;
	if (cfg->s3_access_key_id == NULL || cfg->s3_secret_access_key == NULL)
		return err_set(err, ST_CONFIG,
					   "\"s3_access_key_id\" and \"s3_secret_access_key\" "
					   "must be set together");
	if (s3_cred_new(cfg->s3_access_key_id, cfg->s3_secret_access_key,
					cfg->s3_session_token, S3_CRED_FOREVER, &out->fixed,
					err) == ST_CORRUPT)
	{
		(void) err_context(err, "\"s3_access_key_id\" and its secrets");
		err->status = ST_CONFIG;
	}
	return out->fixed != NULL ? ST_OK : err->status;
}

/* NULL: err says why. */
static struct s3_cred_provider *
new_provider(const struct config *cfg, struct err *err)
{
	struct s3_cred_provider *provider = calloc(1, sizeof *provider);
	pthread_condattr_t clock;

	if (provider == NULL)
	{
		(void) err_set(err, ST_NOMEM, "out of memory");
		return NULL;
	}
	(void) pthread_mutex_init(&provider->lock, NULL);
	(void) pthread_condattr_init(&clock);
	(void) pthread_condattr_setclock(&clock, CLOCK_MONOTONIC);
	(void) pthread_cond_init(&provider->changed, &clock);
	(void) pthread_condattr_destroy(&clock);
	provider->users = 1;
	if (copy_settings(cfg, &provider->settings, err) != ST_OK ||
		s3_cred_choose(&provider->settings, &provider->source, err) != ST_OK ||
		s3_cred_digest(&provider->settings, provider->source, provider->digest,
					   err) != ST_OK)
	{
		free_provider(provider);
		return NULL;
	}
	return provider;
}

enum status
s3_cred_open(const struct config *cfg, struct s3_cred_provider **out,
			 struct err *err)
{
	struct s3_cred_provider *mine = new_provider(cfg, err);
	struct s3_cred_provider *other;

	if (mine == NULL)
		return err->status;

	/* Keys that are at hand need no sharing, and are not in the digest. */
	if (mine->source->kind == S3_CRED_FIXED)
	{
		*out = mine;
		return ST_OK;
	}
	(void) pthread_mutex_lock(&providers_lock);
	for (other = providers; other != NULL; other = other->next)
		if (strcmp(other->digest, mine->digest) == 0)
			break;
	if (other != NULL)
		other->users++;
	else
	{
		mine->next = providers;
		providers = mine;
	}
	(void) pthread_mutex_unlock(&providers_lock);
	if (other != NULL)
		free_provider(mine);
	*out = other != NULL ? other : mine;
	return ST_OK;
}

void
s3_cred_close(struct s3_cred_provider *provider)
{
	struct s3_cred_provider **at;
	bool last;

	if (provider == NULL)
		return;
	(void) pthread_mutex_lock(&providers_lock);
	last = --provider->users == 0;
	for (at = &providers; last && *at != NULL; at = &(*at)->next)
		if (*at == provider)
		{
			*at = provider->next;
			break;
		}
	(void) pthread_mutex_unlock(&providers_lock);
	if (last)
		free_provider(provider);
}

/* --- acquire ------------------------------------------------------------- */

/* How long before their end to look for new ones. */
static int64_t
margin_s(const struct s3_cred *cred)
{
	int64_t quarter = (cred->expires_s - cred->obtained_s) / 4;

	return quarter < MARGIN_S ? quarter : MARGIN_S;
}

static bool
holds(const struct s3_cred *cred)
{
	return cred != NULL && (cred->expires_s == S3_CRED_FOREVER ||
							cred->expires_s - now_s() > S3_CRED_LEAST_S);
}

static bool
fresh(const struct s3_cred *cred)
{
	return cred != NULL &&
		   (cred->expires_s == S3_CRED_FOREVER ||
			cred->expires_s - now_s() > S3_CRED_LEAST_S + margin_s(cred));
}

static void
install(struct s3_cred_provider *provider, struct s3_cred *cred)
{
	s3_cred_release(provider->current);
	provider->current = cred;
}

/* Keys in the shared files may have been replaced since. */
static enum status
choose_again(struct s3_cred_provider *provider, struct err *err)
{
	char digest[S3_CRED_DIGEST_SIZE];
	struct s3_cred_source *source;

	if (provider->settings.fixed != NULL)
		return ST_OK;
	if (s3_cred_choose(&provider->settings, &source, err) != ST_OK)
		return err->status;
	if (s3_cred_digest(&provider->settings, source, digest, err) != ST_OK)
	{
		s3_cred_source_free(source);
		return err->status;
	}
	provider->moved = strcmp(digest, provider->digest) != 0;
	source->certain =
		source->certain || (provider->source->certain && !provider->moved);
	s3_cred_source_free(provider->source);
	provider->source = source;
	return ST_OK;
}

/* By the refresher, without the lock: from the spool, or the source. */
static enum status
refresh(struct s3_cred_provider *provider, const struct deadline *d,
		bool use_cache, struct s3_cred **out, struct err *err)
{
	struct s3_cred_context context = {&provider->settings, d};
	struct s3_cred *kept = NULL;
	bool existed = false;
	enum status status;

	if (provider->source->kind != S3_CRED_FIXED &&
		s3_cred_cache_load(&provider->settings, provider->digest, now_s(),
						   &existed, &kept) &&
		use_cache && fresh(kept))
	{
		*out = kept;
		return ST_OK;
	}
	if (existed)
		provider->source->certain = true;
	status = choose_again(provider, err);
	if (status == ST_OK)
		status = s3_cred_obtain(&context, provider->source, out, err);
	if (status == ST_OK)
	{
		provider->source->certain = true;
		if (provider->source->kind != S3_CRED_FIXED && !provider->moved &&
			fresh(*out))
			s3_cred_cache_store(&provider->settings, provider->digest, *out);
	}
	else if (use_cache && holds(kept))
	{
		*out = s3_cred_share(kept);
		status = ST_OK;
	}
	s3_cred_release(kept);
	return status;
}

/* Lets go of the lock meanwhile. */
static enum status
refresh_locked(struct s3_cred_provider *provider, const struct deadline *d,
			   struct err *err)
{
	bool use_cache = !provider->distrust_cache;
	struct s3_cred *cred = NULL;
	enum status status;

	provider->refreshing = true;
	(void) pthread_mutex_unlock(&provider->lock);
	status = refresh(provider, d, use_cache, &cred, err);
	(void) pthread_mutex_lock(&provider->lock);
	provider->refreshing = false;
	if (status == ST_OK)
	{
		install(provider, cred);
		provider->distrust_cache = false;
	}
	if (status != ST_OK || !fresh(cred))
		provider->pause_until_s = now_s() + PAUSE_S;
	(void) pthread_cond_broadcast(&provider->changed);
	return status;
}

static void
wait_a_little(struct s3_cred_provider *provider)
{
	struct timespec until;

	(void) clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_nsec += POLL_MS * 1000000L;
	if (until.tv_nsec >= 1000000000L)
	{
		until.tv_nsec -= 1000000000L;
		until.tv_sec++;
	}
	(void) pthread_cond_timedwait(&provider->changed, &provider->lock, &until);
}

enum status
s3_cred_acquire(struct s3_cred_provider *provider, const struct deadline *d,
				struct s3_cred **out, struct err *err)
{
	enum status status = ST_OK;

	(void) pthread_mutex_lock(&provider->lock);
	while (status == ST_OK)
	{
		if (fresh(provider->current) ||
			(holds(provider->current) &&
			 (provider->refreshing || now_s() < provider->pause_until_s)))
			break;
		if (provider->refreshing)
		{
			wait_a_little(provider);
			status = deadline_check(d, err);
			continue;
		}
		status = refresh_locked(provider, d, err);
		if (!holds(provider->current) && status == ST_OK)
			status = err_set(err, ST_RETRY,
							 "the credentials ended before they were used");
		else if (holds(provider->current))
		{
			status = ST_OK;
			break;
		}
	}
	if (status == ST_OK)
		*out = s3_cred_share(provider->current);
	(void) pthread_mutex_unlock(&provider->lock);
	return status;
}

bool
s3_cred_refused(struct s3_cred_provider *provider, const struct s3_cred *cred)
{
	bool others;

	if (provider->settings.fixed != NULL)
		return false;
	(void) pthread_mutex_lock(&provider->lock);
	others = provider->current != cred;
	if (!others && now_s() - cred->obtained_s > PAUSE_S)
	{
		install(provider, NULL);
		provider->distrust_cache = true;
		provider->pause_until_s = 0;
		others = true;
	}
	(void) pthread_mutex_unlock(&provider->lock);
	return others;
}
