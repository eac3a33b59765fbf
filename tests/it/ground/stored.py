"""A repository as it lies in the store, read by the second reader.

For tests that look behind the programs: what is there, what an object holds,
and what a backup would restore.
"""

from __future__ import annotations

import configparser
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .s3client import Bucket

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "reader"))

from crc32c import crc32c  # noqa: E402, F401
from page_digest import page_entry  # noqa: E402, F401
from walship_backup import (  # noqa: E402
    Contents,
    File,
    Manifest,
    Repository,
    read_manifest,
    rebuild_backup,
)
from walship_format import read_key_file  # noqa: E402


@dataclass(frozen=True)
class Stored(Repository):
    """The tree of one cluster, in a directory or in a bucket."""

    prefix: str
    bucket: Bucket | None

    def key(self, name: str) -> str:
        return f"{self.prefix}{self.system_identifier}/{name}"

    def file(self, name: str) -> Path:
        """Where an object lies in a directory."""
        return self.path / str(self.system_identifier) / name

    def load(self, name: str) -> bytes:
        if self.bucket is not None:
            return self.bucket.get(self.key(name))
        return super().load(name)

    def exists(self, name: str) -> bool:
        if self.bucket is not None:
            return self.bucket.exists(self.key(name))
        return super().exists(name)

    def delete(self, name: str) -> None:
        if self.bucket is not None:
            self.bucket.delete(self.key(name))
        else:
            self.file(name).unlink()

    def names(self, prefix: str = "") -> list[str]:
        """The logical names that begin so, sorted."""
        if self.bucket is not None:
            start = len(self.key(""))
            return sorted(key[start:] for key in self.bucket.list(self.key(prefix)))
        tree = self.file("")
        paths = (path for path in tree.rglob("*") if path.is_file())
        names = (str(p.relative_to(tree)) for p in paths if ".tmp-" not in p.name)
        return sorted(name for name in names if name.startswith(prefix))

    def content(self, name: str) -> bytes:
        return b"".join(self.frames(name))

    def reports(self, kind: str) -> list[dict[str, Any]]:
        names = [name for name in self.names("report/") if name.endswith(kind)]
        return [json.loads(self.content(name)) for name in names]

    def backups(self) -> list[str]:
        """The ids of complete backups."""
        names = self.names("backup/")
        return [n.split("/")[1] for n in names if n.endswith("/manifest")]

    def manifest(self, backup: str) -> Manifest:
        return read_manifest(self, backup)

    def settings(self, backup: str) -> dict[str, dict[str, Any]]:
        lines = self.content(f"backup/{backup}/manifest").splitlines()
        parsed = map(json.loads, lines)
        return {line["name"]: line for line in parsed if line["type"] == "setting"}

    def file_content(self, manifest: Manifest, file: File) -> bytes:
        return b"".join(Contents(self, manifest).content(file))

    def rebuild(
        self, backup: str, target: Path, places: dict[int, Path] | None = None
    ) -> Manifest:
        rebuild_backup(self, backup, target, places or {})
        return self.manifest(backup)


def stored_by(config: Path, system_identifier: int, bucket: Bucket | None) -> Stored:
    """The repository of a configuration file; the bucket, if it is in one."""
    parser = configparser.ConfigParser()
    parser.read_string("[main]\n" + config.read_text(encoding="utf-8"))
    settings = parser["main"]
    scheme, _, rest = settings["repository"].partition("://")
    key_file = settings.get("key_file")
    return Stored(
        Path(rest),
        system_identifier,
        read_key_file(Path(key_file)) if key_file else {},
        "" if scheme == "file" else rest.partition("/")[2] + "/",
        None if scheme == "file" else bucket,
    )
