"""walship status: what can be recovered, what is amiss, and never a gap unseen."""

from __future__ import annotations

import json
import os
import re
import shutil
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ground import objects, roots
from ground.backups import crc32c_hex, text_of
from ground.clock import clock_fast
from ground.dailies import (
    SEGMENT,
    SEGMENTS_A_DAY,
    SYSTEM,
    Dailies,
    key_of,
    lsn_text,
    segment_name,
)
from ground.host import Result, run
from ground.pg import ClusterFactory
from ground.programs import Programs, change_config, write_config
from ground.rules import Evaluator, metric_names, parse_metrics, read_rules
from ground.scripted import Asked, Say
from ground.site import Site
from ground.treestore import TreeStore

SHARE = Path(__file__).resolve().parents[2] / "walship/share"
BLOCK = 4096  # segments that are remembered together
DAY = 86400
AGAIN = 4  # blocks that each run lists again


class Status:
    """A directory repository with nine daily backups, and no server."""

    def __init__(
        self, programs: Programs, config: Path, repo_dir: Path, timeline: int = 1
    ) -> None:
        self.programs = programs
        self.config = config
        self.dailies = Dailies(repo_dir, key_of(config.parent / "key"), timeline)
        for _ in range(9):
            self.dailies.add_day()
        self.dailies.hand_over()
        for path in self.wal.iterdir():  # what is missing is not on its way
            os.utime(path, (time.time() - 1000,) * 2)

    @property
    def wal(self) -> Path:
        return self.dailies.tree / f"wal/{self.dailies.timeline:08X}"

    def __call__(self, *args: str, **how: Any) -> Result:
        program = str(self.programs.path("walship"))
        command = [program, "status", f"--config={self.config}", "--no-server"]
        return run([*command, *args], user=roots.PG_USER, **how)

    def cluster(self, *args: str) -> dict[str, Any]:
        """The only one; the exit status must agree with its problems."""
        done = self(*args, "--json")
        assert done.out, done.err
        told = json.loads(done.out)
        (cluster,) = told["clusters"]
        assert told["problems"] == len(cluster["problems"])
        assert done.status == (1 if cluster["problems"] else 0), done.err
        found: dict[str, Any] = cluster
        return found

    def problems(self, *args: str) -> list[str]:
        return [problem["kind"] for problem in self.cluster(*args)["problems"]]

    def report(self, kind: str, stamp: str, outcome: str, **members: Any) -> None:
        """As a run of that kind leaves it; stamp is like 20261121T030405Z."""
        moment = re.sub(r"^(....)(..)(..T..)(..)(..Z)$", r"\1-\2-\3:\4:\5", stamp)
        body = {
            "format": 1,
            "kind": kind,
            "outcome": outcome,
            "start_time": moment,
            "end_time": moment,
            "host": "host",
            "walship_version": "0.1.0",
            "backup": None,
            "message": "" if outcome == "ok" else "it is broken",
            **members,
        }
        name = f"report/{stamp}-{kind}"
        self.dailies.repository.put(objects.KIND_REPORT, name, [text_of([body])])
        self.dailies.hand_over()


@pytest.fixture
def status(walship: Programs, dir_config: Path, repo_dir: Path) -> Status:
    return Status(walship, dir_config, repo_dir)


def test_all_is_well(status: Status) -> None:
    cluster = status.cluster()
    assert cluster["problems"] == [] and cluster["system_identifier"] == str(SYSTEM)
    (timeline,) = cluster["timelines"]
    (window,) = timeline["windows"]
    first, last = status.dailies.backups[0], status.dailies.backups[-1]
    assert window["from_time"] == first.stop_time.strftime("%Y-%m-%dT%H:%M:%SZ")
    assert window["backups"] == 9 and timeline["gaps"] == []
    assert cluster["last_backup"]["id"] == last.identifier
    assert cluster["archive"][0]["segments"] == 9 * SEGMENTS_A_DAY
    text = status()
    assert text.status == 0 and "[B=" in text.out and "Problems      none" in text.out


def test_gaps(status: Status) -> None:
    """Each is named; behind it, the next backup begins a window of its own."""
    names = [segment_name(n) for n in (11, 12)]
    for name in names:
        (status.wal / name).rename(status.wal.parent / name)
    cluster = status.cluster()
    (timeline,) = cluster["timelines"]
    assert timeline["gaps"] == [{"first": names[0], "last": names[1], "segments": 2}]
    assert [w["backups"] for w in timeline["windows"]] == [3, 6]
    assert timeline["windows"][0]["to_lsn"] == "0/B000000"
    assert [p["kind"] for p in cluster["problems"]] == ["gap"]
    text = status()
    assert text.status == 1 and f"GAP  {names[0]} to {names[1]}" in text.out
    assert re.search(r"\[B=*B=*B=*x", text.out)
    for name in names:
        (status.wal.parent / name).rename(status.wal / name)
    assert status.problems() == []


def test_what_is_on_its_way_is_no_gap(status: Status) -> None:
    """Files are stored several at once, so for a moment one is behind others."""
    last = status.wal / segment_name(9 * SEGMENTS_A_DAY)
    late = status.wal / segment_name(9 * SEGMENTS_A_DAY - 3)
    aside = status.wal.parent / late.name
    late.rename(aside)
    os.utime(last)
    arrival = threading.Timer(1.5, aside.rename, [late])
    arrival.start()
    assert status.problems() == []
    arrival.join()


class Unhurried(TreeStore):
    """Each listing of segments takes a third of a second."""

    def choose(self, number: int, asked: Asked) -> Say:
        if "list-type" in asked.path and "%2Fwal%2F00000001" in asked.path:
            time.sleep(0.3)
        return super().choose(number, asked)


def test_a_slow_listing_is_repeated(status: Status, repo_dir: Path) -> None:
    """As long as something may be on its way, whatever time that takes."""
    (status.wal / segment_name(9 * SEGMENTS_A_DAY - 3)).unlink()
    store = Unhurried(repo_dir)
    config = status.config
    status.config = write_config(
        config.with_name("unhurried.conf"),
        key_file=config.parent / "key",
        **store.config(),
    )
    # In which three seconds pass.
    done = status("--json", env=clock_fast(10))
    store.stop()
    assert "gap" in [p["kind"] for p in json.loads(done.out)["clusters"][0]["problems"]]
    assert len(store.lists(f"{SYSTEM}/wal/00000001/")) >= 6, done.err


def test_a_backup_lacks_its_own_wal(status: Status) -> None:
    backup = status.dailies.backups[4]
    (status.wal / segment_name(backup.first_segment + 1)).unlink()
    cluster = status.cluster()
    found = {p["kind"]: p["text"] for p in cluster["problems"]}
    assert set(found) == {"gap", "backup-lacks-wal"}
    assert backup.identifier in found["backup-lacks-wal"]


def test_what_expire_thins_out_is_no_gap(status: Status) -> None:
    with status.config.open("a", encoding="utf-8") as config:
        config.write("keep_last = 3\n")
    (status.wal / segment_name(8)).unlink()
    cluster = status.cluster()
    assert cluster["problems"] == []
    assert cluster["backups"]["own_end_only"] == 6
    assert cluster["timelines"][0]["windows"][0]["backups"] == 3


def test_a_timeline_without_a_history(
    walship: Programs, dir_config: Path, repo_dir: Path
) -> None:
    """The cluster came to the repository on it."""
    status = Status(walship, dir_config, repo_dir, timeline=7)
    cluster = status.cluster()
    assert cluster["problems"] == []
    (timeline,) = cluster["timelines"]
    assert timeline["timeline"] == 7
    assert [w["backups"] for w in timeline["windows"]] == [9]
    (status.wal / segment_name(11, 7)).unlink()
    assert status.problems() == ["gap"]


def test_a_history_that_is_lost(status: Status) -> None:
    """That is a problem, and the only one: the rest is seen as before."""
    status.dailies.fork(9 * SEGMENTS_A_DAY - 1)
    assert status.problems() == []
    history = status.dailies.tree / "wal/00000002/00000002.history"
    content = history.read_bytes()
    history.write_bytes(content[:-1])
    assert status.problems() == ["history"]
    history.unlink()
    cluster = status.cluster()
    assert [p["kind"] for p in cluster["problems"]] == ["history"]
    assert [w["backups"] for w in cluster["timelines"][0]["windows"]] == [9]


def stamp(days_ago: float) -> str:
    """As in the names of reports."""
    return time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(time.time() - days_ago * DAY))


def test_reports(status: Status) -> None:
    """The last of each kind, the last failure, and what cannot be read."""
    status.report("verify", stamp(2), "failed", defects=3)
    status.report("verify", stamp(1), "ok", defects=0)
    status.report("drill", "20200120T030405Z", "ok", rto_ms=61000, rpo_ms=1500)
    assert status.problems() == []
    cluster = status.cluster()
    assert cluster["last_runs"]["verify"]["outcome"] == "ok"
    assert cluster["last_runs"]["drill"]["rto_ms"] == 61000
    assert cluster["last_runs"]["backup"] is None
    shown = status().out
    assert "Last drill    ok at 2020-01-20T03:04:05Z" in shown
    assert "RTO 61 s, RPO 2 s" in shown
    last = stamp(0.4)
    status.report("drill", stamp(0.5), "failed")
    status.report("backup", last, "failed")
    assert status.problems() == ["backup-failed", "drill-failed"]
    hour = f"{last[:4]}-{last[4:6]}-{last[6:8]}T{last[9:11]}"
    assert f"Last failure  backup at {hour}" in status().out
    broken = status.dailies.tree / f"report/{last}-backup"
    broken.write_bytes(broken.read_bytes()[:-1])
    assert status.problems() == ["drill-failed", "report-unreadable"]


def test_a_clock_that_was_wrong(status: Status) -> None:
    """A report of years to come does not hide those of today; nor a backup."""
    status.report("verify", stamp(-3650), "ok", defects=0)
    assert status.problems() == ["clock"]
    status.report("verify", stamp(0.1), "failed", defects=3)
    assert status.problems() == ["verify-failed", "clock"]
    for path in (status.dailies.tree / "report").iterdir():
        path.unlink()
    assert status.problems() == []
    status.dailies.days += 365 * 80
    status.dailies.add_day()
    status.dailies.hand_over()
    assert status.problems()[-1] == "clock"


def test_quota(status: Status) -> None:
    stored = status.cluster()["stored"]
    on_disk = sum(p.stat().st_size for p in status.dailies.tree.rglob("*") if p.is_file())
    assert stored["bytes"] == on_disk
    assert {row["kind"] for row in stored["kinds"]} == {"wal", "pack", "manifest", "mark"}
    enough = on_disk * 100 // 84 // 1024 + 1
    assert status.problems(f"--set=quota={enough}kB") == []
    assert status.problems(f"--set=quota={on_disk * 100 // 86 // 1024}kB") == ["quota"]


# --- what is remembered ---------------------------------------------------------------


class Large(Status):
    """The same in a store that counts, and WAL behind it up to some segment."""

    LAST = 14 * BLOCK + 1234

    def __init__(self, programs: Programs, config: Path, repo_dir: Path) -> None:
        super().__init__(programs, config, repo_dir)
        self.first = 9 * SEGMENTS_A_DAY + 1
        names = (segment_name(n) for n in range(self.first, self.LAST + 1))
        virtual = (f"{SYSTEM}/wal/00000001/{name}" for name in names)
        self.store = TreeStore(repo_dir, virtual)
        self.store.modified -= 1000  # what is missing is not on its way
        spool = repo_dir.parent / "spool"
        self.config = write_config(
            repo_dir.parent / "large.conf",
            key_file=config.parent / "key",
            spool=spool,
            **self.store.config(),
        )

    def remove(self, segno: int) -> None:
        self.store.names.remove(f"{SYSTEM}/wal/00000001/{segment_name(segno)}")

    def listed(self, *args: str) -> tuple[dict[str, Any], int]:
        """The cluster, and how many listings of segments it took."""
        prefix = f"{SYSTEM}/wal/00000001/"
        before = len(self.store.lists(prefix))
        cluster = self.cluster(*args)
        return cluster, len(self.store.lists(prefix)) - before

    @property
    def memory(self) -> Path:
        (path,) = (self.config.parent / "spool").glob(f"*/{SYSTEM}/status")
        return path


@pytest.fixture
def large(walship: Programs, dir_config: Path, repo_dir: Path) -> Iterator[Large]:
    made = Large(walship, dir_config, repo_dir)
    yield made
    made.store.stop()


def test_a_second_look_goes_on_where_it_stopped(large: Large) -> None:
    """The listings of a second run do not grow with the archive."""
    cluster, lists = large.listed()
    assert cluster["problems"] == [] and cluster["archive"][0]["segments"] == large.LAST
    assert lists == -(-large.LAST // 1000)
    for _ in range(2):
        cluster, lists = large.listed()
        archive = cluster["archive"][0]
        assert cluster["problems"] == [] and archive["segments"] == large.LAST
        assert archive["last"] == segment_name(large.LAST)
        # 13 blocks are whole; the first has no segment 0.
        assert archive["segments_remembered"] == (13 - AGAIN) * BLOCK
        assert archive["remembered_since"]
        assert lists < 5 * (AGAIN + 2) + 5
        (window,) = cluster["timelines"][0]["windows"]
        assert window["to_lsn"] == lsn_text((large.LAST + 1) * SEGMENT)
        assert window["to_time"]
    again, _ = large.listed("--full")
    assert again["archive"][0]["segments_remembered"] == 0
    bytes_of = [row for row in again["stored"]["kinds"] if row["kind"] == "wal"]
    assert bytes_of == [row for row in cluster["stored"]["kinds"] if row["kind"] == "wal"]
    shown = large().out
    assert re.search(r"segments; \d+ as seen since 20", shown)


def test_a_gap_that_was_seen_is_always_seen(large: Large) -> None:
    gone = 7 * BLOCK + 100
    large.remove(gone)
    for _ in range(4):
        cluster, lists = large.listed()
        assert [p["kind"] for p in cluster["problems"]] == ["gap"]
        (gap,) = cluster["timelines"][0]["gaps"]
        assert gap["first"] == gap["last"] == segment_name(gone)
    assert lists < 5 * (AGAIN + 3) + 5
    large.store.names.append(f"{SYSTEM}/wal/00000001/{segment_name(gone)}")
    large.store.names.sort()
    assert large.problems() == []


@pytest.mark.parametrize("where", ["first", "last"])
def test_a_gap_at_an_end_of_what_is_skipped(large: Large, where: str) -> None:
    """It is seen at once: then nothing that is remembered counts."""
    large.cluster()
    # The next run lists blocks 1 to 4 again and skips 5 to 13.
    gone = 5 * BLOCK if where == "first" else 14 * BLOCK - 1
    large.remove(gone)
    cluster, _ = large.listed()
    assert [p["kind"] for p in cluster["problems"]] == ["gap"]
    (gap,) = cluster["timelines"][0]["gaps"]
    assert gap["first"] == gap["last"] == segment_name(gone)


def test_an_end_that_vanishes(large: Large) -> None:
    """Within what is skipped, with all that was behind it."""
    large.cluster()
    last = 13 * BLOCK + 50
    end = f"{SYSTEM}/wal/00000001/{segment_name(last)}"
    large.store.names = [name for name in large.store.names if name <= end]
    cluster, _ = large.listed()
    assert [p["kind"] for p in cluster["problems"]] == ["rewound"]
    assert cluster["archive"][0]["last"] == segment_name(last)
    assert cluster["archive"][0]["segments"] == last


def test_a_gap_in_the_middle_of_what_is_skipped(large: Large) -> None:
    """Looking again block by block comes to it; looking at all sees it now."""
    large.cluster()
    gone = 9 * BLOCK + 5
    large.remove(gone)
    runs = 0
    time.sleep(1)
    while not large.problems():
        runs += 1
        assert runs < 14 / AGAIN
        time.sleep(1)  # what was seen when is counted in seconds
    assert runs > 0
    large.memory.unlink()
    assert large.problems() == ["gap"]


def test_looking_at_all_believes_nothing(large: Large) -> None:
    large.cluster()
    large.remove(9 * BLOCK + 5)
    assert large.problems() == []
    assert large.problems("--full") == ["gap"]
    assert large.problems() == ["gap"]


@pytest.mark.parametrize("how", ["damaged", "cut", "another", "old"])
def test_a_memory_that_is_none(large: Large, how: str) -> None:
    """All is listed, and the gap is seen."""
    large.cluster()
    large.remove(9 * BLOCK + 5)
    text = large.memory.read_bytes()
    if how == "damaged":
        large.memory.write_bytes(text.replace(b" 4096 ", b" 4097 ", 1))
    elif how == "cut":
        large.memory.write_bytes(text[: len(text) // 2])
    elif how == "another":
        large.memory.write_bytes(
            with_sum(text.replace(b"-v1 16777216", b"-v1 33554432"))
        )
    else:
        old = re.sub(rb"(block \d+ \d+) \d+", rb"\1 1", text)
        large.memory.write_bytes(with_sum(old))
    cluster, lists = large.listed()
    assert [p["kind"] for p in cluster["problems"]] == ["gap"]
    assert lists == -(-(large.LAST - 1) // 1000)


def with_sum(text: bytes) -> bytes:
    """The lines of a memory with the right sum behind them."""
    lines = text[: text.rindex(b"sum ")]
    return lines + f"sum {crc32c_hex(lines)}\n".encode()


def test_a_store_that_rewinds(status: Status) -> None:
    """It shows less than it did: the last segment, the newest backup."""
    assert status.problems() == []
    hidden = status.wal / segment_name(9 * SEGMENTS_A_DAY)
    aside = status.dailies.tree.parent / "aside"
    hidden.rename(aside)
    for _ in range(2):
        (problem,) = status.cluster()["problems"]
        assert problem["kind"] == "rewound" and hidden.name in problem["text"]
    aside.rename(hidden)
    assert status.problems() == []
    newest = status.dailies.tree / "backup" / status.dailies.backups[-1].identifier
    newest.rename(aside)
    for _ in range(2):
        (problem,) = status.cluster()["problems"]
        assert problem["kind"] == "rewound" and newest.name in problem["text"]
    status.dailies.add_day()
    status.dailies.hand_over()
    assert status.problems() == []
    shutil.rmtree(aside)


def put_marker(status: Status, name: str) -> None:
    (memory,) = (status.config.parent / "spool").glob(f"*/{SYSTEM}/status")
    markers = memory.parent / "push-1-2"
    run(["install", "-d", "-o", "postgres", "-m", "0700", markers]).check()
    (markers / name).touch()


def test_a_timeline_that_expires(status: Status) -> None:
    """It was left long ago: that its end is gone is what was asked for."""
    fork = status.dailies.backups[3].first_segment + 3
    status.dailies.fork(fork)
    change_config(status.config, keep_last=2)
    assert status.problems() == []
    put_marker(status, segment_name(fork + 2, 2))
    ends = [status.wal.parent / "00000002" / segment_name(fork + i, 2) for i in (2, 1, 0)]
    for path in ends:
        path.unlink()
        assert status.problems() == []
    # Where the window reaches back to it, it must be there.
    change_config(status.config, keep_last=9)
    assert status.problems() == ["pushed-missing"]


def test_what_the_spool_says_was_pushed(status: Status) -> None:
    """A marker of a segment that the repository does not show."""
    status.cluster()
    gone = segment_name(9 * SEGMENTS_A_DAY + 1)
    put_marker(status, gone)
    put_marker(status, segment_name(3))
    (problem,) = status.cluster()["problems"]
    assert problem["kind"] == "pushed-missing" and gone in problem["text"]
    assert status.cluster()["spool"]["pushed_files"] == 2


def test_replication(large: Large) -> None:
    """The store tells it of each object; the oldest that waits is found."""
    assert large.cluster()["replication"] is None
    behind = 777

    def state(name: str) -> str:
        number = name.rpartition("/")[2]
        waits = number > segment_name(large.LAST - behind)
        return "PENDING" if waits else "COMPLETED"

    large.store.replication = state
    large.store.modified -= 4000
    asked = len(large.store.asked)
    told = large.cluster()["replication"]
    assert told["state"] == "PENDING" and 5000 <= told["lag_s"] < 5900
    heads = [a for a in large.store.asked[asked:] if a.method == "HEAD"]
    oldest = segment_name(large.LAST - behind + 1)
    assert any(oldest in a.path for a in heads) and len(heads) < 30
    large.store.replication = lambda _: "COMPLETED"
    assert large.cluster()["replication"] == {"state": "COMPLETED", "lag_s": 0}


# --- at three in the morning ----------------------------------------------------------


def test_empty_repository(walship: Programs, dir_config: Path) -> None:
    done = walship.run("walship", "status", f"--config={dir_config}", "--no-server")
    assert done.status == 1 and "no-backup: there is no backup" in done.out
    assert done.out.startswith("No cluster in file://")
    assert "Recoverable\n  nothing" in done.out


def test_no_repository(status: Status) -> None:
    """The store is gone: that is told soon, and metrics are still written."""
    status.dailies.tree.parent.rename(status.dailies.tree.parent.parent / "away")
    done = status(f"--cluster={SYSTEM}")
    assert done.status == 1 and "\n  store: " in done.out
    assert "Recoverable\n  not known" in done.out
    metrics = status("--prometheus", f"--cluster={SYSTEM}")
    assert metrics.status == 0
    families = parse_metrics(metrics.out)
    assert list(families["walship_store_up"].samples.values()) == [0]
    assert "walship_backup_last_timestamp_seconds" not in families
    assert status().status == 1


def test_no_store(large: Large) -> None:
    """One that does not answer is asked once, and not for an hour."""
    large.store.stop()
    done = large("--set=command_timeout=1s")
    assert done.status == 1 and done.out.startswith("No cluster in s3://tree")
    assert done.out.count("\n  store: ") == 1 and "Problems      1\n" in done.out
    assert large("--set=command_timeout=1s", f"--cluster={SYSTEM}").status == 1


def test_a_store_that_fails_half_way(large: Large) -> None:
    """Of what could not be looked at nothing bad is said, and nothing good."""
    large.store.refused = f"{SYSTEM}/wal/"
    cluster = large.cluster()
    assert [p["kind"] for p in cluster["problems"]] == ["store"]
    assert cluster["last_backup"]["wal_complete"] is None
    shown = large().out
    assert "Recoverable\n  not known" in shown and "LACKS" not in shown
    assert "/tree. The credentials need" in shown
    metrics = parse_metrics(large("--prometheus").out)
    assert "walship_backups_without_wal" not in metrics


def test_not_configured(walship: Programs, work_dir: Path) -> None:
    config = write_config(work_dir / "empty.conf")
    done = walship.run("walship", "status", f"--config={config}", "--no-server")
    assert done.status == 2 and "no repository is configured" in done.err


@pytest.mark.parametrize("how", ["absent", "none", "wrong", "open"])
def test_keys(status: Status, how: str, work_dir: Path) -> None:
    """What can be seen without a key is shown, and what is amiss is said."""
    key = work_dir / "key"
    if how == "absent":
        key.rename(work_dir / "lost")
    elif how == "none":
        text = status.config.read_text(encoding="utf-8").replace("key_file", "#key_file")
        status.config.write_text(text, encoding="utf-8")
    elif how == "wrong":
        key.unlink()
        status.programs.run("walship", "keygen", key).check()
    else:
        key.chmod(0o644)
    cluster = status.cluster()
    kinds = {p["kind"] for p in cluster["problems"]}
    assert cluster["archive"][0]["last"] == segment_name(9 * SEGMENTS_A_DAY)
    assert cluster["backups"]["unreadable"] == 9
    if how == "wrong":
        assert kinds == {"backup-unreadable"}
    else:
        assert kinds == {"key-missing"} and not cluster["key_available"]
        families = parse_metrics(status("--prometheus").out)
        assert list(families["walship_key_available"].samples.values()) == [0]
    shown = status().out
    assert "Last backup   not known" in shown and "Recoverable\n  not known" in shown


def test_several_clusters(status: Status) -> None:
    """All are shown, or the one that is meant."""
    other = SYSTEM + 1
    shutil.copytree(status.dailies.tree, status.dailies.tree.parent / str(other))
    status.dailies.hand_over()
    done = status("--json")
    clusters = json.loads(done.out)["clusters"]
    assert [c["system_identifier"] for c in clusters] == [str(SYSTEM), str(other)]
    # What is another cluster's cannot be read as this one's.
    assert clusters[0]["problems"] == [] and clusters[1]["backups"]["unreadable"] == 9
    assert done.status == 1 and status(f"--cluster={SYSTEM}").status == 0
    assert status().out.count("Cluster 73") == 2
    parse_metrics(status("--prometheus").out)


def test_clusters_with_a_section(status: Status, work_dir: Path) -> None:
    """Each in its repository; one that has none yet is shown, too."""
    repository = status.dailies.tree.parent
    other = work_dir / "other"
    run(["install", "-d", "-o", "postgres", "-m", "0700", other]).check()
    text = status.config.read_text(encoding="utf-8")
    general = "".join(x for x in text.splitlines(True) if not x.startswith("repository"))
    sections = {SYSTEM: repository, SYSTEM + 1: other}
    for system, path in sections.items():
        general += f"[cluster {system}]\nrepository = file://{path}\n"
    status.config.write_text(general, encoding="utf-8")
    done = status("--json")
    first, second = json.loads(done.out)["clusters"]
    assert done.status == 1 and first["problems"] == []
    assert first["repository"] == f"file://{repository}"
    assert second["repository"] == f"file://{other}"
    assert [problem["kind"] for problem in second["problems"]] == ["no-backup"]


def test_output_is_replaced_at_once(status: Status, work_dir: Path) -> None:
    target = work_dir / "walship.prom"
    target.write_text("old", encoding="utf-8")
    opened = target.open(encoding="utf-8")
    status("--prometheus", f"--output={target}").check()
    assert opened.read() == "old"
    opened.close()
    parse_metrics(target.read_text(encoding="utf-8"))
    assert target.stat().st_mode & 0o777 == 0o644
    assert sorted(p.name for p in work_dir.glob("walship.prom*")) == ["walship.prom"]
    failed = status("--prometheus", f"--output={work_dir}/none/x")
    assert failed.status == 1 and "could not create" in failed.err


@pytest.mark.parametrize(
    "args, said",
    [
        (["--json", "--prometheus"], "exclude each other"),
        (["all"], 'unexpected "all"'),
        (["--port"], "--port"),
    ],
)
def test_usage(status: Status, args: list[str], said: str) -> None:
    done = status(*args)
    assert done.status == 2 and said in done.err


# --- a real cluster, its metrics, rules and dashboard ---------------------------------


class Real(Site):
    """A server that archives; status sees its repository through a store."""

    def __init__(
        self, programs: Programs, new_cluster: ClusterFactory, config: Path, repo: Path
    ) -> None:
        with config.open("a", encoding="utf-8") as file:
            file.write("push_workers = 1\n")  # what fails shall not be stored ahead
        super().__init__(programs, new_cluster, config)
        self.repo = repo
        self.load()
        for _ in range(2):
            self.backup()
        self.settle()
        self.run("verify").check()
        (tree,) = (p for p in repo.iterdir() if p.name.isdigit())
        self.tree = tree
        self.system = int(tree.name)

    def metrics(self, *args: str, config: Path | None = None) -> str:
        done = self.programs.run(
            "walship",
            *("status", f"--config={config or self.config}", "--prometheus", *args),
            env=self.primary.environment(),
        )
        return done.check().out

    def status(self, *args: str) -> dict[str, Any]:
        done = self.run("status", "--json", *args)
        told: dict[str, Any] = json.loads(done.out)
        assert done.status == (1 if told["problems"] else 0), done.err
        return told

    def kinds(self, *args: str) -> set[str]:
        (cluster,) = self.status(*args)["clusters"]
        return {problem["kind"] for problem in cluster["problems"]}


@pytest.fixture
def real(
    walship: Programs, new_cluster: ClusterFactory, dir_config: Path, repo_dir: Path
) -> Real:
    return Real(walship, new_cluster, dir_config, repo_dir)


def raised(text: str) -> set[str]:
    evaluate = Evaluator(parse_metrics(text))
    rules = read_rules(SHARE / "walship.rules.yml")
    return {name for name, rule in rules.items() if evaluate(rule["expr"])}


NOW = -1  # the value is the present, less the second number

# What makes each rule true: a sample of the real metrics, and its new value.
FIRES: dict[str, tuple[Any, ...]] = {
    "WalshipStatusStale": ("status_timestamp_seconds", NOW, 3700),
    "WalshipStoreUnreachable": ("store_up", 0),
    "WalshipKeyMissing": ("key_available", 0),
    "WalshipProblem": ("problems", 1),
    "WalshipBackupTooOld": ("backup_last_timestamp_seconds", NOW, 25 * 3600 + 60),
    "WalshipBackupFailed": (
        'run_last_failure_timestamp_seconds{kind="backup"}',
        *(NOW, DAY - 60),
    ),
    "WalshipBackupUnreadable": ('backups{state="unreadable"}', 1),
    "WalshipBackupWithoutWal": ("backups_without_wal", 1),
    "WalshipBackupSlow": ("backup_last_duration_seconds", 7201),
    "WalshipBackupGrown": ("backup_last_size_change_ratio", 0.51),
    "WalshipBackupShrunk": ("backup_last_size_change_ratio", -0.51),
    "WalshipArchiveLag": ("archive_lag_seconds", 901),
    "WalshipArchiveFailure": ("archiver_last_failure_timestamp_seconds", NOW, 3500),
    "WalshipGap": ("window_gaps", 1),
    "WalshipRewound": ("objects_rewound", 1),
    "WalshipVerifyFailed": ('run_last_success{kind="verify"}', 0),
    "WalshipDrillFailed": ('run_last_success{kind="drill"}', 0),
    "WalshipExpireFailed": ('run_last_success{kind="expire"}', 0),
    "WalshipReplicaLag": ("replication_lag_seconds", 3601),
    "WalshipQuota": ("repository_bytes", 86 << 30),
}


def edited(text: str, wanted: str, value: float) -> str:
    """The metrics with another value in the samples of that name and label."""
    name, _, label = wanted.partition("{")
    lines = text.splitlines()
    hit = False
    for i, line in enumerate(lines):
        if re.match(rf"walship_{name}[ {{]", line) and label.rstrip("}") in line:
            lines[i] = f"{line.rpartition(' ')[0]} {value}"
            hit = True
    assert hit, wanted
    return "\n".join(lines) + "\n"


def test_rules_and_dashboard(real: Real, work_dir: Path) -> None:
    """All that they name is there; all is silent; and each rule can be raised."""
    for kind in ("drill", "expire"):
        stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
        key = key_of(real.config.parent / "key")
        made = Status.__new__(Status)
        made.dailies = Dailies(real.repo, key)
        made.dailies.repository.system_identifier = real.system
        made.report(kind, stamp, "ok", rto_ms=1000, rpo_ms=2000)
    store = TreeStore(real.repo)
    store.replication = lambda _: "PENDING"
    config = write_config(
        work_dir / "tree.conf",
        key_file=real.config.parent / "key",
        spool=real.config.parent / "spool",
        quota="100GB",
        **store.config(),
    )
    text = real.metrics(config=config)
    store.stop()
    families = parse_metrics(text)
    for name, family in families.items():
        assert name.startswith("walship_") and family.kind in ("gauge", "counter")
        assert name.endswith("_total") == (family.kind == "counter")

    rules = read_rules(SHARE / "walship.rules.yml")
    for rule in rules.values():
        assert metric_names(rule["expr"]) <= set(families)
        assert rule["labels"]["severity"] in ("warning", "critical")
        assert rule["annotations"]["summary"]
    dashboard = (SHARE / "walship.dashboard.json").read_text(encoding="utf-8")
    panels = json.loads(dashboard)["panels"]
    shown = {e["expr"] for panel in panels for e in panel["targets"]}
    named = set().union(*(metric_names(e) for e in shown))
    assert metric_names(dashboard) <= set(families) and len(named) > 25

    assert raised(text) == set()
    assert set(FIRES) == set(rules)
    for alert, (sample, value, *ago) in FIRES.items():
        made_true = time.time() - ago[0] if ago else value
        assert raised(edited(text, str(sample), made_true)) == {alert}


def test_rules_on_real_trouble(real: Real) -> None:
    """A gap, a defect, a full quota, an archive that fails, no backup any more."""
    assert real.kinds() == set()
    (gap, *_) = sorted(p for p in (real.tree / "wal/00000001").iterdir())[-1:]
    real.settle()
    for path in gap.parent.iterdir():
        os.utime(path, (time.time() - 1000,) * 2)
    gap.unlink()
    real.run("verify")
    real.primary.configure({"archive_command": "false"})
    real.primary.reload()
    real.primary.wait_sql("select current_setting('archive_command') = 'false'")
    failed = "select failed_count > 0 from pg_stat_archiver"
    for number in range(20):  # the archiver may take the new command later
        real.mark(number)
        real.primary.switch_wal()
        if real.primary.value(failed):
            break
        time.sleep(0.5)
    real.primary.wait_sql(failed)
    last = real.primary.value("select last_archived_wal from pg_stat_archiver")
    (cluster,) = real.status("--set=quota=1MB")["clusters"]
    assert {problem["kind"] for problem in cluster["problems"]} == {
        *("gap", "verify-failed", "archiver-failing", "quota"),
    }
    assert cluster["archive"][0]["last"] == last
    # Whole segments, and a record or two behind them.
    waiting = cluster["lag"]["segments"]
    assert waiting >= 1 and cluster["lag"]["bytes"] % SEGMENT < 1 << 20
    assert cluster["lag"]["bytes"] // SEGMENT == waiting
    assert raised(real.metrics("--set=quota=1MB")) == {
        *("WalshipGap", "WalshipVerifyFailed", "WalshipArchiveFailure", "WalshipQuota"),
        "WalshipProblem",
    }
    for manifest in real.tree.glob("backup/*/manifest"):
        manifest.unlink()
    assert "no-backup" in real.kinds()
    assert {"WalshipBackupTooOld", "WalshipRewound"} <= raised(real.metrics())
    key = real.config.parent / "key"
    key.rename(key.parent / "lost")
    assert "WalshipKeyMissing" in raised(real.metrics())


def test_server(real: Real, walship: Programs) -> None:
    """A role without grants, another archive, no server, a standby, a new timeline."""
    real.primary.sql("create role watch login")
    (cluster,) = real.status("-U", "watch")["clusters"]
    assert cluster["problems"] == [] and cluster["lag"]["segments"] == 0
    assert "ready_files" in real.status()["server"]
    assert "ready_files" not in real.status("-U", "watch")["server"]

    away = real.status("--port=1")
    assert not away["server"]["reached"] and away["problems"] == 0
    assert "Server        not reached: " in real.run("status", "--port=1").out

    standby = real.restore("--standby", start=False)
    standby.configure({"primary_conninfo": real.primary.dsn()})
    standby.start()
    standby.wait_sql("select pg_last_wal_replay_lsn() is not null")
    there = ["-h", str(standby.sockets), "-p", str(standby.port)]
    told = real.status(*there)
    assert told["server"]["in_recovery"] and told["clusters"][0]["lag"] is not None
    assert told["problems"] == 0
    standby.promote()
    standby.sql("create table more as select 1")
    waiting = "select from pg_ls_archive_statusdir() where name like '%.ready'"
    standby.wait_sql(f"select not exists ({waiting})")
    told = real.status(*there)
    assert told["server"]["timeline"] == 2
    assert told["clusters"][0]["lag"]["seconds"] == 0

    # Its server archives, but not here.
    real.primary.configure({"archive_command": "true"})
    real.primary.reload()
    real.primary.wait_sql("select current_setting('archive_command') = 'true'")
    last = real.settle()
    (problem,) = real.status()["clusters"][0]["problems"]
    assert problem["kind"] == "pushed-missing" and last in problem["text"]
