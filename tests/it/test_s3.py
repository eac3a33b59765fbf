"""The S3 store against a real server: addressing, listings, faults, TLS."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
from collections.abc import Callable

import pytest

from ground import tls
from ground.fault import FaultProxy
from ground.host import base_environment, wait_for
from ground.s3 import Gateway
from ground.s3client import Bucket
from ground.storetool import StoreTool, requests, status
from ground.tls import Authority, TlsProxy

MIB = 1 << 20
ALL_BYTES = "AZaz09._-"


def store_for(bucket: Bucket, endpoint: str, prefix: str = "/it") -> StoreTool:
    return StoreTool(
        repository=f"s3://{bucket.name}{prefix}",
        s3_endpoint=endpoint,
        s3_access_key_id=Gateway.credentials.access_key,
        s3_secret_access_key=Gateway.credentials.secret_key,
    )


@pytest.fixture
def store(bucket: Bucket, gateway: Gateway) -> StoreTool:
    return store_for(bucket, gateway.endpoint)


@pytest.fixture
def watched(bucket: Bucket, fault_proxy: FaultProxy) -> StoreTool:
    """Through the fault proxy, which records what is asked."""
    return store_for(bucket, fault_proxy.endpoint)


# --- what a store is for ----------------------------------------------------------


def test_round_trip(store: StoreTool, bucket: Bucket) -> None:
    data = os.urandom(5 * MIB + 17)
    store("put", "1/wal/x", stdin=data).check()
    assert bucket.get("it/1/wal/x") == data
    assert store("get", "1/wal/x").check().raw_out == data
    size, modified, storage_class, archived = store("head", "1/wal/x").out.split()
    assert (int(size), storage_class, archived) == (len(data), "STANDARD", "ready")
    assert int(modified) > 1_700_000_000
    assert store("list", "").out == f"1/wal/x {len(data)}\n"
    assert store("rm", "1/wal/x").out == "1/wal/x ok\n"
    assert status(store("get", "1/wal/x")) == "missing"
    assert status(store("head", "1/wal/x")) == "missing"


def test_empty_object(store: StoreTool) -> None:
    store("put", "empty").check()
    assert store("get", "empty").check().out == ""
    assert store("head", "empty").check().out.startswith("0 ")


def test_a_put_never_overwrites(store: StoreTool, bucket: Bucket) -> None:
    store("put", "k", stdin=b"first").check()
    again = store("--stats", "put", "k", stdin=b"second")
    assert status(again) == "exists"
    assert '"k"' in again.err
    assert requests(again) == 1
    assert bucket.get("it/k") == b"first"


def test_one_request_each(watched: StoreTool, fault_proxy: FaultProxy) -> None:
    watched("put", "k", stdin=b"x").check()
    watched("get", "k").check()
    watched("head", "k").check()
    watched("list", "").check()
    assert [request.method for request in fault_proxy.requests] == [
        *("PUT", "GET", "HEAD", "GET")
    ]


def test_ranges(store: StoreTool) -> None:
    data = os.urandom(100_000)
    store("put", "k", stdin=data).check()
    for offset, length in ((0, 1), (0, 100_000), (99_999, 1), (12_345, 54_321)):
        got = store("get", "k", str(offset), str(length)).check()
        assert got.raw_out == data[offset : offset + length]
    assert store("get", "k", "40000", "0").check().raw_out == data[40_000:]
    assert store("get", "k", "100000", "0").check().raw_out == b""
    for offset, length in ((0, 100_001), (99_999, 2), (100_000, 1), (200_000, 5)):
        short = store("get", "k", str(offset), str(length))
        assert status(short) == "corrupt"
        assert short.raw_out == b""
    assert status(store("get", "k", "100001", "0")) == "corrupt"


@pytest.mark.parametrize("prefix", ["", "/p", "/a.b/C_d-e/" + "x" * 200])
def test_every_byte_of_a_key(gateway: Gateway, bucket: Bucket, prefix: str) -> None:
    store = store_for(bucket, gateway.endpoint, prefix)
    keys = [f"{c}/{c}{ALL_BYTES}{c}" for c in "AZaz09_-"]
    keys += ["..a/b..", ".a/.b", "a" * 200 + "/" + "b" * 200]
    for key in keys:
        store("put", key, stdin=key.encode()).check()
        assert store("get", key).check().out == key
    listed = [line.split()[0] for line in store("list", "").check().out.splitlines()]
    assert listed == sorted(keys)
    store("rm", *keys).check()
    assert store("list", "").check().out == ""
    assert bucket.list() == {}


# --- addressing -------------------------------------------------------------------


def test_the_bucket_in_the_host_name(bucket: Bucket, fault_proxy: FaultProxy) -> None:
    endpoint = f"http://localhost:{fault_proxy.port}"
    store = store_for(bucket, endpoint).but(s3_addressing="virtual")
    store("put", "a/k", stdin=b"x").check()
    assert store("get", "a/k").check().out == "x"
    assert store("dirs", "").check().out == "a/\n"
    store("rm", "a/k", "a/l").check()
    for request in fault_proxy.requests:
        assert request.headers["host"] == f"{bucket.name}.localhost:{fault_proxy.port}"
        assert request.path.startswith(("/it/", "/?"))


def test_the_bucket_in_the_path(bucket: Bucket, fault_proxy: FaultProxy) -> None:
    """Automatically so, at an endpoint that is not Amazon's."""
    endpoint = f"http://localhost:{fault_proxy.port}"
    store_for(bucket, endpoint)("put", "k").check()
    (request,) = fault_proxy.requests
    assert request.headers["host"] == f"localhost:{fault_proxy.port}"
    assert request.path == f"/{bucket.name}/it/k"


def test_a_bucket_name_with_dots(gateway: Gateway) -> None:
    bucket = gateway.create_bucket("with.dots.in")
    try:
        for addressing in ("path", "virtual"):
            endpoint = f"http://localhost:{gateway.port}"
            store = store_for(bucket, endpoint).but(s3_addressing=addressing)
            store("put", addressing, stdin=b"x").check()
            assert store("get", addressing).check().out == "x"
    finally:
        gateway.delete_bucket(bucket)


# --- listings and deletions -------------------------------------------------------


def test_listings_of_many_pages(store: StoreTool) -> None:
    store("fill", "1/wal/00000001/", "1", "1234").check()
    store("fill", "1/wal/00000002/", "1", "3").check()
    store("fill", "2/", "1", "1").check()
    lines = store("--stats", "list", "")
    keys = [line.split()[0] for line in lines.check().out.splitlines()]
    assert len(keys) == 1238
    assert keys == sorted(keys)
    assert requests(lines) == 2
    after = store("list", "1/wal/00000001/", "1/wal/00000001/00001230").out
    assert [line.split()[0] for line in after.splitlines()] == [
        f"1/wal/00000001/0000123{n}" for n in (1, 2, 3, 4)
    ]
    assert store("list", "1/wal/00000001/0000123", "1/wal/00000001/00001233").out == (
        "1/wal/00000001/00001234 23\n"
    )
    assert store("dirs", "").out == "1/\n2/\n"
    assert store("dirs", "1/wal/").out == "1/wal/00000001/\n1/wal/00000002/\n"
    assert store("dirs", "1/wal/", "1/wal/00000001/").out == "1/wal/00000002/\n"
    assert store("list", "3/").out == ""
    assert store("list", "", "9").out == ""

    gone = store("--stats", "rm", "-", stdin="\n".join(keys).encode())
    told = gone.check().out.splitlines()
    assert sorted(told) == [f"{key} ok" for key in sorted(keys)]
    assert requests(gone) == 2
    assert store("list", "").out == ""


def test_a_shallow_listing_of_many_pages(store: StoreTool) -> None:
    """Keys and common prefixes mixed, in byte order across pages."""
    names = [f"d{n:05}" for n in range(0, 1100, 11)]
    store("fill", "d", "0", "1100").check()
    for name in names:
        store("put", f"{name}/x").check()
    lines = store("dirs", "").check().out.splitlines()
    got = [line.split()[0] for line in lines]
    assert got == sorted(got)
    assert [key for key in got if key.endswith("/")] == [f"{name}/" for name in names]
    assert len(got) == 1101 + len(names)


def test_objects_of_strangers_are_passed_over(
    store: StoreTool, bucket: Bucket
) -> None:
    for name in ("a b", "x&<y>", "ü", "a//b", "./k", "d/", "per%cent", "tab\tx"):
        bucket.client.expect("PUT", f"/{bucket.name}/it/{name}")
    bucket.client.expect("PUT", f"/{bucket.name}/itself")
    bucket.client.expect("PUT", f"/{bucket.name}/other/k")
    store("put", "k", stdin=b"1").check()
    assert store("list", "").check().out == "k 1\n"
    assert "k 1\n" in store("dirs", "").check().out


def test_deleting_what_is_not_there(store: StoreTool) -> None:
    store("put", "a").check()
    assert store("rm", "a", "b").check().out in ("a ok\nb ok\n", "b ok\na ok\n")
    assert store("rm", "a").check().out == "a ok\n"


# --- refusals ---------------------------------------------------------------------

COMMANDS = (("get", "k"), ("head", "k"), ("put", "k"), ("list", ""), ("rm", "k"))


def assert_no_secret(text: str) -> None:
    for secret in (Gateway.credentials.secret_key, "Signature=", "AWS4-HMAC"):
        assert secret not in text


@pytest.mark.parametrize("command", COMMANDS)
def test_a_wrong_secret(store: StoreTool, command: tuple[str, str]) -> None:
    wrong = store.but(s3_secret_access_key="not-the-secret")("--stats", *command)
    assert status(wrong) == "auth"
    assert requests(wrong) == 1
    assert "not-the-secret" not in wrong.err
    assert_no_secret(wrong.err)
    unknown = store.but(s3_access_key_id="NOBODY")("--stats", *command)
    assert status(unknown) == "auth"
    assert_no_secret(unknown.err)


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("offset", ["+20m", "-20m"])
def test_a_clock_that_is_off(
    store: StoreTool, command: tuple[str, str], offset: str
) -> None:
    # libfaketime has to be loaded before the sanitizer's library, too.
    options = os.environ.get("ASAN_OPTIONS", "") + ":verify_asan_link_order=0"
    env = {"ASAN_OPTIONS": options.lstrip(":")}
    skewed = store(*command, env=env, wrapper=("faketime", "-f", offset))
    assert status(skewed) == "auth"
    assert "clock is 1" in skewed.err
    assert ("ahead of" if offset[0] == "+" else "behind") in skewed.err


@pytest.mark.parametrize("command", COMMANDS)
def test_a_bucket_that_is_not_there(
    store: StoreTool, command: tuple[str, str]
) -> None:
    """It says nothing about any object."""
    nowhere = store.but(repository="s3://no-such-bucket-here/it")
    refused = nowhere("--stats", *command)
    assert status(refused) == "config"
    assert "NoSuchBucket" in refused.err
    assert "Create the bucket" in refused.err


@pytest.mark.parametrize("command", COMMANDS)
def test_a_bucket_of_somebody_else(
    store: StoreTool, gateway: Gateway, command: tuple[str, str]
) -> None:
    other = gateway.create_user(f"other-{os.urandom(4).hex()}")
    stranger = store.but(
        s3_access_key_id=other.access_key, s3_secret_access_key=other.secret_key
    )
    store("put", "k").check()
    refused = stranger(*command)
    assert status(refused) == "auth"
    assert "s3:" in refused.err


# --- conditional puts -------------------------------------------------------------


def test_without_conditional_puts_a_head_goes_first(
    watched: StoreTool, fault_proxy: FaultProxy, bucket: Bucket
) -> None:
    careful = watched.but(s3_conditional_put="off")
    careful("put", "k", stdin=b"first").check()
    assert status(careful("put", "k", stdin=b"second")) == "exists"
    assert bucket.get("it/k") == b"first"
    puts = [request for request in fault_proxy.requests if request.method == "PUT"]
    assert len(puts) == 1
    assert "if-none-match" not in puts[0].headers


def test_features_of_a_plain_bucket(store: StoreTool, bucket: Bucket) -> None:
    told = dict(line.split(" ", 1) for line in store("features").out.splitlines())
    assert told["conditional_put"] == "1"
    assert told["versioned"] == "0"
    assert told["object_lock"] == "0"
    assert (told["lifecycle_known"], told["lifecycle_touches"]) == ("1", "0")
    assert abs(int(told["clock_offset_ms"])) < 60_000
    assert told["endpoint"].endswith(f"/{bucket.name}")
    assert bucket.list() == {}


def test_features_of_a_versioned_bucket(store: StoreTool, bucket: Bucket) -> None:
    bucket.enable_versioning()
    told = dict(line.split(" ", 1) for line in store("features").out.splitlines())
    assert told["versioned"] == "1"
    # This server ignores the condition there, which is what the probe is for.
    assert told["conditional_put"] == "0"


def test_features_of_a_locked_bucket(gateway: Gateway) -> None:
    name = f"locked-{os.urandom(4).hex()}"
    headers = {"x-amz-bucket-object-lock-enabled": "true"}
    gateway.client().expect("PUT", f"/{name}", headers=headers)
    bucket = Bucket(gateway.client(), name)
    try:
        store = store_for(bucket, gateway.endpoint)
        told = dict(line.split(" ", 1) for line in store("features").out.splitlines())
        assert (told["versioned"], told["object_lock"]) == ("1", "1")
    finally:
        gateway.delete_bucket(bucket)


@pytest.mark.parametrize(
    ("prefix", "touches"),
    [("", "1"), ("it", "1"), ("it/1/wal/", "1"), ("its", "0"), ("other/", "0")],
)
def test_lifecycle_rules(
    store: StoreTool, bucket: Bucket, prefix: str, touches: str
) -> None:
    rule = "<LifecycleConfiguration><Rule><ID>r</ID><Filter><Prefix>{}</Prefix></Filter>"
    rule += "<Status>Enabled</Status><Expiration><Days>9</Days></Expiration></Rule>"
    rule += "</LifecycleConfiguration>"
    bucket.configure("lifecycle", rule.format(prefix).encode())
    told = dict(line.split(" ", 1) for line in store("features").out.splitlines())
    assert (told["lifecycle_known"], told["lifecycle_touches"]) == ("1", touches)
    assert told["lifecycle_min_days"] == ("9" if touches == "1" else "0")


# --- a bad network ----------------------------------------------------------------


def test_a_cut_read_goes_on_where_it_stopped(
    watched: StoreTool, fault_proxy: FaultProxy
) -> None:
    data = os.urandom(8 * MIB)
    watched("put", "k", stdin=data).check()
    fault_proxy.forget()
    fault_proxy.set(cut_down=3 * MIB, first=2)
    got = watched("get", "k").check()
    assert got.raw_out == data
    ranges = [request.headers.get("range") for request in fault_proxy.requests]
    assert ranges[0] is None
    assert len(ranges) == 3
    starts = [int(re.fullmatch(r"bytes=(\d+)-", text).group(1)) for text in ranges[1:]]
    assert 0 < starts[0] < starts[1] < len(data)


def test_a_put_whose_answer_is_lost(
    watched: StoreTool, fault_proxy: FaultProxy, bucket: Bucket
) -> None:
    """The retry meets the object that the first try stored."""
    fault_proxy.set(eat=True, first=1)
    lost = watched("put", "k", stdin=b"stored")
    assert status(lost) == "exists"
    assert bucket.get("it/k") == b"stored"
    assert fault_proxy.count("PUT") == 2


def test_a_cut_upload_is_repeated(
    watched: StoreTool, fault_proxy: FaultProxy, bucket: Bucket
) -> None:
    data = os.urandom(4 * MIB)
    fault_proxy.set(cut_up=MIB, first=2)
    watched("put", "k", stdin=data).check()
    assert bucket.get("it/k") == data


# Not HEAD with 400: without a body nobody can tell that it is RequestTimeout.
@pytest.mark.parametrize(
    ("command", "http"),
    [
        (command, http)
        for command in COMMANDS
        for http in (500, 503, 429, 400, 409)
        if (command[0], http) != ("head", 400)
    ],
)
def test_a_store_that_asks_for_patience(
    watched: StoreTool, fault_proxy: FaultProxy, command: tuple[str, str], http: int
) -> None:
    """400 is RequestTimeout here, 409 ConditionalRequestConflict."""
    if command[0] != "put":
        watched("put", "k").check()
    fault_proxy.forget()
    fault_proxy.set(http=http, first=1, headers="Connection: close\r\n", early=True)
    once = watched("--once", *command)
    assert status(once) == "retry"
    assert f"HTTP {http}" in once.err
    fault_proxy.set(http=http, first=1, headers="Connection: close\r\n", early=True)
    watched(*command).check()


def test_how_long_a_store_asks_to_wait_is_obeyed(
    watched: StoreTool, fault_proxy: FaultProxy
) -> None:
    """An hour is more than we have: not even a second try."""
    fault_proxy.set(http=503, headers="Retry-After: 3600\r\n")
    slow = watched("--timeout", "5000", "--stats", "list", "")
    assert status(slow) == "retry"
    assert requests(slow) == 1


@pytest.mark.parametrize("command", COMMANDS)
def test_a_store_that_hangs(
    watched: StoreTool, fault_proxy: FaultProxy, command: tuple[str, str]
) -> None:
    fault_proxy.set(hang=True)
    late = watched("--timeout", "700", *command)
    assert status(late) == "deadline"
    assert f'"{command[1]}"' in late.err
    stalled = watched.but(stall_timeout="1s")("--once", *command)
    assert status(stalled) == "retry"
    assert "no byte moved" in stalled.err


def test_a_slow_store_is_not_a_stalled_one(
    watched: StoreTool, fault_proxy: FaultProxy
) -> None:
    """Far longer than the time-out in all, but never without a byte."""
    data = os.urandom(10 * MIB)
    watched("put", "k", stdin=data).check()
    fault_proxy.set(rate=2 * MIB)
    slow = watched.but(stall_timeout="3s")
    assert slow("--once", "get", "k").check().raw_out == data


def test_a_signal_ends_a_wait(watched: StoreTool, fault_proxy: FaultProxy) -> None:
    fault_proxy.set(hang=True)
    argv, settings = watched.command("get", "k")
    process = subprocess.Popen(
        argv, env=base_environment(settings), stderr=subprocess.PIPE, text=True
    )
    wait_for(lambda: fault_proxy.requests, "the request is on its way")
    process.terminate()
    _, told = process.communicate(timeout=60)
    assert process.returncode == 1
    assert told.startswith("cancelled: ")


@pytest.mark.parametrize("command", COMMANDS)
def test_a_store_that_is_down(
    watched: StoreTool, fault_proxy: FaultProxy, command: tuple[str, str]
) -> None:
    fault_proxy.set(refuse=True)
    assert status(watched("--once", *command)) == "retry"
    nobody = watched.but(s3_endpoint="http://127.0.0.1:1")
    assert status(nobody("--once", *command)) == "retry"
    unknown = watched.but(s3_endpoint="http://nowhere.invalid")
    assert status(unknown("--once", *command)) == "retry"


def test_an_early_refusal_of_a_long_put(
    watched: StoreTool, fault_proxy: FaultProxy
) -> None:
    fault_proxy.set(http=403, early=True)
    refused = watched("put", "k", stdin=bytes(8 * MIB))
    assert status(refused) == "auth"
    assert "AccessDenied" in refused.err


def test_one_connection_serves_many_requests(
    watched: StoreTool, fault_proxy: FaultProxy
) -> None:
    watched("fill", "k", "1", "50").check()
    assert fault_proxy.count("PUT") == 50
    assert fault_proxy.connections == 1


# --- what a signature covers, and TLS ---------------------------------------------


def test_a_body_over_http_is_signed(
    watched: StoreTool, fault_proxy: FaultProxy
) -> None:
    watched("put", "k", stdin=b"body").check()
    watched("get", "k").check()
    put, get = fault_proxy.requests
    assert put.headers["x-amz-content-sha256"] == hashlib.sha256(b"body").hexdigest()
    assert get.headers["x-amz-content-sha256"] == hashlib.sha256(b"").hexdigest()
    for request in (put, get):
        signed = re.search(r"SignedHeaders=([^,]+)", request.headers["authorization"])
        for name in ("host", "x-amz-content-sha256", "x-amz-date"):
            assert name in signed.group(1).split(";")
    assert "if-none-match" in put.headers["authorization"]
    assert "expect" not in put.headers


def test_over_tls(
    bucket: Bucket,
    fault_proxy: FaultProxy,
    tls_proxy: Callable[..., TlsProxy],
    authority: Authority,
) -> None:
    """TLS protects the body, so only the rest is signed; unless unverified."""
    proxy = tls_proxy(port=fault_proxy.port)
    store = store_for(bucket, proxy.endpoint).but(s3_ca_file=authority.ca_file)
    data = os.urandom(3 * MIB)
    store("put", "a/k", stdin=data).check()
    assert store("get", "a/k").check().raw_out == data
    store("rm", "a/k", "a/l").check()
    put, _, delete = fault_proxy.requests
    assert put.headers["x-amz-content-sha256"] == "UNSIGNED-PAYLOAD"
    assert re.fullmatch("[0-9a-f]{64}", delete.headers["x-amz-content-sha256"])
    assert "content-md5" in delete.headers

    fault_proxy.forget()
    careless = store.but(s3_ca_file=None, s3_tls="unverified")
    careless("put", "b", stdin=b"body").check()
    (put,) = fault_proxy.requests
    assert put.headers["x-amz-content-sha256"] == hashlib.sha256(b"body").hexdigest()


def test_the_ca_bundle_of_the_environment(
    bucket: Bucket, tls_proxy: Callable[..., TlsProxy], authority: Authority
) -> None:
    store = store_for(bucket, tls_proxy().endpoint)
    store("list", "", env={"AWS_CA_BUNDLE": str(authority.ca_file)}).check()


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize(
    "certificate", [tls.EXPIRED, tls.WRONG_NAME, tls.UNTRUSTED, "unknown"]
)
def test_a_certificate_that_is_not_trusted(
    bucket: Bucket,
    tls_proxy: Callable[..., TlsProxy],
    authority: Authority,
    certificate: str,
    command: tuple[str, str],
) -> None:
    """Only a person can mend that: no retry, and never "missing"."""
    known = certificate != "unknown"
    proxy = tls_proxy(certificate if known else tls.GOOD)
    store = store_for(bucket, proxy.endpoint)
    if known:
        store = store.but(s3_ca_file=authority.ca_file)
    refused = store("--stats", *command)
    assert status(refused) == "config"
    assert requests(refused) == 1
    assert "certificate" in refused.err


def test_a_ca_file_that_is_not_there(
    bucket: Bucket, tls_proxy: Callable[..., TlsProxy]
) -> None:
    store = store_for(bucket, tls_proxy().endpoint)
    refused = store.but(s3_ca_file="/nonexistent/ca.pem")("list", "")
    assert status(refused) == "config"
    assert "s3_ca_file" in refused.err


def test_plain_http_where_tls_is_expected(store: StoreTool, gateway: Gateway) -> None:
    wrong = store.but(s3_endpoint=f"https://localhost:{gateway.port}")
    refused = wrong("--once", "list", "")
    assert status(refused) == "retry"
    assert "http://" in refused.err


# --- settings ---------------------------------------------------------------------


def test_settings_that_are_missing(store: StoreTool) -> None:
    for name in ("s3_access_key_id", "s3_secret_access_key"):
        refused = store.but(**{name: None})("list", "")
        assert status(refused) == "config"
        assert name in refused.err
