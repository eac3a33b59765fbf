"""Years of real backups: a small cluster under a clock that a test moves.

The server, its archive_command and walship share the moved clock.  A life is
a repository with rules of its own, expired as time passes and compared with
the model of ground/dailies.py after each time.  The first one is the one that
backups are made into; others get the same objects as hard links, which is
possible since none is ever rewritten.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from . import roots
from .clock import clock_of
from .dailies import Daily, Rules, expected
from .host import Result, run
from .pg import Cluster, ClusterFactory
from .programs import Programs, write_config

SEGMENT_MB = 1
PER_LOG = 4096 // SEGMENT_MB  # segments in the middle part of a name


def segment_number(name: str) -> int:
    return int(name[8:16], 16) * PER_LOG + int(name[16:24], 16)


def segment_of(lsn: str, offset: int = 0) -> int:
    high, low = (int(part, 16) for part in lsn.split("/"))
    return ((high << 32) + low + offset) // (SEGMENT_MB << 20)


class Clock:
    """What time it is for every process that runs with env."""

    def __init__(self, home: Path) -> None:
        self.file = home / "clock"
        self.now = datetime.now(UTC)
        self.env = clock_of(self.file)

    def move(self, moment: datetime) -> None:
        self.now = moment
        written = self.file.with_suffix(".new")
        written.write_text(f"{moment.timestamp() - time.time():+.0f}\n", "ascii")
        written.replace(self.file)


@dataclass
class Made(Daily):
    """A real backup, and how many marks the cluster had when it began."""

    last_segment: int = 0
    marks: int = 0

    @property
    def numbers(self) -> range:
        return range(self.first_segment, self.last_segment + 1)


class Life:
    def __init__(
        self, programs: Programs, clock: Clock, home: Path, key: Path, rules: Rules
    ) -> None:
        self.programs = programs
        self.clock = clock
        self.rules = rules
        self.repository = home / "repo"
        self.repository.mkdir(parents=True)
        self.config = write_config(
            home / "walship.conf",
            repository=f"file://{self.repository}",
            spool=home / "spool",
            key_file=key,
            **rules.settings(),
        )
        self.left: list[Made] = []
        self.window: list[Made] = []  # of them, those that lead to any moment
        run(["chown", "-R", roots.PG_USER, home]).check()

    def run(self, command: str, *args: str | Path, **env: str) -> Result:
        args = (command, f"--config={self.config}", *args)
        return self.programs.run("walship", *args, env={**self.clock.env, **env})

    def json(self, command: str, *args: str) -> Any:
        return json.loads(self.run(command, "--json", *args).check().out)

    def files(self, pattern: str) -> set[str]:
        found = self.repository.glob(f"*/{pattern}")
        return {str(path.relative_to(self.repository)) for path in found}

    def objects(self) -> set[str]:
        names = self.files("backup/**/*") | self.files("wal/*/*")
        return {name for name in names if (self.repository / name).is_file()}

    def add(self, other: Life, names: Iterable[str], made: Made) -> None:
        """Links what a backup added to another life."""
        for name in names:
            path = self.repository / name
            if not path.parent.exists():
                path.parent.mkdir(parents=True)
            os.link(other.repository / name, path)
        run(["chown", "-R", roots.PG_USER, self.repository]).check()
        self.left.append(made)

    def expire(self) -> None:
        """Applies the rules: what is left is what the model says."""
        keep, window = expected(self.left, self.rules, self.clock.now)
        told = self.json("expire", "--apply")
        assert told["failed"] == 0
        self.left = [b for b in self.left if b.identifier in keep]
        manifests = {name.split("/")[2] for name in self.files("backup/*/manifest")}
        hidden = {name.split("/")[2] for name in self.files("backup/*/expired")}
        assert manifests - hidden == keep, (self.rules, self.clock.now)
        begin = min(b.first_segment for b in self.left if b.identifier in (window or ()))
        self.window = [b for b in self.left if b.first_segment >= begin]
        any_moment = {row["id"] for row in told["backups"] if row["any_moment"]}
        assert any_moment & keep == {b.identifier for b in self.window}
        stored = {segment_number(Path(n).name) for n in self.files("wal/00000001/*")}
        wanted = {number for b in self.left for number in b.numbers}
        assert wanted <= stored
        assert {n for n in stored if n < begin} == {n for n in wanted if n < begin}

    def verify(self) -> None:
        """In order; and no pack or digest lies there that nothing needs."""
        told = self.json("verify", "--read")
        assert told["findings"] == [] and told["backups"] == len(self.left)
        parts = self.files("backup/*/pack/*") | self.files("backup/*/digest/*")
        assert told["packs"] == len(parts)


class Years:
    """A cluster that lives for years, and the lives of its backups."""

    def __init__(
        self,
        programs: Programs,
        new_cluster: ClusterFactory,
        home: Path,
        key: Path,
        rules: list[Rules],
    ) -> None:
        self.clock = Clock(home)
        self.new_cluster = new_cluster
        self.lives = [
            Life(programs, self.clock, home / f"life{n}", key, each)
            for n, each in enumerate(rules)
        ]
        self.made: list[Made] = []
        self.primary: Cluster = new_cluster(start=False, wal_segsize_mb=SEGMENT_MB)
        push = f"{programs.path('wal-push')} --config={self.lives[0].config}"
        self.primary.archive_with(
            f"{push} %p", autovacuum="off", max_wal_size="32MB", min_wal_size="2MB"
        )

    def __enter__(self) -> Years:
        return self

    def __exit__(self, *_: object) -> None:
        self.primary.close()

    def begin(self, moment: datetime) -> None:
        self.clock.move(moment)
        self.primary.start(env=self.clock.env)
        self.primary.sql("create table marks (n int)")
        for name in ("template0", "template1"):  # nothing else is in them
            self.primary.sql(f"alter database {name} is_template false")
            self.primary.sql(f"drop database {name}")

    def backup(self, moment: datetime) -> None:
        """One in every life, with all the WAL up to then."""
        self.clock.move(moment)
        first = self.lives[0]
        before = first.objects()
        number = len(self.made)
        self.primary.sql("insert into marks values (%s)", [number])
        options = ["--checkpoint=fast", "--set=full_every=90d"]
        where = self.primary.environment()
        identifier = first.run("backup", *options, **where).check().out.strip()
        self.primary.wait_archived(self.primary.switch_wal())
        row = first.json("list")[-1]
        assert row["id"] == identifier
        begin, end = segment_of(row["start_lsn"]), segment_of(row["stop_lsn"], -1)
        self.made.append(Made(identifier, begin, moment, set(), end, number + 1))
        added = first.objects() - before
        for name in added:  # as a store that shares the clock would have it
            os.utime(first.repository / name, (moment.timestamp(),) * 2)
        for life in self.lives[1:]:
            life.add(first, added, self.made[-1])
        first.left.append(self.made[-1])

    def expire(self) -> None:
        for life in self.lives:
            life.expire()

    def restore(self, life: Life, backup: Made) -> None:
        """To its own end, which any kept backup must reach."""
        with self._restored(life, backup, "--target-immediate") as copy:
            assert copy.value("select count(*) from marks") == backup.marks

    def recover(self, life: Life) -> None:
        """From where the window begins to the end of the archive."""
        with self._restored(life, life.window[0]) as copy:
            copy.wait_sql("select not pg_is_in_recovery()")
            assert copy.value("select count(*) from marks") == len(self.made)

    @contextlib.contextmanager
    def _restored(self, life: Life, backup: Made, *args: str) -> Iterator[Cluster]:
        copy = self.new_cluster(create=False, version=self.primary.version)
        target = f"--target-dir={copy.data}"
        life.run("restore", backup.identifier, *args, target).check()
        copy.verifybackup(copy.data, "--no-parse-wal").check()
        copy.start()
        yield copy
        copy.close()
        shutil.rmtree(copy.home)


def calendar(count_far: int, count_near: int, days: int) -> list[datetime]:
    """Moments of backups: evenly over so many days, then one a day."""
    first = datetime(2024, 11, 1, 3, 0, tzinfo=UTC)
    far = [first + timedelta(days=days * n // count_far) for n in range(count_far)]
    near = [first + timedelta(days=days + n) for n in range(count_near)]
    return [m + timedelta(minutes=n * 37 % 60) for n, m in enumerate([*far, *near])]
