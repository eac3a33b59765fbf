/*
 * cli.c - what all programs do the same way
 */
#include "common/cli.h"

#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include "common/log.h"
#include "walship_build.h"

static volatile sig_atomic_t cancel_signal;

static void
note_signal(int signo)
{
	cancel_signal = signo;
}

/* A file opened later must not take the place of standard error. */
static void
open_standard_descriptors(void)
{
	int fd;

	do
		fd = open("/dev/null", O_RDWR);
	while (fd >= 0 && fd <= STDERR_FILENO);
	if (fd >= 0)
		(void) close(fd);
}

void
cli_signals(void)
{
	static const int cancelling[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT};
	struct sigaction action = {.sa_handler = note_signal};
	struct rlimit none = {0, 0};
	sigset_t all;

	open_standard_descriptors();
	sigemptyset(&action.sa_mask);
	for (size_t i = 0; i < sizeof cancelling / sizeof cancelling[0]; i++)
		(void) sigaction(cancelling[i], &action, NULL);

	action.sa_handler = SIG_DFL;
	(void) sigaction(SIGALRM, &action, NULL);
	(void) sigaction(SIGCHLD, &action, NULL);
	action.sa_handler = SIG_IGN;
	(void) sigaction(SIGPIPE, &action, NULL);
	(void) sigaction(SIGXFSZ, &action, NULL);

	sigfillset(&all);
	(void) sigprocmask(SIG_UNBLOCK, &all, NULL);

	/* Nothing to do should they fail: key memory excludes itself as well. */
	(void) setrlimit(RLIMIT_CORE, &none);
	(void) prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
}

const volatile sig_atomic_t *
cli_cancel(void)
{
	return &cancel_signal;
}

void
cli_time_limit(int64_t ms)
{
	const struct itimerval timer = {
		.it_value = {.tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000}};
	struct sigaction action = {.sa_handler = note_signal};

	sigemptyset(&action.sa_mask);
	(void) sigaction(SIGALRM, &action, NULL);
	(void) setitimer(ITIMER_REAL, &timer, NULL);
}

bool
cli_timed_out(void)
{
	return cancel_signal == SIGALRM;
}

void
cli_cancel_clear(void)
{
	cli_time_limit(0);
	cancel_signal = 0;
}

void
cli_help(const char *text)
{
	if (fputs(text, stdout) == EOF || fflush(stdout) == EOF ||
		ferror(stdout) != 0)
		exit(1);
}

int
cli_usage(const char *program, const char *fmt, ...)
{
	char message[ERR_MESSAGE_MAX];
	va_list args;

	va_start(args, fmt);
	if (vsnprintf(message, sizeof message, fmt, args) < 0)
		message[0] = '\0';
	va_end(args);

	(void) fprintf(stderr, "%s: %s\nTry \"%s --help\" for more information.\n",
				   program, message, program);
	return status_exit_code(ST_CONFIG);
}

int
cli_fail(const struct err *err)
{
	log_err(err);
	return status_exit_code(err->status);
}

void
cli_common_init(struct cli_common *common, const char *program,
				const char *help)
{
	*common = (struct cli_common){.program = program, .help = help};
	log_init(program, LOG_FORMAT_TEXT, LOG_LEVEL_AUTO);

	/* What getopt_long would say differs from house style. */
	opterr = 0;
}

int
cli_add_override(struct cli_common *common, const char *setting)
{
	if (common->noverrides == CLI_OVERRIDES_MAX)
		return cli_usage(common->program, "too many settings");
	common->overrides[common->noverrides++] = setting;
	common->overrides[common->noverrides] = NULL;
	return -1;
}

/* One of a few words, each standing for a setting in full. */
static int
add_word(struct cli_common *common, const char *option, const char *arg,
		 const char *const *settings)
{
	for (; *settings != NULL; settings++)
		if (strcmp(strchr(*settings, '=') + 1, arg) == 0)
			return cli_add_override(common, *settings);
	return cli_usage(common->program, "invalid value \"%s\" for %s", arg,
					 option);
}

/* Explains what getopt_long refused. */
static int
explain(const struct cli_common *common, int opt, char **argv)
{
	const char *word = argv[optind - 1];

	if (opt == ':')
		return cli_usage(common->program, "option \"%s\" needs a value", word);
	if (strncmp(word, "--", 2) != 0)
		return cli_usage(common->program, "unknown option \"-%c\"", optopt);
	if (optopt != 0)
		return cli_usage(common->program, "option \"%.*s\" takes no value",
						 (int) strcspn(word, "="), word);
	return cli_usage(common->program, "unknown option \"%.*s\"",
					 (int) strcspn(word, "="), word);
}

int
cli_common_option(struct cli_common *common, int opt, char **argv)
{
	static const char *const formats[] = {"log_format=text", "log_format=json",
										  NULL};
	static const char *const levels[] = {"log_level=error",
										 "log_level=warning", "log_level=info",
										 "log_level=debug", NULL};

	switch (opt)
	{
		case CLI_CONFIG:
			common->config = optarg;
			return -1;
		case CLI_CLUSTER:
			if (!parse_system_identifier(optarg, &common->cluster))
				return cli_usage(common->program,
								 "invalid system identifier \"%s\"", optarg);
			return -1;
		case CLI_SET:
			if (strchr(optarg, '=') == NULL)
				return cli_usage(common->program, "--set needs KEY=VALUE");
			return cli_add_override(common, optarg);
		case CLI_LOG_FORMAT:
			return add_word(common, "--log-format", optarg, formats);
		case CLI_LOG_LEVEL:
			return add_word(common, "--log-level", optarg, levels);
		case CLI_HELP:
			cli_help(common->help);
			return 0;
		case CLI_VERSION:
			cli_help("walship " WALSHIP_VERSION "\n");
			return 0;
		default:
			return explain(common, opt, argv);
	}
}

bool
parse_uint64(const char *text, uint64_t max, uint64_t *out)
{
	uint64_t value = 0;

	if (*text == '\0')
		return false;
	for (; *text != '\0'; text++)
	{
		uint64_t digit;

		if (*text < '0' || *text > '9')
			return false;
		digit = (uint64_t) (*text - '0');
		if (value > (max - digit) / 10 || digit > max)
			return false;
		value = value * 10 + digit;
	}
	*out = value;
	return true;
}

struct unit
{
	const char *name;
	uint64_t factor;
};

/* A number and one of the units, with blanks in between or none. */
static bool
parse_amount(const char *text, const struct unit *units, size_t nunits,
			 int64_t *out)
{
	size_t digits = strspn(text, "0123456789");
	char number[24];
	uint64_t value;

	if (digits >= sizeof number)
		return false;
	memcpy(number, text, digits);
	number[digits] = '\0';
	text += digits;
	text += strspn(text, " ");

	for (size_t i = 0; i < nunits; i++)
	{
		if (strcmp(text, units[i].name) != 0)
			continue;
		if (!parse_uint64(number, INT64_MAX / units[i].factor, &value))
			return false;
		*out = (int64_t) (value * units[i].factor);
		return true;
	}
	return false;
}

bool
parse_duration_ms(const char *text, int64_t *out)
{
	static const struct unit units[] = {{"ms", 1},
										{"s", 1000},
										{"min", 60000},
										{"h", 3600000},
										{"d", 86400000}};

	return parse_amount(text, units, sizeof units / sizeof units[0], out);
}

bool
parse_size_bytes(const char *text, int64_t *out)
{
	static const struct unit units[] = {{"kB", UINT64_C(1) << 10},
										{"MB", UINT64_C(1) << 20},
										{"GB", UINT64_C(1) << 30},
										{"TB", UINT64_C(1) << 40}};

	return parse_amount(text, units, sizeof units / sizeof units[0], out);
}

bool
parse_system_identifier(const char *text, uint64_t *out)
{
	return *text != '0' && parse_uint64(text, UINT64_MAX, out);
}

char *
time_format(int64_t time_s, char *out)
{
	const int64_t first = INT64_C(-62135596800); /* 0001-01-01T00:00:00Z */
	const int64_t last = INT64_C(253402300799);  /* 9999-12-31T23:59:59Z */
	time_t t = (time_t) (time_s < first  ? first
						 : time_s > last ? last
										 : time_s);
	struct tm tm = {0};
	char text[80];

	/* strftime does not pad the year. */
	(void) gmtime_r(&t, &tm);
	(void) snprintf(text, sizeof text, "%04d-%02d-%02dT%02d:%02d:%02dZ",
					tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday, tm.tm_hour,
					tm.tm_min, tm.tm_sec);
	memcpy(out, text, 20);
	out[20] = '\0';
	return out;
}

char *
size_format(uint64_t bytes, char *out)
{
	static const char *const units[] = {"kB", "MB", "GB", "TB", "PB", "EB"};
	double value = (double) bytes / 1024;
	size_t unit = 0;

	if (bytes < 1024)
	{
		(void) snprintf(out, 16, "%u bytes", (unsigned) bytes);
		return out;
	}
	/* What would be printed as 1024 is one of the next unit. */
	while (value >= 1023.95 && unit + 1 < sizeof units / sizeof units[0])
	{
		value /= 1024;
		unit++;
	}
	(void) snprintf(out, 16, "%.1f %s", value, units[unit]);
	return out;
}
