"""Backups that build on one another: stored once, each a full one to restore."""

from __future__ import annotations


import shutil
from collections.abc import Iterator
from pathlib import Path

import lz4.block
import pytest

from ground.chain import Chain
from ground.host import wait_for
from ground.pg import Cluster, ClusterFactory
from ground.programs import Programs
from ground.roots import PG_USER
from ground.stored import Contents, Manifest, crc32c

PAGE = 8192


@pytest.fixture
def chain(walship: Programs, new_cluster: ClusterFactory, dir_config: Path) -> Chain:
    made = Chain(walship, new_cluster, dir_config, checksums=True)
    made.make_big()
    return made


def test_nothing_is_stored_twice(chain: Chain, work_dir: Path) -> None:
    first = chain.backup()
    second = chain.backup()
    stored = chain.stored()
    manifest = stored.manifest(second)
    assert manifest.summary["bases"] == [first]
    assert manifest.summary["full"] == first
    full = stored.manifest(first).summary
    assert manifest.summary["stored_bytes"] < full["stored_bytes"] / 20
    chain.rebuilt(second, work_dir / "rebuilt")
    chain.restored(second).start()


def test_scattered_pages(chain: Chain, work_dir: Path) -> None:
    """Many extents: maps, and the maps of what did not change are shared."""
    chain.primary.sql("create table cold as table big")
    chain.primary.sql("vacuum (freeze) cold")
    backups = [chain.backup()]
    for turn in range(3):
        chain.primary.sql(f"update big set i = -i where abs(i) % 211 = {turn}")
        chain.primary.sql("checkpoint")
        backups.append(chain.backup())
    stored = chain.stored()
    manifest = stored.manifest(backups[-1])
    mapped = [f for f in manifest.files if f.maps]
    assert mapped, "no file has maps: the test's data is too small"
    content = stored.file_content(manifest, mapped[0])
    starts = range(0, len(content), PAGE)
    sums = [crc32c(content[at : at + PAGE]) for at in starts]
    assert Contents(stored, manifest).page_checksums(mapped[0]) == sums
    for number, backup in enumerate(backups):
        chain.rebuilt(backup, work_dir / f"rebuilt{number}")
    copy = chain.restored(backups[-1])
    copy.start()
    copy.wait_sql("select not pg_is_in_recovery()")
    count = "select count(*), sum(hashtext(big::text)) from big"
    assert copy.sql(count) == chain.primary.sql(count)


# --- what changes -----------------------------------------------------------------


def load(primary: Cluster) -> None:
    primary.sql(
        "insert into big select i, md5(i::text) from generate_series(1, 9000) i"
    )


def vacuum(primary: Cluster) -> None:
    primary.sql("delete from big where i % 3 = 0")
    primary.sql("vacuum big")


def index(primary: Cluster) -> None:
    primary.sql("create index on big (md5(t))")
    primary.sql("reindex table big")


def truncated_end(primary: Cluster) -> None:
    """The last pages go, the file gets shorter."""
    primary.sql("delete from big where ctid > '(100,0)'")
    primary.sql("vacuum (truncate) big")


def truncate(primary: Cluster) -> None:
    primary.sql("truncate other")


def rewrite(primary: Cluster) -> None:
    primary.sql("alter table other add column more float8 default random()")
    primary.sql("vacuum full other")
    primary.sql("cluster big using big_i_idx")


def drop(primary: Cluster) -> None:
    primary.sql("drop table other")
    primary.sql("create table other as select i from generate_series(1, 5000) i")


def database(primary: Cluster) -> None:
    """One with the files' names of another, and other content."""
    primary.sql("create database again oid = 70000")
    primary.sql("create table t as select 1 as one", database="again")


def same_database(primary: Cluster) -> None:
    primary.sql("drop database again")
    primary.sql("create database again oid = 70000 template postgres")


def freed_maps(primary: Cluster) -> None:
    """FSM and VM forks: pages freed, set visible, and no longer so."""
    primary.sql(
        "create table forks as select i, repeat('x', 500)"
        " from generate_series(1, 20000) i"
    )
    primary.sql("vacuum (freeze) forks")


def used_maps(primary: Cluster) -> None:
    primary.sql("delete from forks where i % 50 < 7")
    primary.sql("vacuum forks")
    primary.sql("update forks set i = -i where i % 1000 = 999")


def blobs(primary: Cluster) -> None:
    primary.sql(
        "select lo_from_bytea(0, decode(repeat(md5(i::text), 500), 'hex'))"
        " from generate_series(1, 60) i"
    )


STEPS = (
    *(load, vacuum, index, truncated_end, truncate, rewrite, drop),
    *(database, same_database, freed_maps, used_maps, blobs),
)


@pytest.mark.versions
def test_what_changes(chain: Chain, work_dir: Path) -> None:
    """After each kind of change every file is what the server sent."""
    chain.primary.sql("create table other as table big")
    made = [chain.backup()]
    for step in STEPS:
        step(chain.primary)
        made.append(chain.backup())
        chain.restored(made[-1])
    report = chain.report()
    assert report["base"] == made[-2]
    # One in the middle, by the second reader, and the last, started.
    chain.rebuilt(made[len(made) // 2], work_dir / "rebuilt")
    copy = chain.restored(made[-1])
    copy.start()
    copy.wait_sql("select not pg_is_in_recovery()")
    for table in ("big", "other", "forks", "pg_largeobject"):
        count = f"select count(*), sum(hashtext(t::text)) from {table} t"
        assert copy.sql(count) == chain.primary.sql(count), table
    assert copy.sql("select * from pg_class where false", database="again") == []
    copy.program(
        "pg_amcheck", "--all", "--heapallindexed", "--install-missing"
    ).check()


def test_tablespaces(chain: Chain, work_dir: Path) -> None:
    """Moved there and back: other paths, the same pages."""
    place = work_dir / "space"
    place.mkdir(mode=0o700)
    shutil.chown(place, PG_USER, PG_USER)
    with chain.primary.connect() as connection, connection.cursor() as cursor:
        cursor.execute("create tablespace space location %s", (str(place),))
    moves = (
        "select 1",
        "alter table big set tablespace space",
        "create database inside tablespace space",
        "alter table big set tablespace pg_default",
        "drop database inside",
    )
    for number, move in enumerate(moves):
        chain.primary.sql(move)
        made = chain.backup()
        copy = chain.copy()
        moved = work_dir / f"moved{number}"
        chain.run(
            *("restore", made, f"--target-dir={copy.data}"),
            f"--tablespace={place}={moved}",
        ).check()
        copy.verifybackup(copy.data, "--no-parse-wal").check()
    copy.start()
    copy.wait_sql("select not pg_is_in_recovery()")
    count = "select count(*), sum(hashtext(big::text)) from big"
    assert copy.sql(count) == chain.primary.sql(count)


def pages_of(data: Path) -> Iterator[tuple[str, bytes]]:
    """Every page of a data directory, by path and number."""
    for path in sorted(data.rglob("*")):
        if path.is_file() and not path.is_symlink():
            content = path.read_bytes()
            for at in range(0, len(content), PAGE):
                yield f"{path.relative_to(data)} {at}", content[at : at + PAGE]


def test_stored_again(chain: Chain, work_dir: Path) -> None:
    """At most 1.25 times the LZ4 size of the pages that changed."""
    chain.primary.sql("update big set i = -i where i % 293 = 1")
    chain.primary.sql("checkpoint")
    chain.full()
    chain.rebuilt(chain.backup(), work_dir / "before")
    chain.primary.sql("update big set i = -i where abs(i) % 97 = 2")
    chain.rebuilt(chain.backup(), work_dir / "after")
    before = dict(pages_of(work_dir / "before"))
    changed = [p for n, p in pages_of(work_dir / "after") if before.get(n) != p]
    size = len(lz4.block.compress(b"".join(changed), store_size=False))
    report = chain.report()
    print(f"{len(changed)} pages, LZ4 {size}, {report}")
    assert report["rewritten_bytes"] == 0
    assert len(changed) > 300
    assert report["stored_bytes"] <= 1.25 * size
    assert report["changed_bytes"] == sum(map(len, changed))


# --- what a chain costs -----------------------------------------------------------


def fetched(manifest: Manifest) -> tuple[int, int]:
    """Stored bytes that a restore fetches, whole frames, and from how many packs."""
    total = sum(
        size
        for pack in manifest.packs
        for number, size in enumerate(pack.frames[1:])
        if not pack.live or pack.live[number] > 0
    )
    return total, len(manifest.packs)


def scatter(primary: Cluster, turn: int) -> None:
    """A row of one page of a hundred, which stays on its page."""
    primary.sql(
        "update scattered set t = md5(t || %s) where block in"
        " (select b from generate_series(0, 4999) b where hashint4(b # %s) %% 100 = 0)",
        [turn, turn * 7919],
    )


def run_chain(chain: Chain, rounds: int, work_dir: Path) -> None:
    primary = chain.primary
    primary.sql(
        "create table scattered (block int, t text, filler text)"
        " with (fillfactor = 60, autovacuum_enabled = off)"
    )
    primary.sql("alter table scattered alter filler set storage plain")
    primary.sql(
        "insert into scattered select i, md5(i::text), repeat(md5((-i)::text), 140)"
        " from generate_series(0, 4999) i"
    )
    primary.sql("vacuum (freeze) scattered")
    made = [chain.backup()]
    for turn in range(rounds):
        scatter(primary, turn)
        made.append(chain.backup())
    stored = chain.stored()
    changed = rewritten = 0
    for report in stored.reports("backup")[1:]:
        changed += report["changed_bytes"]
        rewritten += report["rewritten_bytes"]
    chain.rebuilt(made[-1], work_dir / "rebuilt")
    chain.restored(made[-1])
    bytes_last, packs_last = fetched(stored.manifest(made[-1]))
    bytes_full, packs_full = fetched(stored.manifest(chain.full()))
    print(
        f"{rounds} backups: a restore fetches {bytes_last / bytes_full:.2f} of a full"
        f" one's bytes from {packs_last} packs instead of {packs_full};"
        f" {rewritten / changed:.2f} of what changed is stored again"
    )
    assert bytes_last <= 1.5 * bytes_full
    assert packs_last <= 4 * packs_full


def test_some_backups(chain: Chain, work_dir: Path) -> None:
    """After some backups a restore is not much dearer than of a full one.

    The rule that keeps it so for ever is proven by its unit test, over 200
    backups, and by real ones in the soak.
    """
    run_chain(chain, 8, work_dir)


@pytest.mark.soak
def test_many_backups(chain: Chain, soak: tuple[int, int], work_dir: Path) -> None:
    run_chain(chain, soak[0], work_dir)


# --- backups that go, and backups at once -----------------------------------------


def test_full_refers_to_nothing(chain: Chain) -> None:
    first = chain.backup()
    full = chain.full()
    manifest = chain.stored().manifest(full)
    assert manifest.summary["bases"] == [] and manifest.summary["full"] == full
    assert {pack.backup for pack in manifest.packs} == {full}
    later = chain.stored().manifest(chain.backup()).summary
    assert later["bases"] == [full] and later["full"] == full != first


@pytest.mark.versions(15, 17)
def test_old_packs_are_stored_again(chain: Chain) -> None:
    """Where the server sends only changes, they are read back from the store."""
    first = chain.backup()
    chain.primary.sql("select pg_sleep(2)")
    with open(chain.config, "a", encoding="utf-8") as config:
        config.write("pack_max_age = 1s\n")
    second = chain.backup()
    manifest = chain.stored().manifest(second)
    assert manifest.summary["bases"] == [first]
    assert {pack.backup for pack in manifest.packs} == {second}
    assert chain.report()["rewritten_bytes"] > 10 << 20
    native = chain.primary.version >= 17
    assert chain.report()["read"] == ("changes" if native else "everything")
    chain.restored(second)
    with open(chain.config, "a", encoding="utf-8") as config:
        config.write("full_every = 1s\n")
    assert chain.stored().manifest(chain.backup()).summary["bases"] == []


def test_any_backup_can_go(chain: Chain, work_dir: Path) -> None:
    """What others refer to outlives its own backup."""
    made = [chain.backup()]
    for turn in range(3):
        chain.primary.sql(f"update big set i = -i where abs(i) % 499 = {turn}")
        made.append(chain.backup())
    chain.run("expire", "--keep-last=1", "--apply").check()
    stored = chain.stored()
    assert [b["id"] for b in chain.list()] == made[-1:]
    packs = [name for name in stored.names("backup/") if "/pack/" in name]
    owners = {name.split("/")[1] for name in packs}
    assert made[0] in owners, "nothing refers to the first backup any more"
    chain.restored(made[-1])
    chain.rebuilt(made[-1], work_dir / "rebuilt")
    later = chain.backup()
    assert stored.manifest(later).summary["bases"] == [made[-1]]
    chain.restored(later).start()


def test_an_unreadable_base(chain: Chain) -> None:
    """One whose manifest is damaged is passed over, with a warning."""
    first, second = chain.backup(), chain.backup()
    path = chain.stored().file(f"backup/{second}/manifest")
    damaged = bytearray(path.read_bytes())
    damaged[-100] ^= 1
    path.write_bytes(damaged)
    third = chain.backup()
    assert chain.stored().manifest(third).summary["bases"] == [first]
    chain.restored(third)


@pytest.mark.versions(15, 17)
def test_a_pack_that_is_gone(chain: Chain) -> None:
    """No backup is published that refers to what is not there."""
    first = chain.backup()
    stored = chain.stored()
    stored.delete(f"backup/{first}/pack/00000000")
    done = chain.run("backup", "--checkpoint=fast")
    assert done.status == 1
    assert f"backup/{first}/pack/00000000" in done.err and "--full" in done.err
    assert stored.backups() == [first]
    chain.restored(chain.full())


def test_two_at_once(chain: Chain, work_dir: Path) -> None:
    chain.backup()
    chain.primary.sql("update big set i = -i where i % 100 = 0")
    both = [chain.begin(work_dir / f"log{n}") for n in range(2)]
    for one in both:
        wait_for(lambda one=one: not one.running(), "the backup ends")
    made = chain.stored().backups()
    assert len(made) == 3, [one.log.read_text() for one in both]
    for backup in made:
        chain.restored(backup)
