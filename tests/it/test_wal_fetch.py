"""wal-fetch and a server: no promotion while WAL may be there, no stopped standby.

One archive is made for each version of PostgreSQL: a base backup on timeline 1,
rows 1 to 6 in a segment each, a promotion, and rows 7 to 9 on timeline 2.  Each
test has a copy of it, a fault, and a server that recovers or follows through
the fault.  The fault befalls one file: restore_command takes another
configuration for it, or the object is damaged.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import signal
import struct
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lz4.frame
import pytest

from ground.fault import FaultProxy
from ground.host import Result, base_environment, free_ports, wait_for
from ground.pg import Cluster, ClusterFactory
from ground.programs import Programs, write_config
from ground.roots import PG_USER
from ground.s3 import Gateway
from ground.s3client import Bucket
from ground.tls import UNTRUSTED

FATAL = 200
ROWS_1, ROWS_2 = 6, 9
TIMEOUTS = {"fetch_timeout": "2s", "fetch_timeout_standby": "500ms"}
HISTORIES = "0000000[2-9].history"


def own(path: Path) -> Path:
    for each in [path, *path.rglob("*")]:
        shutil.chown(each, PG_USER, PG_USER)
    return path


# --- the archive ------------------------------------------------------------


@dataclass(frozen=True)
class Archive:
    base: Path  # the base backup
    repo: Path  # with both timelines
    key: Path
    system_identifier: int
    segments: list[str]  # segments[n]: the one with row n; [0] is not used


@pytest.fixture(scope="module")
def archive(run_dir: Path, walship: Programs, pg_version: int) -> Iterator[Archive]:
    home = run_dir / f"arc{pg_version}"
    home.mkdir(mode=0o755)
    repo = home / "repo"
    repo.mkdir(mode=0o700)
    own(home)
    key = home / "key"
    walship.run("walship", "keygen", key).check()
    config = write_config(
        home / "conf", repository=f"file://{repo}", key_file=key, spool=home / "spool"
    )
    segments = [""]
    push = walship.command("wal-push", f"--config={config}", "%p")
    primary = Cluster(pg_version, home / "p")
    heir = Cluster(pg_version, home / "r")
    try:
        primary.initdb(wal_segsize_mb=1).archive_with(push)
        primary.start()
        primary.sql("create table t (n int)")
        primary.basebackup(home / "base", "--wal-method=none")
        segments += [add_row(primary, n) for n in range(1, ROWS_1 + 1)]
        primary.stop()
        shutil.copytree(home / "base", heir.data)
        own(heir.data)
        heir.configure({"restore_command": fetch_command(walship, config)})
        (heir.data / "recovery.signal").touch()
        heir.start()
        heir.wait_sql("select not pg_is_in_recovery()")
        segments += [add_row(heir, n) for n in range(ROWS_1 + 1, ROWS_2 + 1)]
        identifier = heir.system_identifier()
        heir.stop()
    finally:
        primary.close()
        heir.close()
    yield Archive(home / "base", repo, key, identifier, segments)
    shutil.rmtree(home)


def add_row(cluster: Cluster, n: int) -> str:
    cluster.sql("insert into t values (%s)", (n,))
    segment = cluster.switch_wal()
    cluster.wait_archived(segment)
    return segment


def fetch_command(walship: Programs, config: Path, *options: str) -> str:
    return walship.command("wal-fetch", f"--config={config}", *options, "%f", "%p")


# --- one test's world -------------------------------------------------------


class World:
    """A copy of the archive, and a server to recover from it."""

    def __init__(
        self,
        archive: Archive,
        walship: Programs,
        new_cluster: ClusterFactory,
        work_dir: Path,
    ) -> None:
        self.archive, self.walship, self.work_dir = archive, walship, work_dir
        self.new_cluster = new_cluster
        self.repo = work_dir / "repo"
        self.keys: dict[str, Any] = {
            "repository": f"file://{self.repo}",
            "key_file": archive.key,
            "spool": work_dir / "spool",
            **TIMEOUTS,
        }
        self.spool = work_dir / "spool"
        self.spool.mkdir(mode=0o700)
        own(self.spool)
        self.good = work_dir / "good.conf"
        self.bad = work_dir / "bad.conf"
        self.flag = work_dir / "fault"
        self.calls = work_dir / "calls"
        self.segments = archive.segments
        self.bucket: Bucket | None = None

    def copy_archive(self, *, both: bool = True) -> World:
        shutil.copytree(self.archive.repo, self.repo)
        own(self.repo)
        if not both:
            shutil.rmtree(self.wal("00000002"))
        write_config(self.good, **self.keys)
        return self

    def upload(self, bucket: Bucket, gateway: Gateway) -> World:
        """The same archive in a bucket: any tool may copy a repository."""
        self.copy_archive()
        self.bucket = bucket
        for path in self.repo.rglob("*"):
            if path.is_file():
                bucket.put(f"it/{path.relative_to(self.repo)}", path.read_bytes())
        self.keys |= {
            "repository": f"s3://{bucket.name}/it",
            "s3_endpoint": gateway.endpoint,
            "s3_region": gateway.region,
            "s3_addressing": "path",
            "s3_access_key_id": gateway.credentials.access_key,
            "s3_secret_access_key": gateway.credentials.secret_key,
        }
        write_config(self.good, **self.keys)
        return self

    def wal(self, timeline: str = "00000001") -> Path:
        return self.repo / str(self.archive.system_identifier) / "wal" / timeline

    def object(self, name: str) -> Path:
        return self.wal(name[:8]) / name

    def key(self, name: str) -> str:
        return f"it/{self.archive.system_identifier}/wal/{name[:8]}/{name}"

    def bad_config(self, **keys: Any) -> None:
        write_config(self.bad, **{**self.keys, **keys})

    # --- a server

    def server(self, signal_file: str, *options: str, pattern: str = "none") -> Cluster:
        """Ready to start; the bad configuration is for files of that pattern."""
        script = self.work_dir / "restore"
        script.write_text(
            "#!/bin/sh\n"
            f"conf={self.good}\n"
            f"case $1 in {pattern}) [ ! -e {self.flag} ] || conf={self.bad};; esac\n"
            f'echo "$1 $(ls *.signal 2>/dev/null)" >>{self.calls}\n'
            f"exec {self.walship.path('wal-fetch')} --config=$conf {' '.join(options)} "
            '"$@"\n',
            encoding="utf-8",
        )
        script.chmod(0o755)
        self.calls.touch()
        shutil.chown(self.calls, PG_USER, PG_USER)
        cluster = self.new_cluster(create=False)
        shutil.copytree(self.archive.base, cluster.data)
        own(cluster.data)
        cluster.configure(
            {
                "restore_command": f"{script} %f %p",
                "archive_mode": "off",
                "wal_retrieve_retry_interval": "100ms",
            }
        )
        path = cluster.data / signal_file
        path.touch()
        shutil.chown(path, PG_USER, PG_USER)
        return cluster

    # --- one call, without a server

    def data_dir(self, signal_file: str = "") -> Path:
        """What wal-fetch looks at in a data directory."""
        data = self.work_dir / "data"
        (data / "global").mkdir(parents=True)
        (data / "pg_wal").mkdir()
        shutil.copy(self.archive.base / "global/pg_control", data / "global")
        if signal_file:
            (data / signal_file).touch()
        return own(data)

    def fetch(self, data: Path, name: str, *options: str, **run: Any) -> Result:
        config = run.pop("config", self.good)
        path = run.pop("path", "pg_wal/RECOVERYXLOG")
        run.setdefault("cwd", data)
        return self.walship.run(
            "wal-fetch", f"--config={config}", *options, name, path, **run
        )


@pytest.fixture
def world(
    archive: Archive, walship: Programs, new_cluster: ClusterFactory, work_dir: Path
) -> World:
    return World(archive, walship, new_cluster, work_dir)


@pytest.fixture
def dir_world(world: World) -> World:
    return world.copy_archive()


@pytest.fixture
def s3_world(world: World, bucket: Bucket, gateway: Gateway) -> World:
    return world.upload(bucket, gateway)


def greatest_row(cluster: Cluster) -> int:
    return int(cluster.value("select coalesce(max(n), 0) from t"))


def all_rows(cluster: Cluster, upto: int) -> None:
    assert cluster.sql("select n from t order by n") == [
        (n,) for n in range(1, upto + 1)
    ]


def stopped_in_recovery(cluster: Cluster) -> None:
    """Stopped by the fatal code, and neither promoted nor damaged."""
    cluster.try_start()
    cluster.wait_stopped()
    control = cluster.controldata()
    assert control["Database cluster state"] == "in archive recovery"
    assert control["Latest checkpoint's TimeLineID"] == "1"
    assert (cluster.data / "recovery.signal").exists()
    assert "selected new timeline" not in cluster.log()
    assert f"exit code {FATAL}" in cluster.log()
    assert "wal-fetch: ERROR: " in cluster.log()
    no_leftovers(cluster.data / "pg_wal")


def promoted(cluster: Cluster, rows: int, timeline: int) -> None:
    cluster.start()
    cluster.wait_sql("select not pg_is_in_recovery()")
    all_rows(cluster, rows)
    current = cluster.value("select timeline_id from pg_control_checkpoint()")
    assert current == timeline


def no_leftovers(wal_dir: Path) -> None:
    """Nothing but what PostgreSQL itself keeps there."""
    for path in wal_dir.iterdir():
        assert not path.name.startswith("."), path
        if path.is_file() and len(path.name) == 24:
            assert path.stat().st_size == 1 << 20, path


# --- faults -----------------------------------------------------------------


@dataclass
class Fault:
    """What goes wrong, how it is mended, and whether the server hears of it."""

    begin: Callable[[], object]
    mend: Callable[[], object]
    spoken: bool = True


def config_fault(world: World, **keys: Any) -> Fault:
    world.bad_config(**keys)
    return Fault(world.flag.touch, world.flag.unlink)


def object_fault(path: Path, change: Callable[[bytes], bytes]) -> Fault:
    sound = path.read_bytes()
    return Fault(
        lambda: path.write_bytes(change(sound)), lambda: path.write_bytes(sound)
    )


def absence(path: Path) -> Fault:
    away = path.with_name(f".away-{path.name}")
    return Fault(
        lambda: path.rename(away), lambda: away.rename(path), spoken=False
    )


def flip(content: bytes) -> bytes:
    at = len(content) // 2
    return content[:at] + bytes([content[at] ^ 0x10]) + content[at + 1 :]


def make_dir_fault(kind: str, world: World, victim: str) -> Fault:
    path = world.object(victim)
    if kind == "no root":
        return config_fault(world, repository=f"file://{world.work_dir}/unmounted")
    if kind == "wrong key":
        other = world.work_dir / "key2"
        world.walship.run("walship", "keygen", other).check()
        return config_fault(world, key_file=other)
    if kind == "no key":
        return config_fault(world, key_file=world.work_dir / "lost")
    if kind == "unreadable":
        return Fault(lambda: path.chmod(0), lambda: path.chmod(0o600))
    if kind == "corrupt":
        return object_fault(path, flip)
    if kind == "truncated":
        return object_fault(path, lambda whole: whole[: len(whole) // 2])
    if kind == "empty":
        return object_fault(path, lambda whole: b"")
    if kind == "swapped":
        other = world.object(world.segments[2]).read_bytes()
        return object_fault(path, lambda whole: other)
    if kind == "unsealed":
        name = f"wal/{victim[:8]}/{victim}"
        plain = unsealed(name, world.archive.system_identifier, bytes(1 << 20))
        return object_fault(path, lambda whole: plain)
    assert kind == "gap", kind
    return absence(path)


def unsealed(name: str, system_identifier: int, content: bytes) -> bytes:
    """An object without encryption, as FORMAT.md describes it."""
    header = struct.pack("<II", 0x184D2A57, 74 + len(name)) + b"walship"
    header += struct.pack("<BBBHIQQ", 1, 1, 0, 0, 1 << 20, system_identifier, len(content))
    header += bytes(8) + os.urandom(16) + struct.pack("<H", len(name)) + name.encode()
    check = hashlib.blake2b(header, digest_size=16).digest()
    stored = header + check
    pieces = [content[at : at + (1 << 20)] for at in range(0, len(content), 1 << 20)]
    for number, piece in enumerate(pieces):
        sizes = [(65536, 4), (262144, 5), (1 << 20, 6)]
        frame = lz4.frame.compress(
            piece,
            block_size=next(code for size, code in sizes if len(piece) <= size),
            block_linked=False,
            block_checksum=True,
            content_checksum=True,
        )
        final = int(number == len(pieces) - 1)
        stored += struct.pack("<IIIII", 0x184D2A5D, 20, number, final, len(frame))
        stored += check[:8] + frame
    return stored


DIR_FAULTS = [
    "no root",
    "wrong key",
    "no key",
    "unreadable",
    "corrupt",
    "truncated",
    "empty",
    "swapped",
    "unsealed",
    "gap",
]
S3_FAULTS = ["down", "no such host", "untrusted", "wrong secret", "stranger", "no bucket"]
S3_FAULTS += ["hang", "503", "delete marker"]


@pytest.fixture
def make_s3_fault(
    s3_world: World, gateway: Gateway, fault_proxy: FaultProxy, tls_proxy: Any
) -> Callable[[str, str], Fault]:
    world = s3_world

    def make(kind: str, victim: str) -> Fault:
        if kind == "down":
            return config_fault(world, s3_endpoint=f"http://127.0.0.1:{free_ports()}")
        if kind == "no such host":
            return config_fault(world, s3_endpoint="http://host.invalid")
        if kind == "untrusted":
            return config_fault(world, s3_endpoint=tls_proxy(UNTRUSTED).endpoint)
        if kind == "wrong secret":
            return config_fault(world, s3_secret_access_key="guessed")
        if kind == "stranger":
            stranger = gateway.create_user(f"stranger-{time.monotonic_ns()}")
            return config_fault(
                world,
                s3_access_key_id=stranger.access_key,
                s3_secret_access_key=stranger.secret_key,
            )
        if kind == "no bucket":
            return config_fault(world, repository="s3://no-such-bucket/it")
        faults: dict[str, Any] = {"hang": True}
        if kind == "delete marker":
            marker = "x-amz-delete-marker: true\r\n"
            faults = {"http": 404, "code": "NoSuchKey", "headers": marker}
        elif kind != "hang":
            faults = {"http": int(kind)}
        fault_proxy.set(**faults)
        return config_fault(world, s3_endpoint=fault_proxy.endpoint)

    return make


# --- recovery: every fault stops the server, none promotes it ---------------


def stops_recovery(world: World, fault: Fault, pattern: str) -> None:
    cluster = world.server("recovery.signal", pattern=pattern)
    fault.begin()
    stopped_in_recovery(cluster)
    # And again, as an impatient supervisor would try.
    stopped_in_recovery(cluster)
    fault.mend()
    promoted(cluster, ROWS_2, 3)


@pytest.mark.parametrize("kind", DIR_FAULTS)
def test_recovery_dir(dir_world: World, kind: str) -> None:
    victim = dir_world.segments[4]
    fault = make_dir_fault(kind, dir_world, victim)
    stops_recovery(dir_world, fault, victim)


@pytest.mark.parametrize("kind", S3_FAULTS)
def test_recovery_s3(
    s3_world: World, make_s3_fault: Callable[[str, str], Fault], kind: str
) -> None:
    victim = s3_world.segments[4]
    stops_recovery(s3_world, make_s3_fault(kind, victim), victim)


@pytest.mark.parametrize("kind", ["no root", "wrong key", "unreadable", "corrupt"])
def test_recovery_history_dir(dir_world: World, kind: str) -> None:
    """A history that cannot be had must not hide its timeline."""
    fault = make_dir_fault(kind, dir_world, "00000002.history")
    cluster = dir_world.server("recovery.signal", pattern=HISTORIES)
    fault.begin()
    assert not cluster.try_start()
    assert f"exit code {FATAL}" in cluster.log()
    fault.mend()
    promoted(cluster, ROWS_2, 3)


@pytest.mark.parametrize("kind", ["down", "wrong secret", "no bucket", "delete marker"])
def test_recovery_history_s3(
    s3_world: World, make_s3_fault: Callable[[str, str], Fault], kind: str
) -> None:
    fault = make_s3_fault(kind, "00000002.history")
    cluster = s3_world.server("recovery.signal", pattern=HISTORIES)
    fault.begin()
    assert not cluster.try_start()
    assert f"exit code {FATAL}" in cluster.log()
    fault.mend()
    promoted(cluster, ROWS_2, 3)


def test_recovery_gap_before_a_later_timeline(dir_world: World) -> None:
    """The last segments of timeline 1 are gone; timeline 2 proves they were."""
    for path in sorted(dir_world.wal().glob("0*")):
        if path.name[:24] >= dir_world.segments[5] and "history" not in path.name:
            path.unlink()
    cluster = dir_world.server("recovery.signal")
    stopped_in_recovery(cluster)
    assert "timeline 2 forked off behind it" in cluster.log()


def test_recovery_history_of_newer_wal_lost(dir_world: World) -> None:
    """Nobody can tell where a timeline without its history forked off."""
    dir_world.object("00000002.history").unlink()
    cluster = dir_world.server("recovery.signal")
    stopped_in_recovery(cluster)
    assert "without its history file" in cluster.log()


def test_recovery_ends_where_the_archive_ends(world: World) -> None:
    """Absence, proven, with nothing behind: silent, and the server promotes."""
    world.copy_archive(both=False)
    cluster = world.server("recovery.signal", "--mode=recovery")
    promoted(cluster, ROWS_1, 2)
    assert "wal-fetch" not in cluster.log()
    no_leftovers(cluster.data / "pg_wal")


def test_recovery_follows_the_newer_timeline(dir_world: World) -> None:
    cluster = dir_world.server("recovery.signal")
    promoted(cluster, ROWS_2, 3)


def test_recovery_to_the_old_timeline(dir_world: World) -> None:
    """Timeline 2 forked off in the first segment that timeline 1 lacks."""
    cluster = dir_world.server("recovery.signal")
    cluster.configure({"recovery_target_timeline": "1"})
    promoted(cluster, ROWS_1, 3)


def test_gap_that_closes(dir_world: World) -> None:
    """Parallel pushing makes a segment absent while the next one is there."""
    fault = absence(dir_world.object(dir_world.segments[4]))
    dir_world.keys |= {"fetch_timeout": "2min"}
    write_config(dir_world.good, **dir_world.keys)
    cluster = dir_world.server("recovery.signal")
    fault.begin()
    cluster.start(wait=False)
    calls = dir_world.calls
    wait_for(lambda: dir_world.segments[4] in calls.read_text(), "it is asked for")
    fault.mend()
    cluster.wait_sql("select not pg_is_in_recovery()")
    all_rows(cluster, ROWS_2)
    assert calls.read_text().count(dir_world.segments[4]) == 1


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


def test_mode_says_standby_in_recovery(dir_world: World) -> None:
    """recovery.signal alone tells that a 1 would promote."""
    fault = make_dir_fault("no root", dir_world, dir_world.segments[4])
    cluster = dir_world.server(
        "recovery.signal", "--mode=standby", pattern=dir_world.segments[4]
    )
    fault.begin()
    stopped_in_recovery(cluster)


# --- standby: no fault stops the server -------------------------------------


def keeps_following(world: World, fault: Fault, pattern: str) -> None:
    """The command line even claims a recovery; standby.signal wins."""
    cluster = world.server("standby.signal", "--mode=recovery", pattern=pattern)
    fault.begin()
    cluster.start()
    cluster.wait_sql("select max(n) = 3 from t")
    wait_for(lambda: world.calls.read_text().count(pattern) >= 4, "it asks again")
    assert (cluster.log().count("could not fetch") >= 3) == fault.spoken
    assert cluster.value("select pg_is_in_recovery()")
    assert greatest_row(cluster) == 3
    fault.mend()
    cluster.wait_sql(f"select max(n) = {ROWS_2} from t")
    assert cluster.value("select pg_is_in_recovery()")
    no_leftovers(cluster.data / "pg_wal")
    cluster.promote()
    all_rows(cluster, ROWS_2)


@pytest.mark.parametrize("kind", DIR_FAULTS)
def test_standby_dir(dir_world: World, kind: str) -> None:
    victim = dir_world.segments[4]
    keeps_following(dir_world, make_dir_fault(kind, dir_world, victim), victim)


@pytest.mark.parametrize("kind", S3_FAULTS)
def test_standby_s3(
    s3_world: World, make_s3_fault: Callable[[str, str], Fault], kind: str
) -> None:
    victim = s3_world.segments[4]
    keeps_following(s3_world, make_s3_fault(kind, victim), victim)


@pytest.mark.parametrize("kind", ["no root", "corrupt"])
def test_standby_history(dir_world: World, kind: str) -> None:
    """It stays on timeline 1 as long as the next history cannot be had."""
    fault = make_dir_fault(kind, dir_world, "00000002.history")
    cluster = dir_world.server("standby.signal", pattern=HISTORIES)
    fault.begin()
    cluster.start()
    cluster.wait_sql(f"select max(n) = {ROWS_1} from t")
    since = cluster.log_end()
    cluster.wait_log("could not fetch", since=since)
    assert cluster.value("select pg_is_in_recovery()")
    fault.mend()
    cluster.wait_sql(f"select max(n) = {ROWS_2} from t")
    assert cluster.value("select pg_is_in_recovery()")


def test_standby_signal_added_later(dir_world: World) -> None:
    """A restored server is made a standby; its restore_command still says
    recovery, and was started with the store away."""
    victim = dir_world.segments[4]
    fault = make_dir_fault("no root", dir_world, victim)
    cluster = dir_world.server("recovery.signal", "--mode=recovery", pattern=victim)
    fault.begin()
    stopped_in_recovery(cluster)
    (cluster.data / "standby.signal").touch()
    shutil.chown(cluster.data / "standby.signal", PG_USER, PG_USER)
    cluster.start()
    since = cluster.log_end()
    cluster.wait_log("could not fetch", since=since)
    assert cluster.value("select pg_is_in_recovery()")
    fault.mend()
    cluster.wait_sql(f"select max(n) = {ROWS_2} from t")
    assert cluster.value("select pg_is_in_recovery()")


def test_standby_idles_in_silence(dir_world: World) -> None:
    cluster = dir_world.server("standby.signal").start()
    cluster.wait_sql(f"select max(n) = {ROWS_2} from t")
    before = len(dir_world.calls.read_text())
    wait_for(lambda: len(dir_world.calls.read_text()) > before + 150, "it polls")
    assert "wal-fetch" not in cluster.log()


def test_promotion_in_an_outage(
    s3_world: World, make_s3_fault: Callable[[str, str], Fault]
) -> None:
    """All that it asks for on the way shares one patience."""
    s3_world.keys |= {"fetch_timeout_standby": "4s"}
    write_config(s3_world.good, **s3_world.keys)
    fault = make_s3_fault("down", "")
    cluster = s3_world.server("standby.signal", pattern="*").start()
    cluster.wait_sql(f"select max(n) = {ROWS_2} from t")
    fault.begin()
    cluster.wait_log("could not fetch")
    cluster.promote()
    all_rows(cluster, ROWS_2)
    note = next(s3_world.spool.glob("*/*/outage")).read_text().split()
    # Three times the patience is a history's; each of the calls would have
    # waited that long by itself.
    assert note[0] == "walship-outage-v1"
    assert int(note[2]) < 5 * 12000


# --- the end of recovery ----------------------------------------------------


@pytest.mark.parametrize("mode", ["", "--mode=recovery"])
@pytest.mark.parametrize("kind", ["no root", "corrupt", "no key"])
def test_end_of_recovery(dir_world: World, kind: str, mode: str) -> None:
    """The parent's history is asked for once recovery.signal is gone.

    Anything but 0 or 1 would stop the server, and its next start would be a
    fork: plain crash recovery on the old timeline.
    """
    make_dir_fault(kind, dir_world, "00000002.history")
    cluster = dir_world.server("recovery.signal", mode, pattern=HISTORIES)
    script = dir_world.work_dir / "restore"
    damage = dir_world.work_dir / "damage"
    if kind == "corrupt":
        damage.write_bytes(flip(dir_world.object("00000002.history").read_bytes()))
        shutil.chown(damage, PG_USER, PG_USER)
        action = f"cp {damage} {dir_world.object('00000002.history')}"
    else:
        action = f"touch {dir_world.flag}"
    text = script.read_text()
    script.write_text(text.replace("conf=", f"ls *.signal || {action}\nconf=", 1))
    promoted(cluster, ROWS_2, 3)
    calls = dir_world.calls.read_text().splitlines()
    assert "00000002.history " in calls
    assert "could not fetch" in cluster.log()


# --- shutdown and signals ---------------------------------------------------


@pytest.mark.parametrize("signal_file", ["recovery.signal", "standby.signal"])
def test_shutdown_during_a_fetch(
    s3_world: World, make_s3_fault: Callable[[str, str], Fault], signal_file: str
) -> None:
    """The server is stopped while the store hangs; nothing is promoted."""
    s3_world.keys |= {"fetch_timeout": "10min", "fetch_timeout_standby": "10min"}
    victim = s3_world.segments[4]
    fault = make_s3_fault("hang", victim)
    cluster = s3_world.server(signal_file, pattern=victim)
    fault.begin()
    cluster.start(wait=False)
    wait_for(lambda: victim in s3_world.calls.read_text(), "the victim is asked for")
    cluster.stop("fast")
    state = cluster.controldata()["Database cluster state"]
    assert state in ("shut down in recovery", "in archive recovery")
    assert (cluster.data / signal_file).exists()
    no_leftovers(cluster.data / "pg_wal")
    fault.mend()
    cluster.start()
    cluster.wait_sql(f"select max(n) = {ROWS_2} from t")


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
    """At whatever moment, no part of a file is left."""
    name = s3_world.segments[4] if name == "segment" else name
    data = s3_world.data_dir(signal_file)
    s3_world.keys |= {"fetch_timeout": "10min", "fetch_timeout_standby": "10min"}
    s3_world.bad_config(s3_endpoint=fault_proxy.endpoint)
    fault_proxy.set(delay_ms=300, rate=2000)
    process = subprocess.Popen(
        [s3_world.walship.path("wal-fetch"), f"--config={s3_world.bad}", name, "pg_wal/X"],
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

    fault_proxy.set(rate=2000)
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


# --- the policy, call by call -----------------------------------------------


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
        for signal_file, code in zip(["recovery.signal", "standby.signal", ""], expected):
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
    wrong = [[], ["a"], ["a", "b", "c"], ["--mode=master", "a", "b"], ["--moed=x", "a", "b"]]
    for args in wrong:
        for signal_file, code in [("recovery.signal", FATAL), ("standby.signal", 2), ("", 2)]:
            with signal_present(data, signal_file):
                done = walship.run("wal-fetch", *args, cwd=data)
                assert done.status == code and "--help" in done.err
    with signal_present(data, "recovery.signal"):
        assert dir_world.fetch(data, "RECOVERYXLOG").status == FATAL


# --- requests, deadlines, the shared outage ---------------------------------


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
    # The object, what is behind it, and newer timelines, of which there are none.
    assert requests(absent, "recovery.signal", 1) == ["GET"] * 3
    # The first segment of a timeline carries the old one's number on its first
    # page, and is checked against the history.
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
        s3_endpoint=fault_proxy.endpoint, encryption="none", fetch_timeout_standby="5s"
    )
    fault_proxy.set(rate=1 << 20)
    done = s3_world.fetch(data, name, config=s3_world.bad)
    assert done.status == 0, done.err
    assert (data / "pg_wal/RECOVERYXLOG").read_bytes() == content


def test_broken_transfers_are_resumed(
    s3_world: World, fault_proxy: FaultProxy
) -> None:
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


def test_outage_is_shared(s3_world: World, fault_proxy: FaultProxy) -> None:
    """With its patience spent, a call asks once whether the store is back."""
    data = s3_world.data_dir("standby.signal")
    name = s3_world.segments[4]
    s3_world.bad_config(s3_endpoint=fault_proxy.endpoint, fetch_timeout_standby="1s")
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


def page(system_identifier: int, address: int, timeline: int = 1, **other: int) -> bytes:
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


def test_verification(
    plain: Callable[[str, bytes], Result], archive: Archive
) -> None:
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


def test_pg_rewind(new_cluster: ClusterFactory, world: World) -> None:
    """pg_rewind -c takes what it needs of the old timeline from the archive."""
    world.repo.mkdir(mode=0o700)
    own(world.repo)
    write_config(world.good, **world.keys)
    push = world.walship.command("wal-push", f"--config={world.good}", "%p")
    old = new_cluster(start=False, wal_segsize_mb=1, conf={"wal_log_hints": "on"})
    old.configure({"restore_command": fetch_command(world.walship, world.good)})
    old.archive_with(push)
    old.start()
    old.sql("create table t (n int)")
    heir = new_cluster(create=False)
    old.basebackup(heir.data, "--wal-method=stream")
    (heir.data / "standby.signal").touch()
    shutil.chown(heir.data / "standby.signal", PG_USER, PG_USER)
    heir.configure({"primary_conninfo": old.dsn()})
    heir.start()
    heir.promote()
    heir.sql("insert into t values (1)")
    heir.sql("checkpoint")
    for n in range(10, 16):
        add_row(old, n)
        old.sql("checkpoint")
    old.stop()
    for path in (old.data / "pg_wal").glob("0*"):
        if path.name < old.controldata()["Latest checkpoint's REDO WAL file"]:
            path.unlink()
    done = old.program(
        "pg_rewind",
        "--restore-target-wal",
        f"--target-pgdata={old.data}",
        f"--source-server={heir.dsn()}",
    )
    assert done.status == 0, done.err
    no_leftovers(old.data / "pg_wal")


@pytest.mark.versions
def test_every_version(
    new_cluster: ClusterFactory,
    walship: Programs,
    config: Path,
    work_dir: Path,
) -> None:
    """Archive, recover, go on, follow: the whole way, on either backend."""
    primary = new_cluster(start=False)
    push = walship.command("wal-push", f"--config={config}", "%p")
    primary.archive_with(push)
    primary.start()
    primary.sql("create table t (n int)")
    base = work_dir / "base"
    primary.basebackup(base, "--wal-method=none")
    for n in (1, 2):
        add_row(primary, n)
    primary.stop()
    heir = new_cluster(create=False)
    follower = new_cluster(create=False)
    for cluster, signal_file in ((heir, "recovery"), (follower, "standby")):
        shutil.copytree(base, cluster.data)
        (cluster.data / f"{signal_file}.signal").touch()
        own(cluster.data)
        cluster.configure(
            {
                "restore_command": fetch_command(walship, config),
                "wal_retrieve_retry_interval": "100ms",
            }
        )
    follower.start()
    follower.wait_sql("select max(n) = 2 from t")
    heir.start()
    heir.wait_sql("select not pg_is_in_recovery()")
    for n in (3, 4):
        add_row(heir, n)
    follower.wait_sql("select max(n) = 4 from t")
    assert follower.value("select pg_is_in_recovery()")
    for cluster in (heir, follower):
        all_rows(cluster, 4)
        assert "wal-fetch" not in cluster.log()
