"""The whole path: archive, back up, lose a table, recover, on real servers.

Each repository is a directory, or a bucket of the S3 gateway over http or
https.  What is compared is what a DBA would compare: rows.
"""

from __future__ import annotations

import shutil
import time
from pathlib import Path

import pytest

from ground import roots, tls
from ground.host import run
from ground.pg import Cluster, ClusterFactory
from ground.programs import Programs, write_config
from ground.s3client import Bucket

SOURCE = Path(__file__).resolve().parents[2]
READER = SOURCE / "tests/reader/read_walship.py"

# Every row of every table that pgbench writes, as one number.
FINGERPRINT = """
select md5(string_agg(t, '|' order by t)) from (
  select format('a %s', x) t from pgbench_accounts x union all
  select format('b %s', x) from pgbench_branches x union all
  select format('t %s', x) from pgbench_tellers x union all
  select format('h %s', x) from pgbench_history x) rows"""


@pytest.fixture(params=["dir", "s3", "https"])
def config(request: pytest.FixtureRequest, work_dir: Path) -> Path:
    """A configuration for each kind of repository, encrypted."""
    if request.param != "https":
        path: Path = request.getfixturevalue(f"{request.param}_config")
        return path
    plain: Path = request.getfixturevalue("s3_config")
    authority: tls.Authority = request.getfixturevalue("authority")
    proxy: tls.TlsProxy = request.getfixturevalue("tls_proxy")()
    keys = dict(
        line.split(" = ", 1) for line in plain.read_text(encoding="utf-8").splitlines()
    )
    keys["s3_endpoint"] = f"https://localhost:{proxy.port}"
    keys["s3_ca_file"] = str(authority.ca_file)
    return write_config(work_dir / "https.conf", **keys)


class Site:
    """A primary that archives, and the tools a DBA uses on it."""

    def __init__(
        self,
        programs: Programs,
        new_cluster: ClusterFactory,
        config: Path,
        primary: Cluster | None = None,
    ) -> None:
        self.programs = programs
        self.config = config
        self.new_cluster = new_cluster
        self.primary = primary or self._new_primary()

    def _new_primary(self) -> Cluster:
        primary = self.new_cluster(start=False, checksums=True)
        push = self.programs.path("wal-push")
        primary.archive_with(f"{push} --config {self.config} %p")
        return primary.start()

    def tool(self, command: str, *args: str | Path) -> str:
        """Runs a walship command; what it says on standard output."""
        done = self.programs.run(
            "walship",
            *(command, "--config", self.config, *args),
            env=self.primary.environment(),
        )
        return done.check().out

    def backup(self, *args: str) -> str:
        return self.tool("backup", "--checkpoint=fast", *args).strip()

    def settle(self) -> None:
        """Everything written so far is in the archive."""
        self.primary.wait_archived(self.primary.switch_wal())

    def restore(self, *args: str | Path, start: bool = True) -> Cluster:
        copy = self.new_cluster(create=False, version=self.primary.version)
        self.tool("restore", *args, "--target-dir", copy.data)
        if start:
            copy.start()
        return copy


@pytest.fixture
def site(walship: Programs, new_cluster: ClusterFactory, config: Path) -> Site:
    return Site(walship, new_cluster, config)


@pytest.mark.versions
def test_dropped_table_comes_back(site: Site) -> None:
    primary = site.primary
    primary.pgbench("-i", "-s", "2", "-q")
    primary.pgbench("-c", "2", "-t", "200")
    site.backup("--label", "the one")
    primary.pgbench("-c", "2", "-t", "300")
    rows = primary.value(FINGERPRINT)
    time.sleep(1.1)  # a target of whole seconds lies between the two
    moment = primary.value("select now()::text")
    time.sleep(1.1)
    primary.sql("drop table pgbench_accounts cascade")
    site.settle()
    primary.stop()

    copy = site.restore("--target-time", moment, "--target-action", "promote")
    copy.wait_sql("select not pg_is_in_recovery()")
    assert copy.value(FINGERPRINT) == rows
    assert copy.value("select timeline_id from pg_control_checkpoint()") == 2
    # A restored server does not write into the archive it came from.
    assert copy.value("show archive_mode") == "off"


@pytest.mark.versions
def test_restored_files_pass_pg_verifybackup(site: Site) -> None:
    site.primary.pgbench("-i", "-s", "2", "-q")
    site.backup()
    site.settle()
    copy = site.restore(start=False)
    copy.verifybackup(copy.data, "--no-parse-wal").check()
    copy.start()
    copy.wait_sql("select not pg_is_in_recovery()")


@pytest.fixture
def dir_site(
    walship: Programs, new_cluster: ClusterFactory, dir_config: Path
) -> Site:
    return Site(walship, new_cluster, dir_config)


@pytest.mark.versions
def test_second_reader_rebuilds_a_backup_that_starts(
    dir_site: Site, repo_dir: Path, key_file: Path, work_dir: Path
) -> None:
    """Nothing of walship's own code takes part in this restore."""
    primary = dir_site.primary
    primary.pgbench("-i", "-s", "2", "-q")
    backup = dir_site.backup()
    primary.pgbench("-c", "2", "-t", "200")
    dir_site.settle()
    rows = primary.value(FINGERPRINT)
    sysid = str(primary.system_identifier())
    primary.stop()

    copy = dir_site.new_cluster(create=False)
    reader = [READER, "backup", repo_dir, sysid, backup, copy.data]
    run([*reader, "--key-file", key_file], timeout_s=300).check()
    copy.data.chmod(0o700)
    # Decoded beforehand, since the servers' chroots hold no PyNaCl.
    wal = work_dir / "wal"
    wal.mkdir()
    decode_archive(repo_dir, sysid, key_file, wal)
    copy.configure({"restore_command": f"cp {wal}/%f %p", "archive_mode": "off"})
    (copy.data / "recovery.signal").touch()
    run(["chown", "-R", f"{roots.PG_USER}:", copy.data, wal]).check()
    copy.start()
    copy.wait_sql("select not pg_is_in_recovery()")
    assert copy.value(FINGERPRINT) == rows


def decode_archive(repo: Path, sysid: str, key_file: Path, target: Path) -> None:
    for stored in sorted((repo / sysid / "wal").glob("*/*")):
        args = [READER, "wal", repo, sysid, stored.name, target / stored.name]
        run([*args, "--key-file", key_file]).check()


@pytest.mark.parametrize("config", ["dir", "s3"], indirect=True)
def test_copied_repository_restores(
    site: Site,
    config: Path,
    request: pytest.FixtureRequest,
    work_dir: Path,
    key_file: Path,
    spool_dir: Path,
) -> None:
    """Copied by cp, or downloaded object by object: names and bytes suffice."""
    primary = site.primary
    primary.pgbench("-i", "-s", "1", "-q")
    site.backup()
    site.settle()
    rows = primary.value(FINGERPRINT)
    primary.stop()

    copied = work_dir / "elsewhere"
    if "file://" in config.read_text(encoding="utf-8"):
        repo: Path = request.getfixturevalue("repo_dir")
        shutil.copytree(repo, copied)
        shutil.rmtree(repo)
    else:
        bucket: Bucket = request.getfixturevalue("bucket")
        for key in bucket.list("it/"):
            path = copied / key.removeprefix("it/")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(bucket.get(key))
    run(["chown", "-R", f"{roots.PG_USER}:", copied]).check()
    site.config = write_config(
        work_dir / "elsewhere.conf",
        repository=f"file://{copied}",
        spool=spool_dir,
        key_file=key_file,
    )
    copy = site.restore()
    copy.wait_sql("select not pg_is_in_recovery()")
    assert copy.value(FINGERPRINT) == rows


def test_archive_timeout_of_the_sample(
    walship: Programs, new_cluster: ClusterFactory, dir_config: Path, repo_dir: Path
) -> None:
    """The lines of postgresql.conf.sample, as they stand, archive."""
    sample = (SOURCE / "postgresql.conf.sample").read_text(encoding="utf-8")
    assert "\narchive_timeout = 300" in sample
    cluster = new_cluster(start=False)
    with open(cluster.data / "postgresql.conf", "a", encoding="utf-8") as conf:
        conf.write(sample)
    path = f"{walship.bindir}:/usr/bin:/bin"
    cluster.start(env={"PATH": path, "WALSHIP_CONFIG": str(dir_config)})
    assert cluster.value("show archive_timeout") == "5min"
    segment = cluster.switch_wal()
    cluster.wait_archived(segment)
    assert list(repo_dir.glob(f"*/wal/00000001/{segment}"))


def test_debian_cluster_with_configuration_elsewhere(
    walship: Programs, new_cluster: ClusterFactory, dir_config: Path, work_dir: Path
) -> None:
    """pg_createcluster keeps the configuration outside the data directory."""
    version = str(roots.host_version())
    etc = work_dir / "etc" / version / "main"
    data = work_dir / "main"
    run(
        [
            *("pg_createcluster", "--start-conf=manual", "--user=postgres"),
            *("--datadir", data, "--logfile", work_dir / "main.log"),
            *(version, "main", "--", "--auth=trust", "--no-sync"),
        ],
        env={"PG_CLUSTER_CONF_ROOT": str(work_dir / "etc")},
    ).check()
    assert not (data / "postgresql.conf").exists()
    # Not every version of pg_createcluster makes the folder.
    (etc / "conf.d").mkdir(exist_ok=True)
    (etc / "conf.d/site.conf").write_text("work_mem = '7MB'\n", encoding="ascii")
    push = walship.path("wal-push")
    with open(etc / "postgresql.conf", "a", encoding="ascii") as conf:
        conf.write("include_dir = 'conf.d'\n")
        conf.write("archive_mode = on\n")
        conf.write(f"archive_command = '{push} --config {dir_config} %p'\n")

    original = new_cluster(create=False, data=data)
    site = Site(walship, new_cluster, dir_config, original)
    original.start(options=f"-c config_file={etc}/postgresql.conf")
    original.pgbench("-i", "-s", "1", "-q")
    rows = original.value(FINGERPRINT)
    site.backup()
    site.settle()
    original.stop()

    copy = site.restore(start=False)
    saved = Path(f"{copy.data}.config")
    found = {path.name: path for path in saved.rglob("*") if path.is_file()}
    wanted = ["postgresql.conf", "pg_hba.conf", "pg_ident.conf", "conf.d/site.conf"]
    for name in wanted:
        kept = found[Path(name).name]
        assert kept.read_bytes() == (etc / name).read_bytes()
    copy.verifybackup(copy.data, "--no-parse-wal").check()
    # The files name the original's paths; the command line names the new ones.
    copy.start(
        options=f"-c config_file={found['postgresql.conf']}"
        f" -c data_directory={copy.data} -c hba_file={found['pg_hba.conf']}"
        f" -c ident_file={found['pg_ident.conf']}"
    )
    copy.wait_sql("select not pg_is_in_recovery()")
    assert copy.value(FINGERPRINT) == rows
