"""`picturematch config`: what is in force, where it came from, and a file to begin with."""

import json
import re
import tomllib
from pathlib import Path

from click.testing import CliRunner, Result

from picturematch.__main__ import cli
from picturematch.settings import Settings, load_settings
from picturematch.settings_listing import SECRETS, list_settings, sample_lines


def printed(*arguments: str, **environment: str) -> Result:
    return CliRunner().invoke(cli, ["config", *arguments], env=environment, catch_exceptions=False)


def settings_of(result: Result) -> dict[str, tuple[str, str]]:
    """Path -> (value, source)."""
    found = {}
    for line in result.output.splitlines():
        path, _, rest = line.partition(" = ")
        value, _, source = rest.rpartition("  # ")
        found[path] = (value, source)
    return found


def test_every_setting_comes_with_its_value_and_its_source(tmp_path: Path) -> None:
    file = tmp_path / "site.toml"
    file.write_text('[ingest]\nport = 6000\nhost = "0.0.0.0"\n[matching.custom_quality]\nclarity = 0.3\n')
    found = settings_of(printed("--config", str(file), PICTUREMATCH_INGEST__PORT="7000"))

    assert set(found) == {setting.path for setting in list_settings(Settings())}
    assert found["ingest.port"] == ("7000", "environment variable PICTUREMATCH_INGEST__PORT")
    assert found["ingest.host"] == ('"0.0.0.0"', f"settings file {file}")
    assert found["matching.custom_quality.clarity"] == ("0.3", f"settings file {file}")
    assert found["matching.custom_quality.face_size_px"] == ("60.0", "default")
    assert found["matching.threshold"] == ("not set", "default")


def test_a_table_that_a_variable_gives_replaces_the_files_and_is_the_source_of_what_it_holds(tmp_path: Path) -> None:
    file = tmp_path / "site.toml"
    file.write_text("[matching.custom_quality]\nclarity = 0.2\nface_size_px = 90\n")
    found = settings_of(printed("--config", str(file), PICTUREMATCH_MATCHING__CUSTOM_QUALITY="{clarity = 0.3}"))
    source = "environment variable PICTUREMATCH_MATCHING__CUSTOM_QUALITY"
    assert found["matching.custom_quality.clarity"] == ("0.3", source)
    assert found["matching.custom_quality.face_size_px"] == ("60.0", "default")


def test_an_option_of_the_command_line_comes_before_everything(tmp_path: Path) -> None:
    file = tmp_path / "site.toml"
    file.write_text(f'data_folder = "{tmp_path}"\n[ingest]\nport = 6000\n')
    options = ("--config", str(file), "--port", "8000", "--broker", "kafka://gate:9092")
    found = settings_of(printed(*options, PICTUREMATCH_INGEST__PORT="7000"))
    assert found["ingest.port"] == ("8000", "command line")
    assert found["broker"] == ('"kafka://gate:9092"', "command line")
    assert found["data_folder"] == (f'"{tmp_path}"', f"settings file {file}")
    assert found["ingest.host"][1] == "default"


def test_json_has_the_values_themselves() -> None:
    secret = " ".join(["correct", "horse"])
    lines = map(json.loads, printed("--json", PICTUREMATCH_KAFKA__PASSWORD=secret).output.splitlines())
    values = {line["setting"]: (line["value"], line["source"]) for line in lines}
    assert values["ingest.port"] == (5555, "default")
    assert values["ingest.trusted_networks"] == (["127.0.0.0/8", "::1/128"], "default")
    assert values["matching.threshold"] == (None, "default")
    assert values["kafka.password"] == ("(hidden)", "environment variable PICTUREMATCH_KAFKA__PASSWORD")


def test_every_setting_whose_name_promises_a_secret_is_hidden() -> None:
    names = {setting.path for setting in list_settings(Settings())}
    promising = {name for name in names if re.search(r"password|secret|token|_keys?$|\.keys?$", name)}
    assert promising - {"ingest.tls_key"} == SECRETS - {"store.url"}, "tls_key is the path of a file"


def test_secrets_are_hidden_and_only_those_that_are_set() -> None:
    secret = "-".join(["correct", "horse"])
    result = printed(PICTUREMATCH_INGEST__API_KEYS=json.dumps([secret]), PICTUREMATCH_KAFKA__PASSWORD=secret)
    as_json = printed("--json", PICTUREMATCH_INGEST__API_KEYS=json.dumps([secret]))
    assert secret not in result.output + as_json.output
    assert settings_of(result)["kafka.password"][0] == "(hidden)"
    assert settings_of(printed())["ingest.api_keys"] == ("[]", "default")


def test_the_sample_names_and_describes_every_setting_and_changes_none(tmp_path: Path) -> None:
    text = "\n".join(sample_lines(Settings()))
    assert load_settings(_written(tmp_path, text), {}) == Settings()
    for setting in list_settings(Settings()):
        assert setting.words, f"{setting.path} has no description"
        name = setting.path.rpartition(".")[2]
        assert f"#{name} = {setting.toml}" in text or f"# {name} is not set." in text


def test_the_sample_with_its_comment_signs_taken_off_gives_the_defaults(tmp_path: Path) -> None:
    lines = (line.removeprefix("#") if not line.startswith("# ") else line for line in sample_lines(Settings()))
    text = "\n".join(lines)
    assert len(tomllib.loads(text)["ingest"]) > 10
    assert load_settings(_written(tmp_path, text), {}) == Settings()


def test_the_command_prints_the_sample() -> None:
    assert printed("sample").output.splitlines() == "\n".join(sample_lines(Settings())).splitlines()


def _written(folder: Path, text: str) -> Path:
    file = folder / "sample.toml"
    file.write_text(text)
    return file
