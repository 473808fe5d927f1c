"""Since the last release, only additions; and the check that says so finds every other change."""

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import msgspec
import pytest

from contract.schemas import PUBLISHED, schema_of
from contract.terms import Message
from tests.support.schema_changes import breaking

GOLDEN = Path(__file__).parents[2] / "golden"
RELEASED = sorted(GOLDEN.glob("*/schemas/*.schema.json"))


@pytest.mark.parametrize("path", RELEASED, ids=lambda path: f"{path.parents[1].name} {path.name}")
def test_what_a_released_version_promised_is_kept(path: Path) -> None:
    former = json.loads(path.read_text())
    present = json.loads(json.dumps(schema_of(path.name.removesuffix(".schema.json"))))
    assert breaking(former, present) == []


def test_every_released_version_has_its_schemas() -> None:
    released = {path.parent.name for path in GOLDEN.glob("*/expected.json")}
    assert {path.parents[1].name for path in RELEASED if path.name == "event.schema.json"} == released


class Part(Message, frozen=True, kw_only=True):
    """A part of a record."""

    number: int
    word: Literal["one", "two"] = "one"


class Former(Message, frozen=True, kw_only=True):
    """A record as it was."""

    id: str
    part: Part
    parts: tuple[Part, ...] = ()
    pair: tuple[str, int] | None = None
    numbers: dict[str, float] = msgspec.field(default_factory=dict)
    maybe: int | None = None
    word: Literal["a", "b"] | None = None
    text: str = ""


FORMER = json.loads(json.dumps(msgspec.json.schema(Former)))


def record(schema: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = schema["$defs"]["Former"]["properties"]
    return found


def part(schema: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = schema["$defs"]["Part"]
    return found


def changed(change: Callable[[dict[str, Any]], object]) -> list[str]:
    present = copy.deepcopy(FORMER)
    change(present)
    assert present != FORMER
    return breaking(FORMER, present)


@pytest.mark.parametrize(
    "change",
    [
        lambda s: record(s).update(new={"type": "integer", "default": 3}),
        lambda s: part(s)["properties"].update(new={"$ref": "#/$defs/Part"}),
        lambda s: part(s)["properties"]["word"]["enum"].append("three"),
        lambda s: record(s)["word"].update(description="Other words about it."),
        lambda s: part(s).update(title="AnotherNameOfTheClass"),
        lambda s: record(s)["maybe"]["anyOf"].reverse(),
    ],
    ids=["field", "field of a part", "word", "description", "title", "order"],
)
def test_an_addition_breaks_nothing(change: Callable[[dict[str, Any]], object]) -> None:
    assert changed(change) == []


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda s: record(s).pop("text"), "text: the field is gone"),
        (lambda s: part(s)["properties"].pop("word"), "part.word: the field is gone"),
        (lambda s: record(s)["text"].update(type="integer"), "text: string is gone"),
        (lambda s: part(s)["properties"]["number"].update(type="number"), "part.number: integer is gone"),
        (lambda s: record(s)["numbers"]["additionalProperties"].update(type="string"), "numbers.*: number is gone"),
        (lambda s: record(s)["parts"].update(items={"type": "string"}), "parts[]: object is gone"),
        (lambda s: record(s)["maybe"]["anyOf"].append({"type": "string"}), "maybe: string is new"),
        (lambda s: record(s).update(maybe={"type": "integer", "default": None}), "maybe: null is gone"),
        (lambda s: record(s).update(text={"anyOf": [{"type": "string"}, {"type": "null"}]}), "text: null is new"),
        (lambda s: part(s)["properties"]["word"]["enum"].remove("two"), "part.word: the word 'two' is gone"),
        (lambda s: part(s)["properties"]["word"]["enum"].append(3), "part.word: a word of another type is new (int)"),
        (lambda s: part(s)["properties"]["word"].pop("enum"), "part.word: words is gone"),
        (lambda s: record(s)["text"].update(enum=["x"]), "text: a list of words is new"),
        (lambda s: s["$defs"]["Former"]["required"].append("text"), "text: the field is required"),
        (lambda s: part(s)["required"].append("word"), "part.word: the field is required"),
        (lambda s: s["$defs"]["Former"]["required"].remove("id"), "id: the field need not be there any more"),
        (lambda s: record(s)["text"].update(default="none"), "text: the default is 'none' and was ''"),
        (lambda s: record(s)["text"].update(maxLength=3), "text: maxLength is 3 and was None"),
        (lambda s: record(s)["pair"]["anyOf"][0]["prefixItems"].pop(), "pair: it has 1 items and had 2"),
        (lambda s: record(s)["pair"]["anyOf"][0]["prefixItems"][1].update(type="string"), "pair[1]: integer is gone"),
    ],
)
def test_every_other_change_is_found(change: Callable[[dict[str, Any]], object], told: str) -> None:
    assert told in " / ".join(changed(change)), changed(change)


class One(Message, tag="one", tag_field="type", frozen=True, kw_only=True):
    """One form."""

    a: int


class Two(Message, tag="two", tag_field="type", frozen=True, kw_only=True):
    """Another."""

    a: str


class Three(Message, tag="three", tag_field="type", frozen=True, kw_only=True):
    """A third."""


def test_a_new_form_beside_tagged_ones_is_an_addition_and_a_lost_one_is_not() -> None:
    two, three = msgspec.json.schema(One | Two), msgspec.json.schema(One | Two | Three)
    assert breaking(two, three) == []
    assert breaking(three, two) == ["the value: object type=three is gone"]


def test_one_form_that_becomes_several_is_no_addition() -> None:
    assert breaking(msgspec.json.schema(One), msgspec.json.schema(One | Two)) == ["the value: object is gone"]


def test_a_schema_that_names_itself_is_compared_to_its_end() -> None:
    former = {"$ref": "#/$defs/T", "$defs": {"T": {"type": "object", "properties": {"next": {"$ref": "#/$defs/T"}}}}}
    assert breaking(former, former) == []


@pytest.mark.parametrize("name", PUBLISHED)
def test_no_published_schema_forbids_what_it_does_not_know(name: str) -> None:
    """Readers pass over unknown fields, so their schemas do, too."""
    assert '"additionalProperties": false' not in json.dumps(schema_of(name))
