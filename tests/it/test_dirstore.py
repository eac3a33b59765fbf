"""The directory store under faults of processes and of the file system.

Its rules of names, order and ranges are in tests/unit/test_dirstore.c.  Here:
whatever dies or fails in the middle of a put, no reader ever sees half an
object, and the next put of the same key ends the matter.
"""

from __future__ import annotations

import contextlib
import os
import random
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ground.host import Result, base_environment, run, unmount, wait_for
from ground.programs import Programs
from ground.roots import PG_USER

CONTENT = bytes(range(256)) * (3 * 4096)  # 3 MiB: several writes
KEY = "7301/wal/00000001/000000010000000000000001"
LIST_MEMORY = 14 << 20  # the names of 400,000 objects take 20 MiB
SANITIZED = "WALSHIP_SANITIZE" in os.environ

# What a put does, in the order in which it first does it.
STEPS = ("mkdirat", "getrandom", "openat", "write", "fsync", "linkat", "unlinkat")


class Store:
    """A directory repository, seen through storetool."""

    def __init__(self, root: Path, tool: Path, config: Path | None = None) -> None:
        self.root = root
        self.tool = tool
        self.config = config or root.parent / "empty.conf"
        self.config.touch()

    def env(self) -> dict[str, str]:
        return {
            "WALSHIP_REPOSITORY": f"file://{self.root}",
            "WALSHIP_CONFIG": str(self.config),
        }

    def run(self, *args: str, stdin: bytes = b"", user: str | None = None) -> Result:
        return run([self.tool, *args], env=self.env(), stdin=stdin, user=user)

    def put(self, key: str = KEY, content: bytes = CONTENT) -> Result:
        return self.run("put", key, stdin=content)

    def get(self, key: str = KEY) -> bytes:
        return self.run("get", key).check().raw_out

    def keys(self) -> list[str]:
        lines = self.run("list", "").check().out.splitlines()
        return [line.split()[0] for line in lines]

    def leftovers(self) -> list[Path]:
        return [path for path in self.root.rglob(".tmp-*") if path.is_file()]

    def traced(
        self,
        *inject: str,
        command: str = "put",
        key: str = KEY,
        content: bytes = CONTENT,
    ) -> tuple[Result, str]:
        """A command under strace, with faults; and what strace saw."""
        log = self.root.parent / "strace"
        options = [f"--inject={fault}" for fault in inject]
        if command == "get":  # the loader reads in the same way
            options.append(f"--trace-path={self.root / key}")
        env = self.env()
        if "ASAN_OPTIONS" in os.environ:  # leaks cannot be looked for under ptrace
            env["ASAN_OPTIONS"] = os.environ["ASAN_OPTIONS"] + ":detect_leaks=0"
        result = run(
            [
                "strace",
                "-f",
                f"--output={log}",
                f"--trace={','.join(STEPS)},renameat2,pread64,/^faccessat",
                *options,
                self.tool,
                command,
                key,
            ],
            env=env,
            stdin=content,
        )
        return result, log.read_text(errors="replace")

    def start_delayed_put(self, delay: str) -> subprocess.Popen[bytes]:
        """A put that pauses before a system call; its input is closed."""
        process = subprocess.Popen(
            [
                "strace",
                "-f",
                "--output=/dev/null",
                f"--inject={delay}",
                self.tool,
                "--timeout",
                "60000",
                "put",
                KEY,
            ],
            env=base_environment(
                self.env() | {"ASAN_OPTIONS": "detect_leaks=0"}
            ),
            stdin=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        assert process.stdin is not None
        process.stdin.write(CONTENT)
        process.stdin.close()
        process.stdin = None
        return process


@pytest.fixture(scope="session")
def storetool(walship: Programs) -> Path:
    return walship.path("storetool")


@pytest.fixture
def store(work_dir: Path, storetool: Path) -> Store:
    root = work_dir / "repo"
    root.mkdir()
    return Store(root, storetool)


@contextlib.contextmanager
def tmpfs(path: Path, size: str) -> Iterator[Path]:
    path.mkdir()
    run(["mount", "-t", "tmpfs", "-o", f"size={size}", "none", path]).check()
    try:
        yield path
    finally:
        unmount(path)


def assert_whole_or_absent(store: Store) -> None:
    keys = store.keys()
    assert keys in ([], [KEY])
    if keys:
        assert store.get() == CONTENT
    else:
        missing = store.run("get", KEY)
        assert missing.status == 1 and missing.err.startswith("missing: ")


def assert_put_ends_the_matter(store: Store) -> None:
    again = store.put()
    assert again.status == 0 or again.err.startswith("exists: "), again.err
    assert store.keys() == [KEY]
    assert store.get() == CONTENT


# --- a writer that dies -------------------------------------------------------


def test_killed_before_every_step(work_dir: Path, storetool: Path) -> None:
    """kill -9 on the way into each system call of a put."""
    root = work_dir / "whole"
    root.mkdir()
    done, trace = Store(root, storetool).traced()
    assert done.status == 0, done.err
    counts = {step: trace.count(f" {step}(") for step in STEPS}
    assert all(counts.values()), counts
    # Syncs: the three directories above, the file, its directory.
    assert counts["write"] >= 3 and counts["fsync"] == 5, counts

    for step in STEPS:
        for number in range(1, counts[step] + 1):
            root = work_dir / f"{step}{number}"
            root.mkdir()
            store = Store(root, storetool)
            killed, _ = store.traced(f"{step}:signal=KILL:when={number}")
            assert killed.status != 0, (step, number)
            assert_whole_or_absent(store)
            assert len(store.leftovers()) <= 1
            assert_put_ends_the_matter(store)


def test_killed_at_random(work_dir: Path, storetool: Path) -> None:
    draw = random.Random(1)
    began = time.monotonic()
    root = work_dir / "timing"
    root.mkdir()
    Store(root, storetool).put().check()
    usual_s = time.monotonic() - began
    for number in range(40):
        root = work_dir / str(number)
        root.mkdir()
        store = Store(root, storetool)
        with subprocess.Popen(
            [store.tool, "put", KEY],
            env=base_environment(store.env()),
            stdin=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        ) as process:
            assert process.stdin is not None
            process.stdin.write(CONTENT)
            process.stdin.close()
            time.sleep(draw.random() * usual_s)
            process.kill()
        assert_whole_or_absent(store)
        assert_put_ends_the_matter(store)


# --- a file system that fails -------------------------------------------------


def test_full_file_system(work_dir: Path, storetool: Path) -> None:
    with tmpfs(work_dir / "small", "1m") as root:
        store = Store(root, storetool)
        full = store.put()
        assert full.status == 1
        assert full.err.startswith("io: could not write ")
        assert "No space left on device" in full.err and KEY in full.err
        assert store.keys() == []
        assert store.leftovers() == []
        store.put("small", b"fits").check()
        assert store.get("small") == b"fits"


@pytest.mark.parametrize("error", ["EIO", "ENOSPC", "EDQUOT"])
def test_sync_fails(store: Store, error: str) -> None:
    """Each fsync in turn: of new directories' parents, file, directory."""
    store.root.joinpath("probe").mkdir()
    _, trace = Store(store.root / "probe", store.tool).traced()
    syncs = trace.count(" fsync(")
    assert syncs == 5
    for number in range(1, syncs + 1):
        root = store.root / str(number)
        root.mkdir()
        one = Store(root, store.tool)
        failed, _ = one.traced(f"fsync:error={error}:when={number}")
        assert failed.status == 1
        assert failed.err.startswith("io: could not sync "), failed.err
        assert KEY in failed.err
        assert one.leftovers() == []
        # After the link the object is whole and visible, though not durable.
        assert one.keys() == ([KEY] if number == syncs else [])
        assert_whole_or_absent(one)
        assert_put_ends_the_matter(one)


def test_existing_object_is_synced_before_it_counts(store: Store) -> None:
    """Its writer may have died between link and sync."""
    store.put().check()
    again, trace = store.traced()
    assert again.status == 1 and again.err.startswith("exists: ")
    assert trace.count(" fsync(") == 2  # the file and its directory
    assert " write(" not in trace.replace(" write(2", "")
    failed, _ = store.traced("fsync:error=EIO:when=2")
    assert failed.err.startswith("io: could not sync existing ")


@pytest.mark.parametrize("step", ["write", "linkat", "mkdirat"])
def test_step_fails(store: Store, step: str) -> None:
    failed, _ = store.traced(f"{step}:error=EIO:when=1")
    assert failed.status == 1
    assert failed.err.startswith("io: could not "), failed.err
    assert "Input/output error" in failed.err
    assert store.keys() == [] and store.leftovers() == []
    assert_put_ends_the_matter(store)


def test_interrupted_write_goes_on(store: Store) -> None:
    done, _ = store.traced("write:error=EINTR:when=2", "write:retval=1:when=9")
    assert done.status == 0
    assert store.get() == CONTENT


def test_stale_handle_is_retried(store: Store) -> None:
    """As a network file system says after a restart of its server."""
    done, _ = store.traced("linkat:error=ESTALE:when=1..2")
    assert done.status == 0, done.err
    assert store.get() == CONTENT and store.leftovers() == []


def test_deletion_is_synced_before_it_counts(store: Store) -> None:
    """Or a pack could come back behind the manifest that went after it."""
    store.put().check()
    failed, _ = store.traced("fsync:error=EIO", command="rm")
    assert failed.status == 1
    assert "io: could not sync directory" in failed.err and "EIO" not in failed.err
    assert failed.out == f"{KEY} io\n"
    store.put().check()
    done, trace = store.traced(command="rm")
    assert done.out == f"{KEY} ok\n" and done.status == 0
    assert trace.count(" fsync(") == 1
    assert list(store.root.iterdir()) == []


@pytest.mark.parametrize(
    ("error", "outcome"), [("EIO", "io: could not read "), ("ESTALE", "")]
)
def test_reading_fails(store: Store, error: str, outcome: str) -> None:
    """Delivered bytes are not delivered again when a retry goes on."""
    store.put().check()
    got, _ = store.traced(f"pread64:error={error}:when=2..3", command="get")
    assert got.err.startswith(outcome)
    if outcome:
        assert got.status == 1 and "missing" not in got.err
    else:
        assert got.status == 0 and got.raw_out == CONTENT


def test_unreadable_neighbour(store: Store) -> None:
    """A foreign directory in the root keeps nobody from writing."""
    store.root.chmod(0o777)
    (store.root / "private").mkdir(mode=0o700)
    store.run("put", "mine", stdin=b"x", user=PG_USER).check()
    assert store.run("get", "mine", user=PG_USER).check().out == "x"


def test_no_hard_links(store: Store) -> None:
    done, trace = store.traced("linkat:error=EPERM")
    assert done.status == 0, done.err
    assert "RENAME_NOREPLACE" in trace
    assert store.get() == CONTENT
    assert store.leftovers() == []
    again, _ = store.traced("linkat:error=EPERM", content=b"other")
    assert again.err.startswith("exists: ")
    assert store.get() == CONTENT


@pytest.mark.parametrize("links", [True, False])
def test_exclusive_at_the_last_step(store: Store, links: bool) -> None:
    """Another writer comes between the look at the name and its taking."""
    store.put().check()
    faults = ["/^faccessat:error=ENOENT"]
    if not links:
        faults.append("linkat:error=EPERM")
    late, trace = store.traced(*faults, content=b"other")
    assert "write(" in trace.replace("write(2", "")
    assert late.err.startswith("exists: "), late.err
    assert store.get() == CONTENT and store.leftovers() == []


def test_neither_links_nor_exclusive_renames(store: Store) -> None:
    refused, _ = store.traced("linkat:error=EPERM", "renameat2:error=EINVAL")
    assert refused.err.startswith("config: file system of ")
    assert store.keys() == [] and store.leftovers() == []


def test_read_only_directory(store: Store) -> None:
    """Someone else's repository: refused, and nothing else."""
    store.put().check()
    store.root.chmod(0o755)
    refused = store.run("put", "new", stdin=b"x", user=PG_USER)
    assert refused.err.startswith("auth: could not "), refused.err
    refused = store.run("get", KEY, user=PG_USER)
    assert refused.err.startswith("auth: could not open "), refused.err


# --- others at work -----------------------------------------------------------


def test_directory_removed_meanwhile(store: Store) -> None:
    """An expiry empties the directory that the put has just found."""
    directory = (store.root / KEY).parent
    # The first openat of a temporary file comes after getrandom; the C library
    # and libsodium may draw before, so every draw is slowed down.
    with store.start_delayed_put("getrandom:delay_enter=3s") as process:
        wait_for(directory.exists, "the put's directory")
        time.sleep(0.2)
        directory.rmdir()
        assert process.wait(180) == 0
    assert store.get() == CONTENT and store.leftovers() == []


def test_lost_answer_of_link(store: Store) -> None:
    """The link was made, and its repetition says that it exists."""
    with store.start_delayed_put("linkat:delay_enter=5s") as process:
        found = wait_for(store.leftovers, "the temporary file")
        # It is complete once its size is; then only the link is missing.
        wait_for(lambda: found[0].stat().st_size == len(CONTENT), "its content")
        os.link(found[0], store.root / KEY)
        assert process.wait(180) == 0
    assert store.get() == CONTENT and store.leftovers() == []
    assert (store.root / KEY).stat().st_nlink == 1


def test_other_object_came_first(store: Store) -> None:
    with store.start_delayed_put("linkat:delay_enter=5s") as process:
        wait_for(store.leftovers, "the temporary file")
        (store.root / KEY).write_bytes(b"the other's")
        _, err = process.communicate(timeout=180)
        assert process.returncode == 1 and err.startswith(b"exists: ")
    assert store.get() == b"the other's" and store.leftovers() == []


def test_unmounted_is_not_empty(work_dir: Path, storetool: Path) -> None:
    """A repository below a mount point, with and without its file system."""
    with tmpfs(work_dir / "mnt", "8m") as mounted:
        (mounted / "repo").mkdir()
        store = Store(mounted / "repo", storetool, work_dir / "empty.conf")
        assert store.put().status == 0
    for args in (("get", KEY), ("head", KEY), ("list", ""), ("rm", KEY)):
        absent = store.run(*args)
        assert absent.status == 1
        assert absent.err.startswith("config: could not open repository")
    assert store.put().err.startswith("config: could not open repository")
    assert list((work_dir / "mnt").iterdir()) == []


# --- size ---------------------------------------------------------------------


def test_listing_needs_bounded_memory(work_dir: Path, storetool: Path) -> None:
    count = 400_000
    with tmpfs(work_dir / "many", "500m") as root:
        directory = root / "7301" / "wal" / "00000001"
        directory.mkdir(parents=True)
        numbers = list(range(count))
        random.Random(1).shuffle(numbers)
        for number in numbers:
            path = directory / f"0000000100000000{number:08X}"
            os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o600))
        store = Store(root, storetool)
        limit = [] if SANITIZED else ["prlimit", f"--data={LIST_MEMORY}"]
        listed = run([*limit, store.tool, "list", "7301/"], env=store.env()).check()
        lines = listed.out.splitlines()
        assert len(lines) == count and lines == sorted(lines)
        after = "7301/wal/00000001/000000010000000000049300"
        tail = store.run("list", "7301/", after).check()
        assert tail.out.splitlines() == [
            line for line in lines if line.split()[0] > after
        ]
