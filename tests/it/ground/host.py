"""What every server of the test ground needs from the host.

Owns: a work directory that outlives no run, ports that two test processes
never share, child processes that are stopped by their pid, and waiting for a
condition.  Knows nothing of PostgreSQL or S3.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import pwd
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, TypeVar

T = TypeVar("T")

WORK_PREFIX = "walship-it."
WORK_LOCK = Path("/tmp/walship-it-lock")
PORT_DIR = Path("/tmp/walship-it-ports")

# Ends waits that would never end: far more than a busy machine takes.
DEADLINE_S = 180

# Below the range from which the kernel takes the ports of outgoing
# connections, so that none of them can sit on a port chosen here.
PORT_FIRST, PORT_LAST = 17000, 31999


@dataclass(frozen=True)
class Result:
    """How a program ended; a negative status is the signal that ended it."""

    args: Sequence[str]
    status: int
    out: str
    err: str
    raw_out: bytes = b""

    def check(self) -> Result:
        """Returns itself, or raises with everything the program said."""
        if self.status != 0:
            raise CommandFailed(self)
        return self


class CommandFailed(AssertionError):
    def __init__(self, result: Result) -> None:
        self.result = result
        super().__init__(
            f"{' '.join(map(str, result.args))}: exit status {result.status}\n"
            f"--- stdout\n{result.out}\n--- stderr\n{result.err}"
        )


def run(
    args: Sequence[str | os.PathLike[str]],
    *,
    env: Mapping[str, str] | None = None,
    cwd: str | os.PathLike[str] | None = None,
    user: str | None = None,
    stdin: bytes | None = None,
    timeout_s: float = 300,
) -> Result:
    """Runs a program to its end, optionally as another user, with its groups.

    The environment is exactly the given one, on top of a minimal PATH and
    locale, so that nothing of the tester's shell changes an outcome.
    """
    argv = [os.fspath(arg) for arg in args]
    credentials: dict[str, Any] = {}
    if user is not None and user != pwd.getpwuid(os.geteuid()).pw_name:
        entry = pwd.getpwnam(user)
        credentials = {
            "user": entry.pw_uid,
            "group": entry.pw_gid,
            "extra_groups": os.getgrouplist(user, entry.pw_gid),
        }
    done = subprocess.run(
        argv,
        env=base_environment(env),
        cwd=cwd,
        input=stdin if stdin is not None else b"",
        capture_output=True,
        timeout=timeout_s,
        check=False,
        **credentials,
    )
    return Result(
        argv,
        done.returncode,
        done.stdout.decode(errors="replace"),
        done.stderr.decode(errors="replace"),
        done.stdout,
    )


def base_environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    env = {
        "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "LC_ALL": "C.UTF-8",
        "HOME": "/tmp",
        "TZ": "UTC",
    }
    # Sanitizer settings come from whoever started the run.
    for name in ("ASAN_OPTIONS", "UBSAN_OPTIONS", "LSAN_OPTIONS"):
        if name in os.environ:
            env[name] = os.environ[name]
    env.update(extra or {})
    return env


def wait_for(
    condition: Callable[[], T],
    what: str,
    *,
    deadline_s: float = DEADLINE_S,
    interval_s: float = 0.05,
) -> T:
    """Calls condition until it returns something true, and returns that.

    The deadline only ends a wait that would never end; no test passes or
    fails by how long something took.
    """
    end = time.monotonic() + deadline_s
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"not within {deadline_s:g} s: {what}")
        time.sleep(interval_s)


# --- ports -----------------------------------------------------------------

_port_locks: dict[int, IO[str]] = {}


def _try_port(port: int) -> bool:
    """Reserves one port until this process ends; false if it is in use."""
    if port in _port_locks:
        return False
    handle = open(PORT_DIR / str(port), "w", encoding="ascii")
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))
    except OSError:
        handle.close()
        return False
    _port_locks[port] = handle
    return True


def _release_port(port: int) -> None:
    _port_locks.pop(port).close()


def free_ports(count: int = 1) -> int:
    """The first of count consecutive ports that nobody else will be given."""
    PORT_DIR.mkdir(exist_ok=True)
    for _ in range(1000):
        first = random.randint(PORT_FIRST, PORT_LAST - count)
        got: list[int] = []
        for port in range(first, first + count):
            if not _try_port(port):
                break
            got.append(port)
        if len(got) == count:
            return first
        for port in got:
            _release_port(port)
    raise AssertionError(f"no {count} consecutive free ports")


def port_answers(port: int) -> bool:
    with contextlib.suppress(OSError):
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
        return True
    return False


# --- processes -------------------------------------------------------------


def process_alive(pid: int) -> bool:
    """False for a process that is gone or only waits to be reaped."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="ascii")
    except (FileNotFoundError, ProcessLookupError):
        return False
    return stat.rpartition(")")[2].split()[0] not in "ZX"


def children_of(pid: int) -> list[int]:
    """The direct children of a process."""
    found: list[int] = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            stat = (entry / "stat").read_text(encoding="ascii", errors="replace")
            if int(stat.rpartition(")")[2].split()[1]) == pid:
                found.append(int(entry.name))
    return found


def descendants_of(pid: int) -> list[int]:
    found: list[int] = []
    for child in children_of(pid):
        found += [child, *descendants_of(child)]
    return found


def works_in(pid: int, directory: Path) -> bool:
    """Whether that is its working directory, perhaps within another root."""
    with contextlib.suppress(OSError):
        return os.readlink(f"/proc/{pid}/cwd").endswith(os.path.realpath(directory))
    return False


def at_work_in(directory: Path) -> list[int]:
    """The processes that have it as their working directory."""
    pids = [int(name) for name in os.listdir("/proc") if name.isdigit()]
    return [pid for pid in pids if works_in(pid, directory)]


def open_files(pid: int) -> dict[int, str]:
    """What its descriptors name; one that it closes meanwhile is left out."""
    found: dict[int, str] = {}
    with contextlib.suppress(OSError):
        for entry in Path(f"/proc/{pid}/fd").iterdir():
            with contextlib.suppress(OSError):
                found[int(entry.name)] = os.readlink(entry)
    return found


def kill_pid(pid: int, sig: signal.Signals) -> None:
    assert pid > 1, "this host's own processes are not the tests' to end"
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, sig)


def _runs(pid: int) -> bool:
    """It is at work on a processor, or would be if one were free."""
    with contextlib.suppress(OSError):
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
        return stat.rpartition(")")[2].split()[0] == "R"
    return False


def stop_family(pid: int) -> list[int]:
    """Stops a process and all that descends from it, and tells which.

    A fork that is on its way when the signal comes still happens: so until
    those that are known have come to rest and have no other children.
    """
    family: list[int] = []
    while fresh := [p for p in [pid, *descendants_of(pid)] if p not in family]:
        for member in fresh:
            kill_pid(member, signal.SIGSTOP)
        family += fresh
        wait_for(lambda: not any(map(_runs, family)), "all of them stand still")
    return family


def unmount(path: Path) -> None:
    """As soon as the last process has left it: the end of one takes a moment."""
    wait_for(lambda: run(["umount", path]).status == 0, f"{path} is not in use")


class Daemon:
    """A server in the foreground of a child process, its output in a file."""

    def __init__(
        self,
        args: Sequence[str | os.PathLike[str]],
        log: Path,
        env: Mapping[str, str] | None = None,
    ) -> None:
        self.log = log
        with open(log, "ab") as output:
            self._process = subprocess.Popen(
                [os.fspath(arg) for arg in args],
                env=base_environment(env),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        self.pid = self._process.pid
        self._pid_file = log.with_suffix(".pid")
        self._pid_file.write_text(f"{self.pid}\n", encoding="ascii")

    def running(self) -> bool:
        return self._process.poll() is None

    def wait_port(self, port: int, deadline_s: float = DEADLINE_S) -> None:
        """Waits until the server accepts connections; raises if it ends."""

        def answers() -> bool:
            if not self.running():
                said = self.log.read_text(encoding="utf-8", errors="replace")
                raise AssertionError(f"{self.log.stem} ended: {said[-2000:]}")
            return port_answers(port)

        wait_for(answers, f"{self.log.stem} on port {port}", deadline_s=deadline_s)

    def stop(self, sig: signal.Signals = signal.SIGTERM) -> None:
        if self.running():
            self._process.send_signal(sig)
            try:
                self._process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                self._process.kill()
        self._process.wait()
        self._pid_file.unlink(missing_ok=True)

    def kill(self) -> None:
        """For servers whose state dies with them anyway."""
        self.stop(signal.SIGKILL)

    def pause(self) -> None:
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        self._process.send_signal(signal.SIGCONT)


# --- work directories ------------------------------------------------------


class WorkDir:
    """A directory of one test process that every user may enter.

    Its name is short, since a socket's path has at most 107 bytes.  A lock on
    it tells a later run whether the owner still lives.
    """

    def __init__(self) -> None:
        with _work_dirs_locked():
            self.path = Path(tempfile.mkdtemp(prefix=WORK_PREFIX, dir="/tmp"))
            self._lock = open(self.path / "owner", "w", encoding="ascii")
            fcntl.flock(self._lock, fcntl.LOCK_EX)
        self.path.chmod(0o755)

    def remove(self) -> None:
        shutil.rmtree(self.path, ignore_errors=True)
        self._lock.close()


@contextlib.contextmanager
def _work_dirs_locked() -> Iterator[None]:
    """So that no directory is taken for abandoned before it is locked."""
    with open(WORK_LOCK, "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def abandoned_work_dirs() -> Iterator[Path]:
    """Work directories whose owner was killed."""
    for path in Path("/tmp").glob(WORK_PREFIX + "*"):
        try:
            lock = open(path / "owner", encoding="ascii")
        except OSError:
            continue
        with lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                continue
            yield path


def sweep() -> None:
    """Ends the servers of killed runs, by the pid each left, and their files.

    A pid may have been given to a stranger since, so it counts only while its
    command line or working directory still names the work directory.
    """
    with _work_dirs_locked():
        for work in abandoned_work_dirs():
            for pid_file in _pid_files(work):
                with contextlib.suppress(OSError, ValueError, IndexError):
                    _kill_named(pid_file, work)
            shutil.rmtree(work, ignore_errors=True)
    _sweep_faketime()


def _pid_files(work: Path) -> list[Path]:
    """Its servers may still be at work: directories can go meanwhile."""
    found = []
    for folder, _, names in os.walk(work):
        found += [Path(folder, name) for name in names if name.endswith(".pid")]
    return found


def _sweep_faketime() -> None:
    """What libfaketime leaves in /dev/shm, by pid, fails a later such pid."""
    for path in Path("/dev/shm").glob("*faketime_s?m_*"):
        pid = int(path.name.rpartition("_")[2])
        with contextlib.suppress(OSError):
            # A young one may be in use: processes inherit them.
            if not process_alive(pid) and path.stat().st_mtime < time.time() - 3600:
                path.unlink()


def _kill_named(pid_file: Path, work: Path) -> None:
    pid = int(pid_file.read_text(encoding="ascii").split()[0])
    proc = Path(f"/proc/{pid}")
    cwd = os.readlink(proc / "cwd")
    if os.fsencode(work) in (proc / "cmdline").read_bytes() + os.fsencode(cwd):
        kill_pid(pid, signal.SIGKILL)
