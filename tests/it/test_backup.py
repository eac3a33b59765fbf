"""walship backup, against real servers."""

from __future__ import annotations

from pathlib import Path

import pytest

from ground.pg import Cluster, ClusterFactory
from ground.programs import Programs


def archive(cluster: Cluster, walship: Programs, config: Path) -> Cluster:
    command = walship.command("wal-push", "%p", WALSHIP_CONFIG=config)
    cluster.archive_with(command)
    return cluster


def backup_args(cluster: Cluster, config: Path) -> list[str]:
    return [
        "backup",
        f"--config={config}",
        f"--host={cluster.sockets}",
        f"--port={cluster.port}",
        "--username=postgres",
        "--checkpoint=fast",
    ]


@pytest.mark.versions
def test_backup(new_cluster: ClusterFactory, walship: Programs, config: Path) -> None:
    cluster = archive(new_cluster(start=False), walship, config).start()
    done = walship.run("walship", *backup_args(cluster, config))
    print(done.err)
    assert done.status == 0, done.err
