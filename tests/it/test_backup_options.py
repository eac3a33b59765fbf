"""walship backup: what its options do, against real servers."""

from __future__ import annotations

import json
import os
import pty
import random
import re
import subprocess
from pathlib import Path

import pytest

from ground.host import run, unmount
from ground.pg import Cluster, ClusterFactory
from ground.programs import Programs
from ground.roots import PG_USER
from ground.site import Site
from ground.stored import Contents, Stored, page_entry, stored_by


@pytest.fixture
def site(walship: Programs, new_cluster: ClusterFactory, dir_config: Path) -> Site:
    return Site(walship, new_cluster, dir_config, checksums=True)


USAGE = [
    *("--compress=gzip", "--compress=", "--json=x", "--annotate=x", "--annotate==x"),
    *("--storage-class=", "--storage-class=" + "x" * 60),
    *("--annotate=a b=x", "--annotate=a=\x01", f"--annotate=a={'x' * 999}"),
]


def stored(site: Site) -> Stored:
    return stored_by(site.config, site.primary.system_identifier(), None)


def result(site: Site, *args: str) -> dict[str, object]:
    done = site.run("backup", "--checkpoint=fast", "--json", *args).check()
    (line,) = done.out.splitlines()
    parsed: dict[str, object] = json.loads(line)
    return parsed


def damage(cluster: Cluster) -> str:
    """One page of a table is no longer what its checksum says; the file."""
    cluster.sql("create table t as select generate_series(1, 10000) as i")
    cluster.sql("checkpoint")
    path = str(cluster.value("select pg_relation_filepath('t')"))
    cluster.stop()
    with open(cluster.data / path, "r+b") as file:
        file.seek(8192 + 4000)
        file.write(b"damage")
    cluster.start()
    return path


def test_json(site: Site) -> None:
    """What is printed is what the manifest, the report and list say."""
    told = result(site, "--label=by hand")
    assert site.backup("--json") != told["id"]
    summary = stored(site).manifest(str(told["id"])).summary
    assert told["system_identifier"] == str(site.primary.system_identifier())
    assert (told["label"], told["checksums_verified"]) == ("by hand", True)
    same = "start_time stop_time start_lsn stop_lsn timeline files bytes packs"
    for name in f"{same} stored_bytes".split():
        assert told[name] == summary[name], name
    report = stored(site).reports("backup")[0]
    same += " label stored_bytes checksums_verified duration_ms"
    for name in same.split():
        if not name.endswith("_time"):
            assert told[name] == report[name], name
    assert told["duration_ms"] >= summary["duration_ms"] > 0
    row = site.list()[0]
    assert (row["id"], row["stop_lsn"]) == (told["id"], told["stop_lsn"])


def test_annotations(site: Site) -> None:
    texts = ["release=4.2", 'why=before the \u00fcbung = "big" one', "empty="]
    told = result(site, *(f"--annotate={text}" for text in texts))
    plain = result(site)
    assert (told["annotations"], plain["annotations"]) == (texts, [])
    assert [row["annotations"] for row in site.list()] == [texts, []]
    assert stored(site).reports("backup")[0]["annotations"] == texts
    most = [f"--annotate=k{n}={'x' * 59}" for n in range(16)]
    assert len(result(site, *most)["annotations"]) == 16  # type: ignore[arg-type]
    assert site.run("list").status == 0


def test_failure_prints_nothing(site: Site) -> None:
    done = site.run("backup", "--json", "--set=repository=file:///nowhere/at/all")
    assert done.status == 2 and done.out == ""


def test_failure_before_it_has_an_id(site: Site) -> None:
    """Who named the cluster finds a report of it; else nobody knows whose it is."""
    named = f"--cluster={site.primary.system_identifier()}"
    site.primary.wait_archived(site.primary.switch_wal())
    assert site.run("backup", "--port=1").status == 1
    assert stored(site).reports("backup") == []
    failed = site.run("backup", "--port=1", named)
    assert failed.status == 1
    (report,) = stored(site).reports("backup")
    assert (report["outcome"], report["backup"]) == ("failed", None)
    assert report["message"] in failed.err
    told = json.loads(site.run("status", "--json", named).out)
    assert report["message"] in str(told)
    # A report of one that is not there would make the repository hold two.
    assert site.run("backup", "--port=1", "--cluster=42").status == 1
    assert site.run("list").status == 0


def test_no_room_for_temporary_files(site: Site, work_dir: Path) -> None:
    """The directory is named, and how to choose another."""
    small = work_dir / "small"
    small.mkdir()
    run(["mount", "-t", "tmpfs", "-o", "size=8k,mode=0777", "none", small]).check()
    try:
        for where, reason in ((small, "No space left"), ("/nowhere", "No such file")):
            env = {**site.primary.environment(), "TMPDIR": str(where)}
            config = f"--config={site.config}"
            done = site.programs.run("walship", "backup", config, "-c", "fast", env=env)
            last = done.err.splitlines()[-1]
            assert done.status == 1 and f'temporary file in "{where}"' in last
            assert reason in last and "TMPDIR" in last
    finally:
        unmount(small)


PROGRESS = re.compile(
    r"[0-9.]+ [kM]B of ([0-9.]+) MB \(\d+ %\), \S+ [kM]B/s, \d+:\d\d left"
)


def test_progress_on_a_terminal(site: Site) -> None:
    """How far of what the server says it will send; nothing of it is left behind."""
    command = ["setpriv", f"--reuid={PG_USER}", f"--regid={PG_USER}", "--clear-groups"]
    command += ["--", str(site.programs.path("walship")), "backup"]
    command += [f"--config={site.config}", "--checkpoint=fast", "--max-rate=256"]
    terminal, end = pty.openpty()
    with subprocess.Popen(
        [*command, f"--dbname={site.primary.dsn()}"], stderr=end, stdin=end
    ) as process:
        os.close(end)
        seen = ""
        while (shown := PROGRESS.search(seen)) is None:
            seen += os.read(terminal, 4096).decode()
        total = site.primary.value(
            "select backup_total from pg_stat_progress_basebackup"
        )
        process.terminate()
        try:
            while more := os.read(terminal, 4096).decode():
                seen += more
        except OSError:
            pass  # all ends of it are closed
    os.close(terminal)
    assert abs(float(shown[1]) - total / 1048576) < 0.2
    # Each line of it is overwritten by the next, and the last by the log.
    rest = seen[seen.rindex("B/s") :]
    assert "\x1b[K" in rest and "cancelled by a signal" in rest


@pytest.mark.versions
def test_server_compresses(
    walship: Programs, new_cluster: ClusterFactory, dir_config: Path, work_dir: Path
) -> None:
    """Less comes over the wire, and what is stored is the same."""
    settings = {"allow_in_place_tablespaces": "on", "log_replication_commands": "on"}
    site = Site(walship, new_cluster, dir_config, conf=settings)
    site.load()
    site.primary.sql("create tablespace space location ''")
    site.primary.sql(
        "create table there tablespace space as select generate_series(1, 50000)"
    )
    made = site.backup("--compress=server-lz4")
    data = work_dir / "rebuilt"
    stored(site).rebuild(made, data)
    run(["chown", "-R", f"{PG_USER}:", data]).check()
    site.primary.verifybackup(data, "--no-parse-wal").check()
    assert "COMPRESSION 'lz4'" in site.primary.log()
    assert site.restore("latest").value("select count(*) from there") == 50000


def test_bad_checksum_is_kept(site: Site) -> None:
    """Only if that was asked for, and the backup says so for ever."""
    good = site.backup()
    path = damage(site.primary)
    done = site.run("backup", "--checkpoint=fast")
    assert done.status == 1 and path in done.err.splitlines()[-1]
    told = result(site, "--no-verify-checksums")
    assert told["checksums_verified"] is False
    rows = {row["id"]: row for row in site.list() if row["state"] == "complete"}
    assert [rows[i]["checksums_verified"] for i in (good, told["id"])] == [True, False]
    lines = site.run("list").check().out.splitlines()
    marked = [line.split()[0] for line in lines if "pages not verified" in line]
    assert marked == [told["id"]]
    manifest = stored(site).manifest(str(told["id"]))
    (file,) = (file for file in manifest.files if file.path == path.encode())
    content = stored(site).file_content(manifest, file)
    assert content == (site.primary.data / path).read_bytes()


def test_no_checksums_to_verify(
    walship: Programs, new_cluster: ClusterFactory, dir_config: Path
) -> None:
    site = Site(walship, new_cluster, dir_config, checksums=False)
    assert result(site)["checksums_verified"] is False
    assert "not verified" not in site.run("list").check().out


@pytest.mark.parametrize("option", USAGE)
def test_usage(walship: Programs, option: str) -> None:
    done = walship.run("walship", "backup", option)
    assert done.status == 2 and re.match("walship backup: ", done.err)


def test_page_digests(site: Site) -> None:
    """Of each page, as the format's text says, shorter last pages included."""
    (site.primary.data / "odd").write_bytes(b"odd" * 3001)
    reader = stored(site)
    manifest = reader.manifest(site.backup())
    key = bytes.fromhex(str(manifest.summary["digest_key"]))
    objects = Contents(reader, manifest).digests
    small = [file for file in manifest.files if 0 < file.size < 100000 and file.pages]
    assert len(small) > 100 and b"odd" in {file.path for file in small}
    # Hashing a page in Python takes its time: those of a few, and the odd ones.
    few = random.Random(1).sample(small, 25)
    few += [file for file in small if file.size % 8192]
    for file in few:
        table = b"".join(objects.piece(*place) for place in file.pages)
        content = reader.file_content(manifest, file)
        pages = (content[at : at + 8192] for at in range(0, len(content), 8192))
        assert table == b"".join(page_entry(key, page) for page in pages)
