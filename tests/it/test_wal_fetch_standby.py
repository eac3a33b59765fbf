"""wal-fetch and a standby: no fault stops it."""

from __future__ import annotations

import shutil
from collections.abc import Callable

import pytest

from ground.host import wait_for
from ground.programs import write_config
from ground.roots import PG_USER
from ground.walworld import (
    ROWS_1,
    ROWS_2,
    HISTORIES,
    DIR_FAULTS,
    S3_FAULTS,
    Fault,
    World,
    all_rows,
    greatest_row,
    make_dir_fault,
    no_leftovers,
    stopped_in_recovery,
)


def keeps_following(world: World, fault: Fault, pattern: str) -> None:
    """The command line even claims a recovery; standby.signal wins."""
    cluster = world.server("standby.signal", "--mode=recovery", pattern=pattern)
    fault.begin()
    cluster.start()
    cluster.wait_sql("select max(n) = 3 from t")
    wait_for(lambda: world.calls.read_text().count(pattern) >= 4, "it asks again")
    assert (cluster.log().count("could not fetch") >= 3) == fault.spoken
    assert cluster.value("select pg_is_in_recovery()")
    assert greatest_row(cluster) == 3
    fault.mend()
    cluster.wait_sql(f"select max(n) = {ROWS_2} from t")
    assert cluster.value("select pg_is_in_recovery()")
    no_leftovers(cluster.data / "pg_wal")
    cluster.promote()
    all_rows(cluster, ROWS_2)


@pytest.mark.parametrize("kind", DIR_FAULTS)
def test_standby_dir(dir_world: World, kind: str) -> None:
    victim = dir_world.segments[4]
    keeps_following(dir_world, make_dir_fault(kind, dir_world, victim), victim)


@pytest.mark.parametrize("kind", S3_FAULTS)
def test_standby_s3(
    s3_world: World, s3_fault: Callable[[str], Fault], kind: str
) -> None:
    victim = s3_world.segments[4]
    keeps_following(s3_world, s3_fault(kind), victim)


@pytest.mark.parametrize("kind", ["no root", "corrupt"])
def test_standby_history(dir_world: World, kind: str) -> None:
    """It stays on timeline 1 as long as the next history cannot be had."""
    fault = make_dir_fault(kind, dir_world, "00000002.history")
    cluster = dir_world.server("standby.signal", pattern=HISTORIES)
    fault.begin()
    cluster.start()
    cluster.wait_sql(f"select max(n) = {ROWS_1} from t")
    since = cluster.log_end()
    cluster.wait_log("could not fetch", since=since)
    assert cluster.value("select pg_is_in_recovery()")
    fault.mend()
    cluster.wait_sql(f"select max(n) = {ROWS_2} from t")
    assert cluster.value("select pg_is_in_recovery()")


def test_standby_signal_added_later(dir_world: World) -> None:
    """A restored server is made a standby; its restore_command still says
    recovery, and was started with the store away."""
    victim = dir_world.segments[4]
    fault = make_dir_fault("no root", dir_world, victim)
    cluster = dir_world.server("recovery.signal", "--mode=recovery", pattern=victim)
    fault.begin()
    stopped_in_recovery(cluster)
    (cluster.data / "standby.signal").touch()
    shutil.chown(cluster.data / "standby.signal", PG_USER, PG_USER)
    cluster.start()
    since = cluster.log_end()
    cluster.wait_log("could not fetch", since=since)
    assert cluster.value("select pg_is_in_recovery()")
    fault.mend()
    cluster.wait_sql(f"select max(n) = {ROWS_2} from t")
    assert cluster.value("select pg_is_in_recovery()")


def test_standby_idles_in_silence(dir_world: World) -> None:
    cluster = dir_world.server("standby.signal").start()
    cluster.wait_sql(f"select max(n) = {ROWS_2} from t")
    before = len(dir_world.calls.read_text())
    wait_for(lambda: len(dir_world.calls.read_text()) > before + 150, "it polls")
    assert "wal-fetch" not in cluster.log()


def test_promotion_in_an_outage(
    s3_world: World, s3_fault: Callable[[str], Fault]
) -> None:
    """All that it asks for on the way shares one patience."""
    s3_world.keys |= {"fetch_ahead": "8MB"}
    s3_world.impatience = {"fetch_timeout_standby": "4s"}
    write_config(s3_world.good, **s3_world.keys)
    fault = s3_fault("down")
    cluster = s3_world.server("standby.signal", pattern="*").start()
    cluster.wait_sql(f"select max(n) = {ROWS_2} from t")
    fault.begin()
    cluster.wait_log("could not fetch")
    cluster.promote()
    all_rows(cluster, ROWS_2)
    note = next(s3_world.spool.glob("*/*/outage")).read_text().split()
    # Three times the patience is a history's; each of the calls would have
    # waited that long by itself.
    assert note[0] == "walship-outage-v1"
    assert int(note[2]) < 5 * 12000
