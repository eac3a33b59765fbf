"""The digest of a page (FORMAT.md, 4.5), from the text alone."""

from __future__ import annotations

import hashlib
import struct
from functools import cache

from crc32c import crc32c
from nacl.encoding import RawEncoder
from nacl.hash import siphash24

DERIVATION = b"walship page digest v1"
MASK = 0xFFFFFFFF


@cache
def derived_key(key: bytes, words: int) -> tuple[int, ...]:
    text = b"".join(
        hashlib.blake2b(
            DERIVATION + struct.pack("<I", i), key=key, digest_size=64
        ).digest()
        for i in range(-(-words // 16))
    )
    return struct.unpack(f"<{len(text) // 4}I", text)


def page_entry(key: bytes, page: bytes) -> bytes:
    padded = page + bytes(-len(page) % 8)
    words = struct.unpack(f"<{len(padded) // 4}I", padded)
    k = derived_key(key, len(words) + 2)
    sums = [0, 0]
    for which in range(2):
        for i in range(0, len(words), 2):
            at = i + 2 * which
            first = (words[i] + k[at]) & MASK
            second = (words[i + 1] + k[at + 1]) & MASK
            sums[which] += first * second
    text = struct.pack("<3Q", *(s & (1 << 64) - 1 for s in sums), len(page))
    digest = siphash24(text, key, encoder=RawEncoder)
    return bytes(digest) + struct.pack("<I", crc32c(page))
