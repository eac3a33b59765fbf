"""Following and recovering through faults and kills that are drawn at random.

A standby stays a standby, never holds what the primary did not write, and
catches up once the faults are over; a recovery ends with the last row, or
stops and can be started again, but is never promoted before.
"""

from __future__ import annotations

import contextlib
import random
import re
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg2
import pytest

from ground.fault import FaultProxy
from ground.host import descendants_of, kill_pid, open_files, wait_for
from ground.pg import Cluster, ClusterFactory
from ground.programs import Programs, write_config
from ground.roots import PG_USER
from ground.s3 import Gateway
from ground.walworld import all_rows, fetch_command, greatest_row, own

SHORT = 4  # rounds of the plain run
SEGMENTS = 15  # a round, each with a row

FILL = """
do $$ begin
  for i in {first} .. {last} loop
    insert into t values (i);
    perform pg_logical_emit_message(true, 'x', repeat(md5(i::text), 4000));
    perform pg_switch_wal();
    commit;
  end loop;
end $$"""

FAULTS: list[dict[str, Any]] = [
    {"refuse": True},
    {"hang": True},
    {"http": 503},
    {"http": 500},
    {"http": 403},
    {"http": 400, "code": "ExpiredToken"},
    {"delay_ms": 30},
    {"rate": 50000},
    {"cut_down": 700},
    {"cut_down": 3000},
    {"eat": True},
    {},
]


class Campaign:
    def __init__(
        self,
        new_cluster: ClusterFactory,
        walship: Programs,
        proxy: FaultProxy,
        keys: dict[str, Any],
        seed: int,
    ) -> None:
        self.rng = random.Random(seed)
        self.proxy, self.rows, self.new_cluster = proxy, 0, new_cluster
        self.kills = 0  # of a server
        conf = {"wal_keep_size": "8GB", "max_wal_size": "4GB"}
        self.primary = new_cluster(start=False, wal_segsize_mb=1, conf=conf)
        home = self.primary.home
        (home / "spool").mkdir(mode=0o700)
        own(home / "spool")
        keys |= {"spool": home / "spool", "fetch_ahead": "6MB"}
        direct = write_config(home / "direct.conf", **keys)
        keys |= {
            "s3_endpoint": proxy.endpoint,
            "connect_timeout": "500ms",
            "stall_timeout": "1s",
            "fetch_timeout": "1s",
            "fetch_timeout_standby": "500ms",
        }
        self.spool = home / "spool"
        self.fetch = fetch_command(walship, write_config(home / "far.conf", **keys))
        self.primary.archive_with(
            walship.command("wal-push", f"--config={direct}", "%p")
        )
        self.primary.start()
        self.primary.sql("create table t (n int)")
        self.base = home / "base"
        self.primary.basebackup(self.base, "--wal-method=none")

    def follower(self, signal_file: str) -> Cluster:
        cluster = self.new_cluster(create=False)
        shutil.copytree(self.base, cluster.data)
        (cluster.data / signal_file).touch()
        own(cluster.data)
        cluster.configure(
            {
                "restore_command": f"{self.fetch}",
                "archive_mode": "off",
                "wal_retrieve_retry_interval": "50ms",
            }
        )
        return cluster

    def fill(self) -> None:
        first, self.rows = self.rows + 1, self.rows + SEGMENTS
        self.primary.sql(FILL.format(first=first, last=self.rows))

    def settle(self) -> None:
        self.primary.wait_archived(self.primary.switch_wal(), deadline_s=120)

    def trouble(self, cluster: Cluster) -> None:
        """A fault of the store, and perhaps a kill in the middle of it."""
        self.proxy.set(**self.rng.choice(FAULTS))
        time.sleep(self.rng.random() * 0.4)
        victim = self.rng.choice(["none", "fetch", "worker", "server"])
        if victim == "server":
            self.kills += 1
            cluster.kill9()
        elif victim != "none":
            for pid in self.processes(cluster, victim):
                kill_pid(pid, signal.SIGKILL)
        time.sleep(self.rng.random() * 0.3)

    def processes(self, cluster: Cluster, kind: str) -> list[int]:
        postmaster = cluster.pid()
        if kind == "fetch":
            family = descendants_of(postmaster) if postmaster else []
        else:
            family = [int(path.name) for path in Path("/proc").glob("[0-9]*")]
        return [pid for pid in family if self.is_ours(pid, kind)]

    def is_ours(self, pid: int, kind: str) -> bool:
        try:
            line = Path(f"/proc/{pid}/cmdline").read_bytes()
            if kind == "fetch":
                return line.partition(b"\0")[0].endswith(b"wal-fetch")
            return line.startswith(b"wal-fetch: fetching ahead") and any(
                name.startswith(str(self.spool))
                for name in open_files(pid).values()
            )
        except OSError:
            return False

    def check_spool(self) -> None:
        """Whatever lies there under a segment's name is that segment."""
        for path in self.spool.glob("*/*/fetch-*/*"):
            if not re.fullmatch(r"\w{24}", path.name):
                continue
            try:
                found = path.read_bytes()
            except FileNotFoundError:
                continue
            true = (self.primary.data / "pg_wal" / path.name).read_bytes()
            assert found == true, path.name


@pytest.fixture
def make_campaign(
    s3_config: Path,
    gateway: Gateway,
    fault_proxy: FaultProxy,
    new_cluster: ClusterFactory,
    walship: Programs,
) -> Callable[[int], Campaign]:
    lines = s3_config.read_text(encoding="utf-8").splitlines()
    keys = dict(line.split(" = ", 1) for line in lines)
    return lambda seed: Campaign(new_cluster, walship, fault_proxy, dict(keys), seed)


def follow(campaign: Campaign, rounds: int) -> None:
    cluster = campaign.follower("standby.signal")
    for n in range(rounds):
        campaign.fill()
        # A killed restore_command stops a standby; it can be started again.
        if not cluster.running():
            cluster.start(wait=False)
        campaign.trouble(cluster)
        campaign.check_spool()
        if n % 10 == 9:
            catch_up(campaign, cluster)
    catch_up(campaign, cluster)
    cluster.promote()
    all_rows(cluster, campaign.rows)


def catch_up(campaign: Campaign, cluster: Cluster) -> None:
    campaign.proxy.clear()
    campaign.settle()
    if cluster.running():
        cluster.wait_sql("select true")
    else:
        cluster.start()
    cluster.wait_sql(f"select max(n) = {campaign.rows} from t")
    assert cluster.value("select pg_is_in_recovery()")
    assert "selected new timeline" not in cluster.log()


def recover(campaign: Campaign, rounds: int) -> None:
    for _ in range(rounds):
        campaign.fill()
    campaign.settle()
    cluster = campaign.follower("recovery.signal")
    for n in range(10 * rounds):
        if n == 10 * rounds - 1:
            campaign.proxy.clear()
        if not cluster.running():
            cluster.start(wait=False)
        if not (cluster.data / "recovery.signal").exists():
            break
        if n < 10 * rounds - 1:
            campaign.trouble(cluster)
        campaign.check_spool()

    def over() -> bool:
        """However often a slow store still stops it."""
        if not cluster.running():
            cluster.try_start()
        with contextlib.suppress(psycopg2.Error):
            return bool(cluster.value("select not pg_is_in_recovery()"))
        return False

    wait_for(over, "the recovery is over")
    assert greatest_row(cluster) == campaign.rows
    all_rows(cluster, campaign.rows)
    # A server that is killed between choosing and taking it chooses again.
    chosen = cluster.log().count("selected new timeline")
    assert 1 <= chosen <= 1 + campaign.kills


def test_follow(make_campaign: Callable[[int], Campaign]) -> None:
    follow(make_campaign(1), SHORT)


def test_recover(make_campaign: Callable[[int], Campaign]) -> None:
    recover(make_campaign(1), 1)


@pytest.mark.soak
def test_follow_for_long(
    make_campaign: Callable[[int], Campaign], soak: tuple[int, int]
) -> None:
    rounds, seed = soak
    follow(make_campaign(seed), rounds)


@pytest.mark.soak
def test_recover_for_long(
    make_campaign: Callable[[int], Campaign], soak: tuple[int, int]
) -> None:
    rounds, seed = soak
    recover(make_campaign(seed), max(rounds // 10, 1))
