"""An HTTP proxy as companies have them: tunnels, plain requests, a password."""

from __future__ import annotations

import base64
import contextlib
import socket
import threading
from collections.abc import Mapping

from .scripted import Asked


class ForwardProxy:
    """Passes on what is asked of it, to where routes says or as named.

    refuse answers every request with that code instead.
    """

    def __init__(
        self,
        routes: Mapping[str, int] | None = None,
        *,
        password: str | None = None,
        refuse: int | None = None,
    ) -> None:
        self._routes = routes
        self._password = password
        self._refuse = refuse
        self._asked: list[Asked] = []
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def asked(self) -> list[Asked]:
        with self._lock:
            return list(self._asked)

    def stop(self) -> None:
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
                threading.Thread(
                    target=self._serve, args=(connection,), daemon=True
                ).start()

    def _serve(self, connection: socket.socket) -> None:
        with self._lock:
            self._open.add(connection)
        with connection, contextlib.suppress(OSError):
            stream = connection.makefile("rb")
            asked = Asked.read(stream, connection)
            if asked is not None:
                with self._lock:
                    self._asked.append(asked)
                self._answer(connection, asked)
        with self._lock:
            self._open.discard(connection)

    def _answer(self, connection: socket.socket, asked: Asked) -> None:
        code = self._refuse
        if self._password is not None:
            wanted = base64.b64encode(self._password.encode()).decode()
            if asked.headers.get("proxy-authorization") != f"Basic {wanted}":
                code = 407
        if code is not None:
            hint = 'Proxy-Authenticate: Basic realm="p"\r\n' if code == 407 else ""
            connection.sendall(
                f"HTTP/1.1 {code} No\r\n{hint}Content-Length: 0\r\n"
                "Connection: close\r\n\r\n".encode()
            )
        elif asked.method == "CONNECT":
            with self._reach(asked.path) as upstream:
                connection.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
                threading.Thread(
                    target=_copy, args=(upstream, connection), daemon=True
                ).start()
                _copy(connection, upstream)
        else:
            self._pass_on(connection, asked)

    def _pass_on(self, connection: socket.socket, asked: Asked) -> None:
        """A request with the whole url in it; one to a connection."""
        authority, _, path = asked.path.removeprefix("http://").partition("/")
        hop = {"proxy-authorization", "proxy-connection", "connection"}
        lines = [f"{asked.method} /{path} HTTP/1.1", "connection: close"]
        lines += [f"{n}: {v}" for n, v in asked.headers.items() if n not in hop]
        with self._reach(authority) as upstream:
            head = "\r\n".join([*lines, "", ""]).encode("latin-1")
            upstream.sendall(head + asked.body)
            _copy(upstream, connection)

    def _reach(self, authority: str) -> socket.socket:
        host, _, port = authority.rpartition(":")
        if self._routes is not None:
            return socket.create_connection(("127.0.0.1", self._routes[host]))
        return socket.create_connection((host.strip("[]"), int(port)))


def _copy(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
    with contextlib.suppress(OSError):
        target.shutdown(socket.SHUT_WR)
