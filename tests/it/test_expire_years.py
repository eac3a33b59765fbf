"""Two years of real backups, expired as time passes."""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from ground.dailies import Rules
from ground.pg import ClusterFactory
from ground.programs import Programs
from ground.years import Years, calendar

MIXED = Rules(last=2, daily=4, weekly=3, monthly=6, yearly=2, within_days=9)


def live(years: Years, far: int, near: int, every: int) -> None:
    """All the backups, an expiry every few of them, and one at the end."""
    moments = calendar(far, near, days=730 - near)
    years.begin(moments[0] - timedelta(days=1))
    for number, moment in enumerate(moments):
        years.backup(moment)
        if number % every == every - 1 or moment == moments[-1]:
            years.clock.move(moment + timedelta(hours=2))
            years.expire()
    for life in years.lives:
        life.verify()


def test_two_years_of_backups(
    new_cluster: ClusterFactory, walship: Programs, work_dir: Path, key_file: Path
) -> None:
    rules = [MIXED, Rules(yearly=3, daily=2), Rules(within_days=3, monthly=4)]
    with Years(walship, new_cluster, work_dir, key_file, rules) as years:
        live(years, 14, 6, every=5)
        for life in years.lives:
            years.restore(life, life.left[0])
        years.recover(years.lives[0])


@pytest.mark.soak
def test_every_kept_backup_restores(
    new_cluster: ClusterFactory,
    walship: Programs,
    work_dir: Path,
    key_file: Path,
    soak: tuple[int, int],
    tell: Callable[[str], None],
) -> None:
    """104 weekly backups, then 60 daily ones, by each rule and by mixtures."""
    source = random.Random(soak[1])
    rules = [
        MIXED,
        Rules(last=5),
        Rules(daily=9),
        Rules(weekly=8),
        Rules(monthly=12),
        Rules(yearly=3),
        Rules(within_days=20),
        *(Rules.draw(source) for _ in range(4)),
    ]
    with Years(walship, new_cluster, work_dir, key_file, rules) as years:
        live(years, 104, 60, every=4)
        restored = 0
        for life in years.lives:
            tell(f"{life.rules}: {len(life.left)} kept")
            for backup in life.left:
                years.restore(life, backup)
                restored += 1
            years.recover(life)
        tell(f"{len(years.made)} backups, {restored} restored, seed {soak[1]}")
