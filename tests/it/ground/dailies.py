"""Two years of backups in a directory repository, without a server.

And a model of what `walship expire` must do with them, written from README
alone: calendars by Python's own, windows by trying every moment.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from . import objects
from .backups import Backup, Repository
from .host import run

SYSTEM = 7300000000000000001
SEGMENT = 16 << 20
SEGMENTS_A_DAY = 4
FIRST_DAY = datetime(2024, 11, 1, tzinfo=UTC)


def key_of(key_file: Path) -> bytes:
    lines = key_file.read_text(encoding="ascii").splitlines()
    (line,) = (line for line in lines if line.startswith("walship-key-v1 "))
    return bytes.fromhex(line.split()[2])


def segment_name(number: int, timeline: int = 1) -> str:
    return f"{timeline:08X}{number >> 8:08X}{number & 255:08X}"


def lsn_text(lsn: int) -> str:
    return f"{lsn >> 32:X}/{lsn & 0xFFFFFFFF:X}"


@dataclass
class Daily:
    """One backup: it takes the two first segments of its day."""

    identifier: str
    first_segment: int
    stop_time: datetime
    packs: set[tuple[str, int]] = field(default_factory=set)  # owner, number

    @property
    def wal(self) -> set[str]:
        return {segment_name(self.first_segment + i) for i in (0, 1)}


class Dailies:
    """A repository that grows by a backup a day; every seventh is full."""

    def __init__(self, path: Path, key: bytes | None, timeline: int = 1) -> None:
        """All of it on one timeline, and without that one's history."""
        self.timeline = timeline
        self.repository = Repository(path, SYSTEM, key)
        self.tree = path / str(SYSTEM)
        self.days = 0
        self.backups: list[Daily] = []
        self.segments: list[str] = []
        self.written: list[Backup] = []

    def add_day(
        self, *, own: int = 1, digest: bool = False, wal_segment_size: int = SEGMENT
    ) -> None:
        """With so many packs of its own, and perhaps a digest object.

        Later ones use the first pack, and the digest if they have one, too.
        """
        day = self.days
        self.days += 1
        first = 1 + day * SEGMENTS_A_DAY
        stop = FIRST_DAY + timedelta(days=day, hours=3, minutes=day % 50)
        start_lsn = first * SEGMENT + 0x28
        stamp = (stop - timedelta(minutes=5)).strftime("%Y%m%dT%H%M%SZ")
        daily = Daily(f"{start_lsn:016X}-{self.timeline:08X}-{stamp}", first, stop)
        backup = Backup(self.repository, daily.identifier)
        older = [] if day % 7 == 0 else self.written[-(day % 7) :]
        backup.bases = [b.identifier for b in older[-1:]]
        backup.put_start()
        for number in range(own):
            content = daily.identifier.encode()
            path = f"base/1/own{number or ''}".encode()
            pack = backup.put_pack([(path, 0, content)])
            backup.add_file(path, content, [(pack, 0, len(content))])
            daily.packs.add((daily.identifier, number))
        if digest:
            backup.put_digest(b"digests")
            for line in (line for base in older for line in base.digests[:1]):
                backup.digests.append({**line, "digest": len(backup.digests)})
        for number, base in enumerate(older):
            shared = backup.refer_to_pack_of(base, 0)
            path = f"base/1/shared{number}".encode()
            old = base.identifier.encode()
            backup.add_file(path, old, [(shared, 0, len(old))])
            daily.packs.add((base.identifier, 0))
        backup.put_manifest(
            label="",
            server_version=150020,
            timeline=self.timeline,
            start_lsn=lsn_text(start_lsn),
            stop_lsn=lsn_text(start_lsn + SEGMENT),
            start_time=(stop - timedelta(minutes=4)).strftime("%Y-%m-%dT%H:%M:%SZ"),
            stop_time=stop.strftime("%Y-%m-%dT%H:%M:%SZ"),
            clock="server",
            wal_segment_size=wal_segment_size,
            page_size=8192,
            data_checksums=False,
            data_directory_mode="0700",
            from_standby=False,
            host="host",
            walship_version="0.1.0",
            duration_ms=1,
        )
        wal = self.tree / f"wal/{self.timeline:08X}"
        wal.mkdir(parents=True, exist_ok=True)
        for i in range(SEGMENTS_A_DAY):
            self.segments.append(segment_name(first + i, self.timeline))
            (wal / self.segments[-1]).touch()
        self.backups.append(daily)
        self.written.append(backup)

    def put_history(self, timeline: int, parent: int, segment: int) -> None:
        """That timeline left its parent in that segment."""
        name = f"wal/{timeline:08X}/{timeline:08X}.history"
        line = f"{parent}\t{lsn_text(segment * SEGMENT + 0x100)}\tno reason\n"
        self.repository.put(objects.KIND_WAL, name, [line.encode()])

    def fork(self, segment: int) -> None:
        """Timeline 2 leaves timeline 1 in that segment, and has three of its own."""
        self.put_history(2, 1, segment)
        for number in range(segment, segment + 3):
            (self.tree / "wal/00000002" / segment_name(number, 2)).touch()
        self.hand_over()

    def hand_over(self) -> None:
        run(["chown", "-R", "postgres:", self.repository.path]).check()

    def stored_backups(self) -> set[str]:
        return {p.parent.name for p in self.tree.glob("backup/*/manifest")} - {
            p.parent.name for p in self.tree.glob("backup/*/expired")
        }

    def stored_wal(self) -> set[str]:
        return {path.name for path in (self.tree / "wal/00000001").iterdir()}

    def stored_packs(self) -> set[tuple[str, int]]:
        found = self.tree.glob("backup/*/pack/*")
        return {(p.parents[1].name, int(p.name, 16)) for p in found}


@dataclass
class Rules:
    last: int = 0
    daily: int = 0
    weekly: int = 0
    monthly: int = 0
    yearly: int = 0
    within_days: int = 0

    def options(self) -> list[str]:
        return [
            f"--{key.replace('_', '-')}={value}"
            for key, value in self.settings().items()
        ]

    def settings(self) -> dict[str, str | int]:
        """As keys of the configuration."""
        found: dict[str, str | int] = {
            f"keep_{name}": getattr(self, name)
            for name in ("last", "daily", "weekly", "monthly", "yearly")
            if getattr(self, name)
        }
        if self.within_days:
            found["keep_within"] = f"{self.within_days}d"
        return found

    @classmethod
    def draw(cls, source: random.Random) -> Rules:
        def some(top: int) -> int:
            return source.choice([0, 0, 1, source.randint(1, top)])

        rules = cls(some(9), some(40), some(30), some(30), some(3), some(60))
        return rules if rules.options() else cls(last=1)


def _newest_of_each(backups: Iterable[Daily], form: str, count: int) -> set[str]:
    last_of: dict[str, Daily] = {}
    for backup in backups:  # in the order of their LSNs
        last_of[backup.stop_time.strftime(form)] = backup
    newest = sorted(last_of.values(), key=lambda b: b.first_segment)
    return {backup.identifier for backup in newest[max(0, len(newest) - count) :]}


def expected(
    backups: Sequence[Daily], rules: Rules, now: datetime
) -> tuple[set[str], set[str] | None]:
    """Which backups stay; and of which all the WAL behind them does."""
    if not backups:
        return set(), set()
    keep = {backup.identifier for backup in backups[max(0, len(backups) - rules.last) :]}
    keep |= _newest_of_each(backups, "%Y-%m-%d", rules.daily)
    keep |= _newest_of_each(backups, "%G-W%V", rules.weekly)
    keep |= _newest_of_each(backups, "%Y-%m", rules.monthly)
    keep |= _newest_of_each(backups, "%Y", rules.yearly)
    window: set[str] = set()
    if rules.within_days:
        moment = now - timedelta(days=rules.within_days)
        while moment <= now:
            ended = [b.identifier for b in backups if b.stop_time <= moment]
            window |= set(ended[-1:])
            moment += timedelta(hours=1)
        window |= {
            b.identifier
            for b in backups
            if b.stop_time > now - timedelta(days=rules.within_days)
        }
    newest = {backups[-1].identifier}
    keep |= window | newest
    return keep, (window | newest if rules.within_days else keep)
