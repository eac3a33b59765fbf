"""What walship restore says before the first byte: the plan, a yes or a no."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ground.cold import ColdStore
from ground import roots
from ground.host import run, unmount
from ground.pg import ClusterFactory
from ground.programs import Programs
from ground.s3 import Gateway
from ground.site import Site
from ground.storetool import StoreTool


SWITCH = "select pg_walfile_name(pg_switch_wal())"


def as_postgres(script: str) -> None:
    run(["/bin/sh", "-euc", script], user=roots.PG_USER).check()


@pytest.fixture
def site(walship: Programs, new_cluster: ClusterFactory, dir_config: Path) -> Site:
    return Site(walship, new_cluster, dir_config)


@pytest.fixture
def cold(gateway: Gateway) -> Iterator[ColdStore]:
    store = ColdStore(gateway.port, looks=2)
    yield store
    store.stop()


@pytest.fixture
def cold_site(
    walship: Programs,
    new_cluster: ClusterFactory,
    s3_config: Path,
    cold: ColdStore,
    work_dir: Path,
    gateway: Gateway,
) -> Site:
    """With the bucket behind the cold store."""
    text = s3_config.read_text(encoding="utf-8")
    front = work_dir / "cold.conf"
    front.write_text(text.replace(gateway.endpoint, cold.endpoint), encoding="utf-8")
    run(["chown", "postgres:", front]).check()
    front.chmod(0o600)
    return Site(walship, new_cluster, front)


# --- the plan ---------------------------------------------------------------------


@pytest.mark.versions
def test_dry_run(site: Site) -> None:
    site.load()
    backup = site.backup()
    site.mark(1)
    last = site.settle()
    copy = site.copy()
    done = site.run("restore", "--dry-run", f"--target-dir={copy.data}").check()
    assert not copy.data.exists()
    assert "the target is the end of the archive" in done.out
    assert f"restoring backup {backup}, which ended at 20" in done.out
    assert "recovering along timeline 1\n" in done.out
    assert re.search(rf"WAL 00000001\w{{16}} to {last}: \d+ segments?, up to", done.out)
    assert re.search(r"[\d.]+ [kMG]B in \d+ packs are to be fetched", done.out)
    room = re.search(
        rf'"{copy.data}" takes ([\d.]+ \w+); its file system needs ([\d.]+ \w+) and '
        r"has [\d.]+ \w+ free",
        done.out,
    )
    assert room and room[1] == room[2]

    # It is the same that a restore says.
    said = site.run("restore", f"--target-dir={copy.data}").check().err
    for line in done.out.splitlines():
        if "free" not in line:
            assert line in said, line
    assert site.run("restore", "--dry-run", f"--target-dir={copy.data}").status == 2


def test_json(site: Site) -> None:
    """For programs: the plan, the refusal and the result are one object."""
    site.load()
    backup = site.backup()
    last = site.settle()
    copy = site.copy()

    def asked(*args: str, status: int = 0) -> dict[str, Any]:
        done = site.run("restore", "--json", f"--target-dir={copy.data}", *args)
        assert done.status == status, done
        answer: dict[str, Any] = json.loads(done.out)
        assert answer["ok"] == (status == 0)
        return answer

    plan = asked("--dry-run", "--target-lsn=0/4000010")
    assert not copy.data.exists() and plan["dry_run"]
    summary = site.list()[0]
    for name in ("files", "bytes"):
        assert plan[name] == summary[name]
    assert plan["backup"] == backup and plan["packs"] > 0
    assert plan["fetch_bytes"] < plan["bytes"]
    assert plan["backup_stop_time"] == summary["stop_time"]
    assert (plan["target"], plan["target_value"]) == ("lsn", "0/4000010")
    (wal,) = plan["wal"]
    assert wal["last"] == last and wal["bytes"] == wal["segments"] << 24
    (place,) = plan["directories"]
    assert place["path"] == plan["target_dir"] == str(copy.data)
    assert plan["bytes"] < place["needed_bytes"] < place["free_bytes"]
    assert plan["archived_objects"] == 0 and not plan["standby"]

    refused = asked("--dry-run", "--target-lsn=0/4FFFFFF", status=2)
    assert refused["error"].startswith("the target 0/4FFFFFF lies behind")
    assert "The nearest possible" in refused["hint"] and refused["wal"] == plan["wal"]
    assert "before the end" in asked("--target-lsn=0/1", status=2)["error"]

    done = asked()
    assert not done["dry_run"] and done["archives"] is False
    assert done["synchronous_standby_names"] is None and not done["subscribes"]
    assert done["start_command"].endswith(f"pg_ctl -D {copy.data} start")
    assert "is not empty" in asked(status=2)["error"]
    copy.start()
    copy.wait_sql("select not pg_is_in_recovery()")


def test_own_end_only(site: Site, repo_dir: Path) -> None:
    """A backup that leads nowhere else can be had as it is, and says so."""
    site.load()
    site.mark(1)
    site.backup()
    site.mark(2)
    lost_segment = site.settle()
    site.mark(3)
    site.settle()
    copy = site.copy()
    dry = ("--dry-run", f"--target-dir={copy.data}", "--target-immediate")
    assert "its own end only" not in site.run("restore", *dry).check().out
    assert site.list()[0]["own_end_only"] is False

    (lost,) = repo_dir.glob(f"*/wal/*/{lost_segment}")
    lost.unlink()
    assert site.list()[0]["own_end_only"] is True
    said = site.run("restore", *dry).check().out
    assert "this backup restores to its own end only" in said
    shown = site.run("restore", "--json", *dry).check().out
    assert json.loads(shown)["own_end_only"] is True
    refused = site.refuse()
    assert "restores to its own end only" in refused
    assert "The nearest possible is --target-immediate" in refused
    copy = site.restore("--target-immediate", "--target-action=promote")
    copy.wait_sql("select not pg_is_in_recovery()")
    assert copy.sql("select n from marks") == [(1,)]



def test_places_that_cannot_be(site: Site, shared_dir: Path) -> None:
    """Found before the first byte: no permission, and within each other."""
    site.load()
    site.backup()
    closed = shared_dir / "closed"
    closed.mkdir(mode=0o755)
    target = shared_dir / "target"
    as_postgres(f"mkdir {target}; ln -s {target} {shared_dir}/link")

    def refused(where: Path, *args: str) -> str:
        done = site.run("restore", "--dry-run", f"--target-dir={where}", *args)
        assert done.status == 2, done
        return done.err

    run(["chown", "root:", closed]).check()
    assert f'in directory "{closed}": Permission denied' in refused(closed / "a/b")
    said = refused(closed)
    assert f'"{closed}" belongs to another user' in said and "must own it" in said
    as_postgres(f"touch {shared_dir}/file")
    done = site.run("restore", f"--target-dir={shared_dir}/file")
    assert done.status == 1
    assert "Not a directory" in done.err and "HINT" not in done.err
    (shared_dir / "file").unlink()
    within = refused(target, f"--link-wal={shared_dir}/link/wal")
    assert "lie within each other" in within
    beyond = refused(shared_dir / "absent/../target/new")
    assert "leads through a directory that does not exist" in beyond
    assert sorted(path.name for path in shared_dir.iterdir()) == [
        "closed",
        "link",
        "target",
    ]


def test_dry_run_leaves_no_report(site: Site, repo_dir: Path) -> None:
    site.load()
    site.backup()
    copy = site.copy()
    site.run("restore", "--dry-run", f"--target-dir={copy.data}").check()
    assert not list(repo_dir.glob("*/report/*-restore"))
    site.run("restore", f"--target-dir={copy.data}").check()
    assert list(repo_dir.glob("*/report/*-restore"))


def test_no_room(site: Site, work_dir: Path) -> None:
    site.load()
    site.backup()
    small = work_dir / "small"
    small.mkdir()
    run(["mount", "-t", "tmpfs", "-o", "size=8m,mode=777", "tmpfs", small]).check()
    try:
        done = site.run("restore", "--dry-run", f"--target-dir={small}/data")
    finally:
        unmount(small)
    assert done.status == 2
    assert f'there is not enough room for "{small}/data"' in done.err
    assert "its file system needs" in done.out


# --- targets that cannot be reached -----------------------------------------------


def only_the_test_commits(site: Site) -> None:
    site.primary.configure({"autovacuum": "off"})
    site.primary.restart()


@pytest.mark.versions
def test_time_behind_the_last_transaction(site: Site) -> None:
    site.load()
    only_the_test_commits(site)
    site.backup()
    site.mark(1)
    site.settle()
    # A segment in which no transaction ends follows.
    after = site.primary.value("select clock_timestamp()::text")
    site.primary.sql("select pg_create_restore_point('x')")
    site.primary.wait_archived(site.primary.value(SWITCH))

    said = site.refuse(f"--target-time={after}")
    assert "lies behind the last transaction in the archive, which ended at 20" in said
    found = re.search(r'--target-time="([^"]+)"', said)
    assert found
    copy = site.restore(f"--target-time={found[1]}")
    copy.wait_sql("select pg_get_wal_replay_pause_state() = 'paused'")
    assert copy.sql("select n from marks") == [(1,)]
    said = site.refuse(f"--target-time={after}", "--target-exclusive")
    found = re.search(r'--target-time="([^"]+)"', said)
    assert found
    copy = site.restore(f"--target-time={found[1]}", "--target-exclusive")
    copy.wait_sql("select pg_get_wal_replay_pause_state() = 'paused'")
    assert copy.sql("select n from marks") == [(1,)]


def test_no_transaction_after_the_backup(site: Site) -> None:
    site.load()
    only_the_test_commits(site)
    site.backup()
    target = site.primary.value("select clock_timestamp()::text")
    site.primary.sql("select pg_create_restore_point('x')")
    site.primary.wait_archived(site.primary.value(SWITCH))
    said = site.refuse(f"--target-time={target}")
    assert "lies behind all that the archive holds" in said
    assert "no target: to the end of the archive" in said

    # Nor does a backup that began later make it a target.
    site.primary.sql("select pg_sleep(2.1)")
    later = site.backup()
    site.primary.sql("select pg_create_restore_point('y')")
    site.primary.wait_archived(site.primary.value(SWITCH))
    again = site.refuse(f"--target-time={target}")
    assert "lies behind all that the archive holds" in again
    site.mark(1)
    site.settle()
    copy = site.restore(f"--target-time={target}")
    copy.wait_sql("select pg_get_wal_replay_pause_state() = 'paused'")
    assert copy.sql("select n from marks") == []
    assert later == site.list()[-1]["id"]


def test_lsn_behind_the_last_record(site: Site) -> None:
    site.load()
    site.backup()
    site.mark(1)
    last = site.settle()
    segment = int(last[16:], 16)
    said = site.refuse(f"--target-lsn=0/{segment:X}FFFFFF")
    assert "lies behind the last record in the archive" in said
    found = re.search(r"--target-lsn=(\S+)\.\)", said)
    assert found
    copy = site.restore(f"--target-lsn={found[1]}")
    copy.wait_sql("select pg_get_wal_replay_pause_state() = 'paused'")
    assert copy.sql("select n from marks") == [(1,)]
    above = f"0/{int(found[1][2:], 16) + 1:X}"
    assert f"--target-lsn={found[1]}." in site.refuse(f"--target-lsn={above}")


def test_target_in_a_partial_segment(site: Site, repo_dir: Path) -> None:
    """The unfinished end of a timeline is WAL that recovery gets to."""
    site.load()
    site.backup()
    site.mark(1)
    site.settle()
    site.mark(2)
    target = site.primary.value("select clock_timestamp()::text")
    site.mark(3)
    last = site.settle()
    name = f"pg_wal/{last}.partial"
    as_postgres(f"cd {site.primary.data}; cp -p pg_wal/{last} {name}")
    site.programs.run(
        "wal-push", f"--config={site.config}", name, cwd=site.primary.data
    ).check()
    (whole,) = repo_dir.glob(f"*/wal/00000001/{last}")
    whole.unlink()
    site.primary.stop()

    said = site.run("restore", "--dry-run", f"--target-dir={site.copy().data}")
    assert f"to {last}.partial: " in said.check().out
    copy = site.restore(f"--target-time={target}")
    copy.wait_sql("select pg_get_wal_replay_pause_state() = 'paused'")
    assert copy.sql("select n from marks order by n") == [(1,), (2,)]
    behind = f"--target-lsn=0/{int(last[16:], 16):X}FFFFFF"
    assert "lies behind the last record" in site.refuse(behind)
    # A standby takes no part of a segment.
    args = ["--standby", f"--target-dir={site.copy().data}"]
    assert ".partial" not in site.run("restore", "--dry-run", *args).check().out


# --- archived storage -------------------------------------------------------------


@pytest.mark.sigv4
def test_thawed_and_restored(cold_site: Site, cold: ColdStore) -> None:
    site = cold_site
    site.load()
    backup = site.backup()
    site.mark(1)
    last = site.settle()
    cold.cold = [f"{backup}/pack/00000001", last]

    said = site.refuse("--dry-run")
    assert f"{backup}/pack/00000001" in said and "DEEP_ARCHIVE" in said
    assert "--thaw=DAYS" in said and not cold.asked
    copy = site.copy()
    args = ["--thaw=3", f"--target-dir={copy.data}"]
    done = site.run("restore", "--dry-run", *args).check()
    assert "1 packs, " in done.out and "1 WAL segments, " in done.out
    assert not cold.asked and not copy.data.exists()

    done = site.run("restore", *args).check()
    assert "waiting until they can be read" in done.err
    assert sorted(cold.asked.values()) == [3, 3]
    copy.start()
    copy.wait_sql("select not pg_is_in_recovery()")
    assert copy.sql("select n from marks") == [(1,)]

    # What was brought back needs no asking.
    cold.asked.clear()
    site.restore(start=False)
    assert not cold.asked


def test_thaw_of_a_directory(dir_config: Path, repo_dir: Path) -> None:
    store = StoreTool(repository=f"file://{repo_dir}", encryption="none", config=None)
    done = store("thaw", "1/backup/x", "2")
    assert done.status == 1 and "config: cannot thaw" in done.err


def test_thaw_usage(site: Site) -> None:
    for args in (["--thaw=0"], ["--thaw=x"], ["--thaw=99999"]):
        done = site.run("restore", "--target-dir=/x", *args)
        assert (done.status, done.out) == (2, "") and "days" in done.err


# --- options of a standby, and pg_wal elsewhere -----------------------------------


def test_standby_streams(site: Site) -> None:
    site.load()
    site.backup()
    site.primary.sql("select pg_create_physical_replication_slot('walship')")
    copy = site.restore(
        "--standby",
        f"--primary-conninfo={site.primary.dsn()} application_name='it''s'".replace(
            "''", "\\'"
        ),
        "--primary-slot=walship",
    )
    site.mark(1)
    copy.wait_sql("select count(*) = 1 from marks")
    assert site.primary.value("select application_name from pg_stat_replication") == (
        "it's"
    )
    assert site.primary.value("select active from pg_replication_slots")


def test_primary_usage(site: Site) -> None:
    for args, reason in (
        (["--primary-slot=x"], "--standby is missing"),
        (["--standby", "--primary-slot=X"], "invalid slot name"),
        (["--standby", "--primary-conninfo=password=x"], "cannot hold a password"),
        (
            ["--standby", "--primary-conninfo=postgres://a:b@c/"],
            "cannot hold a password",
        ),
        (["--standby", "--primary-conninfo=a\nb"], "invalid --primary-conninfo"),
    ):
        done = site.run("restore", "--target-dir=/x", *args)
        assert (done.status, done.out) == (2, "") and reason in done.err


def test_link_wal(site: Site, shared_dir: Path) -> None:
    site.load()
    site.backup()
    site.mark(1)
    site.settle()
    wal = shared_dir / "wal"
    wal.mkdir()
    (wal / "x").touch()
    run(["chown", "-R", "postgres:", wal]).check()
    assert f'directory "{wal}" is not empty' in site.refuse(f"--link-wal={wal}")
    (wal / "x").unlink()
    copy = site.restore(f"--link-wal={wal}", start=False)
    assert (copy.data / "pg_wal").readlink() == wal
    assert (wal / "archive_status").is_dir()
    copy.start()
    copy.wait_sql("select not pg_is_in_recovery()")
    assert copy.sql("select n from marks") == [(1,)]
    assert list(wal.glob("0000000*"))
    inside = site.copy()
    done = site.run(
        "restore", f"--target-dir={inside.data}", f"--link-wal={inside.data}/pg_wal"
    )
    assert done.status == 2 and "lie within each other" in done.err
