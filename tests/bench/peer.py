"""pgBackRest's archiving, with LZ4 and its cipher, as our peer."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

from bench import run

from ground import roots
from ground.pg import Cluster
from ground.s3 import Gateway


def bucket_keys(gateway: Gateway, bucket: str, port: int) -> dict[str, str]:
    """A repository in a bucket, over TLS, as pgBackRest speaks nothing else."""
    return {
        "repo1-type": "s3",
        "repo1-path": "/it",
        "repo1-s3-bucket": bucket,
        "repo1-s3-endpoint": "localhost",
        "repo1-s3-region": gateway.region,
        "repo1-s3-key": gateway.credentials.access_key,
        "repo1-s3-key-secret": gateway.credentials.secret_key,
        "repo1-s3-uri-style": "path",
        "repo1-storage-port": str(port),
        "repo1-storage-verify-tls": "n",
    }


def configure(
    home: Path, cluster: Cluster, keys: Mapping[str, str], connections: int = 0
) -> list[str]:
    """Its command, with a new repository; asynchronous with connections."""
    command = describe(home, cluster, keys, connections)
    run([*command, "stanza-create"], user=roots.PG_USER, cwd=home)
    return command


def describe(
    home: Path, cluster: Cluster, keys: Mapping[str, str], connections: int = 0
) -> list[str]:
    """The same with a repository that is there."""
    home.mkdir()
    for name in ("lock", "log", "spool"):
        (home / name).mkdir()
    settings = {
        "repo1-cipher-type": "aes-256-cbc",
        "repo1-cipher-pass": "benchmark",
        "compress-type": "lz4",
        "lock-path": str(home / "lock"),
        "log-path": str(home / "log"),
        "log-level-file": "off",
        "log-level-console": "warn",
        **keys,
    }
    if connections:
        settings["archive-async"] = "y"
        settings["spool-path"] = str(home / "spool")
        settings["process-max"] = str(connections)
    lines = [f"{name}={value}" for name, value in settings.items()]
    conf = home / "pgbackrest.conf"
    conf.write_text(
        "\n".join(
            [
                "[global]",
                *lines,
                "[b]",
                f"pg1-path={cluster.data}",
                f"pg1-socket-path={cluster.sockets}",
                f"pg1-port={cluster.port}",
                "pg1-user=postgres",
                "",
            ]
        ),
        encoding="ascii",
    )
    for path in [home, *home.rglob("*")]:
        shutil.chown(path, roots.PG_USER, roots.PG_USER)
    return ["pgbackrest", f"--config={conf}", "--stanza=b"]
