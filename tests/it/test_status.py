"""walship status: what can be recovered, what is amiss, and never a gap unseen."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ground import roots
from ground.dailies import SEGMENTS_A_DAY, SYSTEM, Dailies, key_of, segment_name
from ground.host import Result, run
from ground.programs import Programs, write_config


class Status:
    """A directory repository with nine daily backups, and no server."""

    def __init__(self, programs: Programs, config: Path, repo_dir: Path) -> None:
        self.programs = programs
        self.config = config
        self.dailies = Dailies(repo_dir, key_of(config.parent / "key"))
        for _ in range(9):
            self.dailies.add_day()
        self.dailies.hand_over()

    @property
    def wal(self) -> Path:
        return self.dailies.tree / "wal/00000001"

    def __call__(self, *args: str) -> Result:
        program = str(self.programs.path("walship"))
        command = [program, "status", f"--config={self.config}", "--no-server"]
        return run([*command, *args], user=roots.PG_USER)

    def cluster(self, *args: str) -> dict[str, Any]:
        """The only one; the exit status must agree with its problems."""
        done = self(*args, "--json")
        assert done.out, done.err
        told = json.loads(done.out)
        (cluster,) = told["clusters"]
        assert told["problems"] == len(cluster["problems"])
        assert done.status == (1 if cluster["problems"] else 0), done.err
        found: dict[str, Any] = cluster
        return found

    def problems(self, *args: str) -> list[str]:
        return [problem["kind"] for problem in self.cluster(*args)["problems"]]


@pytest.fixture
def status(walship: Programs, dir_config: Path, repo_dir: Path) -> Status:
    return Status(walship, dir_config, repo_dir)


def test_all_is_well(status: Status) -> None:
    cluster = status.cluster()
    assert cluster["problems"] == [] and cluster["system_identifier"] == str(SYSTEM)
    (timeline,) = cluster["timelines"]
    (window,) = timeline["windows"]
    first, last = status.dailies.backups[0], status.dailies.backups[-1]
    assert window["from_time"] == first.stop_time.strftime("%Y-%m-%dT%H:%M:%SZ")
    assert window["backups"] == 9 and timeline["gaps"] == []
    assert cluster["last_backup"]["id"] == last.identifier
    assert cluster["archive"][0]["segments"] == 9 * SEGMENTS_A_DAY
    text = status()
    assert text.status == 0 and "[B=" in text.out and "Problems      none" in text.out
