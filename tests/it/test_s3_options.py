"""What the configuration asks of an S3 server: class, encryption, lock, tags."""

from __future__ import annotations

import base64
import calendar
import hashlib
import re
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from ground.pg import ClusterFactory
from ground.programs import Programs, write_config
from ground.s3 import Gateway
from ground.s3client import Bucket, S3Client
from ground.scripted import Say, Scripted, answer
from ground.signed import CREDENTIALS, assert_signed, special
from ground.site import FINGERPRINT, Site
from ground.storetool import StoreTool, requests, status

SEGMENT = "7/wal/00000001/000000010000000000000001"
BACKUP = "7/backup/0000000000200028-00000001-20260102T030405Z"
PACK = f"{BACKUP}/pack/00000000"
PROBE = ".walship-probe-0000000000000000"
EVERYTHING = {
    "s3_storage_class": "STANDARD_IA",
    "s3_sse": "aws:kms alias/x",
    "s3_object_lock": "compliance 30d",
    "s3_tags": "team=dba, path=a/b",
    "s3_bucket_owner": "123456789012 requester-pays",
}
STORED = answer(200, b"", 'ETag: "e"')
DAY = 86400

Script = Callable[..., tuple[StoreTool, Scripted]]


@pytest.fixture
def script(scripted: Callable[..., Scripted]) -> Script:
    """A store at a server with the given answers, and with settings."""

    def start(*answers: Say, **settings: str) -> tuple[StoreTool, Scripted]:
        server = scripted(*answers)
        store = StoreTool(
            repository="s3://bucket/p",
            s3_endpoint=server.endpoint,
            s3_access_key_id=CREDENTIALS.access_key,
            s3_secret_access_key=CREDENTIALS.secret_key,
            **settings,
        )
        return store, server

    return start


def store_for(bucket: Bucket, gateway: Gateway, **settings: str) -> StoreTool:
    return StoreTool(
        repository=f"s3://{bucket.name}/it",
        s3_endpoint=gateway.endpoint,
        s3_access_key_id=gateway.credentials.access_key,
        s3_secret_access_key=gateway.credentials.secret_key,
        **settings,
    )


# --- the headers ------------------------------------------------------------------


def test_what_a_put_asks_for(script: Script) -> None:
    store, server = script(STORED, **EVERYTHING)
    before = int(time.time())
    store("put", SEGMENT, stdin=b"body").check()
    (put,) = server.asked
    until = put.headers.pop("x-amz-object-lock-retain-until-date")
    then = time.strptime(until, "%Y-%m-%dT%H:%M:%SZ")
    assert 0 <= calendar.timegm(then) - before - 30 * DAY <= 900
    put.headers["x-amz-object-lock-retain-until-date"] = until
    wanted = {
        "x-amz-storage-class": "STANDARD_IA",
        "x-amz-server-side-encryption": "aws:kms",
        "x-amz-server-side-encryption-aws-kms-key-id": "alias/x",
        "x-amz-object-lock-mode": "COMPLIANCE",
        "x-amz-tagging": "team=dba&path=a%2Fb",
        "x-amz-expected-bucket-owner": "123456789012",
        "x-amz-request-payer": "requester",
        "content-md5": base64.b64encode(hashlib.md5(b"body").digest()).decode(),
    }
    assert {name: put.headers[name] for name in wanted} == wanted
    assert_signed(put)


@pytest.mark.parametrize(
    "command", [("get", "k"), ("head", "k"), ("list", ""), ("rm", "k"), ("rm", "k", "l")]
)
def test_what_other_requests_ask_for(script: Script, command: tuple[str, ...]) -> None:
    """S3 refuses there what is meant for an upload."""
    refused = answer(403, b"<Error><Code>AccessDenied</Code></Error>")
    store, server = script(refused, **EVERYTHING)
    assert status(store("--once", *command)) == "auth"
    for asked in server.asked:
        assert special(asked) == {"x-amz-expected-bucket-owner", "x-amz-request-payer"}
        assert_signed(asked)


def test_every_request_of_a_check_is_signed_whole(script: Script) -> None:
    """Also those that ask a bucket for its settings."""
    refused = answer(501, b"<Error><Code>NotImplemented</Code></Error>")
    exists = answer(412, b"<Error><Code>PreconditionFailed</Code></Error>")
    stored = (STORED, exists, answer(204))
    store, server = script(*stored, refused, **EVERYTHING)
    store("features").check()
    assert [asked.method for asked in server.asked] == [
        *("PUT", "PUT", "DELETE", "GET", "GET", "GET")
    ]
    for asked in server.asked:
        assert_signed(asked)
        assert "x-amz-object-lock-mode" not in asked.headers


def test_nothing_is_asked_for_by_default(script: Script) -> None:
    store, server = script(STORED)
    store("put", SEGMENT, stdin=b"body").check()
    (put,) = server.asked
    assert special(put) == set()
    assert "content-md5" not in put.headers


BAD = {
    "s3_storage_class": "GLACIER",
    "s3_sse": "AES",
    "s3_object_lock": "compliance 30",
    "s3_tags": "a",
    "s3_bucket_owner": "me",
}


@pytest.mark.parametrize("name", BAD)
def test_a_value_that_is_refused(script: Script, name: str) -> None:
    store, server = script(STORED, **{name: BAD[name]})
    refused = store("put", "k")
    assert status(refused) == "config"
    assert f'invalid value "{BAD[name]}" for {name}' in refused.err
    assert f"WALSHIP_{name.upper()}" in refused.err
    assert "DETAIL: " in refused.err
    assert server.asked == []


# --- checksums --------------------------------------------------------------------

WANTS_MD5 = answer(
    400,
    b"<Error><Code>InvalidRequest</Code><Message>Content-MD5 OR x-amz-checksum- HTTP "
    b"header is required for Put Object requests with Object Lock parameters"
    b"</Message></Error>",
)


def test_a_bucket_with_a_default_retention(script: Script) -> None:
    """AWS's own words; what it asks for is then sent with every upload."""
    store, server = script(WANTS_MD5, STORED, STORED)
    store("--stats", "fill", "k", "1", "2").check()
    first, again, second = server.asked
    assert first.path == again.path
    assert "content-md5" not in first.headers
    for asked in (again, second):
        digest = base64.b64encode(hashlib.md5(asked.body).digest()).decode()
        assert asked.headers["content-md5"] == digest
        assert asked.headers["if-none-match"] == "*"
        assert_signed(asked)


def test_a_store_that_is_never_content(script: Script) -> None:
    store, server = script(WANTS_MD5)
    refused = store("put", "k")
    assert status(refused) == "config"
    assert "Content-MD5" in refused.err
    assert len(server.asked) == 2


# --- the gateway ------------------------------------------------------------------


def test_storage_classes(bucket: Bucket, gateway: Gateway) -> None:
    store = store_for(bucket, gateway, s3_storage_class=gateway.storage_class)
    for key in (SEGMENT, PACK, f"{BACKUP}/manifest", f"{BACKUP}/start", PROBE):
        store("put", key, stdin=b"x").check()
        wanted = gateway.storage_class if key in (SEGMENT, PACK) else "STANDARD"
        assert store("head", key).check().out.split()[2:] == [wanted, "ready"]
        assert store("get", key).check().out == "x"


def test_a_storage_class_that_is_not_there(bucket: Bucket, gateway: Gateway) -> None:
    store = store_for(bucket, gateway, s3_storage_class="NO_SUCH_CLASS")
    refused = store("--stats", "put", SEGMENT)
    assert status(refused) == "config"
    assert requests(refused) == 1
    store("put", PROBE).check()


@pytest.mark.parametrize("sse", ["AES256", "aws:kms testkey"])
def test_encryption_by_the_store(bucket: Bucket, gateway: Gateway, sse: str) -> None:
    store = store_for(bucket, gateway, s3_sse=sse)
    for key in (SEGMENT, f"{BACKUP}/start", PROBE):
        store("put", key, stdin=b"text").check()
        assert store("get", key).check().out == "text"
        assert store("get", key, "1", "2").check().out == "ex"
        head = bucket.head(f"it/{key}").headers
        algorithm, _, key_id = sse.partition(" ")
        # This server takes AES256 and does nothing about it.
        if key_id:
            assert head["x-amz-server-side-encryption"] == algorithm
            assert head["x-amz-server-side-encryption-aws-kms-key-id"] == key_id


def test_a_key_of_the_store_that_is_not_there(
    bucket: Bucket, gateway: Gateway
) -> None:
    store = store_for(bucket, gateway, s3_sse="aws:kms no-such-key")
    refused = store("--once", "put", SEGMENT, stdin=b"text")
    assert status(refused) in ("auth", "config")
    assert bucket.list() == {}


def test_tags(bucket: Bucket, gateway: Gateway) -> None:
    store = store_for(bucket, gateway, s3_tags="team=the dbas, path=a/b+c")
    store("put", PROBE).check()
    path = f"/{bucket.name}/it/{PROBE}"
    told = bucket.client.expect("GET", path, query={"tagging": ""}).body.decode()
    assert re.findall("<Key>(.*?)</Key><Value>(.*?)</Value>", told) in (
        [("team", "the dbas"), ("path", "a/b+c")],
        [("path", "a/b+c"), ("team", "the dbas")],
    )


# --- object lock ------------------------------------------------------------------


@pytest.fixture
def locked(gateway: Gateway) -> Bucket:
    """A bucket with object lock; what it holds goes with the gateway."""
    return gateway.create_bucket("locked", lock=True)


def retention(bucket: Bucket, key: str) -> tuple[str, float] | None:
    """Mode and seconds from now, of an object's current version."""
    client: S3Client = bucket.client
    told = client.request("GET", f"/{bucket.name}/{key}", query={"retention": ""})
    if told.status != 200:
        return None
    found = re.search(
        "<Mode>(.*)</Mode><RetainUntilDate>(.*?)[.Z].*</RetainUntilDate>",
        told.body.decode(),
    )
    assert found is not None
    then = time.strptime(found.group(2), "%Y-%m-%dT%H:%M:%S")
    return found.group(1), calendar.timegm(then) - time.time()


@pytest.mark.parametrize("mode", ["governance", "compliance"])
def test_what_is_locked(locked: Bucket, gateway: Gateway, mode: str) -> None:
    store = store_for(
        locked, gateway, s3_object_lock=f"{mode} 1d", s3_conditional_put="off"
    )
    kept = (SEGMENT, PACK, f"{BACKUP}/manifest", "7/report/20260102T030405Z-backup")
    for key in (*kept, f"{BACKUP}/start", f"{BACKUP}/keep", PROBE):
        store("put", key, stdin=b"x").check()
        told = retention(locked, f"it/{key}")
        if key in kept:
            assert told is not None and told[0] == mode.upper()
            assert DAY - 900 < told[1] <= DAY
        else:
            assert told is None
    path = f"/{locked.name}/it/{SEGMENT}"
    version = locked.head(f"it/{SEGMENT}").headers["x-amz-version-id"]
    gone = locked.client.request("DELETE", path, query={"versionId": version})
    assert gone.status == 403
    # Without a version it is only hidden, and that is no proof of absence.
    assert status(store("get", SEGMENT)) == "ok"


def locked_for(days: int, bucket: Bucket, gateway: Gateway) -> StoreTool:
    lock = f"compliance {days}d"
    return store_for(bucket, gateway, s3_object_lock=lock, s3_conditional_put="off")


def test_a_lock_that_is_extended(locked: Bucket, gateway: Gateway) -> None:
    """To what an upload would get now, and never to less."""
    locked_for(2, locked, gateway)("put", PACK, stdin=b"x").check()
    locked_for(2, locked, gateway)("put", f"{BACKUP}/start", stdin=b"x").check()
    for days, wanted in ((5, 5), (3, 5), (5, 5)):
        locked_for(days, locked, gateway)("extend", PACK).check()
        told = retention(locked, f"it/{PACK}")
        assert told is not None and told[0] == "COMPLIANCE"
        assert wanted * DAY - 900 < told[1] <= wanted * DAY
    locked_for(5, locked, gateway)("extend", f"{BACKUP}/start").check()
    assert retention(locked, f"it/{BACKUP}/start") is None
    gone = locked_for(5, locked, gateway)("extend", f"{BACKUP}/pack/00000009")
    assert status(gone) == "missing"
    store_for(locked, gateway)("extend", PACK).check()


def test_a_retention_that_may_not_be_extended(script: Script) -> None:
    """A refusal counts, unless the lock is known to end later."""
    refused = answer(403, b"<Error><Code>AccessDenied</Code></Error>")
    soon = b"<Retention><Mode>COMPLIANCE</Mode><RetainUntilDate>2020-01-01T00:00:00Z"
    soon += b"</RetainUntilDate></Retention>"
    for known, wanted in ((refused, "auth"), (answer(200, soon), "auth")):
        store, server = script(refused, known, **EVERYTHING)
        assert status(store("--once", "extend", PACK)) == wanted
        put, get = server.asked
        assert put.method == "PUT" and "retention" in put.path
        assert get.method == "GET" and "retention" in get.path
        assert "content-md5" in put.headers
        for asked in server.asked:
            assert_signed(asked)
    later = soon.replace(b"2020", b"2999")
    store, _ = script(refused, answer(200, later), **EVERYTHING)
    store("--once", "extend", PACK).check()


def test_a_whole_life_in_compliance_mode(
    locked: Bucket,
    gateway: Gateway,
    walship: Programs,
    new_cluster: ClusterFactory,
    spool_dir: Path,
    key_file: Path,
    work_dir: Path,
) -> None:
    """Archive, backup, list, check and restore; all but deleting for good."""
    config = write_config(
        work_dir / "walship-locked.conf",
        repository=f"s3://{locked.name}/it",
        spool=spool_dir,
        key_file=key_file,
        s3_endpoint=gateway.endpoint,
        s3_access_key_id=gateway.credentials.access_key,
        s3_secret_access_key=gateway.credentials.secret_key,
        s3_object_lock="compliance 1d",
        s3_storage_class=gateway.storage_class,
        s3_sse=f"aws:kms {gateway.kms_key}",
        s3_tags="team=dba",
        s3_conditional_put="off",
    )
    site = Site(walship, new_cluster, config)
    site.load()
    told = site.run("check").check().out
    assert "object_lock" in told
    backup = site.backup()
    site.mark(1)
    site.settle()
    wanted = site.primary.sql(FINGERPRINT)
    assert [row["id"] for row in site.list()] == [backup]
    copy = site.restore()
    copy.wait_sql("select not pg_is_in_recovery()")
    assert copy.sql(FINGERPRINT) == wanted

    for key in locked.list():
        name = key.rpartition("/")[2]
        free = name == "start" or name.startswith(".walship-probe-")
        assert (retention(locked, key) is None) == free, key

    # What an older backup holds is locked for as long as what needs it.
    text = config.read_text()
    config.write_text(text.replace("compliance 1d", "compliance 3d"))
    before = set(locked.list())
    site.backup()
    ends = {key: retention(locked, key) for key in before if f"{backup}/" in key}
    extended = {key for key, told in ends.items() if told and told[1] > 2 * DAY}
    kinds = {key.split("/")[-2] for key in extended}
    assert kinds == {"pack", "digest"}
    config.write_text(text)

    # What goes is hidden; the lock, and expire says so, keeps its bytes.
    newest = site.backup("--full", "--storage-class=STANDARD")
    classes = {
        key.split("/")[3]: locked.head(key).headers.get("x-amz-storage-class")
        for key in locked.list()
        if "/pack/" in key and key.split("/")[3] in (backup, newest)
    }
    assert classes.pop(newest) in (None, "STANDARD")
    assert classes == {backup: gateway.storage_class}
    site.settle()
    done = site.run("expire", "--keep-last=1", "--apply").check()
    assert "Deleted: 2 backups" in done.out
    assert "are only hidden: the bucket keeps them until their lock ends" in done.out
    assert [row["id"] for row in site.list()] == [newest]
    assert site.run("verify", "--read").check().out.startswith("1 backup,")
