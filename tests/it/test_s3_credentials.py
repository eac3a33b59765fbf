"""Where credentials come from, how they are kept and renewed.

Each source is a service of its own that says what a test wrote down; the store
tells who signed.  No secret may show up in what a program prints.
"""

from __future__ import annotations

import hashlib
import itertools
import os
import stat
import threading
import time
import urllib.parse
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ground.clock import clock_fast
from ground.credentials import Lent, Service, instance, signer, store, sts
from ground.host import Result, free_ports, process_alive, wait_for
from ground.scripted import Asked, Say, answer
from ground.storetool import StoreTool, status

Serve = Callable[[Service], Service]

# What every test begins with: nothing of the machine's own.
NOWHERE = {
    "AWS_EC2_METADATA_DISABLED": "true",
    "AWS_CONFIG_FILE": "/nonexistent/config",
    "AWS_SHARED_CREDENTIALS_FILE": "/nonexistent/credentials",
}
METADATA = {"AWS_EC2_METADATA_DISABLED": ""}


@pytest.fixture
def serve() -> Iterator[Serve]:
    running: list[Service] = []

    def start(service: Service) -> Service:
        running.append(service)
        return service

    yield start
    for service in running:
        service.stop()


class Push:
    """storetool put to a store that takes everything, as someone."""

    def __init__(self, serve: Serve, spool: Path) -> None:
        self.store = serve(store())
        self.spool = spool
        self.env = dict(NOWHERE)
        self.settings: dict[str, str] = {}

    def __call__(self, *args: str) -> Result:
        tool = StoreTool(
            repository="s3://bucket/p",
            s3_endpoint=self.store.endpoint,
            spool=self.spool,
            **self.settings,
        )
        done = tool(*(args or ("--once", "put", "wal/k")), env=self.env)
        for secret in ("lent-secret", "lent-token", "base-secret", "the-jwt"):
            assert secret not in done.out + done.err
        return done

    @property
    def signers(self) -> list[tuple[str, str]]:
        return [signer(asked) for asked in self.store.asked]

    def files(self, home: Path, *, config: str = "", credentials: str = "") -> None:
        for name, text in (("CONFIG", config), ("SHARED_CREDENTIALS", credentials)):
            path = home / name.lower()
            path.write_text(text, encoding="utf-8")
            self.env[f"AWS_{name}_FILE"] = str(path)

    def kept(self) -> list[Path]:
        return sorted(self.spool.glob("s3-credentials-*"))


@pytest.fixture
def push(serve: Serve, tmp_path: Path) -> Push:
    spool = tmp_path / "spool"
    spool.mkdir(mode=0o700)
    return Push(serve, spool)


LENT = ("ASIALENT", "lent-token")
BASE = "[base]\naws_access_key_id = BASE\naws_secret_access_key = base-secret\n"


# --- the order --------------------------------------------------------------------


def test_keys_of_the_environment(push: Push) -> None:
    push.env |= {"AWS_ACCESS_KEY_ID": "ENVKEY", "AWS_SECRET_ACCESS_KEY": "base-secret"}
    push().check()
    push.env["AWS_SESSION_TOKEN"] = "lent-token"
    push().check()
    assert push.signers == [("ENVKEY", ""), ("ENVKEY", "lent-token")]
    assert push.kept() == []


def test_no_credentials_at_all(push: Push) -> None:
    refused = push()
    assert status(refused) == "config"
    assert 'there are no credentials for "s3://bucket/p"' in refused.err
    assert "metadata service is switched off" in refused.err
    assert push.store.asked == []


def test_the_order_of_the_sources(push: Push, serve: Serve, tmp_path: Path) -> None:
    """Each that is taken away uncovers the next."""
    home = tmp_path / "jwt"
    home.write_text("the-jwt\n", encoding="ascii")
    lender = serve(sts(lambda form: Lent(key_id="WEB")))
    box = serve(Service(lambda asked: answer(200, Lent(key_id="BOX").json())))
    host = serve(instance(lambda: Lent(key_id="HOST")))
    push.files(tmp_path, credentials=BASE.replace("base]", "named]"))
    push.settings["s3_sts_endpoint"] = lender.endpoint
    push.env |= METADATA | {
        "AWS_ACCESS_KEY_ID": "ENVKEY",
        "AWS_SECRET_ACCESS_KEY": "base-secret",
        "AWS_PROFILE": "named",
        "AWS_WEB_IDENTITY_TOKEN_FILE": str(home),
        "AWS_ROLE_ARN": "arn:aws:iam::1:role/r",
        "AWS_CONTAINER_CREDENTIALS_FULL_URI": f"{box.endpoint}/x",
        "AWS_EC2_METADATA_SERVICE_ENDPOINT": host.endpoint,
    }
    push().check()
    for gone in (
        "AWS_ACCESS_KEY_ID",
        "AWS_WEB_IDENTITY_TOKEN_FILE",
        "AWS_SHARED_CREDENTIALS_FILE",
        "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    ):
        push.env[gone] = ""
        if gone == "AWS_ACCESS_KEY_ID":
            push.env["AWS_SECRET_ACCESS_KEY"] = ""
        if gone == "AWS_SHARED_CREDENTIALS_FILE":
            push.env |= {gone: "/nonexistent", "AWS_PROFILE": ""}
        push().check()
    assert [key for key, _ in push.signers] == ["ENVKEY", "WEB", "BASE", "BOX", "HOST"]


def test_a_source_that_fails_is_not_passed_over(
    push: Push, serve: Serve, tmp_path: Path
) -> None:
    host = serve(instance(Lent))
    push.files(tmp_path, config="[default]\ncredential_process = false\n")
    push.env |= METADATA | {"AWS_EC2_METADATA_SERVICE_ENDPOINT": host.endpoint}
    refused = push()
    assert status(refused) == "retry"
    assert "credential_process failed with exit code 1" in refused.err
    assert host.asked == [] and push.store.asked == []


# --- the shared files -------------------------------------------------------------


def test_profiles(push: Push, tmp_path: Path) -> None:
    push.files(
        tmp_path,
        config="[profile other]\naws_access_key_id=CONFIG\naws_secret_access_key=c\n"
        "aws_session_token=lent-token\n[default]\nregion = x\n",
        credentials=BASE
        + "[default]\naws_access_key_id = DEFAULT\naws_secret_access_key = d\n",
    )
    push().check()
    push.env["AWS_PROFILE"] = "base"
    push().check()
    push.settings["s3_profile"] = "other"
    push().check()
    push.env |= {"AWS_ACCESS_KEY_ID": "ENVKEY", "AWS_SECRET_ACCESS_KEY": "e"}
    push().check()
    del push.settings["s3_profile"]
    push().check()
    assert push.signers == [
        *(("DEFAULT", ""), ("BASE", ""), ("CONFIG", "lent-token")),
        *(("CONFIG", "lent-token"), ("ENVKEY", "")),
    ]


def test_home_without_a_variable(push: Push, tmp_path: Path) -> None:
    (tmp_path / ".aws").mkdir()
    (tmp_path / ".aws/credentials").write_text(BASE, encoding="ascii")
    push.env |= {"AWS_CONFIG_FILE": "", "AWS_SHARED_CREDENTIALS_FILE": ""}
    push.env |= {"HOME": str(tmp_path), "AWS_PROFILE": "base"}
    push().check()
    assert push.signers == [("BASE", "")]


PROFILES = {
    "absent": ("", "has no credentials, or does not exist"),
    "half a key": ("[profile x]\naws_access_key_id = A", "must be set together"),
    "no line at all": ("[profile x]\nnonsense base-secret", "line 2: malformed"),
    "no bracket": ("[profile x\n", "line 1: malformed"),
    "a role alone": ("[profile x]\nrole_arn = a", "role_arn needs one of"),
    "two bases": (
        "[profile x]\nrole_arn=a\nsource_profile=b\ncredential_source=Environment",
        "role_arn needs one of",
    ),
    "a code": ("[profile x]\nrole_arn=a\nmfa_serial=m", "mfa_serial"),
    "a circle": (
        "[profile x]\nrole_arn=a\nsource_profile=y\n"
        "[profile y]\nrole_arn=b\nsource_profile=x",
        "goes in a circle",
    ),
    "no base": ("[profile x]\nrole_arn=a\nsource_profile=y", "does not exist"),
    "unknown place": (
        "[profile x]\nrole_arn=a\ncredential_source=Moon",
        "credential_source must be",
    ),
    "no place": (
        "[profile x]\nrole_arn=a\ncredential_source=EcsContainer",
        "is not set up",
    ),
    "long life": (
        "[profile x]\nrole_arn=a\nsource_profile=x\nduration_seconds=99999\n"
        "aws_access_key_id=A\naws_secret_access_key=base-secret",
        "from 900 to 43200",
    ),
    "sign-in": ("[profile x]\nsso_session = s", "export-credentials"),
    "bad key": (
        "[profile x]\naws_access_key_id=A B\naws_secret_access_key=base-secret",
        "access key id is invalid",
    ),
    "open quote": ("[profile x]\ncredential_process = a 'b", "open quote"),
}


@pytest.mark.parametrize("name", PROFILES)
def test_a_profile_that_cannot_be_used(push: Push, tmp_path: Path, name: str) -> None:
    text, expected = PROFILES[name]
    push.files(tmp_path, config=text)
    push.settings["s3_profile"] = "x"
    refused = push()
    assert status(refused) == "config"
    assert expected in refused.err
    assert push.store.asked == []


def test_a_file_that_others_may_write(push: Push, tmp_path: Path) -> None:
    push.files(tmp_path, credentials=BASE.replace("base", "default"))
    path = Path(push.env["AWS_SHARED_CREDENTIALS_FILE"])
    path.chmod(0o644)
    push().check()
    path.chmod(0o622)
    assert "can be written by other users" in push().err
    path.chmod(0o600)
    os.chown(path, 12345, 0)
    assert "can be written by other users" in push().err
    assert len(push.store.asked) == 1


# --- AssumeRole and web identity --------------------------------------------------

ROLE = (
    "[profile role]\nrole_arn = arn:aws:iam::1:role/r\nsource_profile = base\n"
    "external_id = x&y\nrole_session_name = s\nduration_seconds = 900\n"
)


def forms(service: Service) -> list[dict[str, str]]:
    return [dict(urllib.parse.parse_qsl(a.body.decode())) for a in service.asked]


def test_a_role_by_another_profile(push: Push, serve: Serve, tmp_path: Path) -> None:
    lender = serve(sts(lambda form: Lent()))
    push.files(tmp_path, config=ROLE, credentials=BASE)
    push.settings |= {"s3_profile": "role", "s3_sts_endpoint": lender.endpoint}
    push().check()
    assert push.signers == [LENT]
    assert forms(lender) == [
        {
            "Action": "AssumeRole",
            "Version": "2011-06-15",
            "RoleArn": "arn:aws:iam::1:role/r",
            "RoleSessionName": "s",
            "DurationSeconds": "900",
            "ExternalId": "x&y",
        }
    ]
    asked = lender.asked[0]
    assert signer(asked) == ("BASE", "")
    assert "/us-east-1/sts/aws4_request" in asked.headers["authorization"]


def test_a_chain_of_roles(push: Push, serve: Serve, tmp_path: Path) -> None:
    lender = serve(sts(lambda form: Lent(key_id="K" + form["RoleArn"][-1])))
    push.files(
        tmp_path,
        config="[profile c]\nrole_arn=role2\nsource_profile=b\n"
        "[profile b]\nrole_arn=role1\nsource_profile=b\n"
        "aws_access_key_id=OWN\naws_secret_access_key=base-secret\n",
    )
    push.settings |= {"s3_profile": "c", "s3_sts_endpoint": lender.endpoint}
    push().check()
    assert [signer(asked)[0] for asked in lender.asked] == ["OWN", "K1"]
    assert push.signers == [("K2", "lent-token")]


def test_a_role_by_the_environment(push: Push, serve: Serve, tmp_path: Path) -> None:
    lender = serve(sts(lambda form: Lent()))
    push.files(
        tmp_path, config="[profile c]\nrole_arn=r\ncredential_source=Environment\n"
    )
    push.env |= {"AWS_ACCESS_KEY_ID": "ENVKEY", "AWS_SECRET_ACCESS_KEY": "base-secret"}
    push.settings |= {"s3_profile": "c", "s3_sts_endpoint": lender.endpoint}
    push().check()
    assert signer(lender.asked[0])[0] == "ENVKEY"
    assert push.signers == [LENT]


def test_web_identity(push: Push, serve: Serve, tmp_path: Path) -> None:
    """Not signed, and the token's file is read anew for each renewal."""
    lender = serve(sts(lambda form: Lent()))
    token = tmp_path / "token"
    push.settings["s3_sts_endpoint"] = lender.endpoint
    push.env |= {
        "AWS_WEB_IDENTITY_TOKEN_FILE": str(token),
        "AWS_ROLE_ARN": "arn:r",
    }
    assert status(push()) == "retry"
    for text in ("the-jwt1", "the-jwt2\n"):
        token.write_text(text, encoding="ascii")
        push().check()
        wane(push, 60)
    assert [form["WebIdentityToken"] for form in forms(lender)] == [
        *("the-jwt1", "the-jwt2")
    ]
    assert forms(lender)[0]["RoleSessionName"] == "walship"
    assert "authorization" not in lender.asked[0].headers
    push.env["AWS_ROLE_ARN"] = ""
    assert status(push()) == "config"


def sts_error(code: str, message: str = "", http: int = 403, *headers: str) -> Say:
    return answer(
        http,
        (
            '<ErrorResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><Error>'
            f"<Type>Sender</Type><Code>{code}</Code><Message>{message}</Message>"
            "</Error><RequestId>R7</RequestId></ErrorResponse>"
        ).encode(),
        *headers,
    )


OLD = "Date: Sun, 06 Nov 1994 08:49:37 GMT"
REFUSALS = {
    "denied": (sts_error("AccessDenied", "no"), "auth", "sts:AssumeRole"),
    "clock": (sts_error("SignatureDoesNotMatch", "", 403, OLD), "auth", "ahead of"),
    "unknown key": (sts_error("InvalidClientTokenId"), "auth", "does not exist"),
    "off": (sts_error("RegionDisabledException"), "config", "s3_sts_endpoint"),
    "bad name": (sts_error("ValidationError", "", 400), "config", "ValidationError"),
    "issuer away": (sts_error("IDPCommunicationError", "", 400), "retry", "IDP"),
    "too often": (sts_error("Throttling", "", 400), "retry", "Throttling"),
    "broken": (answer(503, b"<html/>"), "retry", "may be no STS"),
    "repeats": (sts_error("Odd", "base-secret"), "auth", "withheld"),
    "no XML": (answer(200, b"hello"), "corrupt", "not the XML"),
    "half": (answer(200, Lent().sts()[:300]), "corrupt", "not the XML"),
    "ended": (answer(200, Lent(life_s=5).sts()), "retry", "have expired already"),
    "control": (
        answer(200, Lent(token="a&#10;b").sts()),
        "corrupt",
        "token is invalid",
    ),
    "long": (answer(200, Lent(token="x" * 9000).sts()), "corrupt", "not the XML"),
    "doctype": (
        answer(200, b"<!DOCTYPE a [<!ENTITY b 'c'>]>" + Lent().sts()),
        *("corrupt", "not the XML"),
    ),
    "without end": (
        Say(b"HTTP/1.1 200 OK\r\n\r\n", endless=b"<a>" * 9999),
        *("retry", "longer than"),
    ),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_an_answer_of_sts(push: Push, serve: Serve, tmp_path: Path, name: str) -> None:
    said, expected, words = REFUSALS[name]
    lender = serve(Service(lambda asked: said))
    push.files(tmp_path, config=ROLE, credentials=BASE)
    push.settings |= {"s3_profile": "role", "s3_sts_endpoint": lender.endpoint}
    refused = push()
    assert status(refused) == expected
    assert words in refused.err
    assert push.store.asked == [] and push.kept() == []


# --- credential_process -----------------------------------------------------------


def process(path: Path, text: str) -> Path:
    path.write_text("#!/bin/sh\n" + text, encoding="ascii")
    path.chmod(0o755)
    return path


def test_credential_process(push: Push, tmp_path: Path) -> None:
    """Words as a shell's, but no shell: the dollar is a dollar."""
    program = process(
        tmp_path / "a program",
        f'printf "%s\\n" "$@" >{tmp_path}/words\n'
        f"env >{tmp_path}/env\n"
        f"cat <<'X'\n{Lent().json('SessionToken', Version=1).decode()}\nX\n",
    )
    push.files(
        tmp_path,
        config="[default]\ncredential_process = "
        f"\"{program}\" 'a b' $HOME c\\ d | #x\n",
    )
    push.settings |= {"s3_profile": "default"}
    push.env |= {"WALSHIP_S3_SESSION_TOKEN": "", "HOME": "/h"}
    push().check()
    assert push.signers == [LENT]
    words = (tmp_path / "words").read_text(encoding="ascii").splitlines()
    assert words == ["a b", "$HOME", "c d", "|"]
    (tmp_path / "words").unlink()
    push().check()
    assert not (tmp_path / "words").exists(), "what it said was not kept"


PRINTED = {
    "nothing": ("true", "corrupt", "not the JSON"),
    "words": ("echo hello lent-secret", "corrupt", "not the JSON"),
    "an array": ("echo '[]'", "corrupt", "not the JSON"),
    "another version": (
        """echo '{"Version":2,"AccessKeyId":"a","SecretAccessKey":"b"}'""",
        *("corrupt", "not of version 1"),
    ),
    "no secret": (
        """echo '{"Version":1,"AccessKeyId":"a"}'""",
        *("corrupt", "secret access key is invalid"),
    ),
    "twice": (
        """echo '{"AccessKeyId":"a","AccessKeyId":"b","SecretAccessKey":"c"}'""",
        *("corrupt", "not the JSON"),
    ),
    "ended": (
        """echo '{"Version":1,"AccessKeyId":"a","SecretAccessKey":"b","""
        """"Expiration":"2020-01-01T00:00:00+00:00"}'""",
        *("retry", "have expired already"),
    ),
    "some day": (
        """echo '{"AccessKeyId":"a","SecretAccessKey":"b","Expiration":"soon"}'""",
        *("corrupt", "a time that cannot be read"),
    ),
    "too much": ("yes lent-secret", "retry", "printed more than"),
    "a failure": ("exit 3", "retry", "exit code 3"),
}


@pytest.mark.parametrize("name", PRINTED)
def test_what_a_process_prints(push: Push, tmp_path: Path, name: str) -> None:
    text, expected, words = PRINTED[name]
    program = process(tmp_path / "program", text + "\n")
    push.files(tmp_path, config=f"[default]\ncredential_process = {program}\n")
    refused = push()
    assert status(refused) == expected
    assert words in refused.err
    assert push.store.asked == []


def test_a_process_without_end(push: Push, tmp_path: Path) -> None:
    """The deadline of the command ends it, and what it started."""
    program = process(
        tmp_path / "program", f"sleep 1000 & echo $! >{tmp_path}/pid; wait\n"
    )
    push.files(tmp_path, config=f"[default]\ncredential_process = {program}\n")
    refused = push("--once", "--timeout", "3000", "put", "k")
    assert status(refused) == "deadline"
    pid = int((tmp_path / "pid").read_text(encoding="ascii"))
    wait_for(lambda: not process_alive(pid), "the end of what it started")


def test_a_process_within_a_minute(push: Push, tmp_path: Path) -> None:
    """Whatever time there is: a minute passes in a fraction of a second."""
    program = process(tmp_path / "program", "exec sleep 1000000\n")
    push.files(tmp_path, config=f"[default]\ncredential_process = {program}\n")
    push.env |= clock_fast(300)
    refused = push("--once", "--timeout", "100000000", "put", "k")
    assert status(refused) == "retry"
    assert "credential_process did not end within 60 s" in refused.err


# --- containers -------------------------------------------------------------------


def test_a_container(push: Push, serve: Serve, tmp_path: Path) -> None:
    """The token's file is read each time; a proxy is not used."""
    box = serve(Service(lambda asked: answer(200, Lent().json())))
    token = tmp_path / "token"
    push.env |= {
        "AWS_CONTAINER_CREDENTIALS_FULL_URI": f"{box.endpoint}/v1?x=y",
        "AWS_CONTAINER_AUTHORIZATION_TOKEN": "the-jwt0",
    }
    push().check()
    wane(push, 60)
    push.env["AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"] = str(token)
    push.env["http_proxy"] = f"http://127.0.0.1:{free_ports()}"
    push.env["no_proxy"] = push.store.endpoint.removeprefix("http://")
    for text in ("the-jwt1", "the-jwt2\n"):
        token.write_text(text, encoding="ascii")
        push()
        wane(push, 60)
    assert [asked.headers["authorization"] for asked in box.asked] == [
        *("the-jwt0", "the-jwt1", "the-jwt2")
    ]
    assert box.paths[0] == "GET /v1?x=y"
    assert push.signers[0] == LENT


URIS = {
    "http://10.0.0.1/x": "cannot be asked by plain http",
    "http://127.0.0.1.example/x": "cannot be asked by plain http",
    "http://u@127.0.0.1/x": "is no http address",
    "ftp://127.0.0.1/x": "is no http address",
}


@pytest.mark.parametrize("uri", URIS)
def test_hosts_that_are_no_container(push: Push, uri: str) -> None:
    push.env["AWS_CONTAINER_CREDENTIALS_FULL_URI"] = uri
    refused = push()
    assert status(refused) == "config"
    assert URIS[uri] in refused.err


BOXES = {
    "refused": (answer(401, b'{"message":"who are you"}'), "auth", "who are you"),
    "busy": (answer(429), "retry", "HTTP 429"),
    "broken": (answer(500, b"<html/>"), "retry", "HTTP 500"),
    "redirect": (answer(302, b"", "Location: http://10.0.0.1/"), "auth", "HTTP 302"),
    "no time": (
        answer(200, b'{"AccessKeyId":"a","SecretAccessKey":"b"}'),
        *("corrupt", "do not say when"),
    ),
    "cut": (answer(200, Lent().json(), length=999, close=True), "retry", "could not"),
    "gone": (Say(b"", close=True), "retry", "could not ask"),
    "deep": (answer(200, b'{"a":' + b"[" * 50000), "corrupt", "not the JSON"),
    "zero": (
        answer(200, Lent(key_id="A\x00B").json()),
        *("corrupt", "not the JSON"),
    ),
}


@pytest.mark.parametrize("name", BOXES)
def test_an_answer_of_a_container(push: Push, serve: Serve, name: str) -> None:
    said, expected, words = BOXES[name]
    box = serve(Service(lambda asked: said))
    push.env["AWS_CONTAINER_CREDENTIALS_FULL_URI"] = f"{box.endpoint}/x"
    refused = push()
    assert status(refused) == expected
    assert words in refused.err
    assert push.store.asked == []


# --- instances --------------------------------------------------------------------


def series(host: Service) -> list[str]:
    """What it was asked for.

    A request that it did not answer within a second is made once more.
    """
    return [path for path, _ in itertools.groupby(host.paths)]


def on_instance(push: Push, host: Service) -> None:
    push.env |= METADATA | {"AWS_EC2_METADATA_SERVICE_ENDPOINT": host.endpoint}


def test_an_instance(push: Push, serve: Serve) -> None:
    host = serve(instance(Lent, v1=True))
    on_instance(push, host)
    push().check()
    assert push.signers == [LENT]
    roles = "/latest/meta-data/iam/security-credentials/"
    assert series(host) == [
        *("PUT /latest/api/token", f"GET {roles}", f"GET {roles}the-role")
    ]
    assert host.asked[0].headers["x-aws-ec2-metadata-token-ttl-seconds"] == "21600"


def test_version_1_only_if_asked_for(push: Push, serve: Serve) -> None:
    host = serve(instance(Lent, v1=True, v2=False))
    on_instance(push, host)
    refused = push()
    assert status(refused) == "auth"
    assert "AWS_EC2_METADATA_V1_DISABLED=false" in refused.err
    assert series(host) == ["PUT /latest/api/token"]
    push.env["AWS_EC2_METADATA_V1_DISABLED"] = "true"
    assert status(push()) == "auth"
    assert series(host) == ["PUT /latest/api/token"]
    push.env["AWS_EC2_METADATA_V1_DISABLED"] = "false"
    push().check()
    assert push.signers == [LENT]


def test_silence_of_the_instance(push: Push, serve: Serve) -> None:
    """As where the hop limit is too low: two tries of a second."""

    over = threading.Event()

    def reply(_: Asked) -> Say:
        over.wait(300)
        return answer(200)

    host = serve(Service(reply))
    on_instance(push, host)
    refused = push()
    assert status(refused) == "retry"
    assert "hop limit" in refused.err
    wait_for(lambda: len(host.paths) >= 2, "what was asked is noted")
    over.set()
    assert host.paths == ["PUT /latest/api/token"] * 2


HOSTS: dict[str, tuple[dict[str, Say], str, str]] = {
    "switched off": ({"api/token": answer(403)}, "auth", "switched off"),
    "no role": ({"security-credentials/": answer(404)}, "auth", "has no role"),
    "odd role": (
        {"security-credentials/": answer(200, b"../x")},
        *("retry", "odd role"),
    ),
    "odd token": ({"api/token": answer(200, b"a b")}, "retry", "odd token"),
    "busy": ({"api/token": answer(503)}, "retry", "HTTP 503"),
    "not now": (
        {"the-role": answer(200, b'{"Code":"Failed","Message":"later"}')},
        *("retry", "Failed: later"),
    ),
    "ended": (
        {"the-role": answer(200, Lent(life_s=-9).json(Code="Success"))},
        *("retry", "have expired already"),
    ),
}


@pytest.mark.parametrize("name", HOSTS)
def test_an_answer_of_the_instance(push: Push, serve: Serve, name: str) -> None:
    odd, expected, words = HOSTS[name]
    host = instance(Lent)
    usual = host._reply

    def reply(asked: Asked) -> Say:
        for end, said in odd.items():
            if asked.path.endswith(end):
                return said
        return usual(asked)

    host._reply = reply
    on_instance(push, serve(host))
    refused = push()
    assert status(refused) == expected
    assert words in refused.err
    assert push.store.asked == []


# --- what is kept -----------------------------------------------------------------


def test_the_spool_saves_the_request(push: Push, serve: Serve) -> None:
    host = serve(instance(Lent))
    on_instance(push, host)
    for _ in range(3):
        push().check()
    assert len(series(host)) == 3, "one series of three requests"
    assert push.signers == [LENT] * 3
    (kept,) = push.kept()
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert kept.stat().st_uid == os.geteuid()
    assert list(push.spool.iterdir()) == [kept]


def foreign(kept: Path) -> None:
    os.chown(kept, 12345, 0)


def readable(kept: Path) -> None:
    kept.chmod(0o640)


def linked(kept: Path) -> None:
    kept.rename(kept.parent / "elsewhere")
    kept.symlink_to("elsewhere")


def linked_twice(kept: Path) -> None:
    os.link(kept, kept.parent / "elsewhere")


def garbled(kept: Path) -> None:
    text = bytearray(kept.read_bytes())
    text[text.index(b"lent-secret")] ^= 1
    kept.write_bytes(text)


def cut(kept: Path) -> None:
    kept.write_bytes(kept.read_bytes()[:-1])


def empty(kept: Path) -> None:
    kept.write_bytes(b"")


def a_pipe(kept: Path) -> None:
    kept.unlink()
    os.mkfifo(kept, 0o600)


def other_spool_mode(kept: Path) -> None:
    kept.parent.chmod(0o755)


def in_a_datadir(kept: Path) -> None:
    (kept.parent.parent / "PG_VERSION").touch()


@pytest.mark.parametrize(
    "spoil",
    [
        *(foreign, readable, linked, linked_twice, garbled, cut, empty, a_pipe),
        *(other_spool_mode, in_a_datadir),
    ],
)
def test_a_kept_file_that_is_not_believed(
    push: Push, serve: Serve, spoil: Callable[[Path], None]
) -> None:
    host = serve(instance(Lent))
    on_instance(push, host)
    push().check()
    (kept,) = push.kept()
    before = kept.read_bytes()
    spoil(kept)
    push().check()
    assert len(series(host)) == 6
    if spoil in (other_spool_mode, in_a_datadir):
        assert kept.read_bytes() == before, "nor is anything written there"
        return
    push().check()
    assert len(series(host)) == 6, "it was replaced by a good one"
    assert not kept.is_symlink()


def test_kept_for_one_configuration_only(
    push: Push, serve: Serve, tmp_path: Path
) -> None:
    """Another role, region or repository asks again; a file is no other's."""
    lender = serve(sts(lambda form: Lent(key_id=form["RoleArn"][-1])))
    push.files(tmp_path, config=ROLE, credentials=BASE)
    push.settings |= {"s3_profile": "role", "s3_sts_endpoint": lender.endpoint}
    push().check()
    (first,) = push.kept()
    push.files(tmp_path, config=ROLE.replace("role/r", "role/q"), credentials=BASE)
    push().check()
    (second,) = set(push.kept()) - {first}
    push.settings["s3_region"] = "eu-west-1"
    push().check()
    assert len(lender.asked) == len(push.kept()) == 3
    assert "base-secret" not in first.read_text(encoding="ascii")

    second.write_bytes(first.read_bytes())
    push.settings["s3_region"] = "us-east-1"
    push().check()
    assert len(lender.asked) == 4
    assert [key for key, _ in push.signers] == ["r", "q", "q", "q"]


def test_without_a_spool(push: Push, serve: Serve, tmp_path: Path) -> None:
    host = serve(instance(Lent))
    on_instance(push, host)
    push.spool = tmp_path / "nowhere"
    push().check()
    push().check()
    assert len(series(host)) == 6


def test_kept_until_shortly_before_the_end(push: Push, serve: Serve) -> None:
    """Then new ones are fetched; if that fails, the old ones still do."""
    host = serve(instance(Lent))
    on_instance(push, host)
    push().check()
    wane(push, 60)
    host.stop()
    push().check()
    assert push.signers == [LENT, LENT]
    wane(push, 9)
    refused = push()
    assert status(refused) == "retry", "the host is known to be an instance"


def test_renewed_in_the_middle_of_a_long_run(push: Push, serve: Serve) -> None:
    names = itertools.count(100)
    host = serve(instance(lambda: Lent(key_id=f"KEY{next(names)}", life_s=16)))
    on_instance(push, host)
    push.store = serve(store(delay_s=0.05))
    push("fill", "k", "1", "70").check()
    keys = [key for key, _ in push.signers]
    assert len(keys) == 70
    assert keys == sorted(keys) and len(set(keys)) >= 2


# --- refused by the store ---------------------------------------------------------


def redate(push: Push, change: Callable[[int, int], tuple[int, int]]) -> None:
    """Gives what is kept other times: when it was obtained, when it expires."""
    for path in push.kept():
        lines = path.read_text(encoding="ascii").splitlines()
        lines[2] = "{} {}".format(*change(*map(int, lines[2].split())))
        text = "\n".join(lines[:-1]) + "\n"
        path.write_text(
            text + hashlib.sha256(text.encode()).hexdigest() + "\n", encoding="ascii"
        )


class Choosy(Service):
    """A store that knows some keys, and what it says of the others."""

    def __init__(self, code: str, http: int, *known: str) -> None:
        self.known = set(known)
        self._refusal = (code, http)
        super().__init__(self._judge)

    def _judge(self, asked: Asked) -> Say:
        if signer(asked)[0] in self.known:
            modified = "Last-Modified: Sun, 06 Nov 1994 08:49:37 GMT"
            return answer(200, b"", 'ETag: "e"', modified)
        code, http = self._refusal
        body = f"<Error><Code>{code}</Code></Error>".encode()
        return answer(http, b"" if asked.method == "HEAD" else body)


def age(push: Push) -> None:
    """As if they had been obtained a while ago: younger ones are not replaced."""
    redate(push, lambda obtained, expires: (obtained - 100, expires))


def wane(push: Push, left_s: int) -> None:
    """As if most of their life were over."""
    now = int(time.time())
    redate(push, lambda obtained, expires: (now - 3000, now + left_s))


REFUSED = [("ExpiredToken", 400), ("InvalidToken", 400), ("InvalidAccessKeyId", 403)]


@pytest.mark.parametrize(("code", "http"), REFUSED)
@pytest.mark.parametrize("command", ["put", "head"])
def test_withdrawn_credentials_are_replaced(
    push: Push, serve: Serve, code: str, http: int, command: str
) -> None:
    """Once, and by asking: the spool's are the ones that were refused."""
    lent = [Lent(key_id="OLD"), Lent(key_id="NEW")]
    host = serve(instance(lambda: lent[0]))
    choosy = Choosy(code, http, "OLD")
    push.store = serve(choosy)
    on_instance(push, host)
    push().check()
    del lent[0]
    choosy.known = {"NEW"}
    age(push)
    push("--once", command, "k").check()
    push().check()
    assert [key for key, _ in push.signers] == ["OLD", "OLD", "NEW", "NEW"]
    assert len(series(host)) == 6


def test_replaced_keys_in_the_shared_files(
    push: Push, serve: Serve, tmp_path: Path
) -> None:
    """What stands there is taken as it is: refused keys are not asked for twice."""
    push.store = serve(Choosy("InvalidAccessKeyId", 403))
    push.files(tmp_path, credentials=BASE.replace("base]", "default]"))
    refused = push()
    assert status(refused) == "auth"
    assert [key for key, _ in push.signers] == ["BASE"]


def test_refused_for_good(push: Push, serve: Serve) -> None:
    """What is new and refused all the same is not asked for again."""
    host = serve(instance(lambda: Lent(key_id="BAD")))
    on_instance(push, host)
    push.store = serve(Choosy("InvalidAccessKeyId", 403))
    assert status(push()) == "auth"
    assert len(push.store.asked) == 1 and len(series(host)) == 3
