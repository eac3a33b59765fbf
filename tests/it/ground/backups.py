"""A small writer of whole backups into a directory repository (FORMAT.md, 4)."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from . import objects
from .objects import Identity

Line = dict[str, Any]
Extent = tuple[int, int, int]  # pack, position, length


def crc32c_hex(data: bytes) -> str:
    """Bit by bit: for small files only, and nobody else's code."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return f"{crc ^ 0xFFFFFFFF:08x}"


def path_of(path: bytes) -> Line:
    try:
        return {"path": path.decode()}
    except UnicodeDecodeError:
        return {"path_hex": path.hex()}


def text_of(lines: list[Line]) -> bytes:
    return b"".join(json.dumps(line).encode() + b"\n" for line in lines)


def varint(value: int) -> bytes:
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes(out) + bytes([value])


def encode_map(extents: list[tuple[str | None, int, int, int]], unit: int) -> bytes:
    """A part's map: backup (None: zeros), pack's number, position, length."""

    def scaled(value: int) -> bytes:
        return varint(value // unit * 2 if value % unit == 0 else value * 2 + 1)

    sources = list(dict.fromkeys(e[0] for e in extents if e[0] is not None))
    ends = dict.fromkeys(sources, 0)
    out = varint(unit) + varint(len(sources))
    out += b"".join(source.encode() for source in sources) + varint(len(extents))
    for source, number, position, length in extents:
        if source is None:
            out += varint(0) + scaled(length)
            continue
        address = number * 16777216 + position
        move = address - ends[source]
        ends[source] = address + length
        head = (sources.index(source) + 1) * 2
        if move == 0:
            out += varint(head) + scaled(length)
        else:
            zigzag = move * 2 if move > 0 else -move * 2 - 1
            out += varint(head + 1) + scaled(length) + scaled(zigzag)
    return out


@dataclass
class Repository:
    path: Path
    system_identifier: int
    key: bytes | None

    def put(
        self, kind: int, name: str, plains: list[bytes], size: int = objects.FRAME_SIZE
    ) -> list[bytes]:
        identity = Identity(kind, self.system_identifier, name)
        parts = objects.make_object(identity, plains, self.key, size)
        path = self.path / str(self.system_identifier) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"".join(parts))
        return parts


@dataclass
class Backup:
    """A backup in the making; its packs and files are in the order of calls."""

    repository: Repository
    identifier: str
    frame_size: int = objects.FRAME_SIZE
    bases: list[str] = field(default_factory=list)
    summary: Line = field(default_factory=dict)
    head: list[Line] = field(default_factory=list)  # before the dirs
    dirs: list[Line] = field(default_factory=list)
    files: list[Line] = field(default_factory=list)
    digests: list[Line] = field(default_factory=list)
    packs: list[Line] = field(default_factory=list)
    stored: dict[str, int] = field(default_factory=dict)  # bytes, by backup

    def put_start(self) -> None:
        members = {
            "format": 1,
            "id": self.identifier,
            "bases": self.bases,
            "time": "2026-01-02T03:04:05Z",
            "host": "host",
            "user": "postgres",
            "pid": 1,
            "walship_version": "0.1.0",
        }
        name = f"backup/{self.identifier}/start"
        self.repository.put(objects.KIND_START, name, [text_of([members])])

    def put_pack(
        self,
        chunks: list[tuple[bytes, int, bytes]],
        pages: Callable[[bytes], bytes] | None = None,
    ) -> int:
        """Chunks are path, offset and content; the pack's index.

        pages tells the entries of a chunk's pages; then the table is one that a
        later backup can use.
        """
        own = sum(line["backup"] == self.identifier for line in self.packs)
        name = f"backup/{self.identifier}/pack/{own:08x}"
        table = [
            {
                **path_of(path),
                "at": at,
                "length": len(data),
                "crc32c": crc32c_hex(data),
                **({"pages": base64.b64encode(pages(data)).decode()} if pages else {}),
            }
            for path, at, data in chunks
        ]
        data = b"".join(data for _, _, data in chunks)
        plains = [text_of(table), *objects.cut(data, self.frame_size)]
        if pages is not None:
            # How long a frame is does not depend on the object that it is in.
            system = self.repository.system_identifier
            identity = Identity(objects.KIND_PACK, system, name)
            parts = objects.make_object(
                identity, plains, self.repository.key, self.frame_size
            )
            plains[0] += text_of([{"frames": [len(part) for part in parts[2:]]}])
        # The table may not be longer than a frame either.
        assert len(plains[0]) <= self.frame_size
        parts = self.repository.put(objects.KIND_PACK, name, plains, self.frame_size)
        return self.refer(self.identifier, own, parts)

    def put_digest(self, data: bytes) -> int:
        """A digest object of these bytes; its index."""
        number = len(self.digests)
        name = f"backup/{self.identifier}/digest/{number:08x}"
        plains = [b"{}\n", *objects.cut(data, self.frame_size)]
        parts = self.repository.put(objects.KIND_DIGEST, name, plains, self.frame_size)
        self.digests.append(
            {
                "type": "digest",
                "digest": number,
                "backup": self.identifier,
                "n": number,
                "header": base64.b64encode(parts[0]).decode(),
                "frames": [len(part) for part in parts[1:]],
            }
        )
        return number

    def refer(self, backup: str, number: int, parts: list[bytes]) -> int:
        self.packs.append(
            {
                "type": "pack",
                "pack": len(self.packs),
                "backup": backup,
                "n": number,
                "header": base64.b64encode(parts[0]).decode(),
                "frames": [len(part) for part in parts[1:]],
            }
        )
        self.stored[backup] = self.stored.get(backup, 0) + sum(map(len, parts))
        return len(self.packs) - 1

    def refer_to_pack_of(self, older: Backup, index: int) -> int:
        return self.refer_to_line(older.packs[index])

    def refer_to_line(self, line: Line) -> int:
        """To a pack by its line in an older manifest."""
        self.packs.append({**line, "pack": len(self.packs)})
        size = len(base64.b64decode(line["header"])) + sum(line["frames"])
        self.stored[line["backup"]] = self.stored.get(line["backup"], 0) + size
        return len(self.packs) - 1

    def add_dir(self, path: bytes, mode: str = "0700") -> None:
        self.dirs.append({"type": "dir", **path_of(path), "mode": mode})

    def add_file(
        self, path: bytes, content: bytes, extents: list[Extent], **other: Any
    ) -> None:
        line = {
            "type": "file",
            **path_of(path),
            "mode": "0600",
            "mtime": 1767323045,
            "size": len(content),
            "crc32c": crc32c_hex(content),
            "extents": extents,
        }
        self.files.append({**line, **other})

    def put_manifest(self, **other: Any) -> None:
        """Summary and all the rest; other overrides members of the summary."""
        own = [line for line in self.packs if line["backup"] == self.identifier]
        own_bytes = self.stored.get(self.identifier, 0)
        summary = {
            "type": "summary",
            "format": 1,
            "requires": [],
            "id": self.identifier,
            "bases": self.bases,
            "system_identifier": str(self.repository.system_identifier),
            "files": len(self.files),
            "bytes": sum(line["size"] for line in self.files),
            "packs": len(own),
            "stored_bytes": own_bytes,
            "referenced_bytes": sum(self.stored.values()) - own_bytes,
            **self.summary,
            **other,
        }
        end = {
            "type": "end",
            "files": len(self.files),
            "dirs": len(self.dirs),
            "packs": len(self.packs),
        }
        if self.digests:
            end["digests"] = len(self.digests)
        lines = [*self.head, *self.dirs, *self.files]
        rest = [*lines, *self.digests, *self.packs, end]
        plains = [text_of([summary]), *objects.cut(text_of(rest))]
        name = f"backup/{self.identifier}/manifest"
        self.repository.put(objects.KIND_MANIFEST, name, plains)
