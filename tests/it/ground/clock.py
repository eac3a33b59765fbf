"""Another time of day for a program and all that it starts.

By preloading libfaketime, so that the process is the program itself, not the
wrapper faketime(1).
"""

from __future__ import annotations

import os
from datetime import datetime
from pathlib import Path


def _preloaded() -> dict[str, str]:
    (library,) = Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1")
    # ASan's library wants to be the first.
    asan = os.environ.get("ASAN_OPTIONS", "") + ":verify_asan_link_order=0"
    return {
        "LD_PRELOAD": str(library),
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "NO_FAKE_STAT": "1",
        "ASAN_OPTIONS": asan.lstrip(":"),
    }


def clock_at(moment: datetime) -> dict[str, str]:
    """The environment of a program that starts at that time."""
    return {**_preloaded(), "FAKETIME": f"@{moment:%Y-%m-%d %H:%M:%S}", "TZ": "UTC"}


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
