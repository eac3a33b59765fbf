"""What the benchmarks share: runs of two programs in turn, ratios of medians.

Machines are shared and noisy, so the two sides alternate and only the ratio
of their medians, with the spread of the single ratios, is worth a line.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SOURCE = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(SOURCE / "tests/it"))

from ground import host  # noqa: E402

BUILD = Path(os.environ.get("WALSHIP_BUILD", SOURCE / "build"))


@dataclass(frozen=True)
class Run:
    wall_s: float
    cpu_s: float
    peak_kib: int


def run(args: Sequence[str | os.PathLike[str]], **options: Any) -> Run:
    """One run of a program that must succeed, measured with its children."""
    begun = time.monotonic()
    with subprocess.Popen(
        [os.fspath(arg) for arg in args],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        **options,
    ) as process:
        assert process.stdout
        output = process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    wall_s = time.monotonic() - begun
    if process.returncode != 0:
        raise SystemExit(f"{args}: {process.returncode}\n{output.decode()}")
    return Run(wall_s, usage.ru_utime + usage.ru_stime, usage.ru_maxrss)


class LongWire:
    """A port that is half a round trip away from another one; see delay.c."""

    def __init__(self, work: Path, upstream_port: int, rtt_ms: int) -> None:
        program = work / "delay"
        source = SOURCE / "tests/bench/delay.c"
        compiler = ["cc", "-O2", "-D_GNU_SOURCE", "-pthread"]
        run([*compiler, "-o", program, source])
        self.port = host.free_ports()
        args = [program, str(self.port), str(upstream_port), str(rtt_ms)]
        self._daemon = host.Daemon(args, work / f"delay-{rtt_ms}.log")
        self._daemon.wait_port(self.port)

    def stop(self) -> None:
        self._daemon.stop()


def compare(
    title: str, ours: Callable[[int], Run], peer: Callable[[int], Run], rounds: int
) -> None:
    """Alternates the two and prints medians and ratios, ours to the peer's."""
    pairs = [(ours(i), peer(i)) for i in range(rounds)]
    print(f"{title}, {rounds} rounds:")
    for name, unit, value in (
        ("wall", "s", lambda r: r.wall_s),
        ("cpu", "s", lambda r: r.cpu_s),
        ("peak memory", "MiB", lambda r: r.peak_kib / 1024),
    ):
        mine = statistics.median(value(a) for a, _ in pairs)
        other = statistics.median(value(b) for _, b in pairs)
        ratios = sorted(value(a) / value(b) for a, b in pairs if value(b))
        print(
            f"  {name:12} walship {mine:8.3f} {unit:3}  peer {other:8.3f} {unit:3}"
            f"  ratio {mine / other:5.2f}  ({ratios[0]:.2f} to {ratios[-1]:.2f})"
        )
