"""The S3 store under stress: busy stores, broken connections, odd sizes."""

from __future__ import annotations

import gzip
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ground.credentials import Service
from ground.scripted import Asked, Say, Scripted, answer
from ground.storetool import StoreTool, requests, status

ETAG = 'ETag: "e"'
MEMORY_BYTES = 48 << 20


@pytest.fixture
def at() -> Iterator[Callable[[Scripted], StoreTool]]:
    """A store at a scripted server, which ends with the test."""
    running: list[Scripted] = []

    def tool(server: Scripted) -> StoreTool:
        running.append(server)
        return StoreTool(
            repository="s3://bucket/p",
            s3_endpoint=server.endpoint,
            s3_access_key_id="key-id",
            s3_secret_access_key="the-secret",
            stall_timeout="5s",
        )

    yield tool
    for server in running:
        server.stop()


At = Callable[[Scripted], StoreTool]


# --- a busy store -----------------------------------------------------------------

SLOW_DOWN = answer(503, b"<Error><Code>SlowDown</Code></Error>")


class Limited(Service):
    """Serves so many requests a second, and refuses the others.

    The seconds count from the first one that is too much: however slow the
    client is, there is one.
    """

    def __init__(self, rate: float, *, refusal: Say = SLOW_DOWN) -> None:
        self.rate, self.refusal = rate, refusal
        self.served = self.refused = 0
        self._room, self._at = rate / 4, time.monotonic()
        self._turn = threading.Lock()
        super().__init__(self._judge)

    def _judge(self, _: Asked) -> Say:
        with self._turn:
            now = time.monotonic()
            gained = (now - self._at) * self.rate if self.refused else 0
            self._room, self._at = min(self.rate / 4, self._room + gained), now
            if self._room < 1:
                self.refused += 1
                return self.refusal
            self._room -= 1
            self.served += 1
            return answer(200, b"", ETAG)


@pytest.mark.parametrize("refusal", [SLOW_DOWN, answer(429), answer(503)])
def test_a_storm_of_refusals_calms_down(at: At, refusal: Say) -> None:
    """The rate is cut as a whole: few of the requests are refused."""
    server = Limited(40, refusal=refusal)
    done = at(server)("--stats", "fill", "k", "1", "120")
    assert done.status == 0, done.err
    assert server.served == 120
    assert 1 <= server.refused <= 40
    assert requests(done) == server.served + server.refused


def test_a_store_that_says_how_long(at: At) -> None:
    server = Scripted(
        [
            answer(503, b"<Error><Code>SlowDown</Code></Error>", "Retry-After: 2"),
            answer(200, b"", ETAG),
        ]
    )
    before = time.monotonic()
    at(server)("put", "k").check()
    assert time.monotonic() - before >= 2


def test_waiting_for_a_turn_has_an_end(at: At) -> None:
    server = Scripted([SLOW_DOWN])
    # It ends at all: the store would never let it through.
    refused = at(server)("--timeout", "3000", "put", "k")
    assert re.search("^(retry|deadline): .*SlowDown", refused.err, re.M), refused.err


# --- connections ------------------------------------------------------------------


class Counting(Scripted):
    """Counts the connections that it was asked over."""

    def __init__(self, answers: list[Say]) -> None:
        self.connections = 0
        super().__init__(answers)

    def _serve(self, connection: socket.socket) -> None:
        self.connections += 1
        super()._serve(connection)


def test_one_connection_is_kept(at: At) -> None:
    server = Counting([answer(200, b"", ETAG)])
    at(server)("fill", "k", "1", "30").check()
    assert server.connections == 1


def test_a_kept_connection_that_the_peer_closes(at: At) -> None:
    """Silently, behind each answer: no request fails, none is sent twice."""
    server = Counting([Say(answer(200, b"", ETAG).raw, close=True)])
    done = at(server)("--stats", "fill", "k", "1", "20").check()
    assert server.connections == 20
    assert len(server.asked) == requests(done) == 20


def test_a_name_is_looked_up_once(at: At, tmp_path: Path) -> None:
    """However many connections it takes."""
    server = Counting([Say(answer(200, b"", ETAG).raw, close=True)])
    store = at(server).but(s3_endpoint=f"http://store.test:{server.port}")
    hosts, seen = tmp_path / "hosts", tmp_path / "seen"
    hosts.write_text("127.0.0.1 store.test\n", encoding="ascii")
    within = f'mount --bind {hosts} /etc/hosts && exec "$@"'
    store(
        *("fill", "k", "1", "20"),
        wrapper=(
            *("unshare", "-m", "sh", "-c", within, "sh"),
            *("strace", "-f", "-e", "trace=openat", "-o", str(seen)),
        ),
    ).check()
    assert server.connections == 20
    assert 1 <= seen.read_text(encoding="ascii").count('"/etc/hosts"') <= 2


def test_a_connection_that_breaks_before_its_answer(at: At) -> None:
    server = Counting([Say(b"", close=True), answer(200, b"", ETAG)])
    at(server)("put", "k").check()
    assert len(server.asked) == 2


def test_an_answer_before_the_body_was_sent(at: At) -> None:
    """A server that refuses at once, and never reads 64 MB."""
    listener = socket.create_server(("127.0.0.1", 0))
    said = answer(403, b"<Error><Code>AccessDenied</Code></Error>", close=True).raw
    over = threading.Event()

    def serve() -> None:
        connection, _ = listener.accept()
        with connection:
            connection.recv(1)
            connection.sendall(said)
            connection.shutdown(socket.SHUT_WR)
            over.wait(300)

    threading.Thread(target=serve, daemon=True).start()
    store = StoreTool(
        repository="s3://bucket/p",
        s3_endpoint=f"http://127.0.0.1:{listener.getsockname()[1]}",
        s3_access_key_id="key-id",
        s3_secret_access_key="the-secret",
    )
    refused = store("--once", "put", "k", stdin=b"x" * (64 << 20))
    over.set()
    listener.close()
    assert status(refused) == "auth"
    assert "AccessDenied" in refused.err


# --- answers ----------------------------------------------------------------------


def limited(store: StoreTool, *args: str) -> str:
    """The status, with no more memory at hand than a push may take."""
    return status(store(*args, wrapper=("prlimit", f"--data={MEMORY_BYTES}")))


MANY = b"<Contents><Key>p/k</Key><Size>1</Size></Contents>" * 1000
BOMB = (
    b"<!DOCTYPE a [<!ENTITY b '"
    + b"x" * 1000
    + b"'>"
    + b"".join(b"<!ENTITY c%d '%s'>" % (i, b"&b;" * 100) for i in range(9))
)
DOCUMENTS = {
    "more keys than asked for": b"<ListBucketResult>" + MANY * 100,
    "an entity that grows": BOMB + b"]><ListBucketResult>&c1;</ListBucketResult>",
    "depth": b"<ListBucketResult>" + b"<a>" * 10**6,
    "a long name": b"<" + b"a" * (7 << 20) + b">",
    "a long text": b"<ListBucketResult><Contents><Key>" + b"k" * (7 << 20),
    "many attributes": b"<ListBucketResult "
    + b" ".join(b'a%d="%s"' % (i, b"v" * 50) for i in range(10**5))
    + b"/>",
    "a long comment": b"<ListBucketResult><!--" + b"-x" * (3 << 20),
}


@pytest.mark.parametrize("name", DOCUMENTS)
@pytest.mark.parametrize("code", [200, 403])
def test_documents_that_cost_little(at: At, name: str, code: int) -> None:
    server = Scripted([answer(code, DOCUMENTS[name])])
    got = limited(at(server), "--once", "list", "")
    if code == 403:
        assert got == "auth"
    else:
        assert got == ("ok" if name == "many attributes" else "retry")


def test_an_error_is_kept_to_a_part(at: At) -> None:
    """Also where a listing, which may be long, was asked for."""
    refused = at(Scripted([answer(500, b"x" * (7 << 20))]))("--once", "list", "")
    assert status(refused) == "retry"
    assert "it sent 65536 bytes" in refused.err


def test_gzip_is_not_undone(at: At) -> None:
    """It was not asked for; a bomb stays as small as it is."""
    packed = gzip.compress(b"\0" * (50 << 20))
    server = Scripted([answer(200, packed, ETAG, "Content-Encoding: gzip")])
    got = at(server)("--once", "head", "k")
    assert status(got) == "retry"
    assert "accept-encoding" not in server.asked[0].headers
    assert limited(at(Scripted(server._answers)), "--once", "get", "k") == "ok"


def test_no_redirect_takes_a_credential_along(at: At) -> None:
    """To another host, for every method, with and without a body."""
    other = Scripted([answer(200, b"", ETAG)])
    try:
        for code in (301, 302, 303, 307, 308):
            server = Scripted([answer(code, b"", f"Location: {other.endpoint}/x")])
            store = at(server)
            for args in (("put", "k"), ("get", "k"), ("head", "k"), ("rm", "k")):
                assert status(store("--once", *args)) != "ok"
        assert other.asked == []
    finally:
        other.stop()
