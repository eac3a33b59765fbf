"""wal-push as the archiver runs it, in the data directory of a dead server."""

from __future__ import annotations

import shutil
import struct
from pathlib import Path
from typing import Any

from .host import Result
from .pg import Cluster
from .programs import Programs
from .roots import PG_USER, host_version

SEGMENTS = [f"000000010000000000000A0{n}" for n in range(1, 5)]
SEGMENT_BYTES = 1 << 20
STATE_OFFSET = 16  # of DBState in pg_control
IN_PRODUCTION, IN_ARCHIVE_RECOVERY = 6, 5


class Archiver:
    """Runs wal-push as the archiver does, in a data directory of a dead server.

    It holds what wal-push looks at: pg_control and pg_wal.
    """

    def __init__(self, programs: Programs, config: Path, data: Path) -> None:
        self.programs, self.config, self.data = programs, config, data
        self.wal = data / "pg_wal"
        raw = (data / "global/pg_control").read_bytes()
        self.system_identifier = struct.unpack_from("<Q", raw)[0]

    def push(self, name: str, *options: str, **run: Any) -> Result:
        return self.push_path(f"pg_wal/{name}", *options, **run)

    def push_path(self, path: Path | str, *options: str, **run: Any) -> Result:
        run.setdefault("cwd", self.data)
        return self.programs.run(
            "wal-push", f"--config={self.config}", *options, path, **run
        )

    def fetch(self, name: str) -> bytes | None:
        """What the archive holds under a name, None if nothing."""
        target = self.data / "fetched"
        done = self.programs.run(
            "wal-fetch",
            f"--config={self.config}",
            name,
            target.name,
            cwd=self.data,
            env={"WALSHIP_FETCH_TIMEOUT": "1s"},
        )
        if done.status == 1:
            return None
        assert done.status == 0, done.err
        content = target.read_bytes()
        target.unlink()
        return content

    def write(self, name: str, content: bytes) -> Path:
        path = self.wal / name
        path.write_bytes(content)
        shutil.chown(path, PG_USER, PG_USER)
        path.chmod(0o600)
        return path

    def segment(self, number: int) -> bytes:
        return (self.wal / SEGMENTS[number - 1]).read_bytes()

    def in_state(self, state: int) -> None:
        """Makes pg_control say that the server is in another state."""
        with open(self.data / "global/pg_control", "r+b") as file:
            file.seek(STATE_OFFSET)
            file.write(struct.pack("<I", state))


def copy_datadir(template: Path, target: Path) -> Path:
    (target / "global").mkdir(parents=True)
    shutil.copy(template / "global/pg_control", target / "global")
    shutil.copytree(template / "pg_wal", target / "pg_wal")
    for path in [target, *target.rglob("*")]:
        shutil.chown(path, PG_USER, PG_USER)
    return target


def damaged(content: bytes, at: int) -> bytes:
    return content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]


def write_segments(home: Path) -> Path:
    """The data directory of a cluster that has filled some segments."""
    cluster = Cluster(host_version(), home)
    try:
        cluster.initdb(wal_segsize_mb=1, conf={"wal_keep_size": "64MB"})
        first = "000000010000000000000A00"
        cluster.program("pg_resetwal", f"--next-wal-file={first}", cluster.data).check()
        cluster.start()
        cluster.sql("create table t (i int, pad text)")
        while cluster.current_segment() <= SEGMENTS[-1]:
            cluster.sql(
                "insert into t select i, md5(i::text) from generate_series(1, 999) i"
            )
        cluster.stop()
    finally:
        cluster.close()
    return cluster.data
