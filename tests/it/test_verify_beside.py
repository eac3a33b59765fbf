"""walship verify beside an expiry: what goes on purpose is no defect."""

from __future__ import annotations

import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from ground import roots
from ground.dailies import Rules
from ground.host import base_environment, children_of, kill_pid, run, wait_for
from ground.pg import ClusterFactory
from ground.programs import Programs
from ground.years import Life, Years, calendar

STOPS = 12


class Stopped:
    """verify, which stands still at its n-th call of openat, in any thread."""

    def __init__(self, life: Life, number: int, log: Path, *args: str) -> None:
        self.log = log
        log.unlink(missing_ok=True)
        self._times = 0
        program = str(life.programs.path("walship"))
        inject = f"inject=openat:signal=SIGSTOP:when={number}"
        self._process = subprocess.Popen(
            [
                *("strace", "-f", "-o", str(log), "-e", "trace=openat", "-e", inject),
                *(program, "verify", f"--config={life.config}", *args),
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=base_environment(life.clock.env),
            user=roots.PG_USER,
            group=roots.PG_USER,
            extra_groups=[],
        )

    def wait(self) -> bool:
        """Whether it stands; false: it ended without."""

        def stands() -> str:
            ended = self._process.poll() is not None
            text = self.log.read_text() if self.log.exists() else ""
            if text.count("stopped by SIGSTOP") > self._times:
                self._times += 1
                return "stands"
            return "ended" if ended else ""

        return wait_for(stands, "verify stands still or ends") == "stands"

    def go_on(self) -> tuple[int, str]:
        standing = True
        while standing:
            for pid in children_of(self._process.pid):
                kill_pid(pid, signal.SIGCONT)
            standing = self.wait()
        out, _ = self._process.communicate()
        return self._process.returncode, out.decode()


@pytest.fixture
def life(
    new_cluster: ClusterFactory, walship: Programs, work_dir: Path, key_file: Path
) -> Iterator[Life]:
    """Of seven backups its rule keeps two, and nothing was expired yet."""
    moments = calendar(7, 0, days=7)
    rules = [Rules(last=2)]
    with Years(walship, new_cluster, work_dir, key_file, rules) as years:
        years.begin(moments[0])
        for moment in moments:
            years.backup(moment)
        yield years.lives[0]


@pytest.mark.parametrize("read", [False, True], ids=["list", "read"])
def test_expire_passes_by(life: Life, work_dir: Path, read: bool) -> None:
    """From its first to its last step, wherever verify stands; once broken."""
    args = ["--read", "--set=restore_workers=1"] if read else []
    saved = work_dir / "saved"
    shutil.copytree(life.repository, saved)
    log = work_dir / "openat"
    Stopped(life, 60000, log, *args).go_on()
    calls = sum("openat(" in line for line in log.read_text().splitlines())
    stood = 0
    for number in range(20, calls, calls // STOPS):
        shutil.rmtree(life.repository)
        shutil.copytree(saved, life.repository)
        run(["chown", "-R", roots.PG_USER, life.repository]).check()
        verify = Stopped(life, number, log, *args)
        if verify.wait():
            stood += 1
            life.run("expire", "--apply").check()
        status, said = verify.go_on()
        assert (status, "0 defects" in said) == (0, True), (number, said)
    assert stood > STOPS / 4


def test_it_misses_nothing_beside_expire(life: Life, work_dir: Path) -> None:
    """What the kept backups need is missed, though expire passed by."""
    log = work_dir / "openat"
    older, newest = life.left[-2:]
    (pack,) = life.repository.glob(f"*/backup/{newest.identifier}/pack/00000000")
    (segment,) = life.repository.glob(f"*/wal/*/*{older.last_segment + 1:08X}")
    pack.unlink()
    segment.rename(segment.with_suffix(".lost"))
    verify = Stopped(life, 60, log)
    assert verify.wait()
    life.run("expire", "--apply").check()
    status, said = verify.go_on()
    assert status == 1 and "2 defects" in said
    assert f'missing: "backup/{newest.identifier}/pack/00000000"' in said
    assert f'wal-gap: "{segment.name}"' in said
