"""Another time of day for a program and all that it starts.

By preloading libfaketime, so that the process is the program itself, not the
wrapper faketime(1).  Such processes share memory, which must outlive them: one
wrapper holds it for all of a test process.
"""

from __future__ import annotations

import atexit
import os
import subprocess
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

from .host import base_environment
from .roots import PG_USER


@cache
def _shared() -> str:
    holder = subprocess.Popen(
        ["faketime", "-f", "+0s", "sh", "-c", "echo $FAKETIME_SHARED; read end"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=base_environment(),
        user=PG_USER,
        group=PG_USER,
        extra_groups=[],
    )
    atexit.register(holder.communicate)
    assert holder.stdout
    return holder.stdout.readline().decode().strip()


def _preloaded() -> dict[str, str]:
    (library,) = Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1")
    # ASan's library wants to be the first.
    asan = os.environ.get("ASAN_OPTIONS", "") + ":verify_asan_link_order=0"
    return {
        "LD_PRELOAD": str(library),
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "FAKETIME_SHARED": _shared(),
        "NO_FAKE_STAT": "1",
        "ASAN_OPTIONS": asan.lstrip(":"),
    }


def clock_at(moment: datetime) -> dict[str, str]:
    """The environment of a program that starts at that time."""
    return clock_off((moment - datetime.now(UTC)).total_seconds())


def clock_off(seconds: float) -> dict[str, str]:
    """Of one whose clock is so much ahead."""
    return {**_preloaded(), "FAKETIME": f"{seconds:+.0f}s"}


def clock_of(file: Path) -> dict[str, str]:
    """Of one whose clock is ahead by what the file says, at any time: "+5s"."""
    return {
        **_preloaded(),
        "FAKETIME_TIMESTAMP_FILE": str(file),
        "FAKETIME_NO_CACHE": "1",
        "TZ": "UTC",
    }


def clock_fast(times: int) -> dict[str, str]:
    """Of one whose time passes so much faster: what it waits for, too."""
    fast = {**_preloaded(), "FAKETIME": f"+0 x{times}"}
    del fast["FAKETIME_DONT_FAKE_MONOTONIC"]
    return fast
