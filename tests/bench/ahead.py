"""A worker, working ahead within the call, and neither, on one backlog.

The bench is the archiver here, so that it can be one whose postmaster cannot be
found: then wal-push leaves no worker behind.  The data directory is a stand-in
that leads to the real one's files.
"""

from __future__ import annotations

import shutil
import statistics
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from backlog import Ground, delayed

from ground import roots
from ground.programs import change_config, write_config

CALLS = Path(__file__).with_name("calls.py")
AT_ONCE = 3
WAYS = ("worker", "within the call", "not ahead")

# Makes a new place's configuration, in that directory.
Place = Callable[[Path], Path]


class Stand:
    """A data directory with or without a postmaster; see pushqueue.py."""

    def __init__(self, ground: Ground) -> None:
        self._ground = ground
        self.data = ground.home(made=True)
        for name in ("global", "pg_wal"):
            (self.data / name).symlink_to(ground.cluster.data / name)
        self._tool = Path(shutil.copy(CALLS, ground.work / "calls.py"))

    def drain(
        self, names: Sequence[str], conf: Path, way: str, at_once: int
    ) -> tuple[float, float]:
        """Seconds, and those of the processors."""
        change_config(conf, push_workers=1 if way == "not ahead" else 4)
        pid_file = self.data / "postmaster.pid"
        pid_file.unlink(missing_ok=True)
        if way == "worker":
            pid = self._ground.cluster.pid()
            pid_file.write_text(f"{pid}\n{self.data}\n1000\n5432\n", "ascii")
            shutil.chown(pid_file, roots.PG_USER)
        self._ground.set_command("")
        time.sleep(0.5)
        program = str(self._ground.programs.path("wal-push"))
        push = [program, f"--config={conf}", "%p"]
        done = subprocess.run(
            ["/usr/bin/python3", self._tool, str(at_once), *push],
            input="\n".join(names),
            stdout=subprocess.PIPE,
            cwd=self.data,
            user=roots.PG_USER,
            text=True,
            check=True,
        )
        wall_s, cpu_s = map(float, done.stdout.split())
        return wall_s, cpu_s


def measure(
    title: str,
    ground: Ground,
    names: Sequence[str],
    place: Place,
    rounds: int,
    at_once: int = 0,
) -> None:
    """at_once: so many are ready at any time, as in a busy server; 0: all."""
    stand = Stand(ground)
    rows: dict[str, list[tuple[float, float]]] = {way: [] for way in WAYS}
    for _ in range(rounds):
        for way in WAYS:
            conf = place(ground.home(made=True))
            rows[way].append(stand.drain(names, conf, way, at_once or len(names)))
    ready = f"{at_once} ready at once" if at_once else "all ready"
    print(f"  {title}, {len(names)} segments, {ready}, {rounds} rounds:")
    mine = rows[WAYS[0]]
    for way, values in rows.items():
        wall, cpu = (statistics.median(column) for column in zip(*values))
        line = f"    {way:16} {len(names) / wall:7.1f} seg/s {cpu:7.2f} s of CPU"
        if way != WAYS[0]:
            pairs = [sorted(a[i] / b[i] for a, b in zip(mine, values)) for i in (0, 1)]
            for what, ratios in zip(("wall", "CPU"), pairs):
                line += (
                    f"  {what} {statistics.median(ratios):.2f}"
                    f" ({ratios[0]:.2f} to {ratios[-1]:.2f})"
                )
        print(line, flush=True)


def directory(ground: Ground) -> Place:
    def make(home: Path) -> Path:
        for path in (home / "repo", home / "spool"):
            path.mkdir(mode=0o700)
            shutil.chown(path, roots.PG_USER, roots.PG_USER)
        return write_config(
            home / "walship.conf",
            repository=f"file://{home}/repo",
            spool=home / "spool",
            key_file=ground.work / "key",
        )

    return make


def run(ground: Ground, names: Sequence[str], rtt_ms: int, rounds: int) -> None:
    """Ratios are the worker's to the other way's, less is better."""
    measure("directory", ground, names, directory(ground), rounds)
    for rtt in (0, rtt_ms):
        with delayed(ground, rtt) as port, ground.bucket() as bucket:

            def place(home: Path) -> Path:
                inner = home / "h"
                ground.walship(inner, bucket, port)
                conf = inner / "walship.conf"
                return change_config(conf, repository=f"s3://{bucket.name}/{home.name}")

            for at_once in (0, AT_ONCE):
                title = f"bucket, {rtt} ms"
                measure(title, ground, names, place, rounds, at_once)
