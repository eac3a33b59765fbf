"""Backups of which the server sends only changes, against pg_combinebackup."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from ground.host import run
from ground.pg import Cluster, ClusterFactory
from ground.programs import Programs
from ground.roots import PG_USER
from ground.site import Site
from ground.stored import stored_by

# What differs between any two backups, or is made by the restore.
APART = {
    *("backup_label", "backup_manifest", "tablespace_map", "global/pg_control"),
    *("postgresql.auto.conf", "recovery.signal", "standby.signal"),
}
SETTINGS = {
    "allow_in_place_tablespaces": "on",
    "autovacuum": "off",
    # No checkpoint but by a backup: where a standby restarts decides.
    "max_wal_size": "16GB",
    "checkpoint_timeout": "1h",
}


class Changing(Site):
    """A primary beside whose backups PostgreSQL's own are made."""

    def __init__(self, *args: Any, home: Path, **options: Any) -> None:
        super().__init__(*args, conf=SETTINGS, **options)
        self.home = home
        self.peers: list[Path] = []

    def made(self, *args: str, source: Cluster | None = None) -> dict[str, Any]:
        """A backup that must succeed, by what --json says."""
        done = self.programs.run(
            "walship",
            *("backup", f"--config={self.config}", "--checkpoint=fast", "--json"),
            *args,
            env=(source or self.primary).environment(),
        ).check()
        result: dict[str, Any] = json.loads(done.out)
        return result

    def peer(self) -> None:
        """The same moment by pg_basebackup, on top of the one before."""
        target = self.home / f"peer{len(self.peers)}"
        last = self.peers[-1:]
        args = [f"--incremental={path}/backup_manifest" for path in last]
        self.primary.basebackup(target, "--wal-method=none", *args)
        self.peers.append(target)

    def combined(self) -> Path:
        """What pg_combinebackup builds from all of them."""
        target = self.home / "combined"
        shutil.rmtree(target, ignore_errors=True)
        self.primary.program(
            "pg_combinebackup", "--no-sync", *self.peers, "--output", target
        ).check()
        return target

    def rebuilt(self, backup: str) -> Path:
        """By the second reader."""
        target = self.home / "rebuilt"
        shutil.rmtree(target, ignore_errors=True)
        stored = stored_by(self.config, self.primary.system_identifier(), None)
        stored.rebuild(backup, target)
        run(["chown", "-R", f"{PG_USER}:", target]).check()
        self.primary.verifybackup(target, "--no-parse-wal").check()
        label = (target / "backup_label").read_text(encoding="utf-8")
        assert "INCREMENTAL" not in label and "START WAL LOCATION" in label
        return target


def files(tree: Path) -> dict[str, bytes]:
    found = {}
    for path in tree.rglob("*"):
        name = str(path.relative_to(tree))
        if path.is_file() and not name.startswith("pg_wal/") and name not in APART:
            found[name] = path.read_bytes()
    return found


def same(ours: Path, theirs: Path) -> None:
    left, right = files(ours), files(theirs)
    assert left.keys() == right.keys()
    assert [name for name in left if left[name] != right[name]] == []
    assert len(left) > 1000


@pytest.fixture
def site(
    walship: Programs, new_cluster: ClusterFactory, dir_config: Path, work_dir: Path
) -> Changing:
    home = work_dir / "peers"
    home.mkdir()
    shutil.chown(home, PG_USER, PG_USER)
    return Changing(walship, new_cluster, dir_config, checksums=True, home=home)


def first_tables(primary: Cluster) -> None:
    sql = primary.sql
    sql("create tablespace space location ''")
    for name in ("stays", "shrinks", "truncated", "dropped", "moves", "rewritten"):
        sql(f"create table {name} (i int, t text)")
        sql(
            f"insert into {name} select i, repeat(md5(i::text), 5)"
            " from generate_series(1, 20000) i"
        )
        sql(f"create index on {name} (i)")
    sql("create table there tablespace space as select * from stays")
    sql("create unlogged table quick as select * from stays")
    sql("create table grows (t text)")
    sql("create table emptied as select * from stays")
    sql("create database goes")
    sql("create table large as select lo_from_bytea(0, decode(t, 'hex')) from stays")
    sql("vacuum freeze")


def change_tables(primary: Cluster) -> None:
    """A bit of everything that can happen to a file."""
    sql = primary.sql
    sql("update stays set t = reverse(t) where i % 200 = 0")
    sql("update there set t = reverse(t) where i between 100 and 120")
    sql("delete from shrinks where i > 7000")
    sql("vacuum shrinks")
    sql("truncate truncated")
    sql("insert into truncated select * from stays where i < 3000")
    sql("truncate emptied")
    sql("drop table dropped")
    sql("create table new as select * from stays")
    sql("alter table moves set tablespace space")
    sql("alter table rewritten alter i type bigint")
    sql(
        "insert into grows select repeat(md5(i::text), 9) from generate_series(1, 40000) i"
    )
    sql("update quick set i = i + 1")
    sql("drop database goes")
    sql("create database copied strategy file_copy")
    sql("create database logged strategy wal_log")
    sql(
        "create table inside as select generate_series(1, 5000) as i", database="logged"
    )
    sql("create tablespace later location ''")
    sql("create table late tablespace later as select * from stays")
    sql("vacuum")


def change_again(primary: Cluster) -> None:
    sql = primary.sql
    sql("update stays set t = reverse(t) where i % 333 = 0")
    sql("insert into shrinks select * from stays where i < 5000")
    sql("delete from grows where ctid < '(1000,0)'")
    sql("insert into emptied select * from stays where i < 50")
    sql("drop table new")
    sql("drop table late")
    sql("drop tablespace later")
    sql("drop database copied")
    sql("vacuum full there")
    sql("update inside set i = -i where i < 100", database="logged")
    sql("vacuum")


FINGERPRINT = (
    "select relname, (xpath('/row/c/text()', query_to_xml(format("
    "'select count(*) || md5(string_agg(md5(t::text), '''' order by t::text))"
    " as c from %I t', relname), false, true, '')))[1]::text"
    " from pg_class where relkind = 'r' and relnamespace = 'public'::regnamespace"
    " and relpersistence = 'p' order by 1"
)


@pytest.mark.versions(17, 18)
def test_as_pg_combinebackup(site: Changing) -> None:
    """File by file, twice over, and the server that comes of it."""
    first_tables(site.primary)
    full = site.made()
    site.peer()
    assert (full["read"], full["read_why"]) == (
        "everything",
        "there is no backup to build on",
    )
    for change in (change_tables, change_again):
        change(site.primary)
        made = site.made()
        site.peer()
        assert (made["read"], made["read_why"]) == ("changes", None)
        same(site.restore("latest", start=False).data, site.combined())
    same(site.rebuilt(made["id"]), site.combined())
    wanted = site.primary.sql(FINGERPRINT)
    assert len(wanted) == 9
    restored = site.restore("latest")
    assert restored.sql(FINGERPRINT) == wanted
    inside = "select count(*), sum(i) from inside"
    assert restored.sql(inside, database="logged") == site.primary.sql(
        inside, database="logged"
    )


@pytest.mark.versions(17, 18)
def test_every_kind_on_every_other(site: Changing) -> None:
    """Changes on what was compared, compared on changes, and all of it again."""
    first_tables(site.primary)
    site.made()
    site.peer()
    before = site.made()
    for number, args in enumerate([[], ["--incremental=off"], [], ["--full"], []]):
        site.primary.sql(f"update stays set i = i + 1 where i % 100 = {number}")
        site.primary.sql("checkpoint")
        made = site.made(*args)
        site.peer()
        off = bool(args)
        assert made["read"] == ("everything" if off else "changes")
        if args == ["--incremental=off"]:
            assert made["read_why"] == "--incremental=off was given"
        same(site.restore("latest", start=False).data, site.combined())
        if args != ["--full"]:
            assert made["stored_bytes"] < before["bytes"] / 10
    same(site.rebuilt(made["id"]), site.combined())
    rows = [row for row in site.list() if row["state"] == "complete"]
    assert len(rows) == 7


@pytest.mark.versions(17, 18)
def test_pages_that_no_summary_knows(site: Changing) -> None:
    """A relation is extended by zeros without WAL: behind the base's end too."""
    site.primary.sql("create database more")
    site.primary.sql("create table longer as select generate_series(1, 1000) as i")
    site.primary.sql("create table stays as select * from longer")
    ((name,),) = site.primary.sql("select pg_relation_filepath('longer')")
    site.made()
    site.peer()
    with (site.primary.data / name).open("ab") as file:
        file.write(bytes(3 * 8192))
    # Once with nothing else in that file, and once behind a changed page.
    for change in ("stays", "longer"):
        site.primary.sql(f"update {change} set i = i + 1 where i = 1")
        made = site.made()
        site.peer()
        assert made["read"] == "changes"
        same(site.restore("latest", start=False).data, site.combined())


def reads_everything(site: Changing, *why: str) -> None:
    site.primary.sql("create table if not exists t as select 1 as i")
    made = site.made()
    assert made["read"] == "everything"
    assert any(text in made["read_why"] for text in why), made["read_why"]
    site.rebuilt(made["id"])


@pytest.mark.versions
def test_not_without_summaries(site: Changing) -> None:
    """Each reason costs only the reading of everything."""
    site.made()
    if site.primary.version < 17:
        reads_everything(site, f"PostgreSQL {site.primary.version} makes no")
        return
    summaries = site.primary.data / "pg_wal" / "summaries"
    site.primary.sql("create table t as select 1 as i")
    site.settle()
    site.primary.sql("checkpoint")
    site.primary.wait_sql(
        "select summarized_lsn > (select min(end_lsn) from"
        " pg_available_wal_summaries()) from pg_get_wal_summarizer_state()"
    )
    for path in summaries.iterdir():
        path.unlink()
    reads_everything(site, "WAL summaries are required")
    assert site.made()["read"] == "changes"
    site.primary.configure({"summarize_wal": "off"})
    site.primary.reload()
    site.primary.wait_sql(
        "select setting = 'off' from pg_settings where name = 'summarize_wal'"
    )
    reads_everything(site, "summarize_wal is off")


@pytest.fixture
def standby(site: Changing, new_cluster: ClusterFactory) -> Callable[[], Cluster]:
    def make() -> Cluster:
        copy = site.restore("latest", "--standby", start=False)
        with open(copy.data / "postgresql.auto.conf", "a", encoding="utf-8") as file:
            file.write(f"primary_conninfo = '{site.primary.dsn()}'\n")
        copy.start()
        copy.wait_sql("select count(*) > 0 from pg_stat_wal_receiver")
        return copy

    return make


def caught_up(site: Changing, copy: Cluster) -> None:
    lsn = site.primary.value("select pg_current_wal_insert_lsn()")
    site.primary.sql("select pg_switch_wal()")
    copy.wait_sql(f"select pg_last_wal_replay_lsn() >= '{lsn}'")


@contextmanager
def switching(primary: Cluster) -> Iterator[None]:
    """A primary that ends its segments, as one does that is not idle."""
    done = threading.Event()

    def switch() -> None:
        while not done.wait(1):
            primary.sql("select pg_logical_emit_message(false, 'it', '')")
            primary.sql("select pg_switch_wal()")

    thread = threading.Thread(target=switch)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


@pytest.mark.versions(17, 18)
def test_from_a_standby_and_over_a_promotion(
    site: Changing, standby: Callable[[], Cluster]
) -> None:
    first_tables(site.primary)
    site.made()
    copy = standby()
    # Nothing new to begin from: the server refuses, and sends everything.
    change_tables(site.primary)
    site.primary.sql("checkpoint")
    caught_up(site, copy)
    copy.sql("checkpoint")
    with switching(site.primary):
        made = site.made("--set=archive_wait=60s", source=copy)
    assert made["read"] == "changes"
    same(site.rebuilt(made["id"]), site.restore("latest", start=False).data)
    with switching(site.primary):
        again = site.made("--set=archive_wait=60s", source=copy)
    assert again["read"] == "everything"
    assert "manifest requires WAL from final timeline" in again["read_why"]

    site.primary.stop()
    copy.promote()
    copy.sql("update stays set i = -i where i % 50 = 0")
    copy.archive_with(f"{site.push} %p")
    copy.restart()
    site.primary = copy
    made = site.made()
    assert (made["read"], made["timeline"]) == ("changes", 2)
    site.rebuilt(made["id"])
    restored = site.restore("latest")
    assert restored.sql(FINGERPRINT) == copy.sql(FINGERPRINT)


@pytest.mark.versions(17, 18)
def test_compressed(site: Changing) -> None:
    """The server compresses the changes."""
    first_tables(site.primary)
    site.made()
    site.primary.sql("update stays set i = -i where i % 50 = 0")
    made = site.made("--compress=server-lz4")
    assert made["read"] == "changes"
    site.peer()
    same(site.rebuilt(made["id"]), site.peers[0])


def test_usage(walship: Programs) -> None:
    assert walship.run("walship", "backup", "--incremental=full").status == 2


@pytest.mark.versions(17, 18)
def test_rests_are_read_back(site: Changing, repo_dir: Path) -> None:
    """What older packs hold is stored again, though the server did not send it."""
    first_tables(site.primary)
    first = site.made()
    site.primary.sql("update stays set i = -i where i % 50 = 0")
    site.primary.sql("select pg_sleep(2)")
    made = site.made("--set=pack_max_age=1s")
    assert made["read"] == "changes"
    assert made["rewritten_bytes"] > first["bytes"] / 2
    assert made["referenced_bytes"] == 0
    (packs,) = repo_dir.glob(f"*/backup/{first['id']}/pack")
    shutil.rmtree(packs)
    restored = site.restore(made["id"])
    assert restored.sql(FINGERPRINT) == site.primary.sql(FINGERPRINT)
