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
PACK_DATA_MAX = 16777216
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


@dataclass(frozen=True)
class Pack:
    backup: str
    number: int
    header: bytes
    frames: list[int]

    @property
    def name(self) -> str:
        return f"backup/{self.backup}/pack/{self.number:08x}"

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
    packs: list[Pack] = field(default_factory=list)


def parse_file(line: Line, config: bool = False) -> File:
    path = path_member(line, "path")
    check_components(path[1:] if config and path.startswith(b"/") else path)
    extents = member(line, "extents", list)
    require(len(extents) <= EXTENTS_MAX, "too many extents")
    for extent in extents:
        require(
            type(extent) is list
            and len(extent) == 3
            and all(type(number) is int for number in extent),
            f"{path!r} has a strange extent",
        )
        pack, position, length = extent
        require(
            pack >= -1
            and position >= 0
            and length > 0
            and (pack >= 0 or position == 0),
            f"{path!r} has a strange extent",
        )
    size = count(line, "size")
    require(sum(extent[2] for extent in extents) == size, f"{path!r} has another size")
    return File(
        path,
        0o600 if config else mode_of(line),
        0 if config else member(line, "mtime", int),
        size,
        crc_of(line),
        [(pack, position, length) for pack, position, length in extents],
    )


def parse_pack(line: Line, index: int) -> Pack:
    require(member(line, "pack", int) == index, "a pack is not in its order")
    frames = member(line, "frames", list)
    require(
        len(frames) > 0 and all(type(size) is int and size > 0 for size in frames),
        f"pack {index} has strange frames",
    )
    try:
        header = base64.b64decode(member(line, "header", str), validate=True)
    except ValueError:
        raise Corrupt(f"pack {index} has no header") from None
    return Pack(member(line, "backup", str), count(line, "n"), header, frames)


def parse_summary(first: bytes, repository: Repository, backup: str) -> Line:
    lines = list(parse_lines(first))
    require(len(lines) == 1, "the summary is not by itself")
    summary = lines[0]
    require(summary.get("type") == "summary", "no summary")
    unknown = member(summary, "requires", list)
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
        manifest.packs.append(parse_pack(line, len(manifest.packs)))
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
    for name in ("files", "dirs", "packs"):
        require(count(end, name) == len(getattr(manifest, name)), f"not all {name}")
    for files in (manifest.files, manifest.configs):
        paths = {file.path for file in files}
        require(len(paths) == len(files), "a path occurs twice")
    require(
        manifest.dirs.keys().isdisjoint(file.path for file in manifest.files),
        "a path occurs twice",
    )
    for file in manifest.files + manifest.configs:
        for pack, position, length in file.extents:
            require(pack < len(manifest.packs), f"{file.path!r} needs an unknown pack")
            require(
                pack < 0 or position + length <= PACK_DATA_MAX,
                f"{file.path!r} crosses a pack",
            )
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
    check_table(pack.name, plain[0], data)
    return data


def check_table(name: str, table: bytes, data: bytes) -> None:
    at = 0
    for line in parse_lines(table):
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
        self.packs = packs
        self.kept: dict[int, bytes] = {}

    def data(self, index: int) -> bytes:
        data = self.kept.pop(index, None)
        if data is None:
            data = read_pack(self.repository, self.packs[index])
            if len(self.kept) == PACKS_IN_MEMORY:
                del self.kept[next(iter(self.kept))]
        self.kept[index] = data
        return data

    def content(self, file: File) -> Iterator[bytes]:
        """A file's bytes; fails at the end if they are not the file's."""
        crc = 0
        for index, position, length in file.extents:
            for piece in self._extent(index, position, length):
                crc = crc32c(piece, crc)
                yield piece
        require(crc == file.crc, f"{file.path!r} has another checksum")

    def _extent(self, index: int, position: int, length: int) -> Iterator[bytes]:
        if index >= 0:
            piece = self.data(index)[position : position + length]
            require(len(piece) == length, f"pack {index} is too short")
            yield piece
            return
        while length > 0:
            yield ZEROS[:length]
            length -= min(length, len(ZEROS))


# --- rebuilding ---------------------------------------------------------------


def make_empty_dir(path: bytes) -> None:
    os.makedirs(path, exist_ok=True)
    require(not os.listdir(path), f"{os.fsdecode(path)} is not empty")


def write_file(path: bytes, file: File, packs: Packs) -> None:
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "xb") as out:
        for piece in packs.content(file):
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
    packs = Packs(repository, manifest.packs)
    root = os.fsencode(target.absolute())
    make_empty_dir(root)
    place_tablespaces(manifest, root, places)
    for path in [b"pg_wal/archive_status", *manifest.dirs]:
        os.makedirs(os.path.join(root, path), exist_ok=True)
    for config in manifest.configs:
        for _ in packs.content(config):
            pass
    last: Callable[[File], bool] = lambda file: file.path == CONTROL_FILE
    for file in sorted(manifest.files, key=last):
        write_file(os.path.join(root, file.path), file, packs)
    mode = mode_of(manifest.summary, "data_directory_mode")
    default = {b"pg_wal": mode, b"pg_wal/archive_status": mode, b"pg_tblspc": mode}
    for path, its_mode in {**default, **manifest.dirs}.items():
        os.chmod(os.path.join(root, path), its_mode)
    os.chmod(root, mode)
