/*
 * test_sql_split.c - statements, names and databases out of a file of SQL
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "basebackup/sql_split.h"

/* "line[database]name|statement" of each, then how it ended. */
static void
check(const char *text, const char *expected)
{
	struct sql_statement s = {.line = 0};
	char found[512] = "";
	size_t at = 0, len = 0;
	unsigned line = 1;
	struct err err;
	enum status st;

	while ((st = sql_split(text, strlen(text), &at, &line, &s, &err)) == ST_OK)
		len += (size_t) snprintf(
			found + len, sizeof(found) - len, "%u[%.*s]%.*s|%.*s\n", s.line,
			(int) s.database_len, text + s.database_at, (int) s.name_len,
			text + s.name_at, (int) s.len, text + s.at);
	if (st != ST_MISSING)
		(void) snprintf(found + len, sizeof(found) - len, "%s", err.message);
	assert_string_equal(found, expected);
}

static void
test_statements(void **state)
{
	(void) state;
	check("", "");
	check(" \n;; -- nothing\n/* at /* all */ */", "");
	check("select 1", "1[]|select 1\n");
	check("select 1;\n select 2 ;select 3",
		  "1[]|select 1\n2[]|select 2\n2[]|select 3\n");
	check("a -- ; b\n;c", "1[]|a -- ; b\n2[]|c\n");
	check("a /* ; /* ; */ ; */ b;c", "1[]|a /* ; /* ; */ ; */ b\n1[]|c\n");
}

static void
test_quotes(void **state)
{
	(void) state;
	check("select ';';b", "1[]|select ';'\n1[]|b\n");
	check("select 'it''s;';b", "1[]|select 'it''s;'\n1[]|b\n");
	check("select '\\';b", "1[]|select '\\'\n1[]|b\n");
	check("select E'\\';''';b", "1[]|select E'\\';'''\n1[]|b\n");
	check("select e'a''\\';';b", "1[]|select e'a''\\';'\n1[]|b\n");
	check("like'\\';b", "1[]|like'\\'\n1[]|b\n");
	check("\"a;\"\"b\";c", "1[]|\"a;\"\"b\"\n1[]|c\n");
	check("$$;$$;b", "1[]|$$;$$\n1[]|b\n");
	check("$a$;$$;$b$;$a$;b", "1[]|$a$;$$;$b$;$a$\n1[]|b\n");
	check("a$1;b$c$;d", "1[]|a$1\n1[]|b$c$\n1[]|d\n");
	check("$1;$2;b", "1[]|$1\n1[]|$2\n1[]|b\n");
}

static void
test_names(void **state)
{
	(void) state;
	check("-- one\na;\n-- two\n\nb;\n--- three \r\n c;",
		  "2[]one|a\n5[]|b\n7[]three|c\n");
	check("-- x\n-- y\na", "3[]y|a\n");
	check("a; -- behind\nb", "1[]|a\n2[]behind|b\n");
}

static void
test_databases(void **state)
{
	static const char *const wrong[] = {
		"\\c ;",     "\\c \"\"",        "\\c \"a\"\"b\"",
		"\\c \"a b", "\\c \"a\" \"b\"", "\\c \"",
	};

	(void) state;
	check("a;\n\\connect shop\nb;c;\n\\c  other \n-- n\nd",
		  "1[]|a\n3[shop]|b\n3[shop]|c\n6[other]n|d\n");
	check("\\c shop;\na;\n\\connect \"my Shop\" ;\nb",
		  "2[shop]|a\n4[my Shop]|b\n");
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		check(wrong[i],
			  "line 1: of psql's commands only \\connect DATABASE is "
			  "known");
	check("\\c\na", "line 1: of psql's commands only \\connect DATABASE is "
					"known");
	check("a;\n\\connect x y\n", "1[]|a\nline 2: of psql's commands only "
								 "\\connect DATABASE is known");
	check("\\cx y", "line 1: of psql's commands only \\connect DATABASE is "
					"known");
}

static void
test_unended(void **state)
{
	(void) state;
	check("a;\n'b\n", "1[]|a\nline 2: a quote without an end");
	check("\"", "line 1: a quote without an end");
	check("E'\\'", "line 1: a quote without an end");
	check("$a$ $b$", "line 1: a quote without an end");
	check("\n/* /* */", "line 2: a comment without an end");
	check("a /*", "line 1: a comment without an end");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_statements), cmocka_unit_test(test_quotes),
		cmocka_unit_test(test_names),      cmocka_unit_test(test_databases),
		cmocka_unit_test(test_unended),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
