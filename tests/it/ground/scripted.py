"""An HTTP server that says exactly what a test wrote down, byte for byte."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import BinaryIO


@dataclass(frozen=True)
class Asked:
    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    @staticmethod
    def read(stream: BinaryIO, connection: socket.socket) -> Asked | None:
        first = stream.readline().decode("latin-1").split(" ")
        if len(first) < 2:
            return None
        headers: dict[str, str] = {}
        while line := stream.readline().decode("latin-1").strip():
            name, _, value = line.partition(":")
            headers[name.strip().lower()] = value.strip()
        if headers.get("expect", "").lower() == "100-continue":
            connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        body = stream.read(int(headers.get("content-length", "0")))
        return Asked(first[0], first[1], headers, body)


@dataclass(frozen=True)
class Say:
    """An answer: raw bytes, and whether the connection ends behind them.

    endless is repeated behind them for as long as the client listens.
    """

    raw: bytes
    close: bool = False
    endless: bytes = b""


def answer(
    code: int = 200,
    body: bytes = b"",
    *headers: str,
    length: int | None = -1,
    close: bool = False,
) -> Say:
    """An ordinary answer; length None leaves Content-Length out."""
    lines = [f"HTTP/1.1 {code} Scripted", *headers]
    if length is not None:
        lines.append(f"Content-Length: {len(body) if length < 0 else length}")
    return Say("\r\n".join([*lines, "", ""]).encode("latin-1") + body, close)


class Scripted:
    """Answers requests in turn with the given answers, the last one for ever."""

    def __init__(
        self,
        answers: Sequence[Say],
        *,
        host: str = "127.0.0.1",
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._answers = list(answers)
        self._asked: list[Asked] = []
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self._tls = tls
        self._host = f"[{host}]" if ":" in host else host
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._listener = socket.create_server((host, 0), family=family)
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def endpoint(self) -> str:
        return f"http{'s' if self._tls else ''}://{self._host}:{self.port}"

    @property
    def asked(self) -> list[Asked]:
        with self._lock:
            return list(self._asked)

    def choose(self, number: int, asked: Asked) -> Say:
        """The answer to a request, the number-th from 0 on."""
        return self._answers[min(number, len(self._answers) - 1)]

    def stop(self) -> None:
        """Ends every connection, too."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        with self._lock:
            for connection in self._open:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                with self._lock:
                    self._open.add(connection)
                threading.Thread(
                    target=self._serve, args=(connection,), daemon=True
                ).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            if self._tls is not None:
                connection = self._tls.wrap_socket(connection, server_side=True)
            stream = connection.makefile("rb")
            while (asked := Asked.read(stream, connection)) is not None:
                with self._lock:
                    number = len(self._asked)
                    self._asked.append(asked)
                say = self.choose(number, asked)
                if say.close and self._tls is None:
                    # The end comes with the last bytes, not after a pause in
                    # which the client could ask for more.
                    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, 1)
                connection.sendall(say.raw)
                while say.endless:
                    connection.sendall(say.endless)
                if say.close:
                    connection.shutdown(socket.SHUT_RDWR)
                    break
        with self._lock:
            self._open.discard(connection)
