"""A small writer of the stored format, to see that the readers read another's.

Follows common/FORMAT.md and shares nothing with the programs, nor with the
reader in tests/reader.
"""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass
from hashlib import blake2b

import lz4.frame
from nacl.bindings import crypto_aead_xchacha20poly1305_ietf_encrypt as aead_seal

FRAME_SIZE = 1048576
(
    KIND_WAL,
    KIND_START,
    KIND_PACK,
    KIND_DIGEST,
    KIND_MANIFEST,
    KIND_MARK,
    KIND_REPORT,
) = range(1, 8)
BLOCK_SIZES = (
    (65536, lz4.frame.BLOCKSIZE_MAX64KB),
    (262144, lz4.frame.BLOCKSIZE_MAX256KB),
    (1048576, lz4.frame.BLOCKSIZE_MAX1MB),
    (4194304, lz4.frame.BLOCKSIZE_MAX4MB),
)
EMPTY_SEALED = bytes.fromhex("04224d186040 82 00000000")
EMPTY_PLAIN = bytes.fromhex("04224d187440 bd 00000000 055dcc02")


@dataclass(frozen=True)
class Identity:
    kind: int
    system_identifier: int
    name: str


def key_id(key: bytes) -> bytes:
    return blake2b(b"walship key id v1", digest_size=8, key=key).digest()


def key_line(key: bytes) -> str:
    return f"walship-key-v1 {key_id(key).hex()} {key.hex()}\n"


def make_header(
    identity: Identity, length: int, key: bytes | None, frame_size: int = FRAME_SIZE
) -> bytes:
    name = identity.name.encode()
    header = struct.pack(
        "<II7sBBBHIQQ8s16sH",
        0x184D2A57,
        74 + len(name),
        b"walship",
        1,
        identity.kind,
        key is not None,
        0,
        frame_size,
        identity.system_identifier,
        length,
        key_id(key) if key else bytes(8),
        os.urandom(16),
        len(name),
    )
    return with_checksum(header + name)


def with_checksum(header: bytes) -> bytes:
    return header + blake2b(header, digest_size=16).digest()


def make_lz4_frame(plain: bytes, sealed: bool) -> bytes:
    if not plain:
        return EMPTY_SEALED if sealed else EMPTY_PLAIN
    block_size = next(code for most, code in BLOCK_SIZES if len(plain) <= most)
    frame: bytes = lz4.frame.compress(
        plain,
        block_size=block_size,
        block_linked=False,
        content_checksum=not sealed,
        block_checksum=not sealed,
        store_size=True,
    )
    return frame


def make_frame(
    header: bytes, number: int, final: bool, plain: bytes, key: bytes | None
) -> bytes:
    lz4_frame = make_lz4_frame(plain, sealed=key is not None)
    return make_frame_of(header, number, final, lz4_frame, key)


def make_frame_of(
    header: bytes, number: int, final: bool, lz4_frame: bytes, key: bytes | None
) -> bytes:
    """The stored frame of any LZ4 frame."""
    if key is None:
        place = (0x184D2A5D, 20, number, final, len(lz4_frame))
        return struct.pack("<5I", *place) + header[-16:-8] + lz4_frame
    context = b"walship object key v1" + header
    object_key = blake2b(context, digest_size=32, key=key).digest()
    nonce = struct.pack("<QB15x", number, final)
    sealed = aead_seal(lz4_frame, header, nonce, object_key)
    return struct.pack("<2I", 0x184D2A5E, len(sealed)) + bytes(sealed)


def make_object(
    identity: Identity,
    plains: list[bytes],
    key: bytes | None,
    frame_size: int = FRAME_SIZE,
) -> list[bytes]:
    """The header and the frames of an object of these plaintexts."""
    header = make_header(identity, sum(map(len, plains)), key, frame_size)
    last = len(plains) - 1
    return [header] + [
        make_frame(header, number, number == last, plain, key)
        for number, plain in enumerate(plains)
    ]


def cut(content: bytes, frame_size: int = FRAME_SIZE) -> list[bytes]:
    """Content in full frames; one empty frame if there is none."""
    starts = range(0, max(len(content), 1), frame_size)
    return [content[at : at + frame_size] for at in starts]
