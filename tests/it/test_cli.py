"""What a user meets first: help, usage errors, keys, configuration errors."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
from ground import roots
from ground.pg import ClusterFactory
from ground.programs import Programs, write_config

PROGRAMS = ["wal-push", "wal-fetch", "walship"]


def _commands(walship: Programs) -> list[str]:
    """The commands that `walship --help` lists."""
    text = walship.run("walship", "--help").check().out
    block = text.split("Commands:\n")[1].split("\n\n")[0]
    return [line.split()[0] for line in block.splitlines()]


def test_help_fits_a_terminal(walship: Programs) -> None:
    calls = [[name] for name in PROGRAMS]
    calls += [["walship", command] for command in _commands(walship)]
    assert len(calls) > len(PROGRAMS)
    for call in calls:
        result = walship.run(call[0], *call[1:], "--help").check()
        assert result.err == "", call
        lines = result.out.splitlines()
        assert " ".join(call) in result.out, call
        assert max(map(len, lines)) <= 80, call


def test_version(walship: Programs) -> None:
    shown = {walship.run(name, "--version").check().out for name in PROGRAMS}
    (text,) = shown
    assert re.fullmatch(r"walship \d+\.\d+\.\d+\n", text)


@pytest.mark.parametrize(
    "arguments",
    [[], ["frobnicate"], ["--frobnicate"], ["keygen"], ["keygen", "a", "b"]],
    ids=lambda words: " ".join(words) or "nothing",
)
def test_misuse_is_explained(walship: Programs, arguments: list[str]) -> None:
    result = walship.run("walship", *arguments)
    assert result.status == 2
    assert result.out == ""
    lines = result.err.splitlines()
    assert len(lines) == 2
    assert lines[1].startswith("Try ") and "--help" in lines[1]


def test_keygen(walship: Programs, work_dir: Path) -> None:
    path = work_dir / "new-key"
    result = walship.run("walship", "keygen", path).check()
    assert re.fullmatch(r"[0-9a-f]{16}\n", result.out)
    assert path.stat().st_mode & 0o7777 == 0o600

    (line,) = [x for x in path.read_text().splitlines() if x[0] != "#"]
    word, key_id, key = line.split()
    assert word == "walship-key-v1"
    assert key_id == result.out.strip()
    assert re.fullmatch(r"[0-9a-f]{64}", key)
    assert key not in result.err
    assert "copy" in result.err

    assert "root" not in result.err
    of_root = walship.run("walship", "keygen", work_dir / "root-key", user="root")
    assert "let the server's user read it" in of_root.check().err

    before = path.read_bytes()
    refused = walship.run("walship", "keygen", path)
    assert refused.status == 1
    assert refused.out == ""
    assert "exists already" in refused.err
    assert path.read_bytes() == before


def _keys(path: Path) -> list[str]:
    lines = path.read_text().splitlines()
    return [line.split()[1] for line in lines if line.startswith("walship-key-v1 ")]


def test_keys_are_changed_in_turn(walship: Programs, work_dir: Path) -> None:
    """Added behind the others, then put first; through a link, and owned by root."""
    path = work_dir / "keys"
    first = walship.run("walship", "keygen", path).check().out.strip()
    path.write_text(path.read_text().rstrip("\n"))
    link = work_dir / "link"
    link.symlink_to(path)
    second = walship.run("walship", "keygen", "--add", link).check().out.strip()
    done = walship.run("walship", "keygen", "--add", path).check()
    assert "replace them before --use" in done.err
    third = done.out.strip()
    assert _keys(path) == [first, second, third] and link.is_symlink()
    comments = [x for x in path.read_text().splitlines() if x.startswith("#")]

    path.chmod(0o640)
    shutil.chown(path, "root", roots.PG_USER)
    denied = walship.run("walship", "keygen", "--use", third, path)
    assert denied.status == 1 and _keys(path) == [first, second, third]
    assert not (work_dir / "keys.new").exists()
    used = walship.run("walship", "keygen", "--use", third, path, user="root").check()
    assert third in used.err and "copy of the file that lacks it" in used.err
    assert used.out == "" and _keys(path) == [third, first, second]
    walship.run("walship", "keygen", "--use", third, path, user="root").check()
    assert _keys(path) == [third, first, second]
    assert path.stat().st_mode & 0o7777 == 0o640
    assert path.group() == roots.PG_USER and path.owner() == "root"
    kept = [x for x in path.read_text().splitlines() if x.startswith("#")]
    assert kept == comments


def test_a_key_file_that_is_not_changed(walship: Programs, work_dir: Path) -> None:
    path = work_dir / "keys"
    walship.run("walship", "keygen", path).check()
    before = path.read_bytes()

    def refused(*args: str | Path) -> str:
        done = walship.run("walship", "keygen", *args)
        assert done.status in (1, 2) and path.read_bytes() == before
        return done.err

    (key,) = _keys(path)
    none = refused("--use", "0123456789abcdef", path)
    assert "has no key" in none and f"It has {key}." in none
    assert "has no key" in refused("--use", "", path)
    assert "exclude each other" in refused("--use", "x", "--add", path)
    assert "could not find" in refused("--add", work_dir / "absent")
    (work_dir / "keys.new").touch()
    assert "keys.new" in refused("--add", path)
    (work_dir / "keys.new").unlink()
    path.chmod(0o644)
    assert refused("--add", path)
    path.chmod(0o600)
    path.write_bytes(before + b"nonsense\n")
    before = path.read_bytes()
    assert "line 5" in refused("--add", path)
    assert not (work_dir / "keys.new").exists()
    # Nothing is read before it is sure that nobody else changes it.
    (work_dir / "keys.new").touch()
    assert "if none runs, remove that file" in refused("--add", path)
    (work_dir / "keys.new").unlink()
    path.write_bytes(before.replace(b"nonsense", b"# \0 and more"))
    before = path.read_bytes()
    assert "is no text" in refused("--add", path)


def test_keys_with_other_blanks(walship: Programs, work_dir: Path) -> None:
    """Lines are as a hand has laid them out: the first is the one that seals."""
    path = work_dir / "keys"
    ids = [walship.run("walship", "keygen", path).check().out.strip()]
    for _ in range(2):
        added = walship.run("walship", "keygen", "--add", path).check()
        ids.append(added.out.strip())
    text = path.read_text()
    text = text.replace(f"v1 {ids[0]} ", f"v1\t{ids[0]} \t")
    text = text.replace(f"v1 {ids[2]} ", f"v1  {ids[2]}  ")
    path.write_text(text)

    def order() -> list[str]:
        lines = path.read_text().splitlines()
        return [line.split()[1] for line in lines if line.startswith("walship-key")]

    for use, wanted in ((1, [1, 0, 2]), (2, [2, 1, 0]), (0, [0, 2, 1])):
        walship.run("walship", "keygen", "--use", ids[use], path).check()
        assert order() == [ids[n] for n in wanted]


def _push(walship: Programs, config: Path, work_dir: Path, **env: str) -> str:
    """What wal-push says when it cannot even begin."""
    environment = {"WALSHIP_CONFIG": str(config), **env}
    result = walship.run(
        "wal-push", "pg_wal/000000010000000000000001", env=environment, cwd=work_dir
    )
    assert 1 <= result.status <= 125
    lines = result.err.splitlines()
    assert len(lines) == 1, "a failure is one line of the server's log"
    return lines[0]


@pytest.fixture
def data_dir(new_cluster: ClusterFactory) -> Path:
    """A data directory with WAL in it, for wal-push to be called in."""
    return new_cluster(start=False).data


def test_mistakes_in_the_configuration(
    walship: Programs, work_dir: Path, data_dir: Path
) -> None:
    path = write_config(work_dir / "f.conf", spoon="/a")
    assert f'"{path}", line 1: unknown key "spoon"' in _push(walship, path, data_dir)

    write_config(path, repository="s3://bucket", encryption="none", log_level="loud")
    assert 'line 3: invalid value "loud"' in _push(walship, path, data_dir)

    write_config(path, repository="file:///nowhere")
    assert "no key is configured" in _push(walship, path, data_dir)

    write_config(path, encryption="none")
    assert "no repository is configured" in _push(walship, path, data_dir)

    write_config(path, s3_secret_access_key="hush")
    path.chmod(0o644)
    said = _push(walship, path, data_dir)
    assert "has group or world access" in said and "hush" not in said


def test_a_secret_in_the_environment_is_not_repeated(
    walship: Programs, work_dir: Path, data_dir: Path
) -> None:
    path = write_config(work_dir / "f.conf", encryption="none")
    secret = {"WALSHIP_S3_SECRET_ACCESS_KEY": "hush\x01"}
    said = _push(walship, path, data_dir, **secret)
    assert "WALSHIP_S3_SECRET_ACCESS_KEY" in said and "hush" not in said


def test_programs_that_need_no_network_load_none(walship: Programs) -> None:
    """A process that links libcurl takes milliseconds to start."""
    for name in ("wal-push", "wal-fetch"):
        trace = walship.run(name, "--version", env={"LD_TRACE_LOADED_OBJECTS": "1"})
        loaded = trace.check().out
        assert "libsodium" in loaded
        for library in ("curl", "libpq", "ssl", "crypto", "expat", "yajl"):
            assert library not in loaded, (name, library)


def test_no_core_file(walship: Programs, work_dir: Path, data_dir: Path) -> None:
    """Keys are in memory: a crash must not write them to a disk."""
    limits = work_dir / "limits"
    config = write_config(
        work_dir / "f.conf",
        repository="file:///nowhere",
        key_command=f"cat /proc/$PPID/limits >{limits}; exit 9",
    )
    assert "key_command failed with exit code 9" in _push(walship, config, data_dir)
    assert re.search(r"^Max core file size +0 +0 ", limits.read_text(), re.M)


@pytest.mark.parametrize("call", [["wal-push", "x"], ["walship", "list"]], ids=" ".join)
def test_errors_name_the_program_that_met_them(
    walship: Programs, call: list[str], work_dir: Path
) -> None:
    """Also before there is a configuration: they stand in the server's log."""
    result = walship.run(*call, "--config", work_dir / "absent")
    program = call[0] if "-" in call[0] else " ".join(call)
    assert result.status in (1, 2)
    assert result.err.startswith(f"{program}: ERROR: could not open")
