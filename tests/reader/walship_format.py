"""Stored objects, read as common/FORMAT.md describes them (sections 1 to 3).

Written from that text alone: nothing here is shared with the programs.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path

import lz4.frame
from nacl.bindings import crypto_aead_xchacha20poly1305_ietf_decrypt as aead_open
from nacl.exceptions import CryptoError

HEADER_MAGIC, PLAIN_MAGIC, SEALED_MAGIC = 0x184D2A57, 0x184D2A5D, 0x184D2A5E
LZ4_MAGIC = 0x184D2204
FRAME_SIZE_MAX = 4194304
TAG_LENGTH = 16
BLOCK_SIZES = ((0x40, 65536), (0x50, 262144), (0x60, 1048576), (0x70, 4194304))

WAL, START, PACK, DIGEST, MANIFEST, MARK, REPORT = range(1, 8)
_BACKUP = r"backup/[0-9A-F]{16}-[0-9A-F]{8}-[0-9]{8}T[0-9]{6}Z"
_WAL = r"(?:[0-9A-F]{16}(?:\.partial|\.[0-9A-F]{8}\.backup)?|\.history)"
KINDS = (
    (WAL, rf"wal/([0-9A-F]{{8}})/\1{_WAL}(?:\.[0-9a-f]{{16}})?"),
    (START, rf"{_BACKUP}/start"),
    (PACK, rf"{_BACKUP}/pack/[0-9a-f]{{8}}"),
    (DIGEST, rf"{_BACKUP}/digest/[0-9a-f]{{8}}"),
    (MANIFEST, rf"{_BACKUP}/manifest"),
    (MARK, rf"{_BACKUP}/(?:keep|expired)"),
    (
        REPORT,
        r"report/[0-9]{8}T[0-9]{6}Z-(?:backup|restore|verify|expire|drill|extract)",
    ),
)

Keys = dict[bytes, bytes]  # by id; empty: objects are unsealed


class Corrupt(Exception):
    """What is stored is not what it should be."""


def require(truth: bool, what: str) -> None:
    if not truth:
        raise Corrupt(what)


def kind_of(name: str) -> int:
    """The kind that an object of this logical name has."""
    for kind, pattern in KINDS:
        if re.fullmatch(pattern, name):
            return kind
    raise Corrupt(f"{name} is not the name of an object")


def key_id(key: bytes) -> bytes:
    return blake2b(b"walship key id v1", digest_size=8, key=key).digest()


def read_key_file(path: Path) -> Keys:
    keys: Keys = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        words = re.match(r"walship-key-v1 ([0-9a-f]{16}) ([0-9a-f]{64})(?: |$)", line)
        require(words is not None, f"{path} holds a line that is no key")
        assert words is not None
        key = bytes.fromhex(words[2])
        require(key_id(key).hex() == words[1], f"{path} holds a damaged key")
        keys[key_id(key)] = key
    require(bool(keys), f"{path} holds no key")
    return keys


@dataclass(frozen=True)
class Header:
    kind: int
    sealed: bool
    frame_size: int
    system_identifier: int
    content_length: int
    name: str
    stored: bytes
    key: bytes  # of this object; empty if unsealed

    def open_frame(self, number: int, final: bool, stored: bytes) -> bytes:
        """The plaintext of one whole stored frame."""
        if self.sealed:
            lz4_frame = self._decrypt(number, final, stored)
        else:
            expected = struct.pack(
                "<5I", PLAIN_MAGIC, 20, number, final, len(stored) - 28
            )
            expected += self.stored[-16:-8]
            require(stored[:28] == expected, f"frame {number} is not in its place")
            lz4_frame = stored[28:]
        plain = self._decompress(lz4_frame)
        require(
            len(plain) > 0 or (self.content_length == number == 0 and final),
            f"frame {number} is empty",
        )
        return plain

    def _decrypt(self, number: int, final: bool, stored: bytes) -> bytes:
        prefix = struct.pack("<2I", SEALED_MAGIC, len(stored) - 8)
        require(stored[:8] == prefix, f"frame {number} is not one")
        nonce = struct.pack("<QB15x", number, final)
        try:
            return bytes(aead_open(stored[8:], self.stored, nonce, self.key))
        except (CryptoError, TypeError, ValueError):
            raise Corrupt(f"frame {number} is not authentic") from None

    def _decompress(self, frame: bytes) -> bytes:
        checksum = 0 if self.sealed else 4
        empty = len(frame) > 4 and not frame[4] & 0x08
        start = 7 if empty else 15
        require(len(frame) >= start + 4, "an LZ4 frame is too short")
        magic, flags, block_size = struct.unpack_from("<IBB", frame)
        size = 0 if empty else struct.unpack_from("<Q", frame, 6)[0]
        expected_flags = (0x68 if self.sealed else 0x7C) - (0x08 if empty else 0)
        require(magic == LZ4_MAGIC and flags == expected_flags, "bad LZ4 flags")
        require(size <= self.frame_size and (empty or size > 0), "bad LZ4 size")
        require(
            block_size == next(c for c, most in BLOCK_SIZES if size <= most),
            "bad LZ4 block size",
        )
        end = start + 4 + checksum
        if not empty:
            (block,) = struct.unpack_from("<I", frame, start)
            end += 4 + (block & 0x7FFFFFFF) + checksum
        require(len(frame) == end, "an LZ4 frame has another length")
        try:
            plain, used = lz4.frame.decompress(frame, return_bytes_read=True)
        except RuntimeError as error:
            raise Corrupt(str(error)) from None
        require(used == len(frame) and len(plain) == size, "bad LZ4 frame")
        return bytes(plain)


def read_header(data: bytes, system_identifier: int, name: str, keys: Keys) -> Header:
    """Parses a header and refuses one that is not of this object."""
    require(len(data) >= 8, "no header")
    magic, follows = struct.unpack_from("<2I", data)
    require(magic == HEADER_MAGIC and 75 <= follows <= 274, "no header")
    stored = data[: 8 + follows]
    require(len(stored) == 8 + follows, "the header is cut off")
    (
        ident,
        version,
        kind,
        sealed,
        zero,
        frame_size,
        system,
        length,
        identity,
        name_len,
    ) = struct.unpack_from("<7sBBBHIQQ8s16xH", stored, 8)
    require(ident == b"walship" and version == 1, "not a header of version 1")
    checksum = blake2b(stored[:-16], digest_size=16).digest()
    require(checksum == stored[-16:], "the header's checksum is wrong")
    require(follows == 74 + name_len and sealed <= 1 and zero == 0, "bad header")
    require(1 <= frame_size <= FRAME_SIZE_MAX, "bad frame size")
    require(stored[66:-16] == name.encode() and system == system_identifier, "renamed")
    require(kind == kind_of(name), "of another kind")
    key = b""
    if not keys:
        require(not sealed and identity == bytes(8), "sealed, and no key is given")
    else:
        require(sealed == 1, "not sealed")
        require(identity in keys, f"sealed with the unknown key {identity.hex()}")
        context = b"walship object key v1" + stored
        key = blake2b(context, digest_size=32, key=keys[identity]).digest()
    return Header(kind, bool(sealed), frame_size, system, length, name, stored, key)


def split_frames(header: Header, data: bytes) -> Iterator[bytes]:
    """The stored frames behind the header."""
    at = len(header.stored)
    require(at < len(data), "no frames")
    while at < len(data):
        if header.sealed:
            require(at + 8 <= len(data), "a frame is cut off")
            end = at + 8 + struct.unpack_from("<I", data, at + 4)[0]
        else:
            require(at + 28 <= len(data), "a frame is cut off")
            end = at + 28 + struct.unpack_from("<I", data, at + 16)[0]
        require(end <= len(data), "a frame is cut off")
        yield data[at:end]
        at = end


def open_object(
    data: bytes, system_identifier: int, name: str, keys: Keys
) -> list[bytes]:
    """The plaintexts of all frames of a whole object."""
    header = read_header(data, system_identifier, name, keys)
    frames = list(split_frames(header, data))
    plain = [
        header.open_frame(number, number == len(frames) - 1, frame)
        for number, frame in enumerate(frames)
    ]
    require(sum(map(len, plain)) == header.content_length, "another length")
    return plain
