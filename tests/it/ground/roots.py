"""Where each version of PostgreSQL lives, and how to run a program of it.

One version comes with the host's Debian release.  The others come from a
Debian root of another suite, made on demand in a cache that survives the run.
"""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

from .host import Result, run

HERE = Path(__file__).parent
CACHE = Path("/var/tmp/walship-chroots")
SUITES = {15: "bookworm", 17: "trixie", 18: "sid"}
VERSIONS = tuple(SUITES)
PG_USER = "postgres"


@cache
def host_version() -> int:
    """The version that the host's own Debian packages bring."""
    found = [v for v in VERSIONS if _bindir(v).joinpath("postgres").exists()]
    if not found:
        raise AssertionError("no PostgreSQL 15, 17 or 18 here: run tests/packages")
    return found[0]


def _bindir(version: int) -> Path:
    return Path(f"/usr/lib/postgresql/{version}/bin")


def _host_suite() -> str:
    for line in Path("/etc/os-release").read_text(encoding="utf-8").splitlines():
        if line.startswith("VERSION_CODENAME="):
            return line.partition("=")[2].strip('"')
    return "sid"


class Root:
    """Runs programs of one version; the host's, or those of another suite."""

    def __init__(self, version: int) -> None:
        self.version = version
        self.bindir = _bindir(version)
        self._chroot: Path | None = None
        self._graft = False
        if not self.bindir.joinpath("postgres").exists():
            self._chroot = _cached_root(version)
            order = [*SUITES.values()]
            self._graft = order.index(SUITES[version]) < (
                order.index(_host_suite()) if _host_suite() in order else len(order)
            )
            if self._graft:
                _copy_missing_libraries(self._chroot, version)

    def command(
        self, args: Sequence[str | os.PathLike[str]], cwd: Path, user: str = PG_USER
    ) -> tuple[list[str], dict[str, str], str | None]:
        """argv, additional environment, and the user that run() has to set."""
        argv = [os.fspath(arg) for arg in args]
        if self._chroot is None:
            return argv, {}, user
        env = {"GROUND_BIND": "/tmp"}
        if self._graft:
            env["GROUND_GRAFT"] = str(self.version)
        wrapper = [str(HERE / "in-chroot"), str(self._chroot), user, str(cwd)]
        return wrapper + argv, env, None

    def run(
        self,
        args: Sequence[str | os.PathLike[str]],
        *,
        cwd: Path,
        env: Mapping[str, str] | None = None,
        user: str = PG_USER,
        stdin: bytes | None = None,
        timeout_s: float = 300,
    ) -> Result:
        argv, more, as_user = self.command(args, cwd, user)
        return run(
            argv,
            env={**(env or {}), **more},
            cwd=None if self._chroot else cwd,
            user=as_user,
            stdin=stdin,
            timeout_s=timeout_s,
        )


@cache
def root(version: int) -> Root:
    return Root(version)


def _cached_root(version: int) -> Path:
    """The other suite's root, made now if need be; one process makes it."""
    suite = SUITES[version]
    path = CACHE / f"{suite}-{version}"
    CACHE.mkdir(parents=True, exist_ok=True)
    with open(CACHE / f"{path.name}.lock", "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not path.exists():
            run(
                [HERE / "make-chroot", suite, str(version), path],
                timeout_s=1200,
            ).check()
    return path


def _copy_missing_libraries(chroot: Path, version: int) -> None:
    """Gathers what an older server links and the host no longer has.

    Only what is missing: the folder is in LD_LIBRARY_PATH of the server and
    so of every archive_command, which must find the host's own libraries.
    """
    target = chroot / "usr/lib/walship-missing"
    if target.exists():
        return
    programs = [p for p in chroot.joinpath(str(_bindir(version))[1:]).iterdir()]
    modules = chroot.glob(f"usr/lib/postgresql/{version}/lib/*.so")
    wanted = {
        line.split()[0]
        for line in run(["ldd", *programs, *modules]).out.splitlines()
        if "not found" in line and "=>" in line
    }
    making = target.with_name(f"{target.name}.{os.getpid()}")
    making.mkdir(exist_ok=True)
    done: set[str] = set()
    while wanted - done:
        for name in wanted - done:
            done.add(name)
            for found in chroot.glob(f"usr/lib/*/{name}"):
                shutil.copy(found, making / name)
        again = run(["ldd", *making.iterdir()], env={"LD_LIBRARY_PATH": str(making)})
        wanted |= {
            line.split()[0]
            for line in again.out.splitlines()
            if "not found" in line and "=>" in line
        }
    try:
        making.rename(target)
    except OSError:
        shutil.rmtree(making)
