"""A primary that archives into a repository, and a DBA's tools around it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from .host import Result
from .pg import Cluster, ClusterFactory
from .programs import Programs

# Every row of every table that pgbench writes, and of marks, as one number.
FINGERPRINT = """
select md5(string_agg(t, '|' order by t)) from (
  select format('a %s', x) t from pgbench_accounts x union all
  select format('b %s', x) from pgbench_branches x union all
  select format('t %s', x) from pgbench_tellers x union all
  select format('h %s', x) from pgbench_history x union all
  select format('m %s', x) from marks x) rows"""


class Site:
    def __init__(
        self,
        programs: Programs,
        new_cluster: ClusterFactory,
        config: Path,
        primary: Cluster | None = None,
        **initdb: Any,
    ) -> None:
        self.programs = programs
        self.new_cluster = new_cluster
        self.config = config
        if primary is None:
            primary = new_cluster(start=False, **initdb)
            primary.archive_with(f"{self.push} %p")
            primary.start()
        self.primary = primary

    @property
    def push(self) -> str:
        return f"{self.programs.path('wal-push')} --config={self.config}"

    def load(self) -> None:
        """pgbench's tables, and one for marks."""
        self.primary.pgbench("-i", "-s", "1", "-q")
        self.primary.sql("create table marks (n int primary key)")

    def run(self, command: str, *args: str | Path, **how: Any) -> Result:
        """Runs a walship command against the repository."""
        return self.programs.run(
            "walship",
            *(command, f"--config={self.config}", *args),
            env=self.primary.environment(),
            **how,
        )

    def backup(self, *args: str | Path, cluster: Cluster | None = None) -> str:
        source = cluster or self.primary
        done = self.programs.run(
            "walship",
            *("backup", f"--config={self.config}", "--checkpoint=fast", *args),
            env=source.environment(),
        )
        # A backup ends, for targets in time, with the second it ended in.
        self.primary.sql(
            "select pg_sleep(ceil(now) - now)"
            " from (select extract(epoch from clock_timestamp())) clock (now)"
        )
        return done.check().out.strip()

    def list(self) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = json.loads(self.run("list", "--json").check().out)
        return rows

    def settle(self) -> str:
        """All that was written so far is in the archive; the last segment."""
        segment = self.primary.switch_wal()
        self.primary.wait_archived(segment)
        return segment

    def mark(self, number: int) -> None:
        self.primary.sql("insert into marks values (%s)", [number])

    def copy(self) -> Cluster:
        """A cluster to be, without a data directory."""
        return self.new_cluster(create=False, version=self.primary.version)

    def restore(self, *args: str | Path, start: bool = True) -> Cluster:
        copy = self.copy()
        self.run("restore", *args, f"--target-dir={copy.data}").check()
        if start:
            copy.start()
        return copy

    def refuse(self, *args: str | Path, **how: Any) -> str:
        """A restore that must fail; what it says.  No server can start."""
        copy = self.copy()
        done = self.run("restore", *args, f"--target-dir={copy.data}", **how)
        assert done.status in (1, 2), done
        assert not (copy.data / "global" / "pg_control").exists()
        return done.err
