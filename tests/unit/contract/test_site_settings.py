"""The settings of the site: which values are allowed, what they are laid over, and what pins them."""

import re
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract.codec import encode
from contract.errors import Code, Refused
from contract.people.keys import SiteKey
from contract.people.site import SettingRecord, Site, read_site_record
from contract.site_settings import (
    OPERATOR_SETTINGS,
    SITE_SETTINGS,
    Configured,
    EventUploads,
    event_uploads,
    laid_over,
    stored_values,
    values_in_force,
    with_values,
)
from picturematch.settings import Settings, configured, load_settings
from picturematch.settings_listing import list_settings

NOTHING_PINNED: frozenset[str] = frozenset()
OPERATORS = configured(Settings(), NOTHING_PINNED)


def stored(site: Site) -> Site:
    """The site as it is after its records were read from the log."""
    read = Site()
    for record in site.settings.values():
        read = read.put(read_site_record(SiteKey("setting", record.name), encode(record)))
    return read


def site_with(**values: Any) -> Site:
    return stored(with_values(Site(), {name: SITE_SETTINGS[name].rule.check(v, name) for name, v in values.items()})[0])


@pytest.mark.parametrize(
    ("name", "sent", "kept"),
    [
        ("THRESHOLD", 85, 85.0),
        ("THRESHOLD", " 82.5 ", 82.5),
        ("THRESHOLD_RANGE", [0, 82, 100], (0.0, 82.0, 100.0)),
        ("THRESHOLD_RANGE", "0.0,82.0,100.0", (0.0, 82.0, 100.0)),
        ("REG_MIN_FACE", 40.0, 40),
        ("HISTORY_UPLOAD_EVENT_URL", "http://10.0.0.1:9828/a,", ("http://10.0.0.1:9828/a",)),
        ("HISTORY_UPLOAD_EVENT_URL", "", ()),
        ("HISTORY_UPLOAD_EVENT_URL", ["https://gate.example/x?y=1"] * 2, ("https://gate.example/x?y=1",)),
        ("HISTORY_UPLOAD_EVENT_URL", ["http://[fd00::1]:80/"], ("http://[fd00::1]:80/",)),
        ("DUPLICATE_REMOVAL_TIMEOUT", 6, 6),
        ("SUPPORT_STRANGER_GROUP", False, False),
        ("STRANGER_GROUP_SIZE", "50000", 50_000),
    ],
)
def test_a_good_value_is_kept_in_one_form(name: str, sent: Any, kept: Any) -> None:
    assert SITE_SETTINGS[name].rule.check(sent, name) == kept
    assert stored_values(site_with(**{name: sent}))[name] == kept, "and is the same after it was read from the log"


@pytest.mark.parametrize(
    ("name", "sent"),
    [
        *[("THRESHOLD", value) for value in (0, 100, -1, 1e9, "high", True, [82], {}, "nan")],
        *[
            ("THRESHOLD_RANGE", value)
            for value in (
                [0, 82],
                [0, 82, 82],
                [82, 0, 100],
                [0, 82, 101],
                [-1, 82, 100],
                ["a", 82, 100],
                "0,82",
                82,
                {},
            )
        ],
        *[("REG_MIN_FACE", value) for value in (-1, 301, 1.5, "40", True)],
        *[("DEFAULT_GROUP_SIZE", value) for value in (0, 10_000_001)],
        *[("STRANGER_GROUP_SIZE", value) for value in (0, 29_999, 40_000, 30_000.5, True, "much", [30_000])],
        *[("FIQA_LEVEL", value) for value in ("best", 1, "")],
        *[("HISTORY_CONTENT_TYPE", value) for value in ("xml", 1)],
        *[("REPORTED_PEROID", value) for value in (0, 86_401, "5")],
        *[("HISTORY_EVENT_NEED_REG_PIC", value) for value in ("true", 1)],
    ],
)
def test_a_bad_value_is_refused_by_name(name: str, sent: Any) -> None:
    with pytest.raises(Refused, match=name) as caught:
        SITE_SETTINGS[name].rule.check(sent, name)
    assert caught.value.code in {Code.PARAM_ERROR, Code.BOOLEAN_ARGUMENT_ERROR}


@pytest.mark.parametrize(
    "url",
    [
        "",
        "gate.example",
        "//gate.example/",
        "ftp://gate.example/",
        "file:///etc/passwd",
        "http://",
        "http:///path",
        "http://:80/",
        "http://user:secret@gate.example/",
        "http://user@gate.example/",
        "http://gate.example:0/",
        "http://gate.example:65536/",
        "http://gate.example:port/",
        "http://gate.example/#part",
        "http://gate.example\\@hostile.test/",
        "http://gate .example/",
        "http://gate.example/\r\nHost: hostile.test",
        "http://gate.example/\x00",
        "http://gate.exämple/",
        "http://[::1",
        "http://gate.example/" + "a" * 2048,
        7,
        None,
        ["http://gate.example/"],
    ],
)
def test_a_text_that_is_no_plain_url_is_no_receiver(url: Any) -> None:
    with pytest.raises(Refused, match="HISTORY_UPLOAD_EVENT_URL"):
        SITE_SETTINGS["HISTORY_UPLOAD_EVENT_URL"].rule.check([url], "HISTORY_UPLOAD_EVENT_URL")


def test_there_are_at_most_ten_receivers() -> None:
    rule = SITE_SETTINGS["HISTORY_UPLOAD_EVENT_URL"].rule
    urls = [f"http://10.0.0.{number}/" for number in range(11)]
    assert len(rule.check(urls[:10], "field")) == 10
    with pytest.raises(Refused):
        rule.check(urls, "field")


@given(st.recursive(st.none() | st.booleans() | st.floats() | st.text(), lambda inner: st.lists(inner, max_size=4)))
def test_whatever_is_sent_is_kept_or_refused(value: Any) -> None:
    for name, setting in SITE_SETTINGS.items():
        try:
            kept = setting.rule.check(value, name)
        except Refused:
            continue
        assert setting.rule.check(kept, name) == kept
        msgspec.json.encode(setting.shown(kept))


def test_a_setting_of_the_site_is_laid_over_the_operators() -> None:
    site = site_with(DEFAULT_GROUP_SIZE=500, HISTORY_UPLOAD_EVENT_URL="http://10.0.0.1/")
    found = values_in_force(site, OPERATORS)
    assert set(found) == set(SITE_SETTINGS)
    assert found["DEFAULT_GROUP_SIZE"] == 500
    assert found["FIQA_LEVEL"] == "low", "the operator's"
    assert found["HISTORY_UPLOAD_EVENT_URL"] == ("http://10.0.0.1/",)
    assert found["REPORTED_PEROID"] == 5, "nobody's"


def test_the_score_at_the_threshold_is_the_middle_one_until_somebody_sets_it() -> None:
    assert values_in_force(Site(), OPERATORS)["THRESHOLD"] == 82.0
    assert values_in_force(site_with(THRESHOLD_RANGE=[0, 60, 100]), OPERATORS)["THRESHOLD"] == 60.0
    assert values_in_force(site_with(THRESHOLD=90), OPERATORS)["THRESHOLD"] == 90.0


@pytest.mark.parametrize(
    ("pin", "names"),
    [
        ("matching.max_people", {"DEFAULT_GROUP_SIZE"}),
        ("matching.accepted_score", {"THRESHOLD"}),
        ("matching.threshold", {"THRESHOLD"}),
        ("matching.score_range", {"THRESHOLD_RANGE"}),
        ("matching.liveness_floor", set()),
    ],
)
def test_what_the_operator_has_pinned_has_no_effect(pin: str, names: set[str]) -> None:
    values = {"DEFAULT_GROUP_SIZE": 500, "THRESHOLD": 90, "THRESHOLD_RANGE": [0, 70, 100], "REPORTED_PEROID": 7}
    site = site_with(**values)
    assert {name for name in values if SITE_SETTINGS[name].pins(frozenset({pin}))} == names
    assert set(laid_over(site, frozenset({pin}))) == values.keys() - names
    if pin == "matching.max_people":
        assert values_in_force(site, Configured(OPERATORS.values, frozenset({pin})))["DEFAULT_GROUP_SIZE"] == 100_000
        assert laid_over(site, NOTHING_PINNED)["DEFAULT_GROUP_SIZE"] == 500, "it is in force again without the pin"


def test_settings_that_take_effect_together_are_one_record() -> None:
    site, records = with_values(Site(), {"THRESHOLD": 90.0, "THRESHOLD_RANGE": (0.0, 80.0, 100.0), "REG_MIN_FACE": 30})
    assert {record.name: set(record.value) for record in records} == {
        "scores": {"THRESHOLD", "THRESHOLD_RANGE"},
        "matching": {"REG_MIN_FACE"},
    }
    assert stored(site) == stored(Site().put(records[0]).put(records[1]))


def test_a_value_that_is_there_already_writes_no_record_and_none_deletes_one() -> None:
    site = site_with(THRESHOLD_RANGE=[0, 80, 100], THRESHOLD=90)
    assert with_values(site, {"THRESHOLD_RANGE": (0.0, 80.0, 100.0)})[1] == ()
    after, (record,) = with_values(site, {"THRESHOLD": None})
    assert set(record.value) == {"THRESHOLD_RANGE"}
    assert "THRESHOLD" not in stored_values(after)
    assert with_values(Site(), {}) == (Site(), ())


def test_the_receivers_of_events_are_those_of_the_site_since_its_last_change() -> None:
    assert event_uploads(Site()) == EventUploads()
    values = {"HISTORY_UPLOAD_EVENT_URL": ("http://10.0.0.1/",), "HISTORY_CONTENT_TYPE": "form-data"}
    site, (record,) = with_values(Site(), {**values, "HISTORY_EVENT_NEED_SPOT_PIC": False}, 5.0)
    expected = EventUploads(urls=("http://10.0.0.1/",), as_form=True, picture=False, since_s=5.0)
    assert event_uploads(site) == event_uploads(Site().put(stored_record(record))) == expected
    same, none = with_values(site, values, 9.0)
    assert (event_uploads(same).since_s, none) == (5.0, ()), "the same values again are no change"
    later, _ = with_values(site, {"REPORTED_PEROID": 60}, 9.0)
    assert (event_uploads(later).since_s, event_uploads(later).period_s) == (9.0, 60.0)
    earlier = Site().put(SettingRecord(name="events", value=record.value))
    assert event_uploads(earlier).since_s == 0.0, "the record of an earlier version"


def stored_record(record: SettingRecord) -> SettingRecord:
    """The record as it is read from the log."""
    return msgspec.msgpack.decode(msgspec.msgpack.encode(record), type=SettingRecord)


def test_what_another_version_has_written_is_left_out_and_kept() -> None:
    later = Site().put(SettingRecord(name="scores", value={"THRESHOLD": {"new": 1}, "LATER": 3}))
    assert stored_values(later) == {}
    assert values_in_force(later, OPERATORS)["THRESHOLD"] == 82.0
    after, (record,) = with_values(later, {"THRESHOLD_RANGE": (0.0, 80.0, 100.0)})
    assert record.value["LATER"] == 3
    assert stored_values(after) == {"THRESHOLD_RANGE": (0.0, 80.0, 100.0)}
    assert stored_values(Site().put(SettingRecord(name="scores", value=7))) == {}


def test_every_setting_of_the_operator_that_is_named_exists() -> None:
    known = {setting.path for setting in list_settings(Settings())}
    named = {*OPERATOR_SETTINGS, *(path for each in SITE_SETTINGS.values() for path in each.pinned_by)}
    assert named <= known


def test_the_operators_values_are_read_from_the_settings() -> None:
    settings = load_settings(None, {"PICTUREMATCH_MATCHING__MAX_PEOPLE": "7"})
    assert configured(settings, frozenset({"matching.max_people"})).values["matching.max_people"] == 7


def test_the_guide_to_the_settings_lists_what_calls_can_change() -> None:
    text = (Path(__file__).parents[3] / "docs/settings.md").read_text()
    section = text.split("## What calls can change")[1].split("\n## ")[0]
    rows = dict(re.findall(r"^\| `(matching\.\w+)` \| `(\w+)`", section, re.MULTILINE))
    assert rows == {each.setting: name for name, each in SITE_SETTINGS.items() if each.setting is not None}
