"""Files that wait to be archived ahead, and the server that owns them."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from .archiver import Archiver
from .host import Result, at_work_in, wait_for
from .roots import PG_USER


class Queue:
    """Gives an Archiver's data directory a running process for a postmaster.

    What wal-push looks at is there: postmaster.pid and archive_status.
    """

    def __init__(self, archiver: Archiver, spool: Path) -> None:
        self.archiver, self.spool = archiver, spool
        self.status = archiver.wal / "archive_status"
        for path in self.status.glob("*.ready"):
            path.unlink()
        self.server = subprocess.Popen(["sleep", "600"])
        self.say_pid(self.server.pid)
        self.age()

    def say_pid(self, pid: int) -> None:
        path = self.archiver.data / "postmaster.pid"
        path.write_text(f"{pid}\n{self.archiver.data}\n1000\n5432\n", "ascii")
        shutil.chown(path, PG_USER, PG_USER)

    def age(self) -> None:
        """A file that was changed just now gets no marker."""
        time.sleep(0.05)

    def ready(self, *names: str) -> None:
        for name in names:
            path = self.status / f"{name}.ready"
            path.touch()
            shutil.chown(path, PG_USER, PG_USER)

    def push(self, name: str, *options: str, **run: object) -> Result:
        """As the archiver does, which notes the success."""
        done = self.archiver.push(name, *options, **run)
        ready = self.status / f"{name}.ready"
        if done.status == 0 and ready.exists():
            ready.rename(ready.with_suffix(".done"))
        return done

    def markers(self) -> list[Path]:
        found = self.spool.rglob("push-*/*")
        return sorted(path for path in found if path.name[0] == "0")

    def fill(self, *names: str, options: Sequence[str] = ()) -> None:
        """The first of some is pushed; a worker leaves markers of the rest."""
        self.ready(*names)
        done = self.push(names[0], *options)
        assert (done.status, done.out, done.err) == (0, "", "")
        wanted = set(names[1:])
        wait_for(lambda: wanted <= {path.name for path in self.markers()}, "markers")

    def workers(self) -> list[int]:
        return workers_of(self.archiver.data)

    def stop(self) -> None:
        """Its workers end with the server, those without a title yet, too."""
        self.server.kill()
        self.server.wait()
        wait_for(lambda: not at_work_in(self.archiver.data), "end of the workers")


def command_lines() -> Iterator[tuple[int, list[str]]]:
    """Of every process that lives long enough to be read."""
    for name in os.listdir("/proc"):
        if name.isdigit():
            with contextlib.suppress(OSError):
                text = Path(f"/proc/{name}/cmdline").read_bytes()
                words = text.rstrip(b"\0").decode(errors="replace").split("\0")
                yield int(name), words


def workers_of(data: Path) -> list[int]:
    """The processes that archive ahead for a data directory."""
    title = f"wal-push: archiving ahead, {data}"
    return [pid for pid, words in command_lines() if words == [title]]


def hide_repository(repo: Path) -> Path:
    """From now on a call succeeds only by its marker."""
    hidden = repo.with_name("hidden")
    os.rename(repo, hidden)
    return hidden
