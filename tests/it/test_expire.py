"""walship expire: what stays, what goes, and in which order."""

from __future__ import annotations

import random
import shutil
from datetime import timedelta
from pathlib import Path

import pytest

from ground import roots
from ground.clock import clock_off
from ground.dailies import Daily, Rules, expected, segment_name
from ground.expirer import Expirer, make_start, set_age
from ground.host import run
from ground.pg import ClusterFactory
from ground.programs import Programs, write_config
from ground.site import Site
from ground.treestore import TreeStore


@pytest.fixture
def expire(walship: Programs, dir_config: Path, repo_dir: Path) -> Expirer:
    return Expirer(walship, dir_config, repo_dir)


def check_repository(expire: Expirer, keep: set[str], window: set[str]) -> None:
    """The kept backups, with all their packs and WAL, and nothing more."""
    dailies = expire.dailies
    kept = [b for b in dailies.backups if b.identifier in keep]
    assert dailies.stored_backups() == keep
    assert dailies.stored_packs() == {pack for b in kept for pack in b.packs}
    wal = {name for b in kept for name in b.wal}
    starts = [b.first_segment for b in kept if b.identifier in window]
    behind = segment_name(min(starts))
    wal |= {name for name in dailies.segments if name >= behind}
    assert dailies.stored_wal() == wal


def test_two_years(expire: Expirer) -> None:
    """A backup a day, and an expiry every few weeks, against the model."""
    rules = Rules(last=3, daily=7, weekly=5, monthly=12, yearly=2, within_days=10)
    left: list[Daily] = []
    while len(expire.dailies.backups) < 730:
        expire.add_days(33)
        left = left + expire.dailies.backups[-33:]
        keep, window = expected(left, rules, expire.now)
        planned = expire.plan(*rules.options())
        verdicts = {row["id"]: row["verdict"] for row in planned["backups"]}
        assert {i for i, verdict in verdicts.items() if verdict == "keep"} == keep
        before = expire.dailies.stored_wal()
        assert planned["applied"] is False
        done = expire.plan(*rules.options(), "--apply")
        after = expire.dailies.stored_wal()
        assert done["deleted_wal_files"] == len(before) - len(after) > 0
        assert done["failed"] == 0
        check_repository(expire, keep, window or set())
        left = [b for b in left if b.identifier in keep]
    assert len(left) > 20


def test_any_rules(expire: Expirer) -> None:
    """Rules drawn at random, planned only, against the model."""
    seed = 20261121
    source = random.Random(seed)
    expire.add_days(200)
    for _ in range(25):
        rules = Rules.draw(source)
        keep, window = expected(expire.dailies.backups, rules, expire.now)
        plan = expire.plan(*rules.options())
        rows = plan["backups"]
        assert {r["id"] for r in rows if r["verdict"] == "keep"} == keep, (seed, rules)
        starts = {b.identifier: b.first_segment for b in expire.dailies.backups}
        first = min(starts[identifier] for identifier in window or set())
        any_moment = {r["id"] for r in rows if r["any_moment"]}
        assert any_moment == {
            b.identifier for b in expire.dailies.backups if b.first_segment >= first
        }
    assert len(expire.dailies.stored_backups()) == 200


def test_rules_in_the_configuration(expire: Expirer) -> None:
    expire.add_days(20)
    with expire.config.open("a", encoding="utf-8") as config:
        config.write("keep_weekly = 2\n")
    plan = expire.plan()
    kept = [row for row in plan["backups"] if row["verdict"] == "keep"]
    assert len(kept) == 2 and kept[1]["reasons"] == "weekly, newest"
    kept = [
        row
        for row in expire.plan("--keep-weekly=0", "--keep-last=5")["backups"]
        if row["verdict"] == "keep"
    ]
    assert len(kept) == 5


def test_a_timeline_without_a_history(
    walship: Programs, dir_config: Path, repo_dir: Path
) -> None:
    """The cluster came to the repository on it: its window begins all the same."""
    expire = Expirer(walship, dir_config, repo_dir, timeline=7)
    for _ in range(3):
        expire.add_full_day()
    rules = Rules(within_days=5)
    expire(*rules.options(), "--apply").check()
    keep, _ = expected(expire.dailies.backups, rules, expire.now)
    assert expire.dailies.stored_backups() == keep and len(keep) == 2


def test_an_unreadable_history_stops_it(expire: Expirer) -> None:
    """Nobody knows which backups lead to its timeline."""
    expire.add_days(3)
    expire.dailies.fork(expire.dailies.backups[2].first_segment + 3)
    history = expire.dailies.tree / "wal/00000002/00000002.history"
    history.write_bytes(history.read_bytes()[:-1])
    before = kept_of(expire.dailies.tree)
    done = expire("--keep-last=1", "--apply")
    assert done.status == 1 and "00000002.history" in done.err
    assert "nothing is expired" in done.err
    assert kept_of(expire.dailies.tree) == before


def test_no_rule(expire: Expirer) -> None:
    expire.add_days(2)
    done = expire("--apply")
    assert done.status != 0 and "no rule says" in done.err
    assert len(expire.dailies.stored_backups()) == 2


def test_plan_only(expire: Expirer) -> None:
    """Without --apply nothing changes, and the text says so."""
    expire.add_days(9)
    tree = sorted(expire.dailies.tree.rglob("*"))
    done = expire("--keep-last=2").check()
    assert sorted(expire.dailies.tree.rglob("*")) == tree
    assert "Nothing was done: --apply" in done.out
    assert "NO BACKUP IS LEFT" not in done.out
    lines = [line for line in done.out.splitlines() if line.startswith("0")]
    assert len(lines) == 9
    assert "expire" in lines[0] and "keep" in lines[8]


def test_pins(expire: Expirer) -> None:
    """A pinned backup stays, to its own end; released, it goes."""
    expire.add_days(14)
    oldest = expire.dailies.backups[0]
    expire("--keep-last=1", f"--keep={oldest.identifier}", "--apply").check()
    newest = expire.dailies.backups[-1]
    keep = {oldest.identifier, newest.identifier}
    check_repository(expire, keep, {newest.identifier})
    done = expire("--keep-last=1").check()
    line = next(row for row in done.out.splitlines() if oldest.identifier in row)
    assert "pinned; restores to its own end only" in line
    expire("--keep-last=1", f"--release={oldest.identifier}", "--apply").check()
    check_repository(expire, {newest.identifier}, {newest.identifier})
    assert not (expire.dailies.tree / "backup" / oldest.identifier).exists()
    done = expire("--keep-last=1", "--keep=nonsense")
    assert done.status != 0 and 'no backup "nonsense"' in done.err
    both = f"--keep={newest.identifier}", f"--release={newest.identifier}"
    done = expire("--keep-last=1", "--apply", *both)
    assert done.status == 2 and "of the same backup" in done.err


def kept_of(tree: Path) -> list[Path]:
    """All but the reports: a failure has one, too."""
    return sorted(path for path in tree.rglob("*") if "report" not in path.parts)


@pytest.mark.parametrize("length", [200, -20], ids=["summary", "rest"])
def test_an_unreadable_manifest_stops_it(expire: Expirer, length: int) -> None:
    """Of a backup that is kept: nobody knows what it needs."""
    expire.add_days(9)
    broken = expire.dailies.backups[8].identifier
    manifest = expire.dailies.tree / "backup" / broken / "manifest"
    manifest.write_bytes(manifest.read_bytes()[:length])
    tree = kept_of(expire.dailies.tree)
    done = expire("--keep-last=1", "--apply")
    assert done.status != 0 and broken in done.err
    assert kept_of(expire.dailies.tree) == tree


def test_never_the_last_good_one(expire: Expirer) -> None:
    """A backup whose WAL is gone counts for nothing."""
    expire.add_days(3)
    wal = expire.dailies.tree / "wal/00000001"
    for backup in expire.dailies.backups[1:]:
        (wal / sorted(backup.wal)[1]).unlink()
    plan = expire.plan("--keep-last=1")
    assert [row["verdict"] for row in plan["backups"]] == ["keep", "expire", "expire"]
    (wal / sorted(expire.dailies.backups[0].wal)[0]).unlink()
    done = expire("--keep-last=1", "--apply")
    assert done.status != 0 and "no backup would be left" in done.err
    assert len(expire.dailies.stored_backups()) == 3
    done = expire("--keep-last=1", "--apply", "--force").check()
    assert "NO BACKUP IS LEFT" in done.out
    assert expire.dailies.stored_backups() == set()
    assert expire.dailies.stored_packs() == set()


def test_a_dead_backup_goes(expire: Expirer) -> None:
    expire.add_days(2)
    dead = make_start(expire, [], timedelta(days=8))
    rows = expire.plan("--keep-last=2")["backups"]
    assert [row["verdict"] for row in rows] == ["keep", "keep", "dead"]
    expire("--keep-last=2", "--apply").check()
    assert not (expire.dailies.tree / "backup" / dead).exists()
    assert len(expire.dailies.stored_backups()) == 2


@pytest.mark.parametrize("tells", [True, False])
def test_a_store_that_tells_no_time(expire: Expirer, tells: bool) -> None:
    """It lets nothing die: our own clock may be anything."""
    expire.add_days(2)
    make_start(expire, [], timedelta(0))
    store = TreeStore(expire.dailies.repository.path)
    store.modified -= 8 * 86400
    store.tells_time = tells
    expire.config = write_config(
        expire.config.parent / "tree.conf",
        key_file=expire.config.parent / "key",
        **store.config(),
    )
    rows = expire.plan("--keep-last=2", clock=clock_off(0))["backups"]
    store.stop()
    assert [row["verdict"] for row in rows[:2]] == ["keep", "keep"]
    assert rows[2]["verdict"] == ("dead" if tells else "running")


def test_a_running_backup_protects_its_base(expire: Expirer) -> None:
    """Its own packs, its base's, and what that base refers to; and the WAL."""
    expire.add_days(8)  # the last is full again, and needs none of the others
    base = expire.dailies.backups[5]
    running = make_start(expire, [base.identifier], timedelta(days=1))
    expire("--keep-last=1", "--apply").check()
    dailies = expire.dailies
    newest = dailies.backups[-1]
    assert dailies.stored_backups() == {newest.identifier}
    wanted = base.packs | newest.packs | {(running, 0)}
    assert dailies.stored_packs() >= wanted
    assert segment_name(dailies.backups[0].first_segment) in dailies.stored_wal()
    # Its manifest never came: in the end all of it goes.
    start = dailies.tree / "backup" / running / "start"
    set_age(start, timedelta(days=9), expire.now)
    expire("--keep-last=1", "--apply").check()
    assert dailies.stored_packs() == newest.packs
    assert not (dailies.tree / "backup" / running).exists()


def test_a_running_backup_protects_a_dead_one(expire: Expirer) -> None:
    """For its packs, which no manifest names."""
    expire.add_days(2)
    dead = make_start(expire, [], timedelta(days=8))
    expire.add_days(1)
    running = make_start(expire, [dead], timedelta(days=1))
    expire("--keep-last=1", "--apply").check()
    home = expire.dailies.tree / "backup"
    assert (home / dead / "expired").exists()
    assert {(dead, 0), (running, 0)} <= expire.dailies.stored_packs()
    set_age(home / running / "start", timedelta(days=9), expire.now)
    expire("--keep-last=1", "--apply").check()
    assert not (home / dead).exists() and not (home / running).exists()


def test_a_start_that_cannot_be_read_stops_it(expire: Expirer) -> None:
    expire.add_days(3)
    running = make_start(expire, [], timedelta(days=1))
    start = expire.dailies.tree / "backup" / running / "start"
    start.write_bytes(start.read_bytes()[:-1])
    set_age(start, timedelta(days=1), expire.now)
    packs = expire.dailies.stored_packs()
    done = expire("--keep-last=1", "--apply")
    assert done.status != 0 and running in done.err
    assert expire.dailies.stored_packs() == packs


def test_what_cannot_be_deleted(expire: Expirer) -> None:
    """An error for each, a failing exit, the verdict kept; later it works."""
    expire.add_days(10)
    stuck = expire.dailies.backups[0].identifier
    folder = expire.dailies.tree / "backup" / stuck / "pack"
    run(["chattr", "+i", folder]).check()
    try:
        done = expire("--keep-last=1", "--apply")
    finally:
        run(["chattr", "-i", folder]).check()
    assert done.status != 0 and f"backup/{stuck}/pack/00000000" in done.err
    assert (expire.dailies.tree / "backup" / stuck / "expired").exists()
    newest = expire.dailies.backups[-1].identifier
    expire("--keep-last=1", "--apply").check()
    check_repository(expire, {newest}, {newest})


def test_killed_at_any_step(expire: Expirer, work_dir: Path) -> None:
    """Dies at the n-th deletion; the next run completes it."""
    expire.add_days(15)
    keep, window = expected(expire.dailies.backups, Rules(last=3), expire.now)
    tree = expire.dailies.tree
    shutil.copytree(tree, work_dir / "saved")
    for step in (1, 2, 5, 9, 12, 13, 14, 15, 16, 20, 40):
        shutil.rmtree(tree)
        shutil.copytree(work_dir / "saved", tree)
        expire.dailies.hand_over()
        inject = f"inject=unlinkat:signal=SIGKILL:when={step}"
        command = [*expire.command, "--keep-last=3", "--apply"]
        trace = ["strace", "-f", "-o", "/dev/null", "-e", "trace=unlinkat"]
        killed = run([*trace, "-e", inject, *command], user=roots.PG_USER)
        assert killed.status != 0
        assert keep <= expire.dailies.stored_backups()
        stored = expire.dailies.stored_packs()
        for backup in expire.dailies.backups:
            left = {path.name for path in tree.glob(f"backup/{backup.identifier}/*")}
            if "expired" not in left:
                assert not left or ("manifest" in left and backup.packs <= stored)
            elif "manifest" not in left:
                assert not any(owner == backup.identifier for owner, _ in stored)
        expire("--keep-last=3", "--apply").check()
        check_repository(expire, keep, window or set())


def test_a_report(expire: Expirer) -> None:
    expire.add_days(3)
    expire("--keep-last=1", "--apply").check()
    assert len(list((expire.dailies.tree / "report").glob("*-expire"))) == 1


def test_real_backups(
    new_cluster: ClusterFactory, walship: Programs, config: Path
) -> None:
    """What is kept restores: to any moment in the window, else to its end."""
    site = Site(walship, new_cluster, config)
    site.load()
    made = []
    for number in range(4):
        site.mark(number)
        made.append(site.backup())
        site.mark(number + 100)
        site.settle()
    assert "Nothing was done" in site.run("expire", "--keep-last=1").check().out
    said = site.run("expire", "--keep-last=1", f"--keep={made[0]}", "--apply")
    assert "Deleted: 2 backups" in said.check().out
    assert [row["id"] for row in site.list()] == [made[0], made[3]]
    latest = site.restore()
    latest.wait_sql("select not pg_is_in_recovery()")
    assert latest.value("select count(*) from marks") == 8
    pinned = site.restore(made[0], "--target-immediate")
    assert pinned.value("select count(*) from marks") == 1
    assert site.run("expire", "--keep-last=1", "--apply").check().out
