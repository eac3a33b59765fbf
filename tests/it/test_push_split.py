"""Two servers that both take themselves for the primary archive at once.

They have one system identifier and one timeline, and their segments of the
same name differ.  For each name exactly one server succeeds.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from ground.host import Result
from ground.pg import Cluster, ClusterFactory
from ground.programs import Programs
from ground.s3client import Bucket
from ground.stored import stored_by

SEGMENTS = """
do $$ begin
  for i in 1 .. {count} loop
    perform pg_logical_emit_message(true, 'x', gen_random_uuid()::text);
    perform pg_switch_wal();
  end loop;
end $$"""


@dataclass
class Server:
    """A server; the test is its archiver, and gives up what is refused."""

    cluster: Cluster
    programs: Programs
    config: Path
    ends: dict[str, Result] = field(default_factory=dict)

    @property
    def status_dir(self) -> Path:
        return self.cluster.data / "pg_wal/archive_status"

    def fill(self, count: int) -> list[str]:
        self.cluster.sql(SEGMENTS.format(count=count))
        return sorted(path.stem for path in self.status_dir.glob("*.ready"))

    def archive(self, names: list[str], moment: threading.Barrier) -> None:
        """Each file at the same moment as the other server does."""
        for name in names:
            moment.wait(60)
            self.ends[name] = self.programs.run(
                "wal-push",
                f"--config={self.config}",
                f"pg_wal/{name}",
                cwd=self.cluster.data,
            )
            ready = self.status_dir / f"{name}.ready"
            ready.rename(ready.with_suffix(".done"))

    def content(self, name: str) -> bytes:
        return (self.cluster.data / "pg_wal" / name).read_bytes()


@pytest.fixture
def servers(
    new_cluster: ClusterFactory, walship: Programs, config: Path, run_dir: Path
) -> list[Server]:
    """Two copies of one cluster, which archive nothing by themselves."""
    conf = {
        "archive_mode": "on",
        "wal_keep_size": "2GB",
        "max_wal_size": "4GB",
        "checkpoint_timeout": "1h",
        "autovacuum": "off",
    }
    made = []
    for _ in range(2):
        cluster = new_cluster(create=False)
        cluster.initdb(wal_segsize_mb=1, templates=run_dir / "templates", conf=conf)
        made.append(Server(cluster.start(), walship, config))
    return made


def race(servers: list[Server], bucket: Bucket | None, count: int) -> list[int]:
    """How often each has won."""
    names = servers[0].fill(count)
    assert len(names) == count and servers[1].fill(count) == names
    args = (names, threading.Barrier(2))
    threads = [threading.Thread(target=s.archive, args=args) for s in servers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    identifier = servers[0].cluster.system_identifier()
    stored = stored_by(servers[0].config, identifier, bucket)
    won = [0, 0]
    for name in names:
        ends = [server.ends[name] for server in servers]
        assert sorted(end.status for end in ends) == [0, 1], ends
        winner = [end.status for end in ends].index(0)
        won[winner] += 1
        logical = f"wal/00000001/{name}"
        assert stored.content(logical) == servers[winner].content(name)
        assert ends[winner].err == ""
        (line,) = ends[1 - winner].err.splitlines()
        for word in ("pg_wal/" + name, "differs from object", stored.key(logical)):
            assert word in line, line
    return won


@pytest.fixture
def bucket_of(request: pytest.FixtureRequest, config: Path) -> Bucket | None:
    if "s3" not in config.name:
        return None
    bucket: Bucket = request.getfixturevalue("bucket")
    return bucket


@pytest.mark.parametrize("workers", [1, 4])
@pytest.mark.sigv4
def test_split_brain(
    servers: list[Server], config: Path, bucket_of: Bucket | None, workers: int
) -> None:
    """One by one, and with workers that run ahead."""
    with open(config, "a", encoding="utf-8") as file:
        file.write(f"push_workers = {workers}\n")
    race(servers, bucket_of, 64)


@pytest.mark.soak
@pytest.mark.parametrize("workers", [1, 4])
def test_split_brain_often(
    servers: list[Server],
    config: Path,
    bucket_of: Bucket | None,
    workers: int,
    soak: tuple[int, int],
    tell: Callable[[str], None],
) -> None:
    """In each round 200 segments."""
    with open(config, "a", encoding="utf-8") as file:
        file.write(f"push_workers = {workers}\n")
    won = [0, 0]
    for _ in range(soak[0]):
        for i, more in enumerate(race(servers, bucket_of, 200)):
            won[i] += more
        for server in servers:
            server.cluster.sql("checkpoint")
    tell(f"{workers} workers, races: {sum(won)}, won by each: {won}")
