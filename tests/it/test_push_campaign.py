"""Archiving through faults and kills that are drawn at random.

At the end every segment is in the archive once, byte for byte, the server
agrees, and a recovery over all of it reaches the last commit.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ground.campaign import Campaign, small_tmpfs
from ground.fault import FaultProxy
from ground.pg import Cluster, ClusterFactory
from ground.programs import Programs
from ground.pushsite import PushSite, s3_keys
from ground.s3 import Gateway
from ground.s3client import Bucket
from ground.site import FINGERPRINT
from ground.stored import stored_by

SHORT = 7  # rounds of the plain run
TIMEOUTS = {
    "connect_timeout": "500ms",
    "stall_timeout": "1s",
    "push_timeout": "3s",
}


@pytest.fixture
def spool(work_dir: Path) -> Iterator[Path]:
    with small_tmpfs(work_dir / "spool", "4m") as path:
        yield path


class Primary:
    """The server under trouble, and a base backup of it from before."""

    def __init__(
        self, new_cluster: ClusterFactory, walship: Programs, keys: dict[str, object]
    ) -> None:
        self.new_cluster, self.walship = new_cluster, walship
        conf = {"wal_keep_size": "8GB", "max_wal_size": "1GB"}
        self.cluster: Cluster = new_cluster(start=False, wal_segsize_mb=1, conf=conf)
        self.site = PushSite(walship, self.cluster, {**keys, **TIMEOUTS})
        self.cluster.start()
        self.first = self.cluster.current_segment()
        self.cluster.pgbench("-i", "-s", "1", "-q")
        self.cluster.sql("create table marks (n int primary key)")
        self.base = self.cluster.home / "base"
        self.cluster.basebackup(self.base, "--wal-method=none")

    def settle(self) -> None:
        """Without trouble the server catches up, and counts what it does."""
        self.wait_counted(self.cluster.switch_wal())
        archived = self.site.stat("archived_count")
        failed = self.site.stat("failed_count")
        last = [self.cluster.switch_wal() for _ in range(3)][-1]
        self.wait_counted(last)
        assert self.site.stat("archived_count") == archived + 3
        assert self.site.stat("failed_count") == failed
        status = self.cluster.data / "pg_wal/archive_status"
        assert list(status.glob("*.ready")) == []

    def wait_counted(self, segment: str) -> None:
        self.cluster.wait_sql(
            f"select last_archived_wal = '{segment}' from pg_stat_archiver",
            deadline_s=180,
        )

    def compare(self, bucket: Bucket | None) -> int:
        """The archive holds what pg_wal has kept, and nothing else."""
        wal = self.cluster.data / "pg_wal"
        done = sorted(p.stem for p in (wal / "archive_status").glob("*.done"))
        assert done[0] == self.first, "the server keeps all its WAL"
        identifier = self.cluster.system_identifier()
        stored = stored_by(self.site.config, identifier, bucket)
        names = [f"wal/00000001/{name}" for name in done]
        assert stored.names("wal/") == names
        for name in names:
            assert stored.content(name) == (wal / Path(name).name).read_bytes(), name
        return len(names)

    def recover(self) -> str:
        """What a recovery over the whole archive ends with."""
        copy = self.new_cluster(create=False)
        shutil.copytree(self.base, copy.data)
        for path in [copy.data, *copy.data.rglob("*")]:
            shutil.chown(path, "postgres", "postgres")
        fetch = self.walship.command(
            "wal-fetch", f"--config={self.site.config}", "%f", "%p"
        )
        copy.configure({"restore_command": fetch, "archive_mode": "off"})
        (copy.data / "recovery.signal").touch()
        copy.start(deadline_s=300)
        copy.wait_sql("select not pg_is_in_recovery()", deadline_s=300)
        return str(copy.value(FINGERPRINT))


def assert_counted(log: str) -> None:
    """Every failure was one that the archiver counts: no other exit code.

    Deaths by a signal are the campaign's own doing.
    """
    codes = re.findall(r"archive command failed with exit code (\d+)", log)
    assert set(codes) <= {"1", "2"}, set(codes)


@pytest.fixture
def prove(tell: Callable[[str], None]) -> Callable[..., None]:
    """Runs a campaign, and looks at what it has led to."""

    def run(
        primary: Primary, campaign: Campaign, bucket: Bucket | None, rounds: int
    ) -> None:
        cluster = primary.cluster
        campaign.run(rounds)
        primary.settle()
        assert cluster.value("select count(*) from marks") == campaign.marks
        before = cluster.value(FINGERPRINT)
        cluster.wait_archived(cluster.switch_wal())
        files = primary.compare(bucket)
        cluster.stop()
        assert primary.recover() == before
        assert_counted(cluster.log())
        tell(f"seed {campaign.seed}, {rounds} rounds, {files} files archived")
        print("\n".join(campaign.drawn))

    return run


@pytest.fixture
def s3_primary(
    new_cluster: ClusterFactory,
    walship: Programs,
    gateway: Gateway,
    bucket: Bucket,
    fault_proxy: FaultProxy,
    spool: Path,
) -> Primary:
    keys = s3_keys(gateway, bucket, fault_proxy.endpoint)
    return Primary(new_cluster, walship, {**keys, "spool": spool})


@pytest.fixture
def dir_primary(
    new_cluster: ClusterFactory, walship: Programs, repo_dir: Path, spool: Path
) -> Primary:
    keys = {"repository": f"file://{repo_dir}", "spool": spool}
    return Primary(new_cluster, walship, keys)


def of_s3(
    primary: Primary, seed: int, proxy: FaultProxy, gateway: Gateway
) -> Campaign:
    campaign = Campaign(primary.site, seed)
    campaign.add_network(proxy, gateway)
    return campaign


def of_directory(primary: Primary, seed: int, repo: Path) -> Campaign:
    campaign = Campaign(primary.site, seed)
    campaign.add_directory(repo)
    return campaign


def test_campaign_s3(
    s3_primary: Primary,
    fault_proxy: FaultProxy,
    gateway: Gateway,
    bucket: Bucket,
    soak: tuple[int, int],
    prove: Callable[..., None],
) -> None:
    campaign = of_s3(s3_primary, soak[1], fault_proxy, gateway)
    prove(s3_primary, campaign, bucket, SHORT)


def test_campaign_directory(
    dir_primary: Primary,
    repo_dir: Path,
    soak: tuple[int, int],
    prove: Callable[..., None],
) -> None:
    campaign = of_directory(dir_primary, soak[1], repo_dir)
    prove(dir_primary, campaign, None, SHORT)


@pytest.mark.soak
@pytest.mark.timeout(0)
def test_campaign_s3_long(
    s3_primary: Primary,
    fault_proxy: FaultProxy,
    gateway: Gateway,
    bucket: Bucket,
    soak: tuple[int, int],
    prove: Callable[..., None],
) -> None:
    campaign = of_s3(s3_primary, soak[1], fault_proxy, gateway)
    prove(s3_primary, campaign, bucket, soak[0])


@pytest.mark.soak
@pytest.mark.timeout(0)
def test_campaign_directory_long(
    dir_primary: Primary,
    repo_dir: Path,
    soak: tuple[int, int],
    prove: Callable[..., None],
) -> None:
    campaign = of_directory(dir_primary, soak[1], repo_dir)
    prove(dir_primary, campaign, None, soak[0])
