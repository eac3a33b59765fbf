"""storetool: drives one store by hand, for tests of the store alone."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path

from .host import Result, run

SOURCE = Path(__file__).resolve().parents[3]


class StoreTool:
    """Runs storetool of the build directory that WALSHIP_BUILD names.

    The settings go into the environment; a setting None is left out.
    """

    def __init__(self, **settings: str | os.PathLike[str] | None) -> None:
        build = Path(os.environ.get("WALSHIP_BUILD", SOURCE / "build"))
        self._program = build / "storetool"
        if not self._program.exists():
            raise AssertionError(f"{build} holds no storetool: build first")
        self._settings = settings

    def but(self, **settings: str | os.PathLike[str] | None) -> StoreTool:
        """The same with some settings changed."""
        return StoreTool(**{**self._settings, **settings})

    def __call__(
        self,
        *args: str,
        stdin: bytes = b"",
        env: Mapping[str, str] | None = None,
        wrapper: tuple[str, ...] = (),
    ) -> Result:
        argv, settings = self.command(*args)
        return run([*wrapper, *argv], env={**settings, **(env or {})}, stdin=stdin)

    def command(self, *args: str) -> tuple[list[str], dict[str, str]]:
        """argv and environment, for who starts it in the background."""
        settings = {
            f"WALSHIP_{name.upper()}": os.fspath(value)
            for name, value in self._settings.items()
            if value is not None
        }
        return [str(self._program), *args], settings


def status(result: Result) -> str:
    """The word that storetool begins its error with; "ok" without one."""
    found = re.search(r"^(?!requests|walship)(\w+): ", result.err, re.MULTILINE)
    if result.status == 0:
        return "ok"
    if found is None:
        raise AssertionError(f"no status in {result.err!r}, exit {result.status}")
    return found.group(1)


def requests(result: Result) -> int:
    """What --stats counted."""
    found = re.search(r"^requests: (\d+)$", result.err, re.MULTILINE)
    if found is None:
        raise AssertionError(f"no count in {result.err!r}")
    return int(found.group(1))
