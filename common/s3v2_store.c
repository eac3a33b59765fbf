/*
 * s3v2_store.c - objects in an S3 bucket by libs3, signed with SigV2
 */
#include "common/s3v2_store.h"

#include <inttypes.h>
#include <openssl/crypto.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "common/s3_sign.h"
#include "walship_build.h"

static struct s3v2_store *
of(struct store *base)
{
	return (struct s3v2_store *) base;
}

/* --- head ----------------------------------------------------------------
 *
 * libs3 2.0 knows the names of headers in one spelling only, and a proxy may
 * write them in another.  So what is there is learnt from listings, and what
 * is not from NoSuchKey.
 */

static S3Status
ignore_data(int len, const char *data, void *arg)
{
	struct s3v2_call *call = arg;

	(void) len;
	(void) data;
	call->moved_ms = clock_now_ms();
	return S3StatusOK;
}

/* ST_MISSING by the store's own word; ST_OK: it is there. */
static enum status
probe_object(struct s3v2_store *store, const char *key, struct err *err)
{
	struct s3v2_call call = {.verb = "look up",
							 .subject = key,
							 .is_key = true,
							 .permission = "s3:GetObject",
							 .may_be_missing = true};
	S3GetObjectHandler handler = {s3v2_response, ignore_data};
	S3RequestContext *context;
	char *name = s3v2_name(store, key);
	enum status status;

	if (name == NULL)
		return err_set(err, ST_NOMEM, "out of memory");
	status = s3v2_begin(store, &call, &context, err);
	if (status == ST_OK)
	{
		S3_get_object(&store->bucket, name, NULL, 0, 1, context, &handler,
					  &call);
		status = s3v2_finish(store, &call, context, err);
	}
	free(name);

	/* An empty object has no first byte. */
	if (status == ST_OK && call.result != S3StatusOK &&
		call.result != S3StatusErrorInvalidRange)
		status = s3v2_explain(store, &call, err);
	return status;
}

struct lookup
{
	const char *key;
	bool found;
	struct store_stat stat;
};

static enum status
note_entry(void *arg, const struct store_entry *entry, struct err *err)
{
	struct lookup *lookup = arg;

	(void) err;
	if (entry->is_prefix || strcmp(entry->key, lookup->key) != 0)
		return ST_OK;
	lookup->found = true;
	lookup->stat = entry->stat;
	return ST_OK;
}

static enum status
s3v2_head(struct store *base, const char *key, struct store_stat *stat,
		  struct err *err)
{
	struct lookup lookup = {.key = key};
	enum status status =
		s3v2_list(base, key, NULL, false, note_entry, &lookup, err);

	if (status == ST_OK && !lookup.found)
	{
		status = probe_object(of(base), key, err);
		if (status == ST_OK)
			status = err_set(err, ST_RETRY,
							 "could not look up \"%s\": the store does not "
							 "list it",
							 key);
	}
	if (status == ST_OK)
		*stat = lookup.stat;
	return status;
}

/* --- get -----------------------------------------------------------------
 */

struct get
{
	struct s3v2_call call; /* first */
	uint64_t expected;
	uint64_t delivered;
	store_sink sink;
	void *arg;
};

/* An answer of another length is another range, or another object. */
static enum status
check_answer(const struct get *get)
{
	uint64_t told = get->call.content_length; /* 0: not in libs3's spelling */

	if (told == 0 || told == get->expected)
		return ST_OK;
	(void) err_set(get->call.err, ST_CONFIG,
				   "cannot get a range of \"%s\": the store answers with "
				   "another one",
				   get->call.subject);
	return err_hint(get->call.err, "A proxy in between, or the store, does "
								   "not honour requests for a range.");
}

static S3Status
on_data(int len, const char *data, void *arg)
{
	struct get *get = arg;
	enum status status = get->delivered == 0 ? check_answer(get) : ST_OK;

	if (status == ST_OK && (uint64_t) len > get->expected - get->delivered)
		status = err_set(get->call.err, ST_RETRY,
						 "could not get \"%s\": the answer is longer than it "
						 "should be",
						 get->call.subject);
	if (status == ST_OK)
		status = get->sink(get->arg, data, (size_t) len, get->call.err);
	get->call.status = status;
	if (status != ST_OK)
		return S3StatusAbortedByCallback;
	get->delivered += (uint64_t) len;

	/* The time that the sink took is not the network's. */
	get->call.moved_ms = clock_now_ms();
	return S3StatusOK;
}

/*
 * libs3 does not tell which range an answer holds.  So the size is asked for
 * first, and every answer must have exactly the length that follows from it.
 * Returns ST_OK with *length 0 where nothing is left to get.
 */
static enum status
find_length(struct store *base, const char *key, uint64_t offset,
			uint64_t *length, struct err *err)
{
	struct store_stat stat = {.size_bytes = 0};
	enum status status = s3v2_head(base, key, &stat, err);

	if (status != ST_OK)
		return status;
	if (offset > stat.size_bytes || *length > stat.size_bytes - offset)
		return err_set(err, ST_CORRUPT,
					   "object \"%s\" ends before byte %" PRIu64, key,
					   offset + *length);
	if (*length == 0)
		*length = stat.size_bytes - offset;
	return ST_OK;
}

static enum status
s3v2_get(struct store *base, const char *key, uint64_t offset, uint64_t length,
		 store_sink sink, void *arg, struct err *err)
{
	struct s3v2_store *store = of(base);
	struct get get = {.call = {.verb = "get",
							   .subject = key,
							   .is_key = true,
							   .permission = "s3:GetObject",
							   .may_be_missing = true},
					  .sink = sink,
					  .arg = arg};
	S3GetObjectHandler handler = {s3v2_response, on_data};
	S3RequestContext *context;
	enum status status = find_length(base, key, offset, &length, err);
	char *name;

	if (status != ST_OK || length == 0)
		return status;
	name = s3v2_name(store, key);
	if (name == NULL)
		return err_set(err, ST_NOMEM, "out of memory");
	get.expected = length;
	status = s3v2_begin(store, &get.call, &context, err);
	if (status == ST_OK)
	{
		S3_get_object(&store->bucket, name, NULL, offset, length, context,
					  &handler, &get);
		status = s3v2_finish(store, &get.call, context, err);
	}
	free(name);
	if (status == ST_OK && get.call.result != S3StatusOK)
		return s3v2_explain(store, &get.call, err);
	if (status == ST_OK && get.delivered != get.expected)
		return err_set(err, ST_RETRY,
					   "could not get \"%s\": only %" PRIu64 " of %" PRIu64
					   " bytes arrived",
					   key, get.delivered, get.expected);
	return status;
}

/* --- put -----------------------------------------------------------------
 */

struct put
{
	struct s3v2_call call; /* first */
	const char *data;
	size_t left;
};

static int
on_upload(int size, char *buffer, void *arg)
{
	struct put *put = arg;
	size_t len = put->left < (size_t) size ? put->left : (size_t) size;

	if (len > 0)
		memcpy(buffer, put->data, len);
	put->data += len;
	put->left -= len;
	put->call.moved_ms = clock_now_ms();
	return (int) len;
}

/* SigV2 signs no body, but it signs Content-MD5, which the store compares. */
static enum status
send_put(struct s3v2_store *store, struct put *put, const char *name,
		 struct err *err)
{
	char md5[S3_MD5_BASE64_SIZE];
	S3PutProperties properties = {
		.contentType = "application/octet-stream", .md5 = md5, .expires = -1};
	S3PutObjectHandler handler = {s3v2_response, on_upload};
	S3RequestContext *context;
	enum status status;

	if (!s3_md5_base64(put->data, put->left, md5))
		return err_set(err, ST_CONFIG, "libcrypto cannot compute MD5");
	status = s3v2_begin(store, &put->call, &context, err);
	if (status != ST_OK)
		return status;
	S3_put_object(&store->bucket, name, put->left, &properties, context,
				  &handler, put);
	return s3v2_finish(store, &put->call, context, err);
}

/*
 * libs3 2.0 reads the code of an upload's answer before the answer is there,
 * and takes an error without a document of S3's for success.  So the object
 * counts as stored when a listing shows it.
 */
static enum status
confirm_stored(struct store *base, const char *key, size_t len,
			   struct err *err)
{
	struct store_stat stat = {.size_bytes = 0};
	enum status status = s3v2_head(base, key, &stat, err);

	if (status == ST_MISSING)
		return err_set(err, ST_RETRY,
					   "could not put \"%s\": the store does not list it "
					   "afterwards",
					   key);
	if (status == ST_OK && stat.size_bytes != len)
		return err_set(err, ST_EXISTS,
					   "object \"%s\" was stored by somebody else", key);
	return status;
}

/*
 * Where the store does not say "100 Continue", libs3 takes success for a
 * failed connection; then the next try finds the object.
 */
static enum status
s3v2_put(struct store *base, const char *key, const void *data, size_t len,
		 struct err *err)
{
	struct s3v2_store *store = of(base);
	struct put put = {.call = {.verb = "put",
							   .subject = key,
							   .is_key = true,
							   .permission = "s3:PutObject"},
					  .data = len > 0 ? data : "",
					  .left = len};
	enum status status = probe_object(store, key, err);
	char *name;

	if (status == ST_OK)
		return err_set(err, ST_EXISTS, "object \"%s\" exists already", key);
	if (status != ST_MISSING)
		return status;
	name = s3v2_name(store, key);
	if (name == NULL)
		return err_set(err, ST_NOMEM, "out of memory");
	status = send_put(store, &put, name, err);
	free(name);
	if (status == ST_OK && put.call.result != S3StatusOK)
		status = s3v2_explain(store, &put.call, err);
	return status == ST_OK ? confirm_stored(base, key, len, err) : status;
}

/* --- remove --------------------------------------------------------------
 */

static enum status
remove_one(struct s3v2_store *store, const char *key, struct err *err)
{
	struct s3v2_call call = {.verb = "delete",
							 .subject = key,
							 .is_key = true,
							 .permission = "s3:DeleteObject"};
	S3RequestContext *context;
	char *name = s3v2_name(store, key);
	enum status status;

	if (name == NULL)
		return err_set(err, ST_NOMEM, "out of memory");
	status = s3v2_begin(store, &call, &context, err);
	if (status == ST_OK)
	{
		S3_delete_object(&store->bucket, name, context, &s3v2_response, &call);
		status = s3v2_finish(store, &call, context, err);
	}
	free(name);
	if (status == ST_OK && call.result != S3StatusOK &&
		call.result != S3StatusErrorNoSuchKey)
		status = s3v2_explain(store, &call, err);
	return status;
}

static enum status
s3v2_remove(struct store *base, const char *const *keys, size_t nkeys,
			store_removed removed, void *arg, struct err *err)
{
	static const struct err gone = {.status = ST_OK};
	enum status first = ST_OK;

	for (size_t i = 0; i < nkeys; i++)
	{
		struct err outcome;
		enum status status = remove_one(of(base), keys[i], &outcome);

		if (status != ST_OK && first == ST_OK)
		{
			*err = outcome;
			first = status;
		}
		if (status == ST_DEADLINE || status == ST_CANCELLED)
			return status;
		removed(arg, keys[i], status == ST_OK ? &gone : &outcome);
	}
	return first;
}

/* --- features ------------------------------------------------------------
 */

static void
ignore_outcome(void *arg, const char *key, const struct err *outcome)
{
	(void) arg;
	(void) key;
	(void) outcome;
}

/* All that can be learnt: the clock, by the time of a new object. */
static enum status
s3v2_features(struct store *base, struct store_features *out, struct err *err)
{
	struct store_features found = {.settings_known = false};
	struct store_stat stat = {.modified = 0};
	unsigned long long random;
	char key[64];
	const char *keys[] = {key};
	enum status status;

	if (getrandom(&random, sizeof random, 0) != (ssize_t) sizeof random)
		return err_set(err, ST_IO, "could not draw a random number");
	(void) snprintf(key, sizeof key, ".walship-probe-%016llx", random);
	s3_address_text(&of(base)->address, found.endpoint, sizeof found.endpoint);
	status = s3v2_put(base, key, "", 0, err);
	if (status == ST_OK)
		status = s3v2_head(base, key, &stat, err);
	if (status == ST_OK)
	{
		struct err ignored; /* who may only push may leave the probe behind */

		found.clock_offset_ms = (stat.modified - (int64_t) time(NULL)) * 1000;
		(void) s3v2_remove(base, keys, 1, ignore_outcome, NULL, &ignored);
		*out = found;
	}
	return status;
}

/* --- open and free -------------------------------------------------------
 */

static void
s3v2_free(struct store *base)
{
	struct s3v2_store *store = of(base);

	if (store->secret_access_key != NULL)
		OPENSSL_cleanse(store->secret_access_key,
						strlen(store->secret_access_key));
	free(store->secret_access_key);
	free(store->access_key_id);
	free(store);
}

static const struct store_ops s3v2_ops = {.put = s3v2_put,
										  .get = s3v2_get,
										  .head = s3v2_head,
										  .list = s3v2_list,
										  .remove = s3v2_remove,
										  .features = s3v2_features,
										  .free = s3v2_free};

static pthread_once_t libs3_once = PTHREAD_ONCE_INIT;
static S3Status libs3_ready;

static void
init_libs3(void)
{
	libs3_ready = S3_initialize("walship/" WALSHIP_VERSION, S3_INIT_ALL, NULL);
}

/* What would be left undone in silence. */
static enum status
check_settings(const struct config *cfg, struct err *err)
{
	const struct
	{
		bool is_set;
		const char *what;
	} unknown[] = {
		{cfg->s3_session_token != NULL, "a session token"},
		{cfg->s3_ca_file != NULL, "\"s3_ca_file\" or AWS_CA_BUNDLE"},
		{cfg->s3_client_cert != NULL, "\"s3_client_cert\""},
		{cfg->s3_tls == TLS_1_3, "\"s3_tls = 1.3\""},
		{cfg->s3_storage_class != NULL, "\"s3_storage_class\""},
		{cfg->s3_sse != NULL, "\"s3_sse\""},
		{cfg->s3_object_lock != NULL, "\"s3_object_lock\""},
		{cfg->s3_tags != NULL, "\"s3_tags\""},
		{cfg->s3_bucket_owner != NULL, "\"s3_bucket_owner\""},
		{cfg->s3_profile != NULL, "\"s3_profile\""},
		{cfg->s3_sts_endpoint != NULL, "\"s3_sts_endpoint\""}};

	for (size_t i = 0; i < sizeof(unknown) / sizeof(unknown[0]); i++)
	{
		if (!unknown[i].is_set)
			continue;
		(void) err_set(err, ST_CONFIG,
					   "\"s3_signature = v2\" cannot go with %s",
					   unknown[i].what);
		return err_hint(err,
						"libs3, which signs with SigV2, does not know it.");
	}
	if (cfg->s3_access_key_id != NULL && cfg->s3_secret_access_key != NULL)
		return ST_OK;
	return err_set(err, ST_CONFIG,
				   "\"s3_signature = v2\" needs \"s3_access_key_id\" and "
				   "\"s3_secret_access_key\"");
}

/* libs3 2.0 encrypts, and takes every certificate. */
static enum status
refuse_https(struct err *err)
{
	(void) err_set(err, ST_CONFIG,
				   "\"s3_signature = v2\" cannot check the certificate of an "
				   "https endpoint");
	return err_hint(err, "libs3, which signs with SigV2, takes any. Write "
						 "\"s3_tls = unverified\" if you accept that, or use "
						 "a proxy of your own for TLS.");
}

static enum status
set_bucket(const struct config *cfg, struct s3v2_store *store, struct err *err)
{
	const struct s3_address *address = &store->address;
	S3UriStyle style =
		address->virtual_host ? S3UriStyleVirtualHost : S3UriStylePath;
	size_t skip = address->virtual_host ? strlen(address->bucket) + 1 : 0;

	store->access_key_id = strdup(cfg->s3_access_key_id);
	store->secret_access_key = strdup(cfg->s3_secret_access_key);
	if (store->access_key_id == NULL || store->secret_access_key == NULL)
		return err_set(err, ST_NOMEM, "out of memory");
	store->bucket = (S3BucketContext){
		.hostName = address->host + skip,
		.bucketName = address->bucket,
		.protocol = address->https ? S3ProtocolHTTPS : S3ProtocolHTTP,
		.uriStyle = style,
		.accessKeyId = store->access_key_id,
		.secretAccessKey = store->secret_access_key};
	if (S3_validate_bucket_name(address->bucket, style) != S3StatusOK)
		return err_set(err, ST_CONFIG, "libs3 does not accept bucket \"%s\"",
					   address->bucket);
	return ST_OK;
}

enum status
s3v2_store_open(const struct config *cfg, struct store **out, struct err *err)
{
	struct s3v2_store *store;
	enum status status = check_settings(cfg, err);

	if (status != ST_OK)
		return status;
	(void) pthread_once(&libs3_once, init_libs3);
	if (libs3_ready != S3StatusOK)
		return err_set(err, ST_IO, "cannot initialise libs3: %s",
					   S3_get_status_name(libs3_ready));
	store = calloc(1, sizeof *store);
	if (store == NULL)
		return err_set(err, ST_NOMEM, "out of memory");
	store->base.ops = &s3v2_ops;
	store->base.asks_first = true;
	store->base.deadline = deadline_in(-1, NULL);
	store->stall_timeout_ms = cfg->stall_timeout_ms;
	status =
		s3_address_parse(cfg->repository, cfg->s3_endpoint, cfg->s3_region,
						 cfg->s3_addressing, &store->address, err);
	if (status == ST_OK && store->address.https &&
		cfg->s3_tls != TLS_UNVERIFIED)
		status = refuse_https(err);
	if (status == ST_OK)
		status = set_bucket(cfg, store, err);
	if (status == ST_OK)
		*out = &store->base;
	else
		s3v2_free(&store->base);
	return status;
}
