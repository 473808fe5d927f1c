from pathlib import Path

import pytest

from picturematch.settings import SettingsError, load_settings
from picturematch.settings_listing import list_settings
from sinks.settings import JsonlSettings, WebhookSettings


def refusal(environment: dict[str, str], file: Path | None = None) -> str:
    """The sentence with which those settings are refused."""
    with pytest.raises(SettingsError) as refused:
        load_settings(file, {f"PICTUREMATCH_{name}": text for name, text in environment.items()})
    return str(refused.value)


@pytest.mark.parametrize(
    ("name", "text", "sentence"),
    [
        ("MATCHING__SCORE_SCALE", "Percent", "matching.score_scale must be one of percent, raw, not 'Percent'"),
        ("MATCHING__SCORE_SCALE", "5", "matching.score_scale must be one of percent, raw, not 5"),
        ("MODELS__KIND", "", "models.kind must be one of networks, stand-in, stand-in-2, not ''"),
        ("MODELS__RUNTIME", "openvino-bfloat16", "models.runtime must be one of onnxruntime, openvino, not 'openvino-"),
        ("MODELS__RUNTIMES__LANDMARKS", "openvino-bfloat16", "landmarks must be one of onnxruntime, openvino, not "),
        ("MODELS__RUNTIMES__POSE", "bf16", "must be one of onnxruntime, openvino, openvino-bfloat16, not 'bf16'"),
        ("MATCHING__MATCH_QUALITY", "none", "must be one of custom, high, low, middle, no, not 'none'"),
        # Its debug lines hold keys and values of records.
        ("KAFKA__CLIENT_LOG_LEVEL", "debug", "must be one of critical, error, info, warning, not 'debug'"),
    ],
)
def test_a_choice_that_there_is_not_is_answered_with_those_there_are(name: str, text: str, sentence: str) -> None:
    said = refusal({name: text})
    assert sentence in said
    assert said.startswith(f"the setting {name.lower().replace('__', '.')} must be one of ")
    assert said.endswith("; see docs/settings.md")


def test_a_choice_in_a_settings_file_is_answered_as_well(tmp_path: Path) -> None:
    file = tmp_path / "settings.toml"
    file.write_text('[kafka]\nsecurity_protocol = "ssl"\n')
    assert "kafka.security_protocol must be one of PLAINTEXT, SASL_PLAINTEXT, SASL_SSL, SSL" in refusal({}, file)


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("MATCHING__TARGET_FPIR", "2", "`float` <= 0.5 - at `$.matching.target_fpir`"),
        ("MATCHING__SCORE", "raw", "unknown field `score` - at `$.matching`"),
        ("MATCHING", "raw", "at `$.matching`"),
        ("MATCHING__TIME_ZONE", "Berlin", "time_zone must be an IANA name of a time zone, such as Europe/Berlin"),
        ("MATCHING__MAX_INFO_BYTES", "65537", "at `$.matching.max_info_bytes`"),
        ("SCORE", "raw", "unknown field `score`"),
        ("MODELS__RUNTIMES__NOSE", "openvino", "unknown field `nose` - at `$.models.runtimes`"),
        ("KAFKA__BOOTSTRAP", "kafka:9092", "unknown field `bootstrap` - at `$.kafka`"),
        ("INGEST__API_KEYS", '["k"]', "at `$.ingest.api_keys[0]`"),
    ],
)
def test_what_is_no_choice_is_refused_by_name(name: str, text: str, said: str) -> None:
    sentence = refusal({name: text})
    assert sentence.startswith("a setting is wrong: ")
    assert said in sentence


@pytest.mark.parametrize("limits", ["[200.0, 100.0]", "[100, 100]", "[-5, 100]", "[100, 300]", "[nan, 200]"])
def test_limits_of_brightness_that_no_face_can_keep_are_refused(limits: str) -> None:
    assert "matching.custom_quality" in refusal({"MATCHING__CUSTOM_QUALITY": f"{{brightness = {limits}}}"})


def test_limits_of_brightness_the_wrong_way_round_are_told_so() -> None:
    said = refusal({"MATCHING__CUSTOM_QUALITY": "{brightness = [200.0, 100.0]}"})
    assert "brightness must be two grey values, the low one below the high one" in said


def test_limits_of_brightness_in_order_are_taken() -> None:
    settings = load_settings(None, {"PICTUREMATCH_MATCHING__CUSTOM_QUALITY": "{brightness = [30, 235]}"})
    assert settings.matching.custom_quality.brightness == (30, 235)


def test_sinks_of_several_kinds_are_read_and_their_secrets_are_not_shown(tmp_path: Path) -> None:
    file = tmp_path / "settings.toml"
    file.write_text(
        """
        [[sinks]]
        kind = "jsonl"
        name = "archive"
        out = "events"

        [[sinks]]
        kind = "webhook"
        name = "door"
        url = "https://relay.example/open"
        secrets = ["c2VjcmV0IG9mIHRoZSBkb29y"]
        acts = true
        acting = { valid_s = 1.5 }
        """
    )
    settings = load_settings(file, {})
    archive, door = settings.sinks
    assert isinstance(archive, JsonlSettings)
    assert isinstance(door, WebhookSettings)
    assert (archive.group, door.acting.valid_s) == ("sink-archive", 1.5)
    (listed,) = [setting for setting in list_settings(settings) if setting.path == "sinks"]
    for shown in (listed.shown, str(listed.json)):
        assert "c2VjcmV0" not in shown
        assert "https://relay.example/open" in shown


@pytest.mark.parametrize(
    "text",
    [
        '[[sinks]]\nkind = "jsonl"\nname = "a"\nout = "x"\n[[sinks]]\nkind = "jsonl"\nname = "a"\nout = "y"',
        '[[sinks]]\nkind = "carrier-pigeon"\nname = "a"',
        '[[sinks]]\nkind = "webhook"\nname = "a"\nurl = "ftp://x"',
        '[[sinks]]\nkind = "webhook"\nname = "Not a name"\nurl = "http://x"',
    ],
)
def test_wrong_sinks_are_refused(tmp_path: Path, text: str) -> None:
    file = tmp_path / "settings.toml"
    file.write_text(text)
    with pytest.raises(SettingsError, match="sinks"):
        load_settings(file, {})
