"""A backlog of segments, archived by a server into a bucket over TLS.

The archiver itself drives: its segments become ready at once, it is told the
command, and the time is until pg_stat_archiver counts the last one.
"""

from __future__ import annotations

import shutil
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import peer
from bench import LongWire, Run, run
from uploader import upload

from ground import peak, roots
from ground.fault import FaultProxy
from ground.host import at_work_in, descendants_of, wait_for
from ground.pg import Cluster
from ground.programs import Programs, write_config
from ground.pushsite import s3_keys
from ground.s3 import Gateway
from ground.s3client import Bucket
from ground.tls import Authority, TlsProxy

# Makes a new repository in the bucket, behind that port; its archive_command.
Maker = Callable[[Path, Bucket, int], str]


@dataclass
class Ground:
    """What all contenders share."""

    work: Path
    programs: Programs
    cluster: Cluster
    gateway: Gateway
    authority: Authority
    tls: TlsProxy
    connections: int
    homes: int = 0

    def home(self, *, made: bool = False) -> Path:
        self.homes += 1
        path = self.work / f"h{self.homes}"
        if made:
            path.mkdir()
            shutil.chown(path, roots.PG_USER, roots.PG_USER)
        return path

    # --- contenders ---------------------------------------------------------

    def walship(self, home: Path, bucket: Bucket, port: int) -> str:
        home.mkdir()
        (home / "spool").mkdir(mode=0o700)
        for path in (home, home / "spool"):
            shutil.chown(path, roots.PG_USER, roots.PG_USER)
        conf = write_config(
            home / "walship.conf",
            **s3_keys(self.gateway, bucket, f"https://localhost:{port}"),
            s3_ca_file=self.authority.ca_file,
            spool=home / "spool",
            key_file=self.work / "key",
            push_workers=self.connections,
        )
        return f"{self.programs.path('wal-push')} --config={conf} %p"

    def pgbackrest(self, home: Path, bucket: Bucket, port: int) -> str:
        return self._peer(home, bucket, port, 0)

    def pgbackrest_async(self, home: Path, bucket: Bucket, port: int) -> str:
        return self._peer(home, bucket, port, self.connections)

    def _peer(self, home: Path, bucket: Bucket, port: int, connections: int) -> str:
        keys = peer.bucket_keys(self.gateway, bucket.name, port)
        command = peer.configure(home, self.cluster, keys, connections)
        return " ".join([*command, "archive-push", "%p"])

    # --- the archiver -------------------------------------------------------

    def set_command(self, command: str) -> None:
        self.cluster.sql("alter system set archive_command = %s", [command])
        self.cluster.reload()

    def make_ready(self, names: Sequence[str]) -> None:
        """The archiver, which has nothing to do, finds these next."""
        self.set_command("")
        time.sleep(0.5)
        status = self.cluster.data / "pg_wal/archive_status"
        for name in names:
            (status / f"{name}.done").rename(status / f"{name}.ready")
        self.cluster.sql("select pg_stat_reset_shared('archiver')")

    def is_alone(self) -> bool:
        """Nobody but the server itself works in its data directory."""
        family = descendants_of(self.cluster.pid() or 0)
        others = set(at_work_in(self.cluster.data)) - {self.cluster.pid(), *family}
        return not others

    def drain(self, names: Sequence[str], command: str) -> float:
        """The seconds in which the server archives them."""
        self.make_ready(names)
        begun = time.time()
        self.set_command(command)
        done = self.cluster.data / f"pg_wal/archive_status/{names[-1]}.done"
        wait_for(done.exists, f"{names[-1]} is archived", deadline_s=3600)
        self.cluster.wait_sql(
            f"select last_archived_wal = '{names[-1]}' from pg_stat_archiver"
        )
        ((ended, archived, failed),) = self.cluster.sql(
            "select extract(epoch from last_archived_time)::float8, archived_count,"
            " failed_count from pg_stat_archiver"
        )
        if archived != len(names) or failed:
            raise SystemExit(f"{command}: {archived} archived, {failed} failures")
        return float(ended) - begun

    @contextmanager
    def bucket(self) -> Iterator[Bucket]:
        made = self.gateway.create_bucket()
        try:
            yield made
        finally:
            self.gateway.delete_bucket(made)

    def drain_with(self, maker: Maker, names: Sequence[str], port: int) -> float:
        """The first one is not timed: what is found out once is known then."""
        with self.bucket() as bucket:
            command = maker(self.home(), bucket, port)
            self.drain(names[:1], command)
            return self.drain(names[1:], command)

    def upload(self, bodies: Sequence[Path], port: int) -> float:
        """The same bytes by a plain uploader."""
        tls = self.authority.context()
        with self.bucket() as bucket:
            return upload(
                bodies, bucket.name, port, tls, self.gateway, self.connections
            )

    def sealed(self, names: Sequence[str]) -> list[Path]:
        """The stored form of each, as wal-push makes it."""
        home = self.home()
        for path in (home, home / "repo", home / "spool"):
            path.mkdir(mode=0o700)
            shutil.chown(path, roots.PG_USER, roots.PG_USER)
        conf = write_config(
            home / "walship.conf",
            repository=f"file://{home}/repo",
            spool=home / "spool",
            key_file=self.work / "key",
        )
        push = f"{self.programs.path('wal-push')} --config={conf} %p"
        self.drain(names, push)
        found = {path.name: path for path in (home / "repo").rglob("0*")}
        return [found[name] for name in names]


@contextmanager
def delayed(ground: Ground, rtt_ms: int) -> Iterator[int]:
    """A port that leads to the store with that round trip; 0: at once."""
    if not rtt_ms:
        yield ground.tls.port
        return
    wire = LongWire(ground.home(made=True), ground.tls.port, rtt_ms)
    try:
        yield wire.port
    finally:
        wire.stop()


# --- what is measured -------------------------------------------------------


def told(name: str, unit: str, rows: dict[str, list[float]], ours: str) -> None:
    """Medians, and the ratio of ours to each other one with its spread."""
    print(f"  {name}:")
    mine = rows[ours]
    for who, values in rows.items():
        line = f"    {who:26} {statistics.median(values):9.3f} {unit}"
        if who != ours:
            ratio = statistics.median(mine) / statistics.median(values)
            pairs = sorted(a / b for a, b in zip(mine, values))
            line += f"  ratio {ratio:5.2f}  ({pairs[0]:.2f} to {pairs[-1]:.2f})"
        print(line, flush=True)


def backlog(
    ground: Ground,
    names: Sequence[str],
    rtt_ms: int,
    rounds: int,
) -> None:
    """Segments per second; synchronous pgBackRest on fewer of them."""
    bodies = ground.sealed(names)[1:]
    few = names[: max(4, len(names) // 16) + 1]
    rows: dict[str, list[float]] = {}

    def add(who: str, count: int, seconds: float) -> None:
        rows.setdefault(who, []).append(count / seconds)

    with delayed(ground, rtt_ms) as port:
        for _ in range(rounds):
            count = len(bodies)
            add("walship", count, ground.drain_with(ground.walship, names, port))
            add("plain uploader", count, ground.upload(bodies, port))
            peer_async = ground.pgbackrest_async
            add("pgBackRest async", count, ground.drain_with(peer_async, names, port))
            few_s = ground.drain_with(ground.pgbackrest, few, port)
            add(f"pgBackRest sync ({len(few) - 1})", len(few) - 1, few_s)
    what = f"backlog of {len(bodies)}, {rtt_ms} ms of round trip"
    told(what, "seg/s", rows, "walship")


def count(ground: Ground, names: Sequence[str]) -> None:
    """Requests at the gateway and peak memory, in a run of their own."""
    proxy = FaultProxy(ground.gateway.port)
    tls = TlsProxy(ground.home(), ground.authority, proxy.port)
    tool = shutil.copy(peak.__file__, ground.work / "peak.py")
    print(f"  requests and peak memory, {len(names)} segments:")
    try:
        for who, maker in (
            ("walship", ground.walship),
            ("pgBackRest async", ground.pgbackrest_async),
            ("pgBackRest sync", ground.pgbackrest),
        ):
            with ground.bucket() as bucket:
                home = ground.home()
                command = maker(home, bucket, tls.port)
                proxy.forget()
                peaks = home / "peaks"
                ground.drain(names, f"/usr/bin/python3 {tool} {peaks} {command}")
                wait_for(ground.is_alone, "what runs ahead has ended")
                asked = len(proxy.requests) / len(names)
                kib = max(int(line) for line in peaks.read_text().split())
            print(f"    {who:26} {asked:6.2f} per segment, {kib / 1024:6.1f} MiB")
    finally:
        tls.stop()
        proxy.stop()


def hits(ground: Ground, names: Sequence[str]) -> None:
    """Calls for segments that earlier ones have pushed ahead."""
    rows: dict[str, list[float]] = {}
    baseline = [as_server(ground, ["true"]).wall_s * 1000 for _ in names[1:]]
    for who, maker in (
        ("walship", ground.walship),
        ("pgBackRest async", ground.pgbackrest_async),
    ):
        with ground.bucket() as bucket:
            home = ground.home()
            command = maker(home, bucket, ground.tls.port).split()
            ground.make_ready(names)
            calls = [[*command[:-1], f"pg_wal/{name}"] for name in names]
            as_server(ground, calls[0])
            if who == "walship":
                ahead: Callable[[], int] = lambda b=bucket: len(b.list())
            else:
                out = home / "spool/archive/b/out"
                ahead = lambda o=out: len(list(o.glob("*.ok")))
            wait_for(lambda: ahead() >= len(names) - 1, "all is pushed ahead")
            time.sleep(0.5)
            rows[who] = [as_server(ground, call).wall_s * 1000 for call in calls[1:]]
        ground.set_command("true")
        status = ground.cluster.data / "pg_wal/archive_status"
        last = status / f"{names[-1]}.done"
        wait_for(last.exists, "nothing is ready any more")
    told("a call for what is pushed already", "ms", rows, "walship")
    print(f"    (of which to start a process {statistics.median(baseline):.3f} ms)")


def as_server(ground: Ground, command: Sequence[str]) -> Run:
    return run(command, user=roots.PG_USER, cwd=ground.cluster.data)
