"""A PostgreSQL cluster of any tested version, with its whole life cycle.

Everything of a cluster lies in one directory: data, sockets, server log.  The
port, the sockets and fsync are set on the server's command line, so that a
data directory that came out of a restore starts as it is, unedited.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import psycopg2
import psycopg2.extensions

from .host import (
    DEADLINE_S,
    Result,
    at_work_in,
    free_ports,
    kill_pid,
    run,
    stop_family,
    wait_for,
    works_in,
)
from .roots import PG_USER, Root, root

SUPERUSER = "postgres"


class Cluster:
    """One data directory and the server that runs on it, if any.

    home must be reachable by the user postgres and short: its sockets' paths
    may have 107 bytes.
    """

    def __init__(
        self,
        version: int,
        home: Path,
        *,
        data: Path | None = None,
        fsync: bool = False,
        env: Mapping[str, str] | None = None,
    ) -> None:
        self.version = version
        self.home = home
        self.data = data or home / "data"
        self.config_dir = self.data
        self.port = free_ports()
        self.fsync = fsync
        self.env = dict(env or {})
        self.root: Root = root(version)
        self.sockets = home / "s"
        self.log_file = home / "server.log"
        self.sockets.mkdir(parents=True, exist_ok=True)
        for path in (home, self.sockets):
            shutil.chown(path, PG_USER, PG_USER)

    # --- making one ---------------------------------------------------------

    def initdb(
        self,
        *,
        wal_segsize_mb: int = 16,
        checksums: bool = False,
        group_access: bool = False,
        extra: Sequence[str] = (),
        conf: Mapping[str, str] | None = None,
        templates: Path | None = None,
    ) -> Cluster:
        """Makes the cluster; in templates, copies of earlier ones are kept.

        A copy is much quicker to have and is the same cluster: it has the
        system identifier of every other copy.
        """
        args = [
            "-U",
            SUPERUSER,
            "--auth=trust",
            "--no-sync",
            "--encoding=UTF8",
            "--locale=C",
            f"--wal-segsize={wal_segsize_mb}",
        ]
        if checksums:
            args.append("--data-checksums")
        elif self.version >= 18:
            args.append("--no-data-checksums")
        if group_access:
            args.append("--allow-group-access")
        args += extra
        if templates is None:
            self.program("initdb", "-D", self.data, *args).check()
        else:
            self._copy_template(templates, args)
        self._configure_first(conf or {})
        return self

    def _copy_template(self, templates: Path, args: Sequence[str]) -> None:
        name = hashlib.sha256(repr([self.version, *args]).encode()).hexdigest()[:16]
        template = templates / name
        if not template.exists():
            self.program("initdb", "-D", template, *args).check()
        run(["cp", "--archive", "--reflink=auto", template, self.data]).check()

    def createcluster(self, conf: Mapping[str, str] | None = None) -> Cluster:
        """As Debian makes a cluster: its configuration lies outside PGDATA."""
        config_root = self.home / "etc"
        self.root.run(
            [
                *("pg_createcluster", str(self.version), "main"),
                f"--datadir={self.data}",
                f"--socketdir={self.sockets}",
                f"--logfile={self.home / 'debian.log'}",
                f"--port={self.port}",
                "--start-conf=manual",
                *("--", f"--username={SUPERUSER}", "--auth=trust", "--no-sync"),
            ],
            cwd=self.home,
            env={"PG_CLUSTER_CONF_ROOT": str(config_root)},
            user="root",
        ).check()
        self.config_dir = config_root / str(self.version) / "main"
        self._configure_first(conf or {})
        return self

    def _configure_first(self, conf: Mapping[str, str]) -> None:
        settings = {
            "wal_level": "replica",
            "max_wal_senders": "10",
            "max_connections": "50",
            "shared_buffers": "32MB",
            "archive_timeout": "0",
            "log_line_prefix": "%m [%p] %b ",
        }
        if self.version >= 17:
            settings["summarize_wal"] = "on"
        self.configure({**settings, **conf})

    def configure(self, conf: Mapping[str, str]) -> None:
        """Appends settings to postgresql.conf; a later one wins."""
        with open(self.config_dir / "postgresql.conf", "a", encoding="utf-8") as file:
            for name, value in conf.items():
                quoted = value.replace("'", "''")
                file.write(f"{name} = '{quoted}'\n")

    def archive_with(self, command: str, **conf: str) -> None:
        """Archives with this command; takes effect at the next start."""
        self.configure({"archive_mode": "on", "archive_command": command, **conf})

    # --- its server ---------------------------------------------------------

    def _options(self) -> str:
        settings = {
            "port": str(self.port),
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": str(self.sockets),
            "fsync": "on" if self.fsync else "off",
        }
        if self.config_dir != self.data:
            settings["config_file"] = str(self.config_dir / "postgresql.conf")
        return " ".join(f"-c {name}={value}" for name, value in settings.items())

    def start(
        self,
        *,
        env: Mapping[str, str] | None = None,
        wait: bool = True,
        options: str = "",
        deadline_s: int = DEADLINE_S,
    ) -> Cluster:
        """Starts the server; env reaches archive_command and restore_command.

        Raises with the end of the server's log when it does not come up.
        """
        done = self._pg_ctl("start", wait, options, env, deadline_s)
        if done.status != 0:
            raise AssertionError(
                f"server did not start: {done.out}{done.err}\n{self.log()[-4000:]}"
            )
        return self

    def try_start(
        self, *, env: Mapping[str, str] | None = None, deadline_s: int = DEADLINE_S
    ) -> bool:
        """Starts a server that may refuse; false if it did not come up."""
        return self._pg_ctl("start", True, "", env, deadline_s).status == 0

    def _pg_ctl(
        self,
        action: str,
        wait: bool,
        options: str,
        env: Mapping[str, str] | None,
        deadline_s: int,
    ) -> Result:
        return self.program(
            "pg_ctl",
            f"--pgdata={self.data}",
            f"--log={self.log_file}",
            f"--options={self._options()} {options}",
            f"--timeout={deadline_s}",
            "--wait" if wait else "--no-wait",
            action,
            env=env,
            timeout_s=deadline_s + 30,
        )

    def stop(self, mode: str = "fast", *, deadline_s: int = DEADLINE_S) -> None:
        self.program(
            "pg_ctl",
            f"--pgdata={self.data}",
            f"--mode={mode}",
            f"--timeout={deadline_s}",
            "--wait",
            "stop",
            timeout_s=deadline_s + 30,
        ).check()

    def restart(self, mode: str = "fast", **start: Any) -> None:
        self.stop(mode)
        self.start(**start)

    def reload(self) -> None:
        self.program("pg_ctl", f"--pgdata={self.data}", "reload").check()

    def promote(self, *, wait: bool = True) -> None:
        self.program(
            "pg_ctl",
            f"--pgdata={self.data}",
            f"--timeout={DEADLINE_S}",
            "--wait" if wait else "--no-wait",
            "promote",
        ).check()

    def pid(self) -> int | None:
        """The postmaster's, None if no server runs on the data directory.

        The file of a killed one stays, and its number may be a stranger's by
        now.
        """
        try:
            text = (self.data / "postmaster.pid").read_text(encoding="utf-8")
            pid = abs(int(text.splitlines()[0]))
        except (FileNotFoundError, ValueError, IndexError):
            return None
        # Process 1 is a container's server, or this host's init: never ours.
        return pid if pid > 1 and works_in(pid, self.data) else None

    def running(self) -> bool:
        return self.pid() is not None

    def kill9(self) -> None:
        """Kills the whole server at once, its commands included."""
        pid = self.pid()
        if pid is None:
            return
        family = stop_family(pid)
        for member in family:
            kill_pid(member, signal.SIGKILL)
        # Until they are reaped: the next server looks at the old one's pid.
        wait_for(
            lambda: not any(Path(f"/proc/{member}").exists() for member in family),
            "the killed server is gone",
        )

    def wait_stopped(self, *, deadline_s: float = DEADLINE_S) -> None:
        wait_for(lambda: not self.running(), "the server ends", deadline_s=deadline_s)

    def close(self) -> None:
        """The end of a test: no server is left, whatever state it is in."""
        if self.running():
            with contextlib.suppress(AssertionError):
                self.stop("immediate", deadline_s=10)
        self.kill9()
        wait_for(lambda: not at_work_in(self.data), "nobody works in its directory")

    # --- talking to it ------------------------------------------------------

    def dsn(self, database: str = "postgres", user: str = SUPERUSER) -> str:
        return f"host={self.sockets} port={self.port} user={user} dbname={database}"

    def environment(self) -> dict[str, str]:
        """For programs that find a server as PostgreSQL's own clients do."""
        return {
            "PGHOST": str(self.sockets),
            "PGPORT": str(self.port),
            "PGUSER": SUPERUSER,
            "PGDATABASE": "postgres",
        }

    @contextlib.contextmanager
    def connect(
        self, database: str = "postgres", *, autocommit: bool = True
    ) -> Iterator[psycopg2.extensions.connection]:
        connection = psycopg2.connect(self.dsn(database), connect_timeout=30)
        try:
            connection.autocommit = autocommit
            yield connection
        finally:
            connection.close()

    def sql(
        self,
        statement: str,
        parameters: Sequence[Any] | None = None,
        *,
        database: str = "postgres",
    ) -> list[tuple[Any, ...]]:
        """Runs one statement outside a transaction block; its rows, if any."""
        with self.connect(database) as connection, connection.cursor() as cursor:
            cursor.execute(statement, parameters)
            return list(cursor.fetchall()) if cursor.description else []

    def value(
        self, statement: str, *parameters: Any, database: str = "postgres"
    ) -> Any:
        return self.sql(statement, parameters or None, database=database)[0][0]

    def wait_sql(
        self, statement: str, what: str = "", *, deadline_s: float = DEADLINE_S
    ) -> Any:
        """Waits until a statement's first value is true, also over restarts."""

        def holds() -> Any:
            with contextlib.suppress(psycopg2.Error):
                return self.value(statement)
            return None

        return wait_for(holds, what or statement, deadline_s=deadline_s)

    def switch_wal(self) -> str:
        """Ends the current segment, and returns its name."""
        self.sql("select pg_logical_emit_message(true, 'ground', 'switch')")
        return str(self.value("select pg_walfile_name(pg_switch_wal())"))

    def current_segment(self) -> str:
        return str(self.value("select pg_walfile_name(pg_current_wal_lsn())"))

    def system_identifier(self) -> int:
        return int(self.controldata()["Database system identifier"])

    def wait_archived(self, segment: str, *, deadline_s: float = DEADLINE_S) -> None:
        """Waits until the server counts a WAL file as archived."""
        done = self.data / "pg_wal" / "archive_status" / f"{segment}.done"

        def archived() -> bool:
            return done.exists() or bool(
                self.value(
                    "select last_archived_wal >= %s from pg_stat_archiver", segment
                )
            )

        wait_for(archived, f"{segment} is archived", deadline_s=deadline_s)

    # --- its programs -------------------------------------------------------

    def program(
        self,
        name: str,
        *args: str | os.PathLike[str],
        env: Mapping[str, str] | None = None,
        stdin: bytes | None = None,
        cwd: Path | None = None,
        timeout_s: float = 300,
    ) -> Result:
        """Runs a program of this version as postgres, against this server."""
        return self.root.run(
            [self.root.bindir / name, *args],
            cwd=cwd or self.home,
            env={
                **self.environment(),
                "HOME": str(self.home),
                **self.env,
                **(env or {}),
            },
            stdin=stdin,
            timeout_s=timeout_s,
        )

    def psql(self, script: str, *, database: str = "postgres") -> str:
        return (
            self.program(
                "psql",
                "--no-psqlrc",
                "--quiet",
                "--tuples-only",
                "--no-align",
                "--set=ON_ERROR_STOP=1",
                f"--dbname={database}",
                stdin=script.encode(),
            )
            .check()
            .out
        )

    def pgbench(self, *args: str, database: str = "postgres") -> Result:
        return self.program("pgbench", *args, database).check()

    def basebackup(self, target: Path, *args: str) -> None:
        """PostgreSQL's own base backup, as the yardstick."""
        self.program(
            "pg_basebackup",
            f"--pgdata={target}",
            "--checkpoint=fast",
            "--no-sync",
            *args,
        ).check()

    def verifybackup(self, target: Path, *args: str) -> Result:
        return self.program("pg_verifybackup", *args, target)

    def controldata(self, data: Path | None = None) -> dict[str, str]:
        out = self.program("pg_controldata", data or self.data).check().out
        pairs = (line.partition(":") for line in out.splitlines())
        return {name.strip(): value.strip() for name, _, value in pairs}

    # --- its log ------------------------------------------------------------

    def log(self, since: int = 0) -> str:
        """The server's log from a byte offset, as log_end() gives it."""
        if not self.log_file.exists():
            return ""
        return self.log_file.read_bytes()[since:].decode(errors="replace")

    def log_end(self) -> int:
        return self.log_file.stat().st_size if self.log_file.exists() else 0

    def wait_log(
        self, text: str, *, since: int = 0, deadline_s: float = DEADLINE_S
    ) -> None:
        try:
            wait_for(
                lambda: text in self.log(since),
                f"'{text}' in the server's log",
                deadline_s=deadline_s,
            )
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.log(since)[-4000:]}") from None


ClusterFactory = Callable[..., Cluster]
