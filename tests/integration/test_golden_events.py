"""The golden records of the events topic (tests/golden/events): read as they are, and made again by this version."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jsonschema
import orjson
import pytest

from broker.embedded import open_embedded
from contract.events import decode_event, encode_event
from contract.kinds import ERASE_KIND
from contract.schemas import schema_of
from engine.calls import CALLS
from tests.golden.event_scenes import make_events
from tests.golden.make_events import EVENTS, document
from tests.integration.test_processor import TOPICS, read_all

FILES = sorted(EVENTS.glob("*.json"))
GOLDEN_LOGS = sorted(EVENTS.parent.glob("*/embedded"))
VALIDATOR = jsonschema.Draft202012Validator(schema_of("event"))
TYPES = {call.kind: call.event_type for call in CALLS} | {ERASE_KIND: "picturematch.person.v1"}
CHANGING = frozenset({"policy", "model_set"})
"""The fields whose ids are hashes over settings and networks, to which every version may add some."""


def golden(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text())
    return found


def test_every_kind_and_outcome_has_a_golden_event() -> None:
    values = [golden(path)["value"] for path in FILES]
    expected = {(call.kind, outcome) for call in CALLS for outcome in call.outcomes} | {(ERASE_KIND, "erased")}
    assert {(value["kind"], value["outcome"]) for value in values} == expected
    assert [path.stem for path in FILES if golden(path)["value"]["id"] != path.stem] == []


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_golden_event_is_read_and_loses_nothing(path: Path) -> None:
    value = golden(path)["value"]
    VALIDATOR.validate(value)
    assert missing(value, orjson.loads(encode_event(decode_event(orjson.dumps(value))))) == []


@pytest.mark.parametrize("path", FILES[:3], ids=lambda path: path.stem)
def test_a_reader_passes_over_fields_it_does_not_know(path: Path) -> None:
    value = golden(path)["value"]
    later = value | {"a_later_field": [1], "kind": "a_later_kind", "outcome": "a_later_outcome"}
    VALIDATOR.validate(later)
    assert decode_event(orjson.dumps(later)).outcome == "a_later_outcome"


async def test_this_version_writes_what_the_golden_events_have_and_at_most_more() -> None:
    made = {name: document(record) for name, record in (await make_events()).items()}
    assert set(made) == {path.stem for path in FILES}
    differing = {path.stem: missing(golden(path), made[path.stem]) for path in FILES}
    assert {name: lost for name, lost in differing.items() if lost} == {}
    for each in made.values():
        VALIDATOR.validate(each["value"])
        assert bool(each["value"]["policy"]) is bool(each["value"]["models"]), "an erasure is decided by no policy"


@pytest.mark.parametrize("folder", GOLDEN_LOGS, ids=lambda path: path.parent.name)
async def test_the_records_of_a_released_version_are_events_of_today(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path / "log")
    async with open_embedded(tmp_path / "log", role="owner", clock_ms=lambda: 0) as log:
        records = await read_all(log, TOPICS.events)
    assert records
    for record in records:
        value, headers = orjson.loads(record.value or b""), dict(record.headers)
        VALIDATOR.validate(value)
        assert headers["ce_id"].decode() == value["id"]
        assert headers["ce_type"].decode() == TYPES[value["kind"]]


def missing(former: Any, present: Any, at: str = "") -> list[str]:
    """What the former value has and the present one has not, or otherwise; the present one may have more fields."""
    if isinstance(former, Mapping) and isinstance(present, Mapping):
        lost = [f"{at}.{name}" for name in former if name not in present]
        kept = (name for name in former if name in present and name not in CHANGING)
        return lost + [each for name in kept for each in missing(former[name], present[name], f"{at}.{name}")]
    if isinstance(former, list) and isinstance(present, list) and len(former) == len(present):
        pairs = enumerate(zip(former, present, strict=True))
        return [each for number, (one, other) in pairs for each in missing(one, other, f"{at}[{number}]")]
    if isinstance(former, float) and isinstance(present, int | float):
        return [] if present == pytest.approx(former, rel=1e-4, abs=1e-4) else [f"{at}: {present!r} was {former!r}"]
    return [] if former == present else [f"{at}: {present!r} was {former!r}"]


def test_a_difference_is_found_and_an_addition_is_none() -> None:
    former = {"a": 1.0, "b": [{"c": "x"}], "d": None, "policy": "p1"}
    assert missing(former, former | {"e": 1, "policy": "p2", "a": 1.00001}) == []
    assert missing(former, {"b": [{"c": "x"}], "d": None, "policy": ""}) == [".a"]
    assert missing(former, former | {"b": [{"c": "y"}]}) == [".b[0].c: 'y' was 'x'"]
    assert missing(former, former | {"b": []}) == [".b: [] was [{'c': 'x'}]"]
    assert missing(former, former | {"d": 0}) == [".d: 0 was None"]
