"""What walship restore refuses, and what it leaves behind when it fails."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import os
import shutil
import signal
import struct
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import lz4.frame
import pytest

from ground import roots
from ground.host import run, unmount, wait_for
from ground.pg import ClusterFactory
from ground.programs import Programs, write_config
from ground.site import FINGERPRINT, Site


@pytest.fixture
def site(walship: Programs, new_cluster: ClusterFactory, dir_config: Path) -> Site:
    return Site(walship, new_cluster, dir_config)


@pytest.fixture
def plain_site(
    walship: Programs,
    new_cluster: ClusterFactory,
    repo_dir: Path,
    spool_dir: Path,
    work_dir: Path,
) -> Site:
    """Without a key, so that anyone can write manifests."""
    config = write_config(
        work_dir / "plain.conf",
        repository=f"file://{repo_dir}",
        spool=spool_dir,
        encryption="none",
    )
    return Site(walship, new_cluster, config)


def packs(repo: Path) -> list[Path]:
    return sorted(repo.glob("*/backup/*/pack/*"))


# --- before the first byte --------------------------------------------------------


def test_usage(site: Site) -> None:
    for args in (
        [],
        ["--target-dir=/x", "--target-dir=/y"],
        ["--target-dir=/x", "a", "b"],
        ["--target-dir=/x", "--target-lsn=1", "--target-immediate"],
        ["--target-dir=/x", "--target-lsn=x"],
        ["--target-dir=/x", "--target-xid=2"],
        ["--target-dir=/x", "--target-name="],
        ["--target-dir=/x", f"--target-name={'x' * 64}"],
        ["--target-dir=/x", "--target-time=yesterday"],
        ["--target-dir=/x", "--target-timeline=0"],
        ["--target-dir=/x", "--target-action=promote"],
        ["--target-dir=/x", "--target-lsn=0/1", "--target-action=x"],
        ["--target-dir=/x", "--target-name=x", "--target-exclusive"],
        ["--target-dir=/x", "--standby", "--target-immediate"],
        ["--target-dir=/x", "--tablespace=/a"],
        ["--target-dir=/x", "--tablespace=a=/b"],
        ["--target-dir=/x", "--tablespace=/a=b"],
        ["--target-dir="],
    ):
        done = site.run("restore", *args)
        assert (done.status, done.out) == (2, ""), args
        assert done.err, args


def test_help_fits(site: Site) -> None:
    for command in ("restore", "list"):
        text = site.run(command, "--help").check().out
        assert max(map(len, text.splitlines())) <= 80


def test_root_is_told_the_line_to_use(site: Site) -> None:
    copy = site.copy()
    args = ["--target-name=a b", f"--target-dir={copy.data}"]
    done = site.run("restore", *args, user="root")
    assert done.status == 2
    assert "cannot be run as root" in done.err
    line = f"restore --config={site.config} '--target-name=a b' --target-dir="
    assert "runuser -u postgres -- " in done.err and line in done.err
    assert not copy.data.exists()


def test_directory_that_is_not_empty(site: Site) -> None:
    site.load()
    site.backup()
    copy = site.copy()
    copy.data.mkdir()
    (copy.data / "precious").write_text("x", encoding="ascii")
    run(["chown", "-R", "postgres:", copy.data]).check()
    done = site.run("restore", f"--target-dir={copy.data}")
    assert done.status == 2
    assert f'directory "{copy.data}" is not empty' in done.err
    assert [path.name for path in copy.data.iterdir()] == ["precious"]
    (copy.data / "precious").unlink()
    site.run("restore", f"--target-dir={copy.data}").check()


def test_nothing_to_restore(site: Site) -> None:
    site.settle()
    assert "holds no backup of this cluster" in site.refuse()
    site.load()
    backup = site.backup()
    assert 'there is no backup "x"' in site.refuse("x")
    assert f'there is no backup "{backup[:-1]}"' in site.refuse(backup[:-1])


def test_missing_pack_is_named(site: Site, repo_dir: Path) -> None:
    site.load()
    backup = site.backup()
    lost = packs(repo_dir)[1]
    lost.unlink()
    said = site.refuse()
    assert f'pack "backup/{backup}/pack/{lost.name}" is missing' in said


def test_expired_backup_does_not_count(site: Site, repo_dir: Path) -> None:
    """Marked by expire, it may lose its packs at any time."""
    site.load()
    first = site.backup()
    second = site.backup()
    (backup,) = repo_dir.glob(f"*/backup/{second}")
    (backup / "expired").touch()
    assert f'there is no backup "{second}"' in site.refuse(second)
    target = f"--target-dir={site.copy().data}"
    plan = site.run("restore", "--dry-run", target).check().out
    assert f"restoring backup {first}" in plan


def test_short_pack_is_named(site: Site, repo_dir: Path) -> None:
    site.load()
    backup = site.backup()
    os.truncate(packs(repo_dir)[1], 1000)
    said = site.refuse()
    assert f'pack "backup/{backup}/pack/00000001" has 1000 bytes instead' in said


@pytest.mark.versions
def test_missing_wal_is_named(site: Site, repo_dir: Path) -> None:
    """A gap counts where recovery would meet it, and only there."""
    with open(site.config, "a", encoding="utf-8") as config:
        config.write("fetch_timeout = 2s\n")
    site.load()
    first = site.backup()
    site.mark(1)
    lsn = site.primary.value("select pg_current_wal_lsn()::text")
    site.settle()
    site.mark(2)
    gap = site.settle()
    site.mark(3)
    site.settle()
    (lost,) = repo_dir.glob(f"*/wal/*/{gap}")
    lost.unlink()

    text = f'the archive lacks WAL segment "{gap}"'
    said = site.refuse()
    assert text in said and "The nearest possible is --target-lsn=0/" in said
    assert text in site.refuse("--target-lsn=FF/0")
    assert text in site.refuse("--standby")
    moment = "2099-01-01 00:00:00Z"
    said = site.refuse(f"--target-time={moment}")
    assert text in said and "--allow-gap" in said
    said = site.refuse(f"--target-time={moment}", "--allow-gap")
    assert "the last transaction in the archive before the gap" in said
    copy = site.restore(f"--target-lsn={lsn}", "--target-action=promote")
    copy.wait_sql("select not pg_is_in_recovery()")
    assert copy.sql("select n from marks") == [(1,)]
    site.restore("--target-immediate", start=False)

    # Recovery itself does not pass the gap for the end of WAL, either.
    copy = site.restore("--target-name=never", "--allow-gap", start=False)
    copy.try_start()
    copy.wait_stopped()
    assert "archive recovery complete" not in copy.log()

    # A later backup lies beyond it.
    site.backup()
    site.settle()
    copy = site.restore()
    copy.wait_sql("select not pg_is_in_recovery()")
    assert text in site.refuse(first)


def test_wal_of_the_backup_itself(site: Site, repo_dir: Path) -> None:
    site.load()
    backup = site.backup()
    row = site.list()[0]
    segment = f"0000000100000000000000{int(row['start_lsn'][2:], 16) >> 24:02X}"
    (lost,) = repo_dir.glob(f"*/wal/*/{segment}")
    lost.unlink()
    said = site.refuse("--target-immediate")
    assert f'lacks WAL segment "{segment}"' in said and backup in said
    assert "cannot be used without it" in said
    assert site.list()[0]["wal_missing"] == segment


@pytest.fixture
def small_disk(work_dir: Path) -> Iterator[Path]:
    path = work_dir / "small"
    path.mkdir()
    run(["mount", "-t", "tmpfs", "-o", "size=20m,mode=0777", "none", path]).check()
    yield path
    unmount(path)


def test_not_enough_room(site: Site, small_disk: Path) -> None:
    site.load()
    site.backup()
    done = site.run("restore", f"--target-dir={small_disk}/data")
    assert done.status == 2
    assert "not enough room" in done.err and "are free" in done.err
    assert list(small_disk.iterdir()) == []


def test_two_clusters_in_one_repository(
    site: Site, new_cluster: ClusterFactory, walship: Programs
) -> None:
    site.load()
    site.backup()
    other = Site(walship, new_cluster, site.config)
    other.load()
    backup = other.backup()
    ids = [str(s.primary.system_identifier()) for s in (site, other)]
    said = site.refuse()
    assert ids[0] in said and ids[1] in said and "--cluster" in said
    copy = other.restore(f"--cluster={ids[1]}")
    copy.wait_sql("select not pg_is_in_recovery()")
    assert copy.system_identifier() == int(ids[1])
    assert 'there is no backup "' in site.refuse(f"--cluster={ids[0]}", backup)


# --- while it works ---------------------------------------------------------------


def test_damaged_pack_is_named(site: Site, repo_dir: Path) -> None:
    site.load()
    backup = site.backup()
    for number, pack in enumerate(packs(repo_dir)):
        whole = pack.read_bytes()
        pack.write_bytes(
            whole[: len(whole) // 2]
            + bytes([whole[len(whole) // 2] ^ 1])
            + whole[len(whole) // 2 + 1 :]
        )
        said = site.refuse()
        assert f"backup/{backup}/pack/{number:08x}" in said
        assert "no server starts from it" in said
        pack.write_bytes(whole)
    # What a failed attempt leaves behind is no server.
    copy = site.copy()
    swapped = packs(repo_dir)
    first, second = (path.read_bytes() for path in swapped[:2])
    size = min(len(first), len(second))
    swapped[0].write_bytes(second[:size] + first[size:])
    assert site.run("restore", f"--target-dir={copy.data}").status == 1
    assert (copy.data / "PG_VERSION").exists()
    assert not copy.try_start()
    swapped[0].write_bytes(first)
    # The directory must be emptied before another attempt.
    assert site.run("restore", f"--target-dir={copy.data}").status == 2
    shutil.rmtree(copy.data)
    site.run("restore", f"--target-dir={copy.data}").check()


def test_damaged_manifest(site: Site, repo_dir: Path) -> None:
    """The named backup is refused; without a name an older one is taken."""
    site.load()
    first = site.backup()
    time.sleep(1.1)
    second = site.backup()
    site.settle()
    (manifest,) = repo_dir.glob(f"*/backup/{second}/manifest")
    whole = manifest.read_bytes()
    manifest.write_bytes(whole[:400] + b"?" + whole[401:])
    assert f"backup/{second}/manifest" in site.refuse(second)
    copy = site.copy()
    done = site.run("restore", f"--target-dir={copy.data}").check()
    assert f"backup {second} cannot be used" in done.err
    assert done.out.startswith(f"Backup {first} ")
    # The summary can be read, the rest cannot.
    manifest.write_bytes(whole[:-20] + bytes(20))
    assert f"backup/{second}/manifest" in site.refuse()
    manifest.write_bytes(whole[:-1])
    assert f"backup/{second}/manifest" in site.refuse()


def test_wrong_key(site: Site, walship: Programs, work_dir: Path) -> None:
    site.load()
    site.backup()
    other = work_dir / "other"
    walship.run("walship", "keygen", other).check()
    assert "key" in site.refuse(f"--set=key_file={other}")


def slow(site: Site, tmp: Path) -> tuple[Path, subprocess.Popen[bytes]]:
    """A restore that is under way, made slow by strace."""
    target = site.copy().data
    child = subprocess.Popen(
        [
            *("strace", "-f", "-q", "-o", "/dev/null"),
            *("-e", "trace=pwrite64", "-e", "inject=pwrite64:delay_enter=300000"),
            *(site.programs.path("walship"), "restore"),
            *(f"--config={site.config}", f"--target-dir={target}"),
        ],
        stderr=(tmp / "stderr").open("wb"),
        stdout=subprocess.DEVNULL,
        user=roots.PG_USER,
        group=roots.PG_USER,
        cwd="/",
    )
    wait_for(lambda: (target / "PG_VERSION").exists(), "the restore is under way")
    return target, child


def restoring(target: Path) -> int:
    """The pid of the restore itself."""
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            words = path.read_bytes().split(b"\0")
            if words[0].endswith(b"/walship") and str(target).encode() in words[-2]:
                return int(path.parent.name)
    raise AssertionError("it is not running")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_killed(site: Site, number: int, work_dir: Path, repo_dir: Path) -> None:
    if "WALSHIP_SANITIZE" in os.environ:
        pytest.skip("strace and the sanitizers do not go together")
    site.load()
    site.backup()
    target, child = slow(site, work_dir)
    os.kill(restoring(target), number)
    assert child.wait(180) != 0
    assert not (target / "global" / "pg_control").exists()
    if number != signal.SIGKILL:
        said = (work_dir / "stderr").read_text(encoding="utf-8")
        assert "no server starts from it" in said and "the report" not in said
    reports = list(repo_dir.glob("*/report/*-restore"))
    assert len(reports) == (number != signal.SIGKILL)


def test_disk_error(site: Site) -> None:
    """The last flush fails: what was written may not be there."""
    if "WALSHIP_SANITIZE" in os.environ:
        pytest.skip("strace and the sanitizers do not go together")
    site.load()
    site.backup()
    for call in ("syncfs", "fsync", "pwrite64", "ftruncate", "renameat"):
        target = site.copy().data
        done = run(
            [
                *("strace", "-f", "-q", "-o", "/dev/null"),
                *("-e", f"trace={call}", "-e", f"inject={call}:error=EIO"),
                *(site.programs.path("walship"), "restore"),
                *(f"--config={site.config}", f"--target-dir={target}"),
            ],
            user=roots.PG_USER,
        )
        assert done.status == 1, call
        assert "Input/output error" in done.err, call
        assert not (target / "global" / "pg_control").exists(), call


def test_read_only_repository(site: Site, repo_dir: Path) -> None:
    """Whoever may only read can restore and recover."""
    site.load()
    site.backup()
    site.mark(1)
    site.settle()
    rows = site.primary.value(FINGERPRINT)
    site.primary.stop()
    run(["chown", "-R", "root:", repo_dir]).check()
    run(["chmod", "-R", "a=rX", repo_dir]).check()
    copy = site.restore()
    copy.wait_sql("select not pg_is_in_recovery()")
    assert copy.value(FINGERPRINT) == rows
    assert not list(repo_dir.glob("*/report/*-restore"))


def test_report(site: Site, repo_dir: Path) -> None:
    site.load()
    site.backup()
    site.restore(start=False)
    assert len(list(repo_dir.glob("*/report/*-restore"))) == 1


# --- forged manifests -------------------------------------------------------------

Lines = list[dict[str, Any]]


def split_object(stored: bytes) -> tuple[bytes, list[bytes]]:
    """Header and frames' contents of an unsealed object (common/FORMAT.md)."""
    end = 8 + struct.unpack_from("<I", stored, 4)[0]
    header, at, frames = stored[:end], end, []
    while at < len(stored):
        length = struct.unpack_from("<I", stored, at + 16)[0]
        frames.append(lz4.frame.decompress(stored[at + 28 : at + 28 + length]))
        at += 28 + length
    return header, frames


def join_object(header: bytes, frames: list[bytes]) -> bytes:
    """A good object with this content and the given header's name."""
    head = header[:32] + struct.pack("<Q", sum(map(len, frames))) + header[40:-16]
    digest = hashlib.blake2b(head, digest_size=16).digest()
    stored = head + digest
    for number, content in enumerate(frames):
        sizes = [(1 << 16, 4), (1 << 18, 5), (1 << 20, 6)]
        block = next(code for size, code in sizes if len(content) <= size)
        packed = lz4.frame.compress(
            content,
            block_size=block,
            block_linked=False,
            content_checksum=True,
            block_checksum=True,
            store_size=True,
        )
        final = number + 1 == len(frames)
        stored += struct.pack("<IIIII", 0x184D2A5D, 20, number, final, len(packed))
        stored += digest[:8] + packed
    return stored


class Forger:
    """Rewrites the only manifest of a repository."""

    def __init__(self, repo: Path) -> None:
        (self.path,) = repo.glob("*/backup/*/manifest")
        self.header, frames = split_object(self.path.read_bytes())
        text = b"".join(frames).decode()
        self.lines: Lines = [json.loads(line) for line in text.splitlines()]

    def write(self, change: Callable[[Lines], None]) -> None:
        lines: Lines = json.loads(json.dumps(self.lines))
        change(lines)
        text = [json.dumps(line).encode() + b"\n" for line in lines]
        rest = b"".join(text[1:])
        step = 1 << 20
        frames = [rest[at : at + step] for at in range(0, len(rest), step)]
        self.path.write_bytes(join_object(self.header, [text[0], *frames]))


def first(lines: Lines, **members: Any) -> dict[str, Any]:
    return next(
        line
        for line in lines
        if all(line.get(name) == value for name, value in members.items())
    )


def big(lines: Lines) -> dict[str, Any]:
    """A file with content; without its page digests, which tell its size, too."""
    file = next(line for line in lines if line.get("size", 0) > 20000)
    file.pop("pages", None)
    return file


def set_size(lines: Lines, size: int, extents: list[list[int]]) -> None:
    file = big(lines)
    lines[0]["bytes"] += size - file["size"]
    file.update(size=size, extents=extents)


def add_file(lines: Lines, path: str) -> None:
    """An empty file, counted everywhere."""
    file = dict(first(lines, path="PG_VERSION"))
    file.update(path=path, size=0, crc32c="00000000", extents=[])
    file.pop("pages", None)  # an empty file has none
    lines.insert(lines.index(first(lines, path="PG_VERSION")), file)
    lines[0]["files"] += 1
    lines[-1]["files"] += 1


def bad_header(lines: Lines) -> None:
    pack = first(lines, type="pack")
    header = bytearray(base64.b64decode(pack["header"]))
    header[50] ^= 1
    pack["header"] = base64.b64encode(header).decode()


FORGERIES: dict[str, tuple[str, Callable[[Lines], None]]] = {
    "above": ("path", lambda m: add_file(m, "../escaped")),
    "absolute": ("path", lambda m: add_file(m, "/tmp/escaped")),
    "within": ("path", lambda m: add_file(m, "base/../../escaped")),
    "directory above": ("path", lambda m: first(m, type="dir").update(path="..")),
    "twice": ("twice", lambda m: add_file(m, "postgresql.conf")),
    "in a file": ("could not", lambda m: add_file(m, "PG_VERSION/x")),
    "over a directory": ("twice", lambda m: add_file(m, "base")),
    "too large": ("room", lambda m: set_size(m, 1 << 60, [[-1, 0, 1 << 60]])),
    "larger": ("extents", lambda m: big(m).update(size=1 << 60)),
    "overlong": ("extents", lambda m: set_size(m, 1 << 30, [[0, 0, 1 << 30]])),
    "behind the pack": (
        "too short",
        lambda m: set_size(m, 8192, [[len(set_of_packs(m)) - 1, 16769024, 8192]]),
    ),
    "no such pack": ("pack", lambda m: set_size(m, 8192, [[9999, 0, 8192]])),
    "other place": ("checksum", lambda m: set_size(m, 8192, [[0, 1, 8192]])),
    "negative": ("extents", lambda m: set_size(m, 8192, [[0, -1, 8192]])),
    "crc": ("checksum", lambda m: big(m).update(crc32c="00000000")),
    "mode": ("mode", lambda m: big(m).update(mode="4755")),
    "count": ("counts", lambda m: m[-1].update(dirs=0)),
    "no end": ("end", lambda m: m.pop() and None),
    "header": ("pack 0", bad_header),
    "frames": ("bytes instead of", lambda m: first(m, type="pack")["frames"].append(1)),
    "no control": ("pg_control", lambda m: m.remove(first(m, path=CONTROL)) or less(m)),
    "newer": ("newer version", lambda m: m[0].update(requires=["wings"])),
    "other backup": ("", lambda m: m[0].update(id="F" + m[0]["id"][1:])),
    "other cluster": ("", lambda m: m[0].update(system_identifier="1")),
}

CONTROL = "global/pg_control"


def set_of_packs(lines: Lines) -> Lines:
    return [line for line in lines if line["type"] == "pack"]


def less(lines: Lines) -> None:
    lines[-1]["files"] -= 1
    lines[0]["files"] -= 1
    lines[0]["bytes"] -= 8192


def test_forged_manifests(plain_site: Site, repo_dir: Path) -> None:
    plain_site.load()
    plain_site.backup()
    plain_site.settle()
    forger = Forger(repo_dir)
    forger.write(lambda lines: None)
    copy = plain_site.restore()
    copy.wait_sql("select not pg_is_in_recovery()")
    copy.stop("immediate")
    for name, (words, change) in FORGERIES.items():
        forger.write(change)
        said = plain_site.refuse()
        assert words in said, (name, said)
        assert "Assertion" not in said and "Sanitizer" not in said
    assert not list(repo_dir.parent.rglob("escaped"))
    assert not Path("/tmp/escaped").exists()


def test_unsealed_object_with_a_key(
    plain_site: Site, site: Site, repo_dir: Path, walship: Programs, work_dir: Path
) -> None:
    """Whoever has a key does not read what anyone could have written."""
    plain_site.load()
    backup = plain_site.backup()
    plain_site.config = site.config
    sysid = plain_site.primary.system_identifier()
    said = plain_site.refuse(backup, f"--cluster={sysid}")
    assert f"backup/{backup}/manifest" in said


def test_standby_signal_is_not_restored(plain_site: Site, repo_dir: Path) -> None:
    plain_site.load()
    plain_site.backup()
    plain_site.settle()
    forger = Forger(repo_dir)

    def signals(lines: Lines) -> None:
        for path in ("standby.signal", "recovery.signal", "pg_wal/RECOVERYXLOG"):
            add_file(lines, path)

    forger.write(signals)
    copy = plain_site.restore(start=False)
    assert not (copy.data / "standby.signal").exists()
    assert list((copy.data / "pg_wal").iterdir()) == [
        copy.data / "pg_wal" / "archive_status"
    ]
    copy.start()
    copy.wait_sql("select not pg_is_in_recovery()")


def test_parts_of_packs(plain_site: Site, repo_dir: Path) -> None:
    """A manifest may want little of a pack, in any order, and twice."""
    primary = plain_site.primary
    plain_site.load()
    primary.sql("create table noise as select random() from generate_series(1, 500000)")
    zeros = primary.data / "zeros"
    zeros.write_bytes(bytes((3 << 20) + 1) + b"x" + bytes(2 << 20))
    shutil.chown(zeros, roots.PG_USER, roots.PG_USER)
    plain_site.backup()
    whole = plain_site.restore("--target-immediate", start=False)
    forger = Forger(repo_dir)
    always = ("PG_VERSION", CONTROL, "zeros")
    paths: list[str] = []

    def fewer(lines: Lines) -> None:
        files = [line for line in lines if line["type"] == "file"]
        wanted = [
            file
            for number, file in enumerate(files)
            if number % 9 == 0 or file["path"] in always or file["size"] > 10000000
        ]
        assert any(file["size"] > 10000000 for file in wanted)
        again = [dict(file, path=f"again{n}") for n, file in enumerate(wanted)]
        wanted = wanted[::-1] + again
        start = lines.index(files[0])
        lines[:] = [line for line in lines if line["type"] != "file"]
        lines[start:start] = wanted
        lines[0].update(files=len(wanted), bytes=sum(file["size"] for file in wanted))
        lines[-1].update(files=len(wanted))
        paths.extend(file["path"] for file in wanted[len(again) - 1 :: -1])

    forger.write(fewer)
    part = plain_site.restore("--target-immediate", start=False)
    assert len(paths) > 50
    for number, path in enumerate(paths):
        if path != "postgresql.auto.conf":
            content = (whole.data / path).read_bytes()
            assert (part.data / path).read_bytes() == content, path
            assert (part.data / f"again{number}").read_bytes() == content, path
    # The zeros take no room.
    assert (part.data / "zeros").stat().st_blocks * 512 < 3 << 20
