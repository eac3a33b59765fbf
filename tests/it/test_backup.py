"""walship backup: base backups of real servers, looked at in the store."""

from __future__ import annotations

import os
import re
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ground.fault import FaultProxy
from ground.host import Daemon, Result, kill_pid, run, unmount, wait_for
from ground.pg import Cluster, ClusterFactory
from ground.programs import Programs, write_config
from ground.roots import PG_USER
from ground.s3 import Gateway
from ground.s3client import Bucket
from ground.stored import Stored, stored_by

ID = re.compile(r"[0-9A-F]{16}-[0-9A-F]{8}-[0-9]{8}T[0-9]{6}Z")
MEMORY_MAX_KB = 256 * 1024


class Backup:
    """walship backup with one configuration."""

    def __init__(self, walship: Programs, config: Path, bucket: Bucket | None) -> None:
        self.walship = walship
        self.config = config
        self.bucket = bucket

    def args(self, cluster: Cluster, *more: str) -> list[str]:
        return [
            "backup",
            f"--config={self.config}",
            f"--host={cluster.sockets}",
            f"--port={cluster.port}",
            "--username=postgres",
            "--checkpoint=fast",
            *more,
        ]

    def run(self, cluster: Cluster, *more: str, **env: str) -> Result:
        return self.walship.run("walship", *self.args(cluster, *more), env=env)

    def id(self, cluster: Cluster, *more: str) -> str:
        """A backup that must succeed, by its id."""
        done = self.run(cluster, *more).check()
        assert ID.fullmatch(done.out.strip()), done.out
        return done.out.strip()

    def start(self, cluster: Cluster, log: Path, *more: str) -> Daemon:
        """In the background, with postgres as its user."""
        return Daemon(
            [
                *("setpriv", f"--reuid={PG_USER}", f"--regid={PG_USER}"),
                *("--clear-groups", "--", str(self.walship.path("walship"))),
                *self.args(cluster, *more),
            ],
            log,
        )

    def stored(self, cluster: Cluster) -> Stored:
        return stored_by(self.config, cluster.system_identifier(), self.bucket)


@pytest.fixture
def backup(request: pytest.FixtureRequest, walship: Programs, config: Path) -> Backup:
    s3 = config.name.endswith("-s3.conf")
    return Backup(walship, config, request.getfixturevalue("bucket") if s3 else None)


@pytest.fixture
def dir_backup(walship: Programs, dir_config: Path) -> Backup:
    """For what does not depend on the store."""
    return Backup(walship, dir_config, None)


@pytest.fixture
def gate(work_dir: Path) -> Path:
    """While this file does not exist, gated clusters archive nothing."""
    return work_dir / "gate"


@pytest.fixture
def archiving(
    new_cluster: ClusterFactory, walship: Programs, gate: Path
) -> Callable[..., Cluster]:
    """Makes clusters that archive with wal-push, if need be through the gate."""

    def make(config: Path, *, gated: bool = False, **options: object) -> Cluster:
        cluster = new_cluster(start=False, **options)
        command = walship.command("wal-push", "%p", WALSHIP_CONFIG=config)
        cluster.archive_with(f"test -e {gate} && {command}" if gated else command)
        return cluster.start()

    return make


@pytest.fixture
def processes() -> Iterator[list[Daemon]]:
    made: list[Daemon] = []
    yield made
    for process in made:
        process.kill()


def said(process: Daemon) -> str:
    return process.log.read_text(encoding="utf-8", errors="replace")


def ended(process: Daemon) -> str:
    wait_for(lambda: not process.running(), "the backup ends")
    return said(process)


def wait_said(process: Daemon, text: str) -> None:
    wait_for(lambda: text in said(process), f"'{text}' in the backup's output")


def own(data: Path) -> None:
    run(["chown", "-R", f"{PG_USER}:{PG_USER}", str(data)]).check()


def start_rebuilt(
    new_cluster: ClusterFactory, data: Path, walship: Programs, config: Path
) -> Cluster:
    """A server on a rebuilt data directory, recovered from the archive."""
    fetch = walship.command("wal-fetch", "%f", "%p", WALSHIP_CONFIG=config)
    with open(data / "postgresql.auto.conf", "a", encoding="utf-8") as file:
        file.write(f"restore_command = '{fetch}'\narchive_mode = off\n")
    (data / "recovery.signal").touch()
    own(data)
    cluster = new_cluster(create=False, data=data)
    cluster.start()
    cluster.wait_sql("select not pg_is_in_recovery()")
    return cluster


# --- what is stored -----------------------------------------------------------


@pytest.mark.versions
def test_rebuilt_backup_recovers(
    backup: Backup,
    archiving: Callable[..., Cluster],
    new_cluster: ClusterFactory,
    work_dir: Path,
) -> None:
    """Read back by the independent reader, it is what the server sent."""
    cluster = archiving(backup.config, checksums=True)
    cluster.pgbench("--initialize", "--quiet", "--scale=1")
    cluster.sql(
        "create table holes as select repeat('x', 100) from " "generate_series(1, 1000)"
    )
    cluster.sql("create unlogged table quick as select 1 as x")
    cluster.sql("create table empty_one ()")
    made = backup.id(cluster, '--label=it\'s a "label"')

    stored = backup.stored(cluster)
    assert stored.backups() == [made]
    data = work_dir / "rebuilt"
    manifest = stored.rebuild(made, data)
    own(data)
    cluster.verifybackup(data, "--no-parse-wal").check()

    summary = manifest.summary
    assert summary["id"] == made
    assert summary["label"] == 'it\'s a "label"'
    assert summary["bases"] == [] and summary["requires"] == ["maps"]
    assert summary["full"] == made
    assert summary["server_version"] // 10000 == cluster.version
    assert summary["system_identifier"] == str(cluster.system_identifier())
    assert summary["data_checksums"] is True
    assert summary["data_directory_mode"] == "0700"
    assert summary["from_standby"] is False
    assert summary["clock"] == "server"
    assert summary["start_time"] <= summary["stop_time"]
    assert summary["page_size"] == 8192
    assert summary["wal_segment_size"] == 16 << 20
    assert all(not file.extents for file in manifest.files if file.size == 0)
    assert stored.reports("backup")[0]["outcome"] == "ok"

    copy = start_rebuilt(new_cluster, data, backup.walship, backup.config)
    for table in ("pgbench_accounts", "holes"):
        count = f"select count(*), sum(hashtext(t::text)) from {table} t"
        assert copy.sql(count) == cluster.sql(count)
    assert copy.value("select count(*) from quick") == 0


@pytest.mark.versions
def test_tablespaces(
    dir_backup: Backup,
    archiving: Callable[..., Cluster],
    new_cluster: ClusterFactory,
    work_dir: Path,
) -> None:
    """One behind a symbolic link, and one inside the data directory."""
    settings = {"allow_in_place_tablespaces": "on"}
    cluster = archiving(dir_backup.config, conf=settings)
    outside = cluster.home / "a space"
    outside.mkdir(mode=0o700)
    shutil.chown(outside, PG_USER, PG_USER)
    with cluster.connect() as connection, connection.cursor() as cursor:
        cursor.execute("create tablespace outside location %s", (str(outside),))
        cursor.execute("create tablespace inside location ''")
    for name in ("outside", "inside"):
        cluster.sql(
            f"create table t_{name} tablespace {name} as "
            "select generate_series(1, 10000) as i"
        )
    made = dir_backup.id(cluster)

    stored = dir_backup.stored(cluster)
    spaces = cluster.sql("select spcname, oid::int from pg_tablespace")
    oids: dict[str, int] = {name: oid for name, oid in spaces}
    data = work_dir / "rebuilt"
    manifest = stored.rebuild(made, data)
    located = {oid: os.fsdecode(place) for oid, place in manifest.tablespaces.items()}
    assert located.pop(oids["outside"]) == str(outside)
    # Old servers do not tell that one inside is a tablespace.
    assert located in ({}, {oids["inside"]: f"pg_tblspc/{oids['inside']}"})
    known: set[str] = set()
    for path in map(os.fsdecode, manifest.dirs):
        parent = path.rpartition("/")[0]
        if parent == f"pg_tblspc/{oids['outside']}":
            parent = "pg_tblspc"  # no directory of the backup, but a link
        assert not parent or parent in known, f"{path} comes before {parent}"
        known.add(path)
    own(data)
    cluster.verifybackup(data, "--no-parse-wal").check()

    # The new server finds the linked one where it has been put.
    cluster.stop()
    run(["rm", "-rf", str(outside)]).check()
    (data / "pg_tblspc" / str(oids["outside"])).rename(outside)
    (data / "pg_tblspc" / str(oids["outside"])).symlink_to(outside)
    copy = start_rebuilt(new_cluster, data, dir_backup.walship, dir_backup.config)
    for name in ("outside", "inside"):
        assert copy.value(f"select sum(i) from t_{name}") == 50005000


def test_changes_during_backup(
    dir_backup: Backup,
    archiving: Callable[..., Cluster],
    new_cluster: ClusterFactory,
    work_dir: Path,
    processes: list[Daemon],
) -> None:
    """Relations, databases and tablespaces that come and go meanwhile."""
    settings = {"allow_in_place_tablespaces": "on", "max_wal_size": "32MB"}
    cluster = archiving(dir_backup.config, conf={**settings, "min_wal_size": "32MB"})
    cluster.pgbench("--initialize", "--quiet", "--scale=1")
    cluster.sql("create tablespace goes location ''")
    cluster.sql("create table gone tablespace goes as select 1 as x")
    process = dir_backup.start(cluster, work_dir / "b.log", "--max-rate=4M")
    processes.append(process)
    wait_said(process, "receiving from")
    cluster.sql("drop table gone")
    cluster.sql("drop tablespace goes")
    outside = cluster.home / "later"
    outside.mkdir(mode=0o700)
    shutil.chown(outside, PG_USER, PG_USER)
    cluster.sql(f"create tablespace later location '{outside}'")
    cluster.sql("create database other")
    cluster.sql("create table t tablespace later as select generate_series(1, 999)")
    cluster.pgbench("--initialize", "--quiet", "--scale=5")
    cluster.pgbench("--time=3", "--client=2")
    cluster.sql("truncate pgbench_history")
    made = ended(process).split()[-1]

    cluster.switch_wal()
    cluster.stop()
    data = work_dir / "rebuilt"
    dir_backup.stored(cluster).rebuild(made, data)
    own(data)
    cluster.verifybackup(data, "--no-parse-wal").check()
    run(["rm", "-rf", *map(str, outside.iterdir())]).check()
    copy = start_rebuilt(new_cluster, data, dir_backup.walship, dir_backup.config)
    assert copy.value("select count(*) from t") == 999
    assert copy.value("select count(*) from pgbench_accounts") == 500000
    assert copy.value("select count(*) from pg_database where datname = 'other'") == 1


def test_large_files_and_holes(
    dir_backup: Backup, archiving: Callable[..., Cluster], work_dir: Path
) -> None:
    """Files that span packs, and zeros, which are not stored."""
    cluster = archiving(dir_backup.config)
    cluster.sql("create extension pgcrypto")
    cluster.sql(
        "create table noise as select gen_random_bytes(1000) as b from "
        "generate_series(1, 40000)"
    )
    cluster.sql("checkpoint")
    zeros = cluster.data / "zeros"
    with open(zeros, "wb") as file:
        file.truncate(5 * 1048576 + 77)
    with open(cluster.data / "mostly_zeros", "wb") as file:
        file.truncate(5 * 1048576)
        file.seek(3 * 1048576 + 5)
        file.write(b"x")
    (
        cluster.data / "a\xffb".encode("latin-1").decode("utf-8", "surrogateescape")
    ).write_bytes(b"not UTF-8")
    made = dir_backup.id(cluster)

    stored = dir_backup.stored(cluster)
    data = work_dir / "rebuilt"
    manifest = stored.rebuild(made, data)
    by_path = {file.path: file for file in manifest.files}
    assert by_path[b"zeros"].extents == [(-1, 0, 5 * 1048576 + 77)]
    kinds = [extent[0] for extent in by_path[b"mostly_zeros"].extents]
    assert len(kinds) == 3 and kinds[0] == kinds[2] == -1
    noise = cluster.value("select pg_relation_filepath('noise')")
    assert len({extent[0] for extent in by_path[noise.encode()].extents}) >= 3
    assert by_path[b"a\xffb"].size == 9
    own(data)
    cluster.verifybackup(data, "--no-parse-wal").check()
    for name in ("zeros", "mostly_zeros", noise):
        assert (data / name).read_bytes() == (cluster.data / name).read_bytes()


def test_group_access(dir_backup: Backup, archiving: Callable[..., Cluster]) -> None:
    cluster = archiving(dir_backup.config, group_access=True)
    manifest = dir_backup.stored(cluster).manifest(dir_backup.id(cluster))
    assert manifest.summary["data_directory_mode"] == "0750"
    assert set(manifest.dirs.values()) == {0o750}
    assert {file.mode for file in manifest.files} == {0o640}


def test_unsealed(
    walship: Programs,
    archiving: Callable[..., Cluster],
    repo_dir: Path,
    work_dir: Path,
) -> None:
    config = write_config(
        work_dir / "plain.conf", repository=f"file://{repo_dir}", encryption="none"
    )
    backup = Backup(walship, config, None)
    cluster = archiving(config)
    made = backup.id(cluster)
    data = work_dir / "rebuilt"
    backup.stored(cluster).rebuild(made, data)
    own(data)
    cluster.verifybackup(data, "--no-parse-wal").check()


# --- what is recorded of the server -------------------------------------------


@pytest.mark.versions
def test_configuration_outside(
    dir_backup: Backup, new_cluster: ClusterFactory, walship: Programs
) -> None:
    """A cluster as Debian makes it: its configuration is stored too."""
    cluster = new_cluster(start=False, debian=True)
    included = cluster.config_dir / "conf.d" / "extra.conf"
    included.parent.mkdir(exist_ok=True)
    included.write_text("work_mem = '5MB'\n")
    overridden = cluster.config_dir / "overridden.conf"
    overridden.write_text("work_mem = '7MB'\n")
    cluster.configure({"include": "overridden.conf"})
    cluster.configure({"include_dir": "conf.d"})
    names = {"postgresql.conf", "pg_hba.conf", "pg_ident.conf"}
    names |= {"conf.d/extra.conf", "overridden.conf"}
    if cluster.version >= 16:
        rules = cluster.config_dir / "rules.conf"
        rules.write_text("local nowhere nobody reject\n")
        with open(cluster.config_dir / "pg_hba.conf", "a", encoding="utf-8") as hba:
            hba.write("include rules.conf\n")
        names.add("rules.conf")
    run(["chown", "-R", f"{PG_USER}:{PG_USER}", str(cluster.config_dir)]).check()
    command = walship.command("wal-push", "%p", WALSHIP_CONFIG=dir_backup.config)
    cluster.archive_with(command, primary_conninfo="host=h password=topsecret")
    cluster.start()
    stored = dir_backup.stored(cluster)
    made = dir_backup.id(cluster)
    manifest = stored.manifest(made)

    paths = {os.fsdecode(file.path) for file in manifest.configs}
    assert paths == {str(cluster.config_dir / name) for name in names}
    for file in manifest.configs:
        there = Path(os.fsdecode(file.path)).read_bytes()
        assert stored.file_content(manifest, file) == there

    settings = stored.settings(made)
    assert settings["work_mem"] == {
        "type": "setting",
        "name": "work_mem",
        "value": "5120",
        "source": "configuration file",
    }
    assert "primary_conninfo" not in settings
    assert "topsecret" not in str(settings)
    assert settings["config_file"]["value"] == str(
        cluster.config_dir / "postgresql.conf"
    )


GRANTS = (
    "grant pg_read_all_settings, pg_read_server_files to backup",
    "grant execute on function pg_read_binary_file(text) to backup",
)


def test_least_privilege(
    dir_backup: Backup, new_cluster: ClusterFactory, walship: Programs
) -> None:
    """REPLICATION alone is enough; each missing grant is named."""
    cluster = new_cluster(start=False, debian=True)
    command = walship.command("wal-push", "%p", WALSHIP_CONFIG=dir_backup.config)
    cluster.archive_with(command)
    cluster.start()
    cluster.sql("create role backup login replication")
    stored = dir_backup.stored(cluster)

    bare = dir_backup.run(cluster, "--username=backup").check()
    assert "GRANT pg_read_all_settings" in bare.err
    assert not stored.manifest(bare.out.strip()).configs

    cluster.sql("grant pg_read_all_settings to backup")
    some = dir_backup.run(cluster, "--username=backup").check()
    assert "GRANT pg_read_server_files" in some.err
    assert "pg_read_binary_file(text)" in some.err
    assert not stored.manifest(some.out.strip()).configs

    for grant in GRANTS:
        cluster.sql(grant)
    full = dir_backup.run(cluster, "--username=backup").check()
    assert "WARNING" not in full.err
    assert len(stored.manifest(full.out.strip()).configs) == 3

    # A role that pg_hba.conf lets in for replication only.
    hba = cluster.config_dir / "pg_hba.conf"
    hba.write_text("local replication backup trust\nlocal all postgres trust\n")
    cluster.reload()
    only = dir_backup.run(cluster, "--username=backup").check()
    assert "no pg_hba.conf entry" in only.err
    summary = stored.manifest(only.out.strip()).summary
    assert summary["clock"] == "client"

    cluster.sql("alter role backup noreplication")
    refused = dir_backup.run(cluster, "--username=backup")
    assert refused.status == 1 and refused.out == ""
    assert len(stored.backups()) == 4


REVOKE = "revoke execute on function clock_timestamp() from public"


def test_clock(
    dir_backup: Backup,
    archiving: Callable[..., Cluster],
    work_dir: Path,
    processes: list[Daemon],
) -> None:
    """Both times are the server's, or neither, and that is said."""
    cluster = archiving(dir_backup.config)
    cluster.sql("create role backup login replication")
    log = work_dir / "b.log"
    process = dir_backup.start(cluster, log, "--username=backup", "--max-rate=4M")
    processes.append(process)
    wait_said(process, "receiving from")
    cluster.sql(REVOKE)
    output = ended(process)
    assert "this host's clock" in output and "clock_timestamp" in output
    manifest = dir_backup.stored(cluster).manifest(output.split()[-1])
    assert manifest.summary["clock"] == "client"
    done = dir_backup.run(cluster, "--username=backup").check()
    assert "are not recorded in full" in done.err
    manifest = dir_backup.stored(cluster).manifest(done.out.strip())
    assert manifest.summary["clock"] == "client"


def test_connects_like_postgresql_clients(
    dir_backup: Backup, archiving: Callable[..., Cluster]
) -> None:
    """PG* environment, connection string, password; never shown."""
    cluster = archiving(dir_backup.config)
    cluster.sql("create role me login superuser password 'pass word'")
    config = f"--config={dir_backup.config}"
    fast = "--checkpoint=fast"
    environment = cluster.environment()
    walship = dir_backup.walship
    walship.run("walship", "backup", config, fast, env=environment).check()
    (cluster.data / "pg_hba.conf").write_text(
        "local all postgres trust\nlocal all,replication me scram-sha-256\n"
    )
    cluster.reload()
    conninfo = f"host={cluster.sockets} port={cluster.port} user=me"
    with_password = f"{conninfo} password='pass word'"
    walship.run("walship", "backup", config, fast, "-d", with_password).check()

    outcomes = [
        walship.run("walship", "backup", config, fast, "-d", f"{conninfo} {bad}")
        for bad in ("password=wrongword", "password='x", "password=a wrongword")
    ]
    for refused in outcomes:
        assert refused.status != 0 and refused.out == ""
        assert "wrongword" not in refused.err
    none = walship.run("walship", "backup", config, fast, "-w", "-d", conninfo)
    assert none.status == 1 and "password" in none.err


@pytest.mark.parametrize(
    "arguments",
    [
        ["--checkpoint=slow"],
        ["--max-rate=31"],
        ["--max-rate=2G"],
        ["--max-rate=1048577"],
        ["--label=a\nb"],
        ["--label=" + "x" * 1001],
        ["--unknown"],
        ["extra"],
    ],
)
def test_usage(walship: Programs, arguments: list[str]) -> None:
    done = walship.run("walship", "backup", *arguments)
    assert done.status == 2 and done.out == ""
    assert len(done.err.splitlines()) <= 2 and "--help" in done.err


def test_help(walship: Programs) -> None:
    done = walship.run("walship", "backup", "--help").check()
    assert all(len(line) <= 80 for line in done.out.splitlines())
    for option in ("--dbname", "--label", "--checkpoint", "--max-rate", "--config"):
        assert option in done.out


# --- standbys and timelines ---------------------------------------------------


@pytest.fixture
def standby(
    new_cluster: ClusterFactory,
) -> Callable[[Cluster], Cluster]:
    def make(primary: Cluster) -> Cluster:
        copy = new_cluster(create=False)
        primary.basebackup(copy.data, "--write-recovery-conf")
        copy.start()
        return copy

    return make


@pytest.mark.versions
def test_standby_and_promotion(
    dir_backup: Backup,
    archiving: Callable[..., Cluster],
    standby: Callable[[Cluster], Cluster],
    new_cluster: ClusterFactory,
    work_dir: Path,
) -> None:
    """From a standby; then from it as primary of a new timeline."""
    primary = archiving(dir_backup.config)
    copy = standby(primary)
    primary.sql("create table t as select generate_series(1, 1000) as i")
    primary.sql("checkpoint")
    primary.switch_wal()
    log = work_dir / "standby.log"
    process = dir_backup.start(copy, log)
    # Its last segment is archived when the primary is done with it.
    wait_for(lambda: primary.switch_wal() and not process.running(), "the backup ends")
    process.stop()
    stored = dir_backup.stored(primary)
    assert len(stored.backups()) == 1, said(process)
    summary = stored.manifest(stored.backups()[0]).summary
    assert summary["from_standby"] is True and summary["timeline"] == 1

    primary.stop()
    copy.promote()
    stored_history = "wal/00000002/00000002.history"
    if stored_history in stored.names():
        # As if this repository were new to a cluster that is on timeline 2.
        stored.delete(stored_history)
    made = dir_backup.id(copy)
    assert made.split("-")[1] == "00000002"
    history = (copy.data / "pg_wal" / "00000002.history").read_bytes()
    assert stored.content(stored_history) == history
    data = work_dir / "rebuilt"
    manifest = stored.rebuild(made, data)
    assert manifest.summary["timeline"] == 2
    assert manifest.summary["from_standby"] is False
    again = start_rebuilt(new_cluster, data, dir_backup.walship, dir_backup.config)
    assert again.value("select count(*) from t") == 1000


def test_promotion_during_backup(
    dir_backup: Backup,
    archiving: Callable[..., Cluster],
    standby: Callable[[Cluster], Cluster],
    work_dir: Path,
    processes: list[Daemon],
) -> None:
    """The server refuses such a backup, at its end."""
    primary = archiving(dir_backup.config)
    copy = standby(primary)
    process = dir_backup.start(copy, work_dir / "b.log", "--max-rate=4M")
    processes.append(process)
    wait_said(process, "receiving from")
    copy.promote()
    assert "promoted" in ended(process)
    assert dir_backup.stored(primary).backups() == []


def test_foreign_history_refused(
    dir_backup: Backup,
    archiving: Callable[..., Cluster],
    standby: Callable[[Cluster], Cluster],
) -> None:
    """Two servers promoted to one timeline: the archive is the other's."""
    primary = archiving(dir_backup.config)
    first, second = standby(primary), standby(primary)
    for copy in (first, second):
        copy.sql("alter system set archive_mode = off")
    primary.sql("create table t as select 1")
    primary.switch_wal()
    primary.stop()
    for copy in (first, second):
        copy.promote()
    first.sql("alter system reset archive_mode")
    first.restart()
    dir_backup.id(first)
    second.sql("select pg_logical_emit_message(true, 'x', 'y')")
    second.sql("alter system reset archive_mode")
    history = "wal/00000002/00000002.history"
    stored = dir_backup.stored(first)
    text = stored.content(history)
    (second.data / "pg_wal" / "00000002.history").write_bytes(text + b"# other\n")
    refused = dir_backup.run(second, "--set=archive_wait=1s")
    assert refused.status == 1
    assert f'"{history}" in the archive is not this server\'s' in refused.err
    assert len(stored.backups()) == 1


def test_idle_standby_says_what_to_do(
    dir_backup: Backup,
    archiving: Callable[..., Cluster],
    standby: Callable[[Cluster], Cluster],
) -> None:
    primary = archiving(dir_backup.config)
    copy = standby(primary)
    primary.sql("create table t as select generate_series(1, 10000) as i")
    primary.sql("checkpoint")
    lsn = primary.value("select pg_current_wal_flush_lsn()")
    copy.wait_sql(f"select pg_last_wal_replay_lsn() >= '{lsn}'")
    copy.sql("checkpoint")
    done = dir_backup.run(copy, "--set=archive_wait=1s")
    assert done.status == 1 and done.out == ""
    assert "did not come into the archive" in done.err
    assert "pg_switch_wal()" in done.err


# --- what fails, and how ------------------------------------------------------


def test_no_archiving(dir_backup: Backup, cluster: Cluster) -> None:
    done = dir_backup.run(cluster, "--set=archive_wait=1s")
    assert done.status == 1 and done.out == ""
    assert "archive_mode is off" in done.err
    assert "archive_command" in done.err and "archive_wait" in done.err
    stored = dir_backup.stored(cluster)
    assert stored.backups() == []
    (report,) = stored.reports("backup")
    assert report["outcome"] == "failed"
    assert "did not come into the archive" in report["message"]
    assert report["backup"] in {n.split("/")[1] for n in stored.names("backup/")}


def test_waits_for_wal(
    dir_backup: Backup,
    archiving: Callable[..., Cluster],
    gate: Path,
    work_dir: Path,
    processes: list[Daemon],
) -> None:
    """The manifest comes last, when the archive holds what it needs."""
    cluster = archiving(dir_backup.config, gated=True)
    process = dir_backup.start(cluster, work_dir / "backup.log")
    processes.append(process)
    wait_said(process, "waiting for WAL segment")
    stored = dir_backup.stored(cluster)
    assert any("/pack/" in name for name in stored.names("backup/"))
    assert stored.backups() == [] and stored.reports("backup") == []
    gate.touch()
    output = ended(process)
    assert stored.backups() == [output.split()[-1]]


def waiting_for_wal(
    dir_backup: Backup, cluster: Cluster, log: Path, processes: list[Daemon]
) -> Daemon:
    process = dir_backup.start(cluster, log)
    processes.append(process)
    wait_said(process, "waiting for WAL segment")
    return process


def test_lost_pack_is_noticed(
    backup: Backup,
    archiving: Callable[..., Cluster],
    gate: Path,
    work_dir: Path,
    processes: list[Daemon],
) -> None:
    cluster = archiving(backup.config, gated=True)
    process = waiting_for_wal(backup, cluster, work_dir / "b.log", processes)
    stored = backup.stored(cluster)
    pack = [name for name in stored.names("backup/") if "/pack/" in name][-1]
    stored.delete(pack)
    gate.touch()
    assert pack in ended(process)
    assert stored.backups() == []


def test_too_old_to_publish(
    dir_backup: Backup,
    archiving: Callable[..., Cluster],
    gate: Path,
    work_dir: Path,
    processes: list[Daemon],
) -> None:
    """More than half of backup_max_age by the store's clock."""
    cluster = archiving(dir_backup.config, gated=True)
    process = waiting_for_wal(dir_backup, cluster, work_dir / "b.log", processes)
    stored = dir_backup.stored(cluster)
    (start,) = [name for name in stored.names("backup/") if name.endswith("/start")]
    then = time.time() - 3.5 * 86400 - 5
    os.utime(stored.file(start), (then, then))
    gate.touch()
    assert "backup_max_age" in ended(process)
    assert stored.backups() == []


def test_bad_page_checksum(
    dir_backup: Backup, archiving: Callable[..., Cluster]
) -> None:
    """The server finds it only at the end: no backup, and the file is named."""
    cluster = archiving(dir_backup.config, checksums=True)
    cluster.sql("create table t as select generate_series(1, 10000) as i")
    cluster.sql("checkpoint")
    path = cluster.value("select pg_relation_filepath('t')")
    cluster.stop()
    with open(cluster.data / path, "r+b") as file:
        file.seek(8192 + 4000)
        file.write(b"damage")
    cluster.start()
    done = dir_backup.run(cluster)
    assert done.status == 1 and done.out == ""
    last = done.err.splitlines()[-1]
    assert "ERROR" in last and path in last
    stored = dir_backup.stored(cluster)
    assert stored.backups() == []
    assert stored.reports("backup")[0]["outcome"] == "failed"


def test_other_cluster_refused(
    dir_backup: Backup, archiving: Callable[..., Cluster], repo_dir: Path
) -> None:
    cluster = archiving(dir_backup.config)
    other = cluster.system_identifier() + 1
    done = dir_backup.run(cluster, f"--cluster={other}")
    assert done.status == 2 and str(other) in done.err
    done = dir_backup.run(cluster, WALSHIP_CLUSTER=str(other))
    assert done.status == 2 and str(cluster.system_identifier()) in done.err
    assert not dir_backup.stored(cluster).names("backup/")


@pytest.mark.parametrize("sig", [signal.SIGINT, signal.SIGTERM])
def test_cancelled(
    dir_backup: Backup,
    archiving: Callable[..., Cluster],
    work_dir: Path,
    processes: list[Daemon],
    sig: signal.Signals,
) -> None:
    """The server's side ends too, and the report says so."""
    cluster = archiving(dir_backup.config)
    process = dir_backup.start(cluster, work_dir / "b.log", "--max-rate=32")
    processes.append(process)
    wait_said(process, "receiving from")
    kill_pid(process.pid, sig)
    output = ended(process)
    assert "cancel" in output and ID.search(output.splitlines()[-1]) is None
    busy = "select count(*) from pg_stat_activity where backend_type = 'walsender'"
    wait_for(lambda: bool(cluster.value(busy) == 0), "the walsender ends")
    stored = dir_backup.stored(cluster)
    assert stored.backups() == []
    assert stored.reports("backup")[0]["outcome"] == "failed"


def test_cancelled_before_checkpoint_ends(
    dir_backup: Backup,
    archiving: Callable[..., Cluster],
    work_dir: Path,
    processes: list[Daemon],
) -> None:
    cluster = archiving(dir_backup.config)
    cluster.configure({"log_checkpoints": "on"})
    cluster.reload()
    cluster.pgbench("--initialize", "--quiet", "--scale=1")
    log = work_dir / "b.log"
    process = dir_backup.start(cluster, log, "--checkpoint=spread")
    processes.append(process)
    cluster.wait_log("checkpoint starting: force wait")
    kill_pid(process.pid, signal.SIGTERM)
    assert "cancel" in ended(process)
    assert dir_backup.stored(cluster).reports("backup")[0]["outcome"] == "failed"


def test_killed(
    dir_backup: Backup,
    archiving: Callable[..., Cluster],
    work_dir: Path,
    processes: list[Daemon],
) -> None:
    """Leaves what counts for nothing; the next backup is a good one."""
    cluster = archiving(dir_backup.config)
    process = dir_backup.start(cluster, work_dir / "b.log", "--max-rate=32")
    processes.append(process)
    wait_said(process, "receiving from")
    process.kill()
    stored = dir_backup.stored(cluster)
    assert stored.backups() == []
    assert [name for name in stored.names("backup/") if name.endswith("/start")]
    made = dir_backup.id(cluster)
    assert stored.backups() == [made]


def test_server_dies(
    dir_backup: Backup,
    archiving: Callable[..., Cluster],
    work_dir: Path,
    processes: list[Daemon],
) -> None:
    cluster = archiving(dir_backup.config)
    process = dir_backup.start(cluster, work_dir / "b.log", "--max-rate=32")
    processes.append(process)
    wait_said(process, "receiving from")
    cluster.kill9()
    output = ended(process)
    assert "ERROR" in output
    stored = dir_backup.stored(cluster)
    assert stored.backups() == []
    assert stored.reports("backup")[0]["outcome"] == "failed"


def test_server_stops(
    dir_backup: Backup,
    archiving: Callable[..., Cluster],
    work_dir: Path,
    processes: list[Daemon],
) -> None:
    cluster = archiving(dir_backup.config)
    process = dir_backup.start(cluster, work_dir / "b.log", "--max-rate=32")
    processes.append(process)
    wait_said(process, "receiving from")
    cluster.stop("immediate")
    assert "ERROR" in ended(process)
    assert dir_backup.stored(cluster).backups() == []


def test_two_at_once(
    dir_backup: Backup,
    archiving: Callable[..., Cluster],
    work_dir: Path,
    processes: list[Daemon],
) -> None:
    cluster = archiving(dir_backup.config)
    for number in range(2):
        processes.append(dir_backup.start(cluster, work_dir / f"b{number}.log"))
    made = sorted(ended(process).split()[-1] for process in processes)
    stored = dir_backup.stored(cluster)
    assert stored.backups() == made and len(set(made)) == 2
    for number, one in enumerate(made):
        data = work_dir / f"rebuilt{number}"
        stored.rebuild(one, data)
        own(data)
        cluster.verifybackup(data, "--no-parse-wal").check()


def test_repository_full(
    walship: Programs,
    key_file: Path,
    archiving: Callable[..., Cluster],
    work_dir: Path,
) -> None:
    """The first error ends the backup, and names what could not be stored."""
    small = work_dir / "small"
    small.mkdir()
    run(["mount", "-t", "tmpfs", "-o", "size=3m,mode=0777", "none", str(small)]).check()
    try:
        config = write_config(
            work_dir / "small.conf",
            repository=f"file://{small}",
            key_file=key_file,
            command_timeout="5s",
        )
        cluster = archiving(config)
        done = Backup(walship, config, None).run(cluster)
        assert done.status == 1 and done.out == ""
        assert "/pack/" in done.err
    finally:
        unmount(small)


# --- a bad network to the store -----------------------------------------------


@pytest.fixture
def behind_proxy(
    walship: Programs,
    bucket: Bucket,
    gateway: Gateway,
    fault_proxy: FaultProxy,
    s3_config: Path,
    work_dir: Path,
) -> Backup:
    """As s3_config, but through the bad network; WAL goes the good way."""
    text = s3_config.read_text(encoding="utf-8")
    config = work_dir / "walship-proxy-s3.conf"
    config.write_text(text.replace(gateway.endpoint, fault_proxy.endpoint))
    shutil.chown(config, PG_USER, PG_USER)
    config.chmod(0o600)
    return Backup(walship, config, bucket)


@pytest.mark.parametrize(
    "faults",
    [
        {"http": 503, "on": "PUT .*", "first": 6, "early": True},
        {"eat": True, "on": "PUT .*/pack/", "first": 3},
        {"eat": True, "on": "PUT .*/(manifest|start|report)", "first": 4},
        {"cut_up": 300000, "first": 4},
        {"refuse": True, "first": 3},
    ],
    ids=["503", "eaten packs", "eaten others", "cut", "refused"],
)
def test_store_faults_are_survived(
    behind_proxy: Backup,
    s3_config: Path,
    archiving: Callable[..., Cluster],
    fault_proxy: FaultProxy,
    work_dir: Path,
    faults: dict[str, object],
) -> None:
    cluster = archiving(s3_config)
    fault_proxy.set(**faults)
    made = behind_proxy.id(cluster)
    stored = behind_proxy.stored(cluster)
    assert stored.backups() == [made]
    data = work_dir / "rebuilt"
    stored.rebuild(made, data)
    own(data)
    cluster.verifybackup(data, "--no-parse-wal").check()


@pytest.mark.sigv4
@pytest.mark.parametrize("replaced", [False, True])
def test_store_outlasts_the_session(
    behind_proxy: Backup,
    s3_config: Path,
    archiving: Callable[..., Cluster],
    new_cluster: ClusterFactory,
    fault_proxy: FaultProxy,
    work_dir: Path,
    processes: list[Daemon],
    replaced: bool,
) -> None:
    """The server ends the idle session; it may be another one that follows."""
    cluster = archiving(s3_config)
    fault_proxy.set(hang=True, on="PUT .*/start")
    process = behind_proxy.start(cluster, work_dir / "b.log")
    processes.append(process)
    wait_for(lambda: fault_proxy.count("PUT", "/start") > 0, "the backup begins")
    stored = behind_proxy.stored(cluster)
    if replaced:
        cluster.stop()
        other = new_cluster(start=False)
        other.port, other.sockets = cluster.port, cluster.sockets
        other.start()
    else:
        sessions = "from pg_stat_activity where backend_type = 'walsender'"
        done = cluster.sql(f"select pg_terminate_backend(pid) {sessions}")
        assert done == [(True,)]
        cluster.wait_sql(f"select count(*) = 0 {sessions}")
    fault_proxy.clear()
    fault_proxy.reset_connections()
    output = ended(process)
    if replaced:
        assert "the server is of cluster" in output and stored.backups() == []
    else:
        assert stored.backups() == [output.split()[-1]]


@pytest.mark.sigv4
def test_store_stays_away(
    behind_proxy: Backup,
    s3_config: Path,
    archiving: Callable[..., Cluster],
    fault_proxy: FaultProxy,
) -> None:
    cluster = archiving(s3_config)
    fault_proxy.set(http=503, on="PUT .*/pack/", headers="")
    done = behind_proxy.run(cluster, "--set=command_timeout=5s")
    assert done.status == 1 and done.out == ""
    assert "/pack/" in done.err and "503" in done.err
    assert "trying again" in done.err
    assert behind_proxy.stored(cluster).backups() == []


# --- memory -------------------------------------------------------------------


def test_memory_is_bounded(
    dir_backup: Backup, archiving: Callable[..., Cluster], work_dir: Path
) -> None:
    """Neither incompressible data nor many files make it grow."""
    cluster = archiving(dir_backup.config)
    cluster.sql("create extension pgcrypto")
    cluster.sql(
        "create table noise as select gen_random_bytes(1000) as b from "
        "generate_series(1, 300000)"
    )
    statements = (f"create table t{n} (i int);" for n in range(20000))
    cluster.psql("\n".join(statements))
    process = dir_backup.start(cluster, work_dir / "b.log")
    _, status, usage = os.wait4(process.pid, 0)
    assert os.waitstatus_to_exitcode(status) == 0, said(process)
    assert usage.ru_maxrss <= MEMORY_MAX_KB
    summary = dir_backup.stored(cluster).manifest(said(process).split()[-1]).summary
    assert summary["files"] > 20000 and summary["stored_bytes"] > 300_000_000
