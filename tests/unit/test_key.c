/*
 * test_key.c - key files, key commands, new keys
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/cli.h"
#include "common/key.h"
#include "common/keycommand.h"
#include "common/secretfile.h"

/*
 * Ids computed with Python's hashlib: blake2b(b"walship key id v1",
 * key=KEY, digest_size=8).
 */
#define KEY_A \
	"000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
#define ID_A "c88881365555b10c"
#define KEY_B \
	"ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff"
#define ID_B   "f3cf631b0fb020d8"
#define LINE_A "walship-key-v1 " ID_A " " KEY_A
#define LINE_B "walship-key-v1 " ID_B " " KEY_B

static char dir[] = "/tmp/walship-test-key-XXXXXX";
static char file[64];

static void
write_file(const char *text, mode_t mode)
{
	FILE *f = fopen(file, "w");

	assert_non_null(f);
	assert_true(fputs(text, f) >= 0);
	assert_int_equal(fclose(f), 0);
	assert_int_equal(chmod(file, mode), 0);
}

static struct keyring *
accepted(const char *text)
{
	struct keyring *ring = NULL;
	struct err err;

	if (keyring_parse("s", text, strlen(text), &ring, &err) != ST_OK)
		fail_msg("refused: %s", err.message);
	return ring;
}

static void
refused(const char *text, const char *message)
{
	struct keyring *ring = NULL;
	struct err err;

	assert_int_equal(keyring_parse("s", text, strlen(text), &ring, &err),
					 ST_CONFIG);
	assert_null(ring);
	assert_string_equal(err.message, message);
}

static void
test_known_ids(void **state)
{
	static const uint8_t id_a[] = {0xc8, 0x88, 0x81, 0x36,
								   0x55, 0x55, 0xb1, 0x0c};
	static const uint8_t unknown[KEY_ID_BYTES] = {0};
	struct keyring *ring = accepted("# comment\n\n" LINE_A "\n" LINE_B "\n");
	const uint8_t *key;

	(void) state;
	assert_true(keyring_sealed(ring));
	assert_memory_equal(keyring_first_id(ring), id_a, KEY_ID_BYTES);
	key = keyring_find(ring, id_a);
	assert_non_null(key);
	for (uint8_t i = 0; i < KEY_BYTES; i++)
		assert_int_equal(key[i], i);
	assert_null(keyring_find(ring, unknown));
	keyring_free(ring);

	ring = accepted(LINE_B "\n" LINE_A);
	assert_memory_not_equal(keyring_first_id(ring), id_a, KEY_ID_BYTES);
	assert_non_null(keyring_find(ring, id_a));
	keyring_free(ring);
	keyring_free(NULL);
}

static void
test_lines(void **state)
{
	(void) state;
	keyring_free(accepted(LINE_A));
	keyring_free(accepted(LINE_A "\r\n"));
	keyring_free(accepted(LINE_A " a comment\n \t\n#\n"));
	keyring_free(accepted("walship-key-v1\t " ID_A "  " KEY_A "\t"));

	refused("", "s holds no key");
	refused("#" LINE_A "\n", "s holds no key");
	refused("\n\nkey\n", "s, line 3: this is not a key");
	refused(" " LINE_A, "s, line 1: this is not a key");
	refused("walship-key-v2 " ID_A " " KEY_A, "s, line 1: this is not a key");
	refused("walship-key-v1", "s, line 1: malformed key");
	refused("walship-key-v1 " ID_A, "s, line 1: malformed key");
	refused("walship-key-v1 " ID_A KEY_A, "s, line 1: malformed key");
	refused(LINE_A "0", "s, line 1: malformed key");
	refused("walship-key-v1 C88881365555B10C " KEY_A,
			"s, line 1: malformed key");
	refused("walship-key-v1 " ID_A " 0", "s, line 1: malformed key");
	refused("walship-key-v1 " ID_B " " KEY_A, "s, line 1: damaged key");
	refused("walship-key-v1 " ID_A " 1" KEY_A, "s, line 1: malformed key");
	refused(LINE_A "\n" LINE_B "\n" LINE_A "\n",
			"s, line 3: the same key is given twice");
}

static void
test_bytes(void **state)
{
	static const char zero[] = "walship-key-v1 " ID_A "\0" KEY_A;
	struct keyring *ring;
	struct err err;

	(void) state;
	assert_int_equal(keyring_parse("s", zero, sizeof zero - 1, &ring, &err),
					 ST_CONFIG);

	/* Every single changed digit of the key is noticed. */
	for (size_t i = 0; i < strlen(LINE_A); i++)
	{
		char line[] = LINE_A;

		line[i] = line[i] == '0' ? '1' : '0';
		assert_int_equal(keyring_parse("s", line, strlen(line), &ring, &err),
						 ST_CONFIG);
		assert_null(strstr(err.message, "0001"));
	}
}

static void
test_too_many(void **state)
{
	static char text[(KEYS_MAX + 1) * 128];
	struct keyring *ring = NULL;
	struct err err;
	size_t len = 0;

	(void) state;
	for (int i = 0; i <= KEYS_MAX; i++)
	{
		char id[17];

		(void) unlink(file);
		assert_int_equal(key_generate_file(file, id, &err), ST_OK);
		FILE *f = fopen(file, "r");
		assert_non_null(f);
		while (fgets(text + len, 120, f) != NULL)
			if (text[len] != '#')
				len += strlen(text + len);
		assert_int_equal(fclose(f), 0);
	}
	text[len] = '\0';
	assert_int_equal(keyring_parse("s", text, len, &ring, &err), ST_CONFIG);
	assert_string_equal(err.message, "s, line 65: more than 64 keys");
	len -= strlen(LINE_A) + 1;
	assert_int_equal(keyring_parse("s", text, len, &ring, &err), ST_OK);
	keyring_free(ring);
	(void) unlink(file);
}

static void
test_none(void **state)
{
	static const uint8_t id[KEY_ID_BYTES] = {0};
	struct config cfg = {.encryption = ENCRYPTION_NONE};
	struct keyring *ring = NULL;
	struct err err;

	(void) state;
	assert_int_equal(keyring_load(&cfg, &ring, &err), ST_OK);
	assert_false(keyring_sealed(ring));
	assert_null(keyring_find(ring, id));
	keyring_free(ring);

	cfg.encryption = ENCRYPTION_XCHACHA20;
	assert_int_equal(keyring_load(&cfg, &ring, &err), ST_CONFIG);
	cfg.key_file = file;
	cfg.key_command = file;
	assert_int_equal(keyring_load(&cfg, &ring, &err), ST_CONFIG);
}

static void
load(enum status expected, const char *before, const char *behind)
{
	struct config cfg = {.key_file = file};
	struct keyring *ring = NULL;
	struct err err;
	char text[256];

	assert_int_equal(keyring_load(&cfg, &ring, &err), expected);
	if (expected != ST_OK)
	{
		(void) snprintf(text, sizeof text, "%sfile \"%s\"%s", before, file,
						behind);
		assert_string_equal(err.message, text);
	}
	keyring_free(ring);
}

static void
test_file(void **state)
{
	(void) state;
	(void) unlink(file);
	load(ST_IO, "key_file: could not open ", ": No such file or directory");
	write_file(LINE_A, 0400);
	load(ST_OK, "", "");
	write_file(LINE_A, 0604);
	load(ST_CONFIG, "", " has group or world access");
	write_file(LINE_A, 0620);
	load(ST_CONFIG, "", " has group or world access");
	write_file("x", 0600);
	load(ST_CONFIG, "", ", line 1: this is not a key");
	write_file("", 0600);
	load(ST_CONFIG, "", " holds no key");
	assert_int_equal(truncate(file, 65537), 0);
	load(ST_CONFIG, "key_file: ", " is larger than 65536 bytes");

	assert_int_equal(unlink(file), 0);
	assert_int_equal(mkfifo(file, 0600), 0);
	load(ST_CONFIG, "key_file: ", " is not a regular file");
	assert_int_equal(unlink(file), 0);
}

static void
test_file_of_another_owner(void **state)
{
	(void) state;
	if (geteuid() != 0)
	{
		print_message("not root: other owners are not tried\n");
		skip();
	}
	write_file(LINE_A, 0640);
	load(ST_OK, "", "");
	assert_int_equal(chown(file, 65534, 65534), 0);
	assert_int_equal(chmod(file, 0600), 0);
	load(ST_CONFIG, "", " is owned by neither this user nor root");
	assert_int_equal(unlink(file), 0);
}

static enum status
run(const char *command, int64_t timeout_ms, struct err *err)
{
	char copy[160];
	struct config cfg = {.key_command = copy};
	struct deadline d = deadline_in(timeout_ms, NULL);
	struct keyring *ring = NULL;
	enum status status;
	char *text;
	size_t len;

	assert_true(strlen(command) < sizeof copy);
	memcpy(copy, command, strlen(command) + 1);
	if (timeout_ms < 0)
	{
		status = keyring_load(&cfg, &ring, err);
		keyring_free(ring);
		return status;
	}
	status = key_command_run(command, 1000, &d, &text, &len, err);
	if (status == ST_OK)
		secret_free(text);
	return status;
}

static void
test_command(void **state)
{
	struct err err;

	(void) state;
	assert_int_equal(run("echo '" LINE_A "'", -1, &err), ST_OK);
	assert_int_equal(run("echo '" LINE_A "'; exit 3", -1, &err), ST_IO);
	assert_string_equal(err.message, "key_command failed with exit code 3");
	assert_int_equal(run("kill -TERM $$", -1, &err), ST_IO);
	assert_string_equal(err.message, "key_command was ended by signal 15");
	assert_int_equal(run("/nonexistent 2>/dev/null", -1, &err), ST_IO);
	assert_string_equal(err.message, "key_command failed with exit code 127");
	assert_int_equal(run("echo hush", -1, &err), ST_CONFIG);
	assert_string_equal(err.message,
						"output of key_command, line 1: this is not a key");
	assert_int_equal(run("true", -1, &err), ST_CONFIG);
	assert_int_equal(run("cat /dev/zero", -1, &err), ST_IO);
	assert_string_equal(err.message,
						"key_command printed more than 65536 bytes");
}

static void
test_command_output(void **state)
{
	struct deadline d = deadline_in(-1, NULL);
	struct err err;
	char *text;
	size_t len;

	(void) state;
	assert_int_equal(key_command_run("printf 0123", 4, &d, &text, &len, &err),
					 ST_OK);
	assert_int_equal(len, 4);
	assert_string_equal(text, "0123");
	secret_free(text);
	assert_int_equal(key_command_run("printf 0123", 3, &d, &text, &len, &err),
					 ST_IO);
	assert_string_equal(err.message, "key_command printed more than 3 bytes");
}

/* The command sees nothing of ours but standard error. */
static void
test_command_surroundings(void **state)
{
	struct err err;
	int inherited = dup(STDERR_FILENO);

	(void) state;
	assert_true(inherited > STDERR_FILENO);
	assert_true(signal(SIGPIPE, SIG_IGN) != SIG_ERR);
	assert_true(signal(SIGINT, SIG_IGN) != SIG_ERR);

	/* Its shell opens the directory itself: that is the fourth. */
	assert_int_equal(run("test $(ls /proc/self/fd | wc -l) = 4", 60000, &err),
					 ST_OK);
	assert_int_equal(
		run("test $(readlink /proc/self/fd/0) = /dev/null", 60000, &err),
		ST_OK);
	/* The C library's own signals, 32 and 33, stay as it likes them. */
	assert_int_equal(
		run("grep -q '^SigIgn:.*0000000$' /proc/self/status", 60000, &err),
		ST_OK);
	assert_true(signal(SIGPIPE, SIG_DFL) != SIG_ERR);
	assert_true(signal(SIGINT, SIG_DFL) != SIG_ERR);
	assert_int_equal(close(inherited), 0);
}

/* Of our variables it sees all but those that hold secrets. */
static void
test_command_environment(void **state)
{
	struct err err;

	(void) state;
	assert_int_equal(setenv("WALSHIP_S3_SECRET_ACCESS_KEY", "hush", 1), 0);
	assert_int_equal(setenv("WALSHIP_S3_SESSION_TOKEN", "hush", 1), 0);
	assert_int_equal(setenv("WALSHIP_S3_ACCESS_KEY_ID", "id", 1), 0);
	assert_int_equal(
		run("test \"$WALSHIP_S3_ACCESS_KEY_ID\" = id", 60000, &err), ST_OK);
	assert_int_equal(
		run("test -z \"$WALSHIP_S3_SECRET_ACCESS_KEY\"", 60000, &err), ST_OK);
	assert_int_equal(run("test -z \"$WALSHIP_S3_SESSION_TOKEN\"", 60000, &err),
					 ST_OK);
	assert_int_equal(unsetenv("WALSHIP_S3_SECRET_ACCESS_KEY"), 0);
	assert_int_equal(unsetenv("WALSHIP_S3_SESSION_TOKEN"), 0);
	assert_int_equal(unsetenv("WALSHIP_S3_ACCESS_KEY_ID"), 0);
}

static void
test_command_deadline(void **state)
{
	char command[160];
	char line[256] = "";
	struct err err;
	FILE *f;
	long pid;

	(void) state;
	/* What it started in its group goes with it. */
	(void) snprintf(command, sizeof command,
					"sleep 1000 & echo $! > %s; exec sleep 1000", file);
	assert_int_equal(run(command, 1000, &err), ST_DEADLINE);
	f = fopen(file, "r");
	assert_non_null(f);
	assert_non_null(fgets(line, sizeof line, f));
	pid = strtol(line, NULL, 10);
	assert_int_equal(fclose(f), 0);
	assert_true(pid > 1);

	/* An orphan, it is adopted, and reaped like a child. */
	assert_int_equal(kill((pid_t) pid, 0), -1);
	assert_int_equal(errno, ESRCH);
	assert_int_equal(unlink(file), 0);

	/* It closes its output and stays. */
	assert_int_equal(run("exec sleep 1000 >&-", 200, &err), ST_DEADLINE);
}

static void
test_command_cancelled(void **state)
{
	volatile sig_atomic_t flag = SIGTERM;
	struct deadline d = deadline_in(-1, &flag);
	struct err err;
	char *text;
	size_t len;

	(void) state;
	assert_int_equal(key_command_run("sleep 1000", 100, &d, &text, &len, &err),
					 ST_CANCELLED);
}

static void
test_generate(void **state)
{
	struct config cfg = {.key_file = file};
	struct keyring *ring = NULL;
	struct keyring *again = NULL;
	struct stat st;
	struct err err;
	char id[17] = "";
	char hex[17];
	const uint8_t *first;

	(void) state;
	assert_int_equal(key_generate_file(file, id, &err), ST_OK);
	assert_int_equal(stat(file, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_int_equal(keyring_load(&cfg, &ring, &err), ST_OK);
	first = keyring_first_id(ring);
	for (size_t i = 0; i < KEY_ID_BYTES; i++)
		(void) snprintf(hex + 2 * i, 3, "%02x", first[i]);
	assert_string_equal(id, hex);

	/* A file that exists is left alone, also behind a symbolic link. */
	assert_int_equal(key_generate_file(file, hex, &err), ST_EXISTS);
	assert_int_equal(keyring_load(&cfg, &again, &err), ST_OK);
	assert_memory_equal(keyring_first_id(again), first, KEY_ID_BYTES);
	keyring_free(again);
	keyring_free(ring);

	assert_int_equal(unlink(file), 0);
	assert_int_equal(symlink("target", file), 0);
	assert_int_equal(key_generate_file(file, hex, &err), ST_EXISTS);
	assert_int_equal(unlink(file), 0);
	assert_int_equal(key_generate_file("/nonexistent/k", hex, &err), ST_IO);
}

static int
make_dir(void **state)
{
	(void) state;
	if (mkdtemp(dir) == NULL)
		return -1;
	(void) snprintf(file, sizeof file, "%s/k", dir);
	return 0;
}

static int
remove_dir(void **state)
{
	(void) state;
	(void) unlink(file);
	return rmdir(dir);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_known_ids),
		cmocka_unit_test(test_lines),
		cmocka_unit_test(test_bytes),
		cmocka_unit_test(test_too_many),
		cmocka_unit_test(test_none),
		cmocka_unit_test(test_file),
		cmocka_unit_test(test_file_of_another_owner),
		cmocka_unit_test(test_command),
		cmocka_unit_test(test_command_output),
		cmocka_unit_test(test_command_surroundings),
		cmocka_unit_test(test_command_environment),
		cmocka_unit_test(test_command_deadline),
		cmocka_unit_test(test_command_cancelled),
		cmocka_unit_test(test_generate),
	};

	return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
