"""A server that archives through a bad network, and what its log says of it."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .archiver import Archiver
from .host import at_work_in, wait_for
from .pg import Cluster
from .programs import Programs, write_config
from .roots import PG_USER
from .s3 import Gateway
from .s3client import Bucket

Keys = Mapping[str, Any]


def s3_keys(gateway: Gateway, bucket: Bucket, endpoint: str) -> dict[str, Any]:
    """The settings of a repository in a bucket, reached by an endpoint."""
    return {
        "repository": f"s3://{bucket.name}/it",
        "s3_endpoint": endpoint,
        "s3_region": gateway.region,
        "s3_addressing": "path",
        "s3_access_key_id": gateway.credentials.access_key,
        "s3_secret_access_key": gateway.credentials.secret_key,
    }


def processes(data: Path, *, worker: bool) -> list[int]:
    """wal-push's calls, or its workers, on a data directory."""
    found = []
    for pid in at_work_in(data):
        with contextlib.suppress(OSError):
            name = Path(f"/proc/{pid}/comm").read_text(encoding="utf-8").strip()
            if name.startswith("wal-push") and worker == (":" in name):
                found.append(pid)
    return found


class PushSite:
    """A cluster whose archive_command can be given other settings meanwhile.

    Its configuration and its environment lie in files that each call reads.
    """

    def __init__(
        self, programs: Programs, cluster: Cluster, keys: Keys, **conf: str
    ) -> None:
        self.programs, self.cluster = programs, cluster
        home = cluster.home
        self.config = home / "walship.conf"
        self._environment = home / "environment"
        self.keys = {"spool": home / "spool", "key_file": home / "key", **keys}
        self.spool = Path(self.keys["spool"])
        self.spool.mkdir(mode=0o700, exist_ok=True)
        shutil.chown(self.spool, PG_USER, PG_USER)
        if not (home / "key").exists():
            programs.run("walship", "keygen", home / "key").check()
        self.configure()
        push = f"{programs.path('wal-push')} --config={self.config}"
        cluster.archive_with(f". {self._environment}; exec {push} %p", **conf)

    def configure(
        self, change: Keys | None = None, env: Mapping[str, str] | None = None
    ) -> None:
        """From the next call on: the usual settings, but for these."""
        parts = {
            self.config: {**self.keys, **(change or {})},
            self._environment: env or {},
        }
        for path, keys in parts.items():
            made = write_config(path.with_suffix(".new"), **keys)
            if path == self._environment:
                text = "".join(f"export {k}='{v}'\n" for k, v in keys.items())
                made.write_text(text, encoding="utf-8")
            made.rename(path)

    def stat(self, what: str) -> int:
        return int(self.cluster.value(f"select {what} from pg_stat_archiver"))

    def said(self, since: int) -> list[str]:
        """What the archive command wrote into the server's log, by line."""
        return [
            line
            for line in self.cluster.log(since).splitlines()
            if not re.match(r"\d{4}-\d\d-\d\d |\t", line)
        ]

    def archiver(self) -> Archiver:
        """To look at the archive with the usual settings."""
        return Archiver(self.programs, self.config, self.cluster.data)

    def archived(self, segment: str) -> bool:
        """The server thinks so, which is trusted nowhere."""
        status = self.cluster.data / "pg_wal/archive_status"
        return (status / f"{segment}.done").exists()

    def wait_failure(self, failed_before: int) -> None:
        wait_for(lambda: self.stat("failed_count") > failed_before, "a failure counts")


def write_noise(cluster: Cluster, count: int) -> None:
    """WAL that cannot be compressed, by so many bytes."""
    chunk, pool = 1 << 19, 1 << 23
    path = cluster.home / "noise"
    path.write_bytes(os.urandom(pool))
    shutil.chown(path, PG_USER, PG_USER)
    cluster.sql(
        "select pg_logical_emit_message(false, 'r', pg_read_binary_file("
        f"'{path}', (i * 37) % {pool - chunk}, {chunk}))"
        f" from generate_series(1, {count // chunk}) i"
    )
