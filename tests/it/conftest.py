"""Fixtures of the integration tests.

A test runs on the host's own version of PostgreSQL; one marked "versions" runs
on every version, and with --all-versions all do.  Servers that are slow to
start live as long as the test process: under pytest-xdist each worker has its
own.  What a test starts is stopped at its end, and what a killed run left
behind is ended when the next one begins.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ground import host, roots, tls
from ground.archiver import Archiver, copy_datadir, write_segments
from ground.fault import FaultProxy
from ground.pg import Cluster, ClusterFactory
from ground.programs import Programs, write_config
from ground.pushqueue import Queue
from ground.s3 import Gateway
from ground.s3client import Bucket
from ground.scripted import Say, Scripted
from ground.walworld import Archive, Fault, World, made_archive, make_s3_fault

SOURCE = Path(__file__).resolve().parents[2]
LOG_TAIL = 6000

_clusters = pytest.StashKey[list[Cluster]]()


# --- options and markers ----------------------------------------------------------


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("walship")
    group.addoption("--all-versions", action="store_true")
    group.addoption("--host-version-only", action="store_true")
    group.addoption("--s3-signature", choices=["v4", "v2"], default="v4")
    group.addoption("--soak", action="store_true")
    group.addoption("--rounds", type=int, default=100)
    group.addoption("--seed", type=int, default=1)


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers", "versions(...): runs on every PostgreSQL version, or on these"
    )
    config.addinivalue_line(
        "markers", "sigv4: counts requests, or needs what libs3 (SigV2) has not"
    )
    config.addinivalue_line("markers", "soak: rounds of random faults, by --soak")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "pg_version" not in metafunc.fixturenames:
        return
    config = metafunc.config
    marker = metafunc.definition.get_closest_marker("versions")
    possible = list(marker.args if marker and marker.args else roots.VERSIONS)
    everywhere = config.getoption("all_versions") or marker
    if everywhere and not config.getoption("host_version_only"):
        versions = possible
    elif roots.host_version() in possible:
        versions = [roots.host_version()]
    else:
        versions = possible[:1]
    metafunc.parametrize("pg_version", versions, scope="session", ids="pg{}".format)


def _follows_signature(item: pytest.Item) -> bool:
    """Whether a test's programs speak to the gateway as --s3-signature says."""
    if item.get_closest_marker("sigv4") is not None:
        return False
    params = item.callspec.params if hasattr(item, "callspec") else {}
    names = getattr(item, "fixturenames", ())
    return params.get("config") == "s3" or "s3_signature" in names


def pytest_collection_modifyitems(
    config: pytest.Config, items: list[pytest.Item]
) -> None:
    """--soak runs the soak tests and nothing else; without it none runs.

    So does another signature with those tests that follow it.
    """
    wanted = bool(config.getoption("soak"))
    chosen = [i for i in items if (i.get_closest_marker("soak") is not None) == wanted]
    if config.getoption("s3_signature") != "v4":
        chosen = [item for item in chosen if _follows_signature(item)]
    dropped = [item for item in items if item not in chosen]
    if dropped:
        config.hook.pytest_deselected(items=dropped)
        items[:] = chosen


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Iterator[None]:
    """A failure comes with the end of its servers' logs."""
    outcome = yield
    report = outcome.get_result()  # type: ignore[attr-defined]
    if report.failed:
        for cluster in item.stash.get(_clusters, []):
            title = f"server log, {cluster.home.name}"
            report.sections.append((title, cluster.log()[-LOG_TAIL:]))


# --- where things lie -------------------------------------------------------------


@pytest.fixture(scope="session")
def run_dir() -> Iterator[Path]:
    """This test process's directory: short, and open to every user."""
    host.sweep()
    work = host.WorkDir()
    templates = work.path / "templates"
    templates.mkdir()
    shutil.chown(templates, roots.PG_USER, roots.PG_USER)
    yield work.path
    if "WALSHIP_KEEP" not in os.environ:
        work.remove()


@pytest.fixture
def work_dir(run_dir: Path) -> Iterator[Path]:
    """A test's directory, owned by postgres; gone after the test."""
    names = (run_dir / f"t{number}" for number in range(10**6))
    path = next(name for name in names if not name.exists())
    path.mkdir(mode=0o755)
    shutil.chown(path, roots.PG_USER, roots.PG_USER)
    yield path
    if "WALSHIP_KEEP" not in os.environ:
        shutil.rmtree(path)


def _owned_dir(path: Path) -> Path:
    path.mkdir(mode=0o700)
    shutil.chown(path, roots.PG_USER, roots.PG_USER)
    return path


@pytest.fixture
def shared_dir(work_dir: Path) -> Path:
    """An empty directory of postgres, for what a server's commands write."""
    return _owned_dir(work_dir / "shared")


@pytest.fixture
def repo_dir(work_dir: Path) -> Path:
    """An empty directory for a repository: file://<repo_dir>."""
    return _owned_dir(work_dir / "repo")


@pytest.fixture
def spool_dir(work_dir: Path) -> Path:
    return _owned_dir(work_dir / "spool")


# --- PostgreSQL -------------------------------------------------------------------


@pytest.fixture
def new_cluster(
    request: pytest.FixtureRequest,
    run_dir: Path,
    work_dir: Path,
    pg_version: int,
) -> Iterator[ClusterFactory]:
    """Makes clusters, and ends their servers after the test.

    The first of a test is a copy of a cluster that initdb made before; any
    other is new, so that no two of a test share their system identifier.

    create=False leaves the data directory to the test (a restore); start=False
    makes it and does not start it; debian=True makes it as Debian does, with
    its configuration outside.  version, fsync and env are Cluster's; all else
    goes to Cluster.initdb.
    """
    made: list[Cluster] = request.node.stash.setdefault(_clusters, [])
    templates: list[Path | None] = [run_dir / "templates"]

    def make(
        *,
        create: bool = True,
        start: bool = True,
        debian: bool = False,
        version: int | None = None,
        data: Path | None = None,
        fsync: bool = False,
        env: dict[str, str] | None = None,
        **options: Any,
    ) -> Cluster:
        home = work_dir / f"pg{len(made)}"
        cluster = Cluster(version or pg_version, home, data=data, fsync=fsync, env=env)
        made.append(cluster)
        if create:
            if debian:
                cluster.createcluster(**options)
            else:
                template = templates.pop() if templates else None
                cluster.initdb(templates=template, **options)
            if start:
                cluster.start()
        return cluster

    yield make
    for cluster in made:
        cluster.close()


@pytest.fixture
def cluster(new_cluster: ClusterFactory) -> Cluster:
    """A running cluster with default settings, without archiving."""
    return new_cluster()


# --- S3 ---------------------------------------------------------------------------


@pytest.fixture(scope="session")
def gateway(run_dir: Path) -> Iterator[Gateway]:
    """One S3 server for all tests of this process; take a bucket each."""
    server = Gateway(run_dir / "s3")
    yield server
    server.stop()


@pytest.fixture
def bucket(gateway: Gateway) -> Iterator[Bucket]:
    """An empty bucket, deleted with its objects after the test."""
    made = gateway.create_bucket()
    yield made
    gateway.delete_bucket(made)


@pytest.fixture
def fault_proxy(gateway: Gateway) -> Iterator[FaultProxy]:
    """The bad network in front of the gateway; it passes all until told."""
    proxy = FaultProxy(gateway.port)
    yield proxy
    proxy.stop()


@pytest.fixture
def scripted() -> Iterator[Callable[..., Scripted]]:
    """Starts servers that say what the test wrote down."""
    made: list[Scripted] = []

    def start(*answers: Say, **options: Any) -> Scripted:
        made.append(Scripted(answers, **options))
        return made[-1]

    yield start
    for server in made:
        server.stop()


@pytest.fixture(scope="session")
def authority(run_dir: Path) -> tls.Authority:
    """Certificates: good, expired, for another name, by an untrusted issuer."""
    return tls.Authority(run_dir / "ca")


@pytest.fixture
def tls_proxy(
    gateway: Gateway, authority: tls.Authority, work_dir: Path
) -> Iterator[Callable[..., tls.TlsProxy]]:
    """Makes https endpoints of the gateway, by certificate."""
    made: list[tls.TlsProxy] = []

    def make(
        certificate: str = tls.GOOD, port: int | None = None, **options: Any
    ) -> tls.TlsProxy:
        home = work_dir / f"tls{len(made)}"
        upstream = port or gateway.port
        proxy = tls.TlsProxy(home, authority, upstream, certificate, **options)
        made.append(proxy)
        return proxy

    yield make
    for proxy in made:
        proxy.stop()


# --- the programs under test ------------------------------------------------------


@pytest.fixture(scope="session")
def walship(run_dir: Path) -> Programs:
    """The programs of the build directory that WALSHIP_BUILD names."""
    build = Path(os.environ.get("WALSHIP_BUILD", SOURCE / "build"))
    return Programs(build, run_dir / "bin")


@pytest.fixture
def key_file(walship: Programs, work_dir: Path) -> Path:
    """A fresh repository key, as postgres keeps it."""
    path = work_dir / "key"
    walship.run("walship", "keygen", path).check()
    return path


@pytest.fixture
def dir_config(repo_dir: Path, spool_dir: Path, key_file: Path, work_dir: Path) -> Path:
    """A configuration with an encrypted repository in repo_dir."""
    return write_config(
        work_dir / "walship.conf",
        repository=f"file://{repo_dir}",
        spool=spool_dir,
        key_file=key_file,
    )


@pytest.fixture
def s3_signature(request: pytest.FixtureRequest) -> str:
    """How the programs sign: the fixtures below follow it."""
    return str(request.config.getoption("s3_signature"))


@pytest.fixture
def s3_config(
    bucket: Bucket,
    gateway: Gateway,
    s3_signature: str,
    spool_dir: Path,
    key_file: Path,
    work_dir: Path,
) -> Path:
    """A configuration with an encrypted repository in the bucket."""
    return write_config(
        work_dir / "walship-s3.conf",
        repository=f"s3://{bucket.name}/it",
        spool=spool_dir,
        key_file=key_file,
        s3_endpoint=gateway.endpoint,
        s3_region=gateway.region,
        s3_addressing="path",
        s3_signature=s3_signature,
        s3_access_key_id=gateway.credentials.access_key,
        s3_secret_access_key=gateway.credentials.secret_key,
    )


@pytest.fixture(params=["dir", "s3"])
def config(request: pytest.FixtureRequest) -> Path:
    """A configuration for each backend: the test runs once with either."""
    path: Path = request.getfixturevalue(f"{request.param}_config")
    return path


# --- WAL archives -----------------------------------------------------------------


@pytest.fixture(scope="session")
def archive(run_dir: Path, walship: Programs, pg_version: int) -> Iterator[Archive]:
    """One for each version, made once; take a world each."""
    home = run_dir / f"arc{pg_version}"
    with made_archive(home, walship, pg_version) as made:
        yield made


@pytest.fixture
def world(
    archive: Archive, walship: Programs, new_cluster: ClusterFactory, work_dir: Path
) -> World:
    """The archive's key and base backup, and no repository yet."""
    return World(archive, walship, new_cluster, work_dir)


@pytest.fixture
def dir_world(world: World) -> World:
    """With a copy of the repository in a directory."""
    return world.copy_archive()


@pytest.fixture
def s3_world(
    world: World, bucket: Bucket, gateway: Gateway, s3_signature: str
) -> World:
    """With a copy of the repository in a bucket."""
    return world.upload(bucket, gateway, s3_signature)


@pytest.fixture
def s3_fault(
    s3_world: World,
    gateway: Gateway,
    fault_proxy: FaultProxy,
    tls_proxy: Callable[[str], tls.TlsProxy],
) -> Callable[[str], Fault]:
    """Makes one that a configuration can bring about."""
    return lambda kind: make_s3_fault(kind, s3_world, gateway, fault_proxy, tls_proxy)


@pytest.fixture(scope="session")
def dead_server(run_dir: Path) -> Callable[[int], Path]:
    """The data directory of a cluster that has filled some segments.

    Made once for each number; to be copied (ground.archiver.copy_datadir).
    """
    made: dict[int, Path] = {}

    def make(number: int = 0) -> Path:
        if number not in made:
            made[number] = write_segments(run_dir / f"dead{number}")
        return made[number]

    return make


@pytest.fixture
def queue(
    walship: Programs,
    dead_server: Callable[..., Path],
    work_dir: Path,
    dir_config: Path,
    spool_dir: Path,
) -> Iterator[Queue]:
    """Files that wait to be archived into a directory, and their server."""
    data = copy_datadir(dead_server(), work_dir / "data")
    made = Queue(Archiver(walship, dir_config, data), spool_dir)
    yield made
    made.stop()


# --- sanitizers -------------------------------------------------------------------


@pytest.fixture(scope="session", autouse=True)
def sanitizer_reports(run_dir: Path) -> Path | None:
    """Where the programs of a sanitizer build leave what they found.

    An exit status could hide it: many tests expect a program to fail.
    """
    if "WALSHIP_SANITIZE" not in os.environ:
        return None
    reports = run_dir / "san"
    reports.mkdir()
    reports.chmod(0o1777)
    common = f"log_path={reports}/report:exitcode=99:abort_on_error=0"
    os.environ["ASAN_OPTIONS"] = f"{common}:detect_leaks=1"
    os.environ["UBSAN_OPTIONS"] = f"{common}:halt_on_error=1:print_stacktrace=1"
    return reports


@pytest.fixture(autouse=True)
def sanitizers_are_silent(sanitizer_reports: Path | None) -> Iterator[None]:
    yield
    if sanitizer_reports is not None:
        found = ""
        for report in sorted(sanitizer_reports.iterdir()):
            found += report.read_text(encoding="utf-8", errors="replace")
            report.unlink()
        assert not found, found


@pytest.fixture(scope="session")
def soak(request: pytest.FixtureRequest) -> tuple[int, int]:
    """How many rounds, and the seed that draws them."""
    return request.config.getoption("rounds"), request.config.getoption("seed")


@pytest.fixture
def tell(capsys: pytest.CaptureFixture[str]) -> Callable[[str], None]:
    """Says something beside the tests' output, also where they pass."""

    def say(text: str) -> None:
        with capsys.disabled():
            print(f"\n{text}", file=sys.stderr, flush=True)

    return say
