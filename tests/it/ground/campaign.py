"""Rounds of trouble for a server that archives: faults, and kill -9.

What happens is drawn from a seed, but not what the machine makes of it.
"""

from __future__ import annotations

import contextlib
import random
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg2

from .fault import FaultProxy
from .host import children_of, kill_pid, run, wait_for
from .pg import Cluster
from .pushsite import PushSite, processes
from .roots import PG_USER
from .s3 import Gateway

Trouble = Callable[[], contextlib.AbstractContextManager[None]]

NETWORK: list[dict[str, Any]] = [
    {"refuse": True},
    {"hang": True},
    {"eat": True, "on": "^PUT"},
    {"eat": True, "mute": True, "on": "^PUT"},
    {"http": 500},
    {"http": 503, "headers": ""},
    {"http": 409, "headers": ""},
    {"http": 403, "code": "ExpiredToken"},
    {"http": 501, "conditional": True},
    {"cut_up": 3000},
    {"cut_down": 20},
    {"rate": 20000},
    {"delay_ms": 100},
]


class Load:
    """pgbench, again and again, whether or not there is a server."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        args = ("-n", "-c", "2", "-T", "1", "-R", "300", "postgres")
        while not self._ended.is_set():
            done = self._cluster.program("pgbench", *args)
            if done.status != 0:
                self._ended.wait(0.2)

    def stop(self) -> None:
        self._ended.set()
        self._thread.join()


def archiver_pid(cluster: Cluster) -> int | None:
    for pid in children_of(cluster.pid() or 0):
        with contextlib.suppress(OSError):
            if b"archiver" in Path(f"/proc/{pid}/cmdline").read_bytes():
                return pid
    return None


class Campaign:
    """Draws the troubles of each round, which end with it.

    What the store can suffer depends on which it is; the spool and the
    processes are the same.
    """

    def __init__(self, site: PushSite, seed: int) -> None:
        self.site, self.cluster = site, site.cluster
        self.seed, self.random = seed, random.Random(seed)
        self.marks = 0
        self.drawn: list[str] = []
        self._troubles: dict[str, Trouble] = {
            "spool deleted": self._spool_deleted,
            "spool filled": self._spool_filled,
            "spool read-only": self._spool_read_only,
            "spool foreign": self._spool_foreign,
            "kill wal-push": lambda: self._kill(self._kill_push),
            "kill worker": lambda: self._kill(self._kill_worker),
            "kill archiver": lambda: self._kill(self._kill_archiver),
            "kill server": lambda: self._kill(self._kill_server),
            "restart": lambda: self._kill(lambda: self.cluster.restart()),
        }

    def add_network(self, proxy: FaultProxy, gateway: Gateway) -> None:
        for faults in NETWORK:
            self._troubles[str(faults)] = lambda f=faults: _bad_network(proxy, f)
        self._troubles["store stopped"] = lambda: _both(
            gateway.stop_gateway, gateway.start_gateway
        )
        self._troubles["store paused"] = lambda: _both(
            gateway.pause_gateway, gateway.resume_gateway
        )

    def add_directory(self, repo: Path) -> None:
        away = repo.with_name("away")
        self._troubles["store away"] = lambda: _both(
            lambda: repo.rename(away), lambda: away.rename(repo)
        )
        places = [repo, *(path for path in repo.rglob("*") if path.is_dir())]
        for place in places:
            self._troubles[f"store read-only, {place.name}"] = lambda p=place: _both(
                lambda: p.chmod(0o500), lambda: p.chmod(0o700)
            )

    # --- rounds -------------------------------------------------------------

    def run(self, rounds: int) -> None:
        """Each with a backlog, most with a trouble; two may overlap."""
        load = Load(self.cluster)
        try:
            for _ in range(rounds):
                names = self.random.sample(sorted(self._troubles), 2)
                if self.random.random() < 0.7:
                    del names[1]
                self.drawn.append(" + ".join(names))
                with contextlib.ExitStack() as stack:
                    for name in names:
                        stack.enter_context(self._troubles[name]())
                    self._work()
                    time.sleep(self.random.uniform(0.1, 1.5))
                self._mark()
        finally:
            load.stop()

    def _work(self) -> None:
        """Fills segments, as far as the server lives."""
        with contextlib.suppress(psycopg2.Error):
            for _ in range(self.random.randint(1, 12)):
                self.cluster.switch_wal()

    def _mark(self) -> None:
        """A commit that must be found at the end."""
        self.marks += 1

        def committed() -> bool:
            with contextlib.suppress(psycopg2.Error):
                self.cluster.sql(
                    "insert into marks values (%s) on conflict do nothing",
                    [self.marks],
                )
                return True
            return False

        wait_for(committed, "the server takes a commit")

    # --- processes ----------------------------------------------------------

    @contextlib.contextmanager
    def _kill(self, action: Callable[[], None]) -> Iterator[None]:
        """In the middle of work, not behind it."""
        self._work()
        time.sleep(self.random.uniform(0, 0.05))
        action()
        yield

    def _kill_push(self) -> None:
        self._kill_some(worker=False)

    def _kill_worker(self) -> None:
        self._kill_some(worker=True)

    def _kill_some(self, *, worker: bool) -> None:
        """One that runs soon; there may be none."""
        end = time.monotonic() + 0.5
        while time.monotonic() < end:
            if found := processes(self.cluster.data, worker=worker):
                time.sleep(self.random.uniform(0, 0.01))
                kill_pid(self.random.choice(found), signal.SIGKILL)
                return
            time.sleep(0.002)

    def _kill_archiver(self) -> None:
        if pid := archiver_pid(self.cluster):
            kill_pid(pid, signal.SIGKILL)

    def _kill_server(self) -> None:
        self.cluster.kill9()
        self.cluster.start()

    # --- spool --------------------------------------------------------------

    @contextlib.contextmanager
    def _spool_deleted(self) -> Iterator[None]:
        for path in self.site.spool.iterdir():
            shutil.rmtree(path, ignore_errors=True)
        yield

    @contextlib.contextmanager
    def _spool_filled(self) -> Iterator[None]:
        ballast = self.site.spool / "ballast"
        with contextlib.suppress(OSError), open(ballast, "wb", buffering=0) as file:
            while file.write(bytes(4096)):
                pass
        yield
        ballast.unlink()

    @contextlib.contextmanager
    def _spool_read_only(self) -> Iterator[None]:
        places = [self.site.spool]
        places += (path for path in self.site.spool.rglob("*") if path.is_dir())
        place = self.random.choice(sorted(places))
        place.chmod(0o500)
        yield
        with contextlib.suppress(FileNotFoundError):
            place.chmod(0o700)

    @contextlib.contextmanager
    def _spool_foreign(self) -> Iterator[None]:
        shutil.chown(self.site.spool, "root", "root")
        yield
        shutil.chown(self.site.spool, PG_USER, PG_USER)


@contextlib.contextmanager
def _both(begin: Callable[[], Any], end: Callable[[], Any]) -> Iterator[None]:
    begin()
    yield
    end()


@contextlib.contextmanager
def _bad_network(proxy: FaultProxy, faults: dict[str, Any]) -> Iterator[None]:
    proxy.set(**faults)
    proxy.reset_connections()
    yield
    proxy.clear()
    proxy.reset_connections()


@contextlib.contextmanager
def small_tmpfs(path: Path, size: str) -> Iterator[Path]:
    """A file system that can be filled."""
    path.mkdir()
    options = f"size={size},mode=0700"
    run(["mount", "-t", "tmpfs", "-o", options, "walship-it", path]).check()
    shutil.chown(path, PG_USER, PG_USER)
    try:
        yield path
    finally:
        run(["umount", "--lazy", path]).check()
