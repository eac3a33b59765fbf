"""Ways to a store: regions, Amazon's own hosts, proxies, IPv6, versions of TLS."""

from __future__ import annotations

import base64
import os
import shlex
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ground import tls
from ground.host import run
from ground.proxy import ForwardProxy
from ground.s3 import Gateway
from ground.s3client import Bucket
from ground.scripted import Say, Scripted, answer
from ground.signed import CREDENTIALS, assert_signed
from ground.storetool import StoreTool, requests, status
from ground.tls import Authority, TlsProxy

ETAG = 'ETag: "e"'
STORED = answer(200, b"", ETAG)
FOUND = answer(200, b"data", ETAG)
REGION = "x-amz-bucket-region: eu-central-1"

Servers = Callable[..., Scripted]


def error(code: int, name: str, *headers: str, inside: str = "") -> Say:
    document = f"<Error><Code>{name}</Code>{inside}</Error>"
    return answer(code, document.encode(), *headers)


def store_at(server: Scripted | None, **settings: str) -> StoreTool:
    values = {
        "repository": "s3://bucket/p",
        "s3_access_key_id": CREDENTIALS.access_key,
        "s3_secret_access_key": CREDENTIALS.secret_key,
        **({"s3_endpoint": server.endpoint} if server else {}),
        **settings,
    }
    return StoreTool(**values)


def store_for(bucket: Bucket, endpoint: str) -> StoreTool:
    return StoreTool(
        repository=f"s3://{bucket.name}/it",
        s3_endpoint=endpoint,
        s3_access_key_id=Gateway.credentials.access_key,
        s3_secret_access_key=Gateway.credentials.secret_key,
    )


# --- regions ----------------------------------------------------------------------

ELSEWHERE = {
    "301": error(301, "PermanentRedirect", REGION),
    "301 and a place": error(
        *(301, "PermanentRedirect", REGION, "Location: http://127.0.0.1:1/x")
    ),
    "307": error(307, "TemporaryRedirect", REGION),
    "307 without a document": answer(307, b"", REGION),
    "400": error(
        400, "AuthorizationHeaderMalformed", inside="<Region>eu-central-1</Region>"
    ),
    "400 and the header": error(400, "AuthorizationHeaderMalformed", REGION),
}


@pytest.mark.parametrize("kind", ELSEWHERE)
def test_another_region_is_believed_once(scripted: Servers, kind: str) -> None:
    server = scripted(ELSEWHERE[kind], STORED)
    done = store_at(server)("--once", "--stats", "put", "k", stdin=b"body").check()
    first, second = server.asked
    assert_signed(first, "us-east-1")
    assert_signed(second, "eu-central-1")
    assert (second.path, second.body) == (first.path, b"body")
    assert requests(done) == 2
    assert 'bucket "bucket" is in region "eu-central-1"' in done.err
    assert '"s3_region"' in done.err


def test_a_head_that_is_answered_with_400(scripted: Servers) -> None:
    """It has no document, only the header."""
    modified = "Last-Modified: Sun, 06 Nov 1994 08:49:37 GMT"
    server = scripted(
        answer(400, b"", REGION, length=0), answer(200, b"", ETAG, modified, length=0)
    )
    store_at(server)("--once", "head", "k").check()
    assert_signed(server.asked[1], "eu-central-1")


def test_what_was_learnt_is_kept(scripted: Servers) -> None:
    """For the life of the process; and told once."""
    server = scripted(ELSEWHERE["301"], STORED)
    done = store_at(server)("fill", "k", "1", "3").check()
    assert len(server.asked) == 4
    assert done.err.count("is in region") == 1


def test_a_store_that_sends_us_on_and_on(scripted: Servers) -> None:
    server = scripted(
        ELSEWHERE["301"], error(301, "PermanentRedirect", "x-amz-bucket-region: mars-1")
    )
    refused = store_at(server)("--once", "put", "k")
    assert status(refused) == "config"
    assert '"mars-1": set "s3_region"' in refused.err
    assert len(server.asked) == 2


def test_a_store_that_cannot_decide(scripted: Servers) -> None:
    """Believed once in the life of a process, not once for each object."""
    back = error(301, "PermanentRedirect", "x-amz-bucket-region: us-east-1")
    server = scripted(ELSEWHERE["301"], STORED, back, STORED)
    assert status(store_at(server)("fill", "k", "1", "2")) == "config"
    assert len(server.asked) == 3


OTHER_HOST = "<Endpoint>bucket.evil.example</Endpoint>"
NOT_FOLLOWED = {
    "no region": error(301, "PermanentRedirect", inside=OTHER_HOST),
    "only a place": answer(302, b"", "Location: http://127.0.0.1:1/"),
    "the same region": error(301, "PermanentRedirect", "x-amz-bucket-region: us-east-1"),
    "no region's name": error(301, "P", "x-amz-bucket-region: a.evil.example/x"),
    "upper case": error(301, "P", "x-amz-bucket-region: EU"),
    "another 400": error(400, "InvalidArgument", REGION),
    "refused": error(403, "AccessDenied", REGION),
}


@pytest.mark.parametrize("kind", NOT_FOLLOWED)
def test_what_is_not_followed(scripted: Servers, kind: str) -> None:
    server = scripted(NOT_FOLLOWED[kind], STORED)
    refused = store_at(server)("--once", "--stats", "put", "k")
    assert status(refused) in ("config", "auth")
    assert requests(refused) == len(server.asked) == 1
    assert "every start costs" not in refused.err


# --- Amazon's own hosts -----------------------------------------------------------


@pytest.fixture
def proxies() -> Iterator[Callable[..., ForwardProxy]]:
    made: list[ForwardProxy] = []

    def start(*args: object, **options: object) -> ForwardProxy:
        made.append(ForwardProxy(*args, **options))  # type: ignore[arg-type]
        return made[-1]

    yield start
    for proxy in made:
        proxy.stop()


Proxies = Callable[..., ForwardProxy]
US, EU = "s3.us-east-1.amazonaws.com", "s3.eu-central-1.amazonaws.com"


def crc32c(data: bytes) -> str:
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return base64.b64encode((crc ^ 0xFFFFFFFF).to_bytes(4, "big")).decode()


def test_amazon(scripted: Servers, proxies: Proxies, authority: Authority) -> None:
    """Through a tunnel, so that its names lead here."""
    server = scripted(STORED, tls=authority.server_context(tls.AWS))
    proxy = proxies({f"bucket.{US}": server.port})
    store = store_at(None, s3_ca_file=str(authority.ca_file))
    store("put", "k", stdin=b"body", env={"https_proxy": proxy.url}).check()
    (tunnel,) = proxy.asked
    assert (tunnel.method, tunnel.path) == ("CONNECT", f"bucket.{US}:443")
    # The store's credentials are none of the proxy's business.
    assert not {n for n in tunnel.headers if n == "authorization" or "amz" in n}
    (put,) = server.asked
    assert put.path == "/p/k"
    assert put.headers["host"] == f"bucket.{US}"
    assert put.headers["x-amz-content-sha256"] == "UNSIGNED-PAYLOAD"
    assert put.headers["x-amz-checksum-crc32c"] == crc32c(b"body")
    assert "content-md5" not in put.headers
    assert_signed(put)


def test_amazon_in_another_region(
    scripted: Servers, proxies: Proxies, authority: Authority
) -> None:
    """There it is another host, too."""
    here = scripted(ELSEWHERE["301"], tls=authority.server_context(tls.AWS))
    there = scripted(STORED, tls=authority.server_context(tls.AWS))
    proxy = proxies({f"bucket.{US}": here.port, f"bucket.{EU}": there.port})
    store = store_at(None, s3_ca_file=str(authority.ca_file))
    store("put", "k", stdin=b"body", env={"https_proxy": proxy.url}).check()
    (put,) = there.asked
    assert put.headers["host"] == f"bucket.{EU}"
    assert_signed(put, "eu-central-1")


def test_amazon_and_a_bucket_name_with_dots(
    scripted: Servers, proxies: Proxies, authority: Authority
) -> None:
    """No certificate covers my.bucket.s3..., so it goes into the path."""
    server = scripted(STORED, tls=authority.server_context(tls.AWS))
    proxy = proxies({US: server.port, f"my.bucket.{US}": server.port})
    store = store_at(
        None, s3_ca_file=str(authority.ca_file), repository="s3://my.bucket/p"
    )
    env = {"https_proxy": proxy.url}
    store("put", "k", stdin=b"body", env=env).check()
    assert server.asked[0].path == "/my.bucket/p/k"
    refused = store.but(s3_addressing="virtual")("--once", "put", "k", env=env)
    assert status(refused) == "config"
    assert "certificate" in refused.err


# --- proxies ----------------------------------------------------------------------


def test_a_proxy_for_plain_requests(
    bucket: Bucket, gateway: Gateway, proxies: Proxies
) -> None:
    """As curl's users expect: in lower case, with exceptions, with a password."""
    proxy = proxies()
    store = store_for(bucket, gateway.endpoint)
    store("put", "k", stdin=b"x", env={"http_proxy": proxy.url}).check()
    (asked,) = proxy.asked
    assert asked.path.startswith(gateway.endpoint)
    everyone = {"http_proxy": proxy.url, "no_proxy": "127.0.0.1"}
    assert store("get", "k", env=everyone).check().out == "x"
    assert len(proxy.asked) == 1


def test_a_proxy_for_tunnels(
    bucket: Bucket,
    tls_proxy: Callable[..., TlsProxy],
    authority: Authority,
    proxies: Proxies,
) -> None:
    proxy = proxies()
    store = store_for(bucket, tls_proxy().endpoint).but(s3_ca_file=authority.ca_file)
    data = os.urandom(3 << 20)
    for variable in ("https_proxy", "HTTPS_PROXY", "all_proxy"):
        env = {variable: proxy.url}
        store("put", variable, stdin=data, env=env).check()
        assert store("get", variable, env=env).check().raw_out == data
    assert {asked.method for asked in proxy.asked} == {"CONNECT"}
    assert len(proxy.asked) == 6


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_proxy_with_a_password(
    bucket: Bucket,
    gateway: Gateway,
    tls_proxy: Callable[..., TlsProxy],
    authority: Authority,
    proxies: Proxies,
    scheme: str,
) -> None:
    proxy = proxies(password="me:pass-word")
    endpoint = gateway.endpoint if scheme == "http" else tls_proxy().endpoint
    store = store_for(bucket, endpoint).but(s3_ca_file=authority.ca_file)
    right = proxy.url.replace("//", "//me:pass-word@")
    store("put", "k", stdin=b"x", env={f"{scheme}_proxy": right}).check()
    for url in (proxy.url, right.replace("-word", "-wrod")):
        refused = store("--stats", "put", "l", env={f"{scheme}_proxy": url})
        assert status(refused) == "config"
        assert requests(refused) == 1
        assert "HTTP 407 from a proxy" in refused.err
        assert f"{scheme}_proxy" in refused.err
        assert "pass-w" not in refused.err


@pytest.mark.parametrize(("code", "outcome"), [(403, "config"), (503, "retry")])
def test_a_proxy_that_gives_no_tunnel(
    bucket: Bucket,
    tls_proxy: Callable[..., TlsProxy],
    authority: Authority,
    proxies: Proxies,
    code: int,
    outcome: str,
) -> None:
    proxy = proxies(refuse=code)
    store = store_for(bucket, tls_proxy().endpoint).but(s3_ca_file=authority.ca_file)
    for command in (("put", "k"), ("get", "k"), ("head", "k"), ("list", "")):
        refused = store("--once", *command, env={"https_proxy": proxy.url})
        assert status(refused) == outcome
        assert f"HTTP {code} from a proxy" in refused.err


def test_a_proxy_that_is_not_there(bucket: Bucket, gateway: Gateway) -> None:
    store = store_for(bucket, gateway.endpoint)
    refused = store("--once", "list", "", env={"http_proxy": "http://nowhere.invalid:1"})
    assert status(refused) == "retry"
    assert "http_proxy" in refused.err


# --- IPv6 -------------------------------------------------------------------------


def has_ipv6() -> bool:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        return False
    return True


@pytest.mark.skipif(not has_ipv6(), reason="this host has no IPv6 loopback")
def test_ipv6(scripted: Servers) -> None:
    server = scripted(STORED, FOUND, host="::1")
    store = store_at(server)
    store("put", "k", stdin=b"data").check()
    assert store("get", "k").check().out == "data"
    for asked in server.asked:
        assert asked.headers["host"] == f"[::1]:{server.port}"
        assert_signed(asked)


# --- TLS --------------------------------------------------------------------------


def test_a_client_certificate(
    bucket: Bucket,
    tls_proxy: Callable[..., TlsProxy],
    authority: Authority,
) -> None:
    proxy = tls_proxy(clients=True)
    store = store_for(bucket, proxy.endpoint).but(s3_ca_file=authority.ca_file)
    store.but(s3_client_cert=authority.chain(tls.GOOD))("put", "k", stdin=b"x").check()
    certificates = (
        *(None, authority.chain(tls.UNTRUSTED), authority.chain(tls.EXPIRED)),
        *(authority.ca_file, Path("/nonexistent.pem")),
    )
    for path in certificates:
        refused = store.but(s3_client_cert=path)("--stats", "put", "l")
        assert status(refused) == "config", path
        assert requests(refused) == 1
        assert "s3_client_cert" in refused.err


def test_a_client_key_with_a_passphrase(
    scripted: Servers, authority: Authority, work_dir: Path
) -> None:
    """Nobody is asked for it, although there is a terminal."""
    locked = work_dir / "locked.pem"
    source = authority.home / f"{tls.GOOD}.key"
    made = ["openssl", "ec", "-aes128", "-passout", "pass:x"]
    run([*made, "-in", source, "-out", locked]).check()
    with locked.open("ab") as file:
        file.write((authority.home / f"{tls.GOOD}.pem").read_bytes())
    server = scripted(STORED, tls=authority.server_context())
    store = store_at(server, s3_client_cert=str(locked))
    argv, settings = store.command("--once", "list", "")
    # script(1) gives it a terminal of its own.
    done = run(
        ["script", "-qec", shlex.join(argv), "/dev/null"], env=settings, timeout_s=60
    )
    assert "s3_client_cert" in done.out


@pytest.mark.parametrize(
    ("versions", "least", "works"),
    [
        ("ssl-min-ver TLSv1.2 ssl-max-ver TLSv1.2", None, True),
        ("ssl-min-ver TLSv1.2 ssl-max-ver TLSv1.2", "1.2", True),
        ("ssl-min-ver TLSv1.2 ssl-max-ver TLSv1.2", "1.3", False),
        ("ssl-min-ver TLSv1.3", "1.3", True),
        ("ssl-min-ver TLSv1.3", None, True),
    ],
)
def test_versions_of_tls(
    bucket: Bucket,
    tls_proxy: Callable[..., TlsProxy],
    authority: Authority,
    versions: str,
    least: str | None,
    works: bool,
) -> None:
    proxy = tls_proxy(versions=versions)
    store = store_for(bucket, proxy.endpoint)
    done = store.but(s3_ca_file=authority.ca_file, s3_tls=least)("put", "k")
    assert status(done) == ("ok" if works else "config")
    assert works or "\"s3_tls\"" in done.err
