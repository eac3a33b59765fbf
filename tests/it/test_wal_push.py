"""wal-push: what it stores, what it refuses, and how it fails."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ground.archiver import (
    IN_ARCHIVE_RECOVERY,
    IN_PRODUCTION,
    SEGMENT_BYTES,
    SEGMENTS,
    Archiver,
    copy_datadir,
    damaged,
)
from ground.fault import FaultProxy
from ground.host import Result, base_environment, run, wait_for
from ground.pg import Cluster, ClusterFactory
from ground.programs import Programs, change_config, write_config
from ground.roots import PG_USER
from ground.s3 import Gateway
from ground.s3client import Bucket


def one_line(done: Result, *words: str) -> None:
    """A failure that the archiver counts, explained in one line of its log."""
    assert 1 <= done.status <= 125, done
    assert done.out == ""
    lines = done.err.splitlines()
    assert len(lines) == 1, done.err
    assert lines[0].startswith("wal-push: ERROR: "), done.err
    for word in words:
        assert word in lines[0], done.err


def silent(done: Result) -> None:
    assert (done.status, done.out, done.err) == (0, "", "")


@pytest.fixture
def archiver(
    walship: Programs,
    dir_config: Path,
    dead_server: Callable[..., Path],
    work_dir: Path,
) -> Archiver:
    data = copy_datadir(dead_server(), work_dir / "data")
    return Archiver(walship, dir_config, data)


@pytest.fixture
def s3_archiver(
    walship: Programs,
    s3_config: Path,
    fault_proxy: FaultProxy,
    dead_server: Callable[..., Path],
    work_dir: Path,
) -> Archiver:
    """One whose way to the gateway leads through fault_proxy."""
    change_config(s3_config, s3_endpoint=fault_proxy.endpoint)
    data = copy_datadir(dead_server(), work_dir / "data")
    made = Archiver(walship, s3_config, data)
    # The first call of a spool asks whether the store honours conditions.
    silent(made.push(SEGMENTS[3]))
    fault_proxy.forget()
    return made


# --- real servers -----------------------------------------------------------


@pytest.mark.versions
def test_server_archives(
    new_cluster: ClusterFactory, walship: Programs, config: Path
) -> None:
    """Everything that a busy server hands over arrives, byte for byte."""
    cluster = new_cluster(start=False, conf={"wal_keep_size": "1GB"})
    cluster.archive_with(walship.command("wal-push", f"--config={config}", "%p"))
    cluster.start()
    cluster.pgbench("--initialize", "--scale=3")
    cluster.pgbench("--client=4", "--transactions=200")
    cluster.basebackup(cluster.home / "base", "--wal-method=none")
    last = cluster.switch_wal()
    cluster.wait_archived(last)
    failed = cluster.value("select failed_count from pg_stat_archiver")
    cluster.stop()

    done = sorted((cluster.data / "pg_wal/archive_status").glob("*.done"))
    names = [path.name.removesuffix(".done") for path in done]
    assert last in names and any(name.endswith(".backup") for name in names)
    archiver = Archiver(walship, config, cluster.data)
    for name in names:
        stored = archiver.fetch(name)
        assert stored == (cluster.data / "pg_wal" / name).read_bytes(), name
    assert failed == 0
    assert "wal-push" not in cluster.log()


def test_failure_blocks_and_mends(
    new_cluster: ClusterFactory, walship: Programs, dir_config: Path, repo_dir: Path
) -> None:
    """A failing archive keeps the WAL, is counted, and goes on by itself."""
    away = repo_dir.with_name("away")
    cluster = new_cluster(start=False)
    cluster.archive_with(walship.command("wal-push", f"--config={dir_config}", "%p"))
    cluster.start()
    repo_dir.rename(away)
    segment = cluster.switch_wal()
    cluster.wait_sql("select failed_count > 0 from pg_stat_archiver")
    assert (cluster.data / f"pg_wal/archive_status/{segment}.ready").exists()
    assert "archive command failed with exit code" in cluster.log()
    away.rename(repo_dir)
    cluster.wait_archived(segment, deadline_s=120)


def test_two_standbys_at_a_switch(
    new_cluster: ClusterFactory, walship: Programs, dir_config: Path, repo_dir: Path
) -> None:
    """A cascading standby has the last segment of a timeline only in part.

    It archives that under the segment's full name, when the standby above it
    is promoted; the whole segment of the old primary must still go there.
    """
    push = walship.command("wal-push", f"--config={dir_config}", "%p")
    primary = new_cluster(conf={"wal_keep_size": "1GB"})
    primary.sql("create table t as select generate_series(1, 1000)")
    middle = standby_of(primary, new_cluster)
    leaf = standby_of(middle, new_cluster, archive_mode="always", archive_command=push)
    primary.sql("insert into t select generate_series(1, 20000)")
    leaf.wait_sql("select count(*) = 21000 from t")
    part = primary.current_segment()
    middle.promote()
    middle.sql("insert into t select generate_series(1, 1000)")
    leaf.wait_sql("select count(*) = 22000 from t")
    status = leaf.data / "pg_wal/archive_status"
    wait_for(lambda: (status / f"{part}.done").exists(), "the part is archived")
    leaf.stop()
    middle.stop()
    wal = repo_dir / str(primary.system_identifier()) / "wal/00000001"
    assert not (wal / part).exists()
    assert len(list(wal.glob(f"{part}.*"))) == 1
    assert "stored as" in leaf.log()

    # The primary of the old timeline goes on, and its segment is complete.
    primary.sql("insert into t select generate_series(1, 20000)")
    assert primary.switch_wal() == part
    primary.stop()
    archiver = Archiver(walship, dir_config, primary.data)
    silent(archiver.push(part))
    assert archiver.fetch(part) == (primary.data / "pg_wal" / part).read_bytes()


def standby_of(primary: Cluster, new_cluster: ClusterFactory, **conf: str) -> Cluster:
    standby = new_cluster(create=False)
    primary.basebackup(standby.data, "--wal-method=stream")
    (standby.data / "standby.signal").touch()
    shutil.chown(standby.data / "standby.signal", PG_USER, PG_USER)
    standby.configure(
        {
            "primary_conninfo": primary.dsn(),
            "recovery_target_timeline": "latest",
            **conf,
        }
    )
    return standby.start()


# --- the same name again ----------------------------------------------------


def test_same_content_again(archiver: Archiver) -> None:
    silent(archiver.push(SEGMENTS[0]))
    silent(archiver.push(SEGMENTS[0]))
    told = archiver.push(SEGMENTS[0], "--log-level=info")
    assert told.status == 0 and "archived before" in told.err


def test_different_content(archiver: Archiver, repo_dir: Path) -> None:
    """Refused, with file and object named; what is stored stays."""
    whole = archiver.segment(1)
    silent(archiver.push(SEGMENTS[0]))
    stored = repo_dir / f"{archiver.system_identifier}/wal/00000001/{SEGMENTS[0]}"
    for at in (100, SEGMENT_BYTES // 2, SEGMENT_BYTES - 1):
        archiver.write(SEGMENTS[0], damaged(whole, at))
        done = archiver.push(SEGMENTS[0])
        one_line(done, f"pg_wal/{SEGMENTS[0]}", f"file://{stored}")
        assert done.status == 1
    assert archiver.fetch(SEGMENTS[0]) == whole


@pytest.mark.parametrize(
    "damage, said",
    [
        (lambda stored, other: b"", "corrupt"),
        (lambda stored, other: stored[:-1], "corrupt"),
        (lambda stored, other: damaged(stored, len(stored) - 1), "authenticated"),
        (lambda stored, other: other, "was stored as"),
    ],
)
def test_stored_object_is_damaged(
    archiver: Archiver,
    repo_dir: Path,
    damage: Callable[[bytes, bytes], bytes],
    said: str,
) -> None:
    """What is there proves nothing; once it is away the segment takes its place."""
    for name in SEGMENTS[:2]:
        silent(archiver.push(name))
    wal = repo_dir / f"{archiver.system_identifier}/wal/00000001"
    stored = wal / SEGMENTS[0]
    stored.write_bytes(damage(stored.read_bytes(), (wal / SEGMENTS[1]).read_bytes()))
    path = f"pg_wal/{SEGMENTS[0]}"
    one_line(archiver.push(SEGMENTS[0]), path, f"file://{stored}", said, "move it away")
    stored.unlink()
    silent(archiver.push(SEGMENTS[0]))
    assert archiver.fetch(SEGMENTS[0]) == archiver.segment(1)


def test_history_longer_or_shorter(archiver: Archiver) -> None:
    """Files that are prefixes of each other differ too."""
    short, long = b"1\t0/3000000\tx\n", b"1\t0/3000000\tx\n# more\n"
    archiver.write("00000002.history", short)
    archiver.write("00000003.history", long)
    silent(archiver.push("00000002.history"))
    silent(archiver.push("00000003.history"))
    archiver.write("00000002.history", long)
    archiver.write("00000003.history", short)
    one_line(archiver.push("00000002.history"), "differs")
    one_line(archiver.push("00000003.history"), "differs")


def stored_names(archiver: Archiver, repo_dir: Path) -> list[str]:
    wal = repo_dir / f"{archiver.system_identifier}/wal/00000001"
    return sorted(path.name for path in wal.iterdir())


def test_partial(archiver: Archiver, repo_dir: Path) -> None:
    """A .partial that differs is set aside, under its digest."""
    name = f"{SEGMENTS[0]}.partial"
    archiver.write(name, archiver.segment(1))
    silent(archiver.push(name))
    archiver.write(name, damaged(archiver.segment(1), 5000))
    for _ in range(2):
        done = archiver.push(name)
        assert done.status == 0
        assert done.err.startswith("wal-push: WARNING: "), done.err
        assert f"pg_wal/{name}" in done.err
        names = stored_names(archiver, repo_dir)
        assert len(names) == 2 and names[0] == name
        assert len(names[1]) == len(name) + 17 and names[1] in done.err


def test_server_in_recovery(archiver: Archiver, repo_dir: Path) -> None:
    """It sets aside what differs, and what is not complete from the start."""
    silent(archiver.push(SEGMENTS[0]))
    archiver.in_state(IN_ARCHIVE_RECOVERY)
    silent(archiver.push(SEGMENTS[0]))
    silent(archiver.push(SEGMENTS[1]))
    archiver.write(SEGMENTS[0], damaged(archiver.segment(1), SEGMENT_BYTES - 9))
    assert archiver.push(SEGMENTS[0]).status == 0
    assert len(stored_names(archiver, repo_dir)) == 3

    # Half of segment 3, then an older segment's pages, or zeros.
    half = SEGMENT_BYTES // 2
    for rest in (archiver.segment(1)[half:], bytes(half)):
        whole = archiver.segment(3)
        archiver.write(SEGMENTS[2], whole[:half] + rest)
        done = archiver.push(SEGMENTS[2])
        assert done.status == 0 and "stored as" in done.err
        archiver.write(SEGMENTS[2], whole)
    names = stored_names(archiver, repo_dir)
    assert SEGMENTS[2] not in names
    assert len([name for name in names if name.startswith(SEGMENTS[2])]) == 2

    # A history file is nobody's by right: two standbys are being promoted.
    archiver.write("00000002.history", b"1\t0/3000000\tx\n")
    silent(archiver.push("00000002.history"))
    archiver.write("00000002.history", b"1\t0/4000000\tx\n")
    one_line(archiver.push("00000002.history"), "differs from object")

    # In production the same segment is complete, and takes its name.
    archiver.in_state(IN_PRODUCTION)
    silent(archiver.push(SEGMENTS[2]))
    assert archiver.fetch(SEGMENTS[2]) == archiver.segment(3)


# --- what is not what its name says -----------------------------------------


@pytest.mark.parametrize(
    "make, said",
    [
        (lambda whole: b"", "is empty"),
        (lambda whole: whole[:39], "too short"),
        (lambda whole: whole[:-1], "segment size"),
        (lambda whole: whole + b"\0", "segment size"),
        (lambda whole: bytes(len(whole)), "magic"),
        (lambda whole: damaged(whole, 8), "address"),
        (lambda whole: damaged(whole, 24), "system identifier"),
        (lambda whole: damaged(whole, 6), "timeline"),
    ],
)
def test_segment_refused(
    archiver: Archiver, repo_dir: Path, make: Callable[[bytes], bytes], said: str
) -> None:
    archiver.write(SEGMENTS[0], make(archiver.segment(1)))
    one_line(archiver.push(SEGMENTS[0]), f"pg_wal/{SEGMENTS[0]}", said)
    assert list(repo_dir.rglob("0*")) == []


@pytest.mark.parametrize(
    "name, content",
    [
        ("00000002.history", b"two\n"),
        ("00000002.history", b"# nothing\n"),
        ("00000002.history", b"2\t0/3000000\tx\n"),
        (f"{SEGMENTS[0]}.00000028.backup", b"STOP"),
    ],
)
def test_text_refused(
    archiver: Archiver, repo_dir: Path, name: str, content: bytes
) -> None:
    archiver.write(name, content)
    one_line(archiver.push(name), name)
    assert list(repo_dir.rglob("0*")) == []


def test_strange_files(archiver: Archiver) -> None:
    one_line(archiver.push(SEGMENTS[0].replace("A", "B")), "No such file")
    one_line(archiver.push("xlogtemp.1"), "not the name of a WAL file")
    (archiver.wal / "0000000A.history").mkdir()
    one_line(archiver.push("0000000A.history"), "not a regular file")
    os.mkfifo(archiver.wal / "0000000B.history")
    shutil.chown(archiver.wal / "0000000B.history", PG_USER, PG_USER)
    one_line(archiver.push("0000000B.history"), "not a regular file")
    path = archiver.write("0000000C.history", b"1\t0/3000000\tx\n")
    shutil.chown(path, "root", "root")
    one_line(archiver.push("0000000C.history"), "Permission denied")


def test_wrong_cluster(
    archiver: Archiver, dead_server: Callable[..., Path], work_dir: Path
) -> None:
    """Neither by a path into another cluster, nor by a file that strayed."""
    other = copy_datadir(dead_server(1), work_dir / "other")
    done = archiver.push_path(other / "pg_wal" / SEGMENTS[0])
    one_line(done, str(archiver.system_identifier), "the working directory belongs")
    archiver.write(SEGMENTS[0], (other / "pg_wal" / SEGMENTS[0]).read_bytes())
    one_line(archiver.push(SEGMENTS[0]), "is of the cluster")
    done = archiver.push(SEGMENTS[1], "--cluster=7301234567890123456")
    one_line(done, "--cluster")
    done = archiver.push(SEGMENTS[1], "--set=cluster=7301234567890123456")
    one_line(done, "the configuration")


def test_paths(archiver: Archiver, work_dir: Path) -> None:
    """Absolute from anywhere; with pg_wal a link, the working directory tells."""
    silent(archiver.push_path(archiver.wal / SEGMENTS[0], cwd=work_dir))
    moved = work_dir / "elsewhere"
    archiver.wal.rename(moved)
    archiver.wal.symlink_to(moved)
    silent(archiver.push(SEGMENTS[1]))
    silent(archiver.push_path(moved / SEGMENTS[2]))
    silent(archiver.push_path(archiver.wal / SEGMENTS[3], cwd=work_dir))
    done = archiver.push_path(moved / SEGMENTS[2], cwd=work_dir)
    one_line(done, "is a data directory")


def test_server_of_the_file(archiver: Archiver, work_dir: Path) -> None:
    """It counts what the file's own server does, not one of the same cluster."""
    silent(archiver.push(SEGMENTS[0]))
    standby = copy_datadir(archiver.data, work_dir / "standby")
    Archiver(archiver.programs, archiver.config, standby).in_state(IN_ARCHIVE_RECOVERY)
    path = archiver.write(SEGMENTS[0], damaged(archiver.segment(1), 5000))
    one_line(archiver.push_path(path, cwd=standby), "differs from object")


def test_cluster_section(archiver: Archiver, repo_dir: Path, work_dir: Path) -> None:
    """The section of the cluster at hand counts, without being named."""
    other = work_dir / "repo2"
    other.mkdir()
    shutil.chown(other, PG_USER, PG_USER)
    with open(archiver.config, "a", encoding="utf-8") as file:
        file.write(
            f"[cluster 7301234567890123456]\nrepository = file://{work_dir}/none\n"
            f"[cluster {archiver.system_identifier}]\nrepository = file://{other}\n"
        )
    silent(archiver.push(SEGMENTS[0]))
    assert len(list(other.rglob(SEGMENTS[0]))) == 1
    assert list(repo_dir.rglob("0*")) == []


def test_changed_while_read(archiver: Archiver, repo_dir: Path, work_dir: Path) -> None:
    """A file that is written to meanwhile is refused, whatever was read."""
    slow = "inject=pread64:delay_exit=1000000"
    process = subprocess.Popen(
        [
            "strace",
            "-qq",
            "-o",
            str(work_dir / "trace"),
            "-e",
            "trace=pread64",
            "-e",
            slow,
        ]
        + [str(archiver.programs.path("wal-push")), f"--config={archiver.config}"]
        + [f"pg_wal/{SEGMENTS[0]}"],
        cwd=archiver.data,
        user=PG_USER,
        env=base_environment(),
        stderr=subprocess.PIPE,
        text=True,
    )
    while process.poll() is None:
        os.utime(archiver.wal / SEGMENTS[0])
        time.sleep(0.05)
    err = process.communicate()[1]
    assert process.returncode == 1
    assert "changed while it was read" in err
    assert list(repo_dir.rglob("0*")) == []


# --- configuration and keys -------------------------------------------------


def test_configuration_errors(archiver: Archiver, work_dir: Path) -> None:
    broken = write_config(work_dir / "broken.conf", no_such_key=1)
    push = archiver.programs.run
    path = f"pg_wal/{SEGMENTS[0]}"
    done = push("wal-push", f"--config={broken}", path, cwd=archiver.data)
    one_line(done, "no_such_key", "broken.conf")
    done = push("wal-push", f"--config={work_dir}/none.conf", path, cwd=archiver.data)
    one_line(done, "none.conf")
    keyless = write_config(work_dir / "keyless.conf", repository=f"file://{work_dir}")
    done = push("wal-push", f"--config={keyless}", path, cwd=archiver.data)
    one_line(done, "key_file")


def test_another_key(archiver: Archiver, walship: Programs, work_dir: Path) -> None:
    """What another key has sealed cannot be compared."""
    silent(archiver.push(SEGMENTS[0]))
    key = work_dir / "key2"
    walship.run("walship", "keygen", key).check()
    done = archiver.push(SEGMENTS[0], f"--set=key_file={key}")
    one_line(done, SEGMENTS[0], "key")


def test_command_line(walship: Programs) -> None:
    done = walship.run("wal-push", "--help")
    assert done.status == 0 and done.err == ""
    assert all(len(line) <= 80 for line in done.out.splitlines())
    assert walship.run("wal-push", "--version").out.startswith("walship ")
    wrong: list[list[str]] = [[], ["a", "b"], ["--no-such-option", "a"]]
    for args in wrong:
        done = walship.run("wal-push", *args)
        assert done.status == 2 and "--help" in done.err


@pytest.mark.parametrize("kind", ["none", "file", "link", "open", "foreign", "inside"])
def test_spool_costs_no_success(
    archiver: Archiver, spool_dir: Path, work_dir: Path, kind: str
) -> None:
    """Whatever is wrong with the spool, the segment is archived in silence."""
    if kind == "link":
        spool_dir.rename(work_dir / "real")
        spool_dir.symlink_to(work_dir / "real")
    elif kind in ("none", "file"):
        spool_dir.rmdir()
        if kind == "file":
            spool_dir.touch()
    elif kind == "open":
        spool_dir.chmod(0o777)
    elif kind == "foreign":
        shutil.chown(spool_dir, "root", "root")
    elif kind == "inside":
        spool_dir = archiver.data / "spool"
        spool_dir.mkdir(mode=0o700)
        shutil.chown(spool_dir, PG_USER, PG_USER)
    silent(archiver.push(SEGMENTS[0], f"--set=spool={spool_dir}"))
    if spool_dir.is_dir():
        assert list(spool_dir.iterdir()) == []


# --- faults of the store ----------------------------------------------------


@pytest.mark.sigv4
def test_one_request(s3_archiver: Archiver, fault_proxy: FaultProxy) -> None:
    silent(s3_archiver.push(SEGMENTS[0]))
    (request,) = fault_proxy.requests
    assert request.method == "PUT"
    assert request.headers["if-none-match"] == "*"


@pytest.mark.parametrize(
    "faults",
    [
        {"refuse": True},
        {"hang": True},
        {"http": 500},
        {"http": 503},
        {"http": 429},
        {"http": 409},
        {"cut_up": 20000},
        {"cut_down": 10},
    ],
    ids=str,
)
def test_store_in_trouble(
    s3_archiver: Archiver, fault_proxy: FaultProxy, faults: dict[str, Any]
) -> None:
    """Ends in time with the cause; a passing fault is not even noticed."""
    fault_proxy.set(**faults)
    done = s3_archiver.push(SEGMENTS[0], "--set=push_timeout=2s")
    one_line(done, SEGMENTS[0])
    if "hang" in faults:
        fault_proxy.clear()
    else:
        # An early answer ends the connection, so that the next one is sound.
        fault_proxy.set(**faults, early="http" in faults, first=2)
    silent(s3_archiver.push(SEGMENTS[1]))
    assert s3_archiver.fetch(SEGMENTS[1]) == s3_archiver.segment(2)


@pytest.mark.sigv4
def test_lost_answer(s3_archiver: Archiver, fault_proxy: FaultProxy) -> None:
    """The store kept it, and the retry meets its own object."""
    fault_proxy.set(eat=True, on="^PUT", first=1)
    silent(s3_archiver.push(SEGMENTS[0]))
    assert fault_proxy.count("PUT") == 2
    fault_proxy.clear()
    assert s3_archiver.fetch(SEGMENTS[0]) == s3_archiver.segment(1)


def test_refused_by_the_store(s3_archiver: Archiver, gateway: Gateway) -> None:
    nobody = {
        "WALSHIP_S3_ACCESS_KEY_ID": "nobody",
        "WALSHIP_S3_SECRET_ACCESS_KEY": "nothing",
    }
    done = s3_archiver.push(SEGMENTS[0], env=nobody)
    one_line(done, SEGMENTS[0])
    stranger = gateway.create_user("stranger-push")
    done = s3_archiver.push(
        SEGMENTS[0],
        env={
            "WALSHIP_S3_ACCESS_KEY_ID": stranger.access_key,
            "WALSHIP_S3_SECRET_ACCESS_KEY": stranger.secret_key,
        },
    )
    one_line(done, SEGMENTS[0])
    assert stranger.secret_key not in done.err
    done = s3_archiver.push(SEGMENTS[0], "--set=repository=s3://no-such-bucket/it")
    one_line(done, SEGMENTS[0], "no-such-bucket")


@pytest.mark.sigv4
def test_race_has_one_winner(
    s3_archiver: Archiver, walship: Programs, work_dir: Path, bucket: Bucket
) -> None:
    """Two servers push different content under one name at the same moment."""
    twin = copy_datadir(s3_archiver.data, work_dir / "twin")
    (twin / "pg_wal" / SEGMENTS[0]).write_bytes(damaged(s3_archiver.segment(1), 9000))
    command = [str(walship.path("wal-push")), f"--config={s3_archiver.config}"]
    for name in SEGMENTS[:3]:
        whole = (s3_archiver.wal / name).read_bytes()
        (twin / "pg_wal" / name).write_bytes(damaged(whole, 9000))
        racers = [
            subprocess.Popen(
                [*command, f"pg_wal/{name}"],
                cwd=data,
                user=PG_USER,
                env=base_environment(),
                stderr=subprocess.PIPE,
                text=True,
            )
            for data in (s3_archiver.data, twin)
        ]
        ends = [(racer.communicate()[1], racer.returncode) for racer in racers]
        assert sorted(code for _, code in ends) == [0, 1], ends
        winner = (s3_archiver.data, twin)[[code for _, code in ends].index(0)]
        assert s3_archiver.fetch(name) == (winner / "pg_wal" / name).read_bytes()
        assert any("differs from object" in err for err, _ in ends)


# --- signals and deadlines --------------------------------------------------


def start_as_archiver(
    archiver: Archiver, *args: str, before: str = ""
) -> subprocess.Popen[str]:
    """With the signals ignored that the archiver's children inherit so."""
    script = f"{before} trap '' INT ALRM PIPE; exec \"$@\""
    program = str(archiver.programs.path("wal-push"))
    return subprocess.Popen(
        ["/bin/sh", "-c", script, "sh", program, f"--config={archiver.config}", *args],
        cwd=archiver.data,
        user=PG_USER,
        env=base_environment(),
        stderr=subprocess.PIPE,
        text=True,
    )


SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT, signal.SIGBUS)


@pytest.mark.parametrize("sig", SIGNALS)
def test_signals(
    s3_archiver: Archiver, fault_proxy: FaultProxy, sig: signal.Signals
) -> None:
    """A signal ends it with a code that the archiver counts as a failure."""
    fault_proxy.set(hang=True)
    process = start_as_archiver(s3_archiver, f"pg_wal/{SEGMENTS[0]}")
    wait_for(lambda: fault_proxy.requests, "a request")
    process.send_signal(sig)
    err = process.communicate(timeout=60)[1]
    assert process.returncode == 1
    assert len(err.splitlines()) == 1
    fault_proxy.clear()
    silent(s3_archiver.push(SEGMENTS[0]))


def test_failure_names_the_file(archiver: Archiver, repo_dir: Path) -> None:
    """Whatever failed; the archiver's own lines are apart from ours."""
    path = f"pg_wal/{SEGMENTS[0]}"
    done = archiver.push(SEGMENTS[0], "--set=push_timeout=1ms")
    one_line(done, f'could not archive file "{path}": the time allowed')
    repo_dir.rename(repo_dir.with_name("away"))
    one_line(archiver.push(SEGMENTS[0]), path, f'"{repo_dir}": No such file')


def test_file_size_limit(archiver: Archiver) -> None:
    """A file that may not grow is an error, and no death by SIGXFSZ."""
    process = start_as_archiver(
        archiver, f"pg_wal/{SEGMENTS[0]}", before="ulimit -f 8;"
    )
    err = process.communicate(timeout=60)[1]
    assert process.returncode == 1 and "File too large" in err, err
    assert len(err.splitlines()) == 1
    silent(archiver.push(SEGMENTS[0]))


def test_alarm_comes_first(
    archiver: Archiver, spool_dir: Path, key_file: Path, work_dir: Path
) -> None:
    """It is set before anything is opened that might hang."""
    trace = work_dir / "trace"
    path = f"pg_wal/{SEGMENTS[0]}"
    push = [
        str(archiver.programs.path("wal-push")),
        f"--config={archiver.config}",
        path,
    ]
    # As root: what holds keys shows its memory to nobody else.
    strace = ["strace", "-qq", f"--user={PG_USER}", "-o", str(trace)]
    # Leaks cannot be looked for under ptrace.
    asan = os.environ.get("ASAN_OPTIONS", "") + ":detect_leaks=0"
    env = {"ASAN_OPTIONS": asan.lstrip(":")}
    call = [*strace, "--trace=openat,setitimer", *push]
    run(call, cwd=archiver.data, env=env).check()
    calls = trace.read_text().splitlines()
    (alarm,) = [at for at, call in enumerate(calls) if call.startswith("setitimer")]
    for place in (spool_dir, key_file, SEGMENTS[0]):
        (first, *_) = [at for at, call in enumerate(calls) if str(place) in call]
        assert alarm < first, place


def test_alarm(archiver: Archiver, repo_dir: Path, work_dir: Path) -> None:
    """What no deadline of its own ends is ended by an alarm.

    A command for the key stands for a file system that hangs.
    """
    archiver.config = write_config(
        work_dir / "hang.conf",
        repository=f"file://{repo_dir}",
        key_command="exec sleep 20 2>/dev/null",
        push_timeout="1s",
    )
    process = start_as_archiver(archiver, f"pg_wal/{SEGMENTS[0]}")
    err = process.communicate(timeout=120)[1]
    assert process.returncode == 1
    assert "push_timeout" in err and len(err.splitlines()) == 1, err
