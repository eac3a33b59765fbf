"""Backups that build on one another: stored once, each a full one to restore."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ground.host import run
from ground.pg import Cluster, ClusterFactory
from ground.programs import Programs
from ground.roots import PG_USER
from ground.site import Site
from ground.stored import Stored, stored_by

PAGE = 8192


class Chain(Site):
    """A primary whose backups form a chain, and ways to look at them."""

    def stored(self) -> Stored:
        return stored_by(self.config, self.primary.system_identifier(), None)

    def full(self) -> str:
        return self.backup("--full")

    def report(self) -> dict[str, object]:
        return self.stored().reports("backup")[-1]

    def restored(self, backup: str) -> Cluster:
        """The backup's files, checked against the server's own manifest."""
        copy = self.copy()
        self.run("restore", backup, f"--target-dir={copy.data}").check()
        copy.verifybackup(copy.data, "--no-parse-wal").check()
        return copy

    def rebuilt(self, backup: str, target: Path) -> None:
        """The same by the second reader."""
        self.stored().rebuild(backup, target)
        run(["chown", "-R", f"{PG_USER}:{PG_USER}", str(target)]).check()
        self.primary.verifybackup(target, "--no-parse-wal").check()


@pytest.fixture
def chain(walship: Programs, new_cluster: ClusterFactory, dir_config: Path) -> Chain:
    made = Chain(walship, new_cluster, dir_config, checksums=True)
    made.primary.sql(
        "create table big as select i, repeat(md5(i::text), 20) as t"
        " from generate_series(1, 60000) i"
    )
    made.primary.sql("create index on big (i)")
    made.primary.sql("vacuum (freeze, analyze) big")
    return made


def test_nothing_is_stored_twice(chain: Chain, work_dir: Path) -> None:
    first = chain.backup()
    second = chain.backup()
    stored = chain.stored()
    manifest = stored.manifest(second)
    assert manifest.summary["bases"] == [first]
    assert manifest.summary["full"] == first
    full = stored.manifest(first).summary
    assert manifest.summary["stored_bytes"] < full["stored_bytes"] / 20
    chain.rebuilt(second, work_dir / "rebuilt")
    chain.restored(second).start()


def test_scattered_pages(chain: Chain, work_dir: Path) -> None:
    """Many extents: maps, and the maps of what did not change are shared."""
    chain.primary.sql("create table cold as table big")
    chain.primary.sql("vacuum (freeze) cold")
    backups = [chain.backup()]
    for turn in range(3):
        chain.primary.sql(f"update big set i = -i where abs(i) % 211 = {turn}")
        chain.primary.sql("checkpoint")
        backups.append(chain.backup())
    stored = chain.stored()
    mapped = [f for f in stored.manifest(backups[-1]).files if f.maps]
    assert mapped, "no file has maps: the test's data is too small"
    for number, backup in enumerate(backups):
        chain.rebuilt(backup, work_dir / f"rebuilt{number}")
    copy = chain.restored(backups[-1])
    copy.start()
    copy.wait_sql("select not pg_is_in_recovery()")
    count = "select count(*), sum(hashtext(big::text)) from big"
    assert copy.sql(count) == chain.primary.sql(count)
