"""walship restore, against real servers."""

from __future__ import annotations

from pathlib import Path

import pytest

from ground.pg import Cluster, ClusterFactory
from ground.programs import Programs


def archive(cluster: Cluster, walship: Programs, config: Path) -> Cluster:
    cluster.archive_with(walship.command("wal-push", "%p", WALSHIP_CONFIG=config))
    return cluster


def backup(cluster: Cluster, walship: Programs, config: Path, *args: str) -> str:
    done = walship.run(
        "walship",
        "backup",
        f"--config={config}",
        f"--host={cluster.sockets}",
        f"--port={cluster.port}",
        "--username=postgres",
        "--checkpoint=fast",
        *args,
    ).check()
    return done.out.strip()


@pytest.mark.versions
def test_restore(new_cluster: ClusterFactory, walship: Programs, config: Path) -> None:
    cluster = archive(new_cluster(start=False), walship, config).start()
    cluster.pgbench("--initialize", "--quiet")
    backup_id = backup(cluster, walship, config)
    cluster.sql("create table after as select 1 as a")
    cluster.wait_archived(cluster.switch_wal())
    copy = new_cluster(create=False)
    walship.run(
        "walship", "restore", f"--config={config}", f"--target-dir={copy.data}"
    ).check()
    verified = copy.verifybackup(copy.data, "--no-parse-wal")
    assert verified.status == 0, verified.err
    copy.start()
    copy.wait_sql("select not pg_is_in_recovery()")
    assert copy.value("select count(*) from pgbench_accounts") == 100000
    assert copy.sql("select a from after") == [(1,)]
    assert backup_id
