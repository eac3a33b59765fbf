"""Builds walship and runs its tests; called by tests/run.

Every unit test, integration test, lint tool and fuzz target is an item that
passes or fails; so is every build, since a warning is a failure.  The last line
is the sum.  Nothing executed is a failure, and so is a skip where CI is set.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

SOURCE = Path(__file__).resolve().parents[1]
JOBS = 2
IN_CI = bool(os.environ.get("CI"))
SANITIZE = (
    "-Db_sanitize=address,undefined",
    "-Db_lundef=false",
    "-Doptimization=1",
    "-Dc_args=-fno-sanitize-recover=undefined -fno-omit-frame-pointer",
)
FUZZ = ("-Dfuzz=true", "-Dtests=false", "-Db_lundef=false")
C_FOLDERS = ("common", "walship", "basebackup", "tests")


@dataclass
class Tally:
    """What passed and failed so far, and when to stop."""

    end: float
    passed: int = 0
    failed: int = 0
    failures: list[str] = field(default_factory=list)

    def add_passed(self, count: int = 1) -> None:
        self.passed += count

    def add_failed(self, what: str, count: int = 1) -> None:
        self.failed += count
        self.failures.append(what)
        say(f"FAILED: {what}")

    def seconds_left(self) -> float:
        return max(self.end - time.monotonic(), 1)


def say(text: str) -> None:
    print(text, flush=True)


def title(text: str) -> None:
    say(f"== {time.strftime('%H:%M:%S')} {text}")


def skip(tally: Tally, what: str) -> None:
    if IN_CI:
        tally.add_failed(f"{what} (skipped)")
    else:
        say(f"skipped: {what}")


@dataclass(frozen=True)
class Done:
    status: int
    output: str


def call(
    args: Sequence[str | Path],
    tally: Tally,
    *,
    env: Mapping[str, str] | None = None,
    show: bool = False,
) -> Done:
    """Runs a tool until the whole run's deadline; its output, shown or not."""
    process = subprocess.Popen(
        [str(arg) for arg in args],
        cwd=SOURCE,
        env={**os.environ, **(env or {})},
        stdin=subprocess.DEVNULL,
        stdout=None if show else subprocess.PIPE,
        stderr=None if show else subprocess.STDOUT,
        start_new_session=True,
    )
    try:
        output, _ = process.communicate(timeout=tally.seconds_left())
    except subprocess.TimeoutExpired:
        end_group(process)
        output, _ = process.communicate()
        return Done(-1, (output or b"").decode(errors="replace") + "\nout of time")
    except BaseException:
        end_group(process)
        raise
    return Done(process.returncode, (output or b"").decode(errors="replace"))


def end_group(process: subprocess.Popen[bytes]) -> None:
    """Ends a tool and what it started: first politely, for its servers' sake."""
    os.killpg(process.pid, signal.SIGTERM)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(20)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def terminated(number: int, frame: object) -> None:
    raise KeyboardInterrupt(signal.Signals(number).name)


# --- builds -------------------------------------------------------------------


def tool(name: str) -> str:
    """The release's own version of an LLVM tool."""
    for candidate in (f"{name}-14", f"{name}-19", name):
        if shutil.which(candidate):
            return candidate
    raise FileNotFoundError(f"{name} is not installed")


def build(
    tally: Tally, name: str, compiler: str, *options: str, werror: bool
) -> Path | None:
    """Configures once and compiles; the build's folder, or None."""
    title(f"build {name} with {compiler}")
    folder = SOURCE / name
    again = ["--reconfigure"] if (folder / "build.ninja").exists() else []
    strict = f"-Dwerror={str(werror).lower()}"
    made = call(
        ["meson", "setup", *again, folder, strict, *options],
        tally,
        env={"CC": compiler},
    )
    if made.status == 0:
        made = call(["ninja", "-C", folder, f"-j{JOBS}"], tally)
    warned = "warning:" in made.output
    if made.status != 0 or warned:
        say(made.output[-20000:])
        tally.add_failed(f"{name}: " + ("warnings" if warned else "does not build"))
        return folder if made.status == 0 else None
    tally.add_passed()
    return folder


# --- unit tests -----------------------------------------------------------------


def unit_tests(
    tally: Tally, folder: Path, env: Mapping[str, str] | None = None
) -> None:
    title(f"unit tests of {folder.name}")
    log = folder / "meson-logs" / "testlog.json"
    log.unlink(missing_ok=True)
    command = ["meson", "test", "--no-rebuild", "--timeout-multiplier=20"]
    done = call([*command, f"--num-processes={JOBS}", "-C", folder], tally, env=env)
    executed = 0
    if log.exists():
        for line in log.read_text(encoding="utf-8").splitlines():
            executed += _count_unit_test(tally, folder, json.loads(line))
    if not executed:
        say(done.output[-5000:])
        tally.add_failed(f"{folder.name}: no unit test was executed")


def _count_unit_test(tally: Tally, folder: Path, test: dict[str, str]) -> int:
    """One program of many tests; a program that dies is one failure more."""
    output = test.get("stdout", "") + test.get("stderr", "")
    passed = sum(map(int, re.findall(r"\[  PASSED  \] (\d+) test", output)))
    failed = sum(map(int, re.findall(r"\[  FAILED  \] (\d+) test", output)))
    tally.add_passed(passed)
    if test["result"] != "OK" or failed:
        say(output[-8000:])
        tally.add_failed(f"{folder.name}: unit test {test['name']}", failed or 1)
    elif not passed:
        tally.add_failed(f"{folder.name}: unit test {test['name']} tested nothing")
    return passed + failed


# --- integration tests ------------------------------------------------------------


def as_root(env: Mapping[str, str]) -> list[str]:
    """Servers run as other users and in mount namespaces: that takes root."""
    settings = [f"{name}={value}" for name, value in env.items()]
    return [*([] if os.geteuid() == 0 else ["sudo"]), "env", *settings]


@contextlib.contextmanager
def roots_prepared() -> Iterator[Callable[[], None]]:
    """Makes the other suites' roots while the builds go on."""
    code = (
        "import sys; sys.path.insert(0, 'tests/it'); from ground import roots; "
        "[roots.root(version) for version in roots.VERSIONS]"
    )
    process = subprocess.Popen(
        [*as_root({}), "/usr/bin/python3", "-B", "-c", code], cwd=SOURCE
    )
    try:
        yield lambda: void(process.wait())
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait()


def void(_: object) -> None:
    return None


def integration_tests(
    tally: Tally,
    folder: Path,
    arguments: Sequence[str],
    env: Mapping[str, str] | None = None,
) -> None:
    title(f"integration tests of {folder.name}: {' '.join(arguments) or 'all'}")
    report = folder / "integration.xml"
    report.unlink(missing_ok=True)
    settings = {
        "WALSHIP_BUILD": str(folder),
        **({"CI": "true"} if IN_CI else {}),
        **(env or {}),
    }
    done = call(
        [
            *as_root(settings),
            *("/usr/bin/python3", "-B", "-m", "pytest"),
            # Twice the cores: half of a test is waiting for its servers.
            *("-p", "no:cacheprovider", "-n", str(2 * JOBS), "-q", "-ra"),
            *("--timeout=600", f"--junitxml={report}", "--durations=60"),
            *([] if any("tests/it" in a for a in arguments) else ["tests/it"]),
            *arguments,
        ],
        tally,
        show=True,
    )
    executed = _count_integration(tally, folder, report) if report.exists() else 0
    if not executed:
        tally.add_failed(f"{folder.name}: no integration test was executed")
    elif done.status not in (0, 1):
        tally.add_failed(f"{folder.name}: pytest ended with status {done.status}")


def _count_integration(tally: Tally, folder: Path, report: Path) -> int:
    executed = 0
    for case in ET.parse(report).iter("testcase"):
        name = f"{case.get('classname')}::{case.get('name')}"
        if case.find("failure") is not None or case.find("error") is not None:
            tally.add_failed(f"{folder.name}: {name}")
            executed += 1
        elif (skipped := case.find("skipped")) is not None:
            skip(tally, f"{folder.name}: {name}: {skipped.get('message')}")
        else:
            tally.add_passed()
            executed += 1
    return executed


# --- lint -----------------------------------------------------------------------


def c_files(*suffixes: str) -> list[Path]:
    return sorted(
        path
        for name in C_FOLDERS
        for path in (SOURCE / name).rglob("*")
        if path.suffix in suffixes
    )


def lint(tally: Tally, folder: Path) -> None:
    """folder holds the compilation database, of a build with clang."""
    title("clang-format, clang-tidy, shellcheck, mandoc")
    if not shutil.which("clang-format-14"):
        # Other versions lay the same code out differently.
        skip(tally, "lint: needs clang-format and clang-tidy 14")
        return
    if not (folder / "compile_commands.json").exists():
        tally.add_failed("lint: nothing configured")
        return
    checks = lint_checks(folder)
    clean = {name: True for name, _ in checks}
    with concurrent.futures.ThreadPoolExecutor(JOBS) as pool:
        results = pool.map(lambda check: call(check[1], tally), checks)
        for (name, command), done in zip(checks, results):
            if done.status != 0:
                say(done.output[-4000:])
                where = Path(command[-1]).relative_to(SOURCE)
                tally.add_failed(f"{name}: {where}")
                clean[name] = False
    tally.add_passed(sum(clean.values()))


def lint_checks(folder: Path) -> list[tuple[str, list[str]]]:
    """The name of each check and its command, which ends with the file."""
    checks = []
    # Fuzz targets are no part of this build.
    database = json.loads((folder / "compile_commands.json").read_text())
    known = {Path(one["directory"], one["file"]).resolve() for one in database}
    tidy = ["clang-tidy-14", "-p", str(folder), "--quiet"]
    for path in c_files(".c", ".h"):
        formatted = ["clang-format-14", "--dry-run", "-Werror", str(path)]
        checks.append(("clang-format", formatted))
        if path in known:
            checks.append(("clang-tidy", [*tidy, str(path)]))
    for path in scripts():
        checks.append(("shellcheck", ["shellcheck", str(path)]))
    for path in sorted((SOURCE / "walship" / "share").rglob("*.[15]")):
        manual = ["mandoc", "-T", "lint", "-W", "warning", str(path)]
        checks.append(("mandoc", manual))
    return checks


def scripts() -> list[Path]:
    """Every shell script of the source tree."""
    places = [SOURCE / name for name in (".ci", *C_FOLDERS)]
    found = []
    for path in sorted(path for place in places for path in place.rglob("*")):
        if path.is_file() and not path.is_symlink():
            with open(path, "rb") as file:
                if re.match(rb"#!/bin/(ba|da)?sh\b", file.read(16)):
                    found.append(path)
    return found


# --- fuzzing --------------------------------------------------------------------


def fuzz(tally: Tally, folder: Path, seconds: int) -> None:
    """All targets at once for a while, each from its corpus in tests/fuzz/corpus."""
    targets = sorted(
        path
        for path in folder.rglob("fuzz_*")
        if path.is_file() and os.access(path, os.X_OK)
    )
    title(f"{len(targets)} fuzz targets for {seconds} s each")
    if not targets:
        tally.add_failed("no fuzz target was executed")
        return

    def run_one(target: Path) -> Done:
        grown = folder / "corpus" / target.name
        grown.mkdir(parents=True, exist_ok=True)
        name = target.name.removeprefix("fuzz_")
        seeds = SOURCE / "tests" / "fuzz" / "corpus" / name
        command: list[str | Path] = [
            target,
            f"-max_total_time={seconds}",
            "-timeout=60",  # they share two cores
            "-rss_limit_mb=2048",
            "-print_final_stats=1",
            f"-artifact_prefix={folder}/{target.name}-",
            grown,
        ]
        if seeds.is_dir():
            command.append(seeds)
        return call(command, tally)

    with concurrent.futures.ThreadPoolExecutor(len(targets)) as pool:
        for target, done in zip(targets, pool.map(run_one, targets)):
            runs = re.search(r"stat::number_of_executed_units: *(\d+)", done.output)
            if done.status != 0 or runs is None:
                say(done.output[-8000:])
                tally.add_failed(f"{target.name} crashed")
            else:
                say(f"{target.name}: {runs.group(1)} runs")
                tally.add_passed()


# --- the whole --------------------------------------------------------------------


def parse_options() -> tuple[argparse.Namespace, list[str]]:
    parser = argparse.ArgumentParser(
        prog="tests/run",
        description="Builds walship and runs its tests. "
        "Other arguments go to pytest, for example -k restore.",
    )
    add = parser.add_argument
    add("--werror", action="store_true", help="a warning stops the build")
    add("--clang", action="store_true", help="also build with clang")
    add("--lint", action="store_true", help="clang-format, clang-tidy, shellcheck")
    add(
        "--sanitize",
        nargs="?",
        const="all",
        choices=["all", "slice"],
        help="the tests, or a slice of them, also with ASan and UBSan",
    )
    add("--fuzz", type=int, default=0, metavar="SECONDS", help="each fuzz target")
    add("--soak", action="store_true", help="only rounds of random faults")
    add("--rounds", type=int, default=100, help="how many rounds of --soak")
    add("--seed", type=int, default=1, help="what draws them")
    add("--all-versions", action="store_true", help="all tests on every PostgreSQL")
    add("--minutes", type=float, default=0, help="give up after so long")
    return parser.parse_known_args()


def run_all(options: argparse.Namespace, extra: list[str], tally: Tally) -> None:
    werror = options.werror
    arguments = [*pytest_arguments(options), *extra]
    with roots_prepared() as wait_for_roots:
        folder = build(tally, "build", "gcc", werror=werror)
        if options.clang or options.lint:
            build(tally, "build-clang", tool("clang"), werror=werror)
        if options.lint:
            lint(tally, SOURCE / "build-clang")
        if folder and not options.soak:
            unit_tests(tally, folder)
        if folder:
            wait_for_roots()
            integration_tests(tally, folder, arguments)
            if not (options.soak or extra):
                by_libs3 = ["--s3-signature=v2", "--host-version-only"]
                integration_tests(tally, folder, by_libs3)
    if options.sanitize:
        asan = build(tally, "build-asan", tool("clang"), *SANITIZE, werror=werror)
        if asan:
            unit_tests(tally, asan)
            if options.sanitize == "slice":
                arguments += ["-m", "versions", "--host-version-only"]
            integration_tests(tally, asan, arguments, {"WALSHIP_SANITIZE": "1"})
    if options.fuzz:
        fuzzing = build(tally, "build-fuzz", tool("clang"), *FUZZ, werror=werror)
        if fuzzing:
            fuzz(tally, fuzzing, options.fuzz)


def pytest_arguments(options: argparse.Namespace) -> list[str]:
    arguments = []
    if options.all_versions:
        arguments.append("--all-versions")
    if options.soak:
        arguments += ["--soak", f"--rounds={options.rounds}", f"--seed={options.seed}"]
    return arguments


def main() -> int:
    options, extra = parse_options()
    minutes = options.minutes or (24 * 60 if options.soak else 120)
    tally = Tally(time.monotonic() + minutes * 60)
    started = time.monotonic()
    signal.signal(signal.SIGTERM, terminated)
    try:
        run_all(options, extra, tally)
    except (Exception, KeyboardInterrupt) as error:  # the last line must come
        tally.add_failed(f"the run itself: {type(error).__name__}: {error}")
    for what in tally.failures:
        say(f"failed: {what}")
    say(f"in {(time.monotonic() - started) / 60:.1f} minutes")
    say(f"{tally.passed} passed, {tally.failed} failed")
    return 1 if tally.failed or not tally.passed else 0


if __name__ == "__main__":
    sys.exit(main())
