"""The stored format: two writers, two readers, files of a released version.

walship's own code is asked through objtool; the second reader is the one in
tests/reader, the second writer the one in ground/objects.py and backups.py.
"""

from __future__ import annotations

import hashlib
import json
import random
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import lz4.frame
import pytest

from ground import objects, roots
from ground.host import Result, run
from ground.mutations import Stored, mutate
from ground.objects import Identity
from ground.objtool import AUTH, CORRUPT, ObjTool, Refused
from ground.programs import Programs, write_config

SOURCE = Path(__file__).resolve().parents[2]
READER = SOURCE / "tests/reader/read_walship.py"
GOLDEN = SOURCE / "tests/golden/v1"
SYSTEM = 7300000000000000001
KEY, OTHER_KEY = bytes(range(32)), bytes(range(32, 64))
FULL = "0000000000200028-00000001-20260102T030405Z"
MUTATIONS_PER_OBJECT = 300

sys.path.insert(0, str(SOURCE / "tests/reader"))
import walship_format  # noqa: E402

NAMES = [
    (objects.KIND_WAL, "wal/00000001/000000010000000000000001"),
    (objects.KIND_WAL, "wal/00000001/000000010000000000000002.partial"),
    (objects.KIND_WAL, "wal/00000002/00000002.history"),
    (objects.KIND_START, f"backup/{FULL}/start"),
    (objects.KIND_PACK, f"backup/{FULL}/pack/00000000"),
    (objects.KIND_DIGEST, f"backup/{FULL}/digest/00000000"),
    (objects.KIND_MANIFEST, f"backup/{FULL}/manifest"),
    (objects.KIND_MARK, f"backup/{FULL}/keep"),
    (objects.KIND_MARK, f"backup/{FULL}/expired"),
    (objects.KIND_REPORT, "report/20260102T030405Z-backup"),
]
IDENTITIES = [Identity(kind, SYSTEM, name) for kind, name in NAMES]
IDS = [name for _, name in NAMES]
SHAPES = [  # length of the content, frame size
    (0, 64),
    (1, 1),
    (63, 64),
    (64, 64),
    (65, 64),
    (1000, 64),
    (65536, 65536),
    (65537, 1 << 20),
    (262145, 1 << 20),
    (1 << 20, 1 << 20),
    ((1 << 20) + 1, 4 << 20),
    ((1 << 20) + 1, 1 << 20),
]


def content_of(length: int, seed: int = 0) -> bytes:
    """Half noise, half repetition."""
    source = random.Random(seed)
    half = length // 2
    return (
        source.randbytes(half)
        + b"walship " * (half // 8)
        + bytes(length - half - half // 8 * 8)
    )


@pytest.fixture(params=[KEY, None], ids=["sealed", "unsealed"])
def key(request: pytest.FixtureRequest) -> bytes | None:
    found: bytes | None = request.param
    return found


@pytest.fixture
def tool(key: bytes | None, tmp_path: Path) -> Iterator[ObjTool]:
    with make_tool(key, tmp_path) as made:
        yield made


def make_tool(key: bytes | None, folder: Path) -> ObjTool:
    if key is None:
        return ObjTool(None)
    path = folder / f"key-{objects.key_id(key).hex()}"
    path.write_text(objects.key_line(key), encoding="utf-8")
    return ObjTool(path)


def keys_of(key: bytes | None) -> walship_format.Keys:
    return {objects.key_id(key): key} if key else {}


def python_open(identity: Identity, stored: bytes, key: bytes | None) -> bytes:
    frames = walship_format.open_object(
        stored, identity.system_identifier, identity.name, keys_of(key)
    )
    return b"".join(frames)


def write_object(
    identity: Identity, content: bytes, key: bytes | None, frame_size: int
) -> bytes:
    plains = objects.cut(content, frame_size)
    return b"".join(objects.make_object(identity, plains, key, frame_size))


# --- two writers and two readers --------------------------------------------------


@pytest.mark.parametrize("length, frame_size", SHAPES)
def test_python_reads_what_c_writes(
    tool: ObjTool, key: bytes | None, length: int, frame_size: int
) -> None:
    content = content_of(length)
    for identity in IDENTITIES if length < 10000 else IDENTITIES[:1]:
        stored = tool.seal(identity, content, frame_size)
        assert python_open(identity, stored, key) == content
        assert tool.open(identity, stored) == content
        assert tool.open_frames(identity, stored) == content


@pytest.mark.parametrize("length, frame_size", SHAPES)
def test_c_reads_what_python_writes(
    tool: ObjTool, key: bytes | None, length: int, frame_size: int
) -> None:
    content = content_of(length)
    for identity in IDENTITIES if length < 10000 else IDENTITIES[:1]:
        stored = write_object(identity, content, key, frame_size)
        assert tool.open(identity, stored) == content
        assert tool.open_frames(identity, stored) == content
        assert python_open(identity, stored, key) == content


@pytest.mark.parametrize("length, frame_size", SHAPES)
def test_stock_lz4_reads_unsealed_objects(
    tmp_path: Path, length: int, frame_size: int
) -> None:
    content = content_of(length)
    with ObjTool(None) as tool:
        stored = tool.seal(IDENTITIES[0], content, frame_size)
    path = tmp_path / "object"
    path.write_bytes(stored)
    printed = subprocess.run(["lz4", "-dc", path], capture_output=True, check=True)
    assert printed.stdout == content
    with lz4.frame.open(path) as file:
        assert file.read() == content


# --- what must not be opened ------------------------------------------------------


def assert_refused(
    tool: ObjTool, key: bytes | None, identity: Identity, stored: bytes, why: str
) -> None:
    """By each of the three ways to read; walship names the object."""
    for name, opening in (("whole", tool.open), ("frames", tool.open_frames)):
        try:
            opening(identity, stored)
        except Refused as refused:
            assert refused.status in (CORRUPT, AUTH), f"{name}: {why}: {refused}"
            assert identity.name in refused.message, f"{name}: {why}: {refused}"
        else:
            pytest.fail(f"delivered ({name}): {why}")
    try:
        python_open(identity, stored, key)
    except walship_format.Corrupt:
        return
    pytest.fail(f"delivered (Python): {why}")


def corpus(tool: ObjTool) -> list[Stored]:
    """Objects of every kind, of one and several frames, by walship's code.

    Of each name there are two with other content, as after a retry, and one
    of the same name is another cluster's.
    """
    made = []
    for number, identity in enumerate(IDENTITIES):
        others = replace(identity, system_identifier=SYSTEM + 1)
        for who, seed in ((identity, 1), (identity, 2), (others, 3)):
            content = content_of(150 + 40 * number, seed)
            made.append(Stored(who, tool.seal(who, content, 64)))
        small = content_of(30, number)
        made.append(Stored(identity, tool.seal(identity, small)))
    return made


def test_no_mutation_is_delivered(tool: ObjTool, key: bytes | None) -> None:
    seed = 20260806
    print(f"seed {seed}")
    source = random.Random(seed)
    stored = corpus(tool)
    genuine = {(one.identity, one.data) for one in stored}
    tried: dict[str, int] = {}
    for one in stored:
        tool.open(one.identity, one.data)
        for _ in range(MUTATIONS_PER_OBJECT):
            what, identity, data = mutate(one, stored, key is not None, source)
            if (identity, data) in genuine:
                continue
            why = f"{what} of {one.identity}, seed {seed}"
            assert_refused(tool, key, identity, data, why)
            tried[what] = tried.get(what, 0) + 1
    print(tried)
    assert sum(tried.values()) > len(stored) * MUTATIONS_PER_OBJECT * 0.9
    assert min(tried.values()) > 100


@pytest.mark.parametrize("identity", IDENTITIES, ids=IDS)
def test_unsealed_is_refused_with_a_key(identity: Identity, tmp_path: Path) -> None:
    with make_tool(KEY, tmp_path) as keyed, ObjTool(None) as plain:
        for content in (b"", b"content"):
            stored = plain.seal(identity, content)
            with pytest.raises(Refused) as refused:
                keyed.open(identity, stored)
            assert refused.value.status == CORRUPT
            assert_refused(keyed, KEY, identity, stored, "unsealed, with a key")


@pytest.mark.parametrize("identity", IDENTITIES, ids=IDS)
def test_sealed_is_refused_without_its_key(identity: Identity, tmp_path: Path) -> None:
    with make_tool(KEY, tmp_path) as keyed, ObjTool(None) as plain:
        with make_tool(OTHER_KEY, tmp_path) as other:
            for content in (b"", b"content"):
                stored = keyed.seal(identity, content)
                assert_refused(plain, None, identity, stored, "sealed, without a key")
                assert_refused(other, OTHER_KEY, identity, stored, "another's key")
                with pytest.raises(Refused) as refused:
                    other.open(identity, stored)
                assert refused.value.status == AUTH


# What only a broken or lying writer makes: every checksum in it is right.


def lz4_frame(content: bytes, sealed: bool, **options: Any) -> bytes:
    usual = {
        "block_size": lz4.frame.BLOCKSIZE_MAX64KB,
        "block_linked": False,
        "content_checksum": not sealed,
        "block_checksum": not sealed,
        "store_size": True,
    }
    frame: bytes = lz4.frame.compress(content, **{**usual, **options})
    return frame


def lz4_stream(pieces: list[bytes], sealed: bool, block_size: int) -> bytes:
    """The usual, but for as many blocks as pieces, and a chosen block size."""
    compressor = lz4.frame.LZ4FrameCompressor(
        block_size=block_size,
        block_linked=False,
        content_checksum=not sealed,
        block_checksum=not sealed,
        auto_flush=True,
    )
    parts = [compressor.begin(source_size=sum(map(len, pieces)))]
    parts += [compressor.compress(piece) for piece in pieces]
    return b"".join([*parts, compressor.flush()])


def crafted_frames(content: bytes, sealed: bool) -> dict[str, bytes]:
    """LZ4 frames that hold the content in ways that are not the format's."""
    good = lz4_frame(content, sealed)
    half = len(content) // 2
    return {
        "no content size": lz4_frame(content, sealed, store_size=False),
        "other block size": lz4_stream([content], sealed, 5),
        "two blocks": lz4_stream([content[:half], content[half:]], sealed, 4),
        "other checksums": lz4_frame(content, not sealed),
        "two LZ4 frames": lz4_frame(content[:half], sealed)
        + lz4_frame(content[half:], sealed),
        "bytes behind it": good + b"\0",
        "a skippable frame behind it": good + bytes.fromhex("502a4d1800000000"),
        "cut off": good[:-1],
        "content too long": lz4_frame(content * 2, sealed),
        "content too short": lz4_frame(content[:-1], sealed),
        "empty": objects.make_lz4_frame(b"", sealed),
    }


def crafted_objects(key: bytes | None) -> dict[str, bytes]:
    identity, content = IDENTITIES[0], content_of(96)
    half = len(content) // 2
    size = 96

    def made(plains: list[bytes], length: int, kind: int = identity.kind) -> bytes:
        header = objects.make_header(replace(identity, kind=kind), length, key, size)
        last = len(plains) - 1
        frames = [
            objects.make_frame(header, number, number == last, plain, key)
            for number, plain in enumerate(plains)
        ]
        return header + b"".join(frames)

    header = objects.make_header(identity, len(content), key, size)
    first = objects.make_frame(header, 0, False, content[:half], key)
    found = {
        "length too long": made([content], 97),
        "length too short": made([content], 95),
        "no length": made([content], 0),
        "content missing": made([b""], 96),
        "an empty frame behind it": made([content, b""], 96),
        "an empty frame before it": made([b"", content], 96),
        "another kind": made([content], 96, kind=objects.KIND_PACK),
        "an unknown kind": made([content], 96, kind=8),
        "a frame too large": made([content + b"x"], 97),
        "two final frames": header
        + objects.make_frame(header, 0, True, content[:half], key)
        + objects.make_frame(header, 1, True, content[half:], key),
        "no final frame": header
        + first
        + objects.make_frame(header, 1, False, content[half:], key),
        "numbered from 1": header + objects.make_frame(header, 1, True, content, key),
        "no frames": header,
    }
    for what, frame in crafted_frames(content, key is not None).items():
        found[what] = header + objects.make_frame_of(header, 0, True, frame, key)
    if key:
        forged = bytearray(header[:-16])
        forged[17] = 0
        plain = objects.with_checksum(bytes(forged))
        frame = objects.make_frame(plain, 0, True, content, None)
        found["unsealed, with the key's id"] = plain + frame
    return found


@pytest.mark.parametrize("what", sorted(crafted_objects(KEY)))
def test_malformed_objects_are_refused(
    tool: ObjTool, key: bytes | None, what: str
) -> None:
    stored = crafted_objects(key).get(what)
    if stored is not None:
        assert_refused(tool, key, IDENTITIES[0], stored, what)


# --- version 1, as it was released --------------------------------------------


def golden_objects() -> list[dict[str, Any]]:
    index: list[dict[str, Any]] = json.loads((GOLDEN / "objects.json").read_bytes())
    return index


def test_golden_objects(tool: ObjTool, key: bytes | None, tmp_path: Path) -> None:
    folder = GOLDEN / ("sealed" if key else "unsealed")
    for entry in golden_objects():
        identity = Identity(entry["kind"], SYSTEM, entry["name"])
        stored = (folder / identity.name).read_bytes()
        opened = [
            tool.open(identity, stored),
            tool.open_frames(identity, stored),
            python_open(identity, stored, key),
        ]
        if key is None:
            with lz4.frame.open(folder / identity.name) as file:
                opened.append(file.read())
        for content in opened:
            assert len(content) == entry["length"]
            assert hashlib.sha256(content).hexdigest() == entry["sha256"]


def test_golden_objects_are_all_there() -> None:
    names = {entry["name"] for entry in golden_objects()}
    for place in ("sealed", "unsealed"):
        files = (path for path in (GOLDEN / place).rglob("*") if path.is_file())
        assert {str(path.relative_to(GOLDEN / place)) for path in files} == names
    kinds = {entry["kind"] for entry in golden_objects()}
    assert kinds == set(range(objects.KIND_WAL, objects.KIND_REPORT + 1))


@pytest.fixture
def golden_config(work_dir: Path, repo_dir: Path, spool_dir: Path) -> Path:
    """The golden repository, where postgres can read it."""
    shutil.copytree(GOLDEN / "repository", repo_dir, dirs_exist_ok=True)
    shutil.copy(GOLDEN / "key", work_dir / "golden.key")
    run(["chown", "-R", roots.PG_USER, repo_dir, work_dir / "golden.key"]).check()
    (work_dir / "golden.key").chmod(0o600)
    return write_config(
        work_dir / "golden.conf",
        repository=f"file://{repo_dir}",
        key_file=work_dir / "golden.key",
        spool=spool_dir,
    )


def golden_backups() -> dict[str, list[dict[str, Any]]]:
    index: dict[str, list[dict[str, Any]]] = json.loads(
        (GOLDEN / "repository.json").read_bytes()
    )
    return index


def read_backup(repository: Path, backup: str, target: Path, *more: str) -> Result:
    arguments = [READER, "backup", repository, str(SYSTEM), backup, target]
    return run([*map(str, arguments), "--key-file", str(GOLDEN / "key"), *more])


def assert_restored(backup: str, target: Path, also: set[str]) -> None:
    """All files as they were; also names those that a restore writes itself."""
    expected = golden_backups()[backup]
    for file in expected:
        path = target / bytes.fromhex(file["path_hex"]).decode(errors="surrogateescape")
        content = path.read_bytes()
        assert len(content) == file["size"], path
        assert hashlib.sha256(content).hexdigest() == file["sha256"], path
        assert path.stat().st_mode & 0o7777 == int(file["mode"], 8), path
    files = [path for path in target.rglob("*") if path.is_file()]
    assert len(files) == len(expected) + len(also)
    assert all((target / name).is_file() for name in also)
    assert (target / "pg_wal/archive_status").is_dir()
    assert (target / "pg_notify").stat().st_mode & 0o7777 == 0o750
    assert target.stat().st_mode & 0o7777 == 0o700


@pytest.mark.parametrize("backup", sorted(golden_backups()))
def test_golden_backup_by_the_second_reader(backup: str, tmp_path: Path) -> None:
    read_backup(GOLDEN / "repository", backup, tmp_path / "data").check()
    assert_restored(backup, tmp_path / "data", also=set())


def test_golden_backups_are_listed(walship: Programs, golden_config: Path) -> None:
    done = walship.run("walship", "list", "--json", f"--config={golden_config}")
    listed = json.loads(done.check().out)
    assert [one["id"] for one in listed] == sorted(golden_backups())
    types = ["full", "incremental", "incremental", "full"]
    assert [one["type"] for one in listed] == types
    for one in listed:
        assert one["state"] == "complete"
        assert one["wal"] == "ok"
        assert one["files"] == len(golden_backups()[one["id"]])


@pytest.mark.parametrize("backup", sorted(golden_backups()))
def test_golden_backup_restores(
    walship: Programs, golden_config: Path, work_dir: Path, backup: str
) -> None:
    target = work_dir / "data"
    command = ["restore", backup, "--target-immediate", f"--target-dir={target}"]
    walship.run("walship", *command, f"--config={golden_config}").check()
    assert_restored(backup, target, {"recovery.signal", "postgresql.auto.conf"})


def test_golden_wal_by_the_second_reader(tmp_path: Path) -> None:
    name = "000000010000000000000003"
    arguments = [READER, "wal", GOLDEN / "repository", SYSTEM, name, tmp_path / "out"]
    run([*map(str, arguments), "--key-file", str(GOLDEN / "key")]).check()
    assert len((tmp_path / "out").read_bytes()) == 1 << 20
