"""wal-push in a server whose store is in trouble.

Each fault ends in time, is counted, is explained by one line in the server's
log, and archiving goes on by itself when it is gone.
"""

from __future__ import annotations

import contextlib
import email.utils
import os
import pwd
import re
import shutil
import socket
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from ground.fault import FaultProxy
from ground.host import run, unmount, wait_for
from ground.pg import Cluster
from ground.programs import Programs
from ground.pushsite import PushSite, processes, s3_keys
from ground.roots import PG_USER, host_version
from ground.s3 import Gateway
from ground.s3client import Bucket

OUT_OF_TIME = "the time allowed for it has passed"


@dataclass(frozen=True)
class World:
    site: PushSite
    gateway: Gateway
    bucket: Bucket
    proxy: FaultProxy


@pytest.fixture(scope="module")
def world(walship: Programs, gateway: Gateway, run_dir: Path) -> Iterator[World]:
    """A server that archives into a bucket, through a proxy."""
    bucket = gateway.create_bucket()
    proxy = FaultProxy(gateway.port)
    cluster = Cluster(host_version(), run_dir / "pf")
    try:
        cluster.initdb(
            wal_segsize_mb=1,
            conf={"wal_keep_size": "1GB"},
            templates=run_dir / "templates",
        )
        # A worker would go on with the settings that it was started with.
        keys = {**s3_keys(gateway, bucket, proxy.endpoint), "push_workers": 1}
        site = PushSite(walship, cluster, keys)
        cluster.start()
        # What is found out once is no request of any test's.
        cluster.wait_archived(cluster.switch_wal())
        yield World(site, gateway, bucket, proxy)
    finally:
        cluster.close()
        proxy.stop()
        gateway.delete_bucket(bucket)
        shutil.rmtree(cluster.home)


@dataclass(frozen=True)
class Fault:
    """What befalls the store, and what the log must say of it."""

    words: tuple[str | tuple[str, ...], ...]  # all, or one of each inner tuple
    proxy: Mapping[str, Any] = field(default_factory=dict)
    keys: Mapping[str, Any] = field(default_factory=dict)
    env: Mapping[str, str] = field(default_factory=dict)
    store: str = ""


def refusal(code: str, *words: str) -> Fault:
    return Fault((f"HTTP 403 {code}", *words), proxy={"http": 403, "code": code})


def clock(offset: str, *words: str) -> Fault:
    # Some only preload, and ASan's library wants to be the first.
    asan = os.environ.get("ASAN_OPTIONS", "") + ":verify_asan_link_order=0"
    (library,) = Path("/usr/lib").glob("*/faketime/libfaketime.so.1")
    env = {
        "LD_PRELOAD": str(library),
        "FAKETIME": offset,
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "ASAN_OPTIONS": asan.lstrip(":"),
    }
    return Fault(words, env=env)


# For those that end with the time; an answer needs some to come.
SOON = {"push_timeout": "500ms"}

FAULTS = {
    "refused": Fault(("onnect",), keys={"s3_endpoint": "http://127.0.0.1:1"}),
    # It may come before libcurl has seen the connection.
    "reset": Fault(
        ("could not put", ("reset", "Couldn't connect")), proxy={"refuse": True}
    ),
    "reset-in-body": Fault(("could not put",), proxy={"cut_up": 2000}),
    "reset-in-answer": Fault(("could not put",), proxy={"cut_down": 10}),
    "connect": Fault(
        ("no connection within 200 ms",),
        store="deaf",
        keys={"connect_timeout": "200ms", "push_timeout": "2s"},
    ),
    "stall": Fault(
        ("no byte moved for 1000 ms",),
        proxy={"hang": True},
        keys={"stall_timeout": "1s", "push_timeout": "5s"},
    ),
    "hang": Fault((OUT_OF_TIME,), store="paused", keys=SOON),
    # Ceph makes writers wait, and in the end takes no connection any more.
    "full": Fault(((OUT_OF_TIME, "no connection within"),), store="full", keys=SOON),
    "slow": Fault((OUT_OF_TIME,), proxy={"rate": 1000}, keys=SOON),
    "quota": Fault(("QuotaExceeded", "quota of"), store="quota"),
    "500": Fault(("HTTP 500 InternalError",), proxy={"http": 500}),
    "503": Fault(("HTTP 503 SlowDown",), proxy={"http": 503}),
    "429": Fault(("HTTP 429 TooMany",), proxy={"http": 429}),
    "409": Fault(("HTTP 409 Conditional",), proxy={"http": 409}),
    "wait-an-hour": Fault(
        ("HTTP 503 SlowDown",),
        proxy={"http": 503, "headers": "Retry-After: 3600\r\n"},
    ),
    "token-expired": refusal("ExpiredToken", "get new ones"),
    "clock-refused": refusal("RequestTimeTooSkewed", "clock"),
    "no-permission": refusal("AccessDenied", "s3:PutObject"),
    "key-unknown": Fault(
        ("InvalidAccessKeyId",), keys={"s3_access_key_id": "EXPIRED"}
    ),
    "secret-wrong": Fault(
        ("SignatureDoesNotMatch",), keys={"s3_secret_access_key": "wrong"}
    ),
    "no-bucket": Fault(("NoSuchBucket",), keys={"repository": "s3://none/it"}),
    "clock-ahead": clock("+20m", "RequestTimeTooSkewed", "ahead of the store's"),
    "clock-behind": clock("-20m", "RequestTimeTooSkewed", "behind the store's"),
}


@contextlib.contextmanager
def deaf_port() -> Iterator[int]:
    """A port that lets no connection come about: its queue is full."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(4):
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
        yield listener.getsockname()[1]


@contextlib.contextmanager
def store_trouble(world: World, kind: str) -> Iterator[dict[str, str]]:
    """Trouble that is the store's own; what must be set for it."""
    gateway, keys = world.gateway, {}
    with contextlib.ExitStack() as stack:
        if kind == "deaf":
            port = stack.enter_context(deaf_port())
            keys["s3_endpoint"] = f"http://127.0.0.1:{port}"
        elif kind == "paused":
            gateway.pause_gateway()
            stack.callback(gateway.resume_gateway)
        elif kind == "full":
            gateway.fill(True)
            stack.callback(gateway.fill, False)
        elif kind == "quota":
            gateway.limit(world.bucket, 0)
            stack.callback(gateway.limit, world.bucket, None)
        yield keys


@contextlib.contextmanager
def befallen(world: World, fault: Fault) -> Iterator[None]:
    with store_trouble(world, fault.store) as keys:
        keys = {"push_timeout": "2s", **keys, **fault.keys}
        world.site.configure(keys, fault.env)
        world.proxy.set(**fault.proxy)
        world.proxy.reset_connections()
        yield
    world.site.configure()
    world.proxy.clear()
    world.proxy.reset_connections()


def assert_archived(world: World, segment: str) -> None:
    cluster = world.site.cluster
    cluster.wait_archived(segment, deadline_s=300)
    kept = (cluster.data / "pg_wal" / segment).read_bytes()
    assert world.site.archiver().fetch(segment) == kept


def explains(fault: Fault, line: str) -> bool:
    each = ((word,) if isinstance(word, str) else word for word in fault.words)
    return all(any(way in line for way in ways) for ways in each)


def assert_explained(
    world: World, fault: Fault, since: int, failed: int, during: str
) -> list[str]:
    """One line for each failure, which says what and why.

    The lines during the fault are of it; a call that saw its end may fail by
    that.
    """
    site = world.site
    said = site.said(since)
    assert len(said) == site.stat("failed_count") - failed
    assert any(line in during for line in said)
    for line in said:
        assert line.startswith("wal-push: ERROR: "), line
        assert explains(fault, line) or line not in during, line
        assert world.gateway.credentials.secret_key not in line
    codes = re.findall(r"failed with exit code (\d+)", site.cluster.log(since))
    assert len(codes) == len(said) and set(codes) <= {"1", "2"}, codes
    return said


@pytest.mark.parametrize("name", FAULTS)
def test_fault(world: World, name: str) -> None:
    """Counted, explained, over."""
    fault, site = FAULTS[name], world.site
    since, failed = site.cluster.log_end(), site.stat("failed_count")
    with befallen(world, fault):
        segment = site.cluster.switch_wal()
        site.wait_failure(failed)
        assert not site.archived(segment)
        during = site.cluster.log(since)
    # An idle server's archiver may pause for up to a minute.
    last = site.cluster.switch_wal()
    assert_archived(world, segment)
    said = assert_explained(world, fault, since, failed, during)
    assert all(segment in line for line in said)
    query = "select last_failed_wal from pg_stat_archiver"
    assert site.cluster.value(query) == segment
    site.cluster.wait_archived(last)


AHEAD = ("reset", "reset-in-body", "hang", "503", "token-expired", "key-unknown")


@pytest.mark.parametrize("name", AHEAD)
def test_fault_ahead(world: World, name: str) -> None:
    """A worker says nothing; the call for what it could not store does."""
    fault, site = FAULTS[name], world.site
    data = site.cluster.data
    wait_for(lambda: not processes(data, worker=True), "no worker runs")
    since, failed = site.cluster.log_end(), site.stat("failed_count")
    ahead = replace(fault, keys={**fault.keys, "push_workers": 4})
    with befallen(world, ahead):
        segments = [site.cluster.switch_wal() for _ in range(4)]
        site.wait_failure(failed)
        assert not site.archived(segments[0])
        during = site.cluster.log(since)
    last = site.cluster.switch_wal()
    for segment in segments:
        assert_archived(world, segment)
    assert_explained(world, fault, since, failed, during)
    site.cluster.wait_archived(last)


# --- what passes unnoticed --------------------------------------------------


PASSING: dict[str, dict[str, Any]] = {
    "answer-lost": {"eat": True, "on": "^PUT", "first": 1},
    "answer-never-sent": {"eat": True, "mute": True, "on": "^PUT", "first": 1},
    "reset-in-body": {"cut_up": 2000, "first": 1},
    "conflict": {"http": 409, "early": True, "first": 3, "headers": ""},
    "not-implemented": {"http": 501, "conditional": True, "headers": ""},
}


@pytest.mark.parametrize("name", PASSING)
def test_passing_fault(world: World, name: str) -> None:
    """The server does not even notice; what an answer hid is looked up."""
    site = world.site
    since, failed = site.cluster.log_end(), site.stat("failed_count")
    if "mute" in PASSING[name]:
        site.configure({"stall_timeout": "1s"})
    world.proxy.set(**PASSING[name])
    world.proxy.reset_connections()
    world.proxy.forget()
    segment = site.cluster.switch_wal()
    site.cluster.wait_archived(segment)
    asked = [r.method for r in world.proxy.requests if r.path.endswith(f"/{segment}")]
    assert len(asked) > 1 and asked[0] == "PUT"
    assert ("GET" in asked) == ("answer" in name)
    world.proxy.clear()
    site.configure()
    assert_archived(world, segment)
    assert site.said(since) == []
    assert site.stat("failed_count") == failed


@pytest.mark.parametrize("code", [429, 503])
@pytest.mark.parametrize("form", ["seconds", "date"])
def test_retry_after(world: World, code: int, form: str) -> None:
    """The store says when; a date has whole seconds."""
    site = world.site
    failed = site.stat("failed_count")
    until = int(time.time()) + 4
    value = "2" if form == "seconds" else email.utils.formatdate(until, usegmt=True)
    headers = f"Retry-After: {value}\r\n"
    world.proxy.set(http=code, early=True, first=1, headers=headers)
    world.proxy.reset_connections()
    world.proxy.forget()
    segment = site.cluster.switch_wal()
    assert_archived(world, segment)
    puts = [r.at for r in world.proxy.requests if r.method == "PUT"]
    assert len(puts) == 2
    if form == "seconds":
        assert puts[1] - puts[0] >= 2
    else:
        assert puts[1] + time.time() - time.monotonic() >= until
    assert site.stat("failed_count") == failed


@pytest.mark.soak
def test_retry_after_an_hour(world: World) -> None:
    """Nobody waits that long while there is time for more tries."""
    headers = "Retry-After: 3600\r\n"
    world.proxy.set(http=503, early=True, first=1, headers=headers)
    world.proxy.reset_connections()
    world.proxy.forget()
    segment = world.site.cluster.switch_wal()
    assert_archived(world, segment)
    puts = [r.at for r in world.proxy.requests if r.method == "PUT"]
    assert len(puts) == 2
    assert 9 < puts[1] - puts[0] < 60


# --- a directory ------------------------------------------------------------


@pytest.fixture
def small_fs(work_dir: Path) -> Iterator[Path]:
    """A file system of 2 MB."""
    path = work_dir / "small"
    path.mkdir()
    owner = pwd.getpwnam(PG_USER)
    options = f"size=2m,mode=0700,uid={owner.pw_uid},gid={owner.pw_gid}"
    run(["mount", "-t", "tmpfs", "-o", options, "small", path]).check()
    yield path
    unmount(path)


def test_directory_full(
    small_fs: Path, walship: Programs, run_dir: Path, work_dir: Path
) -> None:
    """Nothing half-written is left behind or taken for good."""
    cluster = Cluster(host_version(), work_dir / "pg0")
    try:
        cluster.initdb(wal_segsize_mb=1, templates=run_dir / "templates")
        keys = {"repository": f"file://{small_fs}", "encryption": "none"}
        site = PushSite(walship, cluster, keys)
        cluster.start()
        ballast = small_fs / "ballast"
        with contextlib.suppress(OSError):
            with open(ballast, "wb", buffering=0) as file:
                while file.write(bytes(4096)):
                    pass
        since = cluster.log_end()
        segment = cluster.switch_wal()
        site.wait_failure(0)
        ballast.unlink()
        cluster.wait_archived(segment, deadline_s=300)
        said = site.said(since)
        assert len(said) == site.stat("failed_count")
        for line in said:
            assert segment in line and "No space left on device" in line
        found = [path for path in small_fs.rglob("*") if path.is_file()]
        assert [path.name for path in found] == [segment]
        fetched = site.archiver().fetch(segment)
        assert fetched == (cluster.data / "pg_wal" / segment).read_bytes()
    finally:
        cluster.close()
