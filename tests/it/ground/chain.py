"""A site whose backups build on one another."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .host import Daemon, run
from .pg import Cluster
from .roots import PG_USER
from .s3client import Bucket
from .site import Site
from .stored import Stored, stored_by


class Chain(Site):
    """A primary whose backups form a chain, and ways to look at them."""

    bucket: Bucket | None = None  # where the repository is, if not in a directory

    def __init__(self, *args: Any, **options: Any) -> None:
        # What changes is what a test changes, however long it takes.
        super().__init__(*args, conf={"autovacuum": "off"}, **options)

    def make_big(self) -> None:
        self.primary.sql(
            "create table big with (autovacuum_enabled = off)"
            " as select i, repeat(md5(i::text), 20) as t"
            " from generate_series(1, 60000) i"
        )
        self.primary.sql("create index on big (i)")
        self.primary.sql("vacuum (freeze, analyze) big")

    def stored(self) -> Stored:
        system = self.primary.system_identifier()
        return stored_by(self.config, system, self.bucket)

    def full(self) -> str:
        return self.backup("--full")

    def report(self) -> dict[str, Any]:
        return self.stored().reports("backup")[-1]

    def restored(self, backup: str) -> Cluster:
        """The backup's files, checked against the server's own manifest."""
        copy = self.copy()
        self.run("restore", backup, f"--target-dir={copy.data}").check()
        copy.verifybackup(copy.data, "--no-parse-wal").check()
        return copy

    def rebuilt(self, backup: str, target: Path) -> None:
        """The same by the second reader."""
        self.stored().rebuild(backup, target)
        run(["chown", "-R", f"{PG_USER}:{PG_USER}", str(target)]).check()
        self.primary.verifybackup(target, "--no-parse-wal").check()

    def begin(self, log: Path, *args: str) -> Daemon:
        """A backup that the test does not wait for."""
        command = ["setpriv", f"--reuid={PG_USER}", f"--regid={PG_USER}"]
        command += ["--clear-groups", "--", str(self.programs.path("walship"))]
        command += ["backup", f"--config={self.config}", "--checkpoint=fast"]
        return Daemon([*command, f"--dbname={self.primary.dsn()}", *args], log)
