"""The second reader, tests/reader: what it refuses and where it puts things.

That it reads what walship writes is shown in test_format.py and test_e2e.py.
"""

from __future__ import annotations

import random
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ground import objects
from ground.backups import Backup, Repository
from ground.host import Result, run

SOURCE = Path(__file__).resolve().parents[2]
READER = SOURCE / "tests/reader/read_walship.py"
GOLDEN = SOURCE / "tests/golden/v1"
SYSTEM = 7300000000000000001
KEY = bytes(range(32))
FULL = "0000000000200028-00000001-20260102T030405Z"
SECOND = "0000000000400028-00000001-20260103T030405Z"
CONTENT = b"content" * 10
TABLE = b"pg_tblspc/16385/PG_15_202209061/1"

sys.path.insert(0, str(SOURCE / "tests/reader"))
import walship_backup  # noqa: E402
import walship_format  # noqa: E402
from crc32c import crc32c  # noqa: E402


def read_backup(repository: Path, target: Path, *more: str) -> Result:
    arguments = [READER, "backup", repository, SYSTEM, FULL, target]
    return run([*map(str, arguments), "--key-file", str(GOLDEN / "key"), *more])


def rebuild(repository: Path, backup: str, target: Path) -> None:
    """The same without a new process."""
    opened = walship_backup.Repository(
        repository, SYSTEM, walship_format.read_key_file(GOLDEN / "key")
    )
    walship_backup.rebuild_backup(opened, backup, target, {})


def small_backup(path: Path) -> Backup:
    """A backup of one file, in a tablespace; its manifest is not yet there."""
    backup = Backup(Repository(path, SYSTEM, KEY), FULL)
    backup.summary = {"data_directory_mode": "0750"}
    location = {"type": "tablespace", "oid": 16385, "location": "/somewhere"}
    backup.head.append(location)
    backup.add_dir(b"pg_tblspc/16385")
    backup.add_dir(b"pg_tblspc/16385/PG_15_202209061")
    pack = backup.put_pack([(TABLE, 0, CONTENT)])
    backup.add_file(TABLE, CONTENT, [(pack, 0, len(CONTENT))])
    return backup


def test_checksum() -> None:
    """Against the value of RFC 3720 and a bit-by-bit computation."""
    assert crc32c(b"123456789") == 0xE3069283
    source = random.Random(1)
    for length in (0, 1, 3, 4, 5, 700, 1251, 1252, 1253, 8192):
        data = source.randbytes(length)
        bitwise = 0xFFFFFFFF
        for byte in data:
            bitwise ^= byte
            for _ in range(8):
                bitwise = bitwise >> 1 ^ (0x82F63B78 if bitwise & 1 else 0)
        assert crc32c(data) == bitwise ^ 0xFFFFFFFF
    data = source.randbytes((2 << 20) + 5)
    crc = 0
    for at in range(0, len(data), 8191):
        crc = crc32c(data[at : at + 8191], crc)
    assert crc == crc32c(data)


def test_tablespaces(tmp_path: Path) -> None:
    small_backup(tmp_path / "repo").put_manifest()
    plain, linked, place = (tmp_path / name for name in ("plain", "linked", "space"))
    read_backup(tmp_path / "repo", plain).check()
    assert (plain / TABLE.decode()).read_bytes() == CONTENT
    assert not (plain / "pg_tblspc/16385").is_symlink()
    assert plain.stat().st_mode & 0o7777 == 0o750
    read_backup(tmp_path / "repo", linked, "--tablespace", f"16385={place}").check()
    assert (linked / "pg_tblspc/16385").readlink() == place
    assert (place / "PG_15_202209061/1").read_bytes() == CONTENT


def test_a_used_folder_is_refused(tmp_path: Path) -> None:
    small_backup(tmp_path / "repo").put_manifest()
    (tmp_path / "data").mkdir()
    (tmp_path / "data/file").touch()
    done = read_backup(tmp_path / "repo", tmp_path / "data")
    assert done.status == 1 and "not empty" in done.err


@pytest.mark.parametrize(
    "summary, said",
    [
        ({"requires": ["a-thing-of-tomorrow"]}, "a-thing-of-tomorrow"),
        ({"format": 2}, "format"),
        ({"id": SECOND}, "another backup"),
        ({"system_identifier": "1"}, "another cluster"),
        ({"files": 2}, "files"),
        ({"bytes": 1}, "bytes"),
        ({"packs": 0}, "packs"),
        ({"stored_bytes": 1}, "stored_bytes"),
        ({"referenced_bytes": 1}, "referenced_bytes"),
    ],
)
def test_a_wrong_summary(tmp_path: Path, summary: dict[str, Any], said: str) -> None:
    small_backup(tmp_path / "repo").put_manifest(**summary)
    done = read_backup(tmp_path / "repo", tmp_path / "data")
    assert done.status == 1 and said in done.err, done.err
    assert not (tmp_path / "data").exists()


def wrong_checksum(backup: Backup) -> None:
    backup.files[0]["crc32c"] = "00000000"


def outside(backup: Backup) -> None:
    backup.files[0]["path"] = "pg_tblspc/../../file"


def absolute(backup: Backup) -> None:
    backup.files[0]["path"] = "/tmp/file"


def twice(backup: Backup) -> None:
    backup.files.append(backup.files[0])


def file_and_dir(backup: Backup) -> None:
    backup.add_dir(TABLE)


def wrong_size(backup: Backup) -> None:
    backup.files[0]["size"] += 1


def unknown_pack(backup: Backup) -> None:
    backup.files[0]["extents"] = [(1, 0, len(CONTENT))]


def beyond_pack(backup: Backup) -> None:
    backup.files[0]["extents"] = [(0, 1, len(CONTENT))]


def other_frames(backup: Backup) -> None:
    backup.packs[0]["frames"][-1] += 1
    backup.stored[FULL] += 1


def unknown_line(backup: Backup) -> None:
    backup.head.append({"type": "symlink", "path": "a"})


def wrong_order(backup: Backup) -> None:
    backup.packs.append({**backup.files.pop(), "backup": FULL})


def wrong_table(backup: Backup) -> None:
    backup.packs.clear()
    backup.stored.clear()
    other = CONTENT.replace(b"c", b"C")
    content, table = objects.cut(CONTENT), b'{"path":"a","at":0,"length":70,'
    table += b'"crc32c":"%08x"}\n' % crc32c(other)
    name = f"backup/{FULL}/pack/00000000"
    parts = backup.repository.put(objects.KIND_PACK, name, [table, *content])
    backup.refer(FULL, 0, parts)


@pytest.mark.parametrize(
    "change, said",
    [
        (wrong_checksum, "another checksum"),
        (outside, "leads astray"),
        (absolute, "leads astray"),
        (twice, "occurs twice"),
        (file_and_dir, "occurs twice"),
        (wrong_size, "another size"),
        (unknown_pack, "unknown pack"),
        (beyond_pack, "too short"),
        (other_frames, "another length"),
        (unknown_line, "symlink"),
        (wrong_order, "out of order"),
        (wrong_table, "chunk of"),
    ],
)
def test_a_wrong_manifest(
    tmp_path: Path, change: Callable[[Backup], None], said: str
) -> None:
    backup = small_backup(tmp_path / "repo")
    change(backup)
    backup.put_manifest()
    with pytest.raises(walship_format.Corrupt, match=said):
        rebuild(tmp_path / "repo", FULL, tmp_path / "data")


def test_only_the_very_pack_is_read(tmp_path: Path) -> None:
    """A pack that was written again, even with the same content, is another."""
    backup = small_backup(tmp_path / "repo")
    backup.put_manifest()
    rebuild(tmp_path / "repo", FULL, tmp_path / "before")
    small_backup(tmp_path / "repo")
    with pytest.raises(walship_format.Corrupt, match="another object"):
        rebuild(tmp_path / "repo", FULL, tmp_path / "data")


def test_an_expired_backup(tmp_path: Path) -> None:
    backup = small_backup(tmp_path / "repo")
    backup.put_manifest()
    backup.repository.put(objects.KIND_MARK, f"backup/{FULL}/expired", [b"{}\n"])
    with pytest.raises(walship_format.Corrupt, match="expired"):
        rebuild(tmp_path / "repo", FULL, tmp_path / "data")


def test_no_damage_is_restored(tmp_path: Path) -> None:
    """Of each object that the second golden backup needs, bit by random bit."""
    seed = 20260806
    print(f"seed {seed}")
    source = random.Random(seed)
    shutil.copytree(GOLDEN / "repository", tmp_path / "repo")
    cluster = tmp_path / "repo" / str(SYSTEM)
    needed = [
        cluster / f"backup/{SECOND}/manifest",
        *cluster.glob(f"backup/{SECOND}/pack/*"),
        cluster / f"backup/{FULL}/pack/00000001",
    ]
    assert len(needed) == 4
    for path in needed:
        stored = path.read_bytes()
        for turn in range(30):
            damaged = bytearray(stored)
            if turn % 3:
                damaged[source.randrange(len(stored))] ^= 1 << source.randrange(8)
            else:
                del damaged[source.randrange(len(stored)) :]
            path.write_bytes(damaged)
            with pytest.raises(walship_format.Corrupt):
                rebuild(tmp_path / "repo", SECOND, tmp_path / "data")
            shutil.rmtree(tmp_path / "data", ignore_errors=True)
        path.write_bytes(stored)
    rebuild(tmp_path / "repo", SECOND, tmp_path / "data")
