"""The worker that wal-push leaves behind, on real servers."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import psycopg2
import pytest

from ground.archiver import SEGMENTS, Archiver
from ground.fault import FaultProxy
from ground.host import (
    at_work_in,
    base_environment,
    children_of,
    kill_pid,
    open_files,
    wait_for,
)
from ground.pg import Cluster, ClusterFactory
from ground.programs import Programs
from ground.pushqueue import Queue, command_lines, workers_of
from ground.pushsite import PushSite, s3_keys
from ground.roots import PG_USER
from ground.s3 import Gateway
from ground.s3client import Bucket

FIRST, SECOND, THIRD, FOURTH = SEGMENTS
BOOT_ID = "/proc/sys/kernel/random/boot_id"  # opened for each marker
SWITCHES = """
do $$ begin
  for i in 1 .. 40 loop
    perform pg_logical_emit_message(true, 'x', 'y');
    perform pg_switch_wal();
  end loop;
end $$"""


def ready(cluster: Cluster) -> list[str]:
    names = (cluster.data / "pg_wal/archive_status").glob("*.ready")
    return sorted(path.stem for path in names)


def write_backlog(cluster: Cluster, count: int) -> None:
    """Segments that wait, since nothing is archived yet."""
    cluster.sql("create table if not exists t (i int)")
    while len(ready(cluster)) < count:
        cluster.sql("insert into t values (1)")
        cluster.switch_wal()


def prepare(
    new_cluster: ClusterFactory,
    walship: Programs,
    keys: dict[str, object],
    segments: int = 12,
) -> tuple[Cluster, PushSite]:
    """A cluster with a backlog; archiving starts with reload()."""
    conf = {"wal_keep_size": "1GB"}
    cluster = new_cluster(start=False, wal_segsize_mb=1, conf=conf)
    site = PushSite(walship, cluster, keys)
    command = "archive_command"
    cluster.start(options=f"-c {command}=false")
    write_backlog(cluster, segments)
    return cluster, site


def begin(cluster: Cluster) -> None:
    """The command line's setting wins over the file's: start without it."""
    cluster.restart("immediate")


def wait_archived(cluster: Cluster) -> None:
    # Behind three failures the archiver pauses for a minute.
    wait_for(lambda: not ready(cluster), "an empty queue", deadline_s=300)


def wait_worker(data: Path) -> int:
    return wait_for(lambda: workers_of(data), "a worker", interval_s=0.005)[0]


def wait_gone(pid: int) -> None:
    """Not even a zombie, as far as it is ours to say: its parent is init."""

    def gone() -> bool:
        try:
            stat = Path(f"/proc/{pid}/stat").read_text()
        except OSError:
            return True
        return stat.rpartition(")")[2].split()[0] == "Z"

    wait_for(gone, "the end of a worker")


def wait_nobody(data: Path) -> None:
    """Nor another one, which was started just before the server's end."""
    wait_for(lambda: not at_work_in(data), "nobody works there")


def all_stored(cluster: Cluster, site: PushSite, walship: Programs) -> None:
    archiver = Archiver(walship, site.config, cluster.data)
    done = sorted((cluster.data / "pg_wal/archive_status").glob("*.done"))
    for path in done:
        stored = archiver.fetch(path.stem)
        assert stored == (cluster.data / "pg_wal" / path.stem).read_bytes()


# --- what it is -------------------------------------------------------------------


@pytest.mark.versions
def test_worker_process(
    new_cluster: ClusterFactory, walship: Programs, repo_dir: Path
) -> None:
    """Its own session, nothing inherited, a title; and it does the work."""
    cluster, site = prepare(
        new_cluster, walship, {"repository": f"file://{repo_dir}"}
    )
    with open(cluster.home / "environment", "a", encoding="ascii") as file:
        file.write("exec 9</etc/hostname\n")
    begin(cluster)
    pid = wait_worker(cluster.data)
    proc = Path(f"/proc/{pid}")
    stat = (proc / "stat").read_text().rpartition(")")[2].split()
    parent, group, session = (int(word) for word in stat[1:4])
    postmaster = cluster.pid()
    assert postmaster and parent != postmaster and session not in (pid, postmaster)
    assert group == session
    assert os.readlink(proc / "cwd").endswith(str(cluster.data))
    opened = open_files(pid)
    assert all(opened[fd].endswith("/dev/null") for fd in (0, 1, 2))
    ours = (str(site.spool), str(cluster.data), str(repo_dir), "/dev/null", BOOT_ID)
    assert all(any(own in path for own in ours) for path in opened.values()), opened
    assert len(workers_of(cluster.data)) == 1
    wait_archived(cluster)
    assert site.stat("failed_count") == 0
    assert "wal-push" not in cluster.log().replace("parameter", "")
    wait_gone(pid)
    all_stored(cluster, site, walship)
    # Nothing is left but the lock: every marker was answered.
    cluster.wait_archived(cluster.switch_wal())


def test_one_for_each_cluster(
    new_cluster: ClusterFactory, walship: Programs, repo_dir: Path
) -> None:
    pairs = [
        prepare(new_cluster, walship, {"repository": f"file://{repo_dir}"}, 30)
        for _ in range(2)
    ]
    for cluster, _ in pairs:
        begin(cluster)
    while any(ready(cluster) for cluster, _ in pairs):
        for cluster, _ in pairs:
            assert len(workers_of(cluster.data)) <= 1
    for cluster, site in pairs:
        assert site.stat("failed_count") == 0
        all_stored(cluster, site, walship)


# --- how it ends ------------------------------------------------------------------


@pytest.fixture
def hanging(
    new_cluster: ClusterFactory,
    walship: Programs,
    gateway: Gateway,
    bucket: Bucket,
    fault_proxy: FaultProxy,
) -> Iterator[tuple[Cluster, PushSite, FaultProxy]]:
    """The store takes connections and says nothing."""
    keys = s3_keys(gateway, bucket, fault_proxy.endpoint)
    cluster, site = prepare(new_cluster, walship, keys)
    fault_proxy.set(hang=True)
    begin(cluster)
    yield cluster, site, fault_proxy


@pytest.mark.parametrize("how", ["immediate", "kill"])
def test_no_orphan(hanging: tuple[Cluster, PushSite, FaultProxy], how: str) -> None:
    """It ends with the server, whatever it waits for."""
    cluster, _, _ = hanging
    pid = wait_worker(cluster.data)
    if how == "kill":
        cluster.kill9()
    else:
        cluster.stop("immediate")
    wait_gone(pid)
    wait_nobody(cluster.data)


def test_no_orphan_after_fast(
    new_cluster: ClusterFactory, walship: Programs, repo_dir: Path
) -> None:
    cluster, site = prepare(
        new_cluster, walship, {"repository": f"file://{repo_dir}"}, 30
    )
    begin(cluster)
    pid = wait_worker(cluster.data)
    cluster.stop("fast")
    wait_gone(pid)
    wait_nobody(cluster.data)
    all_stored(cluster, site, walship)


def test_dead_worker(
    hanging: tuple[Cluster, PushSite, FaultProxy], walship: Programs
) -> None:
    """Its lock dies with it, and the calls go on."""
    cluster, site, fault_proxy = hanging
    os.kill(wait_worker(cluster.data), signal.SIGKILL)
    fault_proxy.clear()
    fault_proxy.reset_connections()
    wait_archived(cluster)
    all_stored(cluster, site, walship)


def test_killed_at_any_time(
    new_cluster: ClusterFactory, walship: Programs, repo_dir: Path
) -> None:
    """Whatever it was doing, nothing is lost and nothing is believed wrongly."""
    cluster, site = prepare(
        new_cluster, walship, {"repository": f"file://{repo_dir}"}, 60
    )
    begin(cluster)
    while ready(cluster):
        for pid in workers_of(cluster.data):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
    all_stored(cluster, site, walship)


# --- containers -------------------------------------------------------------------


@contextlib.contextmanager
def as_init(cluster: Cluster) -> Iterator[subprocess.Popen[bytes]]:
    """The server is process 1 of its own namespace, as in a container."""
    program = cluster.program("pg_config", "--bindir").check().out.strip()
    settings = f"-c port={cluster.port} -c unix_socket_directories={cluster.sockets}"
    server = (
        f"exec setpriv --reuid={PG_USER} --regid={PG_USER} --clear-groups "
        f"{program}/postgres -D {cluster.data} {settings} "
        "-c listen_addresses= -c fsync=off"
    )
    with open(cluster.log_file, "ab") as log:
        process = subprocess.Popen(
            ["unshare", "--pid", "--fork", "--mount-proc", "sh", "-c", server],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=base_environment(),
            cwd="/",
        )
    try:
        yield process
    finally:
        # The end of process 1 is the end of its namespace.
        for child in children_of(process.pid):
            kill_pid(child, signal.SIGKILL)
        process.wait()
        (cluster.data / "postmaster.pid").unlink(missing_ok=True)


def kill_calls(config: Path) -> int:
    """Kills every wal-push that runs with a configuration."""
    killed = 0
    for pid, words in command_lines():
        if words[0].endswith("/wal-push") and f"--config={config}" in words:
            kill_pid(pid, signal.SIGKILL)
            killed += 1
    return killed


@contextlib.contextmanager
def poked(cluster: Cluster) -> Iterator[None]:
    """A dead archiver is replaced when something wakes the postmaster."""
    end = threading.Event()

    def poke() -> None:
        while not end.wait(0.5):
            with contextlib.suppress(psycopg2.Error):
                cluster.value("select 1")

    thread = threading.Thread(target=poke)
    thread.start()
    try:
        yield
    finally:
        end.set()
        thread.join()


def test_never_under_process_one(
    new_cluster: ClusterFactory, walship: Programs, repo_dir: Path, spool_dir: Path
) -> None:
    """An orphan's death would restart the server: it works within the call."""
    cluster, site = prepare(
        new_cluster, walship, {"repository": f"file://{repo_dir}"}, 40
    )
    cluster.stop("fast")

    def a_call_dies() -> bool:
        """The whole backlog may have been archived unseen: then there is more."""
        if not ready(cluster):
            with contextlib.suppress(psycopg2.Error):
                cluster.sql(SWITCHES)
        return kill_calls(site.config) > 0

    with as_init(cluster):
        pid_file = cluster.data / "postmaster.pid"
        wait_for(lambda: pid_file.exists() and pid_file.read_text(), "a server")
        assert pid_file.read_text().startswith("1\n")
        with poked(cluster):
            for _ in range(2):
                wait_for(a_call_dies, "a call", interval_s=0.001)
                assert not workers_of(cluster.data)
            wait_archived(cluster)
        assert not workers_of(cluster.data)
        log = cluster.log()
        assert "reinitializ" not in log
        assert "terminating any other active server" not in log
    all_stored(cluster, site, walship)


# --- without a server's help ------------------------------------------------------


@pytest.mark.parametrize("why", ["init", "absent", "unreadable", "dead", "single"])
def test_within_the_call(queue: Queue, why: str) -> None:
    """Where there may be no worker, the others are stored before the answer."""
    path = queue.archiver.data / "postmaster.pid"
    if why == "init":
        queue.say_pid(1)
    elif why == "absent":
        path.unlink()
    elif why == "unreadable":
        path.chmod(0)
        shutil.chown(path, "root", "root")
    elif why == "dead":
        with subprocess.Popen(["true"]) as child:
            child.wait()
        queue.say_pid(child.pid)
    else:
        queue.say_pid(-queue.server.pid)
    queue.ready(*SEGMENTS)
    done = queue.push(FIRST)
    assert (done.status, done.out, done.err) == (0, "", "")
    assert {path.name for path in queue.markers()} == set(SEGMENTS[1:])
    assert not queue.workers()


def test_alone_needs_no_worker(queue: Queue) -> None:
    """One file, nothing behind it: no fork, no marker."""
    queue.ready(FIRST)
    queue.push(FIRST).check()
    assert not queue.markers() and not queue.workers()
    queue.ready(SECOND, THIRD)
    queue.push(SECOND, "--set=push_workers=1").check()
    assert not queue.markers() and not queue.workers()
