/*
 * store_module.c - loads the backend that speaks to an S3 server
 */
#include "common/store_internal.h"

#include <dlfcn.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/aead.h"
#include "walship_build.h"

struct module
{
	const char *file;
	const char *symbol;
	const char *needs; /* hint where it cannot be loaded */
};

static const struct module sigv4 = {
	"walship-s3.so", STORE_S3_SYMBOL,
	"Repositories in S3 need this module and the libraries libcurl, "
	"libcrypto and libexpat."};
static const struct module sigv2 = {
	"walship-s3v2.so", STORE_S3V2_SYMBOL,
	"\"s3_signature = v2\" needs this module, which is built where libs3 "
	"is, and the libraries libs3, libcrypto and libexpat."};

/* The module's path beside the program, as in a build directory. */
static bool
find_beside(const char *file, char *out, size_t size)
{
	char program[PATH_MAX];
	ssize_t len = readlink("/proc/self/exe", program, sizeof(program) - 1);
	int used;

	if (len <= 0)
		return false;
	program[len] = '\0';
	used = snprintf(out, size, "%s/%s", dirname(program), file);
	return used > 0 && (size_t) used < size && access(out, F_OK) == 0;
}

/*
 * From beside the program, else from where it was installed.  It stays
 * loaded: libcurl's and libcrypto's exit handlers do not survive an
 * unloading.
 */
static void *
load(const struct module *module, struct err *err)
{
	char path[PATH_MAX];
	const char *reason;
	void *loaded;

	if (!find_beside(module->file, path, sizeof(path)))
		(void) snprintf(path, sizeof(path), "%s/%s", WALSHIP_MODULE_DIR,
						module->file);
	loaded = dlopen(path, RTLD_NOW | RTLD_LOCAL);
	if (loaded != NULL)
		return loaded;
	reason = dlerror();
	err_set(err, ST_CONFIG, "could not load module \"%s\": %s", path,
			reason != NULL ? reason : "no reason given");
	err_hint(err, "%s", module->needs);
	return NULL;
}

enum status
store_open_module(const struct config *cfg, struct store **out,
				  struct err *err)
{
	const struct module *module =
		cfg->s3_signature == SIGNATURE_V2 ? &sigv2 : &sigv4;
	s3_store_open_fn open_fn;
	void *loaded = load(module, err);
	void *symbol;

	if (loaded == NULL)
		return ST_CONFIG;
	symbol = dlsym(loaded, module->symbol);
	if (symbol == NULL)
		return err_set(err, ST_CONFIG, "module \"%s\" lacks symbol \"%s\"",
					   module->file, module->symbol);

	/* ISO C has no conversion from object to function pointer. */
	memcpy(&open_fn, &symbol, sizeof(open_fn));
	/* With the module came libcrypto. */
	symbol = dlsym(loaded, AEAD_LIBCRYPTO_SYMBOL);
	if (symbol != NULL)
		(void) aead_use(symbol);
	return open_fn(cfg, out, err);
}
