"""wal-fetch, call by call: exit codes, what is verified, what it costs."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import struct
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ground.fault import FaultProxy
from ground.host import Result, base_environment, wait_for
from ground.programs import Programs, write_config
from ground.roots import PG_USER
from ground.s3client import Bucket
from ground.walworld import (
    FATAL,
    World,
    flip,
    make_dir_fault,
    own,
    unsealed,
    Archive,
)


# --- signals ----------------------------------------------------------------


@pytest.mark.parametrize(
    "signal_file, name, expected",
    [
        ("recovery.signal", "segment", -signal.SIGTERM),
        ("recovery.signal", "00000003.history", -signal.SIGTERM),
        ("standby.signal", "segment", 1),
        ("standby.signal", "00000003.history", 1),
        ("", "segment", -signal.SIGTERM),
        ("", "00000003.history", 1),
    ],
)
@pytest.mark.parametrize("sig", [signal.SIGTERM, signal.SIGKILL])
def test_killed(
    s3_world: World,
    fault_proxy: FaultProxy,
    signal_file: str,
    name: str,
    expected: int,
    sig: signal.Signals,
) -> None:
    """While it waits for the store; no part of a file is left."""
    name = s3_world.segments[4] if name == "segment" else name
    data = s3_world.data_dir(signal_file)
    s3_world.bad_config(s3_endpoint=fault_proxy.endpoint, stall_timeout="1h")
    fault_proxy.set(hang=True)
    process = subprocess.Popen(
        [
            s3_world.walship.path("wal-fetch"),
            f"--config={s3_world.bad}",
            name,
            "pg_wal/X",
        ],
        cwd=data,
        user=PG_USER,
        env=base_environment(),
        stderr=subprocess.PIPE,
        text=True,
    )
    wait_for(lambda: fault_proxy.requests, "a request")
    process.send_signal(sig)
    err = process.communicate(timeout=60)[1]
    assert process.returncode == (expected if sig == signal.SIGTERM else -sig), err
    assert list((data / "pg_wal").iterdir()) == []


def test_without_proc(s3_world: World, fault_proxy: FaultProxy) -> None:
    """A file without a name needs /proc to get one; else it has a name."""
    name = s3_world.segments[4]
    data = s3_world.data_dir("recovery.signal")
    s3_world.bad_config(s3_endpoint=fault_proxy.endpoint)
    program = s3_world.walship.path("wal-fetch")
    # The module is found through /proc/self/exe.
    hide = f"mount -t tmpfs tmpfs /proc && mkdir /proc/self && ln -s {program} /proc/self/exe"
    drop = f"exec setpriv --reuid={PG_USER} --regid={PG_USER} --clear-groups"
    call = f"{program} --config={s3_world.bad} {name} pg_wal/X"

    def start() -> subprocess.Popen[str]:
        return subprocess.Popen(
            ["unshare", "--mount", "/bin/sh", "-c", f"{hide} && {drop} {call}"],
            cwd=data,
            env=base_environment(),
            stderr=subprocess.PIPE,
            text=True,
        )

    fault_proxy.set(hang=True)
    process = start()
    wait_for(lambda: list((data / "pg_wal").iterdir()), "the file is begun")
    assert not (data / "pg_wal/X").exists()
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)
    assert process.returncode == -signal.SIGTERM
    assert list((data / "pg_wal").iterdir()) == []
    fault_proxy.clear()
    process = start()
    err = process.communicate(timeout=60)[1]
    assert process.returncode == 0, err
    assert [path.name for path in (data / "pg_wal").iterdir()] == ["X"]
    assert (data / "pg_wal/X").stat().st_size == 1 << 20


# --- the policy -----------------------------------------------


@pytest.mark.parametrize(
    "situation, segment, history",
    [
        # exit codes with: recovery.signal, standby.signal, neither
        ("sound", (0, 0, 0), (0, 0, 0)),
        ("absent", (1, 1, 1), (1, 1, 1)),
        ("gap", (FATAL, 1, FATAL), (1, 1, 1)),
        ("no root", (FATAL, 1, FATAL), (FATAL, 1, 1)),
        ("no key", (FATAL, 1, FATAL), (FATAL, 1, 1)),
        ("no config", (FATAL, 1, FATAL), (FATAL, 1, 1)),
        ("no cluster", (FATAL, 1, FATAL), (FATAL, 1, 1)),
        ("corrupt", (FATAL, 1, FATAL), (FATAL, 1, 1)),
        ("no room", (FATAL, 1, FATAL), (FATAL, 1, 1)),
    ],
)
def test_policy(
    dir_world: World, situation: str, segment: tuple[int], history: tuple[int]
) -> None:
    world = dir_world
    data = world.data_dir()
    names = [world.segments[4], "00000002.history"]
    config, path = world.good, "pg_wal/RECOVERYXLOG"
    if situation == "absent":
        names = ["000000030000000000000FFF", "00000003.history"]
    elif situation == "gap":
        world.object(names[0]).unlink()
        world.object(names[1]).unlink()
    elif situation in ("no root", "no key"):
        make_dir_fault(situation, world, names[0])
        config = world.bad
    elif situation == "no config":
        config = world.work_dir / "absent.conf"
    elif situation == "no cluster":
        (data / "global/pg_control").unlink()
        empty = own_dir(world.work_dir / "empty")
        world.bad_config(repository=f"file://{empty}")
        config = world.bad
    elif situation == "corrupt":
        for name in names:
            world.object(name).write_bytes(flip(world.object(name).read_bytes()))
    elif situation == "no room":
        path = "no_such_dir/RECOVERYXLOG"
    for name, expected in zip(names, (segment, history)):
        for signal_file, code in zip(
            ["recovery.signal", "standby.signal", ""], expected
        ):
            with signal_present(data, signal_file):
                done = world.fetch(data, name, config=config, path=path)
                assert done.status == code, (name, signal_file, done)
                target = data / path
                assert target.exists() == (code == 0)
                if code in (0, 1) and situation in ("sound", "absent"):
                    assert done.err == ""
                elif code == FATAL:
                    assert len(done.err.splitlines()) == 1
                    assert done.err.startswith("wal-fetch: ERROR: could not fetch")
                target.unlink(missing_ok=True)


def own_dir(path: Path) -> Path:
    path.mkdir(mode=0o700)
    return own(path)


@contextlib.contextmanager
def signal_present(data: Path, name: str) -> Iterator[None]:
    if name:
        (data / name).touch()
    yield
    if name:
        (data / name).unlink()


def test_first_history_needs_nothing(dir_world: World) -> None:
    data = dir_world.data_dir("recovery.signal")
    broken = dir_world.work_dir / "absent.conf"
    done = dir_world.fetch(data, "00000001.history", config=broken)
    assert (done.status, done.out, done.err) == (1, "", "")


def test_command_line(walship: Programs, dir_world: World) -> None:
    """A restore_command with a mistake in it must not promote either."""
    done = walship.run("wal-fetch", "--help")
    assert done.status == 0 and done.err == ""
    assert all(len(line) <= 80 for line in done.out.splitlines())
    assert walship.run("wal-fetch", "--version").out.startswith("walship ")
    data = dir_world.data_dir()
    wrong: list[list[str]] = [
        [],
        ["a"],
        ["a", "b", "c"],
        ["--mode=master", "a", "b"],
        ["--moed=x", "a", "b"],
    ]
    for args in wrong:
        for signal_file, code in [
            ("recovery.signal", FATAL),
            ("standby.signal", 2),
            ("", 2),
        ]:
            with signal_present(data, signal_file):
                done = walship.run("wal-fetch", *args, cwd=data)
                assert done.status == code and "--help" in done.err
    with signal_present(data, "recovery.signal"):
        assert dir_world.fetch(data, "RECOVERYXLOG").status == FATAL


# --- requests, deadlines, the shared outage ---------------------------------


@pytest.mark.sigv4
def test_requests(s3_world: World, fault_proxy: FaultProxy) -> None:
    """One for a file that is there; a standby's miss adds no listing."""
    data = s3_world.data_dir()
    s3_world.bad_config(s3_endpoint=fault_proxy.endpoint)

    def requests(name: str, signal_file: str, code: int) -> list[str]:
        fault_proxy.forget()
        with signal_present(data, signal_file):
            done = s3_world.fetch(data, name, config=s3_world.bad)
        assert done.status == code, done.err
        return [request.method for request in fault_proxy.requests]

    segments = s3_world.segments
    assert requests(segments[2], "recovery.signal", 0) == ["GET"]
    assert requests("00000002.history", "recovery.signal", 0) == ["GET"]
    absent = "000000020000000000000FFF"
    assert requests(absent, "standby.signal", 1) == ["GET"]
    # The object, and a listing of what is behind it and on newer timelines.
    assert requests(absent, "recovery.signal", 1) == ["GET"] * 2
    # There is one of those: its history tells where it forked off.
    behind = "000000010000000000000FFF"
    assert requests(behind, "recovery.signal", 1) == ["GET"] * 3
    # Where a timeline begins within a segment, that has the old one's number
    # on its first page, and is checked against the history: a second one.
    first = min(path.name for path in s3_world.wal("00000002").glob("00000002000*"))
    assert requests(first, "standby.signal", 0) in (["GET"], ["GET", "GET"])


def test_slow_store_is_no_outage(
    s3_world: World, bucket: Bucket, fault_proxy: FaultProxy
) -> None:
    """A transfer may take longer than the patience of a standby.

    A segment that does not compress, at one of its frames a second.
    """
    name, sysid = "000000030000000000000005", s3_world.archive.system_identifier
    content = page(sysid, 5 << 23, 3, size=8 << 20) + os.urandom((8 << 20) - 40)
    bucket.put(s3_world.key(name), unsealed(f"wal/{name[:8]}/{name}", sysid, content))
    data = s3_world.data_dir("standby.signal")
    del s3_world.keys["key_file"]
    s3_world.bad_config(
        s3_endpoint=fault_proxy.endpoint, encryption="none", fetch_timeout_standby="6s"
    )
    fault_proxy.set(rate=1 << 20)
    done = s3_world.fetch(data, name, config=s3_world.bad)
    assert done.status == 0, done.err
    assert (data / "pg_wal/RECOVERYXLOG").read_bytes() == content


def test_broken_transfers_are_resumed(s3_world: World, fault_proxy: FaultProxy) -> None:
    data = s3_world.data_dir("standby.signal")
    name = s3_world.segments[4]
    s3_world.fetch(data, name, path="pg_wal/whole").check()
    stored = len(s3_world.object(name).read_bytes())
    s3_world.bad_config(s3_endpoint=fault_proxy.endpoint, fetch_timeout_standby="1min")
    fault_proxy.set(cut_down=stored // 2, first=3)
    done = s3_world.fetch(data, name, config=s3_world.bad)
    assert done.status == 0, done.err
    whole = (data / "pg_wal/whole").read_bytes()
    assert (data / "pg_wal/RECOVERYXLOG").read_bytes() == whole


@pytest.mark.sigv4
def test_outage_is_shared(s3_world: World, fault_proxy: FaultProxy) -> None:
    """With its patience spent, a call asks once whether the store is back."""
    data = s3_world.data_dir("standby.signal")
    name = s3_world.segments[4]
    s3_world.bad_config(s3_endpoint=fault_proxy.endpoint, fetch_timeout_standby="2s")
    fault_proxy.set(http=503, headers="")

    def call() -> tuple[int, set[str]]:
        fault_proxy.forget()
        done = s3_world.fetch(data, name, config=s3_world.bad)
        methods = {request.method for request in fault_proxy.requests}
        return done.status, methods

    assert call() == (1, {"GET"})
    (note,) = s3_world.spool.glob("*/*/outage")
    assert note.stat().st_mode & 0o777 == 0o600
    assert call() == (1, {"HEAD"})
    fault_proxy.clear()
    # A store that is back may be slow; and more was spent than one may wait.
    s3_world.bad_config(s3_endpoint=fault_proxy.endpoint)
    kind, at, spent = note.read_text().split()
    assert int(spent) >= 2000
    note.write_text(f"{kind} {at} 9999999\n")
    assert call() == (0, {"HEAD", "GET"})
    assert not note.exists()
    assert call() == (0, {"GET"})

    # What somebody else planted is not believed.
    for plant in (b"walship-outage-v1 99999999999999 9999999\n", b"\xff" * 50, b""):
        note.write_bytes(plant)
        shutil.chown(note, PG_USER, PG_USER)
        assert call() == (0, {"GET"})
    note.unlink(missing_ok=True)
    note.symlink_to("/etc/passwd")
    assert call() == (0, {"GET"})


# --- what is verified -------------------------------------------------------


@pytest.fixture
def plain(world: World) -> Callable[[str, bytes], Result]:
    """Archives content under a name, unsealed and well formed, and fetches it."""
    world.repo.mkdir(mode=0o700)
    own(world.repo)
    world.keys |= {"encryption": "none"}
    del world.keys["key_file"]
    write_config(world.good, **world.keys)
    data = world.data_dir("recovery.signal")

    def fetch(name: str, content: bytes) -> Result:
        path = world.object(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        logical = f"wal/{name[:8]}/{name}"
        path.write_bytes(unsealed(logical, world.archive.system_identifier, content))
        own(world.repo)
        return world.fetch(data, name)

    return fetch


def page(
    system_identifier: int, address: int, timeline: int = 1, **other: int
) -> bytes:
    return struct.pack(
        "<HHIQI4xQII",
        other.get("magic", 0xD110),
        2,
        timeline,
        address,
        0,
        system_identifier,
        other.get("size", 1 << 20),
        8192,
    )


def test_verification(plain: Callable[[str, bytes], Result], archive: Archive) -> None:
    """Authenticated, but not what the name says: never delivered."""
    sysid, size = archive.system_identifier, 1 << 20
    name, address = "000000030000000000000005", 5 << 20

    def segment(*args: Any, **other: Any) -> bytes:
        return page(*args, **other).ljust(size, b"\0")

    def refused(content: bytes, why: str) -> None:
        done = plain(name, content)
        assert done.status == FATAL and why in done.err, done
        assert name in done.err

    assert plain(name, segment(sysid, address, 3)).status == 0
    refused(segment(sysid, address, 3)[:-1], "segment size")
    refused(segment(sysid, address, 3) + b"\0", "segment size")
    refused(segment(sysid, address, 3, size=2 << 20), "segment size")
    refused(bytes(size), "magic")
    refused(segment(sysid, address, 3, magic=0xC110), "magic")
    refused(segment(sysid, address + size, 3), "address")
    refused(segment(sysid + 1, address, 3), "system identifier")
    refused(segment(sysid, address, 4), "newer than")
    # An ancestor's number, which only the history can allow.
    refused(segment(sysid, address, 1), "history")
    assert plain("00000003.history", b"1\t0/580000\tx\n").status == 0
    refused(segment(sysid, address, 2), "not in the history")
    assert plain(name, segment(sysid, address, 1)).status == 0


def test_verification_of_histories(plain: Callable[[str, bytes], Result]) -> None:
    for bad in (b"", b"one\n", b"3\t0/5000000\n", b"# nothing\n"):
        done = plain("00000003.history", bad) if bad else None
        assert done is None or done.status == FATAL, done


# --- other callers ----------------------------------------------------------


def test_cluster_and_paths(dir_world: World) -> None:
    """Absolute paths from anywhere; and clusters named by hand."""
    world = dir_world
    data = world.data_dir()
    name = world.segments[2]
    target = data / "pg_wal" / name
    done = world.fetch(data, name, path=target, cwd=world.work_dir)
    assert done.status == 0, done.err
    # The path's server counts, not one of the same cluster where we stand.
    standby = world.work_dir / "standby"
    shutil.copytree(data, standby)
    (standby / "standby.signal").touch()
    own(standby)
    nowhere = f"--set=repository=file://{world.work_dir}/none"
    assert world.fetch(data, name, nowhere, cwd=standby).status == 1
    assert world.fetch(data, name, nowhere, path=target, cwd=standby).status == FATAL
    bare = world.work_dir / "bare"
    own_dir(bare)
    sysid = world.archive.system_identifier
    assert world.fetch(data, name, path=bare / "x", cwd=bare).status == 0
    done = world.fetch(data, name, f"--cluster={sysid}", path=bare / "y", cwd=bare)
    assert done.status == 0
    assert (bare / "y").read_bytes() == target.read_bytes()
    done = world.fetch(data, name, "--cluster=7301234567890123456", path=target)
    assert done.status == FATAL and "--cluster" in done.err
    # With two clusters in the repository somebody must say which.
    other = world.repo / "7301234567890123456/wal/00000001"
    other.mkdir(parents=True)
    (other / name).touch()
    own(world.repo)
    done = world.fetch(data, name, path=bare / "z", cwd=bare)
    assert done.status == FATAL and str(sysid) in done.err


def test_salvaged_wal(dir_world: World) -> None:
    """A gap that pg_wal can fill, and one that its garbage cannot."""
    victim = dir_world.segments[4]
    data = dir_world.data_dir("recovery.signal")
    dir_world.fetch(data, victim, path=f"pg_wal/{victim}").check()
    whole = (data / "pg_wal" / victim).read_bytes()
    dir_world.object(victim).unlink()
    done = dir_world.fetch(data, victim)
    assert done.status == 0, done.err
    assert (data / "pg_wal/RECOVERYXLOG").read_bytes() == whole
    cut = whole[:64].ljust(len(whole), b"\0")
    for damaged in (cut, whole[:-1], bytes(len(whole))):
        (data / "pg_wal" / victim).write_bytes(damaged)
        assert dir_world.fetch(data, victim).status == FATAL
