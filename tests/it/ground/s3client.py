"""A small S3 client for tests: raw objects, signed with SigV4, no retries.

It shares no code with the programs under test, so that it can judge them.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import http.client
import ssl
import time
import urllib.parse
import xml.etree.ElementTree as ET
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

XMLNS = "{http://s3.amazonaws.com/doc/2006-03-01/}"


@dataclass(frozen=True)
class Response:
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def error_code(self) -> str:
        """The <Code> of an S3 error document, or nothing."""
        if not self.body.startswith(b"<"):
            return ""
        return ET.fromstring(self.body).findtext("Code") or ""


@dataclass(frozen=True)
class Credentials:
    access_key: str
    secret_key: str


def _hmac(key: bytes, text: str) -> bytes:
    return hmac.new(key, text.encode(), hashlib.sha256).digest()


def sign_v4(
    method: str,
    path: str,
    query: Iterable[tuple[str, str]],
    headers: Mapping[str, str],
    body_hash: str,
    credentials: Credentials,
    region: str,
) -> str:
    """The Authorization header's value; headers must carry x-amz-date."""
    stamp = headers["x-amz-date"]
    canonical_query = "&".join(
        f"{urllib.parse.quote(name, safe='')}={urllib.parse.quote(value, safe='')}"
        for name, value in sorted(query)
    )
    names = sorted(name.lower() for name in headers)
    lowered = {name.lower(): value for name, value in headers.items()}
    canonical = "\n".join(
        [
            method,
            path,
            canonical_query,
            *(f"{name}:{lowered[name].strip()}" for name in names),
            "",
            ";".join(names),
            body_hash,
        ]
    )
    scope = f"{stamp[:8]}/{region}/s3/aws4_request"
    to_sign = "\n".join(
        [
            "AWS4-HMAC-SHA256",
            stamp,
            scope,
            hashlib.sha256(canonical.encode()).hexdigest(),
        ]
    )
    key = f"AWS4{credentials.secret_key}".encode()
    for part in (stamp[:8], region, "s3", "aws4_request"):
        key = _hmac(key, part)
    signature = _hmac(key, to_sign).hex()
    return (
        f"AWS4-HMAC-SHA256 Credential={credentials.access_key}/{scope}, "
        f"SignedHeaders={';'.join(names)}, Signature={signature}"
    )


class S3Client:
    def __init__(
        self,
        host: str,
        port: int,
        credentials: Credentials,
        *,
        region: str = "us-east-1",
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.host, self.port = host, port
        self.credentials = credentials
        self.region = region
        self._tls = tls

    def request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
    ) -> Response:
        """One request on a connection of its own; path is not yet quoted."""
        quoted = urllib.parse.quote(path, safe="/-_.~")
        pairs = sorted((query or {}).items())
        body_hash = hashlib.sha256(body).hexdigest()
        signed = {
            "host": f"{self.host}:{self.port}",
            "x-amz-date": time.strftime("%Y%m%dT%H%M%SZ", time.gmtime()),
            "x-amz-content-sha256": body_hash,
            **(headers or {}),
        }
        signed["authorization"] = sign_v4(
            method, quoted, pairs, signed, body_hash, self.credentials, self.region
        )
        url = quoted
        if pairs:
            url += "?" + urllib.parse.urlencode(pairs, quote_via=urllib.parse.quote)
        connection: http.client.HTTPConnection
        if self._tls is None:
            connection = http.client.HTTPConnection(self.host, self.port, timeout=60)
        else:
            connection = http.client.HTTPSConnection(
                self.host, self.port, timeout=60, context=self._tls
            )
        try:
            connection.request(method, url, body=body, headers=signed)
            answer = connection.getresponse()
            return Response(
                answer.status,
                {name.lower(): value for name, value in answer.getheaders()},
                answer.read(),
            )
        finally:
            connection.close()

    def expect(
        self, method: str, path: str, *, status: int = 200, **rest: Any
    ) -> Response:
        answer = self.request(method, path, **rest)
        if answer.status != status:
            raise AssertionError(
                f"{method} {path}: {answer.status} {answer.body[:500]!r}"
            )
        return answer


class Bucket:
    """One bucket, for the test that created it."""

    def __init__(self, client: S3Client, name: str) -> None:
        self.client = client
        self.name = name

    def _path(self, key: str) -> str:
        return f"/{self.name}/{key}"

    def put(
        self, key: str, body: bytes, headers: Mapping[str, str] | None = None
    ) -> Response:
        return self.client.request("PUT", self._path(key), body=body, headers=headers)

    def get(self, key: str) -> bytes:
        return self.client.expect("GET", self._path(key)).body

    def head(self, key: str) -> Response:
        return self.client.request("HEAD", self._path(key))

    def exists(self, key: str) -> bool:
        return self.head(key).status == 200

    def replace(self, key: str, body: bytes) -> None:
        """Damages or restores an object behind the programs' back."""
        self.client.expect("PUT", self._path(key), body=body)

    def delete(self, key: str) -> None:
        self.client.expect("DELETE", self._path(key), status=204)

    def list(self, prefix: str = "") -> dict[str, int]:
        """Every key under a prefix with its size, in the store's order."""
        found: dict[str, int] = {}
        query = {"list-type": "2", "prefix": prefix}
        while True:
            page = ET.fromstring(
                self.client.expect("GET", f"/{self.name}", query=query).body
            )
            for entry in page.iter(f"{XMLNS}Contents"):
                key = entry.findtext(f"{XMLNS}Key") or ""
                found[key] = int(entry.findtext(f"{XMLNS}Size") or 0)
            token = page.findtext(f"{XMLNS}NextContinuationToken")
            if not token:
                return found
            query["continuation-token"] = token

    def enable_versioning(self) -> None:
        body = (
            b'<VersioningConfiguration xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
            b"<Status>Enabled</Status></VersioningConfiguration>"
        )
        self.configure("versioning", body)

    def configure(self, what: str, body: bytes) -> None:
        """Sets a subresource of the bucket: versioning, lifecycle, policy."""
        md5 = base64.b64encode(hashlib.md5(body).digest()).decode()
        answer = self.client.request(
            "PUT",
            f"/{self.name}",
            query={what: ""},
            body=body,
            headers={"content-md5": md5},
        )
        if answer.status not in (200, 204):
            raise AssertionError(f"{what}: {answer.status} {answer.body!r}")
