"""What a backup that died has stored, the next attempt does not store again."""

from __future__ import annotations

import json
import os
import random
from pathlib import Path

import pytest

from ground.chain import Chain
from ground.fault import FaultProxy
from ground.host import Daemon, wait_for
from ground.pg import ClusterFactory
from ground.programs import Programs
from ground.s3client import Bucket
from ground.stored import Stored

RATE = "--max-rate=15M"
SLACK = 1 << 20  # what a server changes by itself between two backups
LONG_AGO = 10**9
SEED = 20261121


def packs_of(stored: Stored, backup: str) -> list[str]:
    return stored.names(f"backup/{backup}/pack/")


def ids(stored: Stored) -> set[str]:
    return {name.split("/")[1] for name in stored.names("backup/")}


def data_bytes(stored: Stored, packs: list[str]) -> int:
    return sum(len(frame) for name in packs for frame in stored.frames(name)[1:])


def stored_bytes(stored: Stored, packs: list[str]) -> int:
    return sum(len(stored.load(name)) for name in packs)


class Held(Chain):
    """A primary that archives nothing while a file is there.

    No backup ends before its WAL is archived.
    """

    @property
    def hold(self) -> Path:
        return self.config.with_name("hold")

    @property
    def push(self) -> str:
        return f"while test -e {self.hold}; do sleep 0.1; done; {super().push}"


class Attempt:
    """A backup under way, until it has stored so many packs."""

    def __init__(self, chain: Chain, log: Path, npacks: int) -> None:
        self.stored = chain.stored()
        known = ids(self.stored)
        self.process: Daemon = chain.begin(log, RATE)
        wait_for(lambda: ids(self.stored) - known, "the backup has begun")
        (self.backup,) = ids(self.stored) - known
        wait_for(
            lambda: len(packs_of(self.stored, self.backup)) >= npacks,
            f"{npacks} packs are stored",
        )

    def die(self) -> str:
        self.process.kill()
        return self.backup

    def packs(self) -> list[str]:
        return packs_of(self.stored, self.backup)


@pytest.fixture
def chain(walship: Programs, new_cluster: ClusterFactory, dir_config: Path) -> Held:
    made = Held(walship, new_cluster, dir_config, checksums=True)
    made.make_big()
    return made


def write_endpoint(config: Path, proxy: FaultProxy) -> None:
    text = config.read_text()
    (endpoint,) = (line for line in text.splitlines() if "s3_endpoint" in line)
    config.write_text(text.replace(endpoint, f"s3_endpoint = {proxy.endpoint}") + "\n")


def some(most: int) -> int:
    npacks = random.Random(SEED).randint(1, most)
    print(f"seed {SEED}: dies after {npacks} packs")
    return npacks


def check_salvaged(chain: Chain, attempt: Attempt, made: str) -> None:
    """All of it is used, and what was made restores."""
    report, manifest = chain.report(), chain.stored().manifest(made)
    durable = data_bytes(attempt.stored, attempt.packs())
    print(f"{durable} bytes were durable, {report}")
    assert durable - SLACK < report["salvaged_bytes"] <= durable
    used = {pack.number for pack in manifest.packs if pack.backup == attempt.backup}
    assert len(used) == len(attempt.packs())
    chain.restored(made).start()


@pytest.mark.versions(15, 17)
def test_killed(chain: Held, work_dir: Path) -> None:
    """The first backup, and expiry at its heels.

    Expiry takes the dead one for what it is while the next attempt uses it.
    """
    chain.hold.touch()
    attempt = Attempt(chain, work_dir / "log", some(3))
    attempt.process.kill()
    chain.hold.unlink()
    stored, dead = attempt.stored, attempt.packs()
    durable = stored_bytes(stored, dead)
    os.utime(stored.file(f"backup/{attempt.backup}/start"), (LONG_AGO, LONG_AGO))

    following = chain.begin(work_dir / "following", RATE)
    wait_for(
        lambda: "packs of backups that died" in following.log.read_text(),
        "the next backup knows of the dead one",
    )
    following.pause()
    expiry = chain.run("expire", "--keep-last=1", "--apply")
    following.resume()
    wait_for(lambda: not following.running(), "the backup ends")
    expiry.check()
    assert stored.exists(f"backup/{attempt.backup}/expired")
    assert packs_of(stored, attempt.backup) == dead
    (made,) = stored.backups()
    check_salvaged(chain, attempt, made)
    chain.run("expire", "--keep-last=1", "--apply").check()
    chain.run("verify", "--read").check()
    chain.rebuilt(made, work_dir / "rebuilt")

    saved = chain.report()["stored_bytes"]
    full = chain.full()
    report = chain.report()
    assert report["salvaged_bytes"] == 0 and report["base"] is None
    assert {pack.backup for pack in stored.manifest(full).packs} == {full}
    assert saved <= report["stored_bytes"] - durable + SLACK


def test_twice(chain: Held, work_dir: Path) -> None:
    """The server goes during the second attempt; the third uses both."""
    base = chain.backup()
    chain.primary.sql("update big set i = -i")
    chain.hold.touch()
    first = Attempt(chain, work_dir / "first", 1)
    first.process.kill()
    chain.hold.unlink()
    second = Attempt(chain, work_dir / "second", 1)
    chain.primary.restart("immediate")
    wait_for(lambda: not second.process.running(), "the backup fails")
    assert chain.stored().backups() == [base]
    made = chain.backup()
    manifest = chain.stored().manifest(made)
    assert manifest.summary["bases"] == [base]
    owners = {pack.backup for pack in manifest.packs}
    assert {first.backup, second.backup, made} <= owners
    durable = data_bytes(first.stored, first.packs() + second.packs())
    assert chain.report()["salvaged_bytes"] > durable - 2 * SLACK
    chain.rebuilt(made, work_dir / "rebuilt")
    # The next is built on that one, whoever owns its packs.
    assert chain.stored().manifest(chain.backup()).summary["bases"] == [made]
    assert chain.report()["salvaged_bytes"] == 0
    chain.restored(made).start()
    # What another backup uses of a dead one, a full backup does not share.
    full = chain.stored().manifest(chain.full())
    assert {pack.backup for pack in full.packs} == {full.summary["id"]}


def test_what_cannot_be_used(chain: Held, work_dir: Path) -> None:
    """A damaged pack is passed over; so is what is marked, or too old."""
    chain.hold.touch()
    attempt = Attempt(chain, work_dir / "log", 2)
    attempt.process.kill()
    chain.hold.unlink()
    path = attempt.stored.file(attempt.packs()[0])
    damaged = bytearray(path.read_bytes())
    damaged[200] ^= 1
    path.write_bytes(damaged)
    chain.primary.sql("update big set i = -i where i % 997 = 0")
    done = chain.run("backup", "--checkpoint=fast").check()
    made = done.out.strip()
    assert f"cannot use \"{attempt.packs()[0]}\" of a backup that died" in done.err
    used = chain.stored().manifest(made).packs
    assert {pack.number for pack in used if pack.backup == attempt.backup} == {
        *range(1, len(attempt.packs()))
    }
    chain.restored(made).start()

    chain.primary.sql("update big set i = -i")
    chain.hold.touch()
    marked = Attempt(chain, work_dir / "marked", 1)
    marked.process.kill()
    chain.hold.unlink()
    mark = marked.stored.file(f"backup/{marked.backup}/expired")
    mark.write_bytes(b"")
    chain.backup()
    assert chain.report()["salvaged_bytes"] == 0

    chain.primary.sql("update big set i = -i")
    chain.hold.touch()
    Attempt(chain, work_dir / "old", 1).die()
    chain.hold.unlink()
    chain.primary.sql("select pg_sleep(1)")
    with open(chain.config, "a", encoding="utf-8") as config:
        config.write("pack_max_age = 1s\n")
    later = chain.backup()
    assert chain.report()["salvaged_bytes"] == 0
    chain.restored(later)


def test_a_chain_in_a_bucket(
    walship: Programs,
    new_cluster: ClusterFactory,
    s3_config: Path,
    bucket: Bucket,
    fault_proxy: FaultProxy,
    work_dir: Path,
) -> None:
    """The network goes; base, dead attempt and backup are one restore."""
    write_endpoint(s3_config, fault_proxy)
    chain = Chain(walship, new_cluster, s3_config)
    chain.bucket = bucket
    chain.make_big()
    base = chain.backup()
    chain.primary.sql("update big set i = -i")
    patient = s3_config.read_text()
    s3_config.write_text(patient + "command_timeout = 8s\n")
    attempt = Attempt(chain, work_dir / "log", some(2))
    fault_proxy.set(hang=True, on="/pack/")
    fault_proxy.reset_connections()
    wait_for(lambda: not attempt.process.running(), "the backup fails")
    fault_proxy.clear()
    s3_config.write_text(patient)
    made = chain.backup()
    assert chain.stored().manifest(made).summary["bases"] == [base]
    check_salvaged(chain, attempt, made)
    chain.primary.sql("update big set i = -i where i % 97 = 0")
    chain.rebuilt(chain.backup(), work_dir / "rebuilt")


@pytest.mark.sigv4
@pytest.mark.parametrize("victim", ["base", "dead"])
def test_one_that_expires_meanwhile(
    victim: str,
    walship: Programs,
    new_cluster: ClusterFactory,
    s3_config: Path,
    bucket: Bucket,
    fault_proxy: FaultProxy,
    work_dir: Path,
) -> None:
    """Between the choice and the start that names it: begun again without it."""
    write_endpoint(s3_config, fault_proxy)
    chain = Chain(walship, new_cluster, s3_config)
    chain.bucket = bucket
    stored = chain.stored()
    first = chain.backup()
    if victim == "dead":
        first = Attempt(chain, work_dir / "log", 0).die()
    known = ids(stored)
    fault_proxy.set(hang=True, on="PUT .*/start")
    fault_proxy.forget()
    following = chain.begin(work_dir / "following")
    wait_for(lambda: fault_proxy.count("PUT", "/start") > 0, "it has chosen")
    bucket.put(stored.key(f"backup/{first}/expired"), b"")
    fault_proxy.clear()
    fault_proxy.reset_connections()
    wait_for(lambda: not following.running(), "the backup ends")
    begun = ids(stored) - known
    (made,) = set(stored.backups()) - known
    assert f"backup {first} expired meanwhile" in following.log.read_text()
    (voided,) = begun - {made}
    assert stored.exists(f"backup/{voided}/expired")
    bases = json.loads(stored.content(f"backup/{made}/start"))["bases"]
    assert first not in bases
    assert first in json.loads(stored.content(f"backup/{voided}/start"))["bases"]
