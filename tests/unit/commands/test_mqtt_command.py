"""The options of `picturematch sink mqtt`, and the settings of the sink in the settings file."""

from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from picturematch import sink_process
from picturematch.__main__ import cli
from picturematch.settings import load_settings
from sinks.acting import Acting
from sinks.settings import MqttSettings
from sinks.wanted import Wanted


def settings_from(monkeypatch: pytest.MonkeyPatch, *options: str) -> MqttSettings:
    seen: list[MqttSettings] = []

    def keep(_: Any, sink: MqttSettings, *more: Any) -> None:
        seen.append(sink)

    monkeypatch.setattr(sink_process, "run_sink_process", keep)
    result = CliRunner().invoke(cli, ["sink", "mqtt", "--host", "broker", *options], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    (sink,) = seen
    return sink


def test_without_options_the_defaults_of_the_settings_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    assert settings_from(monkeypatch) == MqttSettings(name="mqtt", host="broker")


def test_every_option_becomes_a_setting(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    files = (f"--{name}-file" for name in ("password", "ca", "cert", "key"))
    options = [word for option in files for word in (option, str(file))]
    options += ["--port", "1", "--name", "n", "--prefix", "p", "--protocol", "3.1.1", "--client-id", "c", "--user", "u"]
    options += ["--tls", "--timeout", "2s", "--kind", "match", "--outcome", "matched", "--device", "10.0.0.1"]
    options += ["--from-first", "--picture", "face", "--picture", "spot", "--home-assistant", "--acts"]
    options += ["--valid", "3s", "--margin", "0.1", "--liveness", "liveness_rgb"]
    assert settings_from(monkeypatch, *options) == MqttSettings(
        name="n",
        host="broker",
        port=1,
        prefix="p",
        protocol="3.1.1",
        client_id="c",
        user="u",
        password_file=file,
        tls=True,
        ca_file=file,
        cert_file=file,
        key_file=file,
        timeout_s=2.0,
        wanted=Wanted(kinds=("match",), outcomes=("matched",), devices=("10.0.0.1",)),
        from_now=False,
        pictures=("face", "spot"),
        home_assistant=True,
        acts=True,
        acting=Acting(valid_s=3.0, margin=0.1, liveness="liveness_rgb"),
    )


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--name", "No"), "--name must be lower-case"),
        (("--host", ""), "--host must be a host name"),
        (("--prefix", ""), "--prefix must be"),
        (("--client-id", "a/b"), "--client-id must be"),
        (("--timeout", "1h"), "--timeout must be"),
        (("--acts", "--valid", "2m"), "--valid must be"),
        (("--acts", "--margin", "2"), "--margin must be"),
    ],
)
def test_a_wrong_value_is_named_by_its_option(options: tuple[str, ...], says: str) -> None:
    result = CliRunner().invoke(cli, ["sink", "mqtt", "--host", "broker", *options])
    assert result.exit_code == 2
    assert says in result.output


def test_how_a_receiver_acts_is_refused_of_one_that_does_not_act() -> None:
    result = CliRunner().invoke(cli, ["sink", "mqtt", "--host", "broker", "--valid", "2s", "--margin", "0.1"])
    assert result.exit_code == 2
    assert "--valid, --margin is for a receiver that opens a door: add --acts" in result.output


def test_the_settings_file_has_the_sink_and_its_password_is_never_shown(tmp_path: Path) -> None:
    file = tmp_path / "site.toml"
    file.write_text('[[sinks]]\nkind = "mqtt"\nname = "home"\nhost = "broker"\nuser = "u"\npassword = "very secret"\n')
    (sink,) = load_settings(file, {}).sinks
    assert sink == MqttSettings(name="home", host="broker", user="u", password="very secret")  # noqa: S106
    shown = CliRunner().invoke(cli, ["config", "--config", str(file)], catch_exceptions=False).output
    assert 'host = "broker"' in shown
    assert "very secret" not in shown


def test_the_port_follows_from_tls() -> None:
    assert MqttSettings(name="home", host="broker").tcp_port == 1883
    assert MqttSettings(name="home", host="broker", tls=True).tcp_port == 8883
    assert MqttSettings(name="home", host="broker", tls=True, port=1).tcp_port == 1
