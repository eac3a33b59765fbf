"""CRC-32C (Castagnoli) of a lot of data at once.

A long integer holds the data, the least significant bit first as the checksum
takes it.  The generator polynomial divides x^5685 + x^1362 + x^426 + 1, and so
its square, the square of that and so on, which have four terms each: with one
of these, a few shifts move the first bits of the data onto later ones that
have the same checksum.  What is left at the end is short.
"""

from __future__ import annotations

_MULTIPLE = (5685, 1362, 426)
_CHUNK = 1 << 20


def _table() -> list[int]:
    table = []
    for value in range(256):
        for _ in range(8):
            value = value >> 1 ^ (0x82F63B78 if value & 1 else 0)
        table.append(value)
    return table


_TABLE = _table()


def _bytewise(data: bytes, register: int) -> int:
    for byte in data:
        register = _TABLE[(register ^ byte) & 0xFF] ^ register >> 8
    return register


def _fold(data: bytes, register: int) -> bytes:
    """Few bytes, on which a register of 0 ends as that of data does."""
    left = 8 * len(data)
    bits = int.from_bytes(data, "little") ^ register
    square = 10
    while square >= 0:
        first, second, third = (power << square for power in _MULTIPLE)
        taken = (first - second) & ~7
        if left < first + taken:
            square -= 1
            continue
        head = bits & ((1 << taken) - 1)
        bits >>= taken
        bits ^= head << first - taken
        bits ^= head << first - second - taken
        bits ^= head << first - third - taken
        left -= taken
    return bits.to_bytes(left // 8, "little")


def crc32c(data: bytes, crc: int = 0) -> int:
    """The checksum of data, continued from that of what comes before it."""
    register = crc ^ 0xFFFFFFFF
    for at in range(0, len(data), _CHUNK):
        chunk = data[at : at + _CHUNK]
        if len(chunk) < 4:
            register = _bytewise(chunk, register)
        else:
            register = _bytewise(_fold(chunk, register), 0)
    return register ^ 0xFFFFFFFF
