"""An S3 store of our own: a directory's files, and as many names as one likes.

It lists, looks up and reads, counts what it is asked for, and tells storage
classes and the state of replication where the test wants it to.
"""

from __future__ import annotations

import bisect
import time
import urllib.parse
from collections.abc import Callable, Iterable
from email.utils import formatdate
from pathlib import Path
from xml.sax.saxutils import escape

from .scripted import Asked, Say, Scripted, answer

BUCKET = "tree"


class TreeStore(Scripted):
    def __init__(self, tree: Path, virtual: Iterable[str] = ()) -> None:
        """Objects are the files below tree, and virtual ones that are empty."""
        self.tree = tree
        self.sizes = dict(self._files())
        self.names = sorted({*self.sizes, *virtual})
        self.modified = int(time.time())
        self.storage_class: Callable[[str], str] = lambda _: "STANDARD"
        self.replication: Callable[[str], str] = lambda _: ""
        self.tells_time = True
        self.refused = ""  # listings of what begins so, if it is set
        super().__init__([])

    def _files(self) -> Iterable[tuple[str, int]]:
        for path in self.tree.rglob("*"):
            if path.is_file():
                yield str(path.relative_to(self.tree)), path.stat().st_size

    def config(self) -> dict[str, str]:
        return {
            "repository": f"s3://{BUCKET}",
            "s3_endpoint": self.endpoint,
            "s3_addressing": "path",
            "s3_access_key_id": "id",
            "s3_secret_access_key": "secret",
        }

    def lists(self, prefix: str = "") -> list[Asked]:
        """The listings of what begins so."""
        wanted = urllib.parse.quote(prefix, safe="")
        return [a for a in self.asked if f"prefix={wanted}" in a.path]

    def choose(self, number: int, asked: Asked) -> Say:
        url = urllib.parse.urlsplit(asked.path)
        query = dict(urllib.parse.parse_qsl(url.query, keep_blank_values=True))
        name = urllib.parse.unquote(url.path).removeprefix(f"/{BUCKET}").lstrip("/")
        if self.refused and query.get("prefix", "").startswith(self.refused):
            return answer(403, b"<Error><Code>AccessDenied</Code></Error>")
        if "list-type" in query:
            return answer(200, self._list(query), *self._date())
        at = bisect.bisect_left(self.names, name)
        if self.names[at : at + 1] != [name]:
            body = b"<Error><Code>NoSuchKey</Code></Error>"
            return answer(404, b"" if asked.method == "HEAD" else body)
        return self._object(name, asked)

    def _date(self) -> list[str]:
        return [f"Date: {formatdate(usegmt=True)}"] if self.tells_time else []

    def _object(self, name: str, asked: Asked) -> Say:
        path = self.tree / name
        data = path.read_bytes() if path.exists() else b""
        headers = [
            'ETag: "x"',
            *self._date(),
            f"Last-Modified: {formatdate(self.modified, usegmt=True)}",
            f"x-amz-storage-class: {self.storage_class(name)}",
        ]
        if self.replication(name):
            headers.append(f"x-amz-replication-status: {self.replication(name)}")
        if asked.method == "HEAD":
            return answer(200, b"", *headers, length=len(data))
        if "range" not in asked.headers:
            return answer(200, data, *headers)
        first, _, last = asked.headers["range"].removeprefix("bytes=").partition("-")
        part = data[int(first) : int(last or len(data)) + 1]
        end = int(first) + len(part) - 1
        headers.append(f"Content-Range: bytes {first}-{end}/{len(data)}")
        return answer(206, part, *headers)

    def _list(self, query: dict[str, str]) -> bytes:
        prefix = query.get("prefix", "")
        after = query.get("continuation-token", "") or query.get("start-after", "")
        room = int(query.get("max-keys", "1000"))
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime(self.modified))
        rows: list[str] = []
        at = bisect.bisect_left(self.names, prefix)
        at = max(at, bisect.bisect_right(self.names, after))
        last = ""
        while at < len(self.names) and self.names[at].startswith(prefix):
            name = self.names[at]
            folder, slash, _ = name[len(prefix) :].partition("/")
            if len(rows) == room:
                break
            if query.get("delimiter") == "/" and slash:
                last = prefix + folder + "0"  # the character behind the slash
                common = escape(f"{prefix}{folder}/")
                rows.append(
                    f"<CommonPrefixes><Prefix>{common}</Prefix></CommonPrefixes>"
                )
                at = bisect.bisect_left(self.names, last)
                continue
            last = name
            rows.append(
                f"<Contents><Key>{escape(name)}</Key><ETag>x</ETag>"
                f"<LastModified>{stamp}</LastModified><Size>{self.sizes.get(name, 0)}</Size>"
                f"<StorageClass>{self.storage_class(name)}</StorageClass></Contents>"
            )
            at += 1
        more = at < len(self.names) and self.names[at].startswith(prefix)
        token = f"<NextContinuationToken>{escape(last)}</NextContinuationToken>"
        return (
            "<ListBucketResult><EncodingType>url</EncodingType>"
            f"<IsTruncated>{'true' if more else 'false'}</IsTruncated>"
            f"{token if more else ''}{''.join(rows)}</ListBucketResult>"
        ).encode()
