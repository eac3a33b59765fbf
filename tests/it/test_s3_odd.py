"""The S3 store against a server that says odd things, byte for byte.

Each answer is judged after one attempt.  What matters most is that nothing but
a clear word of an S3 server is ever taken for "the object does not exist".
"""

from __future__ import annotations

import re
import socket
from collections.abc import Callable, Iterator

import pytest

from ground.host import free_ports
from ground.scripted import Say, Scripted, answer
from ground.storetool import StoreTool, requests, status

ETAG = 'ETag: "e"'
MODIFIED = "Last-Modified: Sun, 06 Nov 1994 08:49:37 GMT"
TOKEN = "the-session-token"
SECRET = "the-secret"


def error(code: int, name: str, *headers: str, message: str = "") -> Say:
    body = (
        '<?xml version="1.0" encoding="UTF-8"?>'
        f"<Error><Code>{name}</Code><Message>{message}</Message>"
        "<RequestId>R1</RequestId></Error>"
    )
    return answer(code, body.encode(), "Content-Type: application/xml", *headers)


def listing(*keys: str, more: str = "") -> Say:
    entries = "".join(
        f"<Contents><Key>{key}</Key><Size>1</Size></Contents>" for key in keys
    )
    return answer(
        200,
        (
            f"<ListBucketResult>{entries}"
            f"<IsTruncated>{'true' if more else 'false'}</IsTruncated>"
            f"<NextContinuationToken>{more}</NextContinuationToken>"
            "</ListBucketResult>"
        ).encode(),
    )


HTML = "Content-Type: text/html"
NOT_S3 = answer(404, b"<html><h1>404 Not Found</h1></html>", HTML)


@pytest.fixture
def script() -> Iterator[Callable[..., tuple[StoreTool, Scripted]]]:
    """A store at a server with the given answers, one after the other."""
    servers: list[Scripted] = []

    def start(*answers: Say) -> tuple[StoreTool, Scripted]:
        server = Scripted(answers)
        servers.append(server)
        store = StoreTool(
            repository="s3://bucket/p",
            s3_endpoint=server.endpoint,
            s3_access_key_id="key-id",
            s3_secret_access_key=SECRET,
            s3_session_token=TOKEN,
            stall_timeout="5s",
        )
        return store, server

    yield start
    for server in servers:
        server.stop()


Script = Callable[..., tuple[StoreTool, Scripted]]


# --- get --------------------------------------------------------------------------

GETS = {
    "absent": (error(404, "NoSuchKey"), "missing"),
    "deleted": (error(404, "NoSuchKey", "x-amz-delete-marker: true"), "config"),
    "no bucket": (error(404, "NoSuchBucket"), "config"),
    "unknown 404": (error(404, "NoSuchThing"), "config"),
    "web server": (NOT_S3, "retry"),
    "empty 404": (answer(404), "retry"),
    "cut 404": (answer(404, b"<Error><Code>NoSuchKey", length=200, close=True), "retry"),
    "lying 404": (answer(404, b"<Error><Code>NoSuchKey</Code>", HTML), "retry"),
    "403": (error(403, "AccessDenied"), "auth"),
    "403 from a proxy": (answer(403, b"<html/>", HTML), "auth"),
    "archived": (error(403, "InvalidObjectState"), "config"),
    "407": (answer(407), "config"),
    "502": (answer(502, b"<html/>", HTML), "retry"),
    "nothing": (Say(b"", close=True), "retry"),
    "garbage": (Say(b"hello\r\n", close=True), "retry"),
    "half a status line": (Say(b"HTTP/1.1 2", close=True), "retry"),
    "half the headers": (Say(b"HTTP/1.1 200 OK\r\nETag: x\r\n", close=True), "retry"),
    "no ETag": (answer(200, b"data"), "retry"),
    "cut": (answer(200, b"da", ETAG, length=4, close=True), "retry"),
    "no length": (answer(200, b"data", ETAG, length=None, close=True), "retry"),
    "204": (answer(204, b"", ETAG), "retry"),
    "endless headers": (
        Say(b"HTTP/1.1 200 OK\r\n" + b"x-a: " + b"y" * 50000 + b"\r\n" + b"z: z\r\n" * 9999),
        "retry",
    ),
    "endless interim answers": (
        Say(b"HTTP/1.1 102 Processing\r\nx-a: yyyyyyyyyyyyyy\r\n\r\n" * 5000),
        "retry",
    ),
    "a redirect": (answer(302, b"", "Location: /elsewhere"), "config"),
    "chunked and cut": (
        Say(
            b'HTTP/1.1 200 OK\r\nETag: "e"\r\nTransfer-Encoding: chunked\r\n\r\n'
            b"4\r\ndata\r\n",
            close=True,
        ),
        "retry",
    ),
}


@pytest.mark.parametrize("name", GETS)
def test_get(script: Script, name: str) -> None:
    said, expected = GETS[name]
    store, server = script(said)
    got = store("--once", "--stats", "get", "wal/k")
    assert status(got) == expected
    assert '"wal/k"' in got.err
    assert requests(got) == 1
    assert len(server.asked) >= 1


WHOLE = {
    "plain": answer(200, b"data", ETAG),
    "HTTP/1.0": Say(
        b'HTTP/1.0 200 OK\r\nETag: "e"\r\nContent-Length: 4\r\n\r\ndata', close=True
    ),
    "after an interim answer": Say(
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 4\r\n"
        b'ETag: "e"\r\n\r\ndata'
    ),
    "chunked": Say(
        b'HTTP/1.1 200 OK\r\nETag: "e"\r\nTransfer-Encoding: chunked\r\n\r\n'
        b"3\r\ndat\r\n1\r\na\r\n0\r\n\r\n"
    ),
    "marked as gzip": answer(200, b"data", ETAG, "Content-Encoding: gzip"),
    "closed behind": answer(200, b"data", ETAG, "Connection: close", close=True),
}


@pytest.mark.parametrize("name", WHOLE)
def test_a_whole_object_however_it_is_framed(script: Script, name: str) -> None:
    store, _ = script(WHOLE[name])
    assert store("--once", "get", "k").check().out == "data"


RANGES = {
    "as asked": (answer(206, b"ata", ETAG, "Content-Range: bytes 1-3/9"), "ok"),
    "total unknown": (answer(206, b"ata", ETAG, "Content-Range: bytes 1-3/*"), "ok"),
    "ends early": (answer(206, b"at", ETAG, "Content-Range: bytes 1-2/3"), "corrupt"),
    "part of it": (answer(206, b"at", ETAG, "Content-Range: bytes 1-2/9"), "config"),
    "too much": (answer(206, b"atad", ETAG, "Content-Range: bytes 1-4/9"), "config"),
    "elsewhere": (answer(206, b"dat", ETAG, "Content-Range: bytes 0-2/9"), "config"),
    "untold": (answer(206, b"ata", ETAG), "config"),
    "nonsense": (answer(206, b"ata", ETAG, "Content-Range: bytes 3-1/9"), "config"),
    "all of it": (answer(200, b"data", ETAG), "config"),
    "wrong length": (answer(206, b"at", ETAG, "Content-Range: bytes 1-3/9"), "retry"),
    "cut": (
        answer(206, b"at", ETAG, "Content-Range: bytes 1-3/9", length=3, close=True),
        "retry",
    ),
    "behind the end": (error(416, "InvalidRange"), "corrupt"),
}


@pytest.mark.parametrize("name", RANGES)
def test_a_range(script: Script, name: str) -> None:
    said, expected = RANGES[name]
    store, server = script(said)
    got = store("--once", "get", "k", "1", "3")
    assert status(got) == expected
    assert server.asked[0].headers["range"] == "bytes=1-3"
    if expected == "ok":
        assert got.out == "ata"
    elif name != "cut":
        assert got.out == ""


def test_a_first_byte_without_its_range(script: Script) -> None:
    store, _ = script(answer(206, b"d", ETAG))
    assert status(store("--once", "get", "k", "0", "1")) == "config"


@pytest.mark.parametrize("chunk", [b"5\r\natada", b"2\r\nat"])
def test_chunks_that_are_not_the_range(script: Script, chunk: bytes) -> None:
    """Complete as HTTP, but more or less than the answer itself promises."""
    said = (
        b'HTTP/1.1 206 OK\r\nETag: "e"\r\nTransfer-Encoding: chunked\r\n'
        b"Content-Range: bytes 1-3/9\r\n\r\n" + chunk + b"\r\n0\r\n\r\n"
    )
    store, _ = script(Say(said))
    assert status(store("--once", "get", "k", "1", "3")) == "retry"


def test_a_read_goes_on_after_a_cut(script: Script) -> None:
    """Also one whose chunks told no length: at the end, nothing is left."""
    store, server = script(
        answer(200, b"da", ETAG, length=4, close=True),
        answer(206, b"t", ETAG, "Content-Range: bytes 2-3/4", length=2, close=True),
        answer(206, b"a", ETAG, "Content-Range: bytes 3-3/4"),
    )
    assert store("get", "k").check().out == "data"
    assert [asked.headers.get("range") for asked in server.asked] == [
        *(None, "bytes=2-", "bytes=3-")
    ]

    cut = b'HTTP/1.1 200 OK\r\nETag: "e"\r\nTransfer-Encoding: chunked\r\n\r\n4\r\ndata\r\n'
    store, server = script(
        Say(cut, close=True),
        error(416, "InvalidRange"),
        answer(200, b"", ETAG, MODIFIED, length=4),
    )
    assert store("get", "k").check().out == "data"
    assert [asked.method for asked in server.asked] == ["GET", "GET", "HEAD"]


@pytest.mark.parametrize(
    ("code", "expected"), [(503, "retry"), (404, "retry"), (403, "auth")]
)
def test_an_error_without_end(script: Script, code: int, expected: str) -> None:
    """What is kept of it is bounded, and its code still counts."""
    head = f"HTTP/1.1 {code} No\r\n\r\n".encode()
    store, _ = script(Say(head, endless=b"x" * 65536))
    assert status(store("--once", "get", "k")) == expected


def test_a_listing_without_end(script: Script) -> None:
    head = b"HTTP/1.1 200 OK\r\n\r\n<ListBucketResult>"
    store, _ = script(Say(head, endless=b"<Contents><Key>p/k</Key></Contents>" * 999))
    assert status(store("--once", "list", "")) == "retry"


# --- redirects and secrets --------------------------------------------------------


def test_no_redirect_is_followed(script: Script) -> None:
    """Nor are credentials sent to where it points."""
    other = Scripted([answer(200, b"data", ETAG)])
    try:
        for code in (301, 302, 303, 307, 308):
            location = f"Location: {other.endpoint}/bucket/p/k"
            region = "x-amz-bucket-region: eu-west-3"
            store, server = script(error(code, "PermanentRedirect", location, region))
            refused = store("--once", "get", "k")
            assert status(refused) == "config"
            assert '"eu-west-3"' in refused.err
            # Again at the same place, for the region.
            assert len(server.asked) == (2 if code in (301, 307) else 1)
        assert other.asked == []
    finally:
        other.stop()


def test_a_session_token_is_sent_and_signed(script: Script) -> None:
    store, server = script(answer(200, b"data", ETAG))
    store("get", "k").check()
    headers = server.asked[0].headers
    assert headers["x-amz-security-token"] == TOKEN
    signed = re.search(r"SignedHeaders=([^,]+)", headers["authorization"])
    assert "x-amz-security-token" in signed.group(1).split(";")
    assert SECRET not in str(headers)


def test_a_server_that_repeats_what_it_got(script: Script) -> None:
    for words in (TOKEN, SECRET, "AWS4-HMAC-SHA256 Credential=x", "X-Amz-Signature=0"):
        store, _ = script(error(400, "Odd", message=f"you sent {words}!"))
        refused = store("--once", "get", "k")
        assert status(refused) == "config"
        assert words not in refused.err


def test_control_characters_do_not_reach_a_log(script: Script) -> None:
    store, _ = script(error(400, "Odd", "x-amz-request-id: a\x1bb", message="a\nb\tc"))
    refused = store("--once", "get", "k")
    assert "HTTP 400 Odd: a b c\n" in refused.err
    assert "\x1b" not in refused.err


# --- head -------------------------------------------------------------------------

HEADS = {
    "there": ([answer(200, b"", ETAG, MODIFIED, length=7)], "ok"),
    "absent": ([answer(404), listing()], "missing"),
    "its neighbour is there": ([answer(404), listing("p/kk")], "missing"),
    "listed all the same": ([answer(404), listing("p/k")], "retry"),
    "no S3 server": ([answer(404), NOT_S3], "retry"),
    "no bucket": ([answer(404), error(404, "NoSuchBucket")], "config"),
    "no permission to list": ([answer(404), error(403, "AccessDenied")], "auth"),
    "list cut": ([answer(404), answer(200, b"<ListB", length=99, close=True)], "retry"),
    "deleted": ([answer(404, b"", "x-amz-delete-marker: true")], "config"),
    "refused": ([answer(403)], "auth"),
    "bad request": ([answer(400)], "config"),
    "down": ([answer(503)], "retry"),
    "no time": ([answer(200, b"", ETAG, length=7)], "retry"),
    "no ETag": ([answer(200, b"", MODIFIED, length=7)], "retry"),
    "no length": ([answer(200, b"", ETAG, MODIFIED, length=None)], "retry"),
}


@pytest.mark.parametrize("name", HEADS)
def test_head(script: Script, name: str) -> None:
    said, expected = HEADS[name]
    store, server = script(*said)
    got = store("--once", "head", "k")
    assert status(got) == expected
    assert len(server.asked) == len(said)
    if expected == "ok":
        assert got.out == "7 784111777 STANDARD ready\n"


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        (["x-amz-storage-class: GLACIER"], "GLACIER archived"),
        (["x-amz-storage-class: DEEP_ARCHIVE"], "DEEP_ARCHIVE archived"),
        (["x-amz-storage-class: GLACIER_IR"], "GLACIER_IR ready"),
        (
            ["x-amz-storage-class: GLACIER", 'x-amz-restore: ongoing-request="true"'],
            "GLACIER archived",
        ),
        (
            ["x-amz-storage-class: GLACIER", 'x-amz-restore: ongoing-request="false"'],
            "GLACIER ready",
        ),
    ],
)
def test_storage_classes(script: Script, headers: list[str], expected: str) -> None:
    store, _ = script(answer(200, b"", ETAG, MODIFIED, *headers, length=7))
    assert store("head", "k").check().out == f"7 784111777 {expected}\n"


# --- put --------------------------------------------------------------------------

PUTS = {
    "stored": ([answer(200, b"", ETAG)], "ok", 1),
    "exists": ([error(412, "PreconditionFailed")], "exists", 1),
    "conflict": ([error(409, "ConditionalRequestConflict")], "retry", 1),
    "no ETag": ([answer(200)], "retry", 1),
    "a portal": ([answer(200, b"<html/>", HTML)], "retry", 1),
    "204": ([answer(204, b"", ETAG)], "retry", 1),
    "no conditions": (
        [error(501, "NotImplemented"), answer(404), listing(), answer(200, b"", ETAG)],
        "ok",
        4,
    ),
    "no conditions, exists": (
        [error(501, "NotImplemented"), answer(200, b"", ETAG, MODIFIED)],
        "exists",
        2,
    ),
    "no conditions, unclear": (
        [error(501, "NotImplemented"), answer(404), NOT_S3],
        "retry",
        3,
    ),
    "quota": ([error(403, "QuotaExceeded")], "config", 1),
    "damaged on the way": ([error(400, "XAmzContentSHA256Mismatch")], "retry", 1),
}


@pytest.mark.parametrize("name", PUTS)
def test_put(script: Script, name: str) -> None:
    said, expected, count = PUTS[name]
    store, server = script(*said)
    assert status(store("--once", "put", "k", stdin=b"body")) == expected
    assert len(server.asked) == count
    assert server.asked[0].headers["if-none-match"] == "*"
    assert server.asked[0].body == b"body"
    for asked in server.asked[1:]:
        assert "if-none-match" not in asked.headers
    if expected == "ok":
        assert server.asked[-1].body == b"body"


# --- list -------------------------------------------------------------------------

BOMB = (
    b'<!DOCTYPE l [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">'
    b'<!ENTITY c "&b;&b;&b;&b;&b;&b;&b;&b;">]><ListBucketResult>&c;</ListBucketResult>'
)
OUTSIDE = (
    b'<!DOCTYPE l [<!ENTITY x SYSTEM "file:///etc/passwd">]>'
    b"<ListBucketResult><Contents><Key>&x;</Key></Contents></ListBucketResult>"
)
LISTS = {
    "nothing": ([answer(200, b"")], "retry"),
    "a page of HTML": ([answer(200, b"<html/>", HTML)], "retry"),
    "broken": ([answer(200, b"<ListBucketResult><Contents>")], "retry"),
    "cut": ([answer(200, b"<ListBucketResult>", length=99, close=True)], "retry"),
    "an error in a 200": ([answer(200, b"<Error><Code>X</Code></Error>")], "retry"),
    "404": ([NOT_S3], "retry"),
    "bomb": ([answer(200, BOMB)], "retry"),
    "entity": ([answer(200, OUTSIDE)], "retry"),
    "too long": ([answer(200, b"<ListBucketResult>" + b" " * 9_000_000)], "retry"),
    "too deep": ([answer(200, b"<a>" * 100_000)], "retry"),
    "outside the prefix": ([listing("q/k")], "config"),
    "another prefix": ([listing("p/x")], "config"),
    "twice": ([listing("p/w1", "p/w1")], "config"),
    "backwards": ([listing("p/w2", more="t"), listing("p/w1")], "config"),
    "in a circle": ([listing("p/w1", more="t"), listing(more="t")], "config"),
}


@pytest.mark.parametrize("name", LISTS)
def test_list(script: Script, name: str) -> None:
    said, expected = LISTS[name]
    store, server = script(*said)
    got = store("--once", "list", "w")
    assert status(got) == expected
    assert len(server.asked) == len(said)
    assert "root:" not in got.out + got.err


def test_a_page_may_be_empty(script: Script) -> None:
    """As where a bucket is full of delete markers."""
    store, server = script(listing("p/1", more="a"), listing(more="b"), listing("p/2"))
    assert store("list", "").check().out == "1 1\n2 1\n"
    assert "continuation-token=b" in server.asked[2].path


def test_what_is_not_behind_the_start_is_passed_over(script: Script) -> None:
    """Servers differ where start-after meets a common prefix, or a key."""
    prefix = b"<CommonPrefixes><Prefix>p/d/</Prefix></CommonPrefixes>"
    store, _ = script(answer(200, b"<ListBucketResult>" + prefix + b"</ListBucketResult>"))
    assert store("--once", "dirs", "", "d/").check().out == ""
    assert store("--once", "dirs", "", "d/k").check().out == ""
    assert store("--once", "dirs", "", "c").check().out == "d/\n"
    store, _ = script(listing("p/a", "p/b"))
    assert store("--once", "list", "", "a").check().out == "b 1\n"


def test_a_cut_listing_is_taken_up_again(script: Script) -> None:
    store, server = script(
        listing("p/1", "p/2", more="a"),
        answer(200, b"<ListBucketResult>", length=99, close=True),
        listing("p/3"),
    )
    assert store("list", "").check().out == "1 1\n2 1\n3 1\n"
    assert "start-after=p%2F2" in server.asked[2].path


# --- delete -----------------------------------------------------------------------


def deleted(*parts: str) -> Say:
    return answer(200, f"<DeleteResult>{''.join(parts)}</DeleteResult>".encode())


def gone(key: str) -> str:
    return f"<Deleted><Key>p/{key}</Key></Deleted>"


def kept(key: str, code: str) -> str:
    return f"<Error><Key>p/{key}</Key><Code>{code}</Code><Message>m</Message></Error>"


DELETES = {
    "both": (deleted(gone("a"), gone("b")), "ok", {"a ok", "b ok"}),
    "one refused": (
        deleted(gone("a"), kept("b", "AccessDenied")),
        "auth",
        {"a ok", "b auth"},
    ),
    "one failed": (
        deleted(kept("a", "InternalError"), gone("b")),
        "retry",
        {"a retry", "b ok"},
    ),
    "one absent": (
        deleted(kept("a", "NoSuchKey"), gone("b")),
        "ok",
        {"a ok", "b ok"},
    ),
    "one not mentioned": (deleted(gone("b")), "retry", {"a retry", "b ok"}),
    "strangers mentioned": (
        deleted(gone("x"), gone("a"), gone("a"), gone("b")),
        "ok",
        {"a ok", "b ok"},
    ),
    "an error in a 200": (error(200, "InternalError"), "retry", set()),
    "not XML": (answer(200, b"fine"), "retry", {"a retry", "b retry"}),
    "refused": (error(403, "SignatureDoesNotMatch"), "auth", set()),
    "down": (error(503, "SlowDown"), "retry", set()),
}


@pytest.mark.parametrize("name", DELETES)
def test_delete_several(script: Script, name: str) -> None:
    said, expected, told = DELETES[name]
    store, server = script(said)
    got = store("--once", "rm", "a", "b")
    assert status(got) == expected
    assert sorted(got.out.splitlines()) == sorted(told)
    (asked,) = server.asked
    assert (asked.method, asked.path) == ("POST", "/bucket?delete=")
    assert b"<Object><Key>p/a</Key></Object><Object><Key>p/b</Key></Object>" in asked.body


@pytest.mark.parametrize("code", [405, 501])
def test_a_store_without_multi_delete(script: Script, code: int) -> None:
    store, server = script(error(code, "NotImplemented"), answer(204))
    assert store("--once", "rm", "a", "b").check().out == "a ok\nb ok\n"
    assert [asked.method for asked in server.asked] == ["POST", "DELETE", "DELETE"]


def test_a_store_that_denies_multi_delete(script: Script) -> None:
    """Ceph asks for the permission on the bucket then, S3 for each key."""
    denied = error(403, "AccessDenied")
    store, server = script(denied, answer(204), denied, answer(204))
    got = store("--once", "rm", "a", "b", "c")
    assert got.out == "a ok\nb auth\nc ok\n"
    assert len(server.asked) == 4

    store, server = script(denied)
    got = store("--once", "rm", "a", "b", "c")
    assert got.out == "a auth\nb auth\nc auth\n"
    assert [asked.method for asked in server.asked] == ["POST", "DELETE"]


def test_delete_one(script: Script) -> None:
    for said, expected in (
        (answer(204), "ok"),
        (error(404, "NoSuchKey"), "ok"),
        (NOT_S3, "retry"),
        (error(404, "NoSuchBucket"), "config"),
        (error(403, "AccessDenied"), "auth"),
    ):
        store, server = script(said)
        assert status(store("--once", "rm", "a")) == expected
        assert [asked.method for asked in server.asked] == ["DELETE"]


# --- connections ------------------------------------------------------------------


def test_a_kept_connection_that_the_server_closed(script: Script) -> None:
    """Each answer is followed by a close that no header announces."""
    store, server = script(answer(200, b"", ETAG, close=True))
    store("--once", "fill", "k", "1", "5").check()
    assert len(server.asked) == 5


def test_a_connection_that_does_not_come_about(script: Script) -> None:
    """A listener whose queue is full drops what else knocks."""
    store, _ = script(answer())
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full:
        port = full.getsockname()[1]
        waiting = [socket.socket() for _ in range(4)]
        for knock in waiting:
            knock.setblocking(False)
            knock.connect_ex(("127.0.0.1", port))
        there = store.but(s3_endpoint=f"http://127.0.0.1:{port}", connect_timeout="1s")
        late = there("--once", "get", "k")
        for knock in waiting:
            knock.close()
    assert status(late) == "retry"
    assert "no connection within 1000 ms" in late.err


def test_through_a_proxy_of_the_environment(script: Script) -> None:
    """The way in is the proxy; the endpoint itself does not even exist."""
    store, proxy = script(answer(200, b"data", ETAG))
    nowhere = f"http://127.0.0.1:{free_ports()}"
    there = store.but(s3_endpoint=nowhere)
    assert there("get", "k", env={"http_proxy": proxy.endpoint}).check().out == "data"
    assert proxy.asked[0].path == f"{nowhere}/bucket/p/k"
