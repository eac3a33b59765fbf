#!/usr/bin/python3
"""Made tests/golden/v1, once: objects by walship's code, backups by the tests'.

    WALSHIP_BUILD=build tests/golden/generate.py tests/golden/v1 [third|fourth]

What was released as version 1 is read for ever, so these bytes stay as they
are: the folder to be made must not exist, or only its third or fourth backup is
made.  A next version gets its own.

key                       a key file, for tests only
sealed/, unsealed/        an object of every kind, below its logical name
objects.json              their content: name, kind, length, SHA-256
repository/               three small backups, each built on the one before, a
                          fourth that stands alone and whose packs tell their
                          pages and frames, and the WAL that they need; sealed
repository.json           their files: path (in hex), size, SHA-256, mode
"""

from __future__ import annotations

import base64
import hashlib
import json
import struct
import sys
from pathlib import Path
from typing import Any

SOURCE = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(SOURCE / "tests/it"))

from ground import objects  # noqa: E402
from ground.backups import (  # noqa: E402
    Backup,
    Line,
    Repository,
    encode_map,
)
from ground.objects import Identity  # noqa: E402
from ground.objtool import ObjTool  # noqa: E402
from ground.stored import page_entry  # noqa: E402

SYSTEM = 7300000000000000001
KEY = bytes(range(32))
FULL = "0000000000200028-00000001-20260102T030405Z"
SECOND = "0000000000400028-00000001-20260103T030405Z"
THIRD = "0000000000600028-00000001-20260104T030405Z"
FOURTH = "0000000000800028-00000001-20260105T030405Z"
DIGEST_KEY = bytes(range(16, 32))
SEGMENT_SIZE = 1 << 20
PAGE = 8192


def noise(length: int, seed: str) -> bytes:
    return hashlib.shake_128(seed.encode()).digest(length)


def object_contents() -> list[tuple[int, str, bytes, int]]:
    """Kind, name, content and frame size."""
    wal = "wal/00000001/0000000100000000000000"
    backup = f"backup/{FULL}"
    page = noise(100, "page") + bytes(PAGE - 100)
    return [
        (objects.KIND_WAL, f"{wal}01", page * 20, objects.FRAME_SIZE),
        (objects.KIND_WAL, f"{wal}02", page * 9, 16384),
        (objects.KIND_WAL, f"{wal}02.0123456789abcdef", page, 4096),
        (objects.KIND_WAL, f"{wal}03.partial", noise(300, "partial"), 100),
        (objects.KIND_WAL, f"{wal}01.00000028.backup", b"LABEL: x\n" * 9, 16),
        (objects.KIND_WAL, "wal/00000002/00000002.history", b"1\t0/3\tx\n", 4096),
        (objects.KIND_START, f"{backup}/start", b'{"format":1}\n', 4096),
        (objects.KIND_PACK, f"{backup}/pack/00000000", noise(70000, "p"), 1 << 16),
        (objects.KIND_PACK, f"{backup}/pack/0000000a", b"ab" * 150000, 4 << 20),
        (objects.KIND_DIGEST, f"{backup}/digest/00000000", b"", 4096),
        (objects.KIND_MANIFEST, f"{backup}/manifest", b'{"type":"end"}\n' * 40, 64),
        (objects.KIND_MARK, f"{backup}/keep", b"{}\n", 1),
        (objects.KIND_MARK, f"{backup}/expired", b"{}\n", objects.FRAME_SIZE),
        (objects.KIND_REPORT, "report/20260102T030405Z-backup", b'{"a":1}\n', 4096),
    ]


def write_objects(folder: Path) -> None:
    index = []
    with ObjTool(folder / "key") as sealing, ObjTool(None) as plain:
        for kind, name, content, frame_size in object_contents():
            identity = Identity(kind, SYSTEM, name)
            for tool, place in ((sealing, "sealed"), (plain, "unsealed")):
                path = folder / place / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(tool.seal(identity, content, frame_size))
            entry: Line = {"name": name, "kind": kind, "length": len(content)}
            index.append({**entry, "sha256": hashlib.sha256(content).hexdigest()})
    write_json(folder / "objects.json", index)


def write_json(path: Path, value: object) -> None:
    path.write_text(json.dumps(value, indent=1) + "\n", encoding="utf-8")


def wal_segment(number: int) -> bytes:
    """A segment whose first page says what it is, and nothing else."""
    address = number * SEGMENT_SIZE
    short = struct.pack("<HHIQI4x", 0xD110, 2, 1, address, 0)
    head = short + struct.pack("<QII", SYSTEM, SEGMENT_SIZE, PAGE)
    return head.ljust(SEGMENT_SIZE, b"\0")


def summary(start: int, label: str) -> Line:
    return {
        "label": label,
        "server_version": 150020,
        "timeline": 1,
        "start_lsn": f"0/{start:X}",
        "stop_lsn": f"0/{start + 0x100:X}",
        "start_time": "2026-01-02T03:04:06Z",
        "stop_time": "2026-01-02T03:04:07Z",
        "clock": "server",
        "wal_segment_size": SEGMENT_SIZE,
        "page_size": PAGE,
        "data_checksums": False,
        "data_directory_mode": "0700",
        "from_standby": False,
        "host": "host",
        "walship_version": "0.1.0",
        "duration_ms": 1000,
    }


class Files:
    """Notes what a backup must give back."""

    def __init__(self, backup: Backup) -> None:
        self.backup = backup
        self.index: list[Line] = []

    def add(
        self, path: bytes, content: bytes, extents: list[Any], mode: str = "0600"
    ) -> None:
        self.backup.add_file(path, content, extents, mode=mode)
        digest = hashlib.sha256(content).hexdigest()
        entry = {"path_hex": path.hex(), "size": len(content), "sha256": digest}
        self.index.append({**entry, "mode": mode})


def add_common(files: Files, label: bytes) -> None:
    """What both backups hold, in a pack of the backup's own."""
    version, control = b"15\n", noise(PAGE, "control")
    odd = noise(10, "odd")
    backup = files.backup
    for path in (b"base", b"base/1", b"global", b"pg_wal", b"pg_wal/archive_status"):
        backup.add_dir(path)
    backup.add_dir(b"pg_notify", "0750")
    backup.add_dir(b"pg_tblspc")
    pack = backup.put_pack(
        [
            (b"PG_VERSION", 0, version),
            (b"backup_label", 0, label),
            (b"base/1/\xff\xfe", 0, odd),
            (b"global/pg_control", 0, control),
        ]
    )
    at = 0
    for path, content, mode in (
        (b"PG_VERSION", version, "0600"),
        (b"backup_label", label, "0640"),
        (b"base/1/\xff\xfe", odd, "0600"),
        (b"global/pg_control", control, "0600"),
    ):
        files.add(path, content, [(pack, at, len(content))], mode)
        at += len(content)
    files.add(b"base/1/empty", b"", [])


def pages_table(content: bytes) -> bytes:
    """The entries of a file's pages."""
    pages = (content[at : at + PAGE] for at in range(0, len(content), PAGE))
    return b"".join(page_entry(DIGEST_KEY, page) for page in pages)


def write_third(folder: Path, pages: list[bytes]) -> None:
    """A backup with a map and page digests, on top of what is there."""
    repository = Repository(folder / "repository", SYSTEM, KEY)
    name = f"{SYSTEM}/backup/{SECOND}/manifest"
    stored = (folder / "repository" / name).read_bytes()
    with ObjTool(folder / "key") as tool:
        identity = Identity(objects.KIND_MANIFEST, SYSTEM, f"backup/{SECOND}/manifest")
        lines = [json.loads(line) for line in tool.open(identity, stored).splitlines()]
    packs = [line for line in lines if line["type"] == "pack"]
    by_owner = {(line["backup"], line["n"]): line for line in packs}
    third = Backup(repository, THIRD, frame_size=16384, bases=[SECOND])
    third.summary = summary(0x600028, "golden, with a map")
    third.summary |= {"full": FULL, "digest_key": DIGEST_KEY.hex()}
    third.put_start()
    made = Files(third)
    add_common(made, b"START WAL LOCATION: 0/600028\n")
    third.refer_to_line(by_owner[FULL, 1])
    third.refer_to_line(by_owner[SECOND, 1])
    # An index is left out, and the parts of the file lie in four places.
    own = third.put_pack([(b"base/1/1259", PAGE, pages[5])])
    third.packs[own]["pack"] = own + 1
    table = pages[0] + pages[5] + pages[4] + bytes(PAGE) + pages[2] + b"end"
    tail = third.put_pack([(b"base/1/1259", 5 * PAGE, b"end")])
    third.packs[tail]["pack"] = tail + 1
    extents = [
        (FULL, 1, 0, PAGE),
        (THIRD, 1, 0, PAGE),
        (SECOND, 1, PAGE, PAGE),
        (None, 0, 0, PAGE),
        (FULL, 1, 2 * PAGE, PAGE),
        (THIRD, 2, 0, 3),
    ]
    where, entries = encode_map(extents, PAGE), pages_table(table)
    digest = third.put_digest(where + entries)
    made.add(b"base/1/1259", table, [])
    del third.files[-1]["extents"]
    third.files[-1]["map"] = [[digest, 0, len(where)]]
    third.files[-1]["pages"] = [[digest, len(where), len(entries)]]
    sizes = [len(base64.b64decode(line["header"])) for line in third.digests]
    third.put_manifest(
        requires=["maps"],
        digests=1,
        digest_bytes=sum(sizes) + sum(third.digests[0]["frames"]),
    )
    for number in (5, 6):
        name = f"wal/00000001/0000000100000000{number:08X}"
        repository.put(objects.KIND_WAL, name, objects.cut(wal_segment(number)))
    index = json.loads((folder / "repository.json").read_bytes())
    write_json(folder / "repository.json", {**index, THIRD: made.index})


def write_fourth(folder: Path, pages: list[bytes]) -> None:
    """A backup whose packs another could use, had it died."""
    repository = Repository(folder / "repository", SYSTEM, KEY)
    fourth = Backup(repository, FOURTH, frame_size=16384)
    fourth.summary = summary(0x800028, "golden, whose packs tell their frames")
    fourth.summary |= {"full": FOURTH, "digest_key": DIGEST_KEY.hex()}
    fourth.put_start()
    made = Files(fourth)
    add_common(made, b"START WAL LOCATION: 0/800028\n")
    table = b"".join(pages[1:5]) + b"end"
    pack = fourth.put_pack([(b"base/1/1259", 0, table)], pages_table)
    made.add(b"base/1/1259", table, [(pack, 0, len(table))])
    fourth.put_manifest()
    for number in (7, 8):
        name = f"wal/00000001/0000000100000000{number:08X}"
        repository.put(objects.KIND_WAL, name, objects.cut(wal_segment(number)))
    index = json.loads((folder / "repository.json").read_bytes())
    write_json(folder / "repository.json", {**index, FOURTH: made.index})


def write_repository(folder: Path) -> None:
    repository = Repository(folder / "repository", SYSTEM, KEY)
    pages = [noise(PAGE, f"page {number}") for number in range(5)]
    full = Backup(repository, FULL, frame_size=16384)
    full.summary = summary(0x200028, "golden")
    full.put_start()
    made = Files(full)
    add_common(made, b"START WAL LOCATION: 0/200028\n")
    table = pages[0] + pages[1] + bytes(PAGE) + pages[2]
    pack = full.put_pack(
        [
            (b"base/1/1259", 0, pages[0] + pages[1]),
            (b"base/1/1259", 3 * PAGE, pages[2]),
        ]
    )
    size = 2 * PAGE
    extents = [(pack, 0, size), (-1, 0, PAGE), (pack, size, PAGE)]
    made.add(b"base/1/1259", table, extents)
    full.put_manifest()

    second = Backup(repository, SECOND, frame_size=16384, bases=[FULL])
    second.summary = summary(0x400028, "golden, on top of the other")
    second.put_start()
    changed = Files(second)
    add_common(changed, b"START WAL LOCATION: 0/400028\n")
    older = second.refer_to_pack_of(full, pack)
    newer = second.put_pack([(b"base/1/1259", PAGE, pages[3] + pages[4])])
    table = pages[0] + pages[3] + pages[4] + pages[2]
    extents = [(older, 0, PAGE), (newer, 0, size), (older, size, PAGE)]
    changed.add(b"base/1/1259", table, extents)
    second.put_manifest()

    for number in (2, 3, 4):
        name = f"wal/00000001/0000000100000000{number:08X}"
        plains = objects.cut(wal_segment(number))
        repository.put(objects.KIND_WAL, name, plains)
    index = {FULL: made.index, SECOND: changed.index}
    write_json(folder / "repository.json", index)


def main() -> None:
    folder = Path(sys.argv[1])
    pages = [noise(PAGE, f"page {number}") for number in range(6)]
    if len(sys.argv) > 2:
        {"third": write_third, "fourth": write_fourth}[sys.argv[2]](folder, pages)
        return
    folder.mkdir()
    (folder / "key").write_text(objects.key_line(KEY), encoding="utf-8")
    write_objects(folder)
    write_repository(folder)
    write_third(folder, pages)
    write_fourth(folder, pages)


if __name__ == "__main__":
    main()
