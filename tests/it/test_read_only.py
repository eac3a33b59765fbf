"""A credential that may only read is enough to fetch, list and restore.

And many may do so at once.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ground.pg import ClusterFactory
from ground.programs import Programs, write_config
from ground.s3 import Gateway
from ground.s3client import Bucket, Credentials
from ground.site import FINGERPRINT, Site
from ground.walworld import ROWS_2, World, all_rows


@pytest.fixture
def reader(gateway: Gateway, bucket: Bucket) -> Iterator[Credentials]:
    """A user that README's policy for reading lets in, and nothing else."""
    uid = f"reader-{time.monotonic_ns()}"
    made = gateway.create_user(uid)
    statement = {
        "Effect": "Allow",
        "Principal": {"AWS": [f"arn:aws:iam:::user/{uid}"]},
        "Action": ["s3:GetObject", "s3:ListBucket"],
        "Resource": [f"arn:aws:s3:::{bucket.name}", f"arn:aws:s3:::{bucket.name}/*"],
    }
    policy = {"Version": "2012-10-17", "Statement": [statement]}
    bucket.configure("policy", json.dumps(policy).encode())
    yield made


def test_many_read_one_archive(s3_world: World, reader: Credentials) -> None:
    """Two standbys and a recovery at once, on one host and by one spool."""
    s3_world.keys |= {
        "s3_access_key_id": reader.access_key,
        "s3_secret_access_key": reader.secret_key,
        "fetch_ahead": "8MB",
        "fetch_timeout_standby": "30s",
    }
    s3_world.configure()
    data = s3_world.data_dir()
    done = s3_world.walship.run(
        "wal-push", f"--config={s3_world.good}", "pg_wal/0000000A.history", cwd=data
    )
    assert done.status != 0
    standbys = [s3_world.server("standby.signal") for _ in range(2)]
    recovery = s3_world.server("recovery.signal")
    for cluster in (*standbys, recovery):
        cluster.start(wait=False)
    recovery.wait_sql("select not pg_is_in_recovery()")
    all_rows(recovery, ROWS_2)
    for cluster in standbys:
        cluster.wait_sql(f"select max(n) = {ROWS_2} from t")
        assert cluster.value("select pg_is_in_recovery()")
        all_rows(cluster, ROWS_2)
    # Each has a directory of its own there.
    assert len(list(s3_world.spool.glob("*/*/fetch-*"))) == 3


def test_cascade(s3_world: World) -> None:
    """A standby of a standby takes from the archive what that no longer has."""
    upper = s3_world.server("standby.signal")
    upper.start()
    upper.wait_sql(f"select max(n) = {ROWS_2} from t")
    lower = s3_world.server("standby.signal")
    lower.configure({"primary_conninfo": upper.dsn()})
    lower.start()
    lower.wait_sql(f"select max(n) = {ROWS_2} from t")
    assert lower.value("select pg_is_in_recovery()")
    lower.promote()
    all_rows(lower, ROWS_2)
    assert upper.value("select pg_is_in_recovery()")


def test_list_and_restore(
    walship: Programs,
    new_cluster: ClusterFactory,
    s3_config: Path,
    reader: Credentials,
) -> None:
    site = Site(walship, new_cluster, s3_config)
    site.load()
    made = site.backup()
    site.mark(1)
    site.settle()
    fingerprint = site.primary.value(FINGERPRINT)
    lines = s3_config.read_text(encoding="utf-8").splitlines()
    keys = dict(line.split(" = ", 1) for line in lines)
    keys |= {
        "s3_access_key_id": reader.access_key,
        "s3_secret_access_key": reader.secret_key,
    }
    site.config = write_config(s3_config.with_name("reader.conf"), **keys)
    assert [row["id"] for row in site.list()] == [made]
    assert site.run("backup").status != 0
    copy = site.restore()
    copy.wait_sql("select not pg_is_in_recovery()")
    assert copy.value(FINGERPRINT) == fingerprint
