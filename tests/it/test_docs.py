"""What the documents say of options is what the programs know."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from ground.host import run
from ground.programs import Programs

SOURCE = Path(__file__).resolve().parents[2]
SHARE = SOURCE / "walship/share"
COMMANDS = [
    *("backup", "check", "drill", "expire", "extract", "keygen", "list"),
    *("restore", "status", "verify"),
]
PAGES = ["wal-push.1", "wal-fetch.1", "walship.1", "walship.conf.5"]


def table() -> dict[str, str]:
    """Every key with its default, out of the program's one table."""
    text = (SOURCE / "common/config_table.c").read_text(encoding="utf-8")
    found = {}
    for name, rest in re.findall(r"\{FIELD(?:_MS|_BYTES)?\((\w+)\)(.*?)\},\n", text, re.S):
        default = re.search(r'\.def = "([^"]*)"', rest)
        found[name] = default.group(1) if default else ""
    assert len(found) > 20
    return found


def test_readme_lists_every_key_with_its_default() -> None:
    readme = (SOURCE / "README.md").read_text(encoding="utf-8")
    section = readme.partition("\n## Configuration\n")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| `(\w+)` \| (?:`([^`]*)`)? *\| .+ \|$", section, re.M)
    assert dict(rows) == table()


def test_sample_shows_every_key_with_its_default() -> None:
    sample = (SHARE / "walship.conf.sample").read_text(encoding="utf-8")
    for name, default in table().items():
        if name != "cluster":
            wanted = rf"^#?{name} ={' ' + re.escape(default) + '$' if default else ''}"
            assert re.search(wanted, sample, re.M), name


def test_sample_is_accepted(walship: Programs, work_dir: Path) -> None:
    conf = work_dir / "sample.conf"
    conf.write_bytes((SHARE / "walship.conf.sample").read_bytes())
    done = walship.run("walship", "list", "--config", conf)
    assert "sample.conf" not in done.err, done.err
    assert "/etc/walship/walship.key" in done.err, done.err


def test_conf_page_explains_every_key() -> None:
    page = (SHARE / "walship.conf.5").read_text(encoding="utf-8")
    for name in table():
        assert re.search(rf"^\.B {name}$", page, re.M), name


def test_readme_tells_what_a_hook_gets() -> None:
    """Every variable of the environment that the hook is given."""
    readme = (SOURCE / "README.md").read_text(encoding="utf-8")
    section = readme.partition("\n## Be told\n")[2].partition("\n## ")[0]
    header = (SOURCE / "common/notify.h").read_text(encoding="utf-8")
    names = re.findall(r'"(\w+)"', header.partition("#define NOTIFY_PASSES")[2])
    assert len(names) > 15
    for name in names:
        shown = f"{name}*" if name == "LC_" else name
        assert f"`{shown}`" in section or f"`{name.lower()}`" in section, name


@pytest.mark.parametrize("page", PAGES)
def test_pages_are_well_formed(page: str) -> None:
    done = run(["man", "--warnings", "-E", "UTF-8", "-l", "-Tutf8", "-Z", SHARE / page])
    assert done.status == 0 and done.err == "", done.err


def options(text: str) -> set[str]:
    return set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", text))


@pytest.mark.parametrize("program", ["wal-push", "wal-fetch", *COMMANDS])
def test_pages_explain_every_option(walship: Programs, program: str) -> None:
    page = SHARE / (f"{program}.1" if "-" in program else "walship.1")
    text = page.read_text(encoding="utf-8").replace("\\-", "-")
    argv = [program] if "-" in program else ["walship", program]
    shown = walship.run(*argv, "--help").check().out
    assert shown and max(map(len, shown.splitlines())) <= 80
    assert options(shown) <= options(text)


def test_help_names_every_command(walship: Programs) -> None:
    shown = walship.run("walship", "--help").check().out
    assert set(re.findall(r"^  (\w+)  ", shown, re.M)) >= set(COMMANDS)


def test_demo_brings_the_rows_back() -> None:
    """README's first command, with everything installed and built."""
    done = run([SOURCE / "tests/demo"], timeout_s=500)
    assert done.status == 0, done.out + done.err
    assert "The rows are back." in done.out
