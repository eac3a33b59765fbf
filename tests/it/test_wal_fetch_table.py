"""README's table of what wal-fetch answers, row by row and fault by fault.

The codes that are expected here are read out of README.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from ground.fault import FaultProxy
from ground.walworld import S3_FAULTS, Fault, World, flip

README = Path(__file__).resolve().parents[2] / "README.md"

# Who asks, for what: the signal file, and the kind of name.
ROWS = {
    "recovery, a segment": ("recovery.signal", "segment"),
    "recovery, a history file": ("recovery.signal", "history"),
    "standby, a segment": ("standby.signal", "segment"),
    "standby, a history file": ("standby.signal", "history"),
    "neither signal file, a history file (the end of recovery)": ("", "history"),
    "neither signal file, a segment (`pg_rewind -c`)": ("", "segment"),
}

THERE, ABSENT, GAP, UNREACHABLE, REFUSED, DAMAGED = range(6)

# What can happen, and the column that it is to be found in.
SITUATIONS = {
    "there": THERE,
    "slow": THERE,
    "absent": ABSENT,
    "gap": GAP,
    **{
        kind: UNREACHABLE if kind in ("down", "no such host", "hang", "503") else REFUSED
        for kind in S3_FAULTS
    },
    "cut": UNREACHABLE,
    "forbidden": REFUSED,
    "wrong key": REFUSED,
    "no key": REFUSED,
    "no configuration": REFUSED,
    "flipped": DAMAGED,
    "truncated": DAMAGED,
    "swapped": DAMAGED,
}


def table() -> dict[str, list[int | None]]:
    """The codes of each row, None where a column does not apply."""
    text = README.read_text(encoding="utf-8")
    section = text.partition("\n## What wal-fetch answers\n")[2].partition("\n## ")[0]
    found = {}
    for line in section.splitlines():
        who, *cells = [cell.strip() for cell in line.strip("|").split("|")]
        if who in ROWS:
            codes = [re.match(r"\d+", cell) for cell in cells]
            found[who] = [int(code.group()) if code else None for code in codes]
    return found


def test_table_is_whole() -> None:
    assert table().keys() == ROWS.keys()
    for who, codes in table().items():
        assert len(codes) == 6
        assert [code is None for code in codes] == [
            column == GAP and "history" in who for column in range(6)
        ]


def damage(world: World, kind: str, names: list[str]) -> None:
    assert world.bucket
    neighbour = world.bucket.get(world.key(world.segments[2]))
    for name in names:
        key = world.key(name)
        sound = world.bucket.get(key)
        changed = {
            "flipped": flip(sound),
            "truncated": sound[: len(sound) // 2],
            "swapped": neighbour,
        }[kind]
        world.bucket.replace(key, changed)


def bring_about(
    situation: str,
    world: World,
    s3_fault: Callable[[str], Fault],
    fault_proxy: FaultProxy,
    names: list[str],
) -> None:
    """Names are a segment's and a history's; the bad configuration counts."""
    assert world.bucket
    world.bad_config()
    if situation in S3_FAULTS:
        s3_fault(situation)
    elif situation in ("slow", "cut", "forbidden"):
        faults = {
            "slow": {"rate": 8000, "delay_ms": 20},
            "cut": {"cut_down": 300},
            "forbidden": {"http": 403},
        }
        fault_proxy.set(**faults[situation])
        patience = world.impatience if situation == "cut" else {}
        world.bad_config(s3_endpoint=fault_proxy.endpoint, **patience)
    elif situation == "wrong key":
        world.walship.run("walship", "keygen", world.work_dir / "key2").check()
        world.bad_config(key_file=world.work_dir / "key2")
    elif situation == "no key":
        world.bad_config(key_file=world.work_dir / "lost")
    elif situation == "no configuration":
        world.bad.unlink()
    elif situation == "absent":
        names[:] = ["000000030000000000000FFF", "00000003.history"]
    elif situation == "gap":
        world.bad_config(fetch_timeout=world.impatience["fetch_timeout"])
        world.bucket.delete(world.key(names[0]))
    elif situation != "there":
        damage(world, situation, names)


@pytest.mark.parametrize("situation", SITUATIONS)
def test_table(
    s3_world: World,
    s3_fault: Callable[[str], Fault],
    fault_proxy: FaultProxy,
    situation: str,
) -> None:
    world = s3_world
    # Each call by itself: without a spool no patience is shared.
    world.spool.rmdir()
    world.impatience = {"fetch_timeout": "600ms", "fetch_timeout_standby": "200ms"}
    names = [world.segments[4], "00000002.history"]
    bring_about(situation, world, s3_fault, fault_proxy, names)
    data = world.data_dir()
    for who, codes in table().items():
        signal_file, kind = ROWS[who]
        expected = codes[SITUATIONS[situation]]
        if expected is None:
            continue
        if signal_file:
            (data / signal_file).touch()
        name = names[kind == "history"]
        done = world.fetch(data, name, config=world.bad)
        (data / signal_file).unlink() if signal_file else None
        target = data / "pg_wal/RECOVERYXLOG"
        assert done.status == expected, (who, done)
        assert target.exists() == (expected == 0), who
        target.unlink(missing_ok=True)
        said = done.err.splitlines()
        assert len(said) == (SITUATIONS[situation] >= UNREACHABLE or expected > 1), said
