"""walship check: each thing that can be wrong is said, with what to do."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from ground.dailies import Dailies, key_of
from ground.host import Result, run, unmount
from ground.pg import Cluster, ClusterFactory
from ground.programs import Programs, change_config, write_config
from ground.s3 import Gateway
from ground.s3client import Bucket

STORE_CHECKS = {
    "store",
    "conditional_put",
    "versioning",
    "object_lock",
    "lifecycle",
    "clock",
}
GRANTS = {
    "pg_read_all_settings",
    "pg_read_server_files",
    "pg_read_binary_file",
    "pg_switch_wal",
    "pg_create_restore_point",
}


@dataclass
class Report:
    status: int
    checks: dict[str, dict[str, str]]
    text: str

    def verdict(self, name: str) -> str:
        return self.checks[name]["verdict"]

    def found(self, name: str) -> str:
        return self.checks[name]["found"]

    def advice(self, name: str) -> str:
        return self.checks[name]["advice"]

    def failed(self) -> set[str]:
        return {n for n, check in self.checks.items() if check["verdict"] == "fail"}

    def warned(self) -> set[str]:
        return {n for n, check in self.checks.items() if check["verdict"] == "warning"}


Check = Callable[..., Report]


def parse(done: Result) -> Report:
    assert done.err == "", done.err
    document = json.loads(done.out)
    checks = {check["name"]: check for check in document["checks"]}
    assert len(checks) == len(document["checks"]), "a name occurs twice"
    report = Report(done.status, checks, done.out)
    assert document["failures"] == len(report.failed())
    assert document["warnings"] == len(report.warned())
    assert report.status == (1 if report.failed() else 0)
    return report


@pytest.fixture
def check(walship: Programs) -> Check:
    """Runs it with --json, on a cluster or (None) without a server."""

    def run_check(
        config: Path,
        cluster: Cluster | None = None,
        *args: str,
        env: dict[str, str] | None = None,
        user: str = "postgres",
    ) -> Report:
        where = ["--no-server"] if cluster is None else []
        environment = {} if cluster is None else cluster.environment()
        return parse(
            walship.run(
                "walship",
                "check",
                "--json",
                f"--config={config}",
                *where,
                *args,
                env={**environment, **(env or {})},
                user=user,
            )
        )

    return run_check


def archiving(
    new_cluster: ClusterFactory,
    walship: Programs,
    config: Path,
    conf: dict[str, str] | None = None,
    **options: Any,
) -> Cluster:
    """A cluster that is set up without a fault."""
    cluster = new_cluster(start=False, checksums=True, **options)
    cluster.archive_with(walship.command("wal-push", "%p", WALSHIP_CONFIG=config))
    cluster.configure({"archive_timeout": "300", **(conf or {})})
    return cluster.start()


# --- all is well --------------------------------------------------------------


@pytest.mark.versions
@pytest.mark.parametrize("kind", ["dir_config", "s3_config"])
def test_all_well(
    new_cluster: ClusterFactory,
    walship: Programs,
    check: Check,
    kind: str,
    request: pytest.FixtureRequest,
) -> None:
    config = request.getfixturevalue(kind)
    cluster = archiving(new_cluster, walship, config)
    report = check(config, cluster)
    assert report.failed() == set(), report.text
    # Minor releases that may make wrong incremental backups are named.
    assert report.warned() <= {"summarize_wal"}, report.text
    assert STORE_CHECKS | GRANTS <= set(report.checks)
    assert "arrived" in report.found("wal_archiving")
    assert str(cluster.system_identifier()) in report.found("replication")
    assert report.checks["server_version"]["found"].startswith(str(cluster.version))
    if kind == "dir_config":
        assert "on the file system of pg_wal" in report.found("spool")


def test_leaves_no_probe(repo_dir: Path, dir_config: Path, check: Check) -> None:
    assert check(dir_config).failed() == set()
    assert list(repo_dir.iterdir()) == []


def test_leaves_no_probe_in_bucket(
    bucket: Bucket, s3_config: Path, check: Check
) -> None:
    report = check(s3_config)
    assert report.failed() == set(), report.text
    assert bucket.list() == {}
    secret = [line for line in s3_config.read_text().splitlines() if "secret" in line]
    assert secret[0].partition("= ")[2] not in report.text


def test_lines(
    new_cluster: ClusterFactory, walship: Programs, dir_config: Path
) -> None:
    cluster = archiving(new_cluster, walship, dir_config, {"archive_timeout": "0"})
    done = walship.run(
        "walship",
        "check",
        f"--config={dir_config}",
        f"--dbname={cluster.dsn()}",
    ).check()
    *lines, last = done.out.splitlines()
    verdicts = [line.split()[0] for line in lines]
    assert set(verdicts) == {"OK", "WARNING"}
    assert last == f"{verdicts.count('OK')} OK, {verdicts.count('WARNING')} WARNING, 0 FAIL"
    warning = next(line for line in lines if " archive_timeout " in line)
    assert warning.startswith("WARNING  archive_timeout ")
    assert warning.endswith(".") and "Set archive_timeout = 300" in warning


def test_usage(walship: Programs) -> None:
    help_text = walship.run("walship", "check", "--help").check().out
    assert max(map(len, help_text.splitlines())) <= 80
    for wrong in (["--wait=soon"], ["surplus"], ["--frob"], ["--wait"]):
        done = walship.run("walship", "check", *wrong)
        assert done.status == 2
        assert len(done.err.splitlines()) == 2 and "--help" in done.err


def test_output_that_cannot_be_written(walship: Programs, dir_config: Path) -> None:
    command = f"{walship.path('walship')} check --no-server --config={dir_config}"
    for option in ("", "--json"):
        done = run(["sh", "-c", f"{command} {option} > /dev/full"], user="postgres")
        assert done.status == 1


# --- configuration, key, store ------------------------------------------------


def test_nothing_configured(work_dir: Path, check: Check) -> None:
    empty = write_config(work_dir / "empty.conf")
    report = check(empty)
    assert report.verdict("configuration") == "fail"
    assert "WALSHIP_REPOSITORY" in report.advice("configuration")
    unknown = write_config(work_dir / "unknown.conf", repositorry="file:///x")
    report = check(unknown)
    assert report.verdict("configuration") == "fail"
    assert "repositorry" in report.text and "unknown.conf" in report.text


def test_key_is_absent_or_unsafe(
    dir_config: Path, key_file: Path, check: Check
) -> None:
    key_file.chmod(0o644)
    report = check(dir_config)
    assert report.failed() == {"key"}
    assert STORE_CHECKS <= set(report.checks), "the store is looked at nonetheless"
    key_file.unlink()
    report = check(dir_config)
    assert report.failed() == {"key"}
    assert str(key_file) in report.found("key")


def test_key_that_would_be_lost(
    dir_config: Path,
    repo_dir: Path,
    key_file: Path,
    work_dir: Path,
    cluster: Cluster,
    check: Check,
) -> None:
    """Together with what it protects; also through a link."""
    report = check(dir_config, cluster)
    assert report.verdict("key_place") == "ok"
    assert "keep a copy away" in report.advice("key")
    text = dir_config.read_text(encoding="utf-8")
    places = {repo_dir: "the repository", cluster.data / "base": "the data directory"}
    for number, (place, said) in enumerate(places.items()):
        (place / "key").write_bytes(key_file.read_bytes())
        (place / "key").chmod(0o600)
        shutil.chown(place / "key", "postgres", "postgres")
        link = work_dir / f"link{number}"
        link.symlink_to(place / "key")
        moved = text.replace(f"key_file = {key_file}", f"key_file = {link}")
        dir_config.write_text(moved, encoding="utf-8")
        report = check(dir_config, cluster)
        assert report.verdict("key_place") == "warning"
        assert f'"{link}" is in {said}' == report.found("key_place")
        (place / "key").unlink()


def test_key_of_other_backups(
    work_dir: Path, repo_dir: Path, dir_config: Path, check: Check, walship: Programs
) -> None:
    """A key that seals well, and does not open the backups that are there."""
    assert check(dir_config).found("backups") == "there is none yet"
    dailies = Dailies(repo_dir, key_of(work_dir / "key"))
    for _ in range(3):
        dailies.add_day()
    dailies.hand_over()
    report = check(dir_config)
    assert report.verdict("backups") == "ok" and "2024-11-03" in report.found("backups")
    oldest = dailies.tree / "backup" / dailies.backups[0].identifier / "manifest"
    oldest.write_bytes(oldest.read_bytes()[:200])
    report = check(dir_config)
    assert report.warned() == {"backups"}
    assert "1 of 3 cannot be read" in report.found("backups")
    walship.run("walship", "keygen", work_dir / "other").check()
    change_config(dir_config, key_file=work_dir / "other")
    report = check(dir_config)
    assert report.failed() == {"backups"}
    assert "which is not configured" in report.found("backups")
    # Which of several is meant has to be said.
    (repo_dir / "17/wal").mkdir(parents=True)
    (repo_dir / "17/wal/x").touch()
    assert check(dir_config).warned() == {"backups"}
    assert check(dir_config, None, "--cluster=17").verdict("backups") == "ok"


def test_no_encryption(work_dir: Path, repo_dir: Path, check: Check) -> None:
    config = write_config(
        work_dir / "plain.conf", repository=f"file://{repo_dir}", encryption="none"
    )
    report = check(config)
    assert report.verdict("key") == "warning"


def test_repository_is_absent(repo_dir: Path, dir_config: Path, check: Check) -> None:
    repo_dir.rmdir()
    report = check(dir_config)
    assert report.failed() == {"store"}
    assert "Mount its file system" in report.advice("store")
    assert not repo_dir.exists()


def test_repository_is_not_writable(
    repo_dir: Path, dir_config: Path, check: Check
) -> None:
    repo_dir.chmod(0o500)
    report = check(dir_config)
    assert report.failed() == {"store"}
    assert report.found("store").startswith("write: ")


def test_repository_is_a_mount_point(
    repo_dir: Path, dir_config: Path, check: Check
) -> None:
    run(["mount", "-t", "tmpfs", "-o", "mode=777,size=1m", "none", repo_dir]).check()
    try:
        report = check(dir_config)
    finally:
        unmount(repo_dir)
    assert report.failed() == set()
    assert report.verdict("mount_point") == "warning"


def test_store_refuses(work_dir: Path, s3_config: Path, check: Check) -> None:
    report = check(s3_config, env={"AWS_SECRET_ACCESS_KEY": "wrong"})
    assert report.failed() == set(), "the file's secret wins over AWS's variable"
    # The environment's credentials replace the file's as a whole.
    wrong = {
        "WALSHIP_S3_ACCESS_KEY_ID": Gateway.credentials.access_key,
        "WALSHIP_S3_SECRET_ACCESS_KEY": "wrong",
    }
    report = check(s3_config, env=wrong)
    assert report.failed() == {"store"}
    assert "SignatureDoesNotMatch" in report.found("store")
    assert "wrong" not in report.text


def test_bucket_is_absent(s3_config: Path, check: Check) -> None:
    report = check(s3_config, env={"WALSHIP_REPOSITORY": "s3://no-such-bucket-here/x"})
    assert report.failed() == {"store"}
    assert "NoSuchBucket" in report.found("store")


def _configure_bucket(bucket: Bucket, what: str, document: str) -> None:
    body = document.encode()
    bucket.client.expect(
        "PUT",
        f"/{bucket.name}",
        query={what: ""},
        headers={"content-md5": base64.b64encode(hashlib.md5(body).digest()).decode()},
        body=body,
    )


def _expire_after(bucket: Bucket, prefix: str, days: int) -> None:
    _configure_bucket(
        bucket,
        "lifecycle",
        "<LifecycleConfiguration><Rule><ID>r</ID>"
        f"<Filter><Prefix>{prefix}</Prefix></Filter><Status>Enabled</Status>"
        f"<Expiration><Days>{days}</Days></Expiration></Rule>"
        "</LifecycleConfiguration>",
    )


@pytest.mark.sigv4
def test_lifecycle_rules(bucket: Bucket, s3_config: Path, check: Check) -> None:
    _expire_after(bucket, "somewhere/else/", 1)
    assert check(s3_config).verdict("lifecycle") == "ok"
    _expire_after(bucket, "", 90)
    report = check(s3_config)
    assert report.verdict("lifecycle") == "warning"
    assert "after 90 days" in report.found("lifecycle")
    _expire_after(bucket, "it/", 3)
    report = check(s3_config)
    assert report.failed() == {"lifecycle"}
    assert "after 3 days" in report.found("lifecycle")


@pytest.mark.sigv4
def test_versioned_bucket(bucket: Bucket, s3_config: Path, check: Check) -> None:
    """This gateway does not honour conditions in versioned buckets."""
    _configure_bucket(
        bucket,
        "versioning",
        "<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>",
    )
    report = check(s3_config)
    assert report.failed() == set(), report.text
    assert report.found("versioning").startswith("on")
    assert report.verdict("conditional_put") == "warning"
    assert "split brain" in report.found("conditional_put")


@pytest.mark.parametrize(
    ("shift", "verdict"), [("-2s", "ok"), ("+60s", "warning"), ("-60s", "warning")]
)
def test_clock(
    walship: Programs, s3_config: Path, shift: str, verdict: str
) -> None:
    if "WALSHIP_SANITIZE" in os.environ:
        shift, verdict = "+0s", "ok"  # libfaketime and ASan exclude each other
    program = [walship.path("walship"), "check", "--json", "--no-server"]
    if shift != "+0s":
        program = ["faketime", "-f", shift, *program]
    report = parse(run([*program, f"--config={s3_config}"], user="postgres"))
    assert report.verdict("clock") == verdict, report.text


def test_clock_far_off(walship: Programs, s3_config: Path) -> None:
    if "WALSHIP_SANITIZE" in os.environ:
        return
    done = run(
        [
            "faketime",
            "-f",
            "+20m",
            walship.path("walship"),
            "check",
            "--json",
            "--no-server",
            f"--config={s3_config}",
        ],
        user="postgres",
    )
    report = parse(done)
    assert report.failed() == {"store"}
    assert "clock" in report.advice("store").lower(), report.text


# --- spool --------------------------------------------------------------------


def test_spool(dir_config: Path, spool_dir: Path, check: Check) -> None:
    assert check(dir_config).verdict("spool") == "ok"
    spool_dir.chmod(0o750)
    report = check(dir_config)
    assert report.verdict("spool") == "warning" and "0750" in report.found("spool")
    spool_dir.chmod(0o700)
    os.chown(spool_dir, 0, 0)
    report = check(dir_config)
    assert report.verdict("spool") == "warning" and "user 0" in report.found("spool")
    spool_dir.rmdir()
    report = check(dir_config)
    assert report.verdict("spool") == "warning"
    assert "does not exist" in report.found("spool")
    spool_dir.symlink_to("/tmp")
    report = check(dir_config)
    assert report.verdict("spool") == "warning"
    assert "symbolic link" in report.found("spool")
    spool_dir.unlink()
    spool_dir.touch()
    assert "not a directory" in check(dir_config).found("spool")
    assert check(dir_config).status == 0, "a spool is only speed"


def test_spool_of_another_user(
    new_cluster: ClusterFactory,
    walship: Programs,
    dir_config: Path,
    spool_dir: Path,
    check: Check,
) -> None:
    """Root runs the check; the spool must be the server's, not root's."""
    cluster = archiving(new_cluster, walship, dir_config)
    args = (dir_config, cluster, "--no-switch")
    # The key is the server's own, which root's check refuses.
    assert check(*args, user="root").verdict("spool") == "ok"
    os.chown(spool_dir, 0, 0)
    report = check(*args, user="root")
    assert report.verdict("spool") == "warning"
    assert "the server runs as user" in report.found("spool")


# --- the server ---------------------------------------------------------------


def test_no_server(dir_config: Path, cluster: Cluster, check: Check) -> None:
    cluster.stop()
    report = check(dir_config, cluster)
    assert report.failed() == {"replication", "connection", "wal_archiving"}
    assert STORE_CHECKS <= set(report.checks)


def test_server_without_archiving(
    new_cluster: ClusterFactory, dir_config: Path, check: Check
) -> None:
    cluster = new_cluster(conf={"wal_level": "minimal", "max_wal_senders": "0"})
    report = check(dir_config, cluster)
    assert report.failed() == {
        "replication",
        "wal_level",
        "archive_mode",
        "archive_command",
        "max_wal_senders",
        "wal_archiving",
    }
    assert {"archive_timeout", "data_checksums"} <= report.warned()
    assert "restart" in report.advice("wal_level")


@pytest.mark.parametrize(
    ("command", "verdict", "word"),
    [
        ("", "fail", "not set"),
        ("cp %p /tmp/%f", "warning", "does not call wal-push"),
        ("wal-push pg_wal/%f", "fail", "lacks %p"),
        ("wal-push %p || true", "warning", "more than one command"),
        ("wal-push %p; true", "warning", "more than one command"),
        ("/usr/bin/wal-push %p", "ok", "wal-push"),
    ],
)
def test_archive_command(
    cluster: Cluster,
    dir_config: Path,
    check: Check,
    command: str,
    verdict: str,
    word: str,
) -> None:
    cluster.archive_with(command)
    cluster.restart("immediate")
    report = check(dir_config, cluster, "--no-switch")
    assert report.verdict("archive_command") == verdict, report.text
    assert word in report.found("archive_command")


@pytest.mark.versions
def test_summarize_wal(cluster: Cluster, dir_config: Path, check: Check) -> None:
    report = check(dir_config, cluster, "--no-switch")
    if cluster.version < 17:
        assert "summarize_wal" not in report.checks
        return
    assert report.found("summarize_wal").startswith("on")
    cluster.sql("alter system set summarize_wal = off")
    cluster.reload()
    cluster.wait_sql("select current_setting('summarize_wal') = 'off'")
    report = check(dir_config, cluster, "--no-switch")
    assert report.verdict("summarize_wal") == "warning"
    assert "summarize_wal = on" in report.advice("summarize_wal")


def test_least_privileged_role(
    new_cluster: ClusterFactory, walship: Programs, dir_config: Path, check: Check
) -> None:
    """What is missing is named; what is advised is enough."""
    cluster = archiving(new_cluster, walship, dir_config)
    cluster.sql('create role "Backup Role" login')
    args = (dir_config, cluster, "--username=Backup Role")
    report = check(*args)
    assert report.failed() == {"replication", "wal_archiving"}, report.text
    assert report.warned() >= GRANTS
    for name in GRANTS:
        statement = report.advice(name).partition("Run: ")[2].partition(" (in")[0]
        assert statement.endswith('TO "Backup Role"')
        cluster.sql(statement)
    cluster.sql('alter role "Backup Role" replication')
    report = check(*args)
    assert report.failed() == set(), report.text
    assert not GRANTS & report.warned()


def test_role_of_the_readme(
    new_cluster: ClusterFactory, walship: Programs, dir_config: Path, check: Check
) -> None:
    """What README grants is enough, on a cluster configured as Debian does."""
    readme = (Path(__file__).resolve().parents[2] / "README.md").read_text()
    block = next(
        part.partition("```")[0]
        for part in readme.split("```sql\n")[1:]
        if "CREATE ROLE walship" in part
    )
    hba = new_cluster(start=False).data / "pg_hba.conf"
    cluster = archiving(new_cluster, walship, dir_config, {"hba_file": str(hba)})
    cluster.psql(block)
    report = check(dir_config, cluster, "--username=walship")
    assert report.failed() == set(), report.text
    assert not GRANTS & report.warned(), report.text


def test_configuration_in_the_data_directory(
    new_cluster: ClusterFactory, walship: Programs, dir_config: Path, check: Check
) -> None:
    cluster = archiving(new_cluster, walship, dir_config)
    cluster.sql("create role backup login replication")
    cluster.sql("grant pg_read_all_settings to backup")
    args = (dir_config, cluster, "--username=backup", "--no-switch")
    files = {"pg_read_server_files", "pg_read_binary_file"}
    assert not files & check(*args).warned()
    cluster.configure({"ident_file": str(new_cluster(start=False).data / "i.conf")})
    cluster.restart()
    assert files <= check(*args).warned()


def test_standby(
    new_cluster: ClusterFactory, walship: Programs, dir_config: Path, check: Check
) -> None:
    primary = archiving(new_cluster, walship, dir_config)
    standby = new_cluster(create=False)
    primary.basebackup(standby.data, "--write-recovery-conf")
    standby.start()
    report = check(dir_config, standby)
    assert report.failed() == set(), report.text
    assert report.found("wal_archiving").startswith("not tried")
    assert "a standby" in report.found("server_version")


def test_other_cluster(
    new_cluster: ClusterFactory, walship: Programs, dir_config: Path, check: Check
) -> None:
    cluster = archiving(new_cluster, walship, dir_config)
    report = check(dir_config, cluster, "--cluster=42", "--no-switch")
    assert report.failed() == {"replication"}
    assert "not 42" in report.found("replication")


def test_section_of_the_cluster(
    new_cluster: ClusterFactory,
    walship: Programs,
    dir_config: Path,
    work_dir: Path,
    check: Check,
) -> None:
    """The server says which section of the file is its own."""
    cluster = archiving(new_cluster, walship, dir_config)
    lines = dir_config.read_text().splitlines()
    several = write_config(work_dir / "several.conf", repository="file:///nowhere")
    with open(several, "a", encoding="utf-8") as file:
        file.write(f"[cluster {cluster.system_identifier()}]\n" + "\n".join(lines))
    assert check(several, cluster).failed() == set()
    assert check(several).failed() == {"configuration"}, "no key outside of it"


# --- does WAL arrive? ---------------------------------------------------------


def test_archives_elsewhere(
    new_cluster: ClusterFactory,
    walship: Programs,
    dir_config: Path,
    work_dir: Path,
    shared_dir: Path,
    key_file: Path,
    check: Check,
) -> None:
    cluster = archiving(new_cluster, walship, dir_config)
    other = write_config(
        work_dir / "other.conf", repository=f"file://{shared_dir}", key_file=key_file
    )
    report = check(other, cluster, "--wait=3s")
    assert report.failed() == {"wal_archiving"}
    assert "not into this repository" in report.found("wal_archiving")


def test_archives_with_another_key(
    new_cluster: ClusterFactory,
    walship: Programs,
    dir_config: Path,
    repo_dir: Path,
    work_dir: Path,
    check: Check,
) -> None:
    cluster = archiving(new_cluster, walship, dir_config)
    walship.run("walship", "keygen", work_dir / "other-key").check()
    other = write_config(
        work_dir / "other.conf",
        repository=f"file://{repo_dir}",
        key_file=work_dir / "other-key",
    )
    report = check(other, cluster)
    assert report.failed() == {"wal_archiving"}
    assert "key" in report.found("wal_archiving")


def test_archiving_fails(
    new_cluster: ClusterFactory, walship: Programs, dir_config: Path, check: Check
) -> None:
    cluster = archiving(
        new_cluster, walship, dir_config, {"archive_command": "false # wal-push %p"}
    )
    cluster.switch_wal()
    cluster.wait_sql("select failed_count > 0 from pg_stat_archiver")
    report = check(dir_config, cluster, "--wait=1s")
    assert report.failed() == {"wal_archiving"}
    assert "archiving of 0000" in report.found("wal_archiving")
    assert "fails" in report.found("wal_archiving")


def test_archiving_hangs(
    new_cluster: ClusterFactory, walship: Programs, dir_config: Path, check: Check
) -> None:
    cluster = archiving(
        new_cluster, walship, dir_config, {"archive_command": "sleep 600 # wal-push %p"}
    )
    report = check(dir_config, cluster, "--wait=1s")
    assert report.failed() == {"wal_archiving"}
    assert "did not arrive within 1 s" in report.found("wal_archiving")


def test_stored_segment_is_damaged(
    new_cluster: ClusterFactory,
    walship: Programs,
    dir_config: Path,
    repo_dir: Path,
    work_dir: Path,
    check: Check,
) -> None:
    """What arrived is opened, not only looked for."""
    cluster = archiving(new_cluster, walship, dir_config)
    script = work_dir / "push"
    # The pushed object gives way to a damaged one in a single step.
    script.write_text(
        "#!/bin/sh -e\n"
        f"export WALSHIP_CONFIG={dir_config} WALSHIP_REPOSITORY=file://{work_dir}/aside\n"
        f"mkdir -p {work_dir}/aside && {walship.path('wal-push')} $1\n"
        f"cd {work_dir}/aside && f=$(find . -name $(basename $1) -type f)\n"
        "printf x | dd of=$f bs=1 seek=2000 conv=notrunc status=none\n"
        f"mkdir -p $(dirname {repo_dir}/$f) && mv $f {repo_dir}/$f\n"
    )
    script.chmod(0o755)
    cluster.configure({"archive_command": f"{script} %p # wal-push"})
    cluster.reload()
    cluster.wait_sql("select current_setting('archive_command') like '%# wal-push'")
    report = check(dir_config, cluster)
    assert report.failed() == {"wal_archiving"}, report.text
    assert "0000000100000000" in report.found("wal_archiving")
