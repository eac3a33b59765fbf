"""wal-fetch and a server in recovery: no fault promotes it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from ground.host import wait_for
from ground.pg import ClusterFactory
from ground.programs import Programs, write_config
from ground.roots import PG_USER
from ground.walworld import (
    FATAL,
    ROWS_1,
    ROWS_2,
    HISTORIES,
    DIR_FAULTS,
    S3_FAULTS,
    Fault,
    World,
    absence,
    add_row,
    all_rows,
    fetch_command,
    flip,
    make_dir_fault,
    no_leftovers,
    own,
    promoted,
    stopped_in_recovery,
)


# --- every fault stops the server -------------------------------------------


def stops_recovery(world: World, fault: Fault, pattern: str) -> None:
    cluster = world.server("recovery.signal", pattern=pattern)
    fault.begin()
    stopped_in_recovery(cluster)
    # And again, as an impatient supervisor would try.
    stopped_in_recovery(cluster)
    fault.mend()
    promoted(cluster, ROWS_2, 3)


@pytest.mark.parametrize("kind", DIR_FAULTS)
def test_recovery_dir(dir_world: World, kind: str) -> None:
    victim = dir_world.segments[4]
    fault = make_dir_fault(kind, dir_world, victim)
    stops_recovery(dir_world, fault, victim)


@pytest.mark.parametrize("kind", S3_FAULTS)
def test_recovery_s3(
    s3_world: World, s3_fault: Callable[[str], Fault], kind: str
) -> None:
    victim = s3_world.segments[4]
    stops_recovery(s3_world, s3_fault(kind), victim)


@pytest.mark.parametrize("kind", ["no root", "wrong key", "unreadable", "corrupt"])
def test_recovery_history_dir(dir_world: World, kind: str) -> None:
    """A history that cannot be had must not hide its timeline."""
    fault = make_dir_fault(kind, dir_world, "00000002.history")
    cluster = dir_world.server("recovery.signal", pattern=HISTORIES)
    fault.begin()
    assert not cluster.try_start()
    assert f"exit code {FATAL}" in cluster.log()
    fault.mend()
    promoted(cluster, ROWS_2, 3)


@pytest.mark.parametrize("kind", ["down", "wrong secret", "no bucket", "delete marker"])
def test_recovery_history_s3(
    s3_world: World, s3_fault: Callable[[str], Fault], kind: str
) -> None:
    fault = s3_fault(kind)
    cluster = s3_world.server("recovery.signal", pattern=HISTORIES)
    fault.begin()
    assert not cluster.try_start()
    assert f"exit code {FATAL}" in cluster.log()
    fault.mend()
    promoted(cluster, ROWS_2, 3)


def test_recovery_gap_before_a_later_timeline(dir_world: World) -> None:
    """The last segments of timeline 1 are gone; timeline 2 proves they were."""
    for path in sorted(dir_world.wal().glob("0*")):
        if path.name[:24] >= dir_world.segments[5] and "history" not in path.name:
            path.unlink()
    cluster = dir_world.server("recovery.signal")
    stopped_in_recovery(cluster)
    assert "timeline 2 forked off behind it" in cluster.log()


def test_recovery_history_of_newer_wal_lost(dir_world: World) -> None:
    """Nobody can tell where a timeline without its history forked off."""
    dir_world.object("00000002.history").unlink()
    cluster = dir_world.server("recovery.signal")
    stopped_in_recovery(cluster)
    assert "without its history file" in cluster.log()


def test_recovery_ends_where_the_archive_ends(world: World) -> None:
    """Absence, proven, with nothing behind: silent, and the server promotes."""
    world.copy_archive(both=False)
    cluster = world.server("recovery.signal", "--mode=recovery")
    promoted(cluster, ROWS_1, 2)
    assert "wal-fetch" not in cluster.log()
    no_leftovers(cluster.data / "pg_wal")


def test_recovery_follows_the_newer_timeline(dir_world: World) -> None:
    cluster = dir_world.server("recovery.signal")
    promoted(cluster, ROWS_2, 3)


def test_recovery_to_the_old_timeline(dir_world: World) -> None:
    """Timeline 2 forked off in the first segment that timeline 1 lacks."""
    cluster = dir_world.server("recovery.signal")
    cluster.configure({"recovery_target_timeline": "1"})
    promoted(cluster, ROWS_1, 3)


def test_gap_that_closes(dir_world: World) -> None:
    """Parallel pushing makes a segment absent while the next one is there."""
    fault = absence(dir_world.object(dir_world.segments[4]))
    dir_world.keys |= {"fetch_timeout": "2min"}
    write_config(dir_world.good, **dir_world.keys)
    cluster = dir_world.server("recovery.signal")
    fault.begin()
    cluster.start(wait=False)
    calls = dir_world.calls
    wait_for(lambda: dir_world.segments[4] in calls.read_text(), "it is asked for")
    fault.mend()
    cluster.wait_sql("select not pg_is_in_recovery()")
    all_rows(cluster, ROWS_2)
    assert calls.read_text().count(dir_world.segments[4]) == 1


def test_mode_says_standby_in_recovery(dir_world: World) -> None:
    """recovery.signal alone tells that a 1 would promote."""
    fault = make_dir_fault("no root", dir_world, dir_world.segments[4])
    cluster = dir_world.server(
        "recovery.signal", "--mode=standby", pattern=dir_world.segments[4]
    )
    fault.begin()
    stopped_in_recovery(cluster)


# --- the end of recovery ----------------------------------------------------


@pytest.mark.parametrize("mode", ["", "--mode=recovery"])
@pytest.mark.parametrize("kind", ["no root", "corrupt", "no key"])
def test_end_of_recovery(dir_world: World, kind: str, mode: str) -> None:
    """The parent's history is asked for once recovery.signal is gone.

    Anything but 0 or 1 would stop the server, and its next start would be a
    fork: plain crash recovery on the old timeline.
    """
    make_dir_fault(kind, dir_world, "00000002.history")
    cluster = dir_world.server("recovery.signal", mode, pattern=HISTORIES)
    script = dir_world.work_dir / "restore"
    damage = dir_world.work_dir / "damage"
    if kind == "corrupt":
        damage.write_bytes(flip(dir_world.object("00000002.history").read_bytes()))
        shutil.chown(damage, PG_USER, PG_USER)
        action = f"cp {damage} {dir_world.object('00000002.history')}"
    else:
        action = f"touch {dir_world.flag}"
    text = script.read_text()
    script.write_text(text.replace("conf=", f"ls *.signal || {action}\nconf=", 1))
    promoted(cluster, ROWS_2, 3)
    calls = dir_world.calls.read_text().splitlines()
    assert "00000002.history " in calls
    assert "could not fetch" in cluster.log()


# --- shutdown ---------------------------------------------------------------


@pytest.mark.parametrize("signal_file", ["recovery.signal", "standby.signal"])
def test_shutdown_during_a_fetch(
    s3_world: World, s3_fault: Callable[[str], Fault], signal_file: str
) -> None:
    """The server is stopped while the store hangs; nothing is promoted."""
    s3_world.impatience = {"fetch_timeout": "1h", "fetch_timeout_standby": "1h"}
    victim = s3_world.segments[4]
    fault = s3_fault("hang")
    cluster = s3_world.server(signal_file, pattern=victim)
    fault.begin()
    cluster.start(wait=False)
    wait_for(lambda: victim in s3_world.calls.read_text(), "the victim is asked for")
    cluster.stop("fast")
    state = cluster.controldata()["Database cluster state"]
    assert state in ("shut down in recovery", "in archive recovery")
    assert (cluster.data / signal_file).exists()
    no_leftovers(cluster.data / "pg_wal")
    fault.mend()
    cluster.start()
    cluster.wait_sql(f"select max(n) = {ROWS_2} from t")


# --- other ways through -----------------------------------------------------


def test_pg_rewind(new_cluster: ClusterFactory, world: World) -> None:
    """pg_rewind -c takes what it needs of the old timeline from the archive."""
    world.repo.mkdir(mode=0o700)
    own(world.repo)
    world.keys |= {"fetch_ahead": "256MB"}
    world.configure()
    push = world.walship.command("wal-push", f"--config={world.good}", "%p")
    old = new_cluster(start=False, wal_segsize_mb=1, conf={"wal_log_hints": "on"})
    old.configure({"restore_command": fetch_command(world.walship, world.good)})
    old.archive_with(push)
    old.start()
    old.sql("create table t (n int)")
    heir = new_cluster(create=False)
    old.basebackup(heir.data, "--wal-method=stream")
    (heir.data / "standby.signal").touch()
    shutil.chown(heir.data / "standby.signal", PG_USER, PG_USER)
    heir.configure({"primary_conninfo": old.dsn()})
    heir.start()
    heir.promote()
    heir.sql("insert into t values (1)")
    heir.sql("checkpoint")
    for n in range(10, 16):
        add_row(old, n)
        old.sql("checkpoint")
    old.stop()
    for path in (old.data / "pg_wal").glob("0*"):
        if path.name < old.controldata()["Latest checkpoint's REDO WAL file"]:
            path.unlink()
    done = old.program(
        "pg_rewind",
        "--restore-target-wal",
        f"--target-pgdata={old.data}",
        f"--source-server={heir.dsn()}",
    )
    assert done.status == 0, done.err
    no_leftovers(old.data / "pg_wal")
    # It reads backwards: nothing is fetched ahead of it.
    at = old.data.stat()
    assert not list(world.spool.glob(f"*/*/fetch-{at.st_dev:x}-{at.st_ino:x}"))


@pytest.mark.versions
def test_every_version(
    new_cluster: ClusterFactory,
    walship: Programs,
    config: Path,
    work_dir: Path,
) -> None:
    """Archive, recover, go on, follow: the whole way, on either backend."""
    primary = new_cluster(start=False)
    push = walship.command("wal-push", f"--config={config}", "%p")
    primary.archive_with(push)
    primary.start()
    primary.sql("create table t (n int)")
    base = work_dir / "base"
    primary.basebackup(base, "--wal-method=none")
    for n in (1, 2):
        add_row(primary, n)
    primary.stop()
    heir = new_cluster(create=False)
    follower = new_cluster(create=False)
    for cluster, signal_file in ((heir, "recovery"), (follower, "standby")):
        shutil.copytree(base, cluster.data)
        (cluster.data / f"{signal_file}.signal").touch()
        own(cluster.data)
        cluster.configure(
            {
                "restore_command": fetch_command(walship, config),
                "wal_retrieve_retry_interval": "100ms",
            }
        )
    follower.start()
    follower.wait_sql("select max(n) = 2 from t")
    heir.start()
    heir.wait_sql("select not pg_is_in_recovery()")
    for n in (3, 4):
        add_row(heir, n)
    follower.wait_sql("select max(n) = 4 from t")
    assert follower.value("select pg_is_in_recovery()")
    for cluster in (heir, follower):
        all_rows(cluster, 4)
        assert "wal-fetch" not in cluster.log()
