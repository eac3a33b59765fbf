"""objtool: seals and opens stored objects with walship's own code."""

from __future__ import annotations

import os
import struct
import subprocess
from pathlib import Path
from types import TracebackType

from .objects import FRAME_SIZE, Identity

SOURCE = Path(__file__).resolve().parents[3]
OK, CORRUPT, AUTH = 0, 5, 7


class Refused(Exception):
    def __init__(self, status: int, message: str) -> None:
        super().__init__(f"status {status}: {message}")
        self.status = status
        self.message = message


class ObjTool:
    """One objtool process with a key file, or without any key."""

    def __init__(self, key_file: Path | None) -> None:
        build = Path(os.environ.get("WALSHIP_BUILD", SOURCE / "build"))
        program = build / "objtool"
        if not program.exists():
            raise AssertionError(f"{build} holds no objtool: build first")
        self._process = subprocess.Popen(
            [program, key_file or "-"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )

    def __enter__(self) -> ObjTool:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._process.communicate(timeout=60)
        if kind is None and self._process.returncode != 0:
            raise AssertionError(f"objtool ended with {self._process.returncode}")

    def seal(
        self, identity: Identity, content: bytes, frame_size: int = FRAME_SIZE
    ) -> bytes:
        return self._ask(b"s", identity, content, frame_size)

    def open(self, identity: Identity, stored: bytes) -> bytes:
        return self._ask(b"o", identity, stored)

    def open_frames(self, identity: Identity, stored: bytes) -> bytes:
        """Frame by frame, as a restore opens packs."""
        return self._ask(b"f", identity, stored)

    def _ask(
        self, op: bytes, identity: Identity, data: bytes, frame_size: int = FRAME_SIZE
    ) -> bytes:
        name = identity.name.encode()
        assert self._process.stdin and self._process.stdout
        self._process.stdin.write(
            op
            + struct.pack(
                "<BQIH",
                identity.kind,
                identity.system_identifier,
                frame_size,
                len(name),
            )
            + name
            + struct.pack("<I", len(data))
            + data
        )
        self._process.stdin.flush()
        status, length = struct.unpack("<BI", self._read(5))
        answer = self._read(length)
        if status != OK:
            raise Refused(status, answer.decode())
        return answer

    def _read(self, length: int) -> bytes:
        assert self._process.stdout
        data = self._process.stdout.read(length)
        if len(data) != length:
            raise AssertionError("objtool died")
        return data
