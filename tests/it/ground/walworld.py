"""A WAL archive with two timelines, copies of it, and what can befall them.

For tests that recover or follow from an archive through a fault.  The archive
has a base backup on timeline 1, rows 1 to 6 of table t in a segment each, a
promotion, and rows 7 to 9 on timeline 2.  A fault befalls one file:
restore_command takes another configuration for it, or the object is damaged.
"""

from __future__ import annotations

import contextlib
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .fault import FaultProxy
from .host import Result, free_ports
from .objects import KIND_WAL, Identity, cut, make_object
from .pg import Cluster, ClusterFactory
from .programs import Programs, write_config
from .roots import PG_USER
from .s3 import Gateway
from .s3client import Bucket
from .tls import UNTRUSTED, TlsProxy

FATAL = 200
ROWS_1, ROWS_2 = 6, 9
TIMEOUTS = {"fetch_timeout": "2s", "fetch_timeout_standby": "500ms"}
# A sound store over a network may be slow where much else runs.
PATIENT = {"fetch_timeout": "1min", "fetch_timeout_standby": "1min"}
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


@contextlib.contextmanager
def made_archive(home: Path, walship: Programs, version: int) -> Iterator[Archive]:
    """Made in home, which is gone afterwards."""
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
    primary = Cluster(version, home / "p")
    heir = Cluster(version, home / "r")
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
            # What one call finds must not hang on what was found before it.
            "fetch_ahead": "0MB",
            **TIMEOUTS,
        }
        self.impatience = dict(TIMEOUTS)  # with a store in trouble
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
        return self.configure()

    def configure(self) -> World:
        """Writes the good configuration, after a change of keys."""
        write_config(self.good, **self.keys)
        return self

    def upload(self, bucket: Bucket, gateway: Gateway, signature: str) -> World:
        """The same archive in a bucket: any tool may copy a repository."""
        self.copy_archive()
        self.bucket = bucket
        for path in self.repo.rglob("*"):
            if path.is_file():
                bucket.put(f"it/{path.relative_to(self.repo)}", path.read_bytes())
        self.keys |= {
            **PATIENT,
            "repository": f"s3://{bucket.name}/it",
            "s3_endpoint": gateway.endpoint,
            "s3_region": gateway.region,
            "s3_addressing": "path",
            "s3_signature": signature,
            "s3_access_key_id": gateway.credentials.access_key,
            "s3_secret_access_key": gateway.credentials.secret_key,
        }
        return self.configure()

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
        # Another server may be running it: a new file takes its name.
        draft = self.work_dir / "restore.new"
        draft.write_text(
            "#!/bin/sh\n"
            f"conf={self.good}\n"
            f"case $1 in {pattern}) [ ! -e {self.flag} ] || conf={self.bad};; esac\n"
            f'echo "$1 $(ls *.signal 2>/dev/null)" >>{self.calls}\n'
            f"exec {self.walship.path('wal-fetch')} --config=$conf {' '.join(options)} "
            '"$@"\n',
            encoding="utf-8",
        )
        draft.chmod(0o755)
        draft.replace(script)
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


# --- how a server took it ---------------------------------------------------


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
S3_FAULTS = [
    "down",
    "no such host",
    "untrusted",
    "wrong secret",
    "stranger",
    "no bucket",
]
S3_FAULTS += ["hang", "503", "delete marker", "expired"]


@dataclass
class Fault:
    """What goes wrong, how it is mended, and whether the server hears of it."""

    begin: Callable[[], object]
    mend: Callable[[], object]
    spoken: bool = True


def config_fault(world: World, **keys: Any) -> Fault:
    world.bad_config(**world.impatience, **keys)
    return Fault(world.flag.touch, world.flag.unlink)


def object_fault(path: Path, change: Callable[[bytes], bytes]) -> Fault:
    sound = path.read_bytes()
    return Fault(
        lambda: path.write_bytes(change(sound)), lambda: path.write_bytes(sound)
    )


def absence(path: Path) -> Fault:
    away = path.with_name(f".away-{path.name}")
    return Fault(lambda: path.rename(away), lambda: away.rename(path), spoken=False)


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
        neighbour = world.object(world.segments[2]).read_bytes()
        return object_fault(path, lambda whole: neighbour)
    if kind == "unsealed":
        name = f"wal/{victim[:8]}/{victim}"
        plain = unsealed(name, world.archive.system_identifier, bytes(1 << 20))
        return object_fault(path, lambda whole: plain)
    assert kind == "gap", kind
    return absence(path)


def unsealed(name: str, system_identifier: int, content: bytes) -> bytes:
    """An object without encryption."""
    identity = Identity(KIND_WAL, system_identifier, name)
    return b"".join(make_object(identity, cut(content), None))


def make_s3_fault(
    kind: str,
    world: World,
    gateway: Gateway,
    fault_proxy: FaultProxy,
    tls_proxy: Callable[[str], TlsProxy],
) -> Fault:
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
    elif kind == "expired":
        faults = {"http": 400, "code": "ExpiredToken", "headers": ""}
    elif kind != "hang":
        faults = {"http": int(kind)}
    fault_proxy.set(**faults)
    return config_fault(world, s3_endpoint=fault_proxy.endpoint)
