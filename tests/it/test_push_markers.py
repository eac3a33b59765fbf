"""What wal-push stored ahead: markers, and that none is believed wrongly.

Where a test hides the repository, success can only come from a marker: then a
call that fails has not believed it.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ground.archiver import (
    IN_ARCHIVE_RECOVERY,
    IN_PRODUCTION,
    SEGMENTS,
    Archiver,
    copy_datadir,
    damaged,
)
from ground.host import Result, at_work_in, run, unmount, wait_for
from ground.programs import Programs, write_config
from ground.pushqueue import Queue, hide_repository
from ground.roots import PG_USER

FIRST, SECOND, THIRD, FOURTH = SEGMENTS
BOOT_ID = "/proc/sys/kernel/random/boot_id"


@pytest.fixture
def new_queue(
    walship: Programs,
    dead_server: Callable[..., Path],
    work_dir: Path,
    spool_dir: Path,
) -> Iterator[Callable[..., Queue]]:
    made: list[Queue] = []

    def make(config: Path, cluster: int = 0, data: Path | None = None) -> Queue:
        target = work_dir / f"data{len(made)}"
        copied = copy_datadir(data or dead_server(cluster), target)
        made.append(Queue(Archiver(walship, config, copied), spool_dir))
        return made[-1]

    yield make
    for queue in made:
        queue.stop()


@pytest.fixture
def queue(new_queue: Callable[..., Queue], dir_config: Path) -> Queue:
    return new_queue(dir_config)


def succeeded(done: Result) -> None:
    assert (done.status, done.out, done.err) == (0, "", "")


def refused(done: Result) -> None:
    assert 1 <= done.status <= 125, done
    assert len(done.err.splitlines()) == 1, done.err


# --- a marker is enough -----------------------------------------------------------


def test_marker_suffices(queue: Queue, repo_dir: Path) -> None:
    """What has one needs no store; what has none does."""
    queue.fill(FIRST, SECOND, THIRD)
    hidden = hide_repository(repo_dir)
    succeeded(queue.push(SECOND))
    succeeded(queue.push(THIRD))
    queue.stop()
    refused(queue.push(FOURTH, "--set=push_timeout=1s"))
    hidden.rename(repo_dir)
    for number, name in enumerate(SEGMENTS[:3], start=1):
        assert queue.archiver.fetch(name) == queue.archiver.segment(number)


def test_marker_suffices_once(queue: Queue, repo_dir: Path) -> None:
    """Somebody has everything archived again, since the repository was lost."""
    queue.fill(FIRST, SECOND)
    queue.stop()
    succeeded(queue.push(SECOND))
    hide_repository(repo_dir)
    queue.ready(SECOND)
    refused(queue.push(SECOND, "--set=push_timeout=1s"))


def libraries(queue: Queue, name: str, work_dir: Path) -> str:
    """Every library that a call loads."""
    trace = work_dir / "ld"
    trace.mkdir(mode=0o777)
    trace.chmod(0o777)
    env = {"LD_DEBUG": "files", "LD_DEBUG_OUTPUT": str(trace / "of")}
    succeeded(queue.archiver.push(name, env=env))
    said = "".join(path.read_text() for path in trace.iterdir())
    shutil.rmtree(trace)
    return said


@pytest.mark.parametrize("keys", ["key_file", "none"])
def test_hit_needs_no_network_library(
    new_queue: Callable[..., Queue], s3_config: Path, work_dir: Path, keys: str
) -> None:
    if keys == "none":
        text = s3_config.read_text(encoding="utf-8")
        kept = [line for line in text.splitlines() if "key_file" not in line]
        text = "\n".join([*kept, "encryption = none", ""])
        s3_config.write_text(text, encoding="utf-8")
    queue = new_queue(s3_config)
    assert "libcurl" in libraries(queue, FOURTH, work_dir)
    queue.fill(FIRST, SECOND, THIRD)
    loaded = libraries(queue, SECOND, work_dir)
    assert "liblz4" in loaded
    for library in ("walship-s3", "libcurl", "libcrypto", "libssl", "libexpat"):
        assert library not in loaded


def test_hit_runs_no_key_command(
    new_queue: Callable[..., Queue],
    repo_dir: Path,
    spool_dir: Path,
    key_file: Path,
    work_dir: Path,
) -> None:
    """For a minute after it ran; then it is asked again."""
    runs = work_dir / "runs"
    runs.touch()
    shutil.chown(runs, PG_USER, PG_USER)
    config = write_config(
        work_dir / "command.conf",
        repository=f"file://{repo_dir}",
        spool=spool_dir,
        key_command=f"echo run >> {runs} && cat {key_file}",
    )
    queue = new_queue(config)
    queue.fill(FIRST, SECOND, THIRD)
    assert runs.read_text() == "run\n"
    succeeded(queue.push(SECOND))
    assert runs.read_text() == "run\n"
    (memo,) = spool_dir.glob("key-*")
    words = memo.read_text().split()
    words[1] = str(int(words[1]) - 61_000)
    memo.write_text(" ".join(words) + "\n")
    hide_repository(repo_dir)
    # With the worker's end nothing but the marker can answer.
    wait_for(lambda: not at_work_in(queue.archiver.data), "the end of the worker")
    succeeded(queue.push(THIRD))
    assert runs.read_text() == "run\nrun\n"


def test_set_aside_is_told_by_the_call(queue: Queue) -> None:
    """Two standbys differ by right, and the log says where the second's is."""
    succeeded(queue.push(SECOND))
    queue.archiver.in_state(IN_ARCHIVE_RECOVERY)
    queue.archiver.write(SECOND, damaged(queue.archiver.segment(2), 9000))
    queue.age()
    queue.fill(FIRST, SECOND)
    done = queue.push(SECOND)
    assert done.status == 0
    (line,) = done.err.splitlines()
    assert line.startswith("wal-push: WARNING: ") and f"{SECOND}." in line


# --- and never a wrong one --------------------------------------------------------


def test_another_cluster(
    new_queue: Callable[..., Queue], dir_config: Path, repo_dir: Path
) -> None:
    """On the same host, with the same names."""
    new_queue(dir_config).fill(FIRST, SECOND)
    other = new_queue(dir_config, cluster=1)
    hide_repository(repo_dir)
    other.ready(SECOND)
    refused(other.push(SECOND, "--set=push_timeout=1s"))


def test_another_cluster_meanwhile(
    queue: Queue, dead_server: Callable[..., Path], repo_dir: Path
) -> None:
    """A restore puts another cluster where a worker is still at work."""
    control = queue.archiver.data / "global/pg_control"
    other = shutil.copy(dead_server(1) / "global/pg_control", f"{control}.new")
    shutil.chown(other, PG_USER, PG_USER)
    queue.fill(FIRST, SECOND)
    os.rename(other, control)
    queue.archiver.write("00000002.history", b"1\t0/3000000\tx\n")
    queue.age()
    queue.ready("00000002.history")
    wait_for(lambda: not queue.workers(), "end of the worker")
    assert not list(repo_dir.rglob("*.history"))


def test_clone_beside(
    new_queue: Callable[..., Queue], dir_config: Path, repo_dir: Path
) -> None:
    """The same cluster's second data directory has its own markers."""
    first = new_queue(dir_config)
    first.fill(FIRST, SECOND)
    clone = new_queue(dir_config, data=first.archiver.data)
    hidden = hide_repository(repo_dir)
    clone.ready(SECOND)
    refused(clone.push(SECOND, "--set=push_timeout=1s"))
    hidden.rename(repo_dir)
    succeeded(clone.push(SECOND))
    clone.fill(THIRD, FOURTH)
    assert len({path.parent for path in first.markers()}) == 2


@pytest.mark.parametrize("what", ["repository", "key", "endpoint", "unsealed"])
def test_another_repository_or_key(
    queue: Queue, walship: Programs, work_dir: Path, repo_dir: Path, what: str
) -> None:
    queue.fill(FIRST, SECOND)
    hide_repository(repo_dir)
    options = {
        "repository": [f"--set=repository=file://{work_dir}/elsewhere"],
        "endpoint": ["--set=s3_endpoint=http://127.0.0.1:9"],
        "unsealed": ["--set=encryption=none"],
        "key": [f"--set=key_file={work_dir}/key2"],
    }[what]
    if what == "key":
        walship.run("walship", "keygen", work_dir / "key2").check()
    refused(queue.archiver.push(SECOND, "--set=push_timeout=1s", *options))
    succeeded(queue.archiver.push(SECOND))


def replaced(queue: Queue) -> None:
    """A restore to the same place: the same names, new files."""
    for name in SEGMENTS:
        content = (queue.archiver.wal / name).read_bytes()
        (queue.archiver.wal / name).unlink()
        queue.archiver.write(name, content)


def rewound(queue: Queue) -> None:
    """pg_rewind writes into the file, and nobody shall trust its mtime."""
    path = queue.archiver.wal / SECOND
    before = path.stat()
    with open(path, "r+b") as file:
        file.seek(9000)
        file.write(b"other")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    after = path.stat()
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)


def recycled(queue: Queue) -> None:
    """An older file gets the name."""
    (queue.archiver.wal / FIRST).rename(queue.archiver.wal / SECOND)


def renamed_back(queue: Queue) -> None:
    path = queue.archiver.wal / SECOND
    path.rename(queue.archiver.wal / "away")
    (queue.archiver.wal / "away").rename(path)


def other_marker(queue: Queue) -> None:
    """Somebody copies a marker over another."""
    by_name = {path.name: path for path in queue.markers()}
    shutil.copy2(by_name[THIRD], by_name[SECOND])


def torn(queue: Queue) -> None:
    by_name = {path.name: path for path in queue.markers()}
    os.truncate(by_name[SECOND], 100)


def emptied(queue: Queue) -> None:
    by_name = {path.name: path for path in queue.markers()}
    os.truncate(by_name[SECOND], 0)


def linked(queue: Queue) -> None:
    """What is no file of ours is not read."""
    by_name = {path.name: path for path in queue.markers()}
    copy = by_name[SECOND].with_name("copy")
    by_name[SECOND].rename(copy)
    by_name[SECOND].symlink_to(copy)


@pytest.mark.parametrize(
    "change",
    [replaced, rewound, recycled, renamed_back, other_marker, torn, emptied, linked],
)
def test_changed(queue: Queue, repo_dir: Path, change: Callable[[Queue], None]) -> None:
    queue.fill(FIRST, SECOND, THIRD)
    change(queue)
    hide_repository(repo_dir)
    refused(queue.archiver.push(SECOND, "--set=push_timeout=1s"))


def test_rewound_content_is_refused(queue: Queue) -> None:
    """With the repository there, the comparison says so."""
    queue.fill(FIRST, SECOND)
    rewound(queue)
    done = queue.push(SECOND)
    refused(done)
    assert "differs from object" in done.err


def test_another_boot(queue: Queue, repo_dir: Path, work_dir: Path) -> None:
    """A clone of the machine, or the host after a crash."""
    queue.fill(FIRST, SECOND)
    hide_repository(repo_dir)
    boot = work_dir / "boot_id"
    boot.write_text("01234567-89ab-cdef-0123-456789abcdef\n")
    refused(push_booted(queue, boot, SECOND, "--set=push_timeout=1s"))
    succeeded(queue.archiver.push(SECOND))


def push_booted(queue: Queue, boot: Path, name: str, *options: str) -> Result:
    """A call that is told of another boot, or of none."""
    boot.chmod(0o444)
    push = queue.archiver.programs.path("wal-push")
    call = f"{push} --config={queue.archiver.config} {' '.join(options)}"
    script = (
        f"mount --bind {boot} {BOOT_ID} && cd {queue.archiver.data} && "
        f"exec setpriv --reuid={PG_USER} --regid={PG_USER} --clear-groups "
        f"{call} pg_wal/{name}"
    )
    return run(["unshare", "--mount", "sh", "-c", script])


def test_no_boot(queue: Queue, repo_dir: Path, work_dir: Path) -> None:
    """Without an id no marker can be believed, so nothing is stored ahead."""
    boot = work_dir / "boot_id"
    boot.touch()
    queue.ready(FIRST, SECOND, THIRD)
    succeeded(push_booted(queue, boot, FIRST))
    wait_for(lambda: not at_work_in(queue.archiver.data), "end of the workers")
    assert {path.name for path in repo_dir.rglob(f"{FIRST[:20]}*")} == {FIRST}


def test_promoted_meanwhile(queue: Queue, repo_dir: Path) -> None:
    """What a standby set aside is not archived for the primary it became."""
    succeeded(queue.push(SECOND))
    queue.archiver.in_state(IN_ARCHIVE_RECOVERY)
    queue.archiver.write(SECOND, damaged(queue.archiver.segment(2), 9000))
    queue.age()
    queue.fill(FIRST, SECOND)
    queue.archiver.in_state(IN_PRODUCTION)
    done = queue.push(SECOND)
    refused(done)
    assert "differs from object" in done.err


@pytest.fixture
def coarse_disk(work_dir: Path) -> Iterator[Path]:
    """A file system that counts seconds, where a queue's data will lie."""
    image, place = work_dir / "image", work_dir / "data0"
    place.mkdir()
    with open(image, "wb") as file:
        file.truncate(64 << 20)
    run(["mkfs.ext2", "-q", "-I", "128", image]).check()
    run(["mount", "-o", "loop", image, place]).check()
    (place / "lost+found").rmdir()
    yield place
    unmount(place)


def change_twice(queue: Queue, first: bytes, second: bytes) -> bool:
    """Did a worker linger, and did the times tell no difference?"""
    queue.ready(FIRST, THIRD)
    succeeded(queue.push(FIRST))
    time.sleep(1.02 - time.time() % 1)
    path = queue.archiver.write(SECOND, first)
    before = path.stat()
    queue.ready(SECOND)
    if not queue.workers():
        return False
    with contextlib.suppress(AssertionError):
        wait_for(lambda: len(queue.markers()) > 1, "a marker", deadline_s=0.3)
    with open(path, "r+b") as file:
        file.write(second)
    return path.stat().st_ctime_ns == before.st_ctime_ns


def test_changed_within_a_second(
    coarse_disk: Path, new_queue: Callable[..., Queue], dir_config: Path
) -> None:
    """The second change leaves the times of the first: what counts is stored."""
    queue = new_queue(dir_config)
    whole = queue.archiver.segment(2)
    later = damaged(whole, 9000)
    time.sleep(3.1)
    while not change_twice(queue, whole, later):
        (queue.status / f"{SECOND}.ready").unlink()
    wait_for(lambda: not queue.workers(), "the end of the worker")
    succeeded(queue.push(SECOND))
    assert queue.archiver.fetch(SECOND) == later


# --- the spool --------------------------------------------------------------------


@pytest.fixture
def small_disk(work_dir: Path) -> Iterator[Path]:
    """A file system of its own, with a spool in it."""
    mount = work_dir / "disk"
    mount.mkdir()
    run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", mount]).check()
    spool = mount / "spool"
    spool.mkdir(mode=0o700)
    shutil.chown(spool, PG_USER, PG_USER)
    yield spool
    unmount(mount)


def test_spool_on_another_file_system(
    queue: Queue, small_disk: Path, repo_dir: Path
) -> None:
    queue.spool = small_disk
    option = f"--set=spool={small_disk}"
    queue.fill(FIRST, SECOND, options=[option])
    queue.stop()
    hide_repository(repo_dir)
    succeeded(queue.push(SECOND, option))


@pytest.mark.parametrize("trouble", ["full", "read-only"])
def test_unwritable_spool(queue: Queue, small_disk: Path, trouble: str) -> None:
    """Costs speed only; and what a full one lets through proves nothing."""
    queue.spool = small_disk
    option = f"--set=spool={small_disk}"
    succeeded(queue.push(FIRST, option))
    if trouble == "full":
        with open(small_disk / "filler", "wb", buffering=0) as file:
            try:
                while file.write(bytes(4096)):
                    pass
            except OSError:
                pass
    else:
        run(["mount", "-o", "remount,ro", small_disk.parent]).check()
    queue.ready(SECOND, THIRD, FOURTH)
    for name in (SECOND, THIRD, FOURTH):
        succeeded(queue.push(name, option))
    assert queue.markers() == []
    for number, name in enumerate(SEGMENTS, start=1):
        assert queue.archiver.fetch(name) == queue.archiver.segment(number)


@pytest.mark.parametrize("trouble", ["foreign", "open", "link", "inside"])
def test_unsafe_spool(queue: Queue, spool_dir: Path, trouble: str) -> None:
    """Not used, for markers least of all."""
    spool = spool_dir
    if trouble == "foreign":
        shutil.chown(spool, "nobody")
    elif trouble == "open":
        spool.chmod(0o750)
    elif trouble == "link":
        spool = spool_dir.with_name("link")
        spool.symlink_to(spool_dir)
    else:
        spool = queue.archiver.data / "spool"
        spool.mkdir(mode=0o700)
        shutil.chown(spool, PG_USER, PG_USER)
    queue.ready(FIRST, SECOND)
    for name in (FIRST, SECOND):
        succeeded(queue.push(name, f"--set=spool={spool}"))
    assert queue.markers() == [] and not queue.workers()


@pytest.mark.parametrize("trouble", ["open", "link"])
def test_unsafe_below(queue: Queue, repo_dir: Path, trouble: str) -> None:
    """Nor a directory in it: its markers are not believed."""
    queue.fill(FIRST, SECOND)
    markers = queue.markers()[0].parent
    hide_repository(repo_dir)
    succeeded(queue.archiver.push(SECOND))
    if trouble == "open":
        markers.chmod(0o750)
    else:
        markers.rename(markers.with_name("away"))
        markers.symlink_to("away")
    refused(queue.archiver.push(SECOND, "--set=push_timeout=1s"))
