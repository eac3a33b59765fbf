"""Services that lend credentials, as far as a client can tell: STS, a
container's endpoint, an EC2 instance's metadata service; and a store that
tells whose signature it saw.
"""

from __future__ import annotations

import json
import re
import time
import urllib.parse
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone

from .scripted import Asked, Say, Scripted, answer


@dataclass(frozen=True)
class Lent:
    """Temporary credentials, and for how many seconds from now."""

    key_id: str = "ASIALENT"
    secret: str = "lent-secret"
    token: str = "lent-token"
    life_s: float = 3600

    @property
    def expiration(self) -> str:
        end = datetime.now(timezone.utc) + timedelta(seconds=self.life_s)
        return end.strftime("%Y-%m-%dT%H:%M:%SZ")

    def json(self, token_name: str = "Token", **more: object) -> bytes:
        told = {
            "AccessKeyId": self.key_id,
            "SecretAccessKey": self.secret,
            token_name: self.token,
            "Expiration": self.expiration,
        }
        return json.dumps({**told, **more}).encode()

    def sts(self, action: str = "AssumeRole") -> bytes:
        return (
            f'<{action}Response xmlns="https://sts.amazonaws.com/doc/2011-06-15/">'
            f"<{action}Result><AssumedRoleUser><Arn>arn:x</Arn></AssumedRoleUser>"
            f"<Credentials><AccessKeyId>{self.key_id}</AccessKeyId>"
            f"<SecretAccessKey>{self.secret}</SecretAccessKey>"
            f"<SessionToken>{self.token}</SessionToken>"
            f"<Expiration>{self.expiration}</Expiration></Credentials>"
            f"</{action}Result></{action}Response>"
        ).encode()


class Service(Scripted):
    """Answers each request as a function says."""

    def __init__(self, reply: Callable[[Asked], Say]) -> None:
        self._reply = reply
        super().__init__([])

    def choose(self, number: int, asked: Asked) -> Say:
        return self._reply(asked)

    @property
    def paths(self) -> list[str]:
        return [f"{asked.method} {asked.path}" for asked in self.asked]


def sts(lend: Callable[[dict[str, str]], Lent]) -> Service:
    """Lends for whatever the form asks for."""

    def reply(asked: Asked) -> Say:
        form = dict(urllib.parse.parse_qsl(asked.body.decode()))
        return answer(200, lend(form).sts(form["Action"]))

    return Service(reply)


ROLES = "/latest/meta-data/iam/security-credentials/"
IMDS_TOKEN = "imds-token"


def instance(lend: Callable[[], Lent], *, v1: bool = False, v2: bool = True) -> Service:
    """Version 2 of the metadata service; v1: version 1, too."""

    def reply(asked: Asked) -> Say:
        if asked.path == "/latest/api/token":
            good = v2 and asked.method == "PUT"
            return answer(200, IMDS_TOKEN.encode()) if good else answer(404)
        token = asked.headers.get("x-aws-ec2-metadata-token")
        if token != IMDS_TOKEN and not (v1 and token is None):
            return answer(401)
        if asked.path == ROLES:
            return answer(200, b"the-role\n")
        if asked.path == ROLES + "the-role":
            return answer(200, lend().json(Code="Success"))
        return answer(404)

    return Service(reply)


def store(delay_s: float = 0) -> Service:
    """An S3 server that takes every object."""

    def reply(_: Asked) -> Say:
        time.sleep(delay_s)
        return answer(200, b"", 'ETag: "e"')

    return Service(reply)


def signer(asked: Asked) -> tuple[str, str]:
    """The key id that signed a request, and the session token it came with."""
    found = re.search(r"Credential=([^/]+)/", asked.headers.get("authorization", ""))
    key_id = found.group(1) if found else ""
    return key_id, asked.headers.get("x-amz-security-token", "")
