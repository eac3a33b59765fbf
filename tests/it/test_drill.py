"""walship drill: proof that a restore works, and that it notices when not."""

from __future__ import annotations

import html.parser
import json
import os
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ground import roots
from ground.host import Result, run, unmount, wait_for
from ground.pg import Cluster
from ground.programs import Programs, write_config
from ground.site import Site

CHECKS = "\ufeff" """\
-- there are <b>marks</b> & more
select count(*) > 0 from marks;
select '-- not; a comment' <> $$;$$ /* ; */ and true;
\\connect shop
-- the shop is open
select exists (select from "Orders" where note = 'it''s; done');
\\connect "Hin der";
select pg_sleep(0.1) is not null and current_setting('lock_timeout') = '0';
"""


class Depot:
    """A site whose cluster all tests share, and copies of its repository."""

    def __init__(self, site: Site, home: Path, backups: list[str]) -> None:
        self.site = site
        self.home = home
        self.backups = backups
        self.number = 0

    def place(self, name: str) -> Path:
        self.number += 1
        path = self.home / f"{name}{self.number}"
        path.mkdir(mode=0o700)
        shutil.chown(path, roots.PG_USER, roots.PG_USER)
        return path

    def file(self, text: str, encoding: str = "utf-8") -> Path:
        path = self.place("c") / "checks.sql"
        path.write_text(text, encoding=encoding)
        return path

    def copy(self) -> tuple[Path, Path]:
        """Repository and configuration, to be damaged."""
        repo = self.place("r")
        run(["cp", "-a", f"{self.home / 'repo'}/.", repo]).check()
        config = write_config(
            repo.with_suffix(".conf"),
            repository=f"file://{repo}",
            spool=self.home / "spool",
            key_file=self.home / "key",
        )
        return repo, config

    def argv(self, scratch: Path, *args: str | Path, config: Path | None = None) -> Any:
        # The limit holds for wal-fetch, too, and AddressSanitizer maps terabytes.
        memory = ["--memory=64TB"] if "WALSHIP_SANITIZE" in os.environ else []
        return [
            *(self.site.programs.path("walship"), "drill", *memory),
            *(f"--config={config or self.site.config}", f"--scratch={scratch}"),
            *args,
        ]

    def drill(self, *args: str | Path, config: Path | None = None) -> Result:
        """Nothing of it may be left, whatever comes of it."""
        scratch = self.place("s")
        done = self.site.primary.root.run(
            self.argv(scratch, *args, config=config), cwd=scratch
        )
        assert_clean(scratch)
        return done

    def passes(self, *args: str | Path, **how: Any) -> dict[str, Any]:
        done = self.drill("--json", *args, **how).check()
        result: dict[str, Any] = json.loads(done.out)
        assert result["outcome"] == "ok" and result["message"] == ""
        return result

    def fails(
        self, text: str, phase: str, *args: str | Path, **how: Any
    ) -> dict[str, Any]:
        done = self.drill("--json", *args, **how)
        assert done.status in (1, 2) and text in done.err, done
        result: dict[str, Any] = json.loads(done.out)
        assert (result["outcome"], result["failed_phase"]) == ("failed", phase)
        assert text in result["message"]
        return result

    def reports(self) -> set[Path]:
        return set((self.home / "repo").glob("*/report/*-drill"))


def servers(scratch: Path) -> list[str]:
    found = run(["pgrep", "-f", f"config_file={scratch}"]).out.split()
    return [pid for pid in found if Path(f"/proc/{pid}").exists()]


def assert_clean(scratch: Path) -> None:
    assert not list(scratch.iterdir()) and not servers(scratch)


@pytest.fixture(scope="module")
def depot(walship: Programs, run_dir: Path, pg_version: int) -> Iterator[Depot]:
    home = run_dir / f"d{pg_version}"
    for path in (home, home / "repo", home / "spool", home / "apart"):
        path.mkdir(mode=0o700)
        shutil.chown(path, roots.PG_USER, roots.PG_USER)
    walship.run("walship", "keygen", home / "key").check()
    config = write_config(
        home / "walship.conf",
        repository=f"file://{home / 'repo'}",
        spool=home / "spool",
        key_file=home / "key",
    )
    cluster = Cluster(pg_version, home / "pg")
    try:
        cluster.initdb(templates=run_dir / "templates", wal_segsize_mb=1)
        site = Site(walship, lambda **_: cluster, config, cluster)
        # Settings that would reach out of a copy.
        cluster.archive_with(f"{site.push} %p", listen_addresses="*")
        cluster.start()
        yield made(site, home)
    finally:
        cluster.close()
        shutil.rmtree(home)


def made(site: Site, home: Path) -> Depot:
    """Two backups, and transactions behind each."""
    primary = site.primary
    primary.sql("create database shop")
    primary.sql(f"create tablespace apart location '{home / 'apart'}'")
    primary.sql("create table marks (n int primary key) tablespace apart")
    primary.sql(
        """create table "Orders" as select g as n, 'it''s; done' as note
           from generate_series(1, 2000) g""",
        database="shop",
    )
    primary.sql('create index orders_n on "Orders" (n)', database="shop")
    hinder(primary)
    backups = []
    for number in range(2):
        backups.append(site.backup())
        first = number * 1000 + 1
        primary.sql(
            "insert into marks select generate_series(%s, %s)", [first, first + 99]
        )
        site.mark(number * 1000)
    site.settle()
    return Depot(site, home, backups)


def hinder(primary: Cluster) -> None:
    """A database whose settings and triggers keep its users from much."""
    primary.sql('create database "Hin der"')
    for statement in (
        "create function refuse() returns event_trigger language plpgsql as "
        "$$ begin raise exception 'no % here', tg_tag; end $$",
        "create event trigger refuse on ddl_command_start execute function refuse()",
    ):
        primary.sql(statement, database="'Hin der'")
    settings = {
        "statement_timeout": "1ms",
        "lock_timeout": "1ms",
        "default_transaction_read_only": "on",
    }
    if primary.version >= 17:
        settings["transaction_timeout"] = "1ms"
    for name, value in settings.items():
        primary.sql(f"alter database \"Hin der\" set {name} = '{value}'")


# --- what passes ------------------------------------------------------------------


class Page(html.parser.HTMLParser):
    """Whether tags are closed in order, and what could be loaded."""

    VOID = {"meta", "rect", "line"}

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: set[str] = set()
        self.loads: list[str] = []
        self.text = ""
        self.feed(text)
        self.close()
        assert not self.open and {"html", "svg", "main"} <= self.tags

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.tags.add(tag)
        names = {"src", "href", "data", "xlink:href", "action", "onload"}
        self.loads += [name for name, _ in attrs if name in names]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in self.VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def read_page(path: Path) -> Page:
    text = path.read_text(encoding="utf-8")
    page = Page(text)
    assert not page.loads and not {"script", "link", "img", "b"} & page.tags
    assert not re.search(r"https?:|url\(|@import", text)
    return page


@pytest.mark.versions
def test_passes(depot: Depot) -> None:
    """With everything, beside the running original, of which nothing changes."""
    primary = depot.site.primary
    archived = primary.value("select archived_count from pg_stat_archiver")
    before = depot.reports()
    page = depot.place("h") / "drill.html"
    result = depot.passes(f"--checks={depot.file(CHECKS)}", f"--html={page}")
    assert result["kind"] == "drill" and result["backup"] == depot.backups[1]
    assert result["target"] == "latest" and result["timeline"] == 1
    assert result["recovered_time"] == result["archive_time"]
    assert result["segments"] > 0 and result["restored_bytes"] > 1 << 20
    phases = result["phases_ms"]
    assert list(phases) == ["prepare", "fetch", "replay", "amcheck", "checks"]
    assert all(ms is not None for ms in phases.values())
    taken = phases["prepare"] + phases["fetch"] + phases["replay"]
    assert taken <= result["rto_ms"]
    assert 0 <= result["rpo_ms"] < 600_000
    assert result["failed_check"] is None and result["checks_run"] == 4
    assert [(c["name"], c["line"], c["database"]) for c in result["checks"]] == [
        ("there are <b>marks</b> & more", 2, "postgres"),
        ("select '-- not; a comment' <> $$;$$ /* ; */ and true", 3, "postgres"),
        ("the shop is open", 6, "shop"),
        (
            "select pg_sleep(0.1) is not null and current_setting('lock_timeout') = '0'",
            *(8, "Hin der"),
        ),
    ]
    assert {c["outcome"] for c in result["checks"]} == {"true"}
    shown = read_page(page).text
    assert "there are <b>marks</b> & more" in shown and "passed" in shown
    assert page.stat().st_mode & 0o777 == 0o600
    assert len(depot.reports() - before) == 1
    # Its wal-fetch had a spool of its own.
    assert not list((depot.home / "spool").glob("*/*/fetch*"))
    assert primary.value("select archived_count from pg_stat_archiver") == archived


def test_server_is_private(depot: Depot) -> None:
    """What would reach out is off, and the memory bounded."""
    if "WALSHIP_SANITIZE" in os.environ:
        pytest.skip("AddressSanitizer maps more than the limit leaves")
    wanted = {
        "listen_addresses": "",
        "archive_mode": "off",
        "max_worker_processes": "0",
        "max_logical_replication_workers": "0",
        "max_wal_senders": "0",
        "restart_after_crash": "off",
        "shared_buffers": "64MB",
    }
    text = "".join(
        f"select current_setting('{name}') = '{value}';\n"
        for name, value in wanted.items()
    )
    # Larger than a process may become.
    text += "select not pg_is_in_recovery() and inet_server_addr() is null;\n"
    depot.passes("--no-amcheck", "--memory=256MB", f"--checks={depot.file(text)}")
    text = "select length(repeat('x', 200 << 20)) > 0"
    depot.fails(
        "out of memory",
        *("checks", "--no-amcheck", "--memory=256MB"),
        f"--checks={depot.file(text)}",
    )


def test_target(depot: Depot) -> None:
    """As restore has them."""
    lsn = depot.site.list()[-1]["stop_lsn"]
    check = "select count(*) = 101 from marks"
    result = depot.passes(
        "--no-amcheck", "--target-immediate", f"--checks={depot.file(check)}"
    )
    assert result["target"] == "immediate"
    result = depot.passes(
        *("--no-amcheck", f"--target-lsn={lsn}", f"--backup={depot.backups[0]}"),
        f"--checks={depot.file(check)}",
    )
    assert result["target"] == f"lsn {lsn}" and result["backup"] == depot.backups[0]
    # What is lost does not depend on where a drill stops.
    assert result["rpo_ms"] is not None


def test_drawn(depot: Depot) -> None:
    """A backup, and a moment in the window, by chance."""
    check = f"--checks={depot.file('select count(*) <= 202 from marks')}"
    result = depot.passes("--no-amcheck", "--random", "--random-target", check)
    assert result["backup"] in depot.backups
    assert result["random_backup"] and result["random_target"]
    assert result["target"].startswith("time ")
    assert result["recovered_time"] is None or (
        result["recovered_time"] <= result["archive_time"]
    )
    result = depot.passes("--no-amcheck", "--random-target", check)
    assert not result["random_backup"] and result["random_target"]


def test_drawn_outside_the_window(depot: Depot) -> None:
    """The WAL behind such a backup may be gone."""
    repo, config = depot.copy()
    stop = depot.site.list()[0]["stop_lsn"]
    name = depot.site.primary.value(f"select pg_walfile_name('{stop}')")
    next(repo.glob(f"*/wal/00000001/{int(name, 16) + 1:024X}")).unlink()
    args = ["--no-amcheck", "--set=keep_last=9", "--set=keep_within=1s", "--random"]
    targets = {depot.backups[0]: "immediate", depot.backups[1]: "latest"}
    seen: list[str] = []
    while depot.backups[0] not in seen and len(seen) < 30:
        result = depot.passes(*args, config=config)
        assert result["target"] == targets[result["backup"]]
        seen.append(result["backup"])
    assert depot.backups[0] in seen


def test_text_as_root(depot: Depot) -> None:
    """root's file, and postgres's work, whatever root's clients insist on."""
    scratch, page = depot.place("s"), depot.home / "root.html"
    page.write_text("of the last drill", encoding="utf-8")
    page.chmod(0o644)
    done = depot.site.programs.run(
        "walship",
        *depot.argv(scratch, f"--html={page}")[1:],
        user="root",
        env={"PGCHANNELBINDING": "require", "PGREQUIREPEER": "nobody"},
    ).check()
    assert 'going on as user "postgres"' in done.err
    assert done.out.startswith("The drill passed.\n  backup ")
    assert re.search(r"^  RPO +\d+.*\(last transaction archived: 20", done.out, re.M)
    assert re.search(r"^  RTO +\d", done.out, re.M)
    read_page(page)
    assert page.stat().st_uid == 0 and page.stat().st_mode & 0o777 == 0o644
    assert_clean(scratch)


# --- what fails -------------------------------------------------------------------


def test_false_checks(depot: Depot) -> None:
    before = depot.reports()
    page = depot.place("h") / "drill.html"
    text = "select true;\n\n-- nothing is <lost>\nselect count(*) = 7 from marks;\nselect 1;"
    result = depot.fails(
        'check "nothing is <lost>" (line 4, database "postgres"): it returned false',
        *("checks", "--no-amcheck", f"--checks={depot.file(text)}", f"--html={page}"),
    )
    assert result["failed_check"] == "nothing is <lost>" and result["checks_run"] == 2
    assert [c["outcome"] for c in result["checks"]] == ["true", "failed", "not run"]
    shown = read_page(page).text
    assert "nothing is <lost>" in shown and "Failed in phase" in shown
    assert len(depot.reports() - before) == 1
    wrong = {
        "table marks": "it returned 202 rows of 1 columns instead of true",
        "select 'true'": 'it returned "true" instead of true',
        "\\c none\nselect true": 'database "none" does not exist',
    }
    for sql, message in wrong.items():
        depot.fails(message, "checks", "--no-amcheck", f"--checks={depot.file(sql)}")


def test_no_such_superuser(depot: Depot) -> None:
    done = depot.drill("--no-amcheck", "--username=nobody")
    assert done.status == 1 and 'role "nobody" does not exist' in done.err
    assert "Name a superuser of the cluster: --username." in done.err


def test_no_amcheck(depot: Depot) -> None:
    """Missed before anything is fetched."""
    bindir = depot.place("b")
    for path in Path(depot.site.primary.root.bindir).iterdir():
        if path.name != "pg_amcheck":
            (bindir / path.name).symlink_to(path)
    result = depot.fails('cannot find "', "prepare", f"--bindir={bindir}")
    assert result["phases_ms"]["fetch"] is None


PROGRAMS = {
    # The server's own words; pg_amcheck's for a locale that this host lacks.
    "postgres": """
for arg; do
    case $arg in
        config_file=*) echo "lc_monetary = 'no_where'" >>"${arg#config_file=}" ;;
    esac
done
exec REAL "$@"
""",
    "pg_amcheck": """
echo 'pg_amcheck: error: connection to server on socket "/x" failed: FATAL:  no such' >&2
echo 'DETAIL:  It needs <locale>.' >&2
echo 'HINT:  Install it.' >&2
exit 1
""",
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_causes_are_told(depot: Depot, name: str) -> None:
    """All that a program has said of why it failed, and no more."""
    bindir = depot.place("b")
    for path in Path(depot.site.primary.root.bindir).iterdir():
        if path.name != name:
            (bindir / path.name).symlink_to(path)
    real = Path(depot.site.primary.root.bindir) / name
    text = f"#!/bin/sh{PROGRAMS[name]}".replace("REAL", str(real))
    (bindir / name).write_text(text, encoding="utf-8")
    (bindir / name).chmod(0o755)
    page = depot.place("h") / "drill.html"
    done = depot.drill(f"--bindir={bindir}", f"--html={page}")
    (line,) = [x for x in done.err.splitlines() if "ERROR" in x]
    shown = read_page(page).text
    if name == "postgres":
        words = 'invalid value for parameter "lc_monetary": "no_where"'
        assert line.endswith(f"the scratch directory ended: {words}")
    else:
        words = "pg_amcheck: no such"
        assert line.endswith(
            f"{words} (DETAIL: It needs <locale>. HINT: Install it.)"
        )
        assert "It needs <locale>." in shown and "Install it." in shown
    assert words in shown and "Failed in phase" in shown
    identifier = str(depot.site.primary.system_identifier())
    assert identifier in shown and f"file://{depot.home / 'repo'}" in shown


def test_damaged_pack(depot: Depot) -> None:
    repo, config = depot.copy()
    pack = max(repo.glob(f"*/backup/{depot.backups[1]}/pack/*"), key=size)
    content = bytearray(pack.read_bytes())
    content[len(content) // 2] ^= 1
    pack.write_bytes(content)
    before = set(repo.glob("*/report/*-drill"))
    depot.fails(f"pack/{pack.name}", "fetch", "--no-amcheck", config=config)
    assert len(set(repo.glob("*/report/*-drill")) - before) == 1


def size(path: Path) -> int:
    return path.stat().st_size


def test_damaged_and_missing_segment(depot: Depot) -> None:
    """One that is damaged is found by recovery, one that lacks before it."""
    repo, config = depot.copy()
    start = depot.site.list()[0]["start_lsn"]
    name = depot.site.primary.value(f"select pg_walfile_name('{start}')")
    segment = next(repo.glob(f"*/wal/00000001/{name}"))
    content = bytearray(segment.read_bytes())
    content[len(content) // 2] ^= 1
    segment.write_bytes(content)
    older = [f"--backup={depot.backups[0]}", "--no-amcheck"]
    result = depot.fails(segment.name, "replay", *older, config=config)
    assert "wal-fetch: ERROR: " in result["message"]
    segment.unlink()
    text = f'lacks WAL segment "{segment.name}"'
    depot.fails(text, "prepare", *older, config=config)


def test_wrong_key(depot: Depot, walship: Programs) -> None:
    """Nothing is stored that nobody could read."""
    repo, config = depot.copy()
    walship.run("walship", "keygen", repo / "key").check()
    key = (repo / "key").rename(repo.with_suffix(".key"))
    text = config.read_text(encoding="utf-8").replace(f"{depot.home / 'key'}", f"{key}")
    config.write_text(text, encoding="utf-8")
    depot.fails("key", "prepare", "--no-amcheck", config=config)
    assert len(list(repo.glob("*/report/*-drill"))) == len(depot.reports())


def test_corrupt_index(depot: Depot) -> None:
    """Two entries of an index change places; checksums are off."""
    primary = depot.site.primary
    path = primary.data / str(
        primary.value("select pg_relation_filepath('orders_n')", database="shop")
    )
    primary.stop()
    whole = path.read_bytes()
    page = 8192  # the first behind the meta page: a leaf
    items = page + 24
    swapped = whole[items + 8 : items + 12] + whole[items + 4 : items + 8]
    path.write_bytes(whole[: items + 4] + swapped + whole[items + 12 :])
    primary.start()
    backup = depot.site.backup()
    try:
        depot.site.settle()
        page_file = depot.place("h") / "drill.html"
        result = depot.fails(
            'pg_amcheck found damage: btree index "shop.public.orders_n": ERROR: item '
            "order invariant violated",
            *("amcheck", f"--checks={depot.file('select true')}"),
            f"--html={page_file}",
        )
        assert result["backup"] == backup and result["checks_run"] == 0
        assert "orders_n" in read_page(page_file).text
        depot.passes("--no-amcheck")
    finally:
        for made_of in (depot.home / "repo").glob(f"*/backup/{backup}"):
            shutil.rmtree(made_of)
        primary.stop()
        path.write_bytes(whole)
        primary.start()


def test_time_limit(depot: Depot) -> None:
    """A check that never ends."""
    checks = depot.file("-- for ever\nselect pg_sleep(3600) is null")
    for limit in ("4s", "20s", "2min"):
        args = ["--no-amcheck", "--json", f"--checks={checks}", f"--time-limit={limit}"]
        done = depot.drill(*args)
        result = json.loads(done.out)
        assert done.status == 1 and "not done within its limit of" in result["message"]
        if result["failed_phase"] == "checks":
            break
    assert 'check "for ever" (line 2' in done.err
    assert result["failed_check"] == "for ever"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_killed(depot: Depot, number: int) -> None:
    """A signal cleans up; what kill -9 leaves, the next one removes."""
    scratch = depot.place("s")
    checks = depot.file("select pg_sleep(3600) is null")
    log = scratch.with_suffix(".log")
    before = depot.reports()
    argv = depot.argv(scratch, "--no-amcheck", f"--checks={checks}")
    with open(log, "wb") as error:
        child = subprocess.Popen(
            ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups", "--"]
            + list(map(str, argv)),
            cwd=scratch,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=error,
        )
    wait_for(lambda: servers(scratch), "its server")
    other = list(scratch.iterdir())
    again = depot.argv(scratch, "--no-amcheck", "--target-immediate")
    if number == signal.SIGKILL:
        # Another drill in the same place leaves it alone.
        depot.site.primary.root.run(again, cwd=scratch).check()
        assert list(scratch.iterdir()) == other and child.poll() is None
    os.kill(child.pid, number)
    child.wait(180)
    wait_for(lambda: not servers(scratch), "its server ends")
    if number == signal.SIGKILL:
        assert list(scratch.iterdir()) == other
        keep = scratch / "walship-backup"
        keep.mkdir()
        shutil.chown(keep, roots.PG_USER, roots.PG_USER)
        done = depot.site.primary.root.run(again, cwd=scratch).check()
        assert f'removing "{other[0]}", which a killed process left' in done.err
        assert list(scratch.iterdir()) == [keep]
    else:
        assert child.returncode == 1 and not list(scratch.iterdir())
        assert len(depot.reports() - before) == 1


def test_disk_full(depot: Depot) -> None:
    """While its server recovers: what is known before is refused before."""
    small = depot.place("t")
    run(["mount", "-t", "tmpfs", "-o", "size=200m,mode=777", "tmpfs", small]).check()
    try:
        sql = "select count(*) > 0 from (select repeat(md5(g::text), 9) t"
        sql += " from generate_series(1, 2000000) g order by t) x"
        argv = depot.argv(small, "--no-amcheck", f"--checks={depot.file(sql)}")
        done = depot.site.primary.root.run(argv, cwd=small)
        assert done.status == 1 and "No space left on device" in done.err, done
        assert_clean(small)
        run(["mount", "-o", "remount,size=8m", small]).check()
        done = depot.site.primary.root.run(argv, cwd=small)
        assert done.status == 2 and "there is not enough room" in done.err
        assert_clean(small)
    finally:
        unmount(small)


def test_refused(depot: Depot) -> None:
    """Before anything is done."""
    for args in (
        ["x"],
        ["--backup=x", "--random"],
        ["--random", "--target-immediate"],
        ["--random-target", "--target-lsn=0/1"],
        ["--time-limit=0"],
        ["--time-limit=x"],
        ["--memory=255MB"],
        ["--scratch=x"],
    ):
        done = depot.site.run("drill", *args)
        assert (done.status, done.out) == (2, ""), args
        assert done.err, args


def test_files_that_cannot_be_used(depot: Depot) -> None:
    """A timer's drill that could not begin is told of as one that failed."""
    page = depot.place("h") / "drill.html"
    link = page.with_suffix(".link")
    link.symlink_to(page)
    told = page.with_suffix(".json")
    hook = f"--set=notify_command=cat >{told}"
    before = depot.reports()
    for number, (text, arg) in enumerate(
        {
            "is no regular file": "--html=/dev/null",
            "is a symbolic link": f"--html={link}",
            "could not open file": "--checks=/none",
            "holds no statement": f"--checks={depot.file('')}",
            "a quote without an end": f"--checks={depot.file('select $a$')}",
            "only \\connect": f"--checks={depot.file(chr(92) + 'd')}",
            "is not UTF-8": f"--checks={depot.file('-- naïve', 'latin-1')}",
            "is too large": f"--checks={depot.file('-' * ((1 << 20) + 1))}",
        }.items(),
        1,
    ):
        depot.fails(text, "prepare", hook, f"--html={page}", arg)
        assert len(depot.reports() - before) == number
        assert text in json.loads(told.read_text(encoding="utf-8"))["message"]
        told.unlink()
        if "--html" not in arg:
            assert text in read_page(page).text
            page.unlink()
    done = depot.drill("--checks=/none")
    assert done.status == 1 and done.out == "The drill failed.\n  target     latest\n"


def test_recovery_that_ends_early(depot: Depot, walship: Programs) -> None:
    """A segment called absent makes the server promote, which looks well."""
    depot.site.mark(9000)
    last = depot.site.settle()
    bindir = depot.place("b")
    shutil.copy2(walship.path("walship"), bindir)
    fake = bindir / "wal-fetch"
    fake.write_text(
        f'#!/bin/sh\ncase "$*" in *{last}*) exit 1 ;; esac\n'
        f'exec {walship.path("wal-fetch")} "$@"\n',
        encoding="utf-8",
    )
    fake.chmod(0o755)
    scratch = depot.place("s")
    argv = depot.argv(scratch, "--no-amcheck", "--json")
    done = depot.site.primary.root.run([bindir / "walship", *argv[1:]], cwd=scratch)
    assert done.status == 1 and json.loads(done.out)["failed_phase"] == "replay"
    assert "before the last transaction in the archive" in done.err
    assert_clean(scratch)


# --- the page, by a browser -------------------------------------------------------


@pytest.mark.soak
def test_page_in_a_browser(depot: Depot, tmp_path: Path) -> None:
    """Chromium lays it out as it was written, and has nothing to load."""
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("needs the package chromium")
    page = depot.place("h") / "drill.html"
    depot.passes(f"--checks={depot.file(CHECKS)}", f"--html={page}")
    shot = tmp_path / "shot.png"
    command = [
        *(chromium, "--headless", "--no-sandbox", "--disable-gpu"),
        *(f"--user-data-dir={tmp_path}", "--enable-logging=stderr"),
        *("--window-size=1000,1300", "--host-resolver-rules=MAP * ~NOTFOUND"),
    ]
    shown = run([*command, "--dump-dom", f"file://{page}"]).check()
    read_page(page)
    assert len(re.findall("<rect", shown.out)) == page.read_text("utf-8").count("<rect")
    assert "there are &lt;b&gt;marks&lt;/b&gt; &amp; more" in shown.out
    assert "CONSOLE" not in shown.err, shown.err
    run([*command, f"--screenshot={shot}", f"file://{page}"]).check()
    assert shot.read_bytes()[:4] == b"\x89PNG" and shot.stat().st_size > 50_000
