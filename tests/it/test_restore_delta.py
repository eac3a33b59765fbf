"""walship restore --delta: onto what is there, and on after a kill."""

from __future__ import annotations

import fcntl
import hashlib
import os
import random
import re
import subprocess
import time
from pathlib import Path

import pytest

from ground import roots
from ground.fault import FaultProxy
from ground.host import run, unmount
from ground.pg import Cluster, ClusterFactory
from ground.programs import Programs
from ground.s3 import Gateway
from ground.site import FINGERPRINT, Site

MIB = 1 << 20


@pytest.fixture
def site(walship: Programs, new_cluster: ClusterFactory, dir_config: Path) -> Site:
    return Site(walship, new_cluster, dir_config)


def tree(data: Path) -> dict[str, tuple[int, str]]:
    """Everything below a directory: mode and content, links unfollowed."""
    found = {}
    for path in sorted(data.rglob("*")):
        name = str(path.relative_to(data))
        if path.is_symlink():
            found[name] = (0, f"-> {path.readlink()}")
            continue
        content = "dir"
        if path.is_file():
            read = path.read_bytes()
            if name == "postgresql.auto.conf":
                read = re.sub(rb"# Written by walship restore at \S+", b"", read)
            content = hashlib.sha256(read).hexdigest()
        found[name] = (path.stat().st_mode & 0o7777, content)
    return found


def as_postgres(script: str) -> None:
    """Done by the directory's owner."""
    run(["/bin/sh", "-euc", script], user=roots.PG_USER).check()


def delta(site: Site, copy: Cluster, *args: str | Path) -> str:
    """What it says."""
    run_args = ["--delta", f"--target-dir={copy.data}", *args]
    return site.run("restore", *run_args).check().err


def refused(site: Site, target: Path, *args: str) -> str:
    before = tree(target)
    done = site.run("restore", "--delta", f"--target-dir={target}", *args)
    assert done.status == 2, done
    assert tree(target) == before
    return done.err


# --- what is there ----------------------------------------------------------------


@pytest.mark.versions
def test_differences(site: Site) -> None:
    """Whatever was changed, the directory is as a fresh restore makes it."""
    site.load()
    zeros = site.primary.data / "zeros"
    as_postgres(f"head -c 3145728 /dev/zero > {zeros}; mkdir {zeros}.d")
    site.backup()
    fresh = tree(site.restore(start=False).data)
    copy = site.restore(start=False)
    data = copy.data
    files = sorted(
        (p for p in data.glob("base/*/*") if p.stat().st_size > 100000), key=str
    )
    big, long, short = files[:3]
    assert len(files) >= 3
    small = sorted(p for p in data.glob("base/1/1*") if 0 < p.stat().st_size < 100000)
    as_postgres(
        f"""
        cd {data}
        printf x | dd of={big} bs=1 seek=700000 conv=notrunc status=none
        head -c 100000 /dev/urandom >> {long}
        truncate -s 10000 {short}
        head -c 3000000 /dev/urandom | dd of=zeros conv=notrunc status=none
        rm {small[0]}; ln -s {small[1]} {small[0]}
        rm {small[2]}; mkdir {small[2]}; touch {small[2]}/inside
        rm {small[3]}; mkfifo {small[3]}
        ln {small[4]} {data}/../other-name
        printf y >> {small[5]}; touch -r {small[6]} {small[5]}
        chmod 0666 {small[6]}
        rm -r zeros.d; touch zeros.d
        mkdir -p extra/deep; ln -s / extra/deep/root; touch extra/x -- -r
        touch standby.signal pg_wal/000000010000000000000009
        ln -s /nowhere pg_tblspc/99
        chmod -R a-w .
        chmod 0 base/1
        """
    )
    said = delta(site, copy)
    assert tree(data) == fresh
    assert Path(f"{data}/../other-name").exists()
    assert 'removing the link "pg_tblspc/99" to "/nowhere"' in said
    counts = re.search(r"(\d+) of (\d+) files, .*, are there already", said)
    # pg_control, postgresql.auto.conf, and the nine whose content was changed.
    assert counts and int(counts[2]) - int(counts[1]) == 11
    copy.start()
    copy.wait_sql("select not pg_is_in_recovery()")
    assert copy.value(FINGERPRINT) == site.primary.value(FINGERPRINT)


def test_after_the_copy_lived(site: Site, shared_dir: Path) -> None:
    """A server that was promoted and written to is brought back.

    What a link leads to stays, pg_control too, which is the first to go.
    """
    site.load()
    site.backup()
    fresh = tree(site.restore(start=False).data)
    copy = site.restore()
    copy.wait_sql("select not pg_is_in_recovery()")
    copy.pgbench("-n", "-c", "2", "-t", "100")
    copy.sql("create table more as select generate_series(1, 10000) n")
    assert "a server runs on" in refused_running(site, copy)
    copy.stop()
    other = shared_dir / "global"
    as_postgres(f"mv {copy.data}/global {other}; ln -s {other} {copy.data}/global")
    kept = tree(other)
    delta(site, copy)
    assert tree(copy.data) == fresh and tree(other) == kept


def refused_running(site: Site, copy: Cluster) -> str:
    done = site.run("restore", "--delta", "--force", f"--target-dir={copy.data}")
    assert done.status == 2
    assert copy.value("select 1") == 1
    return done.err


def test_only_what_differs_is_fetched(
    walship: Programs,
    new_cluster: ClusterFactory,
    s3_config: Path,
    gateway: Gateway,
    fault_proxy: FaultProxy,
) -> None:
    """By what is asked of the store, and how much of it."""
    text = s3_config.read_text(encoding="utf-8")
    s3_config.write_text(text.replace(gateway.endpoint, fault_proxy.endpoint), "utf-8")
    site = Site(walship, new_cluster, s3_config)
    site.load()
    as_postgres(f"head -c {9 * MIB} /dev/urandom > {site.primary.data}/blob")
    site.backup()
    copy = site.restore(start=False)
    fresh = tree(copy.data)

    def fetched() -> list[int]:
        """Bytes of each request for part of a pack."""
        sizes = []
        for request in fault_proxy.requests:
            if request.method == "GET" and re.search(
                "/pack/[0-9a-f]{8}$", request.path
            ):
                first, last = request.headers["range"][6:].split("-")
                sizes.append(int(last) - int(first) + 1)
        fault_proxy.forget()
        return sizes

    whole = sum(fetched())
    assert whole > 9 * MIB
    delta(site, copy)
    # pg_control and postgresql.auto.conf: a frame each, at most.
    assert sum(fetched()) < 3 * MIB
    as_postgres(f"printf x | dd of={copy.data}/blob bs=1 seek=5000000 conv=notrunc")
    delta(site, copy)
    assert sum(fetched()) < 6 * MIB < whole
    assert tree(copy.data) == fresh


# --- what is refused --------------------------------------------------------------


def test_refused(site: Site, new_cluster: ClusterFactory, shared_dir: Path) -> None:
    site.load()
    site.backup()
    site.settle()
    site.primary.stop()

    # Nobody's directory; then another cluster's.
    nobodys = shared_dir / "x"
    as_postgres(f"mkdir {nobodys}; echo 1 > {nobodys}/precious")
    said = refused(site, nobodys)
    assert "is not empty, and no data directory of this cluster" in said
    other = new_cluster(start=False)
    said = refused(site, other.data)
    assert f"is a data directory of cluster {other.system_identifier()}" in said
    assert "--force" in said
    delta(site, other, "--force")
    other.start()
    other.wait_sql("select not pg_is_in_recovery()")
    assert other.system_identifier() == int(
        site.primary.controldata()["Database system identifier"]
    )
    other.stop()

    # What the next restore needs, by way of a link: first the repository.
    home = site.config.parent
    as_postgres(f"ln -s {home} {home}/around")
    args = ["--dry-run", "--delta", "--force", f"--target-dir={home}/around"]
    done = site.run("restore", *args)
    assert done.status == 2 and "holds the repository, " in done.err
    for name, word in (("key", "key file"), ("walship.conf", "configuration")):
        apart = home / f"apart-{word[:3]}"
        as_postgres(f"mkdir {apart}; mv {home}/{name} {apart}")
        as_postgres(f"ln -s {apart}/{name} {home}")
        args[-1] = f"--target-dir={apart}"
        done = site.run("restore", *args)
        assert done.status == 2 and f'holds the {word}, "' in done.err

    # WAL that is nowhere else.
    status = other.data / "pg_wal/archive_status"
    as_postgres(f"touch {status}/00000001000000000000000A.ready {status}/x.done")
    said = refused(site, other.data)
    assert 'never archived, from "00000001000000000000000A" on' in said
    delta(site, other, "--force")

    done = site.run("restore", "--force", f"--target-dir={other.data}")
    assert done.status == 2 and "--force is for --delta" in done.err
    done = site.run("restore", f"--target-dir={other.data}")
    assert "is not empty" in done.err and "--delta" in done.err
    run(["chown", "root:", nobodys]).check()
    run(["chmod", "777", nobodys]).check()
    assert "belongs to another user" in refused(site, nobodys)


def test_stale_lock_file(site: Site) -> None:
    """One of a process that is gone; the server's memory in use counts."""
    site.load()
    site.backup()
    copy = site.restore()
    copy.wait_sql("select not pg_is_in_recovery()")
    lines = (copy.data / "postmaster.pid").read_text(encoding="utf-8").splitlines()
    # As if the postmaster had died and left its children behind.
    ended = subprocess.Popen(["true"])
    ended.wait()
    lines[0] = str(ended.pid)
    (copy.data / "pretended").write_text("\n".join(lines) + "\n", encoding="utf-8")
    kept = (copy.data / "postmaster.pid").read_bytes()
    (copy.data / "postmaster.pid").write_bytes((copy.data / "pretended").read_bytes())
    done = site.run("restore", "--delta", f"--target-dir={copy.data}")
    assert done.status == 2 and "are still alive" in done.err
    (copy.data / "postmaster.pid").write_bytes(kept)
    copy.kill9()
    assert (copy.data / "postmaster.pid").exists()
    delta(site, copy)
    assert not (copy.data / "postmaster.pid").exists()


def test_two_at_once(site: Site) -> None:
    """Whoever holds the marker's lock has the directory."""
    site.load()
    site.backup()
    copy = site.restore(start=False)
    marker = copy.data / "walship.incomplete"
    as_postgres(f"touch {marker}")
    with open(marker, "rb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        done = site.run("restore", "--delta", f"--target-dir={copy.data}")
        assert done.status == 2 and "another restore to" in done.err
        assert (copy.data / "global/pg_control").exists()
    delta(site, copy)


# --- a killed restore -------------------------------------------------------------

CALLS = [
    ("mkdirat", 20),
    ("openat", 1500),
    ("pwrite64", 60),
    ("ftruncate", 300),
    ("utimensat", 800),
    ("unlinkat", 1),
    ("symlinkat", 1),
    ("syncfs", 1),
    ("fsync", 6),
    ("renameat", 1),
]


def kill_at(site: Site, target: Path, call: str, when: int, *args: str) -> int:
    """Runs a restore that is killed as it makes that call for that time."""
    command = [
        *("strace", "-f", "-q", "-o", "/dev/null", "-e", f"trace={call}"),
        *("-e", f"inject={call}:signal=KILL:when={when}"),
        *(site.programs.path("walship"), "restore", f"--config={site.config}"),
        *(f"--target-dir={target}", *args),
    ]
    return run(command, user=roots.PG_USER).status


def test_killed_and_resumed(
    site: Site, shared_dir: Path, soak: tuple[int, int]
) -> None:
    """Killed anywhere, again and again: --delta goes on to the same bytes."""
    if "WALSHIP_SANITIZE" in os.environ:
        pytest.skip("strace and the sanitizers do not go together")
    old, new = shared_dir / "old", shared_dir / "new"
    as_postgres(f"mkdir {old}")
    site.primary.sql(f"create tablespace apart location '{old}'")
    site.load()
    site.primary.sql("alter table pgbench_accounts set tablespace apart")
    site.backup()
    args = [f"--tablespace={old}={new}", f"--link-wal={shared_dir}/wal"]
    fresh = tree(site.restore(*args, start=False).data)
    there = tree(new)
    assert len(there) > 3

    draw = random.Random(soak[1])
    killed = 0
    for call, most in CALLS:
        target = site.copy().data
        as_postgres(f"rm -rf {new} {shared_dir}/wal")
        for attempt in range(2):
            how = args if attempt == 0 else ["--delta", *args]
            if kill_at(site, target, call, draw.randint(1, most), *how) != 0:
                killed += 1
            done = (target / "global/pg_control").exists()
            renaming = call in ("renameat", "fsync")
            assert not done or renaming or call == "unlinkat", call
            if done:
                assert not (target / "walship.incomplete").exists()
        site.run("restore", "--delta", *args, f"--target-dir={target}").check()
        assert tree(target) == fresh, call
        assert tree(new) == there, call
    assert killed > len(CALLS)


@pytest.mark.soak
def test_killed_at_any_time(site: Site, soak: tuple[int, int]) -> None:
    """By the clock: wherever it is killed, and how often, --delta ends it."""
    rounds, seed = soak
    site.load()
    site.backup()
    site.primary.sql("update pgbench_accounts set abalance = 1 where aid % 700 = 1")
    site.backup()
    begun = time.monotonic()
    copy = site.restore(start=False)
    whole_s = time.monotonic() - begun
    fresh = tree(copy.data)
    draw = random.Random(seed)
    target = site.copy().data
    half = 0
    for number in range(rounds):
        # From nothing, from what the last round left, or from damage to it.
        if number % 3 == 0:
            as_postgres(f"rm -rf {target}")
        elif number % 3 == 1:
            victim = draw.choice([p for p in target.rglob("*") if p.is_file()])
            as_postgres(f"head -c 70000 /dev/urandom > '{victim}'")
            as_postgres(f"rm -rf {target}/base/1")
        for _ in range(draw.randint(1, 4)):
            kill_after(site, target, draw.uniform(0, whole_s))
            control = (target / "global/pg_control").exists()
            marker = (target / "walship.incomplete").exists()
            assert not (control and marker)
            half += marker
        site.run("restore", "--delta", f"--target-dir={target}").check()
        assert tree(target) == fresh, number
    assert half > rounds // 4


def kill_after(site: Site, target: Path, seconds: float) -> None:
    program = site.programs.path("walship")
    config = f"--config={site.config}"
    with subprocess.Popen(
        [program, "restore", config, "--delta", f"--target-dir={target}"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        user=roots.PG_USER,
        group=roots.PG_USER,
        cwd="/",
    ) as child:
        time.sleep(seconds)
        child.kill()


def test_half_restored_does_not_start(site: Site) -> None:
    if "WALSHIP_SANITIZE" in os.environ:
        pytest.skip("strace and the sanitizers do not go together")
    site.load()
    site.backup()
    copy = site.restore(start=False)
    as_postgres(f"printf x >> {copy.data}/base/1/1259")
    assert kill_at(site, copy.data, "pwrite64", 1, "--delta") != 0
    assert not copy.try_start()
    assert "global/pg_control" in copy.log()
    delta(site, copy)
    copy.start()
    copy.wait_sql("select not pg_is_in_recovery()")
    assert copy.value(FINGERPRINT) == site.primary.value(FINGERPRINT)


def test_config_outside(
    walship: Programs, new_cluster: ClusterFactory, dir_config: Path
) -> None:
    """Configuration files are put back, and no other file there is touched."""
    primary = new_cluster(debian=True, start=False)
    push = f"{walship.path('wal-push')} --config={dir_config}"
    primary.archive_with(f"{push} %p")
    primary.start()
    site = Site(walship, new_cluster, dir_config, primary)
    site.load()
    site.backup()
    copy = site.restore(start=False)
    config = Path(f"{copy.data}.config")
    conf = next(config.rglob("postgresql.conf"))
    fresh = tree(config)
    as_postgres(f"printf 'x = 1\\n' >> {conf}; touch {config}/mine")
    delta(site, copy)
    assert (config / "mine").exists()
    (config / "mine").unlink()
    assert tree(config) == fresh


# --- of a backup that refers to older ones, and with too little room ----------------


@pytest.mark.versions
def test_incremental(site: Site) -> None:
    """Pieces of older packs are compared and fetched as those of any other."""
    site.load()
    site.backup()
    for _ in range(2):
        site.primary.sql("update pgbench_accounts set abalance = 7 where aid % 900 = 5")
        site.primary.sql("vacuum pgbench_accounts")
        site.primary.sql("insert into marks select coalesce(max(n), 0) + 1 from marks")
        last = site.backup()
    site.settle()
    assert site.list()[-1]["id"] == last
    fresh = tree(site.restore(start=False).data)
    first = site.list()[0]["id"]
    # From what an older backup holds to the newest, and from damage.
    copy = site.copy()
    site.run(
        "restore", first, "--target-immediate", f"--target-dir={copy.data}"
    ).check()
    delta(site, copy)
    assert tree(copy.data) == fresh
    big = max(copy.data.glob("base/*/*"), key=lambda path: path.stat().st_size)
    as_postgres(
        f"""
        printf x | dd of={big} bs=1 seek=3000000 conv=notrunc status=none
        truncate -s -200000 {big}
        """
    )
    delta(site, copy)
    assert tree(copy.data) == fresh
    copy.verifybackup(copy.data, "--no-parse-wal").check()
    copy.start()
    copy.wait_sql("select not pg_is_in_recovery()")
    assert copy.value(FINGERPRINT) == site.primary.value(FINGERPRINT)


def test_disk_full(site: Site, work_dir: Path) -> None:
    """In the middle, as the check beforehand cannot see: no more inodes."""
    site.load()
    site.backup()
    site.settle()
    fresh = tree(site.restore(start=False).data)
    small = work_dir / "small"
    small.mkdir()
    how = "size=200m,mode=777,nr_inodes="
    run(["mount", "-t", "tmpfs", "-o", f"{how}500", "tmpfs", small]).check()
    try:
        target = small / "data"
        done = site.run("restore", f"--target-dir={target}")
        assert done.status == 1 and "No space left on device" in done.err
        assert "Repeat this with --delta" in done.err
        assert not (target / "global/pg_control").exists()
        assert site.run("restore", "--delta", f"--target-dir={target}").status == 1
        run(["mount", "-o", f"remount,{how}5000", small]).check()
        site.run("restore", "--delta", f"--target-dir={target}").check()
        assert tree(target) == fresh
    finally:
        unmount(small)
