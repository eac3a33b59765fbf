"""Units, cron lines and manifests say what the programs understand."""

from __future__ import annotations

import configparser
import re
import shlex
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from ground.host import run
from ground.pg import Cluster
from ground.programs import Programs, write_config

SHARE = Path(__file__).resolve().parents[2] / "walship/share"
UNITS = SHARE / "systemd"
JOBS = {"backup", "expire", "verify", "drill"}


class Unit(configparser.RawConfigParser):
    def __init__(self, path: Path) -> None:
        super().__init__(delimiters="=", comment_prefixes="#", interpolation=None)
        self.read_string(path.read_text(encoding="utf-8"))

    def optionxform(self, optionstr: str) -> str:
        return optionstr


def unit_commands() -> dict[str, list[str]]:
    found = {}
    for path in sorted(UNITS.glob("*.service")):
        found[path.stem] = shlex.split(Unit(path)["Service"]["ExecStart"])
    return found


def cron_commands() -> dict[str, list[str]]:
    """Of the lines that name a time and a user."""
    found = {}
    for line in (SHARE / "cron/walship").read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#") and not re.match(r"\w+=", line):
            *when, user, command = line.split(maxsplit=6)
            assert len(when) == 5 and user == "postgres" and "%" not in command
            assert all(re.fullmatch(r"[\d*/]+", field) for field in when), line
            words = shlex.split(command.removesuffix(">/dev/null"))
            found[f"walship-{words[1]}"] = words
    return found


def cron_jobs() -> dict[str, Any]:
    text = (SHARE / "kubernetes/walship.yaml").read_text(encoding="utf-8")
    manifest = yaml.safe_load(text)
    assert (manifest["apiVersion"], manifest["kind"]) == ("v1", "List")
    for item in manifest["items"]:
        assert (item["apiVersion"], item["kind"]) == ("batch/v1", "CronJob")
    return {item["metadata"]["name"]: item["spec"] for item in manifest["items"]}


def pod(job: Any) -> Any:
    return job["jobTemplate"]["spec"]["template"]["spec"]


def pod_commands() -> dict[str, list[str]]:
    jobs = cron_jobs()
    return {name: pod(job)["containers"][0]["command"] for name, job in jobs.items()}


PLACES = {"systemd": unit_commands, "cron": cron_commands, "kubernetes": pod_commands}


@pytest.mark.parametrize("place", PLACES)
def test_commands_are_understood(walship: Programs, place: str) -> None:
    """--help, which comes last, is answered only if all before it is right."""
    commands = PLACES[place]()
    wanted = JOBS if place == "kubernetes" else JOBS | {"status"}
    assert set(commands) == {f"walship-{name}" for name in wanted}
    for name, (program, command, *options) in commands.items():
        assert (program, f"walship-{command}") == ("walship", name)
        shown = walship.run(program, command, *options, "--help")
        assert shown.status == 0 and f"walship {command}" in shown.out, shown
        refused = walship.run(program, command, *options, "--no-such-option", "--help")
        assert refused.status == 2
    assert "--apply" in commands["walship-expire"]
    assert "--random" in commands["walship-drill"]


def test_units() -> None:
    """Each service has its timer, and all of them what is common."""
    services = {path.stem for path in UNITS.glob("*.service")}
    timers = {path.stem for path in UNITS.glob("*.timer")}
    assert services == timers == {f"walship-{name}" for name in JOBS | {"status"}}
    for name in timers:
        timer = Unit(UNITS / f"{name}.timer")
        assert timer["Timer"]["OnCalendar"]
        assert timer["Install"]["WantedBy"] == "timers.target"
    common = Unit(UNITS / "walship-.service.d/10-walship.conf")["Service"]
    assert (common["Type"], common["User"]) == ("oneshot", "postgres")
    assert common["NoNewPrivileges"] == "yes" and common["ProtectSystem"] == "strict"


def test_manifest() -> None:
    """What a container mounts is there, and it may do nothing else."""
    for name, job in cron_jobs().items():
        assert len(job["schedule"].split()) == 5, name
        assert job["concurrencyPolicy"] == "Forbid"
        made = pod(job)
        (container,) = made["containers"]
        volumes = {volume["name"]: volume for volume in made["volumes"]}
        mounts = {mount["name"] for mount in container["volumeMounts"]}
        assert mounts == set(volumes)
        assert made["restartPolicy"] == "Never"
        assert made["securityContext"]["runAsNonRoot"] is True
        assert container["securityContext"]["readOnlyRootFilesystem"] is True
        # PostgreSQL's rule for a key that root owns.
        assert volumes["files"]["secret"]["defaultMode"] == 0o440


def test_the_sample_of_checks(
    walship: Programs, work_dir: Path, cluster: Cluster
) -> None:
    """walship drill reads it, and a server says yes to all of it."""
    text = (SHARE / "checks.sql").read_text(encoding="utf-8")
    statements = re.sub(r"^--.*$", "", text, flags=re.M).split(";")[:-1]
    assert [cluster.value(sql) for sql in statements] == [True] * 3
    conf = write_config(work_dir / "walship.conf", repository="file:///no/where")
    sample = work_dir / "checks.sql"
    sample.write_bytes((SHARE / "checks.sql").read_bytes())
    done = walship.run("walship", "drill", f"--config={conf}", f"--checks={sample}")
    assert done.status != 0 and "no key is configured" in done.err
    sample.write_text("select 'open", encoding="utf-8")
    done = walship.run("walship", "drill", f"--config={conf}", f"--checks={sample}")
    assert done.status != 0 and str(sample) in done.err


def test_readme_installs_them() -> None:
    readme = (SHARE.parents[1] / "README.md").read_text(encoding="utf-8")
    for path in ("systemd", "cron/walship", "kubernetes/walship.yaml", "checks.sql"):
        assert (SHARE / path).exists() and path in readme


def test_units_by_systemd(tmp_path: Path) -> None:
    """Every line of them is one that systemd knows."""
    units = tmp_path / "etc/systemd/system"
    shutil.copytree(UNITS, units)
    system = tmp_path / "usr/lib/systemd/system"
    system.mkdir(parents=True)
    for path in Path("/usr/lib/systemd/system").iterdir():
        if path.suffix in (".target", ".slice"):
            shutil.copy(path, system)
    program = tmp_path / "usr/local/bin/walship"
    program.parent.mkdir(parents=True)
    program.touch(mode=0o755)
    names = sorted(path.name for path in units.iterdir() if path.is_file())
    command = ["systemd-analyze", "verify", f"--root={tmp_path}", "--man=no"]
    done = run([*command, *names])
    assert done.status == 0 and done.err == "", done.err
    with open(units / "walship-.service.d/10-walship.conf", "a") as file:
        file.write("ProtectHomes=yes\n")
    assert "'ProtectHomes'" in run([*command, *names]).err
