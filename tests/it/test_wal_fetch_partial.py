"""wal-fetch and .partial: the last, unfinished segment of a timeline that ended."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from ground.host import wait_for
from ground.pg import Cluster, ClusterFactory
from ground.programs import Programs, write_config
from ground.roots import PG_USER
from ground.walworld import (
    FATAL,
    TIMEOUTS,
    add_row,
    all_rows,
    fetch_command,
    flip,
    own,
    promoted,
)


@dataclass
class Ended:
    """Rows 1 and 2 in whole segments of timeline 1, row 3 in its last one.

    The primary died in the middle of that; its standby was promoted, and has
    archived row 4 on timeline 2.
    """

    base: Path
    wal: Path  # the archive's, of all timelines
    last: str  # the unfinished segment
    recover: Callable[..., Cluster]

    @property
    def partial(self) -> Path:
        return self.wal / "00000001" / f"{self.last}.partial"

    def drop_from_timeline_2(self) -> None:
        for path in (self.wal / "00000002").glob("0*"):
            if "history" not in path.name:
                path.unlink()


@pytest.fixture
def ended(new_cluster: ClusterFactory, walship: Programs, work_dir: Path) -> Ended:
    repo, key, base = (work_dir / name for name in ("repo", "key", "base"))
    for path in (repo, work_dir / "spool"):
        path.mkdir(mode=0o700)
        own(path)
    walship.run("walship", "keygen", key).check()
    config = write_config(
        work_dir / "conf",
        repository=f"file://{repo}",
        key_file=key,
        spool=work_dir / "spool",
        **TIMEOUTS,
    )
    primary = new_cluster(start=False, wal_segsize_mb=1)
    primary.archive_with(walship.command("wal-push", f"--config={config}", "%p"))
    primary.start()
    primary.sql("create table t (n int)")
    primary.basebackup(base, "--wal-method=none")
    heir = new_cluster(create=False)
    primary.basebackup(heir.data, "--wal-method=stream")
    (heir.data / "standby.signal").touch()
    shutil.chown(heir.data / "standby.signal", PG_USER, PG_USER)
    heir.configure({"primary_conninfo": primary.dsn()})
    heir.start()
    for n in (1, 2):
        add_row(primary, n)
    primary.sql("insert into t values (3)")
    last = primary.value("select pg_walfile_name(pg_current_wal_insert_lsn())")
    heir.wait_sql("select max(n) = 3 from t")
    primary.kill9()
    heir.promote()
    wal = repo / str(heir.system_identifier()) / "wal"
    add_row(heir, 4)
    wait_for((wal / "00000001" / f"{last}.partial").exists, "the part is archived")
    heir.stop()

    def recover(signal_file: str = "recovery.signal", **conf: str) -> Cluster:
        cluster = new_cluster(create=False)
        shutil.copytree(base, cluster.data)
        (cluster.data / signal_file).touch()
        own(cluster.data)
        cluster.configure(
            {
                "restore_command": fetch_command(walship, config),
                "archive_mode": "off",
                "wal_retrieve_retry_interval": "100ms",
                **conf,
            }
        )
        return cluster

    return Ended(base, wal, last, recover)


@pytest.mark.versions
def test_recovery_of_the_timeline_uses_it(ended: Ended) -> None:
    cluster = ended.recover(recovery_target_timeline="1")
    promoted(cluster, 3, 3)
    assert f'the part of it that is, "{ended.last}.partial", is used' in cluster.log()


def test_without_it_less_is_recovered(ended: Ended) -> None:
    """What is set aside under a digest is nobody's to choose."""
    ended.partial.rename(f"{ended.partial}.0123456789abcdef")
    promoted(ended.recover(recovery_target_timeline="1"), 2, 3)


def test_a_damaged_one_does_not_promote(ended: Ended) -> None:
    ended.partial.write_bytes(flip(ended.partial.read_bytes()))
    cluster = ended.recover(recovery_target_timeline="1")
    cluster.try_start()
    cluster.wait_stopped()
    assert f"exit code {FATAL}" in cluster.log()
    assert "selected new timeline" not in cluster.log()


def test_recovery_of_the_next_timeline_does_not(ended: Ended) -> None:
    """Its own first segment has all of that, and nothing of what came after."""
    cluster = ended.recover()
    promoted(cluster, 4, 3)
    assert ".partial" not in cluster.log()


def test_nor_when_that_is_not_archived_yet(ended: Ended) -> None:
    """Behind the fork, the part may hold what the next timeline never had."""
    ended.drop_from_timeline_2()
    cluster = ended.recover()
    promoted(cluster, 2, 3)
    assert ".partial" not in cluster.log()


def test_a_standby_waits_for_the_whole(ended: Ended) -> None:
    cluster = ended.recover("standby.signal", recovery_target_timeline="1").start()
    cluster.wait_sql("select max(n) = 2 from t")
    cluster.promote()
    all_rows(cluster, 2)
    assert ".partial" not in cluster.log()


def test_salvaged_wal_is_not_replaced(ended: Ended) -> None:
    """pg_wal has more of the segment than the archive: the server uses it."""
    cluster = ended.recover(recovery_target_timeline="1")
    saved = cluster.data / "pg_wal" / ended.last
    shutil.copy(ended.base.parent / "pg0/data/pg_wal" / ended.last, saved)
    shutil.chown(saved, PG_USER, PG_USER)
    promoted(cluster, 3, 3)
    assert ".partial" not in cluster.log()
