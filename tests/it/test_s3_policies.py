"""README's IAM policies are enough, and no more, for what they are for.

The gateway applies each to another user of the bucket than its owner.
"""

from __future__ import annotations

import json
import re
import uuid
from pathlib import Path

import pytest

from ground.pg import ClusterFactory
from ground.programs import Programs, write_config
from ground.s3 import Gateway
from ground.s3client import Bucket
from ground.site import Site
from ground.storetool import StoreTool, status

SOURCE = Path(__file__).resolve().parents[2]


def policies() -> dict[str, list[dict[str, object]]]:
    """The statements of each of README's policies, by its first one's name."""
    readme = (SOURCE / "README.md").read_text(encoding="utf-8")
    section = readme.partition("\n## IAM permissions\n")[2].partition("\n## ")[0]
    found = [
        json.loads(text) for text in re.findall(r"```json\n(.*?)```", section, re.S)
    ]
    return {policy["Statement"][0]["Sid"]: policy["Statement"] for policy in found}


class Users:
    """Users of the owner's bucket, each with one of the policies."""

    def __init__(self, gateway: Gateway, bucket: Bucket, keys: dict[str, str]) -> None:
        self._gateway, self._bucket, self._keys = gateway, bucket, keys
        self._statements: list[dict[str, object]] = []

    def __call__(self, policy: str) -> dict[str, str]:
        """A configuration as such a user."""
        uid = f"{policy.lower()}{uuid.uuid4().hex[:8]}"
        made = self._gateway.create_user(uid)
        text = json.dumps(policies()[policy])
        text = text.replace("my-bucket", self._bucket.name).replace("prefix/", "it/")
        text = text.replace('"prefix"', '"it"')
        for statement in json.loads(text):
            statement["Sid"] += uid
            statement["Principal"] = {"AWS": [f"arn:aws:iam:::user/{uid}"]}
            self._statements.append(statement)
        whole = {"Version": "2012-10-17", "Statement": self._statements}
        self._bucket.configure("policy", json.dumps(whole).encode())
        return self._keys | {
            "s3_access_key_id": made.access_key,
            "s3_secret_access_key": made.secret_key,
        }


@pytest.fixture
def keys(s3_config: Path) -> dict[str, str]:
    lines = s3_config.read_text(encoding="utf-8").splitlines()
    return dict(line.split(" = ", 1) for line in lines)


@pytest.fixture
def as_user(gateway: Gateway, bucket: Bucket, keys: dict[str, str]) -> Users:
    return Users(gateway, bucket, keys)


def store_of(keys: dict[str, str]) -> StoreTool:
    return StoreTool(**{k: v for k, v in keys.items() if k.startswith(("s3_", "repo"))})


def test_every_policy_is_tried() -> None:
    assert set(policies()) == {"PushOnly", "Backup", "ReadOnly", "Expire"}


@pytest.mark.sigv4
def test_archive_back_up_and_restore_with_least_rights(
    as_user: Users,
    walship: Programs,
    new_cluster: ClusterFactory,
    spool_dir: Path,
    work_dir: Path,
) -> None:
    """Each program by its own user; a segment pushed again is no error."""
    pusher = write_config(work_dir / "push.conf", **as_user("PushOnly"))
    site = Site(walship, new_cluster, pusher)
    site.load()
    site.mark(1)
    segment = site.settle()
    again = f"{site.primary.data}/pg_wal/{segment}"
    walship.run("wal-push", f"--config={pusher}", again, cwd=site.primary.data).check()
    # It may find out, and knows, that the store honours conditions.
    (note,) = spool_dir.rglob("condition")
    assert note.read_text().endswith(" honoured\n")

    site.config = write_config(work_dir / "backup.conf", **as_user("Backup"))
    made = site.backup()
    site.mark(2)
    site.settle()

    reader = as_user("ReadOnly")
    site.config = write_config(work_dir / "read.conf", **reader)
    assert [row["id"] for row in site.list()] == [made]
    copy = site.restore()
    copy.wait_sql("select not pg_is_in_recovery()")
    assert copy.value("select max(n) from marks") == 2
    assert site.run("verify", "--read").check().err == ""
    for command in (("put", "k"), ("rm", "k")):
        assert status(store_of(reader)(*command)) == "auth"

    site.config = work_dir / "backup.conf"
    newest = site.backup("--full")
    site.settle()
    site.config = write_config(work_dir / "expire.conf", **as_user("Expire"))
    site.run("expire", "--keep-last=1", "--apply").check()
    assert [row["id"] for row in site.list()] == [newest]


@pytest.mark.parametrize("policy", ["PushOnly", "Backup", "ReadOnly"])
def test_none_of_them_deletes(
    as_user: Users, keys: dict[str, str], policy: str
) -> None:
    store_of(keys)("put", "7/wal/00000001/x").check()
    refused = store_of(as_user(policy))("rm", "7/wal/00000001/x")
    assert status(refused) == "auth"
    assert "s3:DeleteObject" in refused.err
    store_of(keys)("head", "7/wal/00000001/x").check()


def test_expire_has_what_it_takes(
    as_user: Users, keys: dict[str, str], bucket: Bucket
) -> None:
    """To list, to read, to write the verdict and to delete; below the prefix."""
    expire = store_of(as_user("Expire"))
    for key in ("7/backup/a/manifest", "7/backup/a/pack/0"):
        store_of(keys)("put", key, stdin=b"x").check()
    assert "7/backup/a/manifest" in expire("list", "7/backup/").check().out
    assert "7/backup/a/" in expire("dirs", "7/backup/").check().out
    expire("get", "7/backup/a/manifest").check()
    expire("put", "7/backup/a/expired").check()
    removed = ("7/backup/a/pack/0", "7/backup/a/manifest", "7/backup/a/expired")
    expire("rm", *removed).check()
    assert bucket.list("") == {}
    elsewhere = expire.but(repository=f"s3://{bucket.name}/elsewhere")
    for command in (("put", "k"), ("rm", "k"), ("rm", "k", "l")):
        assert status(elsewhere(*command)) == "auth"


@pytest.mark.sigv4
def test_pushing_needs_no_listing(as_user: Users) -> None:
    """Nor is anything but WAL within its reach."""
    pusher = store_of(as_user("PushOnly"))
    pusher("put", "7/wal/00000001/x", stdin=b"x").check()
    assert status(pusher("put", "7/wal/00000001/x", stdin=b"y")) == "exists"
    assert pusher("get", "7/wal/00000001/x").check().out == "x"
    assert status(pusher("list", "")) == "auth"
    assert status(pusher("put", "7/backup/a/start")) == "auth"
