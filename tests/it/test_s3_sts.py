"""Roles that a real service lends: the gateway's own STS."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from ground.s3 import Gateway
from ground.s3client import Bucket
from ground.storetool import StoreTool, status


@pytest.fixture(scope="module")
def gateway(run_dir: Path) -> Iterator[Gateway]:
    """One of its own, that knows STS."""
    server = Gateway(run_dir / "sts", sts=True)
    yield server
    server.stop()


def test_a_role_of_the_gateway(
    gateway: Gateway, bucket: Bucket, tmp_path: Path
) -> None:
    """Who may do nothing assumes a role that may, and keeps it in the spool."""
    uid = f"user{uuid.uuid4().hex[:8]}"
    keys = gateway.create_user(uid)
    arn = gateway.create_role(f"Role{uid}", uid, bucket.name)
    config = tmp_path / "config"
    base = (
        f"[profile base]\naws_access_key_id = {keys.access_key}\n"
        f"aws_secret_access_key = {keys.secret_key}\n"
    )
    role = (
        "[profile role]\nrole_arn = {}\nsource_profile = base\nduration_seconds = 900\n"
    )
    config.write_text(base + role.format(arn), encoding="ascii")
    spool = tmp_path / "spool"
    spool.mkdir(mode=0o700)
    env = {"AWS_CONFIG_FILE": str(config), "AWS_SHARED_CREDENTIALS_FILE": "/none"}
    store = StoreTool(
        repository=f"s3://{bucket.name}/it",
        s3_endpoint=gateway.endpoint,
        s3_sts_endpoint=gateway.endpoint,
        s3_addressing="path",
        s3_profile="role",
        spool=spool,
    )
    assert status(store.but(s3_profile="base")("put", "k", env=env)) == "auth"
    store("put", "k", stdin=b"x", env=env).check()
    assert list(bucket.list()) == ["it/k"]
    (kept,) = spool.iterdir()
    assert keys.secret_key not in kept.read_text(encoding="ascii")
    assert store("get", "k", env=env).check().out == "x"

    config.write_text(base + role.format(arn + "x"), encoding="ascii")
    refused = store("get", "k", env=env)
    assert status(refused) in ("auth", "config")
    assert arn + "x" in refused.err
