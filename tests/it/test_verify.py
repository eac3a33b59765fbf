"""walship verify: whatever a restore would stumble over, it names."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import threading
from pathlib import Path
from typing import Any

import pytest

from ground import roots
from ground.dailies import SEGMENTS_A_DAY, SYSTEM, Dailies, key_of, segment_name
from ground.fault import FaultProxy
from ground.host import Result, base_environment, run, wait_for
from ground.objects import KIND_WAL
from ground.pg import ClusterFactory
from ground.programs import Programs, change_config, write_config
from ground.s3 import Gateway
from ground.s3client import Bucket
from ground.scripted import Asked, Say, answer
from ground.site import Site
from ground.stored import stored_by
from ground.treestore import TreeStore


class Verifier:
    def __init__(
        self, programs: Programs, config: Path, repo_dir: Path, timeline: int = 1
    ) -> None:
        self.programs = programs
        self.config = config
        self.dailies = Dailies(repo_dir, key_of(config.parent / "key"), timeline)
        for _ in range(9):
            self.dailies.add_day()
        self.dailies.hand_over()

    @property
    def command(self) -> list[str]:
        program = str(self.programs.path("walship"))
        return [program, "verify", f"--config={self.config}", f"--cluster={SYSTEM}"]

    def __call__(self, *args: str) -> Result:
        return run([*self.command, *args], user=roots.PG_USER)

    def findings(self, *args: str, grade: str = "defect") -> dict[str, str]:
        """Subjects and kinds; the exit status must agree."""
        done = self(*args, "--json")
        told = json.loads(done.out)
        defects = [row for row in told["findings"] if row["grade"] == "defect"]
        assert told["complete"] and told["defects"] == len(defects), done.err
        assert done.status == (1 if defects else 0), done.err
        rows = [row for row in told["findings"] if row["grade"] == grade]
        return {row["subject"]: row["kind"] for row in rows}


@pytest.fixture
def verify(walship: Programs, dir_config: Path, repo_dir: Path) -> Verifier:
    return Verifier(walship, dir_config, repo_dir)


def test_all_is_well(verify: Verifier) -> None:
    done = verify()
    assert done.status == 0, done.err
    assert done.out.startswith("9 backups, 9 packs and digests")
    assert f"{9 * SEGMENTS_A_DAY} WAL segments" in done.out
    assert "WAL segments; content was not read: 0 defects." in done.out


def test_a_pack_is_missing(verify: Verifier) -> None:
    shared = verify.dailies.backups[0].identifier
    name = f"backup/{shared}/pack/00000000"
    (verify.dailies.tree / name).unlink()
    assert verify.findings() == {name: "missing"}
    assert "7 backups need it" in verify().out


def test_a_pack_is_too_short(verify: Verifier) -> None:
    name = f"backup/{verify.dailies.backups[3].identifier}/pack/00000000"
    path = verify.dailies.tree / name
    path.write_bytes(path.read_bytes()[:-1])
    assert verify.findings() == {name: "wrong-size"}


@pytest.mark.parametrize("where", ["summary", "rest"])
def test_a_manifest_is_damaged(verify: Verifier, where: str) -> None:
    identifier = verify.dailies.backups[3].identifier
    path = verify.dailies.tree / "backup" / identifier / "manifest"
    content = bytearray(path.read_bytes())
    content[200 if where == "summary" else -5] ^= 1
    path.write_bytes(content)
    assert verify.findings() == {identifier: "manifest-unreadable"}


def test_gaps(verify: Verifier) -> None:
    """Each is named once, with what it costs."""
    wal = verify.dailies.tree / "wal/00000001"
    backup = verify.dailies.backups[4]
    own = segment_name(backup.first_segment + 1)
    between = [segment_name(backup.first_segment + 2 + i) for i in (4, 5)]
    for name in (own, *between):
        (wal / name).unlink()
    assert verify.findings() == {own: "wal-gap", between[0]: "wal-gap"}
    lines = verify().out.splitlines()
    assert f'"{own}": backup {backup.identifier} cannot be restored' in lines[0]
    assert f'"{between[0]}": up to {between[1]}: recovery' in lines[1]


def test_the_window_says_what_is_a_gap(verify: Verifier) -> None:
    """What expire has thinned out on purpose is no defect."""
    wal = verify.dailies.tree / "wal/00000001"
    (wal / segment_name(verify.dailies.backups[2].first_segment + 2)).unlink()
    assert len(verify.findings()) == 1
    with verify.config.open("a", encoding="utf-8") as config:
        config.write("keep_last = 5\n")
    assert verify.findings() == {}
    (wal / segment_name(verify.dailies.backups[5].first_segment + 2)).unlink()
    assert len(verify.findings()) == 1


def test_a_backup_that_lacks_its_wal(verify: Verifier) -> None:
    """It counts for no rule, so that the window begins with an older one."""
    wal = verify.dailies.tree / "wal/00000001"
    lacking, older = verify.dailies.backups[6], verify.dailies.backups[5]
    own = segment_name(lacking.first_segment)
    behind = segment_name(older.first_segment + 2)
    for name in (own, behind):
        (wal / name).unlink()
    with verify.config.open("a", encoding="utf-8") as config:
        config.write("keep_last = 3\n")
    assert verify.findings() == {own: "wal-gap", behind: "wal-gap"}
    assert verify.findings(grade="note") == {}


def test_a_gap_before_a_fork(verify: Verifier) -> None:
    """Timeline 1 may end anywhere, were it not for the one that left it."""
    last = verify.dailies.backups[8].first_segment + 3
    for number in (last - 1, last):
        (verify.dailies.tree / "wal/00000001" / segment_name(number)).unlink()
    assert verify.findings() == {}
    verify.dailies.fork(last)
    assert verify.findings() == {segment_name(last - 1): "wal-gap"}
    (verify.dailies.tree / "wal/00000002" / segment_name(last + 1, 2)).unlink()
    assert set(verify.findings()) == {
        segment_name(last - 1),
        segment_name(last + 1, 2),
    }


def test_a_fork_before_the_window(verify: Verifier) -> None:
    """No backup leads to a timeline that left before: worth a note."""
    verify.dailies.fork(verify.dailies.backups[3].first_segment + 3)
    with verify.config.open("a", encoding="utf-8") as config:
        config.write("keep_last = 2\n")
    assert verify.findings() == {}
    assert verify.findings(grade="note") == {"timeline 2": "no-backup"}
    for path in (verify.dailies.tree / "wal/00000002").iterdir():
        if path.suffix != ".history":
            path.unlink()
    assert verify.findings(grade="note") == {}


def test_a_timeline_without_a_history(
    walship: Programs, dir_config: Path, repo_dir: Path
) -> None:
    """The cluster came to the repository on it: its WAL must be whole, too."""
    verify = Verifier(walship, dir_config, repo_dir, timeline=7)
    assert verify.findings() == {} and verify.findings(grade="note") == {}
    assert f"{9 * SEGMENTS_A_DAY} WAL segments" in verify().out
    missing = segment_name(verify.dailies.backups[4].first_segment + 2, 7)
    (verify.dailies.tree / "wal/00000007" / missing).unlink()
    assert verify.findings() == {missing: "wal-gap"}


def test_its_fork_before_the_window(
    walship: Programs, dir_config: Path, repo_dir: Path
) -> None:
    """By now the cluster has moved on from the timeline that it came on."""
    verify = Verifier(walship, dir_config, repo_dir, timeline=7)
    verify.dailies.timeline = 9
    verify.dailies.put_history(9, 7, 9 * SEGMENTS_A_DAY + 1)
    for _ in range(3):
        verify.dailies.add_day()
    verify.dailies.hand_over()
    assert verify.findings() == {}
    change_config(verify.config, keep_last=2)
    assert verify.findings() == {}
    assert verify.findings(grade="note") == {"timeline 7": "no-backup"}


def test_a_history_that_is_lost(verify: Verifier) -> None:
    """Nothing leads to its timeline any more; what else is amiss is told, too."""
    verify.dailies.fork(verify.dailies.backups[8].first_segment + 3)
    gap = segment_name(verify.dailies.backups[4].first_segment + 2)
    (verify.dailies.tree / "wal/00000001" / gap).unlink()
    assert verify.findings() == {gap: "wal-gap"}
    history = verify.dailies.tree / "wal/00000002/00000002.history"
    content = history.read_bytes()
    history.write_bytes(content[:-1])
    assert verify.findings() == {gap: "wal-gap", "timeline 2": "history-unreadable"}
    history.unlink()
    assert verify.findings() == {gap: "wal-gap", "timeline 2": "history-missing"}


def test_no_backup(verify: Verifier) -> None:
    """WAL alone restores nothing."""
    shutil.rmtree(verify.dailies.tree / "backup")
    assert verify.findings() == {f"cluster {SYSTEM}": "no-backup"}


@pytest.mark.parametrize("command", ["list", "verify", "expire", "restore", "drill"])
def test_a_cluster_that_is_none(verify: Verifier, command: str, work_dir: Path) -> None:
    """A mistyped one is refused, and does not seem to be there from then on."""
    other = [command, f"--config={verify.config}", f"--cluster={SYSTEM + 1}"]
    if command == "expire":
        other += ["--apply", "--keep-last=1"]
    if command == "restore":
        other += [f"--target-dir={work_dir}/data"]
    done = verify.programs.run("walship", *other)
    assert done.status == 1 and done.err
    if command in ("list", "verify", "expire"):
        assert f"holds nothing of cluster {SYSTEM + 1}" in done.err
    assert [p.name for p in verify.dailies.repository.path.iterdir()] == [str(SYSTEM)]


def test_digests(verify: Verifier) -> None:
    """They are objects like packs: missing, of a wrong size, altered."""
    for _ in range(3):
        verify.dailies.add_day(digest=True)
    verify.dailies.hand_over()
    fill_wal(verify)
    names = [f"backup/{b.identifier}/digest/00000000" for b in verify.dailies.backups]
    paths = [verify.dailies.tree / name for name in names]
    verified = verify("--read")
    assert "12 backups, 15 packs and digests" in verified.out
    assert "read 15 objects" in verified.out
    paths[9].unlink()
    paths[10].write_bytes(paths[10].read_bytes()[:-1])
    altered = bytearray(paths[11].read_bytes())
    altered[-1] ^= 1
    paths[11].write_bytes(altered)
    found = verify.findings("--read")
    assert {name: found[name] for name in names[9:]} == {
        names[9]: "missing",
        names[10]: "wrong-size",
        names[11]: "unreadable",
    }


def test_manifests_that_contradict_each_other(verify: Verifier) -> None:
    """A pack was made anew under its name, and the newest one refers to that."""
    dailies = verify.dailies
    first, last = dailies.written[7], dailies.written[8]
    dailies.written[8:] = []
    dailies.backups.pop()
    again = type(first)(dailies.repository, first.identifier)
    again.put_pack([(b"base/1/own", 0, first.identifier.encode())])
    dailies.written[7] = again
    dailies.days = 8
    dailies.add_day()
    dailies.hand_over()
    done = verify()
    assert done.status == 1
    assert f'manifest-unreadable: "{last.identifier}"' in done.out
    assert "something else than an older manifest" in done.out


def fill_wal(verify: Verifier) -> None:
    """The segments' objects have no content yet, which is a defect to read."""
    for path in (verify.dailies.tree / "wal/00000001").iterdir():
        path.unlink()


def test_read_names_what_was_altered(verify: Verifier) -> None:
    """A flipped bit, an older pack in a newer one's place, an empty file."""
    tree = verify.dailies.tree
    names = [f"backup/{b.identifier}/pack/00000000" for b in verify.dailies.backups]
    flipped = bytearray((tree / names[2]).read_bytes())
    flipped[-3] ^= 4
    (tree / names[2]).write_bytes(flipped)
    older = (tree / names[5]).read_bytes()
    assert len(older) == len((tree / names[6]).read_bytes())
    (tree / names[6]).write_bytes(older)
    assert verify.findings() == {}
    found = verify.findings("--read")
    wal = {f"wal/00000001/{name}" for name in verify.dailies.segments}
    assert set(found) == {names[2], names[6], *wal}
    assert set(found.values()) == {"unreadable"}


def test_read_notices_a_pack_of_the_same_name(verify: Verifier) -> None:
    """Sealed well, under its name, of the same length, but another one."""
    dailies = verify.dailies
    backup = dailies.written[3]
    name = f"backup/{backup.identifier}/pack/00000000"
    size = (dailies.tree / name).stat().st_size
    made = type(backup)(dailies.repository, backup.identifier)
    content = backup.identifier.encode()
    made.put_pack([(b"base/1/own", 0, content)])
    dailies.hand_over()
    assert (dailies.tree / name).stat().st_size == size
    fill_wal(verify)
    done = verify("--read")
    assert f'unreadable: "{name}": it is not the one that the manifests' in done.out


def test_a_key_that_is_needed(verify: Verifier, work_dir: Path) -> None:
    """After a change of keys: what the old one still opens, and nothing else."""
    fill_wal(verify)
    keys = verify.config.parent / "key"
    added = verify.programs.run("walship", "keygen", "--add", keys).check()
    new = added.out.strip()
    verify.programs.run("walship", "keygen", "--use", new, keys).check()
    lines = keys.read_text(encoding="ascii").splitlines()
    first, second = (line for line in lines if line.startswith("walship-key-v1 "))
    assert first.split()[1] == new
    verify.dailies.repository.key = bytes.fromhex(first.split()[2])
    before = [b.identifier for b in verify.dailies.backups]
    for _ in range(2):
        verify.dailies.add_day()
    fill_wal(verify)
    verify.dailies.hand_over()
    after = [b.identifier for b in verify.dailies.backups[len(before) :]]
    assert not {"key-needed", "manifest-unreadable"} & set(
        verify.findings("--read").values()
    )

    copy = work_dir / "copy"
    copy.write_text(first + "\n", encoding="ascii")
    copy.chmod(0o600)
    shutil.chown(copy, roots.PG_USER, roots.PG_USER)
    found = verify.findings("--read", f"--set=key_file={copy}")
    kinds = {name: kind for name, kind in found.items() if kind != "wal-gap"}
    shared = {
        f"backup/{owner}/pack/{number:08X}"
        for daily in verify.dailies.backups[len(before) :]
        for owner, number in daily.packs
        if owner in before
    }
    assert shared and kinds == {
        **dict.fromkeys(before, "manifest-unreadable"),
        **dict.fromkeys(shared, "key-needed"),
    }
    said = verify("--read", f"--set=key_file={copy}").out
    named = [line for line in said.splitlines() if "wal-gap" not in line][:-1]
    needs = f"is encrypted with key {second.split()[1]}, which is not configured"
    assert len(named) == len(kinds) and all(needs in line for line in named)
    assert not any(f'"{name}"' in said for name in after)


def test_a_segment_under_another_name(verify: Verifier) -> None:
    """Sealed well, but not the WAL that its name says."""
    fill_wal(verify)
    name = f"wal/00000001/{segment_name(1)}"
    verify.dailies.repository.put(KIND_WAL, name, [bytes(1 << 20)] * 16)
    verify.dailies.hand_over()
    assert verify.findings("--read")[name] == "unreadable"


def test_a_partial_fills_no_gap(verify: Verifier) -> None:
    wal = verify.dailies.tree / "wal/00000001"
    missing = segment_name(verify.dailies.backups[4].first_segment + 3)
    (wal / missing).rename(wal / f"{missing}.partial")
    (wal / f"{missing}.00000028.backup").touch()
    assert verify.findings() == {missing: "wal-gap"}


def test_the_report_counts_defects(verify: Verifier) -> None:
    assert verify().status == 0
    (verify.dailies.tree / "backup" / verify.dailies.backups[8].identifier).joinpath(
        "pack/00000000"
    ).unlink()
    assert verify().status == 1
    reports = stored_by(verify.config, SYSTEM, None).reports("verify")
    assert sorted(r["message"] for r in reports) == ["", "1 defect"]
    assert {r["outcome"] for r in reports} == {"ok", "failed"}


def test_many_reports_in_a_second(verify: Verifier) -> None:
    """Each finds a name."""
    for _ in range(12):
        verify().check()
    assert len(stored_by(verify.config, SYSTEM, None).reports("verify")) == 12


def test_gone_when_it_is_read(
    verify: Verifier,
    s3_config: Path,
    bucket: Bucket,
    gateway: Gateway,
    fault_proxy: FaultProxy,
) -> None:
    """Listed a moment ago: it is missing, and reading goes on."""
    for path in verify.dailies.repository.path.rglob("*"):
        if path.is_file():
            key = f"it/{path.relative_to(verify.dailies.repository.path)}"
            bucket.put(key, path.read_bytes())
    text = s3_config.read_text("utf-8")
    s3_config.write_text(text.replace(gateway.endpoint, fault_proxy.endpoint), "utf-8")
    verify.config = s3_config
    name = f"backup/{verify.dailies.backups[3].identifier}/pack/00000000"
    fault_proxy.set(http=404, on=f"GET [^?]*{name}")
    found = verify.findings("--read")
    assert found[name] == "missing"
    assert len(found) == 1 + len(verify.dailies.segments)


def test_sample_and_since(verify: Verifier) -> None:
    fill_wal(verify)
    everything = json.loads(verify("--read", "--json").out)
    assert everything["read_objects"] == 9
    later = json.loads(verify("--read", "--since=2037-01-01 00:00:00+00", "--json").out)
    assert later["read_objects"] == 0
    store = Absent(verify, count=400)
    sampled = json.loads(verify("--read", "--sample=10", "--json").out)
    store.stop()
    assert 0 < sampled["read_objects"] < 200  # 409: chance alone will not do it


@pytest.mark.parametrize(
    "args, said",
    [
        (["--sample=0"], "--sample is a percentage"),
        (["--sample=101", "--read"], "--sample is a percentage"),
        (["--sample=0x10", "--read"], "--sample is a percentage"),
        (["--sample=1.2.3", "--read"], "--sample is a percentage"),
        (["--sample=5"], "go with --read"),
        (["--since=yesterday", "--read"], "Write it like"),
        (["everything"], "unexpected"),
    ],
)
def test_usage(verify: Verifier, args: list[str], said: str) -> None:
    done = verify(*args)
    assert done.status == 2 and said in done.err


def test_what_is_no_wal(verify: Verifier) -> None:
    """Somebody's files, in the archive's folders: read by nobody, no defect."""
    fill_wal(verify)
    files = ["notes/x", "00000001/README", "00000001/.nfs0001", "00000001/sub/x"]
    files.append(f"00000002/{segment_name(3)}")
    for name in files:
        path = verify.dailies.tree / "wal" / name
        path.parent.mkdir(exist_ok=True)
        path.touch()
    verify.dailies.hand_over()
    found = verify.findings("--read", grade="note")
    assert {name for name, kind in found.items() if kind == "foreign"} == {
        f"wal/{name}" for name in files
    }
    assert "unreadable" not in verify("--read").out


def test_interrupted_and_resumed(verify: Verifier) -> None:
    """What was read is not read again; what was found is not forgotten."""
    fill_wal(verify)
    home = verify.dailies.tree / "backup"
    packs = [home / b.identifier / "pack/00000000" for b in verify.dailies.backups]
    damaged = bytearray(packs[0].read_bytes())
    damaged[-1] ^= 1
    packs[0].write_bytes(damaged)
    command = [*verify.command, "--read", "--json", "--set", "restore_workers=1"]
    gaps = len(json.loads(verify("--json").out)["findings"])

    packs[6].chmod(0)
    stopped = run(command, user=roots.PG_USER)
    packs[6].chmod(0o600)
    told = json.loads(stopped.out)
    assert told["complete"] is False and told["read_objects"] == 6
    assert stopped.status not in (0, 2) and str(packs[6].name) in stopped.err

    resumed = verify("--read", "--resume", "--json")
    rest = json.loads(resumed.out)
    assert resumed.status == 1 and rest["complete"]
    assert len(rest["findings"]) == gaps and rest["defects"] == gaps + 1
    assert rest["read_objects"] == 9 - told["read_objects"]
    assert "1 defects were found before" in resumed.err

    again = verify("--read", "--resume")
    assert "no interrupted verification" in again.err
    assert "read 9 objects" in again.out and again.status == 1


def test_what_was_drawn_is_not_all(verify: Verifier) -> None:
    """An interrupted run that read a part of it is none to resume for the rest."""
    fill_wal(verify)
    last = verify.dailies.backups[8].identifier
    pack = verify.dailies.tree / "backup" / last / "pack/00000000"
    pack.chmod(0)
    sampled = ["--read", "--sample=99.99", "--set=restore_workers=1"]
    assert verify(*sampled).out.startswith("Not finished.  9 backups")
    assert "so far" in verify(*sampled, "--resume").out
    pack.chmod(0o600)
    resumed = verify("--read", "--resume")
    assert "no interrupted verification of this kind" in resumed.err
    assert "read 9 objects" in resumed.out


class Absent(TreeStore):
    """It lists two segments, or all, that it does not have when asked for them."""

    def __init__(self, verify: Verifier, count: int = 0) -> None:
        last = 9 * SEGMENTS_A_DAY
        names = [segment_name(n) for n in range(last + 1, last + 1 + count)]
        virtual = (f"{SYSTEM}/wal/00000001/{name}" for name in names)
        super().__init__(verify.dailies.repository.path, virtual)
        self.wal = [f"wal/00000001/{segment_name(n)}" for n in (1, 2, 3)]
        self.denied = ""
        self.goes_blind = False
        self.permits: threading.Semaphore | None = None  # all WAL is absent
        verify.config = write_config(
            verify.config.parent / "absent.conf",
            key_file=verify.config.parent / "key",
            spool=verify.config.parent / "spool",
            restore_workers=1,
            **self.config(),
        )

    def choose(self, number: int, asked: Asked) -> Say:
        name = asked.path.partition(f"{SYSTEM}/")[2]
        if self.permits and name.startswith("wal/"):
            self.permits.acquire()
        if self.denied and name == self.denied:
            return answer(403, b"<Error><Code>AccessDenied</Code></Error>")
        if name in self.wal[:2] or (self.permits and name.startswith("wal/")):
            self.refused = f"{SYSTEM}/backup/" if self.goes_blind else ""
            return answer(404, b"<Error><Code>NoSuchKey</Code></Error>")
        return super().choose(number, asked)


@pytest.mark.parametrize("how", ["to-the-end", "stopped", "blind"])
def test_the_last_doubts_are_settled(verify: Verifier, how: str) -> None:
    """WAL that is gone when its turn to be read comes, behind all other looks.

    Also if reading stops, or if another look is not possible.
    """
    store = Absent(verify)
    if how == "stopped":
        store.denied = store.wal[2]
    store.goes_blind = how == "blind"
    done = verify("--read", "--json")
    store.stop()
    told = json.loads(done.out)
    assert told["complete"] is (how == "to-the-end") and done.status != 0
    assert told["defects"] == len(told["findings"])
    missing = [row["subject"] for row in told["findings"] if row["kind"] == "missing"]
    assert missing == store.wal[:2]


def test_doubts_are_not_forgotten(verify: Verifier) -> None:
    """Of a run that was killed before it settled them, who resumes hears."""
    store = Absent(verify, count=400)  # more than are queued
    store.permits = threading.Semaphore(0)
    process = subprocess.Popen(
        [*verify.command[:2], f"--config={verify.config}", "--read"],
        env=base_environment(),
        user=roots.PG_USER,
        group=roots.PG_USER,
        extra_groups=[],
    )
    spool = verify.config.parent / "spool"

    def is_written_down() -> bool:
        """How far it came, every five seconds, when it goes on."""
        store.permits.release()
        return any(spool.glob(f"*/{SYSTEM}/verify"))

    try:
        wait_for(is_written_down, "it goes on and remembers", interval_s=0.5)
    finally:
        process.kill()
        process.wait()
        store.permits.release(1000)
    done = verify("--read", "--resume")
    store.stop()
    behind = re.search(r'behind ".*/([0-9A-F]{24})"; (\d+) defects', done.err)
    assert behind and int(behind[2]) >= int(behind[1][-8:], 16) > 0
    assert done.status == 1


def test_real_backups(
    new_cluster: ClusterFactory, walship: Programs, config: Path
) -> None:
    """A real repository is in order, read to the last byte, and across a fork."""
    site = Site(walship, new_cluster, config)
    site.load()
    for number in range(3):
        site.mark(number)
        site.backup()
    site.settle()
    assert site.run("verify").check().out.startswith("3 backups")
    copy = site.restore("--keep-archiving")
    copy.wait_sql("select not pg_is_in_recovery()")
    copy.sql("create table more as select generate_series(1, 1000)")
    copy.wait_archived(copy.switch_wal())
    told: dict[str, Any] = json.loads(site.run("verify", "--read", "--json").check().out)
    assert told["findings"] == [] and told["backups"] == 3
    assert told["read_objects"] > told["packs"] > 3
