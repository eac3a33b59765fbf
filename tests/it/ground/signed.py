"""Judges the signature of a request that a scripted server got."""

from __future__ import annotations

import re
import urllib.parse

from .s3client import Credentials, sign_v4
from .scripted import Asked

CREDENTIALS = Credentials("key-id", "the-secret")


def special(asked: Asked) -> set[str]:
    """The headers that ask for something."""
    usual = {"x-amz-date", "x-amz-content-sha256"}
    return {n for n in asked.headers if n.startswith("x-amz-")} - usual


def assert_signed(asked: Asked, region: str = "us-east-1") -> None:
    """The signature is right, and it covers every header of ours."""
    told = asked.headers["authorization"]
    found = re.search(r"SignedHeaders=([^,]+)", told)
    assert found is not None
    names = found.group(1).split(";")
    assert special(asked) <= set(names)
    assert {"host", "x-amz-date", "x-amz-content-sha256"} <= set(names)
    path, _, query = asked.path.partition("?")
    pairs = urllib.parse.parse_qsl(query, keep_blank_values=True)
    headers = {name: asked.headers[name] for name in names}
    wanted = sign_v4(
        *(asked.method, path, pairs, headers),
        *(asked.headers["x-amz-content-sha256"], CREDENTIALS),
        region,
    )
    assert told == wanted
