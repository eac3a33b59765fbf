"""walship expire where something happens beside it, or fails half-way."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from ground import roots
from ground.clock import clock_off
from ground.dailies import SEGMENT, SYSTEM, segment_name
from ground.expirer import Expirer, make_start, set_age
from ground.fault import FaultProxy
from ground.host import run
from ground.programs import Programs, change_config
from ground.s3client import Bucket

DAY = timedelta(days=1)
SKEW = timedelta(minutes=10)  # signatures allow a quarter of an hour


@pytest.fixture
def expire(walship: Programs, dir_config: Path, repo_dir: Path) -> Expirer:
    return Expirer(walship, dir_config, repo_dir)


def upload(bucket: Bucket, repository: Path) -> None:
    for path in repository.rglob("*"):
        if path.is_file():
            bucket.put(f"it/{path.relative_to(repository)}", path.read_bytes())


# --- another host, between the plan and its execution -----------------------------


def hide(expire: Expirer, number: int) -> Path:
    """A backup that is not there yet."""
    home = expire.home(number)
    return home.rename(expire.dailies.tree.parent / home.name)


def publish(expire: Expirer, hidden: Path) -> None:
    hidden.rename(expire.dailies.tree / "backup" / hidden.name)


@pytest.mark.parametrize("number", [0, 1])
@pytest.mark.parametrize("manifest", [True, False], ids=["whole", "running"])
def test_a_newcomer_finds_its_wal(
    expire: Expirer, number: int, manifest: bool
) -> None:
    """That the plan did not know: a lagging standby's begins before others."""
    expire.add_days(4)
    hidden = hide(expire, number)
    if not manifest:
        (hidden / "manifest").unlink()
    with expire.held("--keep-last=1") as go_on:
        publish(expire, hidden)
        go_on().check()
    oldest = 1 if number == 0 and not manifest else 0
    begin = segment_name(expire.dailies.backups[oldest].first_segment)
    assert expire.dailies.stored_wal() == {
        name for name in expire.dailies.segments if name >= begin
    }
    assert (hidden.name in expire.dailies.stored_backups()) == manifest


def test_a_manifest_breaks_under_it(expire: Expirer) -> None:
    """What is marked by then stays marked, and nothing is deleted."""
    expire.add_days(9)
    packs = expire.dailies.stored_packs()
    wal = expire.dailies.stored_wal()
    manifest = expire.home(8) / "manifest"
    with expire.held("--keep-last=1") as go_on:
        manifest.write_bytes(manifest.read_bytes()[:200])
        done = go_on()
    assert done.status != 0
    assert f"nothing is deleted: backup {manifest.parent.name}" in done.err
    assert expire.dailies.stored_packs() == packs
    assert expire.dailies.stored_wal() == wal


def test_another_run_is_faster(expire: Expirer) -> None:
    """It kept less, and has deleted all that this one was about to."""
    expire.add_days(9)
    with expire.held("--keep-last=2") as go_on:
        expire("--keep-last=1", "--apply").check()
        go_on().check()
    assert expire.dailies.stored_backups() == {expire.home(8).name}
    assert expire.dailies.stored_packs() == expire.dailies.backups[8].packs


@pytest.mark.parametrize("what", ["summary", "manifest", "start"])
def test_gone_when_it_is_read(
    expire: Expirer,
    what: str,
    s3_config: Path,
    bucket: Bucket,
    fault_proxy: FaultProxy,
) -> None:
    """Listed a moment ago, then deleted by another run: no reason to stop."""
    expire.add_days(4)
    gone = f"{expire.home(3).name}/manifest"
    if what == "start":
        gone = f"{make_start(expire, [], DAY)}/start"
    upload(bucket, expire.dailies.repository.path)
    change_config(s3_config, s3_endpoint=fault_proxy.endpoint)
    expire.config = s3_config
    with expire.held("--keep-last=2", clock=clock_off(0)) as go_on:
        on = f"GET [^?]*{gone}"
        fault_proxy.set(http=404, on=on, whole=what != "summary")
        fault_proxy.reset_connections()
        fault_proxy.forget()
        go_on().check()
    assert fault_proxy.count("GET", gone) > 0
    expired = {key.split("/")[3] for key in bucket.list() if key.endswith("/expired")}
    assert expired == {expire.home(n).name for n in (0, 1)}


# --- what may not be deleted ------------------------------------------------------


def test_a_hollow_base(expire: Expirer) -> None:
    """Without packs of its own, its manifest tells what a start builds on."""
    expire.add_days(2)
    expire.dailies.add_day(own=0)
    base = expire.dailies.backups[2]
    running = make_start(expire, [base.identifier], DAY)
    expire.add_full_day()
    set_age(expire.dailies.tree / "backup" / running / "start", DAY, expire.now)
    for _ in range(2):
        expire("--keep-last=1", "--apply").check()
        assert base.packs <= expire.dailies.stored_packs()
    set_age(expire.dailies.tree / "backup" / running / "start", 9 * DAY, expire.now)
    expire("--keep-last=1", "--apply").check()
    assert not expire.home(2).exists()
    assert expire.dailies.stored_packs() == expire.dailies.backups[-1].packs


def test_all_bases_of_a_start(expire: Expirer) -> None:
    """One that died has no manifest; the next one counts all the same."""
    expire.add_days(6)
    base = expire.dailies.backups[5]
    dead = make_start(expire, [], 8 * DAY)
    expire.add_full_day()
    make_start(expire, [dead, base.identifier], DAY)
    expire("--keep-last=1", "--apply").check()
    assert base.packs | {(dead, 0)} <= expire.dailies.stored_packs()


def test_a_foreign_file_among_packs(expire: Expirer) -> None:
    """Not ours to delete; and as long as it is there, the verdict is."""
    expire.add_days(1)
    expire.add_full_day()
    strange = expire.home(0) / "pack/0000000x"
    strange.touch()
    for _ in range(2):
        expire("--keep-last=1", "--apply").check()
        assert strange.exists() and (expire.home(0) / "expired").exists()
    strange.unlink()
    expire("--keep-last=1", "--apply").check()
    assert not (expire.home(0) / "expired").exists()


def test_strange_names_in_the_archive(expire: Expirer) -> None:
    """What was set aside goes with its segment, what is no WAL stays."""
    expire.add_days(3)
    wal = expire.dailies.tree / "wal/00000001"
    aside = segment_name(1) + ".0123456789abcdef"
    stay = [
        segment_name(1) + ".0123456789abcdeg",
        segment_name(1) + "-0123456789abcdef",
        "notes",
        segment_name(9) + ".0123456789abcdef",
    ]
    for name in (aside, *stay):
        (wal / name).touch()
    (wal.parent / "00000002.history").touch()
    expire("--keep-last=1", "--apply").check()
    assert not (wal / aside).exists()
    assert all((wal / name).exists() for name in stay)
    assert (wal.parent / "00000002.history").exists()


def test_wal_without_a_backup(expire: Expirer) -> None:
    expire.add_days(1)
    shutil.rmtree(expire.home(0))
    wal = expire.dailies.stored_wal()
    expire("--keep-last=1", "--apply").check()
    assert expire.dailies.stored_wal() == wal


def test_two_segment_sizes(expire: Expirer) -> None:
    """Names of WAL say another place in each: none is deleted."""
    expire.add_days(1)
    expire.add_full_day(wal_segment_size=SEGMENT * 2)
    expire.add_days(1)
    wal = expire.dailies.stored_wal()
    done = expire("--keep-last=1", "--apply").check()
    assert "different WAL segment sizes" in done.err
    assert expire.dailies.stored_wal() == wal
    assert not expire.home(0).exists()


def test_a_pin_on_what_is_no_backup(expire: Expirer) -> None:
    expire.add_days(2)
    running = make_start(expire, [], DAY)
    for option in ("--keep", "--release"):
        done = expire("--keep-last=1", f"{option}={running}", "--apply")
        assert done.status != 0 and f'no backup "{running}"' in done.err
    assert len(expire.dailies.stored_backups()) == 2


def test_pinned_twice_and_too_late(expire: Expirer) -> None:
    expire.add_days(1)
    expire.add_full_day()
    pin = f"--keep={expire.home(0).name}"
    for _ in range(2):
        expire("--keep-last=1", pin, "--apply").check()
    assert (expire.home(0) / "keep").exists()
    # Another host pinned it when it was marked already.
    (expire.home(0) / "expired").touch()
    expire("--keep-last=1", "--apply").check()
    assert not expire.home(0).exists()


def test_each_object_for_itself(expire: Expirer) -> None:
    """Of an expired backup stays what others need, and not one object more."""
    expire.dailies.add_day(own=5, digest=True)
    expire.dailies.add_day(digest=True)
    expire.dailies.add_day()
    expire.dailies.hand_over()

    def left() -> list[str]:
        home = expire.home(0)
        return sorted(str(path.relative_to(home)) for path in home.glob("*/*"))

    expire("--keep-last=2", "--apply").check()
    assert left() == ["digest/00000000", "pack/00000000"]
    expire("--keep-last=1", "--apply").check()
    assert left() == ["pack/00000000"]
    assert expire.dailies.stored_packs() == expire.dailies.backups[2].packs


@pytest.mark.parametrize("stuck", ["pack", "manifest", "start"])
def test_the_order_of_deletion(expire: Expirer, stuck: str) -> None:
    """Packs, then what tells of them, the verdict last; others' go on."""
    expire.add_days(1)
    expire.add_full_day()
    expire.add_full_day()
    path = expire.home(0) / stuck
    run(["chattr", "+i", path]).check()
    try:
        done = expire("--keep-last=1", "--apply")
    finally:
        run(["chattr", "-i", path]).check()
    assert done.status != 0 and f"/{stuck}" in done.err
    assert not expire.home(1).exists()
    left = {p.name for p in expire.home(0).iterdir() if p.is_file()}
    assert "expired" in left and stuck in left | {"pack"}
    if stuck == "pack":
        assert left == {"expired", "manifest", "start"}
    expire("--keep-last=1", "--apply").check()
    assert not expire.home(0).exists()


# --- clocks -----------------------------------------------------------------------


@pytest.mark.sigv4
@pytest.mark.parametrize("ours", [-SKEW, SKEW], ids=["slow", "fast"])
def test_the_earlier_clock_counts(
    walship: Programs, s3_config: Path, repo_dir: Path, bucket: Bucket, ours: timedelta
) -> None:
    """Of this host's and the store's: the window begins where more stays."""
    expire = Expirer(walship, s3_config, repo_dir)
    expire.add_days(3)
    upload(bucket, repo_dir)
    # By the earlier clock the window begins just before the second one's end.
    now = datetime.now(UTC) + min(ours, timedelta(0))
    within = now - expire.dailies.backups[1].stop_time + SKEW / 2
    rule = f"--keep-within={within.total_seconds():.0f}s"
    plan = expire.plan(rule, clock=clock_off(ours.total_seconds()))
    assert [row["verdict"] for row in plan["backups"]] == ["keep"] * 3
