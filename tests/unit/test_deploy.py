"""The files of deploy/ name commands and settings that exist."""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import yaml

from picturematch.__main__ import cli
from picturematch.settings import load_settings
from tests.support.programs import needs

DEPLOY = Path(__file__).parents[2] / "deploy"
RULES = [rule for group in yaml.safe_load((DEPLOY / "alerts.yml").read_text())["groups"] for rule in group["rules"]]


def test_every_alert_says_what_to_do_and_how_bad_it_is() -> None:
    for rule in RULES:
        assert rule["labels"]["severity"] in ("critical", "warning")
        assert rule["annotations"]["summary"].endswith(".")


def test_the_commands_that_alerts_name_exist() -> None:
    named = re.findall(r"`picturematch ([\w-]+)", (DEPLOY / "alerts.yml").read_text())
    assert named
    assert set(named) <= set(cli.list_commands(cli.make_context("picturematch", ["--help"], resilient_parsing=True)))


def test_the_unit_runs_a_command_and_sets_settings_that_exist() -> None:
    unit = _unit()
    assert unit["ExecStart"][0].split()[1] == "serve"
    variables = dict(line.split("=", 1) for line in unit["Environment"])
    config = variables.pop("PICTUREMATCH_CONFIG")
    assert config.startswith("/etc/picturematch/")
    settings = load_settings(None, {name: value.replace("%S", "/state") for name, value in variables.items()})
    assert settings.data_folder == Path("/state/picturematch")


SYSTEMD_ANALYZE = shutil.which("systemd-analyze") or ""


@needs("systemd-analyze", "systemd")
def test_systemd_finds_no_fault_in_the_unit(tmp_path: Path) -> None:
    text = (DEPLOY / "picturematch.service").read_text()
    file = tmp_path / "picturematch.service"
    file.write_text(text.replace("/opt/picturematch/bin/picturematch", shutil.which("true") or "/bin/true"))
    checked = subprocess.run(
        [SYSTEMD_ANALYZE, "verify", str(file)], capture_output=True, text=True, check=False, timeout=60
    )
    faults = [line for line in checked.stderr.splitlines() if "picturematch.service" in line]
    assert faults == []


@needs("systemd-analyze", "systemd")
def test_systemd_rates_the_unit_as_well_guarded() -> None:
    checked = subprocess.run(
        [SYSTEMD_ANALYZE, "security", "--offline=true", "--threshold=20", str(DEPLOY / "picturematch.service")],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert checked.returncode == 0, checked.stdout[-300:]


def _unit() -> dict[str, list[str]]:
    found: dict[str, list[Any]] = {}
    for line in (DEPLOY / "picturematch.service").read_text().splitlines():
        name, separator, value = line.partition("=")
        if separator and not line.startswith("#"):
            found.setdefault(name, []).append(value)
    return found
