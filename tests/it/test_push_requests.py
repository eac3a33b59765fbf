"""Which requests wal-push makes, when it works ahead and when it may not."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ground.archiver import SEGMENTS, Archiver, copy_datadir, damaged
from ground.fault import FaultProxy
from ground.host import wait_for
from ground.programs import Programs, change_config
from ground.pushqueue import Queue
from ground.s3client import Bucket

FIRST, SECOND, THIRD, FOURTH = SEGMENTS

pytestmark = pytest.mark.sigv4


@pytest.fixture
def queue(
    walship: Programs,
    dead_server: Callable[..., Path],
    work_dir: Path,
    s3_config: Path,
    spool_dir: Path,
    fault_proxy: FaultProxy,
) -> Iterator[Queue]:
    """Its way to the store leads through fault_proxy."""
    change_config(s3_config, s3_endpoint=fault_proxy.endpoint)
    data = copy_datadir(dead_server(), work_dir / "data")
    made = Queue(Archiver(walship, s3_config, data), spool_dir)
    yield made
    made.stop()


def asked(fault_proxy: FaultProxy) -> list[str]:
    """What it was asked since the last time."""
    made = [request.method for request in fault_proxy.requests]
    fault_proxy.forget()
    return made


def test_history_first(queue: Queue, fault_proxy: FaultProxy) -> None:
    """As the archiver asks: a standby must not miss a new timeline."""
    history = "00000002.history"
    queue.archiver.write(history, b"1\t0/A000000\tno recovery target specified\n")
    queue.push(FOURTH).check()
    queue.stop()
    fault_proxy.forget()
    fault_proxy.set(delay_ms=250)
    queue.age()
    queue.fill(FIRST, SECOND, THIRD, history)
    puts = fault_proxy.requests
    paths = [request.path for request in puts]
    assert paths[0].endswith(history), paths
    assert len(puts) == 4, paths
    # Nothing else goes until it is stored.
    assert puts[1].at - puts[0].at > 0.5, paths


def test_one_request_each(queue: Queue, fault_proxy: FaultProxy) -> None:
    """And two to find out, in the first call of all."""
    queue.fill(FIRST, SECOND, THIRD)
    for name in (SECOND, THIRD):
        queue.push(name).check()
    assert asked(fault_proxy) == 5 * ["PUT"]
    queue.stop()
    queue.push(FOURTH).check()
    assert asked(fault_proxy) == ["PUT"]


NEITHER: dict[str, dict[str, Any]] = {
    "ignores": {},  # as this gateway does in a versioned bucket
    "refuses": {"http": 501, "conditional": True, "headers": ""},
}


@pytest.mark.parametrize("how", NEITHER)
def test_store_without_conditions(
    queue: Queue, fault_proxy: FaultProxy, bucket: Bucket, how: str
) -> None:
    """Found out once; then each put looks first, and nothing is overwritten.

    A listing agrees that what HEAD does not find is absent.
    """
    if how == "ignores":
        bucket.enable_versioning()
    fault_proxy.set(**NEITHER[how])
    archiver = queue.archiver
    archiver.push(FIRST).check()
    looks_first = ["HEAD", "GET", "PUT"]
    begun = asked(fault_proxy)
    assert begun[0] == "PUT" and begun[-3:] == looks_first, begun
    archiver.push(SECOND).check()
    assert asked(fault_proxy) == looks_first
    queue.age()
    queue.fill(THIRD, FOURTH)
    assert sorted(asked(fault_proxy)) == sorted(2 * looks_first)
    whole = archiver.segment(2)
    archiver.write(SECOND, damaged(whole, 5000))
    done = archiver.push(SECOND)
    assert done.status == 1 and "differs from object" in done.err
    assert asked(fault_proxy) == ["HEAD", "GET"]
    # Where nothing can be remembered, each call finds out.
    done = archiver.push(SECOND, "--set=spool=/nonexistent")
    assert done.status == 1 and "differs from object" in done.err
    assert archiver.fetch(SECOND) == whole


def test_failure_is_not_multiplied(queue: Queue, fault_proxy: FaultProxy) -> None:
    """In an outage a call makes one request, until one of them succeeds."""
    queue.push(FOURTH).check()
    queue.ready(*SEGMENTS)
    fault_proxy.set(http=403, code="ExpiredToken", headers="")
    fault_proxy.reset_connections()
    for number in range(3):
        fault_proxy.forget()
        assert queue.push(FIRST).status == 1
        wait_for(lambda: not queue.workers(), "end of the worker")
        if number > 0:
            assert asked(fault_proxy) == ["PUT"]
    assert not queue.markers()
    fault_proxy.clear()
    fault_proxy.reset_connections()
    queue.push(FIRST).check()
    assert not queue.markers()
    queue.push(SECOND).check()
    wait_for(lambda: THIRD in {path.name for path in queue.markers()}, "a marker")
