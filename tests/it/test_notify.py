"""notify_command: what it is told, and that it can hold nothing up."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from ground.archiver import SEGMENTS
from ground.host import kill_pid, open_files, process_alive, run, wait_for
from ground.pg import ClusterFactory
from ground.programs import Programs
from ground.pushqueue import Queue, command_lines, hide_repository
from ground.roots import PG_USER

FIRST, SECOND, THIRD, FOURTH = SEGMENTS


class Hook:
    """A command that keeps what it is told, one file for each time."""

    def __init__(self, home: Path) -> None:
        self.home = home
        home.mkdir(mode=0o700)
        shutil.chown(home, PG_USER, PG_USER)
        self.command = f"cd {home} && cat >$$.part && mv $$.part $(date +%s.%N).json"

    def documents(self) -> list[dict[str, Any]]:
        found = sorted(self.home.glob("*.json"))
        return [json.loads(path.read_text(encoding="utf-8")) for path in found]

    def wait(self, count: int) -> list[dict[str, Any]]:
        wait_for(lambda: len(self.documents()) >= count, f"{count} documents")
        found = self.documents()
        assert len(found) == count
        return found


@pytest.fixture
def hook(work_dir: Path) -> Hook:
    return Hook(work_dir / "hook")


def set_key(config: Path, key: str, value: str) -> None:
    lines = config.read_text(encoding="utf-8").splitlines()
    kept = [line for line in lines if not line.startswith(f"{key} ")]
    config.write_text("\n".join([*kept, f"{key} = {value}", ""]), encoding="utf-8")


# --- trouble with archiving -------------------------------------------------------


def break_archive(repo: Path) -> Path:
    """Nothing can be stored in a file."""
    hidden = hide_repository(repo)
    repo.write_bytes(b"")
    return hidden


def mend_archive(repo: Path, hidden: Path) -> None:
    repo.unlink()
    hidden.rename(repo)


def fails(queue: Queue, name: str) -> str:
    """A call that the archiver counts as failed; its one line."""
    done = queue.push(name)
    assert 1 <= done.status <= 125 and done.out == "", done
    assert done.err.count("\n") == 1
    return done.err


def age_notes(spool: Path, seconds: int) -> None:
    """As if what the notes tell had been so long ago."""
    for note in spool.rglob("trouble*"):
        name, *numbers = note.read_text(encoding="ascii").split()
        times = [max(int(n) - seconds * 1000, 0) for n in numbers[:3]]
        note.write_text(f"{name} {' '.join(map(str, [*times, *numbers[3:]]))}\n")
        shutil.chown(note, PG_USER, PG_USER)


def test_an_outage(queue: Queue, hook: Hook, repo_dir: Path, spool_dir: Path) -> None:
    """Told once, again after an hour, and when it is over."""
    set_key(queue.archiver.config, "notify_command", hook.command)
    hidden = break_archive(repo_dir)
    for _ in range(3):
        said = fails(queue, SECOND)
    (told,) = hook.wait(1)
    assert told["kind"] == "archive" and told["outcome"] == "failed"
    assert told["file"] == SECOND and told["failures"] == 1
    assert told["message"] and told["message"] in said
    assert told["system_identifier"] == str(queue.archiver.system_identifier)
    assert told["repository"] == f"file://{repo_dir}"
    assert told["backup"] is None and told["format"] == 1
    assert told["start_time"] <= told["end_time"]

    age_notes(spool_dir, 500)
    fails(queue, SECOND)
    age_notes(spool_dir, 3100)
    fails(queue, SECOND)
    # The last call was too long ago for the same outage; it is told all the same.
    again = hook.wait(2)[1]
    assert again["outcome"] == "failed" and again["failures"] == 1

    mend_archive(repo_dir, hidden)
    queue.push(SECOND).check()
    over = hook.wait(3)[2]
    assert (over["kind"], over["outcome"], over["message"]) == ("archive", "ok", "")
    assert over["start_time"] == again["start_time"]
    queue.push(THIRD).check()

    # The next one comes too soon after the last that was told.
    break_archive(repo_dir)
    fails(queue, FOURTH)
    assert len(hook.documents()) == 3
    age_notes(spool_dir, 301)
    fails(queue, FOURTH)
    assert hook.wait(4)[3]["failures"] == 2


def test_an_outage_without_a_spool(queue: Queue, hook: Hook, repo_dir: Path) -> None:
    """Then the age of the file that waits decides."""
    config = queue.archiver.config
    set_key(config, "notify_command", hook.command)
    set_key(config, "spool", "/dev/null/spool")
    break_archive(repo_dir)
    queue.ready(SECOND)
    ready = queue.status / f"{SECOND}.ready"
    fails(queue, SECOND)
    hook.wait(1)
    # The last minute before the hour is left out: the call may take a while.
    for age_s, told in ((1800, 1), (3540, 1), (3601, 2)):
        then = time.time() - age_s
        os.utime(ready, (then, then))
        fails(queue, SECOND)
        hook.wait(told)


def test_a_key_that_cannot_be_read(queue: Queue, hook: Hook, key_file: Path) -> None:
    set_key(queue.archiver.config, "notify_command", hook.command)
    key_file.unlink()
    for _ in range(2):
        fails(queue, SECOND)
    (told,) = hook.wait(1)
    assert str(key_file) in told["message"]


NASTY = {
    "sleeps": "exec sleep 1000",
    "ignores": "trap '' TERM INT HUP; sleep 1000; sleep 1000",
    "reads nothing": "exec sleep 1000 <&-",
    "leaves a child": "sleep 1000 & sleep 1000",
    "forks a daemon": "setsid sleep 1000 & sleep 1000",
    "prints": "exec yes",
    "is not there": "/no/such/program",
}


def sleeping(tag: str) -> list[int]:
    """The processes that a hook has started."""
    found = []
    for pid, _ in command_lines():
        with contextlib.suppress(OSError):
            text = Path(f"/proc/{pid}/environ").read_bytes()
            if f"NOTIFY_TAG={tag}".encode() in text.split(b"\0"):
                found.append(pid)
    return [pid for pid in found if process_alive(pid)]


@pytest.mark.parametrize("how", NASTY)
def test_nothing_waits_for_it(queue: Queue, repo_dir: Path, how: str) -> None:
    """The call is gone while the command still runs; with the same code."""
    break_archive(repo_dir)
    plain = queue.push(SECOND)
    set_key(queue.archiver.config, "notify_command", NASTY[how])
    tag = f"{how}-{os.getpid()}-{time.time()}"
    done = queue.push(SECOND, env={"NOTIFY_TAG": tag})
    assert (done.status, done.out, done.err) == (plain.status, "", plain.err)
    if how == "is not there":
        return
    wait_for(lambda: [p for p in sleeping(tag) if not is_ours(p)], "the command")
    messenger = wait_for(lambda: [p for p in sleeping(tag) if is_ours(p)], "ours")[0]
    # It holds nothing of the server's, and ends in order when it is told to.
    assert os.readlink(f"/proc/{messenger}/cwd") == "/"
    opened = set(open_files(messenger).values())
    assert {name for name in opened if "memfd" not in name} == {"/dev/null"}
    kill_pid(messenger, signal.SIGTERM)
    wait_for(lambda: not process_alive(messenger), "the messenger's end")
    if how == "forks a daemon":
        # It has left the group: nobody ends it, and nothing waits for it.
        (left,) = sleeping(tag)
        kill_pid(left, signal.SIGKILL)
    else:
        assert not sleeping(tag)


def is_ours(pid: int) -> bool:
    with contextlib.suppress(OSError):
        return "wal-push" in os.readlink(f"/proc/{pid}/exe")
    return False


# Process 1 of its namespace, as a postmaster in a container: runs its arguments
# as postgres, and says of every child that it reaps how it ended.
PROCESS_1 = """
import os, pwd, sys
first = os.fork()
if first == 0:
    entry = pwd.getpwnam("postgres")
    os.setgid(entry.pw_gid)
    os.setuid(entry.pw_uid)
    os.execv(sys.argv[1], sys.argv[1:])
while True:
    try:
        pid, status = os.wait()
    except ChildProcessError:
        break
    who = "ours" if pid == first else "orphan"
    print(who, os.waitstatus_to_exitcode(status), flush=True)
"""


@pytest.mark.parametrize("how", ["ignores", "leaves a child", "prints"])
def test_where_the_server_is_process_1(queue: Queue, repo_dir: Path, how: str) -> None:
    """The call waits a little, and no orphan's death reaches the server."""
    archiver = queue.archiver
    break_archive(repo_dir)
    queue.say_pid(1)
    plain = queue.push(SECOND)
    set_key(archiver.config, "notify_command", NASTY[how])
    done = run(
        [
            *("unshare", "--pid", "--fork", "--mount-proc"),
            *("/usr/bin/python3", "-c", PROCESS_1, archiver.programs.path("wal-push")),
            *(f"--config={archiver.config}", f"pg_wal/{SECOND}"),
        ],
        cwd=archiver.data,
    ).check()
    assert done.out == f"ours {plain.status}\n"
    assert done.err.startswith(plain.err) and "notify_command" in done.err


def test_success_asks_for_one_file(queue: Queue, hook: Hook, work_dir: Path) -> None:
    """What the hook adds to a call that stores a file."""
    config = queue.archiver.config
    counts = []
    queue.push(FIRST).check()
    for name, command in ((SECOND, ""), (THIRD, hook.command)):
        if command:
            set_key(config, "notify_command", command)
        counts.append(traced(queue, name, work_dir / "trace"))
    plain, hooked = counts
    assert hooked - plain == Counter({"openat": 1}) and not plain - hooked


def test_a_marker_asks_for_nothing(queue: Queue, hook: Hook, work_dir: Path) -> None:
    queue.fill(FIRST, SECOND, THIRD)
    plain = traced(queue, SECOND, work_dir / "trace")
    set_key(queue.archiver.config, "notify_command", hook.command)
    assert traced(queue, THIRD, work_dir / "trace") == plain
    assert "fsync" not in plain, "it was no marker that answered"


def traced(queue: Queue, name: str, log: Path) -> Counter[str]:
    """How often each system call was made, but for those of memory."""
    argv = ["strace", "-f", "-o", log, queue.archiver.programs.path("wal-push")]
    argv += [f"--config={queue.archiver.config}", f"pg_wal/{name}"]
    # Leaks cannot be looked for under ptrace.
    asan = os.environ.get("ASAN_OPTIONS", "") + ":detect_leaks=0"
    env = {"ASAN_OPTIONS": asan.lstrip(":")}
    run(argv, user=PG_USER, cwd=queue.archiver.data, env=env).check()
    text = log.read_text(encoding="utf-8", errors="replace")
    memory = {"brk", "madvise", "mmap", "mprotect", "mremap", "munmap"}
    found = Counter(re.findall(r"^\d+ +(\w+)\(", text, re.M))
    return Counter({name: n for name, n in found.items() if name not in memory})


# --- outcomes ---------------------------------------------------------------------


def test_outcomes(
    new_cluster: ClusterFactory, walship: Programs, dir_config: Path, hook: Hook
) -> None:
    """Backup, verify and expire tell what their reports say, once each."""
    cluster = new_cluster(start=False)
    cluster.archive_with(walship.command("wal-push", f"--config={dir_config}", "%p"))
    cluster.start()
    config = f"--config={dir_config}"
    set_key(dir_config, "notify_command", hook.command)

    def walship_run(*args: str, **run: Any) -> Any:
        return walship.run("walship", args[0], config, *args[1:], **run)

    where = ["-d", cluster.dsn()]
    backup = walship_run("backup", *where, "--checkpoint=fast").check()
    (told,) = hook.wait(1)
    assert (told["kind"], told["outcome"]) == ("backup", "ok")
    assert told["backup"] == backup.out.strip() and told["files"] > 0
    assert told["system_identifier"] == str(cluster.system_identifier())

    walship_run("verify").check()
    told = hook.wait(2)[1]
    assert (told["kind"], told["outcome"], told["defects"]) == ("verify", "ok", 0)
    walship_run("expire", "--keep-last=1").check()
    walship_run("expire", "--keep-last=1", "--apply").check()
    told = hook.wait(3)[2]
    assert (told["kind"], told["outcome"]) == ("expire", "ok")

    # Before there is a repository, or a server, to speak of.
    failed = walship_run("backup", "-d", "host=/nowhere port=1")
    assert failed.status != 0
    told = hook.wait(4)[3]
    assert (told["kind"], told["outcome"], told["backup"]) == ("backup", "failed", None)
    assert told["message"] and told["message"] in failed.err
    for number, (name, *args) in enumerate(
        [("verify",), ("expire", "--keep-last=1", "--apply"), ("drill",)], 5
    ):
        assert walship_run(name, *args, "--set=key_file=/no/key").status != 0
        told = hook.wait(number)[number - 1]
        assert (told["kind"], told["outcome"]) == (name, "failed")
        assert "/no/key" in told["message"]

    # A command that fails is a warning.
    set_key(dir_config, "notify_command", "echo out; echo err >&2; exit 7")
    done = walship_run("verify").check()
    assert "WARNING: could not tell of the outcome" in done.err
    assert "exit code 7" in done.err and "out" not in done.out.split()
    assert [r["outcome"] for r in hook.documents()].count("ok") == 3
