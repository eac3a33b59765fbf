"""What may happen to stored objects, by accident or on purpose."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from random import Random

from .objects import Identity, with_checksum

Claim = tuple[Identity, bytes]  # the object that is asked for, and what is there
Mutation = Callable[["Stored", Sequence["Stored"], Random], Claim]


@dataclass(frozen=True)
class Stored:
    """An object of a store, cut into its header and frames."""

    identity: Identity
    data: bytes

    @property
    def header(self) -> bytes:
        return self.data[: 8 + struct.unpack_from("<I", self.data, 4)[0]]

    @property
    def frames(self) -> list[bytes]:
        found = []
        at = len(self.header)
        while at < len(self.data):
            magic, length = struct.unpack_from("<2I", self.data, at)
            if magic == 0x184D2A5D:
                length += struct.unpack_from("<I", self.data, at + 16)[0]
            found.append(self.data[at : at + 8 + length])
            at += 8 + length
        return found


def _join(header: bytes, frames: list[bytes]) -> bytes:
    return b"".join([header, *frames])


def flip_bits(one: Stored, others: Sequence[Stored], source: Random) -> Claim:
    data = bytearray(one.data)
    for _ in range(source.choice((1, 1, 1, 2, 8))):
        data[source.randrange(len(data))] ^= 1 << source.randrange(8)
    return one.identity, bytes(data)


def overwrite(one: Stored, _: Sequence[Stored], source: Random) -> Claim:
    at = source.randrange(len(one.data))
    run = min(source.randrange(1, 40), len(one.data) - at)
    filler = source.choice((bytes(run), source.randbytes(run)))
    return one.identity, one.data[:at] + filler + one.data[at + run :]


def truncate(one: Stored, _: Sequence[Stored], source: Random) -> Claim:
    return one.identity, one.data[: source.randrange(len(one.data))]


def extend(one: Stored, others: Sequence[Stored], source: Random) -> Claim:
    more = (
        bytes(source.randrange(1, 70)),
        source.randbytes(source.randrange(1, 70)),
        one.frames[-1],
        source.choice(others).frames[-1],
        source.choice(others).data,
    )
    return one.identity, one.data + source.choice(more)


def insert(one: Stored, _: Sequence[Stored], source: Random) -> Claim:
    at = source.randrange(len(one.data))
    more = source.randbytes(source.randrange(1, 40))
    return one.identity, one.data[:at] + more + one.data[at:]


def remove(one: Stored, _: Sequence[Stored], source: Random) -> Claim:
    at = source.randrange(len(one.data))
    return one.identity, one.data[:at] + one.data[at + source.randrange(1, 40) :]


def swap_frames(one: Stored, _: Sequence[Stored], source: Random) -> Claim:
    frames = one.frames
    source.shuffle(frames)
    return one.identity, _join(one.header, frames)


def repeat_frame(one: Stored, _: Sequence[Stored], source: Random) -> Claim:
    frames = one.frames
    frames.insert(source.randrange(len(frames) + 1), source.choice(frames))
    return one.identity, _join(one.header, frames)


def drop_frames(one: Stored, others: Sequence[Stored], source: Random) -> Claim:
    frames = one.frames
    for _ in range(source.randrange(1, len(frames) + 1)):
        del frames[source.choice((-1, source.randrange(len(frames))))]
    return one.identity, _join(one.header, frames)


def foreign_frame(one: Stored, others: Sequence[Stored], source: Random) -> Claim:
    """A frame of another object, at the place it had there if there is one."""
    frames = one.frames
    theirs = source.choice(others).frames
    at = source.randrange(len(frames))
    frames[at] = theirs[min(at, len(theirs) - 1)]
    return one.identity, _join(one.header, frames)


def foreign_header(one: Stored, others: Sequence[Stored], source: Random) -> Claim:
    """Another's header; half the time one that has the right name."""
    same = [other for other in others if other.identity == one.identity]
    header = source.choice(source.choice((same, others))).header
    return one.identity, _join(header, one.frames)


def rename(one: Stored, others: Sequence[Stored], source: Random) -> Claim:
    named = source.choice(others).identity
    cluster = one.identity.system_identifier
    return replace(named, system_identifier=cluster), one.data


def other_cluster(one: Stored, _: Sequence[Stored], source: Random) -> Claim:
    other = source.choice((0, 1, 2**63, one.identity.system_identifier ^ 3))
    return replace(one.identity, system_identifier=other), one.data


def forge_header(one: Stored, others: Sequence[Stored], source: Random) -> Claim:
    """A header changed on purpose, its checksum right again."""
    header = bytearray(one.header[:-16])
    claimed = source.choice(others).identity
    way = source.randrange(3)
    if way == 0:
        header[source.randrange(len(header))] ^= 1 << source.randrange(8)
        claimed = one.identity
    elif way == 1:
        struct.pack_into("<Q", header, 32, source.randrange(2000))
        claimed = one.identity
    else:
        name = claimed.name.encode()
        header[64:] = struct.pack("<H", len(name)) + name
        struct.pack_into("<I", header, 4, 74 + len(name))
        struct.pack_into("<Q", header, 24, claimed.system_identifier)
        header[16] = claimed.kind
    return claimed, _join(with_checksum(bytes(header)), one.frames)


ACCIDENTS: tuple[Mutation, ...] = (
    flip_bits,
    overwrite,
    truncate,
    extend,
    insert,
    remove,
    swap_frames,
    repeat_frame,
    drop_frames,
    foreign_frame,
    foreign_header,
    rename,
    other_cluster,
)


def mutate(
    one: Stored, others: Sequence[Stored], sealed: bool, source: Random
) -> tuple[str, Identity, bytes]:
    """A change, what is asked for, and what is found there.

    The outcome may be genuine by chance, as when a frame goes to its own place.
    Forged headers are only noticed with a key.
    """
    mutation = source.choice(ACCIDENTS + ((forge_header,) if sealed else ()))
    return (mutation.__name__, *mutation(one, others, source))
