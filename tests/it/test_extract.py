"""walship extract: a table, a database or some rows, as they were."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

from ground import roots
from ground.host import Result, run, unmount, wait_for
from ground.pg import ClusterFactory
from ground.programs import Programs
from ground.site import Site


@pytest.fixture
def site(walship: Programs, new_cluster: ClusterFactory, dir_config: Path) -> Site:
    return Site(walship, new_cluster, dir_config)


@pytest.fixture
def scratch(shared_dir: Path) -> Path:
    path = shared_dir / "x"
    run(["install", "-d", "-o", roots.PG_USER, "-g", roots.PG_USER, path]).check()
    return path


def extract(site: Site, scratch: Path, *args: str | Path) -> Result:
    """Where the server's programs are: for other versions in another root."""
    return site.primary.root.run(
        [
            *(site.programs.path("walship"), "extract"),
            *(f"--config={site.config}", f"--scratch={scratch}", *args),
        ],
        cwd=scratch,
        timeout_s=300,
    )


def moment(site: Site) -> str:
    """A time between what was and what comes."""
    site.primary.sql("select pg_sleep(0.05)")
    now = site.primary.value("select clock_timestamp()::text")
    site.primary.sql("select pg_sleep(0.05)")
    return str(now)


def servers(scratch: Path) -> list[str]:
    """Processes that work there."""
    found = run(["pgrep", "-f", f"config_file={scratch}"]).out.split()
    return [pid for pid in found if Path(f"/proc/{pid}").exists()]


def empty(scratch: Path) -> bool:
    return not list(scratch.iterdir()) and not servers(scratch)


@pytest.mark.versions
def test_dropped_table(site: Site, scratch: Path, shared_dir: Path) -> None:
    """The dropped table is back with one command, and one more to load it."""
    apart = shared_dir / "apart"
    run(["install", "-d", "-o", "postgres", "-g", "postgres", apart]).check()
    primary = site.primary
    primary.sql(f"create tablespace apart location '{apart}'")
    primary.sql("create schema sales")
    primary.sql(
        'create table sales."Big Orders" (n int primary key, t text) tablespace apart'
    )
    primary.sql(
        """insert into sales."Big Orders" select g, md5(g::text)
           from generate_series(1, 500) g"""
    )
    # A table below a table, and one below that.
    primary.sql("create table sales.days (n int) partition by range (n)")
    part = 'sales."Some ""Days"""'
    bounds = "for values from (1) to (9)"
    primary.sql(
        f"create table {part} partition of sales.days {bounds} partition by range (n)"
    )
    primary.sql(f"create table sales.day partition of {part} {bounds}")
    primary.sql("insert into sales.days values (7)")
    # It must neither listen, archive, nor wait for a standby that is not there.
    primary.sql("alter system set synchronous_standby_names = 'nobody'")
    primary.sql("alter system set listen_addresses = '*'")
    site.backup()
    primary.sql("alter system reset synchronous_standby_names")
    primary.reload()
    primary.sql("select pg_sleep(0.3)")
    primary.sql("insert into sales.\"Big Orders\" values (501, 'late')")
    rows = primary.sql('select * from sales."Big Orders" order by n')
    before = moment(site)
    primary.sql('drop table sales."Big Orders", sales.days')
    site.settle()
    archived = primary.value("select archived_count from pg_stat_archiver")

    output = shared_dir / "table.sql"
    done = extract(
        site,
        scratch,
        '--table=Postgres.sales."Big Orders"',
        "--table=postgres.SALES.Days",
        f"--target-time={before}",
        f"--output={output}",
    ).check()
    assert "working in" in done.err and "should this be killed" in done.err
    assert empty(scratch)
    primary.psql(output.read_text(encoding="utf-8"))
    assert primary.sql('select * from sales."Big Orders" order by n') == rows
    found = primary.sql("select tableoid::regclass::text, n from sales.days")
    assert found == [("sales.day", 7)]
    assert primary.value("select archived_count from pg_stat_archiver") == archived

    query = "select current_setting(n) from (values ('listen_addresses'),"
    query += "('archive_mode'), ('synchronous_standby_names'), ('ssl')) v (n)"
    done = extract(
        site, scratch, "--database=postgres", f"--query={query}", "--output=-"
    ).check()
    assert done.out.splitlines()[1:] == ['""', "off", '""', "off"]

    query = 'select n, t from sales."Big Orders" where n > 499 order by n -- two; '
    done = extract(
        site,
        scratch,
        *("--database=postgres", f"--query={query}", "--output=-"),
        f"--target-time={before}",
    ).check()
    assert done.out.splitlines() == [
        "n,t",
        f"500,{rows[499][1]}",
        "501,late",
    ]
    assert empty(scratch)


def test_database(site: Site, scratch: Path, shared_dir: Path, repo_dir: Path) -> None:
    # A name that could be a connection string, or break one.
    name = "user=x' Ünï\\C"
    quoted = "'" + name.replace("\\", "\\\\").replace("'", "\\'") + "'"
    site.primary.sql(f'create database "{name}"')
    site.primary.sql("create table t as select 7 as n", database=quoted)
    # Which would end every session, and every query of some length.
    for setting in (
        "session_preload_libraries = 'walship_none'",
        "statement_timeout = '100ms'",
    ):
        site.primary.sql(f'alter database "{name}" set {setting}')
    site.backup()
    site.settle()
    output = shared_dir / "shop.dump"
    args = [f"--database={name}", "--format=custom", f"--output={output}"]
    extract(site, scratch, *args).check()
    assert output.read_bytes()[:5] == b"PGDMP"
    assert len(list(repo_dir.glob("*/report/*-extract"))) == 1
    query = "--query=select n from t, pg_sleep(0.3)"
    done = extract(site, scratch, f"--database={name}", query, "--output=-").check()
    assert done.out == "n\n7\n"
    site.primary.program("pg_restore", "--dbname=postgres", output).check()
    assert site.primary.value("select n from t") == 7

    done = extract(site, scratch, *args)
    assert done.status == 2 and "could not create file" in done.err
    assert empty(scratch)


def test_as_root(site: Site, scratch: Path, shared_dir: Path, tmp_path: Path) -> None:
    """root's file, and postgres's work."""
    site.load()
    site.mark(3)
    site.backup()
    site.settle()
    output = tmp_path / "rows.csv"
    # A shell that is set up for another server.
    shell = {
        "PGCHANNELBINDING": "require",
        "PGDATABASE": "none",
        "PGGSSENCMODE": "require",
        "PGHOSTADDR": "127.0.0.1",
        "PGREQUIREAUTH": "scram-sha-256",
        "PGREQUIREPEER": "nobody",
        "PGSSLMODE": "require",
        "PGTARGETSESSIONATTRS": "standby",
        "PGUSER": "nobody",
    }
    done = site.programs.run(
        "walship",
        *("extract", f"--config={site.config}", f"--scratch={scratch}"),
        *("--database=postgres", "--query=table marks", f"--output={output}"),
        user="root",
        env=shell,
    ).check()
    assert 'going on as user "postgres"' in done.err
    assert output.read_text(encoding="ascii") == "n\n3\n"
    assert output.stat().st_uid == 0
    assert empty(scratch)

    # What root may read, and postgres may not.
    args = ["extract", f"--config={site.config}", "--database=x", "--output=-"]
    run(["chown", "root:", site.config]).check()
    done = site.programs.run("walship", *args, user="root")
    assert 'as user "postgres": could not open file' in done.err


# --- what goes wrong --------------------------------------------------------------


def test_usage(site: Site) -> None:
    for args in (
        [],
        ["--output=x"],
        ["--database=x"],
        ["--table=a.b", "--output=x"],
        ["--table=a.b.c.d", "--output=x"],
        ['--table=a."b.c', "--output=x"],
        ["--table=a.b.", "--output=x"],
        ["--table=a.b.c", "--table=d.b.c", "--output=x"],
        ["--table=a.b.c", "--query=x", "--output=x"],
        ["--database=a", "--query=;", "--output=x"],
        ["--database=a", "--query=x", "--format=plain", "--output=x"],
        ["--database=a", "--format=tar", "--output=x"],
        ["--database=a", "--output="],
        ["--database=a", "--output=x", "--scratch=x"],
        [
            "--database=a",
            "--output=x",
            "--target-lsn=0/1",
            "--target-exclusive",
            "b",
            "c",
        ],
        ["--database=a", "--output=x", "--target-immediate", "--target-exclusive"],
    ):
        done = site.run("extract", *args)
        assert (done.status, done.out) == (2, ""), args
        assert done.err, args
    for args, reason in (
        (["--query=select 1"], "--query needs --database=DB"),
        (["--table=a.b.c", "--database=B"], 'not "a" and "B"'),
        (["--database=B", "--table=a.b.c"], 'not of "B" and "a"'),
    ):
        done = site.run("extract", *args, "--output=x")
        assert done.status == 2 and reason in done.err


def test_failures_leave_nothing(
    site: Site, scratch: Path, shared_dir: Path, work_dir: Path
) -> None:
    site.load()
    site.backup()
    site.mark(1)
    site.settle()
    output = shared_dir / "out"

    def fails(text: str, *args: str | Path, status: int = 1) -> None:
        done = extract(site, scratch, f"--output={output}", *args)
        assert done.status == status and text in done.err, done
        assert not output.exists() and empty(scratch)

    table = "--table=postgres.public.marks"
    # One that is there is not given without the other.
    none = '--table=postgres."None".none'
    fails('is no table "None"."none" in database "postgres" at', table, none)
    fails("the shell has to let pass", none)
    fails('database "none" does not exist', "--database=none")
    query = ["--database=postgres", "--query=select 1/0"]
    fails("division by zero", *query)
    query[1] = "--query=select 'x'::json"
    fails('Token "x" is invalid.', *query)
    # Nobody reads what it gives.
    reader, writer = os.pipe()
    os.close(reader)
    line = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups", "--"]
    line += [str(site.programs.path("walship")), "extract", f"--config={site.config}"]
    line += [f"--scratch={scratch}", "--output=-", "--database=postgres"]
    line += ["--query=select repeat('x', 100000)"]
    piped = subprocess.run(
        line, cwd=scratch, stdout=writer, stderr=subprocess.PIPE, check=False
    )
    os.close(writer)
    assert piped.returncode == 1
    assert b"psql was ended by signal 13: Broken pipe" in piped.stderr
    fails('role "nobody" does not exist', table, "--username=nobody")
    fails("lies behind the last", table, "--target-time=2099-01-01 00:00:00Z", status=2)
    fails("cannot find", table, f"--bindir={work_dir}", status=2)
    fails(
        "recovery ended before configured recovery target was reached",
        *(table, "--target-name=never"),
    )
    deep = scratch / ("d" * 100)
    done = site.run("extract", f"--scratch={deep}", f"--output={output}", table)
    assert done.status == 1 and "could not make a directory in" in done.err
    run(["install", "-d", "-o", "postgres", deep]).check()
    done = site.run("extract", f"--scratch={deep}", f"--output={output}", table)
    assert done.status == 2 and "too long for a server's socket" in done.err
    deep.rmdir()
    assert not output.exists() and empty(scratch)


def test_no_room(site: Site, work_dir: Path, shared_dir: Path) -> None:
    site.load()
    site.backup()
    site.settle()
    small = work_dir / "s"
    small.mkdir()
    run(["mount", "-t", "tmpfs", "-o", "size=8m,mode=777", "tmpfs", small]).check()
    try:
        output = shared_dir / "out"
        args = ["--database=postgres", f"--output={output}"]
        done = extract(site, small, *args)
        assert done.status == 2 and "there is not enough room" in done.err
        assert not output.exists() and not list(small.iterdir())
    finally:
        unmount(small)


def test_missing_library(site: Site, scratch: Path, shared_dir: Path) -> None:
    """One that the original preloaded, and this host lacks; and a locale."""
    site.load()
    site.mark(1)
    bindir = site.primary.root.bindir
    library = Path(f"{bindir}/../lib/walship_it.so").resolve()
    existing = library.with_name("passwordcheck.so")
    library.write_bytes(existing.read_bytes())
    shutil.copytree("/usr/lib/locale/C.utf8", shared_dir / "xx_IT.utf8")
    try:
        site.primary.configure(
            {
                "shared_preload_libraries": "walship_it, auto_explain",
                "lc_monetary": "xx_IT.utf8",
            }
        )
        site.primary.restart(env={"LOCPATH": str(shared_dir)})
        site.backup()
        site.settle()
        site.primary.stop()
    finally:
        library.unlink()
    done = extract(
        site,
        scratch,
        *(
            "--database=postgres",
            "--output=-",
            "--query=select current_setting(n) from (values"
            " ('shared_preload_libraries'), ('lc_monetary')) v (n)",
        ),
    ).check()
    assert 'going on without the library "walship_it"' in done.err
    assert 'going on without the locale "xx_IT.utf8" of lc_monetary' in done.err
    assert done.out.splitlines()[1:] == ["auto_explain", "C"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
@pytest.mark.parametrize("when", ["recovering", "extracting"])
def test_killed(
    site: Site, scratch: Path, work_dir: Path, number: int, when: str
) -> None:
    """A signal cleans up; after kill -9 the server ends by itself."""
    site.load()
    site.backup()
    site.settle()
    output = scratch.parent / "out"
    if when == "recovering":
        # wal-fetch would never come back.
        site.config.write_text(
            site.config.read_text(encoding="utf-8") + "fetch_timeout = 1h\n", "utf-8"
        )
    log = work_dir / "stderr"
    sql = "select pg_sleep(600)"
    argv = [
        *(site.programs.path("walship"), "extract", f"--config={site.config}"),
        *(f"--scratch={scratch}", "--database=postgres", f"--query={sql}"),
        f"--output={output}",
    ]
    with open(log, "wb") as error:
        child = subprocess.Popen(
            ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"]
            + ["--", *map(str, argv)],
            cwd=scratch,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=error,
        )
    word = "by a private server" if when == "recovering" else "recovered; extracting"
    wait_for(lambda: word in log.read_text(encoding="utf-8"), word)
    if when == "extracting":
        wait_for(lambda: servers(scratch), "its server")
        time.sleep(0.3)
    os.kill(child.pid, number)
    child.wait(180)
    wait_for(lambda: not servers(scratch), "its server ends")
    left = list(scratch.iterdir())
    if number == signal.SIGKILL:
        found = re.search(r'working in "([^"]+)"', log.read_text(encoding="utf-8"))
        assert found and [str(path) for path in left] == [found[1]]
    else:
        assert not left and not output.exists()
        assert child.returncode == 1
