"""walship restore, against real servers: targets, timelines, standbys."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from ground.host import run
from ground.pg import Cluster, ClusterFactory
from ground.programs import Programs
from ground.site import FINGERPRINT, Site


@pytest.fixture
def site(walship: Programs, new_cluster: ClusterFactory, dir_config: Path) -> Site:
    return Site(walship, new_cluster, dir_config)


@pytest.fixture
def either(walship: Programs, new_cluster: ClusterFactory, config: Path) -> Site:
    """As site, once with a directory and once with the S3 gateway."""
    return Site(walship, new_cluster, config)


def marks(cluster: Cluster) -> list[int]:
    return [row[0] for row in cluster.sql("select n from marks order by n")]


def promoted(cluster: Cluster) -> Cluster:
    cluster.wait_sql("select not pg_is_in_recovery()")
    return cluster


def paused(cluster: Cluster) -> Cluster:
    cluster.wait_sql("select pg_get_wal_replay_pause_state() = 'paused'")
    return cluster


@pytest.mark.versions
def test_restore(new_cluster: ClusterFactory, walship: Programs, config: Path) -> None:
    """To the end of the archive, with either backend."""
    site = Site(walship, new_cluster, config)
    site.load()
    site.backup()
    site.mark(1)
    site.settle()
    copy = site.restore(start=False)
    copy.verifybackup(copy.data, "--no-parse-wal").check()
    promoted(copy.start())
    assert copy.value(FINGERPRINT) == site.primary.value(FINGERPRINT)
    assert copy.value("show archive_mode") == "off"
    copy.sql("insert into marks values (2)")


# --- targets ----------------------------------------------------------------------


@dataclass
class Moment:
    """One point of the primary's life, by all its names."""

    xid: str
    time: str
    lsn: str
    name: str
    rows: str


def live(site: Site, number: int) -> Moment:
    """Some load, a mark, and the names of the moment behind it."""
    # Without its vacuum and truncate, whose locks a pause could leave behind.
    site.primary.pgbench("-n", "-c", "2", "-t", "50")
    before = site.primary.value(FINGERPRINT)
    with site.primary.connect(autocommit=False) as connection:
        cursor = connection.cursor()
        cursor.execute("insert into marks values (%s)", [number])
        cursor.execute("select pg_current_xact_id()::text")
        xid = cursor.fetchone()[0]
        connection.commit()
    rows = site.primary.value(FINGERPRINT)
    assert rows != before
    time.sleep(0.05)
    moment = site.primary.value("select clock_timestamp()::text")
    lsn = site.primary.value("select pg_current_wal_insert_lsn()::text")
    name = f"it's moment {number}"
    site.primary.sql("select pg_create_restore_point(%s)", [name])
    time.sleep(0.05)
    return Moment(xid, moment, lsn, name, rows)


@pytest.mark.versions
def test_targets(either: Site) -> None:
    """Every kind of target stops where it should, row for row."""
    site = either
    site.load()
    at_start = site.primary.value(FINGERPRINT)
    site.backup()
    one, two = live(site, 1), live(site, 2)
    site.settle()

    targets = [
        (["--target-immediate"], at_start),
        ([f"--target-time={one.time}"], one.rows),
        ([f"--target-lsn={one.lsn}"], one.rows),
        ([f"--target-xid={two.xid}"], two.rows),
        ([f"--target-name={one.name}"], one.rows),
        ([], two.rows),
    ]
    for args, rows in targets:
        copy = site.restore(*args)
        if args:
            paused(copy)
            assert copy.value(FINGERPRINT) == rows, args
            copy.sql("select pg_wal_replay_resume()")
        promoted(copy)
        assert copy.value(FINGERPRINT) == rows, args
        copy.stop("immediate")


def test_exclusive(site: Site) -> None:
    site.load()
    site.backup()
    moment = live(site, 1)
    site.settle()
    copy = site.restore(f"--target-xid={moment.xid}", "--target-exclusive")
    assert marks(paused(copy)) == []
    copy = site.restore(f"--target-xid={moment.xid}", "--target-inclusive")
    assert marks(paused(copy)) == [1]


def test_actions(site: Site) -> None:
    site.load()
    site.backup()
    moment = live(site, 1)
    site.mark(2)
    site.settle()
    target = f"--target-lsn={moment.lsn}"
    copy = site.restore(target, "--target-action=promote")
    assert marks(promoted(copy)) == [1]
    copy = site.restore(target, "--target-action=shutdown", start=False)
    copy.try_start()
    copy.wait_stopped()
    assert "shutdown at recovery target" in copy.log()
    copy = site.restore(target, "--target-action=pause")
    assert marks(paused(copy)) == [1]


def test_time_without_offset_is_local(site: Site) -> None:
    site.load()
    site.backup()
    moment = live(site, 1)
    site.mark(2)
    site.settle()
    local = site.primary.value(
        "select (%s::timestamptz at time zone 'Asia/Kolkata')::text", moment.time
    )
    copy = site.copy()
    done = site.programs.run(
        "walship",
        *("restore", f"--config={site.config}", f"--target-time={local}"),
        f"--target-dir={copy.data}",
        env={"TZ": "Asia/Kolkata"},
    ).check()
    utc = site.primary.value(
        "select to_char(%s::timestamptz at time zone 'UTC', %s)",
        *(moment.time, "YYYY-MM-DD HH24:MI:SS.US+00"),
    )
    assert f"the target is {utc}" in done.err
    settings = (copy.data / "postgresql.auto.conf").read_text(encoding="utf-8")
    assert f"recovery_target_time = '{utc}'\n" in settings
    assert marks(paused(copy.start())) == [1]


def test_backup_is_chosen_by_target(site: Site) -> None:
    site.load()
    first = site.backup()
    one = live(site, 1)
    time.sleep(1.1)
    second = site.backup()
    two = live(site, 2)
    site.settle()

    def chosen(*args: str) -> str:
        copy = site.copy()
        done = site.run("restore", *args, f"--target-dir={copy.data}").check()
        return done.out.split()[1]

    assert chosen(f"--target-time={one.time}") == first
    assert chosen(f"--target-lsn={one.lsn}") == first
    assert chosen(f"--target-time={two.time}") == second
    assert chosen(f"--target-lsn={two.lsn}") == second
    assert chosen() == second
    assert chosen("latest") == second
    assert chosen(first) == first
    assert chosen(first, f"--target-lsn={two.lsn}") == first
    assert chosen(f"--target-xid={two.xid}") == second


def test_impossible_targets_name_the_nearest(site: Site) -> None:
    site.load()
    lsn = site.primary.value("select pg_current_wal_lsn()::text")
    backup = site.backup()
    last = site.settle()
    stop = site.list()[0]["stop_lsn"]
    said = site.refuse("--target-time=2020-01-01 00:00:00Z")
    assert "before the end of every backup" in said
    assert "The earliest possible is 20" in said and backup in said
    said = site.refuse(f"--target-lsn={lsn}")
    assert f"The earliest possible is {stop}, with backup {backup}" in said
    said = site.refuse(backup, f"--target-lsn={lsn}")
    assert f"before the end of backup {backup}" in said
    said = site.refuse("--target-lsn=FF/0")
    end = f"0/{int(last[-2:], 16) + 1:X}000000"
    assert f"the target FF/0 lies behind the end of the archive, {end}" in said
    assert "The nearest possible is no target" in said
    nearest = said.split("--target-lsn=")[1].split()[0].rstrip(".)")
    assert nearest == f"0/{last[-2:].lstrip('0')}000000"
    copy = site.restore(f"--target-lsn={nearest}")
    paused(copy)


# --- timelines --------------------------------------------------------------------


@pytest.mark.versions
def test_timelines(either: Site) -> None:
    """Recover before and after a switch, and along the abandoned timeline."""
    site = either
    site.load()
    site.backup()
    one = live(site, 1)
    site.settle()

    # The copy takes over, while the old primary goes on for a while.
    new = site.restore("--keep-archiving", f"--target-lsn={one.lsn}")
    paused(new)
    site.mark(100)
    site.settle()
    old = site.primary
    old.stop()
    new.sql("select pg_wal_replay_resume()")
    promoted(new)
    site.primary = new
    new.wait_sql("select last_archived_wal is not null from pg_stat_archiver")
    two = live(site, 2)
    time.sleep(1.1)
    second = site.backup()
    assert second.split("-")[1] == "00000002"
    three = live(site, 3)
    site.settle()

    for moment, args in (
        (one, [f"--target-time={one.time}"]),
        (two, [f"--target-time={two.time}"]),
        (two, [f"--target-lsn={two.lsn}"]),
        (three, [f"--target-time={three.time}"]),
        (three, [f"--target-name={three.name}"]),
    ):
        copy = paused(site.restore(*args))
        assert copy.value(FINGERPRINT) == moment.rows, args
        copy.stop("immediate")
    copy = promoted(site.restore())
    assert marks(copy) == [1, 2, 3]
    assert copy.value("select timeline_id from pg_control_checkpoint()") == 3
    copy.stop("immediate")

    copy = site.copy()
    done = site.run(
        "restore", f"--target-time={one.time}", f"--target-dir={copy.data}"
    ).check()
    assert "timeline 1 went on after timeline 2 had forked off" in done.err
    copy = promoted(site.restore("--target-timeline=1"))
    assert marks(copy) == [1, 100]

    said = site.refuse("--target-timeline=7")
    assert "timeline 7 is not known" in said and "timelines 1, 2;" in said
    said = site.refuse(second, "--target-timeline=1")
    assert f"backup {second} does not lead to timeline 1" in said


def test_cluster_that_came_on_a_later_timeline(
    walship: Programs, new_cluster: ClusterFactory, dir_config: Path, repo_dir: Path
) -> None:
    """Its timeline's history file was never archived."""
    primary = new_cluster()
    primary.stop()
    (primary.data / "standby.signal").touch()
    primary.start()
    primary.promote()
    promoted(primary)
    primary.configure({"archive_mode": "on"})
    site = Site(walship, new_cluster, dir_config, primary)
    primary.configure({"archive_command": f"{site.push} %p"})
    primary.restart()
    site.load()
    site.backup()
    site.mark(1)
    site.settle()
    for history in repo_dir.glob("*/wal/*/*.history"):
        history.unlink()
    assert marks(promoted(site.restore())) == [1]
    assert marks(promoted(site.restore("--target-timeline=2"))) == [1]


# --- standbys ---------------------------------------------------------------------


@pytest.mark.versions
def test_standby_follows(site: Site) -> None:
    site.load()
    site.backup()
    copy = site.restore("--standby")
    for number in (1, 2):
        site.mark(number)
        site.settle()
        copy.wait_sql(f"select count(*) = {number} from marks")
    assert copy.value("select pg_is_in_recovery()")
    site.primary.stop()
    copy.promote()
    promoted(copy)
    assert marks(copy) == [1, 2]
    # It has taken the primary's place, in the archive too.
    segment = copy.switch_wal()
    assert segment.startswith("00000002")
    copy.wait_archived(segment)


def test_backup_of_a_standby(site: Site) -> None:
    """What it inherits does not make the copy a standby of the primary."""
    site.load()
    site.backup()
    standby = site.restore("--standby", start=False)
    with open(standby.data / "postgresql.auto.conf", "a", encoding="utf-8") as conf:
        conf.write(
            f"primary_conninfo = '{site.primary.dsn()}'\n"
            "recovery_target_xid = '4000000000'\n"
            "recovery_target_xid = ''\n"
            "recovery_end_command = 'exit 1'\n"
            "archive_cleanup_command = 'rm -rf /nowhere'\n"
        )
    standby.start()
    site.mark(1)
    standby.wait_sql("select count(*) = 1 from marks")
    site.settle()
    backup = site.backup(cluster=standby)
    site.mark(2)
    site.settle()
    standby.stop()
    copy = site.restore(backup, start=False)
    assert not (copy.data / "standby.signal").exists()
    promoted(copy.start())
    assert marks(copy) == [1, 2]
    assert copy.value("show primary_conninfo") == ""
    assert copy.value("show recovery_end_command") == ""


def test_inherited_settings_do_not_interfere(site: Site, shared_dir: Path) -> None:
    """From postgresql.conf, a file it includes, and ALTER SYSTEM.

    What a restore leaves as it was, and could surprise, it says.
    """
    primary = site.primary
    included = primary.data / "more.conf"
    included.write_text("restore_command = 'false'\nhot_standby = off\n", "utf-8")
    run(["chown", "postgres:", included]).check()
    ended = shared_dir / "ended"
    primary.configure({"recovery_target_xid": "4000000000"})
    with (primary.data / "postgresql.conf").open("a", encoding="utf-8") as conf:
        conf.write("include 'more.conf'\n")
    for name, value in {
        "restore_command": "exit 1",
        "recovery_target_action": "shutdown",
        "recovery_target_inclusive": "off",
        "recovery_target_timeline": "9",
        "recovery_end_command": f"touch {ended}",
        "archive_cleanup_command": f"touch {ended}",
        "recovery_min_apply_delay": "1h",
        "primary_conninfo": primary.dsn(),
        "primary_slot_name": "nobodys",
    }.items():
        primary.sql(f"alter system set {name} = %s", [value])
    primary.restart()
    site.load()
    site.backup()
    moment = live(site, 1)
    site.mark(2)
    site.settle()
    assert marks(paused(site.restore(f"--target-time={moment.time}"))) == [1]
    assert marks(promoted(site.restore())) == [1, 2]
    assert not ended.exists()

    said = site.run("restore", f"--target-dir={site.copy().data}").check().out
    assert "wait for standbys" not in said and "subscriptions" not in said
    primary.sql(
        "create subscription s connection 'host=/nowhere' publication p"
        " with (connect = false)"
    )
    primary.sql("alter system set synchronous_standby_names = 'nobody'")
    primary.reload()
    primary.wait_sql("select current_setting('synchronous_standby_names') = 'nobody'")
    site.backup()
    said = site.run("restore", f"--target-dir={site.copy().data}").check().out
    assert 'synchronous_standby_names is "nobody"' in said
    assert "It has subscriptions" in said
    args = ["--standby", f"--target-dir={site.copy().data}"]
    said = site.run("restore", *args).check().out
    assert "wait for standbys" not in said and "subscriptions" not in said


# --- tablespaces ------------------------------------------------------------------


@pytest.mark.versions
def test_tablespaces(site: Site, work_dir: Path, shared_dir: Path) -> None:
    old, new = shared_dir / "old=one", shared_dir / "new=one"
    site.primary.root.run(["mkdir", str(old)], cwd=shared_dir).check()
    # A setting for developers, without which such a server does not recover.
    site.primary.configure({"allow_in_place_tablespaces": "on"})
    site.primary.reload()
    site.primary.wait_sql("select current_setting('allow_in_place_tablespaces')::bool")
    site.primary.sql(f"create tablespace apart location '{old}'")
    site.primary.sql("create tablespace inside location ''")
    site.load()
    site.primary.sql("alter table pgbench_accounts set tablespace apart")
    site.primary.sql("alter table marks set tablespace inside")
    site.backup()
    site.mark(1)
    site.settle()

    said = site.refuse()
    assert f'directory "{old}" is not empty' in said and "--tablespace" in said
    said = site.refuse(f"--tablespace={shared_dir}/none={new}")
    assert f'no tablespace at "{shared_dir}/none"' in said
    assert f'Its tablespaces: "{old}".' in said
    assert not new.exists()

    def escape(path: Path) -> str:
        return str(path).replace("=", "\\=")

    copy = site.restore(f"--tablespace={escape(old)}={escape(new)}", start=False)
    links = [path for path in (copy.data / "pg_tblspc").iterdir() if path.is_symlink()]
    assert [str(link.readlink()) for link in links] == [str(new)]
    copy.verifybackup(copy.data, "--no-parse-wal").check()
    promoted(copy.start())
    assert copy.value(FINGERPRINT) == site.primary.value(FINGERPRINT)
    location = "select pg_tablespace_location(oid) from pg_tablespace where spcname = %s"
    assert copy.value(location, "apart") == str(new)
    copy.sql("create table later (a int) tablespace apart")
    copy.sql("create table last (a int) tablespace inside")
