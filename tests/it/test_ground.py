"""The test ground itself: every other test stands on what is shown here."""

from __future__ import annotations

import contextlib
import http.client
import socket
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from ground import tls
from ground.fault import FaultProxy
from ground.host import process_alive, wait_for
from ground.pg import Cluster, ClusterFactory
from ground.programs import Programs
from ground.s3 import Gateway
from ground.s3client import Bucket, S3Client

BIG = bytes(range(256)) * 4096


# --- PostgreSQL ---------------------------------------------------------------


@pytest.mark.versions
def test_version_starts(cluster: Cluster, pg_version: int) -> None:
    assert cluster.value("show server_version_num")[:2] == str(pg_version)
    assert cluster.value("show fsync") == "off"


@pytest.mark.versions
def test_archives_with_cp(new_cluster: ClusterFactory, shared_dir: Path) -> None:
    cluster = new_cluster(start=False)
    cluster.archive_with(f"cp %p {shared_dir}/%f")
    cluster.start()
    segment = cluster.switch_wal()
    cluster.wait_archived(segment)
    assert (shared_dir / segment).stat().st_size == 16 << 20


@pytest.mark.versions
def test_restored_directory_starts(
    cluster: Cluster, new_cluster: ClusterFactory
) -> None:
    cluster.pgbench("--initialize", "--quiet")
    copy = new_cluster(create=False)
    cluster.basebackup(copy.data)
    assert copy.verifybackup(copy.data).status == 0
    copy.start()
    assert copy.value("select count(*) from pgbench_accounts") == 100000
    assert copy.system_identifier() == cluster.system_identifier()
    assert copy.port != cluster.port


def test_killed_server_recovers(cluster: Cluster) -> None:
    cluster.sql("create table t as select 1 as a")
    pid = cluster.pid()
    assert pid is not None
    cluster.kill9()
    assert not process_alive(pid) and not cluster.running()
    cluster.start()
    assert cluster.sql("select a from t") == [(1,)]


def test_initdb_options(new_cluster: ClusterFactory) -> None:
    cluster = new_cluster(
        wal_segsize_mb=1,
        checksums=True,
        group_access=True,
        conf={"cluster_name": "it's one"},
    )
    assert cluster.value("show wal_segment_size") == "1MB"
    assert cluster.value("show data_checksums") == "on"
    assert cluster.value("show data_directory_mode") == "0750"
    assert cluster.value("show cluster_name") == "it's one"


@pytest.mark.versions
def test_cluster_as_debian_makes_it(new_cluster: ClusterFactory) -> None:
    cluster = new_cluster(debian=True, conf={"cluster_name": "outside"})
    assert not (cluster.data / "postgresql.conf").exists()
    assert cluster.value("show config_file").startswith(str(cluster.config_dir))
    assert cluster.value("show cluster_name") == "outside"
    cluster.restart()
    assert cluster.value("show hba_file").startswith(str(cluster.config_dir))


def test_server_that_refuses(new_cluster: ClusterFactory) -> None:
    cluster = new_cluster(start=False, conf={"shared_buffers": "many"})
    assert not cluster.try_start()
    assert "shared_buffers" in cluster.log()
    with pytest.raises(AssertionError, match="shared_buffers"):
        cluster.start()


@pytest.mark.versions
def test_programs_run_beside_the_server(cluster: Cluster, walship: Programs) -> None:
    """As an archive_command would start them: in the server's own root."""
    for name in ("wal-push", "wal-fetch", "walship"):
        done = cluster.root.run([walship.path(name), "--help"], cwd=cluster.data)
        assert (done.status, done.err) == (0, "")
        assert name in done.out


# --- the S3 gateway -------------------------------------------------------------


def test_conditional_put(bucket: Bucket) -> None:
    condition = {"if-none-match": "*"}
    assert bucket.put("a b/c+d", b"one", condition).status == 200
    again = bucket.put("a b/c+d", b"two", condition)
    assert (again.status, again.error_code) == (412, "PreconditionFailed")
    assert bucket.get("a b/c+d") == b"one"
    assert bucket.list() == {"a b/c+d": 3}


def test_bucket_is_empty(bucket: Bucket) -> None:
    assert bucket.list() == {}


def test_gateway_verifies_signatures(gateway: Gateway, bucket: Bucket) -> None:
    wrong = type(gateway.credentials)(gateway.credentials.access_key, "guess")
    answer = gateway.client(wrong).request("GET", f"/{bucket.name}")
    assert (answer.status, answer.error_code) == (403, "SignatureDoesNotMatch")


def test_stored_objects_outlive_the_gateway(gateway: Gateway, bucket: Bucket) -> None:
    bucket.put("k", b"v")
    gateway.stop_gateway()
    with pytest.raises(ConnectionRefusedError):
        bucket.get("k")
    gateway.start_gateway()
    assert bucket.get("k") == b"v"


@pytest.mark.parametrize(
    ("certificate", "complaint"),
    [
        (tls.GOOD, None),
        (tls.EXPIRED, "expired"),
        (tls.WRONG_NAME, "mismatch"),
        (tls.UNTRUSTED, "unable to get local issuer"),
    ],
)
def test_https(
    gateway: Gateway,
    bucket: Bucket,
    authority: tls.Authority,
    work_dir: Path,
    certificate: str,
    complaint: str | None,
) -> None:
    proxy = tls.TlsProxy(work_dir / "tls", authority, gateway.port, certificate)
    client = S3Client(
        "localhost", proxy.port, gateway.credentials, tls=authority.context()
    )
    try:
        if complaint is None:
            assert client.request("GET", f"/{bucket.name}").status == 200
        else:
            with pytest.raises(ssl.SSLCertVerificationError, match=complaint):
                client.request("GET", f"/{bucket.name}")
    finally:
        proxy.stop()


# --- the fault proxy --------------------------------------------------------------


class Through:
    """The gateway's bucket, seen through the fault proxy."""

    def __init__(self, gateway: Gateway, bucket: Bucket, proxy: FaultProxy) -> None:
        self.proxy = proxy
        self.direct = bucket
        self.bucket = Bucket(
            S3Client("127.0.0.1", proxy.port, gateway.credentials), bucket.name
        )


@pytest.fixture
def through(gateway: Gateway, bucket: Bucket, fault_proxy: FaultProxy) -> Through:
    return Through(gateway, bucket, fault_proxy)


def test_proxy_passes_and_records(through: Through) -> None:
    assert through.bucket.put("k", BIG).status == 200
    assert through.bucket.get("k") == BIG
    name = through.bucket.name
    assert [(r.method, r.path) for r in through.proxy.requests] == [
        ("PUT", f"/{name}/k"),
        ("GET", f"/{name}/k"),
    ]
    assert through.proxy.count("PUT", "/k$") == 1
    assert through.proxy.connections == 2
    through.proxy.forget()
    assert (through.proxy.requests, through.proxy.connections) == ([], 0)


def test_proxy_cuts_upload(through: Through) -> None:
    through.proxy.set(cut_up=len(BIG) // 2)
    with pytest.raises(OSError):
        through.bucket.put("k", BIG)
    assert not through.direct.exists("k")
    through.proxy.clear()
    assert through.bucket.put("k", BIG).status == 200


def test_proxy_cuts_download(through: Through) -> None:
    through.direct.put("k", BIG)
    through.proxy.set(cut_down=len(BIG) // 2)
    with pytest.raises((OSError, http.client.IncompleteRead)):
        through.bucket.get("k")


def test_proxy_eats_answer(through: Through) -> None:
    through.proxy.set(eat=True, on="^PUT")
    with pytest.raises((OSError, http.client.HTTPException)):
        through.bucket.put("k", BIG)
    assert through.bucket.get("k") == BIG


def test_proxy_answers(through: Through) -> None:
    through.proxy.set(http=503, on="/k$")
    answer = through.bucket.put("k", BIG)
    assert (answer.status, answer.error_code) == (503, "SlowDown")
    assert answer.headers["retry-after"] == "1"
    assert through.bucket.put("other", BIG).status == 200
    assert through.direct.list() == {"other": len(BIG)}


def test_proxy_answers_early(through: Through) -> None:
    through.proxy.set(http=500, early=True, code="Early")
    assert through.bucket.put("k", BIG).error_code == "Early"


def test_proxy_first_connections_only(through: Through) -> None:
    through.proxy.set(refuse=True, first=2)
    for _ in range(2):
        with pytest.raises((OSError, http.client.HTTPException)):
            through.bucket.put("k", b"v")
    assert through.bucket.put("k", b"v").status == 200


def test_proxy_hangs(through: Through) -> None:
    through.proxy.set(hang=True)
    ended = threading.Event()

    def ask() -> None:
        with pytest.raises((OSError, http.client.HTTPException)):
            through.bucket.put("k", b"v")
        ended.set()

    asking = threading.Thread(target=ask)
    asking.start()
    wait_for(lambda: through.proxy.count("PUT"), "the request arrived")
    assert not ended.wait(0.3)
    through.proxy.reset_connections()
    asking.join()
    assert ended.is_set()
    assert not through.direct.exists("k")


def test_proxy_delays_and_throttles(through: Through) -> None:
    """Only that all arrives: how long it takes is for the benchmarks."""
    through.proxy.set(delay_ms=20, rate=20_000_000)
    assert through.bucket.put("k", BIG).status == 200
    assert through.bucket.get("k") == BIG


def test_proxy_speaks_chunked_and_pipelines(through: Through) -> None:
    """Two requests on one connection, the first refused by the proxy."""
    through.proxy.set(http=404, on="/first$")
    name = through.bucket.name
    head = f"HTTP/1.1\r\nHost: 127.0.0.1:{through.proxy.port}\r\n"
    first = f"PUT /{name}/first {head}Transfer-Encoding: chunked\r\n\r\n"
    with socket.create_connection(("127.0.0.1", through.proxy.port), 30) as link:
        link.sendall(first.encode() + b"3\r\nabc\r\n0\r\n\r\n")
        assert b"404" in link.recv(4096)
        link.sendall(f"GET /{name} {head}Connection: close\r\n\r\n".encode())
        assert b"AccessDenied" in link.makefile("rb").read()


@pytest.fixture
def echo_port() -> Iterator[int]:
    """A server that is no HTTP server: it sends back what it gets."""
    server = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                link, _ = server.accept()
            except OSError:
                return
            with link, contextlib.suppress(ConnectionResetError):
                while data := link.recv(4096):
                    link.sendall(data)

    thread = threading.Thread(target=serve)
    thread.start()
    yield server.getsockname()[1]
    server.shutdown(socket.SHUT_RDWR)
    server.close()
    thread.join()


def test_raw_proxy(echo_port: int) -> None:
    proxy = FaultProxy(echo_port, raw=True)
    try:
        with socket.create_connection(("127.0.0.1", proxy.port), 30) as link:
            link.sendall(b"\x16\x03\x01")
            assert link.recv(10) == b"\x16\x03\x01"
        proxy.set(cut_down=2)
        with socket.create_connection(("127.0.0.1", proxy.port), 30) as link:
            link.sendall(b"abc")
            assert link.recv(10) == b"ab"
            with pytest.raises(ConnectionResetError):
                link.recv(10)
    finally:
        proxy.stop()
