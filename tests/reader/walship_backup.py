"""Base backups, read as common/FORMAT.md describes them (section 4).

Written from that text alone: nothing here is shared with the programs.
"""

from __future__ import annotations

import base64
import json
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from crc32c import crc32c
from walship_format import Corrupt, Keys, open_object, read_header, require

FORMAT = 1
FEATURES = {"maps"}
PACK_DATA_MAX = 16777216
PART_PAGES, ENTRY = 4096, 12
ID_LENGTH = 42
LINE_MAX, EXTENTS_MAX = 67108864, 1048576
ZEROS = bytes(1 << 20)
PACKS_IN_MEMORY = 4
CONTROL_FILE = b"global/pg_control"

T = TypeVar("T")
Line = dict[str, Any]
Extent = tuple[int, int, int]  # pack, position, length


@dataclass(frozen=True)
class Repository:
    """A directory repository, as one cluster sees it."""

    path: Path
    system_identifier: int
    keys: Keys

    def load(self, name: str) -> bytes:
        return (self.path / str(self.system_identifier) / name).read_bytes()

    def exists(self, name: str) -> bool:
        return (self.path / str(self.system_identifier) / name).exists()

    def frames(self, name: str) -> list[bytes]:
        return open_object(self.load(name), self.system_identifier, name, self.keys)


# --- lines --------------------------------------------------------------------


def parse_lines(text: bytes) -> Iterator[Line]:
    """The JSON objects of a text, of which each line holds one."""
    require(text.endswith(b"\n") or not text, "the last line is cut off")
    for number, line in enumerate(text.split(b"\n")[:-1], 1):
        require(len(line) <= LINE_MAX, f"line {number} is too long")
        try:
            parsed = json.loads(line.decode("utf-8"))
        except ValueError as error:
            raise Corrupt(f"line {number}: {error}") from None
        require(isinstance(parsed, dict), f"line {number} is not an object")
        yield parsed


def member(line: Line, name: str, kind: type[T]) -> T:
    value = line.get(name)
    require(type(value) is kind, f"{name} of {line.get('type', 'a line')} is wrong")
    return value  # type: ignore[return-value]


def count(line: Line, name: str) -> int:
    value = member(line, name, int)
    require(value >= 0, f"{name} is negative")
    return value


def pattern(line: Line, name: str, grammar: str) -> str:
    value = member(line, name, str)
    require(re.fullmatch(grammar, value) is not None, f'{name} is "{value}"')
    return value


def path_member(line: Line, name: str) -> bytes:
    try:
        if name in line:
            path = member(line, name, str).encode("utf-8")
        else:
            path = bytes.fromhex(member(line, f"{name}_hex", str))
    except ValueError:
        raise Corrupt(f"{name} is not text") from None
    require(path != b"" and b"\0" not in path, f"{name} is not one")
    return path


def check_components(path: bytes) -> bytes:
    bad = {b"", b".", b".."}
    require(not bad.intersection(path.split(b"/")), f"the path {path!r} leads astray")
    return path


def mode_of(line: Line, name: str = "mode") -> int:
    return int(pattern(line, name, "[0-7]{4}"), 8)


def crc_of(line: Line) -> int:
    return int(pattern(line, "crc32c", "[0-9a-f]{8}"), 16)


# --- manifest -----------------------------------------------------------------


@dataclass(frozen=True)
class File:
    path: bytes
    mode: int
    mtime: int
    size: int
    crc: int
    extents: list[Extent]
    maps: list[Extent]  # digest, position, length: as the next
    pages: list[Extent]


@dataclass(frozen=True)
class Pack:
    """A pack, or a digest object."""

    kind: str
    index: int
    backup: str
    number: int
    header: bytes
    frames: list[int]
    live: list[int]  # empty: all

    @property
    def name(self) -> str:
        return f"backup/{self.backup}/{self.kind}/{self.number:08x}"

    @property
    def stored_bytes(self) -> int:
        return len(self.header) + sum(self.frames)


@dataclass
class Manifest:
    summary: Line
    tablespaces: dict[int, bytes] = field(default_factory=dict)
    configs: list[File] = field(default_factory=list)
    dirs: dict[bytes, int] = field(default_factory=dict)
    files: list[File] = field(default_factory=list)
    digests: list[Pack] = field(default_factory=list)
    packs: list[Pack] = field(default_factory=list)


def parse_file(line: Line, config: bool = False) -> File:
    path = path_member(line, "path")
    check_components(path[1:] if config and path.startswith(b"/") else path)
    size = count(line, "size")
    extents, maps = [], []
    if "map" in line:
        require("extents" not in line, f"{path!r} has extents and a map")
        maps = triples(line, "map")
        require(len(maps) > 0, f"{path!r} has no map")
    else:
        extents = triples(line, "extents")
        total = sum(extent[2] for extent in extents)
        require(total == size, f"{path!r} has another size")
    pages = triples(line, "pages") if "pages" in line else []
    for index, _, _ in maps + pages:
        require(index >= 0, f"{path!r} has a strange digest")
    return File(
        path,
        0o600 if config else mode_of(line),
        0 if config else member(line, "mtime", int),
        size,
        crc_of(line),
        extents,
        maps,
        pages,
    )


def triples(line: Line, name: str) -> list[Extent]:
    """Pieces of packs or digest objects, or zeros."""
    pieces = member(line, name, list)
    require(len(pieces) <= EXTENTS_MAX, f"too many {name}")
    for piece in pieces:
        require(
            type(piece) is list
            and len(piece) == 3
            and all(type(number) is int for number in piece),
            f"{name} has a strange extent",
        )
        index, position, length = piece
        require(
            index >= -1
            and position >= 0
            and length > 0
            and (index >= 0 or position == 0),
            f"{name} has a strange extent",
        )
    return [(index, position, length) for index, position, length in pieces]


def parse_pack(line: Line, kind: str, before: list[Pack]) -> Pack:
    index = count(line, kind)
    require(not before or index > before[-1].index, f"a {kind} is not in its order")
    frames = member(line, "frames", list)
    require(
        len(frames) > 0 and all(type(size) is int and size > 0 for size in frames),
        f"pack {index} has strange frames",
    )
    try:
        header = base64.b64decode(member(line, "header", str), validate=True)
    except ValueError:
        raise Corrupt(f"pack {index} has no header") from None
    live: list[int] = []
    if "live" in line:
        live = member(line, "live", list)
        require(
            len(live) == len(frames) - 1 and all(type(size) is int for size in live),
            f"{kind} {index} has strange lives",
        )
    backup = pattern(line, "backup", "[0-9A-F]{16}-[0-9A-F]{8}-[0-9]{8}T[0-9]{6}Z")
    return Pack(kind, index, backup, count(line, "n"), header, frames, live)


def parse_summary(first: bytes, repository: Repository, backup: str) -> Line:
    lines = list(parse_lines(first))
    require(len(lines) == 1, "the summary is not by itself")
    summary = lines[0]
    require(summary.get("type") == "summary", "no summary")
    unknown = set(member(summary, "requires", list)) - FEATURES
    require(not unknown, f"the manifest requires what is not known: {unknown}")
    require(count(summary, "format") == FORMAT, "of another format")
    require(member(summary, "id", str) == backup, "of another backup")
    require(
        member(summary, "system_identifier", str) == str(repository.system_identifier),
        "of another cluster",
    )
    return summary


def add_line(manifest: Manifest, line: Line) -> int:
    """Takes a line; the part of the manifest it belongs to."""
    kind = member(line, "type", str)
    if kind == "pack":
        manifest.packs.append(parse_pack(line, kind, manifest.packs))
        return 3
    if kind == "digest":
        manifest.digests.append(parse_pack(line, kind, manifest.digests))
        return 2
    if kind == "tablespace":
        location = path_member(line, "location")
        manifest.tablespaces[count(line, "oid")] = location
    elif kind == "setting":
        member(line, "name", str)
    elif kind == "config":
        manifest.configs.append(parse_file(line, config=True))
        require(manifest.configs[-1].path.startswith(b"/"), "a relative config")
    elif kind == "dir":
        path = check_components(path_member(line, "path"))
        require(path not in manifest.dirs, f"{path!r} occurs twice")
        manifest.dirs[path] = mode_of(line)
    elif kind == "file":
        manifest.files.append(parse_file(line))
    else:
        raise Corrupt(f'the manifest holds a line of type "{kind}"')
    return 1


def read_manifest(repository: Repository, backup: str) -> Manifest:
    first, *rest = repository.frames(f"backup/{backup}/manifest")
    manifest = Manifest(parse_summary(first, repository, backup))
    lines = list(parse_lines(b"".join(rest)))
    require(len(lines) > 0, "the manifest ends with its summary")
    parts = [add_line(manifest, line) for line in lines[:-1]]
    require(parts == sorted(parts), "the manifest's lines are out of order")
    check_manifest(manifest, lines[-1])
    return manifest


def check_manifest(manifest: Manifest, end: Line) -> None:
    """What the parts of a manifest say about each other."""
    require(end.get("type") == "end", "the manifest has no end")
    end.setdefault("digests", 0)
    for name in ("files", "dirs", "digests", "packs"):
        require(count(end, name) == len(getattr(manifest, name)), f"not all {name}")
    for files in (manifest.files, manifest.configs):
        paths = {file.path for file in files}
        require(len(paths) == len(files), "a path occurs twice")
    require(
        manifest.dirs.keys().isdisjoint(file.path for file in manifest.files),
        "a path occurs twice",
    )
    for objects in (manifest.packs, manifest.digests):
        owners = {(pack.backup, pack.number) for pack in objects}
        require(len(owners) == len(objects), "a pack occurs twice")
    for file in manifest.files + manifest.configs:
        check_pieces(file, file.extents, manifest.packs)
        check_pieces(file, file.maps + file.pages, manifest.digests)
    own = [p for p in manifest.packs if p.backup == manifest.summary["id"]]
    expected = {
        "files": len(manifest.files),
        "bytes": sum(file.size for file in manifest.files),
        "packs": len(own),
        "stored_bytes": sum(pack.stored_bytes for pack in own),
        "referenced_bytes": sum(p.stored_bytes for p in manifest.packs)
        - sum(p.stored_bytes for p in own),
    }
    for name, value in expected.items():
        require(
            count(manifest.summary, name) == value, f"the summary's {name} is wrong"
        )


def check_pieces(file: File, pieces: list[Extent], packs: list[Pack]) -> None:
    known = {pack.index for pack in packs} | {-1}
    for index, position, length in pieces:
        require(index in known, f"{file.path!r} needs an unknown pack")
        require(
            index < 0 or position + length <= PACK_DATA_MAX,
            f"{file.path!r} crosses a pack",
        )


# --- maps ---------------------------------------------------------------------


class MapParser:
    """One part's map, from its bytes."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0
        self.unit = 1

    def take(self, length: int) -> bytes:
        piece = self.data[self.at : self.at + length]
        require(len(piece) == length, "a map is cut off")
        self.at += length
        return piece

    def varint(self) -> int:
        value = 0
        for shift in range(0, 63, 7):
            byte = self.take(1)[0]
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                require(byte != 0 or shift == 0, "a number is longer than needed")
                return value
        raise Corrupt("a number is too long")

    def scaled(self) -> int:
        value = self.varint()
        return value // 2 if value % 2 else value // 2 * self.unit

    def extents(self) -> Iterator[tuple[str | None, int, int, int]]:
        """Backup (None: zeros), pack's number, position and length."""
        self.unit = self.varint()
        require(1 <= self.unit <= 65536, "a map has a strange unit")
        sources = [self.take(ID_LENGTH).decode("ascii") for _ in range(self.varint())]
        ends = [0] * len(sources)
        for _ in range(self.varint()):
            head, length = self.varint(), self.scaled()
            require(length > 0, "an extent is empty")
            if head == 0:
                yield None, 0, 0, length
                continue
            source = head // 2 - 1
            require(0 <= source < len(sources), "an extent has no source")
            address = ends[source]
            if head % 2:
                move = self.scaled()
                address += -((move + 1) // 2) if move % 2 else move // 2
            require(0 <= address < 1 << 56, "an extent has a strange place")
            ends[source] = address + length
            number, position = divmod(address, PACK_DATA_MAX)
            require(position + length <= PACK_DATA_MAX, "an extent crosses a pack")
            yield sources[source], number, position, length
        require(self.at == len(self.data), "a map goes on behind its end")


# --- packs --------------------------------------------------------------------


def read_pack(repository: Repository, pack: Pack) -> bytes:
    """The data of a pack, which is the very one that the manifest means."""
    header = read_header(
        pack.header, repository.system_identifier, pack.name, repository.keys
    )
    stored = repository.load(pack.name)
    require(
        header.stored == pack.header and stored.startswith(pack.header),
        f"{pack.name} is another object",
    )
    require(len(stored) == pack.stored_bytes, f"{pack.name} has another length")
    plain = []
    at = len(pack.header)
    for number, size in enumerate(pack.frames):
        final = number == len(pack.frames) - 1
        plain.append(header.open_frame(number, final, stored[at : at + size]))
        at += size
    require(
        sum(map(len, plain)) == header.content_length
        and all(len(frame) == header.frame_size for frame in plain[1:-1]),
        f"{pack.name} has frames of another length",
    )
    data = b"".join(plain[1:])
    require(len(data) <= PACK_DATA_MAX, f"{pack.name} is too long")
    if pack.kind == "pack":
        check_table(pack.name, plain[0], data, pack.frames[1:])
    return data


def check_table(name: str, table: bytes, data: bytes, frames: list[int]) -> None:
    at = 0
    lines = list(parse_lines(table))
    if lines and "frames" in lines[-1]:
        require(lines.pop()["frames"] == frames, f"{name}: its table has other frames")
    for line in lines:
        path = path_member(line, "path")
        count(line, "at")
        length = count(line, "length")
        require(
            crc32c(data[at : at + length]) == crc_of(line),
            f"{name}: the chunk of {path!r} has another checksum",
        )
        at += length
    require(at == len(data), f"{name}: its table tells another length")


class Packs:
    """The data of a manifest's packs, the last few of them kept."""

    def __init__(self, repository: Repository, packs: list[Pack]) -> None:
        self.repository = repository
        self.packs = {pack.index: pack for pack in packs}
        self.kept: dict[int, bytes] = {}

    def data(self, index: int) -> bytes:
        data = self.kept.pop(index, None)
        if data is None:
            data = read_pack(self.repository, self.packs[index])
            if len(self.kept) == PACKS_IN_MEMORY:
                del self.kept[next(iter(self.kept))]
        self.kept[index] = data
        return data

    def piece(self, index: int, position: int, length: int) -> bytes:
        piece = self.data(index)[position : position + length]
        require(len(piece) == length, f"pack {index} is too short")
        return piece

    def extent(self, index: int, position: int, length: int) -> Iterator[bytes]:
        if index >= 0:
            yield self.piece(index, position, length)
            return
        while length > 0:
            yield ZEROS[:length]
            length -= min(length, len(ZEROS))


class Contents:
    """The files of a backup."""

    def __init__(self, repository: Repository, manifest: Manifest) -> None:
        self.packs = Packs(repository, manifest.packs)
        self.digests = Packs(repository, manifest.digests)
        self.page_size = manifest.summary.get("page_size", 0)
        self.indexes = {(p.backup, p.number): p.index for p in manifest.packs}

    def extents(self, file: File) -> Iterator[Extent]:
        yield from file.extents
        part = PART_PAGES * self.page_size
        require(
            not file.maps or len(file.maps) == -(-file.size // part),
            f"{file.path!r} has a strange number of maps",
        )
        for number, place in enumerate(file.maps):
            total = 0
            parser = MapParser(self.digests.piece(*place))
            for backup, pack, position, length in parser.extents():
                index = -1
                if backup is not None:
                    require(
                        (backup, pack) in self.indexes,
                        f"{file.path!r} needs an unknown pack",
                    )
                    index = self.indexes[backup, pack]
                total += length
                yield index, position, length
            require(
                total == min(part, file.size - number * part),
                f"{file.path!r} has a map of another size",
            )

    def content(self, file: File) -> Iterator[bytes]:
        """A file's bytes; fails at the end if they are not the file's."""
        crc = 0
        for extent in self.extents(file):
            for piece in self.packs.extent(*extent):
                crc = crc32c(piece, crc)
                yield piece
        require(crc == file.crc, f"{file.path!r} has another checksum")

    def page_checksums(self, file: File) -> list[int]:
        """Of each page of a file that has page digests."""
        table = b"".join(self.digests.piece(*place) for place in file.pages)
        pages = -(-file.size // self.page_size)
        require(len(table) == pages * ENTRY, f"{file.path!r} has strange digests")
        starts = range(0, len(table), ENTRY)
        return [int.from_bytes(table[at + 8 : at + ENTRY], "little") for at in starts]


# --- rebuilding ---------------------------------------------------------------


def make_empty_dir(path: bytes) -> None:
    os.makedirs(path, exist_ok=True)
    require(not os.listdir(path), f"{os.fsdecode(path)} is not empty")


def write_file(path: bytes, file: File, contents: Contents) -> None:
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "xb") as out:
        for piece in contents.content(file):
            out.write(piece)
    os.chmod(path, file.mode)
    os.utime(path, (file.mtime, file.mtime))


def place_tablespaces(
    manifest: Manifest, target: bytes, places: dict[int, Path]
) -> None:
    """Directories pg_tblspc/<oid>, or links to where each is to lie."""
    require(places.keys() <= manifest.tablespaces.keys(), "no such tablespace")
    os.makedirs(os.path.join(target, b"pg_tblspc"), exist_ok=True)
    for oid, location in manifest.tablespaces.items():
        link = os.path.join(target, b"pg_tblspc/%d" % oid)
        if oid in places:
            place = os.fsencode(places[oid].absolute())
            make_empty_dir(place)
            os.symlink(place, link)
        elif location.startswith(b"/"):
            os.mkdir(link)
        elif location != b"pg_tblspc/%d" % oid:
            os.symlink(os.path.join(target, check_components(location)), link)


def rebuild_backup(
    repository: Repository, backup: str, target: Path, places: dict[int, Path]
) -> None:
    """Writes a whole backup below target, which is absent or empty.

    Until pg_control is there, as the last file, no server starts from it.
    """
    require(not repository.exists(f"backup/{backup}/expired"), f"{backup} has expired")
    manifest = read_manifest(repository, backup)
    contents = Contents(repository, manifest)
    root = os.fsencode(target.absolute())
    make_empty_dir(root)
    place_tablespaces(manifest, root, places)
    for path in [b"pg_wal/archive_status", *manifest.dirs]:
        os.makedirs(os.path.join(root, path), exist_ok=True)
    for config in manifest.configs:
        for _ in contents.content(config):
            pass
    last: Callable[[File], bool] = lambda file: file.path == CONTROL_FILE
    for file in sorted(manifest.files, key=last):
        write_file(os.path.join(root, file.path), file, contents)
    mode = mode_of(manifest.summary, "data_directory_mode")
    default = {b"pg_wal": mode, b"pg_wal/archive_status": mode, b"pg_tblspc": mode}
    for path, its_mode in {**default, **manifest.dirs}.items():
        os.chmod(os.path.join(root, path), its_mode)
    os.chmod(root, mode)
