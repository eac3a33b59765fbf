"""SigV2 by libs3: what it does, what it refuses, and what odd servers say."""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from ground import tls
from ground.fault import FaultProxy
from ground.host import run
from ground.s3 import Gateway
from ground.s3client import Bucket
from ground.scripted import Asked, Say, Scripted, answer
from ground.storetool import StoreTool, requests, status
from ground.tls import TlsProxy

MIB = 1 << 20
ETAG = 'ETag: "e"'
MODIFIED = "Last-Modified: Sun, 06 Nov 1994 08:49:37 GMT"
MISSING = answer(404, b"<Error><Code>NoSuchKey</Code></Error>")
REQUEST = "x-amz-request-id: R1"
NOTHING = answer(
    200,
    b"<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>",
    REQUEST,
)


def listing(size: int) -> Say:
    """Of the one object that every test here asks for."""
    entry = (
        f"<Contents><Key>p/k</Key><LastModified>2009-10-12T17:50:30.000Z</LastModified>"
        f"<Size>{size}</Size></Contents>"
    )
    return answer(200, f"<ListBucketResult>{entry}</ListBucketResult>".encode())


Servers = Callable[..., Scripted]


def store_for(bucket: Bucket, endpoint: str) -> StoreTool:
    return StoreTool(
        repository=f"s3://{bucket.name}/it",
        s3_endpoint=endpoint,
        s3_access_key_id=Gateway.credentials.access_key,
        s3_secret_access_key=Gateway.credentials.secret_key,
        s3_signature="v2",
    )


@pytest.fixture
def store(bucket: Bucket, gateway: Gateway) -> StoreTool:
    return store_for(bucket, gateway.endpoint)


@pytest.fixture
def watched(bucket: Bucket, fault_proxy: FaultProxy) -> StoreTool:
    return store_for(bucket, fault_proxy.endpoint)


def store_at(server: Scripted) -> StoreTool:
    return StoreTool(
        repository="s3://bucket/p",
        s3_endpoint=server.endpoint,
        s3_access_key_id="key-id",
        s3_secret_access_key="the-secret",
        s3_signature="v2",
        stall_timeout="3s",
    )


# --- what a store is for ----------------------------------------------------------


def test_round_trip(store: StoreTool, bucket: Bucket) -> None:
    data = os.urandom(5 * MIB + 17)
    store("put", "1/wal/x", stdin=data).check()
    assert bucket.get("it/1/wal/x") == data
    assert store("get", "1/wal/x").check().raw_out == data
    size, modified, _, archived = store("head", "1/wal/x").check().out.split()
    assert (int(size), archived) == (len(data), "ready")
    assert int(modified) > 1_700_000_000
    assert store("list", "").check().out == f"1/wal/x {len(data)}\n"
    assert store("rm", "1/wal/x").check().out == "1/wal/x ok\n"
    assert status(store("get", "1/wal/x")) == "missing"
    assert status(store("head", "1/wal/x")) == "missing"


def test_empty_object(store: StoreTool) -> None:
    store("put", "empty").check()
    assert store("get", "empty").check().out == ""
    assert store("head", "empty").check().out.startswith("0 ")


def test_ranges(store: StoreTool) -> None:
    data = os.urandom(100_000)
    store("put", "k", stdin=data).check()
    for offset, length in ((0, 1), (0, 100_000), (99_999, 1), (12_345, 54_321)):
        got = store("get", "k", str(offset), str(length)).check()
        assert got.raw_out == data[offset : offset + length]
    assert store("get", "k", "40000", "0").check().raw_out == data[40_000:]
    assert store("get", "k", "100000", "0").check().raw_out == b""
    for offset, length in ((0, 100_001), (99_999, 2), (100_000, 1), (100_001, 0)):
        short = store("get", "k", str(offset), str(length))
        assert status(short) == "corrupt"
        assert short.raw_out == b""
    assert status(store("get", "nothing", "1", "1")) == "missing"


def test_listings_of_many_pages(store: StoreTool) -> None:
    # By the other signature, which takes fewer requests.
    store.but(s3_signature="v4")("fill", "1/wal/00000001/", "1", "1050").check()
    store("fill", "1/wal/00000002/", "1", "3").check()
    store("fill", "2/", "1", "1").check()
    lines = store("--stats", "list", "").check()
    keys = [line.split()[0] for line in lines.out.splitlines()]
    assert len(keys) == 1054
    assert keys == sorted(keys)
    assert requests(lines) == 2
    after = store("list", "1/wal/00000001/", "1/wal/00000001/00001048").out
    assert [line.split()[0] for line in after.splitlines()] == [
        f"1/wal/00000001/000010{n}" for n in (49, 50)
    ]
    assert store("dirs", "").check().out == "1/\n2/\n"
    assert store("dirs", "1/wal/").out == "1/wal/00000001/\n1/wal/00000002/\n"
    assert store("dirs", "1/wal/", "1/wal/00000001/").out == "1/wal/00000002/\n"
    assert store("list", "3/").check().out == ""
    gone = store("rm", *keys[:5]).check().out.splitlines()
    assert gone == [f"{key} ok" for key in keys[:5]]


def test_a_shallow_listing_of_many_pages(store: StoreTool) -> None:
    names = [f"d{n:05}" for n in range(0, 1100, 50)]
    store.but(s3_signature="v4")("fill", "d", "0", "1005").check()
    for name in names:
        store("put", f"{name}/x").check()
    lines = store("dirs", "").check().out.splitlines()
    got = [line.split()[0] for line in lines]
    assert got == sorted(got)
    assert [key for key in got if key.endswith("/")] == [f"{name}/" for name in names]
    assert len(got) == 1006 + len(names)


def test_objects_of_strangers_are_passed_over(
    store: StoreTool, bucket: Bucket
) -> None:
    for name in ("a b", "x&<y>", "ü", "a//b", "d/", "per%cent"):
        bucket.client.expect("PUT", f"/{bucket.name}/it/{name}")
    store("put", "k", stdin=b"1").check()
    assert store("list", "").check().out == "k 1\n"


def test_a_put_asks_first(
    watched: StoreTool, fault_proxy: FaultProxy, bucket: Bucket
) -> None:
    watched("put", "k", stdin=b"first").check()
    assert [r.method for r in fault_proxy.requests] == ["GET", "PUT", "GET"]
    fault_proxy.forget()
    again = watched("put", "k", stdin=b"second")
    assert status(again) == "exists"
    assert [r.method for r in fault_proxy.requests] == ["GET"]
    assert bucket.get("it/k") == b"first"


def test_features(store: StoreTool, bucket: Bucket) -> None:
    told = dict(line.split(" ", 1) for line in store("features").out.splitlines())
    assert told["conditional_put"] == "0"
    assert told["lifecycle_known"] == "0"
    assert abs(int(told["clock_offset_ms"])) < 60_000
    assert bucket.list() == {}


def test_the_bucket_in_the_host_name(bucket: Bucket, gateway: Gateway) -> None:
    endpoint = f"http://localhost:{gateway.port}"
    store = store_for(bucket, endpoint).but(s3_addressing="virtual")
    store("put", "a/k", stdin=b"x").check()
    assert bucket.get("it/a/k") == b"x"
    assert store("get", "a/k").check().out == "x"
    assert store("dirs", "").check().out == "a/\n"


# --- the signature ----------------------------------------------------------------


def assert_signed(asked: Asked) -> None:
    """Of "Authenticating Requests (AWS Signature Version 2)"."""
    path = asked.path.partition("?")[0]
    text = "\n".join(
        [
            asked.method,
            asked.headers.get("content-md5", ""),
            asked.headers.get("content-type", ""),
            asked.headers.get("date", ""),
            *(
                f"{name}:{asked.headers[name]}"
                for name in sorted(asked.headers)
                if name.startswith("x-amz-")
            ),
            path,
        ]
    )
    mac = hmac.new(b"the-secret", text.encode(), hashlib.sha1).digest()
    wanted = f"AWS key-id:{base64.b64encode(mac).decode()}"
    assert asked.headers["authorization"] == wanted


def test_the_signature_covers_the_body(scripted: Servers) -> None:
    """By way of Content-MD5, which the store compares."""
    server = scripted(MISSING, answer(200, b"", ETAG), listing(4))
    store_at(server)("put", "k", stdin=b"body").check()
    for asked in server.asked:
        assert_signed(asked)
    put = server.asked[1]
    digest = base64.b64encode(hashlib.md5(b"body").digest()).decode()
    assert (put.headers["content-md5"], put.body) == (digest, b"body")


# --- refusals ---------------------------------------------------------------------

REFUSED = {
    "s3_session_token": "token",
    "s3_ca_file": "/etc/ssl/certs/ca-certificates.crt",
    "s3_client_cert": "/etc/ssl/x.pem",
    "s3_tls": "1.3",
    "s3_storage_class": "STANDARD_IA",
    "s3_sse": "AES256",
    "s3_object_lock": "governance 1d",
    "s3_tags": "a=b",
    "s3_bucket_owner": "123456789012",
    "s3_profile": "x",
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_go_with_it(store: StoreTool, name: str) -> None:
    refused = store.but(**{name: REFUSED[name]})("--stats", "list", "")
    assert status(refused) == "config"
    assert '"s3_signature = v2" cannot go with' in refused.err
    assert name.replace("s3_session_token", "session token") in refused.err
    assert "libs3" in refused.err


def test_credentials_are_needed(store: StoreTool) -> None:
    refused = store.but(s3_access_key_id=None, s3_secret_access_key=None)("list", "")
    assert status(refused) == "config"
    assert "s3_access_key_id" in refused.err


COMMANDS = (("get", "k"), ("head", "k"), ("put", "k"), ("list", ""), ("rm", "k"))


@pytest.mark.parametrize("command", COMMANDS)
def test_a_wrong_secret(store: StoreTool, command: tuple[str, str]) -> None:
    wrong = store.but(s3_secret_access_key="not-the-secret")("--stats", *command)
    assert status(wrong) == "auth"
    assert requests(wrong) == 1
    assert "not-the-secret" not in wrong.err


@pytest.mark.parametrize("command", COMMANDS)
def test_a_bucket_that_is_not_there(
    store: StoreTool, command: tuple[str, str]
) -> None:
    nowhere = store.but(repository="s3://no-such-bucket-here/it")
    refused = nowhere(*command)
    assert status(refused) == "config"
    assert "NoSuchBucket" in refused.err


def test_a_module_that_was_not_built(store: StoreTool, work_dir: Path) -> None:
    """Without libs3 the program says what is missing."""
    argv, settings = store.command("list", "")
    alone = work_dir / "storetool"
    alone.write_bytes(Path(argv[0]).read_bytes())
    alone.chmod(0o755)
    done = run([alone, "list", ""], env=settings)
    assert status(done) == "config"
    assert "walship-s3v2.so" in done.err
    assert "libs3" in done.err


def test_nobody_else_loads_libs3(store: StoreTool) -> None:
    build = Path(store.command("list")[0][0]).parent
    for name in ("walship", "wal-push", "wal-fetch", "walship-s3.so"):
        linked = subprocess.run(
            ["ldd", build / name], check=True, capture_output=True, text=True
        ).stdout
        assert "libs3" not in linked, name


# --- odd answers ------------------------------------------------------------------

HTML = "Content-Type: text/html"
GETS = {
    "absent": (MISSING, "missing"),
    "no bucket": (answer(404, b"<Error><Code>NoSuchBucket</Code></Error>"), "config"),
    "web server": (answer(404, b"<html><h1>404</h1></html>", HTML), "retry"),
    "empty 404": (answer(404), "retry"),
    "refused": (answer(403, b"<Error><Code>AccessDenied</Code></Error>"), "auth"),
    "empty 403": (answer(403), "auth"),
    "busy": (answer(503, b"<Error><Code>SlowDown</Code></Error>"), "retry"),
    "unavailable": (
        answer(503, b"<Error><Code>ServiceUnavailable</Code></Error>"),
        "retry",
    ),
    "502": (answer(502, b"<html/>", HTML), "retry"),
    "nothing": (Say(b"", close=True), "retry"),
    "garbage": (Say(b"hello\r\n", close=True), "retry"),
    "cut": (answer(200, b"da", ETAG, length=4, close=True), "retry"),
    "cut without a length": (answer(200, b"da", length=None, close=True), "retry"),
    "too long": (answer(200, b"data, and more", length=None, close=True), "retry"),
    "another range": (answer(206, b"data, and more", ETAG), "config"),
}


@pytest.mark.parametrize("name", GETS)
def test_get(scripted: Servers, name: str) -> None:
    said, expected = GETS[name]
    got = store_at(scripted(listing(4), said))("--once", "get", "k")
    assert status(got) == expected, got.err
    assert '"k"' in got.err
    assert "the-secret" not in got.err


def test_headers_in_lower_case(scripted: Servers) -> None:
    """As HTTP/2 writes them, and many a proxy; libs3 does not know them so."""
    raw = b"HTTP/1.1 206 OK\r\netag: e\r\ncontent-length: 4\r\n\r\ndata"
    server = scripted(listing(4), Say(raw))
    assert store_at(server)("--once", "get", "k").check().out == "data"


def test_what_proves_absence(scripted: Servers) -> None:
    """Not that a listing lacks it: any document looks like an empty one."""
    for last, expected in (
        (MISSING, "missing"),
        (answer(404, b"<html/>", HTML), "retry"),
        (answer(200, b"<html/>", HTML), "retry"),
    ):
        server = scripted(NOTHING, last)
        assert status(store_at(server)("--once", "head", "k")) == expected
        server = scripted(NOTHING, last)
        assert status(store_at(server)("--once", "get", "k")) == expected


def test_a_server_that_never_answers(watched: StoreTool, gateway: Gateway) -> None:
    gateway.pause_gateway()
    try:
        stalled = watched.but(stall_timeout="1s")("--once", "list", "")
        assert status(stalled) == "retry"
        assert "no byte moved for 1000 ms" in stalled.err
        late = watched("--timeout", "500", "list", "")
        assert status(late) == "deadline"
    finally:
        gateway.resume_gateway()


PUTS = {
    "busy": (answer(503, b"<Error><Code>SlowDown</Code></Error>"), "retry"),
    "damaged": (answer(400, b"<Error><Code>BadDigest</Code></Error>"), "retry"),
    "refused": (answer(403, b"<Error><Code>AccessDenied</Code></Error>"), "auth"),
    "nothing": (Say(b"", close=True), "retry"),
    "502": (answer(502, b"<html/>", HTML), "retry"),
    "said to be stored": (answer(200, b"", ETAG), "retry"),
}


@pytest.mark.parametrize("name", PUTS)
def test_put(scripted: Servers, name: str) -> None:
    said, expected = PUTS[name]
    server = scripted(MISSING, said, NOTHING, MISSING)
    done = store_at(server)("--once", "put", "wal/k", stdin=b"x" * 100_000)
    assert status(done) == expected, done.err
    assert '"wal/k"' in done.err


@pytest.mark.parametrize("said", [answer(200, b"<html/>", HTML), answer(204)])
def test_a_portal_that_says_yes_to_all(scripted: Servers, said: Say) -> None:
    server = scripted(said)
    for command in (("get", "k"), ("head", "k"), ("list", ""), ("dirs", "a/")):
        done = store_at(server)("--once", *command)
        assert status(done) == "retry", done.err
    assert status(store_at(server)("--once", "put", "k")) == "exists"


def test_a_listing_without_end(scripted: Servers) -> None:
    one = b"<Contents><Key>p/%d</Key><Size>1</Size></Contents>"
    many = b"<ListBucketResult>" + b"".join(one % n for n in range(30_000))
    done = store_at(scripted(answer(200, many)))("--once", "list", "")
    assert status(done) == "config"
    assert "more than it was asked for" in done.err


# --- TLS --------------------------------------------------------------------------


def test_https_without_a_check_has_to_be_said(
    bucket: Bucket, tls_proxy: Callable[..., TlsProxy]
) -> None:
    """libs3 takes every certificate: nobody may believe that it looks."""
    store = store_for(bucket, tls_proxy(tls.EXPIRED).endpoint)
    refused = store("put", "k")
    assert status(refused) == "config"
    assert "s3_tls = unverified" in refused.err
    careless = store.but(s3_tls="unverified")
    careless("put", "k", stdin=b"x").check()
    assert careless("get", "k").check().out == "x"
