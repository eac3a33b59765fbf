"""Segments of every size from real servers, and the memory that they take."""

from __future__ import annotations

import hashlib
import os
import shutil
import struct
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ground import peak
from ground.archiver import Archiver, copy_datadir
from ground.campaign import small_tmpfs
from ground.host import at_work_in, run, wait_for
from ground.pg import Cluster, ClusterFactory
from ground.programs import Programs, change_config
from ground.pushsite import write_noise
from ground.roots import PG_USER
from ground.tls import Authority, TlsProxy

MIB = 1 << 20
BOUND_KIB = 48 * 1024
# Beyond 16 MB the stored form lies in a file without a name.  Its mapped pages
# are nobody's memory, so all other is bounded, by the kernel; with stacks that
# take what they need, since their whole size counts.
BOUND_BY_KERNEL = f"ulimit -s 1024 && ulimit -d {BOUND_KIB}"
SYSTEM_CA = Path("/etc/ssl/certs/ca-certificates.crt")
SANITIZED = "WALSHIP_SANITIZE" in os.environ


def archiving_cluster(
    new_cluster: ClusterFactory,
    walship: Programs,
    config: Path,
    megabytes: int,
    segments: int = 4,
) -> tuple[Cluster, Path]:
    """One that has not begun yet, and where its commands' peaks are noted."""
    size = f"{max(segments * megabytes, 1024)}MB"
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
    elif not SANITIZED:
        push = f"{BOUND_BY_KERNEL} && {push}"
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


def archive_backlog(
    cluster: Cluster,
    write: Callable[[], None],
    wait: Callable[[str], None] | None = None,
) -> tuple[str, str]:
    """First and last segment of what is written while nothing is archived."""
    cluster.start(options="-c archive_command=")
    first = cluster.current_segment()
    write()
    last = cluster.switch_wal()
    cluster.restart()
    if wait is not None:
        wait(last)
    cluster.wait_archived(last, deadline_s=300)
    failed = cluster.value("select failed_count from pg_stat_archiver")
    cluster.stop()
    assert (failed, cluster.log().count("wal-push:")) == (0, 0)
    # The worker's peak is noted when it has ended.
    wait_for(lambda: not at_work_in(cluster.data), "the end of all calls")
    return first, last


def assert_small(peaks: Path, calls: int) -> None:
    """Every call and every worker, at its peak."""
    if not SANITIZED:
        noted = [int(line) for line in peaks.read_text().split()]
        assert len(noted) > calls and max(noted) < BOUND_KIB, noted


@pytest.mark.parametrize("megabytes", [1, 16, 64])
def test_incompressible(
    new_cluster: ClusterFactory, walship: Programs, config: Path, megabytes: int
) -> None:
    """A backlog of segments, all of them noise."""
    cluster, peaks = archiving_cluster(new_cluster, walship, config, megabytes)
    count = {1: 16, 16: 6, 64: 2}[megabytes]
    ends = archive_backlog(
        cluster, lambda: write_noise(cluster, count * megabytes * MIB)
    )
    for name in ends:
        assert_fetched(cluster, walship, config, name)
    if megabytes <= 16:
        assert_small(peaks, count)


def test_threads_without_work_hold_no_memory(
    new_cluster: ClusterFactory, walship: Programs, dir_config: Path
) -> None:
    """The last segment takes all that may be taken, and gets it.

    Otherwise it would wait for the worker's end, a minute after its start.
    """
    config = change_config(dir_config, push_memory="18MB", push_timeout="20min")
    cluster, peaks = archiving_cluster(new_cluster, walship, config, 16, segments=8)

    def write() -> None:
        for _ in range(5):
            write_noise(cluster, 4 * MIB)
            cluster.switch_wal()
        write_noise(cluster, 15 * MIB)

    def wait(last: str) -> None:
        """Less than a minute, unless this machine takes so long for the others."""
        begun = time.monotonic()
        cluster.wait_archived(f"{int(last, 16) - 1:024X}", deadline_s=300)
        others_s = time.monotonic() - begun
        cluster.wait_archived(last, deadline_s=30 + 10 * others_s)

    archive_backlog(cluster, write, wait)
    assert_small(peaks, 6)


@pytest.fixture
def tls_config(
    s3_config: Path, authority: Authority, tls_proxy: Callable[[], TlsProxy]
) -> Path:
    """As at a public provider: every authority of the system's is loaded."""
    trusted = s3_config.with_name("trusted.pem")
    trusted.write_bytes(SYSTEM_CA.read_bytes() + authority.ca_file.read_bytes())
    endpoint = tls_proxy().endpoint
    return change_config(s3_config, s3_endpoint=endpoint, s3_ca_file=trusted)


@pytest.mark.sigv4
def test_incompressible_over_tls(
    new_cluster: ClusterFactory, walship: Programs, tls_config: Path
) -> None:
    """Whose library takes some memory for each connection."""
    cluster, peaks = archiving_cluster(new_cluster, walship, tls_config, 16)
    ends = archive_backlog(cluster, lambda: write_noise(cluster, 6 * 16 * MIB))
    for name in ends:
        assert_fetched(cluster, walship, tls_config, name)
    assert_small(peaks, 6)


@pytest.mark.soak
@pytest.mark.timeout(0)
def test_long_backlog_over_tls(
    new_cluster: ClusterFactory,
    walship: Programs,
    tls_config: Path,
    tell: Callable[[str], None],
) -> None:
    """256 segments, every other one noise: memory does not grow with them."""
    cluster, peaks = archiving_cluster(
        new_cluster, walship, tls_config, 16, segments=300
    )

    def write() -> None:
        for _ in range(128):
            write_noise(cluster, 15 * MIB)
            cluster.switch_wal()
            cluster.sql("select pg_logical_emit_message(false, 'x', 'x')")
            cluster.switch_wal()

    archive_backlog(cluster, write)
    assert_small(peaks, 256)
    tell(f"peak of all processes: {max(map(int, peaks.read_text().split()))} KiB")


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
    write_noise(cluster, 1100 * MIB)
    cluster.wait_archived(first, deadline_s=300)
    cluster.stop("immediate")
    assert_fetched(cluster, walship, config, first)


# --- where a large segment's stored form goes --------------------------------


LARGE = "000000010000000000000001"


@pytest.fixture
def large(
    walship: Programs,
    dead_server: Callable[..., Path],
    work_dir: Path,
    dir_config: Path,
) -> Archiver:
    """With a segment of 64 MB: noise behind a first page that says so."""
    archiver = Archiver(
        walship, dir_config, copy_datadir(dead_server(), work_dir / "data")
    )
    header = bytearray(archiver.segment(1)[:40])
    struct.pack_into("<Q", header, 8, 64 * MIB)
    struct.pack_into("<I", header, 32, 64 * MIB)
    archiver.write(LARGE, header + os.urandom(64 * MIB - len(header)))
    return archiver


@pytest.fixture
def full_disk(work_dir: Path) -> Iterator[Path]:
    """Ours, with room for 1 MB."""
    with small_tmpfs(work_dir / "full", "1m") as path:
        yield path


def stored_files(repo: Path) -> list[str]:
    found = (path for path in repo.rglob("*") if path.is_file())
    return [path.name for path in found]


@pytest.mark.parametrize("spool", ["there", "missing", "full", "read-only"])
def test_large_needs_no_spool(
    large: Archiver, repo_dir: Path, spool_dir: Path, full_disk: Path, spool: str
) -> None:
    """Then the stored form goes to TMPDIR; and no file of it is ever seen."""
    if spool == "missing":
        spool_dir.rmdir()
    elif spool == "full":
        spool_dir = full_disk
    elif spool == "read-only":
        spool_dir = full_disk
        run(["mount", "-o", "remount,ro", full_disk]).check()
    done = large.push(LARGE, f"--set=spool={spool_dir}")
    assert (done.status, done.out, done.err) == (0, "", "")
    assert stored_files(repo_dir) == [LARGE]
    assert large.fetch(LARGE) == (large.wal / LARGE).read_bytes()
    left = spool_dir.rglob("*") if spool_dir.exists() else []
    assert all(path.is_dir() for path in left)


@pytest.mark.parametrize("spool", ["missing", "full"])
def test_large_has_no_place(
    large: Archiver, repo_dir: Path, spool_dir: Path, full_disk: Path, spool: str
) -> None:
    """Nowhere to put it: one line says where it was tried last."""
    if spool == "missing":
        spool_dir.rmdir()
    else:
        spool_dir = full_disk
    env = {"TMPDIR": str(full_disk)}
    done = large.push(LARGE, f"--set=spool={spool_dir}", env=env)
    assert done.status == 1
    (line,) = done.err.splitlines()
    assert str(full_disk) in line and "No space left on device" in line
    assert stored_files(repo_dir) == []
    large.push(LARGE).check()
