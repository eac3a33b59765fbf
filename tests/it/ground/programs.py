"""The built programs, run as a DBA or PostgreSQL would run them."""

from __future__ import annotations

import os
import shlex
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .host import Result, run
from .roots import PG_USER


class Programs:
    """A copy of what the build made, where every user and chroot finds it.

    The source tree may lie in a folder that only root may enter.  Programs and
    the modules that they load are all in the root of the build folder.
    """

    def __init__(self, build: Path, bindir: Path) -> None:
        self.build = build
        self.bindir = bindir
        bindir.mkdir(parents=True, exist_ok=True)
        for path in build.iterdir():
            if path.is_file() and os.access(path, os.X_OK):
                shutil.copy2(path, bindir / path.name)

    def path(self, name: str) -> Path:
        path = self.bindir / name
        if not path.exists():
            raise AssertionError(f"{self.build} holds no {name}: build first")
        return path

    def run(
        self,
        name: str,
        *args: str | os.PathLike[str],
        user: str = PG_USER,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        stdin: bytes | None = None,
        timeout_s: float = 300,
    ) -> Result:
        """Runs one of them; the environment is the given one and no more."""
        return run(
            [self.path(name), *args],
            user=user,
            env=env,
            cwd=cwd or self.bindir,
            stdin=stdin,
            timeout_s=timeout_s,
        )

    def command(self, name: str, *args: str, **env: str | os.PathLike[str]) -> str:
        """For archive_command and restore_command: this program with env."""
        words = [f"{key}={shlex.quote(str(value))}" for key, value in env.items()]
        return " ".join([*words, str(self.path(name)), *args])


def write_config(path: Path, **keys: str | int | os.PathLike[str]) -> Path:
    """An INI file with these keys, readable by the server's user alone."""
    lines = (f"{name} = {value}\n" for name, value in keys.items())
    path.write_text("".join(lines), encoding="utf-8")
    shutil.chown(path, PG_USER, PG_USER)
    path.chmod(0o600)
    return path


def change_config(path: Path, **keys: str | int | os.PathLike[str]) -> Path:
    """Gives some keys of a configuration without sections another value."""
    lines = path.read_text(encoding="utf-8").splitlines()
    values: dict[str, Any] = dict(line.split(" = ", 1) for line in lines)
    return write_config(path, **{**values, **keys})
