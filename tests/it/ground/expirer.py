"""walship expire against a repository of dailies, at any time."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import subprocess
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from . import roots
from .clock import clock_at
from .dailies import FIRST_DAY, SYSTEM, Dailies, key_of
from .host import Result, base_environment, run, wait_for
from .programs import Programs

DAY = timedelta(days=1)


class Expirer:
    """walship expire against a repository of dailies, at any time."""

    def __init__(
        self, programs: Programs, config: Path, repo_dir: Path, timeline: int = 1
    ) -> None:
        key = key_of(config.parent / "key")
        self.programs = programs
        self.config = config
        self.dailies = Dailies(repo_dir, key, timeline)

    def add_days(self, count: int) -> None:
        for _ in range(count):
            self.dailies.add_day()
        self.dailies.hand_over()

    def add_full_day(self, **how: Any) -> None:
        """One that refers to none before it, perhaps some days later."""
        self.dailies.days += -self.dailies.days % 7
        self.dailies.add_day(**how)
        self.dailies.hand_over()

    @property
    def now(self) -> datetime:
        """Noon of the day after the last backup."""
        return FIRST_DAY + self.dailies.days * DAY + DAY / 2

    @property
    def command(self) -> list[str]:
        program = str(self.programs.path("walship"))
        return [program, "expire", f"--config={self.config}", f"--cluster={SYSTEM}"]

    def __call__(self, *args: str, clock: Mapping[str, str] | None = None) -> Result:
        """At noon, unless a clock is given."""
        env = clock or clock_at(self.now)
        return run([*self.command, *args], user=roots.PG_USER, env=env)

    @contextlib.contextmanager
    def held(
        self, *args: str, clock: Mapping[str, str] | None = None
    ) -> Iterator[Callable[[], Result]]:
        """Stands still with its plan made and nothing done, until called.

        It shows the plan before it carries it out, and its output is a pipe
        that is full.
        """
        reader, writer = os.pipe()
        filling = b"-" * fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 4096)
        os.write(writer, filling)
        command = [*self.command, *args, "--apply"]
        process = subprocess.Popen(
            command,
            stdout=writer,
            stderr=subprocess.PIPE,
            env=base_environment(clock or clock_at(self.now)),
            user=roots.PG_USER,
            group=roots.PG_USER,
            extra_groups=[],
        )
        os.close(writer)

        def writes() -> bool:
            call = Path(f"/proc/{process.pid}/syscall").read_text("ascii").split()
            return call[:2] == ["1", "0x1"]  # write(1, ...

        def go_on() -> Result:
            with open(reader, "rb") as pipe:
                out = pipe.read()[len(filling) :].decode()
            _, err = process.communicate()
            return Result(command, process.returncode, out, err.decode())

        wait_for(writes, "it shows its plan")
        try:
            yield go_on
        finally:
            process.kill()
            process.wait()

    def plan(self, *args: str, **how: Any) -> dict[str, Any]:
        plan: dict[str, Any] = json.loads(self(*args, "--json", **how).check().out)
        return plan

    def home(self, number: int) -> Path:
        """The directory of a backup, by its place."""
        return self.dailies.tree / "backup" / self.dailies.backups[number].identifier


def set_age(path: Path, age: timedelta, now: datetime) -> None:
    moment = (now - age).timestamp()
    os.utime(path, (moment, moment))


def make_start(expire: Expirer, bases: list[str], age: timedelta) -> str:
    """A backup of today without a manifest: its start is that old."""
    expire.add_days(1)
    last = expire.dailies.backups.pop()
    expire.dailies.written.pop()
    home = expire.dailies.tree / "backup" / last.identifier
    (home / "manifest").unlink()
    if bases:
        backup = expire.dailies.written[-1]
        made = type(backup)(backup.repository, last.identifier, bases=bases)
        made.put_start()
        expire.dailies.hand_over()
    set_age(home / "start", age, expire.now)
    return last.identifier
