"""Segments of every size from real servers, and the memory that they take."""

from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path

import pytest

from ground import peak
from ground.pg import Cluster, ClusterFactory
from ground.programs import Programs
from ground.roots import PG_USER

MIB = 1 << 20
BOUND_KIB = 48 * 1024
# Beyond 16 MB the stored form lies in a file without a name, whose mapped pages
# are nobody's memory; what is left must not grow with the segment.
LARGE_BOUND_KIB = 128 * 1024
CHUNK = MIB // 2


def write_random(cluster: Cluster, count: int) -> None:
    """WAL that cannot be compressed, by so many bytes."""
    path = cluster.home / "random"
    path.write_bytes(os.urandom(8 * MIB))
    shutil.chown(path, PG_USER, PG_USER)
    cluster.sql(
        "select pg_logical_emit_message(false, 'r', pg_read_binary_file("
        f"'{path}', (i * 37) % {8 * MIB - CHUNK}, {CHUNK}))"
        f" from generate_series(1, {count // CHUNK}) i"
    )


def archiving_cluster(
    new_cluster: ClusterFactory, walship: Programs, config: Path, megabytes: int
) -> tuple[Cluster, Path]:
    """One that has not begun yet, and where its commands' peaks are noted."""
    size = f"{max(4 * megabytes, 1024)}MB"
    cluster = new_cluster(
        start=False,
        wal_segsize_mb=megabytes,
        conf={"wal_keep_size": size, "max_wal_size": size, "checkpoint_timeout": "1h"},
    )
    peaks = cluster.home / "peaks"
    tool = shutil.copy(peak.__file__, cluster.home / "peak.py")
    push = walship.command("wal-push", f"--config={config}", "%p")
    if megabytes <= 16:
        push = f"/usr/bin/python3 {tool} {peaks} {push}"
    elif "WALSHIP_SANITIZE" not in os.environ:
        push = f"ulimit -d {LARGE_BOUND_KIB} && {push}"
    cluster.archive_with(push)
    return cluster, peaks


def digest(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def assert_fetched(cluster: Cluster, walship: Programs, config: Path, name: str) -> None:
    copy = cluster.home / "copy"
    fetch = ("wal-fetch", f"--config={config}", name, copy)
    walship.run(*fetch, cwd=cluster.data).check()
    assert digest(copy) == digest(cluster.data / "pg_wal" / name)
    copy.unlink()


@pytest.mark.parametrize("megabytes", [1, 16, 64])
def test_incompressible(
    new_cluster: ClusterFactory, walship: Programs, config: Path, megabytes: int
) -> None:
    """A backlog of segments, all of them noise."""
    cluster, peaks = archiving_cluster(new_cluster, walship, config, megabytes)
    count = {1: 16, 16: 6, 64: 2}[megabytes]
    cluster.start(options="-c archive_command=")
    first = cluster.current_segment()
    write_random(cluster, count * megabytes * MIB)
    last = cluster.switch_wal()
    cluster.restart()
    cluster.wait_archived(last)
    failed = cluster.value("select failed_count from pg_stat_archiver")
    cluster.stop()
    assert (failed, cluster.log().count("wal-push:")) == (0, 0)
    assert_fetched(cluster, walship, config, first)
    assert_fetched(cluster, walship, config, last)
    if megabytes <= 16 and "WALSHIP_SANITIZE" not in os.environ:
        noted = [int(line) for line in peaks.read_text().split()]
        assert len(noted) >= count and max(noted) < BOUND_KIB, noted


def test_gigabyte(
    new_cluster: ClusterFactory, walship: Programs, dir_config: Path
) -> None:
    cluster, _ = archiving_cluster(new_cluster, walship, dir_config, 1024)
    cluster.start()
    last = cluster.switch_wal()
    cluster.wait_archived(last)
    cluster.stop()
    assert_fetched(cluster, walship, dir_config, last)


@pytest.mark.soak
def test_gigabyte_of_noise(
    new_cluster: ClusterFactory, walship: Programs, config: Path
) -> None:
    cluster, _ = archiving_cluster(new_cluster, walship, config, 1024)
    cluster.start()
    first = cluster.current_segment()
    write_random(cluster, 1100 * MIB)
    cluster.wait_archived(first, deadline_s=300)
    cluster.stop("immediate")
    assert_fetched(cluster, walship, config, first)
