"""wal-fetch fetches ahead: what it offers, what it costs, what a kill leaves.

The store is reached by a proxy alone, which counts.  Without a server no
worker may be started, so single calls fetch ahead within themselves.
"""

from __future__ import annotations

import os
import random
import re
import shutil
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ground.fault import FaultProxy
from ground.host import base_environment, kill_pid, open_files, wait_for
from ground.pg import Cluster
from ground.roots import PG_USER
from ground.walworld import ROWS_2, World, all_rows, flip, own, promoted

TITLE = "wal-fetch: fetching ahead"
BUDGET_MB = 8
SEGMENT = 1 << 20


@pytest.fixture
def ahead(s3_world: World, fault_proxy: FaultProxy) -> World:
    s3_world.keys |= {
        "fetch_ahead": f"{BUDGET_MB}MB",
        "fetch_timeout": "1min",
        "s3_endpoint": fault_proxy.endpoint,
    }
    return s3_world.configure()


def asked(proxy: FaultProxy, what: str = r"/(\w{24})$") -> list[str]:
    """The segments that the store was asked for, in order."""
    found = (re.search(what, request.path) for request in proxy.requests)
    return [match.group(1) for match in found if match]


def ready(world: World) -> dict[str, Path]:
    """The segments in the spool."""
    found = world.spool.glob("*/*/fetch-*/*")
    return {path.name: path for path in found if re.fullmatch(r"\w{24}", path.name)}


def leftovers(world: World) -> list[str]:
    """All that is in the directories for what is fetched ahead, but the lock."""
    return sorted(
        path.name for path in world.spool.glob("*/*/fetch-*/*") if path.name != "lock"
    )


def workers() -> list[int]:
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if path.read_bytes().startswith(TITLE.encode()):
                found.append(int(path.parent.name))
        except OSError:
            continue
    return found


def worker_of(world: World) -> int | None:
    """The one that holds this world's lock: others may run tests as well."""
    spool = str(world.spool)
    for pid in workers():
        if any(name.startswith(spool) for name in open_files(pid).values()):
            return pid
    return None


def no_worker(world: World) -> bool:
    return worker_of(world) is None


def wait_abandoned(world: World) -> None:
    """Nobody is at work in the spool, nor a worker that has no title yet.

    Such a one's parent may end while it is looked for: so twice in a row.
    """
    spool = str(world.spool)

    def at_work() -> bool:
        pids = [int(path.name) for path in Path("/proc").glob("[0-9]*")]
        return any(
            name.startswith(spool) for pid in pids for name in open_files(pid).values()
        )

    wait_for(lambda: not at_work() and not at_work(), "nobody uses the spool")


def hold_worker(world: World, proxy: FaultProxy, **faults: Any) -> None:
    """No worker comes to its end: the last segment does not arrive."""
    proxy.set(hang=True, on=f"{world.segments[ROWS_2]}$", **faults)
    proxy.reset_connections()


def segment(world: World, n: int, timeline: int = 1) -> str:
    """n segments behind the one with row 1."""
    return f"{timeline:08X}{0:08X}{int(world.segments[1][16:], 16) + n:08X}"


def warm(world: World, data: Path) -> None:
    """Two calls that find a segment; the second fetches ahead."""
    assert world.fetch(data, segment(world, 0)).status == 0

    def more() -> bool:
        """A call gives up after two seconds; the same one goes on with it."""
        assert world.fetch(data, segment(world, 1)).status == 0
        paused = next(world.spool.glob("*/*/fetch-*/pause"), None)
        return paused is not None or segment(world, 3) in ready(world)

    wait_for(more, "what lies ahead")


# --- recovery and standby ---------------------------------------------------


@pytest.mark.versions
def test_recovery(ahead: World, fault_proxy: FaultProxy) -> None:
    """Across the switch of timelines, and hardly anything twice on the way."""
    fault_proxy.set(delay_ms=10)
    cluster = ahead.server("recovery.signal")
    promoted(cluster, ROWS_2, 3)
    times = Counter(asked(fault_proxy))
    *before, last, absent = sorted(set(ahead.calls.read_text().split()) & set(times))
    assert len(before) > ROWS_2 - 2
    # A call that comes before the worker has begun with it does the same.
    assert max(times[name] for name in before) <= 2
    assert sum(times[name] for name in before) < 2 * len(before)
    # The server asks for the last one again, and for the first absent one.
    assert times[last] <= 4 and times[absent] <= 4
    beyond = [name for name in times if name > absent]
    # Each thread of a worker may come to one that is not there; a call that
    # found the last one by itself may have started a second worker.
    assert len(beyond) <= 4 and all(times[name] <= 2 for name in beyond)
    wait_abandoned(ahead)
    assert leftovers(ahead) == []


def test_recovery_of_the_first_timeline(ahead: World) -> None:
    """Its end is told by a call that asks the store nothing."""
    cluster = ahead.server("recovery.signal")
    cluster.configure({"recovery_target_timeline": "1"})
    promoted(cluster, 6, 3)
    wait_abandoned(ahead)
    assert leftovers(ahead) == []


@pytest.mark.sigv4
def test_standby(ahead: World, fault_proxy: FaultProxy) -> None:
    """It catches up by a worker, then idles at what its own polls need."""
    cluster = ahead.server("standby.signal").start()
    cluster.wait_sql(f"select max(n) = {ROWS_2} from t")
    # The first that is not there yet is polled for, and the last one with it.
    times = Counter(asked(fault_proxy))
    before = [name for name in times if name < ahead.segments[ROWS_2]]
    assert before and max(times[name] for name in before) <= 20, times
    wait_for(lambda: no_worker(ahead), "the worker ends")
    calls = ahead.calls
    line = len(calls.read_text().splitlines())
    wait_for(lambda: len(calls.read_text().splitlines()) > line + 4, "it polls")
    fault_proxy.forget()
    begun = len(calls.read_text().splitlines())
    wait_for(lambda: len(calls.read_text().splitlines()) > begun + 20, "it polls")
    asks = len(fault_proxy.requests)
    made = len(calls.read_text().splitlines()) - begun
    assert asks <= made + 1
    assert no_worker(ahead)
    cluster.promote()
    all_rows(cluster, ROWS_2)


def test_worker_ends_with_the_server(ahead: World, fault_proxy: FaultProxy) -> None:
    hold_worker(ahead, fault_proxy, delay_ms=60)
    cluster = ahead.server("recovery.signal")
    cluster.start(wait=False)
    wait_for(lambda: worker_of(ahead), "a worker runs")
    cluster.kill9()
    wait_abandoned(ahead)
    assert leftovers(ahead) == []
    fault_proxy.clear()
    promoted(cluster, ROWS_2, 3)


# --- what is offered --------------------------------------------------------


def test_hit(ahead: World, fault_proxy: FaultProxy) -> None:
    """No store, no key, no network library; and the very same bytes."""
    data = ahead.data_dir("recovery.signal")
    warm(ahead, data)
    name = segment(ahead, 3)
    assert name in ready(ahead)
    fault_proxy.set(refuse=True)
    fault_proxy.forget()
    ahead.archive.key.rename(ahead.work_dir / "away")
    try:
        env = {"LD_DEBUG": "files"}
        done = ahead.fetch(data, name, env=env)
    finally:
        (ahead.work_dir / "away").rename(ahead.archive.key)
    assert done.status == 0, done
    assert "libc.so" in done.err and "libcurl" not in done.err
    assert fault_proxy.requests == []
    assert name not in ready(ahead)
    fault_proxy.clear()
    ahead.keys |= {"fetch_ahead": "0MB"}
    ahead.configure().fetch(data, name, path="pg_wal/again").check()
    delivered = data / "pg_wal/RECOVERYXLOG"
    assert delivered.read_bytes() == (data / "pg_wal/again").read_bytes()
    assert delivered.stat().st_mode == (data / "pg_wal/again").stat().st_mode


def test_last_one_is_kept(ahead: World, fault_proxy: FaultProxy) -> None:
    """The server asks for it again at the end of recovery."""
    data = ahead.data_dir("recovery.signal")
    warm(ahead, data)
    last = max(ready(ahead))
    fault_proxy.forget()
    for _ in range(3):
        assert ahead.fetch(data, last).status == 0
    assert fault_proxy.requests == []
    (data / "recovery.signal").unlink()
    assert ahead.fetch(data, "00000001.history").status == 1
    assert leftovers(ahead) == []


def test_spool_elsewhere(ahead: World) -> None:
    """On another file system it is a copy."""
    data = ahead.data_dir("recovery.signal")
    warm(ahead, data)
    name = segment(ahead, 3)
    target = Path(f"/dev/shm/walship-it-{os.getpid()}")
    assert target.parent.stat().st_dev != ahead.spool.stat().st_dev
    try:
        done = ahead.fetch(data, name, path=target)
        assert done.status == 0, done.err
        assert target.stat().st_size == SEGMENT
        assert name not in ready(ahead)
    finally:
        target.unlink(missing_ok=True)


def grow_old(path: Path) -> None:
    then = time.time() - 3700
    os.utime(path, (then, then))


def far_ahead(path: Path) -> None:
    then = time.time() + 3700
    os.utime(path, (then, then))


def shorten(path: Path) -> None:
    os.truncate(path, SEGMENT - 1)


def blank(path: Path) -> None:
    path.write_bytes(bytes(SEGMENT))


def swap(path: Path) -> None:
    other = next(p for p in path.parent.glob("0*") if p != path and p.name[8] == "0")
    path.write_bytes(other.read_bytes())


def give_away(path: Path) -> None:
    shutil.chown(path, "root", "root")
    path.chmod(0o644)


def open_up(path: Path) -> None:
    path.chmod(0o666)


def link(path: Path) -> None:
    os.link(path, path.parents[4] / "other")


def replace_by_link(path: Path) -> None:
    path.unlink()
    path.symlink_to("/etc/passwd")


@pytest.mark.parametrize(
    "change",
    [
        grow_old,
        far_ahead,
        shorten,
        blank,
        swap,
        give_away,
        open_up,
        link,
        replace_by_link,
    ],
)
def test_not_offered(
    ahead: World, fault_proxy: FaultProxy, change: Callable[[Path], None]
) -> None:
    """What is there under a segment's name, and is not what we made."""
    data = ahead.data_dir("recovery.signal")
    warm(ahead, data)
    name = segment(ahead, 3)
    change(ready(ahead)[name])
    fault_proxy.forget()
    done = ahead.fetch(data, name)
    assert done.status == 0, done.err
    assert asked(fault_proxy)[0] == name
    ahead.keys |= {"fetch_ahead": "0MB"}
    ahead.configure().fetch(data, name, path="pg_wal/again").check()
    assert (data / "pg_wal/RECOVERYXLOG").read_bytes() == (
        data / "pg_wal/again"
    ).read_bytes()


@pytest.mark.parametrize("kind", ["world-open", "foreign", "link", "a file", "none"])
def test_spool_that_is_not_ours(ahead: World, kind: str) -> None:
    """It costs the speed, and nothing else."""
    data = ahead.data_dir("recovery.signal")
    if kind == "world-open":
        ahead.spool.chmod(0o777)
    elif kind == "foreign":
        shutil.chown(ahead.spool, "root", "root")
    else:
        ahead.spool.rmdir()
    if kind == "link":
        (ahead.work_dir / "real").mkdir(mode=0o700)
        ahead.spool.symlink_to(own(ahead.work_dir / "real"))
    elif kind == "a file":
        ahead.spool.touch()
    for n in range(4):
        assert ahead.fetch(data, segment(ahead, n)).status == 0
    assert kind in ("a file", "none") or leftovers(ahead) == []


@pytest.mark.parametrize("what", ["repository", "key_file", "s3_endpoint"])
def test_another_repository(ahead: World, fault_proxy: FaultProxy, what: str) -> None:
    """Never out of what another one gave."""
    data = ahead.data_dir("recovery.signal")
    warm(ahead, data)
    name = segment(ahead, 3)
    assert name in ready(ahead)
    other = ahead.work_dir / "key2"
    shutil.copy(ahead.archive.key, other)
    shutil.chown(other, PG_USER, PG_USER)
    ahead.keys[what] = {
        "repository": f"{ahead.keys['repository']}/other",
        "key_file": other,
        "s3_endpoint": ahead.keys["s3_endpoint"].replace("127.0.0.1", "localhost"),
    }[what]
    fault_proxy.forget()
    code = ahead.configure().fetch(data, name).status
    assert code == (1 if what == "repository" else 0)
    assert asked(fault_proxy)[0] == name
    assert name in ready(ahead)


# --- who does not fetch ahead -----------------------------------------------


@pytest.mark.parametrize(
    "signal_file, options, expected",
    [
        ("recovery.signal", [], True),
        ("standby.signal", [], True),
        ("", [], False),
        ("", ["--mode=recovery"], False),
        ("", ["--mode=standby"], False),
    ],
)
def test_who_fetches_ahead(
    ahead: World, signal_file: str, options: list[str], expected: bool
) -> None:
    """Without a signal file it may be pg_rewind, which reads backwards."""
    data = ahead.data_dir(signal_file)
    for n in range(3):
        assert ahead.fetch(data, segment(ahead, n), *options).status == 0
    assert bool(ready(ahead)) == expected


@pytest.mark.sigv4
def test_following_standby_does_not(ahead: World, fault_proxy: FaultProxy) -> None:
    """One segment at a time, and a miss between: nothing lies ahead."""
    data = ahead.data_dir("standby.signal")
    absent = segment(ahead, 100)
    for n in range(4):
        assert ahead.fetch(data, segment(ahead, n)).status == 0
        assert ahead.fetch(data, absent).status == 1
    assert len(fault_proxy.requests) == 8
    # Not even where two came at once: only then may there be more.
    for n in (4, 5):
        assert ahead.fetch(data, segment(ahead, n)).status == 0
    assert len(fault_proxy.requests) == 10
    assert ready(ahead) == {}


def test_not_after_a_failure(ahead: World, fault_proxy: FaultProxy) -> None:
    """What lies ahead cannot be had: it is let be for a while."""
    data = ahead.data_dir("recovery.signal")
    assert ahead.bucket
    for n in range(2, 5):
        key = ahead.key(segment(ahead, n))
        ahead.bucket.replace(key, flip(ahead.bucket.get(key)))
    warm(ahead, data)
    assert ready(ahead).keys() <= {segment(ahead, n) for n in range(5, 10)}
    for path in ready(ahead).values():
        path.unlink()
    fault_proxy.forget()
    assert ahead.fetch(data, segment(ahead, 1)).status == 0
    assert asked(fault_proxy) == [segment(ahead, 1)]
    pause = next(ahead.spool.glob("*/*/fetch-*/pause"))
    grow_old(pause)
    assert ahead.fetch(data, segment(ahead, 1)).status == 0
    assert len(asked(fault_proxy)) > 2


# --- the budget, and what comes ---------------------------------------------


def test_budget(ahead: World, fault_proxy: FaultProxy) -> None:
    """The server is held up: the spool fills up to the budget, no further."""
    ahead.keys |= {"fetch_ahead": "3MB"}
    ahead.configure()
    cluster = ahead.server("recovery.signal")
    cluster.configure(
        {
            "recovery_target_lsn": "0/900100",
            "recovery_target_action": "pause",
            # Else the server itself reads on.
            "recovery_prefetch": "off",
        }
    )
    cluster.start()
    cluster.wait_sql("select pg_get_wal_replay_pause_state() = 'paused'")

    def full() -> bool:
        """Of those behind the last one that the server asked for."""
        names = re.findall(r"^\w{24}(?= )", ahead.calls.read_text(), re.M)
        at = int(names[-1][8:], 16)
        found = sorted(name[8:] for name in ready(ahead))
        return found == [f"{at + n:016X}" for n in (1, 2, 3)]

    wait_for(full, "the spool is full")
    before = len(fault_proxy.requests)
    time.sleep(1)
    assert len(fault_proxy.requests) == before and len(ready(ahead)) == 3
    assert worker_of(ahead)
    cluster.sql("select pg_wal_replay_resume()")
    cluster.wait_sql("select not pg_is_in_recovery()")
    wait_abandoned(ahead)
    assert leftovers(ahead) == []


def test_call_waits_for_what_comes(ahead: World, fault_proxy: FaultProxy) -> None:
    """A slow store: each segment crosses the wire once."""
    fault_proxy.set(delay_ms=80)
    cluster = ahead.server("recovery.signal")
    promoted(cluster, ROWS_2, 3)
    times = Counter(asked(fault_proxy))
    whole = [n for n in times if ahead.object(n).exists() and n < max(times)]
    # But for the first of them; and the last one is asked for again.
    assert sum(times[n] == 1 for n in whole) >= len(whole) // 2, times


# --- kills ------------------------------------------------------------------


def true_content(world: World) -> dict[str, bytes]:
    keys = {**world.keys, "fetch_ahead": "0MB"}
    data = world.data_dir()
    world.bad_config(**keys)
    found = {}
    for path in sorted(world.repo.glob("*/wal/*/0*")):
        if re.fullmatch(r"\w{24}", path.name):
            done = world.fetch(data, path.name, config=world.bad)
            assert done.status == 0, done.err
            found[path.name] = (data / "pg_wal/RECOVERYXLOG").read_bytes()
    return found


def test_killed_worker_leaves_no_lie(ahead: World, fault_proxy: FaultProxy) -> None:
    """At any moment; whatever has a segment's name is that segment."""
    rng = random.Random(4)
    content = true_content(ahead)
    hold_worker(ahead, fault_proxy, delay_ms=40)
    cluster = ahead.server("standby.signal")
    for _ in range(3):
        cluster.start(wait=False)
        pid = wait_for(lambda: worker_of(ahead), "a worker runs")
        time.sleep(rng.random() * 0.3)
        kill_pid(pid, signal.SIGKILL)
        cluster.kill9()
        for name, path in ready(ahead).items():
            try:
                assert path.read_bytes() == content[name], name
            except FileNotFoundError:
                continue
    fault_proxy.clear()
    cluster.start()
    cluster.wait_sql(f"select max(n) = {ROWS_2} from t")
    all_rows(cluster, ROWS_2)
