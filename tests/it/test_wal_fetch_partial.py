"""wal-fetch and .partial: the last, unfinished segment of a timeline that ended."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
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

    home: Path
    last: str  # the unfinished segment

    @property
    def base(self) -> Path:
        return self.home / "base"

    @property
    def saved(self) -> Path:
        """What the dead primary has of the unfinished segment."""
        return self.home / "primary/data/pg_wal" / self.last


def archive_config(walship: Programs, home: Path, key: Path) -> Path:
    return write_config(
        home / "conf",
        repository=f"file://{home}/repo",
        key_file=key,
        spool=home / "spool",
        **TIMEOUTS,
    )


@pytest.fixture(scope="session")
def ended(run_dir: Path, walship: Programs, pg_version: int) -> Iterator[Ended]:
    home = run_dir / f"ended{pg_version}"
    home.mkdir()
    for name in ("repo", "spool"):
        (home / name).mkdir(mode=0o700)
    own(home)
    walship.run("walship", "keygen", home / "key").check()
    config = archive_config(walship, home, home / "key")
    primary = Cluster(pg_version, home / "primary").initdb(wal_segsize_mb=1)
    heir = Cluster(pg_version, home / "heir")
    try:
        last = live_through(primary, heir, walship, config)
    finally:
        primary.close()
        heir.close()
    yield Ended(home, last)
    shutil.rmtree(home)


def live_through(
    primary: Cluster, heir: Cluster, walship: Programs, config: Path
) -> str:
    primary.archive_with(walship.command("wal-push", f"--config={config}", "%p"))
    primary.start()
    primary.sql("create table t (n int)")
    primary.basebackup(config.parent / "base", "--wal-method=none")
    primary.basebackup(heir.data, "--wal-method=stream")
    (heir.data / "standby.signal").touch()
    own(heir.data)
    heir.configure({"primary_conninfo": primary.dsn()})
    heir.start()
    for n in (1, 2):
        add_row(primary, n)
    primary.sql("insert into t values (3)")
    last = str(primary.value("select pg_walfile_name(pg_current_wal_insert_lsn())"))
    heir.wait_sql("select max(n) = 3 from t")
    primary.kill9()
    heir.promote()
    add_row(heir, 4)
    wal = config.parent / "repo" / str(heir.system_identifier()) / "wal"
    part = wal / "00000001" / f"{last}.partial"
    wait_for(part.exists, "the part is archived")
    return last


@dataclass
class Copy:
    """A test's own copy of the archive."""

    ended: Ended
    work_dir: Path
    walship: Programs
    new_cluster: ClusterFactory

    def __post_init__(self) -> None:
        shutil.copytree(self.ended.home / "repo", self.work_dir / "repo")
        (self.work_dir / "spool").mkdir(mode=0o700)
        for name in ("repo", "spool"):
            own(self.work_dir / name)

    @property
    def partial(self) -> Path:
        return next(self.work_dir.glob(f"repo/*/wal/*/{self.ended.last}.partial"))

    def drop_from_timeline_2(self) -> None:
        for path in self.work_dir.glob("repo/*/wal/00000002/0*"):
            if "history" not in path.name:
                path.unlink()

    def recover(self, signal_file: str = "recovery.signal", **conf: str) -> Cluster:
        config = archive_config(self.walship, self.work_dir, self.ended.home / "key")
        cluster = self.new_cluster(create=False)
        shutil.copytree(self.ended.base, cluster.data)
        (cluster.data / signal_file).touch()
        own(cluster.data)
        cluster.configure(
            {
                "restore_command": fetch_command(self.walship, config),
                "archive_mode": "off",
                "wal_retrieve_retry_interval": "100ms",
                **conf,
            }
        )
        return cluster


@pytest.fixture
def copy(
    ended: Ended, work_dir: Path, walship: Programs, new_cluster: ClusterFactory
) -> Copy:
    return Copy(ended, work_dir, walship, new_cluster)


@pytest.mark.versions
def test_recovery_of_the_timeline_uses_it(copy: Copy) -> None:
    cluster = copy.recover(recovery_target_timeline="1")
    promoted(cluster, 3, 3)
    assert f'the part of it that is, "{copy.ended.last}.partial", is used' in cluster.log()


def test_without_it_less_is_recovered(copy: Copy) -> None:
    """What is set aside under a digest is nobody's to choose."""
    copy.partial.rename(f"{copy.partial}.0123456789abcdef")
    promoted(copy.recover(recovery_target_timeline="1"), 2, 3)


def test_a_damaged_one_does_not_promote(copy: Copy) -> None:
    copy.partial.write_bytes(flip(copy.partial.read_bytes()))
    cluster = copy.recover(recovery_target_timeline="1")
    cluster.try_start()
    cluster.wait_stopped()
    assert f"exit code {FATAL}" in cluster.log()
    assert "selected new timeline" not in cluster.log()


def test_recovery_of_the_next_timeline_does_not(copy: Copy) -> None:
    """Its own first segment has all of that, and nothing of what came after."""
    cluster = copy.recover()
    promoted(cluster, 4, 3)
    assert ".partial" not in cluster.log()


def test_nor_when_that_is_not_archived_yet(copy: Copy) -> None:
    """Behind the fork, the part may hold what the next timeline never had."""
    copy.drop_from_timeline_2()
    cluster = copy.recover()
    promoted(cluster, 2, 3)
    assert ".partial" not in cluster.log()


def test_a_standby_waits_for_the_whole(copy: Copy) -> None:
    cluster = copy.recover("standby.signal", recovery_target_timeline="1").start()
    cluster.wait_sql("select max(n) = 2 from t")
    cluster.promote()
    all_rows(cluster, 2)
    assert ".partial" not in cluster.log()


def test_salvaged_wal_is_not_replaced(copy: Copy) -> None:
    """pg_wal has more of the segment than the archive: the server uses it."""
    cluster = copy.recover(recovery_target_timeline="1")
    saved = cluster.data / "pg_wal" / copy.ended.last
    shutil.copy(copy.ended.saved, saved)
    shutil.chown(saved, PG_USER, PG_USER)
    promoted(cluster, 3, 3)
    assert ".partial" not in cluster.log()
