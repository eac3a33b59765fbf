"""walship list, against real servers."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ground.dailies import segment_name
from ground.expirer import SYSTEM, Expirer
from ground.host import Result, run
from ground.pg import ClusterFactory
from ground.programs import Programs
from ground.site import Site


@pytest.fixture
def site(walship: Programs, new_cluster: ClusterFactory, dir_config: Path) -> Site:
    return Site(walship, new_cluster, dir_config)


def touch(path: Path) -> None:
    """An object as postgres would put it, whatever is in it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    run(["chown", "-R", "postgres:", path.parent]).check()


def test_list(new_cluster: ClusterFactory, walship: Programs, config: Path) -> None:
    site = Site(walship, new_cluster, config, checksums=True)
    site.load()
    site.settle()
    assert site.list() == []
    assert "no backups yet" in site.run("list").check().out
    first = site.backup("--label=before the release")
    second = site.backup()
    rows = site.list()
    assert [row["id"] for row in rows] == [first, second]
    row = rows[0]
    assert row["label"] == "before the release"
    assert (row["state"], row["type"], row["keep"]) == ("complete", "full", False)
    assert row["system_identifier"] == str(site.primary.system_identifier())
    assert row["server_version"] == int(site.primary.value("show server_version_num"))
    assert row["timeline"] == 1
    assert row["data_checksums"] is True and row["from_standby"] is False
    assert row["start_time"] <= row["stop_time"] <= rows[1]["start_time"]
    assert row["bytes"] > row["stored_bytes"] > 1000000
    assert row["referenced_bytes"] == 0
    assert (row["wal"], row["wal_missing"]) == ("ok", None)
    inside = "select %s::pg_lsn < %s::pg_lsn and %s::pg_lsn <= %s::pg_lsn"
    order = (row["start_lsn"], row["stop_lsn"], row["stop_lsn"], rows[1]["start_lsn"])
    assert site.primary.value(inside, *order)

    lines = site.run("list").check().out.splitlines()
    assert lines[0].split()[:2] == ["BACKUP", "TYPE"]
    shown = [line for line in lines if line.startswith("0")]
    assert [line.split()[0] for line in shown] == [first, second]
    assert shown[0].endswith(" ok   before the release")


def test_states(site: Site, repo_dir: Path) -> None:
    """What is expired does not count; what cannot be read is shown as such."""
    site.load()
    ids = []
    for _ in range(4):
        ids.append(site.backup())
        site.settle()
    (tree,) = repo_dir.glob("*/backup")
    touch(tree / ids[0] / "expired")
    touch(tree / ids[1] / "keep")
    (tree / ids[2] / "manifest").unlink()
    manifest = tree / ids[3] / "manifest"
    manifest.write_bytes(manifest.read_bytes()[:100])
    touch(tree / "not-a-backup" / "manifest")

    done = site.run("list", "--json")
    rows = json.loads(done.out)
    assert done.status == 1
    assert [(row["id"], row["state"]) for row in rows] == [
        (ids[1], "complete"),
        (ids[2], "unfinished"),
        (ids[3], "unreadable"),
    ]
    assert rows[0]["keep"] is True
    assert rows[1]["start_time"] > "2026"
    assert f"backup/{ids[3]}/manifest" in rows[2]["error"]

    done = site.run("list")
    assert done.status == 1
    text = done.out
    assert ids[0] not in text and "not-a-backup" not in text
    assert f"{ids[2]} unfinished" in text and f"{ids[3]} unreadable: " in text
    assert " ok, kept " in text
    assert site.run("restore", ids[2], "--target-dir=/nowhere").status == 2


def test_missing_wal(site: Site, repo_dir: Path) -> None:
    site.load()
    backup = site.backup()
    start = int(site.list()[0]["start_lsn"].split("/")[1], 16)
    segment = f"0000000100000000{start >> 24:08X}"
    (lost,) = repo_dir.glob(f"*/wal/*/{segment}")
    lost.unlink()
    (row,) = site.list()
    assert (row["id"], row["wal"], row["wal_missing"]) == (backup, "missing", segment)
    assert f"lacks {segment}" in site.run("list").check().out


def test_wrong_key(site: Site, walship: Programs, work_dir: Path) -> None:
    site.load()
    site.backup()
    other = work_dir / "other"
    walship.run("walship", "keygen", other).check()
    done = site.run("list", "--json", f"--set=key_file={other}")
    assert done.status == 1
    (row,) = json.loads(done.out)
    assert row["state"] == "unreadable" and "key" in row["error"]


def test_two_clusters(
    site: Site, new_cluster: ClusterFactory, walship: Programs
) -> None:
    site.load()
    mine = site.backup()
    other = Site(walship, new_cluster, site.config)
    other.load()
    theirs = other.backup()
    done = site.run("list")
    sysids = [str(s.primary.system_identifier()) for s in (site, other)]
    assert done.status == 2 and done.out == ""
    assert all(sysid in done.err for sysid in sysids)
    for sysid, backup in zip(sysids, (mine, theirs), strict=True):
        text = site.run("list", f"--cluster={sysid}").check().out
        assert backup in text and len(text.splitlines()) == 2


def test_usage(site: Site) -> None:
    assert site.run("list", "x").status == 2
    assert site.run("list", "--nonsense").status == 2
    done = site.run("list")
    assert done.status == 1, "no cluster has put anything there yet"


# --- to its own end only ----------------------------------------------------------


@pytest.fixture
def expire(walship: Programs, dir_config: Path, repo_dir: Path) -> Expirer:
    return Expirer(walship, dir_config, repo_dir)


def tool(expire: Expirer, command: str, *args: str | Path) -> Result:
    where = (f"--config={expire.config}", f"--cluster={SYSTEM}")
    return expire.programs.run("walship", command, *where, *args)


def own_end_only(expire: Expirer) -> list[bool]:
    rows = json.loads(tool(expire, "list", "--json").check().out)
    assert [row["wal"] for row in rows] == ["ok"] * len(rows)
    return [row["own_end_only"] for row in rows]


def test_own_end_only(expire: Expirer, work_dir: Path) -> None:
    """What expire says of a backup is seen in the archive afterwards."""
    expire.add_days(9)
    pinned, _, third, *_ = expire.dailies.backups
    assert own_end_only(expire) == [False] * 9
    keep = ("--keep-within=2d", f"--keep={pinned.identifier}")
    keep += (f"--keep={third.identifier}",)
    planned = expire.plan(*keep, "--apply")["backups"]
    said = [row["any_moment"] for row in planned if row["verdict"] == "keep"]
    assert said[:3] == [False, False, True] and all(said[2:])
    assert own_end_only(expire) == [not moment for moment in said]
    lines = tool(expire, "list").check().out.splitlines()[1:]
    assert ["to its own end only" in line for line in lines] == [
        *([True] * 2),
        *([False] * (len(lines) - 2)),
    ]

    # What a restore says instead of going on.
    target = f"--target-dir={work_dir / 'new'}"
    name = pinned.identifier
    end = pinned.stop_time.strftime("%Y-%m-%dT%H:%M:%SZ")
    next_end = third.stop_time.strftime("%Y-%m-%dT%H:%M:%SZ")
    moment = (third.stop_time - (third.stop_time - pinned.stop_time) / 2).isoformat()
    for how in ((name,), (f"--target-time={moment}",)):
        refused = tool(expire, "restore", *how, "--dry-run", target)
        assert refused.status == 1
        assert f"own end only, {end}" in refused.err
        assert f"backup {third.identifier}, {next_end}" in refused.err


def test_own_end_only_on_another_timeline(expire: Expirer) -> None:
    """A timeline that began in the backup's last segment leads on from it."""
    expire.add_days(2)
    first = expire.dailies.backups[0]
    last = first.first_segment + 1
    wal = expire.dailies.tree / "wal"
    expire.dailies.fork(last)
    (wal / "00000001" / segment_name(last + 1)).unlink()
    assert own_end_only(expire) == [False, False]
    (wal / "00000002" / segment_name(last, 2)).unlink()
    assert own_end_only(expire) == [True, False]
    # Nothing later: it is where the archive ends.
    for path in [*wal.glob("*/0*")]:
        if path.suffix != ".history" and int(path.name[16:], 16) > last:
            path.unlink()
    rows = json.loads(tool(expire, "list", "--json").check().out)
    assert rows[0]["own_end_only"] is False and rows[0]["wal"] == "ok"
    # The old primary's last segment, not whole, leads on as well.
    (wal / "00000001" / segment_name(last + 3)).touch()
    (wal / "00000001" / f"{segment_name(last + 1)}.partial").touch()
    expire.dailies.hand_over()
    rows = json.loads(tool(expire, "list", "--json").check().out)
    assert rows[0]["own_end_only"] is False
