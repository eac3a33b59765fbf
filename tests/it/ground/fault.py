"""A proxy that is the bad network: it delays, throttles, cuts, hangs and lies.

It runs on a thread of the test process and is told what to do by a call.  It
reads requests as they pass, so it also knows exactly what was asked: a request
is on record before the server sees its last byte.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import re
import socket
import struct
import threading
import time
from collections.abc import AsyncIterator, Coroutine
from dataclasses import dataclass
from typing import Any

from .host import DEADLINE_S, free_ports

CRLF = "\r\n"
CHUNK = 65536
HEAD_MAX = 65536

_CODES = {
    400: "RequestTimeout",
    403: "AccessDenied",
    404: "NoSuchKey",
    409: "ConditionalRequestConflict",
    412: "PreconditionFailed",
    429: "TooManyRequests",
    500: "InternalError",
    501: "NotImplemented",
    503: "SlowDown",
}


@dataclass(frozen=True)
class Faults:
    """What befalls a connection; taken when it is accepted.

    delay_ms holds all bytes back that long, in each direction, and a new
    connection for one round trip; rate is in bytes per second and direction.
    cut_up and cut_down reset the connection after that many bytes from the
    client or of the answer.  refuse resets at once; hang takes the request and
    forwards nothing; eat lets the server see the request, then resets instead
    of handing over the answer, or, with mute, says nothing more; http answers
    with that status, early before the body was read.  These last three befall
    only requests whose "METHOD path" matches on, with conditional only those
    that carry If-None-Match, with whole none that carries Range.  first limits
    everything to so many connections.
    """

    delay_ms: float = 0
    rate: int = 0
    cut_up: int | None = None
    cut_down: int | None = None
    refuse: bool = False
    hang: bool = False
    eat: bool = False
    mute: bool = False
    http: int = 0
    code: str = ""
    headers: str = "Retry-After: 1\r\n"
    early: bool = False
    on: str = ""
    conditional: bool = False
    whole: bool = False
    first: int | None = None


@dataclass(frozen=True)
class Request:
    method: str
    path: str
    headers: dict[str, str]
    connection: int
    at: float  # time.monotonic()


@dataclass(eq=False)
class _Connection:
    number: int
    faults: Faults
    down_in: asyncio.StreamReader
    down_out: asyncio.StreamWriter
    up_out: asyncio.StreamWriter | None = None

    def reset(self) -> None:
        for writer in (self.down_out, self.up_out):
            if writer is not None:
                _reset(writer)


class _Cut(Exception):
    """The fault took its course; the connection is reset."""


class _Closed(Exception):
    """The proxy itself answered, and ended the connection in good order."""


def _reset(writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError, AttributeError):
        writer.get_extra_info("socket").setsockopt(
            socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
        )
    writer.transport.abort()


class FaultProxy:
    """Listens on a port of its own and passes everything to upstream_port.

    With raw=True the bytes are not looked at (TLS); no request is recorded
    then and only the faults of the connection itself work.
    """

    def __init__(self, upstream_port: int, *, raw: bool = False) -> None:
        self.port = free_ports()
        self.upstream_port = upstream_port
        self._raw = raw
        self._faults = Faults()
        self._left: int | None = None
        self._requests: list[Request] = []
        self._accepted = 0
        self._open: set[_Connection] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._lock = threading.Lock()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._server = self._call(
            asyncio.start_server(self._accept, "127.0.0.1", self.port, limit=HEAD_MAX)
        )

    # --- control, from the test's thread ------------------------------------

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def set(self, **faults: Any) -> None:
        """From the next connection on: exactly these faults, see Faults."""
        with self._lock:
            self._faults = dataclasses.replace(Faults(), **faults)
            self._left = self._faults.first

    def clear(self) -> None:
        self.set()

    @property
    def requests(self) -> list[Request]:
        """What was asked since the last forget(), in order."""
        with self._lock:
            return list(self._requests)

    def count(self, method: str = "", pattern: str = "") -> int:
        return sum(
            (not method or request.method == method)
            and re.search(pattern, request.path) is not None
            for request in self.requests
        )

    @property
    def connections(self) -> int:
        with self._lock:
            return self._accepted

    def forget(self) -> None:
        with self._lock:
            self._requests.clear()
            self._accepted = 0

    def reset_connections(self) -> None:
        """Resets every open connection, as a broken link would."""

        async def reset() -> None:
            for connection in list(self._open):
                connection.reset()

        self._call(reset())

    def stop(self) -> None:
        async def end() -> None:
            self._server.close()
            for connection in list(self._open):
                connection.reset()
            for task in list(self._tasks):
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

        self._call(end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _call(self, what: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(what, self._loop).result(DEADLINE_S)

    # --- a connection, on the proxy's thread --------------------------------

    def _take_faults(self) -> tuple[int, Faults]:
        with self._lock:
            self._accepted += 1
            if self._left is None:
                return self._accepted, self._faults
            if self._left <= 0:
                return self._accepted, Faults()
            self._left -= 1
            return self._accepted, self._faults

    async def _accept(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        number, faults = self._take_faults()
        connection = _Connection(number, faults, reader, writer)
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self._open.add(connection)
        try:
            await self._serve(connection)
        except _Closed:
            pass
        except (OSError, _Cut, asyncio.IncompleteReadError, asyncio.CancelledError):
            connection.reset()
        finally:
            self._open.discard(connection)
            self._tasks.discard(task)
            for end in (connection.down_out, connection.up_out):
                if end is not None:
                    end.close()

    async def _serve(self, connection: _Connection) -> None:
        faults = connection.faults
        if faults.refuse:
            raise _Cut
        if faults.delay_ms:
            await asyncio.sleep(2 * faults.delay_ms / 1000)
        if self._raw and faults.hang:
            await asyncio.Event().wait()
        up_in, connection.up_out = await asyncio.open_connection(
            "127.0.0.1", self.upstream_port, limit=HEAD_MAX
        )
        up = self._raw_up(connection) if self._raw else self._http_up(connection)
        await self._both(up, self._down(connection, up_in))

    @staticmethod
    async def _both(*parts: Coroutine[Any, Any, None]) -> None:
        """Until both directions have ended, or one of them failed."""
        tasks = [asyncio.ensure_future(part) for part in parts]
        try:
            await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _raw_up(self, connection: _Connection) -> None:
        assert connection.up_out is not None
        out, cut = connection.up_out, connection.faults.cut_up
        async with _Line(connection, out, cut) as line:
            while chunk := await connection.down_in.read(CHUNK):
                await line.send(chunk)
        _write_eof(connection.up_out)

    async def _http_up(self, connection: _Connection) -> None:
        assert connection.up_out is not None
        out, cut = connection.up_out, connection.faults.cut_up
        async with _Line(connection, out, cut) as line:
            while head := await _read_head(connection.down_in):
                request = self._record(head, connection.number)
                if self._intercepts(connection.faults, request):
                    await self._intercept(connection, request)
                    continue
                await line.send(head)
                async for chunk in _body(connection.down_in, request):
                    await line.send(chunk)
        _write_eof(connection.up_out)

    def _record(self, head: bytes, connection: int) -> Request:
        first, *lines = head.decode("latin-1").split("\r\n")
        method, path = (first.split(" ") + [""])[:2]
        headers = {}
        for text in lines:
            name, _, value = text.partition(":")
            if value:
                headers[name.strip().lower()] = value.strip()
        request = Request(method, path, headers, connection, time.monotonic())
        with self._lock:
            self._requests.append(request)
        return request

    @staticmethod
    def _intercepts(faults: Faults, request: Request) -> bool:
        if not (faults.http or faults.hang or faults.eat):
            return False
        if faults.conditional and "if-none-match" not in request.headers:
            return False
        if faults.whole and "range" in request.headers:
            return False
        return re.search(faults.on, f"{request.method} {request.path}") is not None

    async def _intercept(self, connection: _Connection, request: Request) -> None:
        faults = connection.faults
        if faults.hang:
            await asyncio.Event().wait()
        if faults.eat:
            await self._eat(connection, request)
        out = connection.down_out
        if not faults.early:
            if request.headers.get("expect", "").lower() == "100-continue":
                out.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            async for _ in _body(connection.down_in, request):
                pass
        code = faults.code or _CODES.get(faults.http, "InternalError")
        body = (
            '<?xml version="1.0" encoding="UTF-8"?>'
            f"<Error><Code>{code}</Code><Message>injected</Message>"
            "<RequestId>FAULT</RequestId></Error>"
        )
        if request.method == "HEAD":
            body = ""
        out.write(
            f"HTTP/1.1 {faults.http} Injected\r\n"
            "Content-Type: application/xml\r\n"
            f"Content-Length: {len(body)}\r\n"
            f"{faults.headers}{'Connection: close' + CRLF if faults.early else ''}"
            f"\r\n{body}".encode()
        )
        await out.drain()
        if faults.early:
            # Closing with unread bytes would reset the connection, and the
            # client might lose the answer.
            _write_eof(out)
            while await connection.down_in.read(CHUNK):
                pass
            raise _Closed

    async def _eat(self, connection: _Connection, request: Request) -> None:
        """A request of its own to the server, whose answer nobody gets."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.upstream_port)
        names = dict(request.headers)
        expects = names.pop("expect", "").lower() == "100-continue"
        names["connection"] = "close"
        head = f"{request.method} {request.path} HTTP/1.1\r\n" + "".join(
            f"{name}: {value}\r\n" for name, value in names.items()
        )
        if expects:
            connection.down_out.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        writer.write(head.encode("latin-1") + b"\r\n")
        async for chunk in _body(connection.down_in, request):
            writer.write(chunk)
            await writer.drain()
        await reader.read()
        writer.close()
        if connection.faults.mute:
            await asyncio.Event().wait()
        raise _Cut

    async def _down(
        self, connection: _Connection, reader: asyncio.StreamReader
    ) -> None:
        out, cut = connection.down_out, connection.faults.cut_down
        async with _Line(connection, out, cut) as line:
            while chunk := await reader.read(CHUNK):
                await line.send(chunk)
        _write_eof(out)


class _Line:
    """One direction: bytes arrive late, slowly, or not beyond the cut.

    A delay holds every chunk back from the moment it came in, so it adds
    latency without taking bandwidth.
    """

    def __init__(
        self, connection: _Connection, out: asyncio.StreamWriter, cut: int | None
    ) -> None:
        self._connection = connection
        self._out = out
        self._faults = connection.faults
        self._cut = cut
        self._queue: asyncio.Queue[tuple[float, bytes] | None] = asyncio.Queue(512)
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> _Line:
        self._task = asyncio.ensure_future(self._deliver())
        # Its cut may come after the last send, when nobody asks for it.
        self._task.add_done_callback(lambda task: task.cancelled() or task.exception())
        return self

    async def __aexit__(self, kind: Any, error: Any, trace: Any) -> None:
        assert self._task is not None
        if kind is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            return
        await self._put(None)
        await self._task

    async def send(self, chunk: bytes) -> None:
        due = asyncio.get_running_loop().time() + self._faults.delay_ms / 1000
        await self._put((due, chunk))

    async def _put(self, item: tuple[float, bytes] | None) -> None:
        """Waits for room, but not for a line that was cut."""
        assert self._task is not None
        putting = asyncio.ensure_future(self._queue.put(item))
        await asyncio.wait({putting, self._task}, return_when=asyncio.FIRST_COMPLETED)
        if not putting.done():
            putting.cancel()
        if self._task.done():
            self._task.result()

    async def _deliver(self) -> None:
        loop = asyncio.get_running_loop()
        while (item := await self._queue.get()) is not None:
            due, chunk = item
            if due > loop.time():
                await asyncio.sleep(due - loop.time())
            if self._faults.rate:
                await asyncio.sleep(len(chunk) / self._faults.rate)
            if self._cut is not None:
                if len(chunk) >= self._cut:
                    self._out.write(chunk[: self._cut])
                    await self._out.drain()
                    await asyncio.sleep(0.05)
                    # At once, though the sender may not send more for long.
                    self._connection.reset()
                    raise _Cut
                self._cut -= len(chunk)
            self._out.write(chunk)
            await self._out.drain()


def _write_eof(writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        if writer.can_write_eof():
            writer.write_eof()


async def _read_head(reader: asyncio.StreamReader) -> bytes:
    """A request's head with its empty line; nothing at the end."""
    try:
        return await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError as error:
        if error.partial:
            raise
        return b""


async def _body(reader: asyncio.StreamReader, request: Request) -> AsyncIterator[bytes]:
    """The body as it comes, chunked framing included."""
    if "chunked" in request.headers.get("transfer-encoding", "").lower():
        while True:
            size_line = await reader.readline()
            size = int(size_line.split(b";")[0], 16)
            yield size_line + await reader.readexactly(size + 2)
            if size == 0:
                return
    left = int(request.headers.get("content-length", "0"))
    while left:
        chunk = await reader.read(min(left, CHUNK))
        if not chunk:
            raise asyncio.IncompleteReadError(b"", left)
        left -= len(chunk)
        yield chunk
