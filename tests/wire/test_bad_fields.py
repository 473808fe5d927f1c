"""Bad input in every field of every declared call is answered with its row of the error table, and changes nothing.

The calls go to a whole server with stand-in networks. The rows follow from the declarations (tests/wire/places.py) and
from the table of kinds (tests/wire/bad_fields.py), so a new field without a row in that table fails the first test.
"""

import json
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest

from contract.calls.declaration import Declaration
from contract.errors import Cause, Code, Refused
from ingest.api.listing import DECLARATIONS
from tests.support import interface_document as interface
from tests.wire.bad_fields import KINDS, kind_of, row_of
from tests.wire.bad_values import NOT_JSON, Bad, Raw
from tests.wire.places import Place, places
from tests.wire.whole_site import WholeSite, good

WITH_FIELDS = [each for each in DECLARATIONS if each.fields]
PLACES = [place for declaration in DECLARATIONS for place in places(declaration)]
ABSENT = object()
_MARK = "the place of a value"


def test_every_field_has_its_row_and_every_row_its_field() -> None:
    assert {row_of(place) for place in PLACES} == set(KINDS)
    assert [f"{place.call} {place.key}" for place in PLACES if not rows(place)] == []


def rows(place: Place) -> list[Bad]:
    """What must be refused in a place; in a query all values are texts."""
    return [bad for bad in kind_of(place)(place) if place.in_body or isinstance(bad.value, str)]


@pytest.mark.parametrize("declaration", WITH_FIELDS, ids=interface.name)
def test_a_bad_value_is_refused_by_the_name_of_its_field_and_changes_nothing(
    whole: WholeSite, declaration: Declaration
) -> None:
    before = whole.ends()
    wrong = []
    for place in places(declaration):
        for bad in (*rows(place), *missing(place)):
            status, answer = sent(whole, place, bad.value)
            message = answer.get("error", {}).get("message", "")
            if not whole.is_refused(declaration, status, answer, bad.code, bad.cause) or not all(
                name in message for name in place.names
            ):
                wrong.append(f"{place.key} = {str(bad.value)[:200]!r}: {status} {str(answer)[:300]}")
    assert not wrong, "\n".join(wrong)
    assert whole.ends() == before


@pytest.mark.parametrize("declaration", [each for each in WITH_FIELDS if each.method != "GET"], ids=interface.name)
def test_what_is_no_json_is_refused_wherever_it_is(whole: WholeSite, declaration: Declaration) -> None:
    before = whole.ends()
    for place in places(declaration):
        for text in NOT_JSON:
            status, answer = sent(whole, place, text)
            why = f"{place.call} {place.key} = {text[:200]}: {status} {str(answer)[:300]}"
            assert whole.is_refused(declaration, status, answer, Code.BAD_REQUEST, None), why
    assert whole.ends() == before


@pytest.mark.parametrize("declaration", [each for each in WITH_FIELDS if each.any_of], ids=interface.name)
def test_one_of_several_fields_is_needed(whole: WholeSite, declaration: Declaration) -> None:
    before = whole.ends()
    for names in declaration.any_of:
        fields = {name: value for name, value in good(declaration).items() if name not in names}
        for absent in (fields, {**fields, **dict.fromkeys(names)}):
            status, answer = whole.post(declaration, json.dumps(absent))
            assert whole.is_refused(declaration, status, answer, Code.PARAM_ERROR, "missing"), answer
            assert all(name in answer["error"]["message"] for name in names)
    assert whole.ends() == before


def test_a_form_is_refused_as_the_same_fields_in_json_are(whole: WholeSite) -> None:
    (declaration,) = (each for each in DECLARATIONS if each.takes_form)
    before = whole.ends()
    fields = {name: value if isinstance(value, str) else json.dumps(value) for name, value in good(declaration).items()}
    for place in places(declaration):
        texts = [bad for bad in rows(replace(place, in_body=False)) if bad.value not in place.schema.get("enum", ())]
        assert texts
        for bad in (*texts, *missing(place)[:1]):
            form = {name: value for name, value in fields.items() if name != place.path[0]}
            form |= {} if bad.value is ABSENT else {str(place.path[0]): bad.value}
            status, answer = whole.form(declaration, form)
            assert whole.is_refused(declaration, status, answer, bad.code, bad.cause), (place.key, bad.value, answer)
            assert place.key in answer["error"]["message"]
    assert whole.ends() == before


@pytest.mark.parametrize("declaration", WITH_FIELDS, ids=interface.name)
def test_null_and_an_empty_text_where_no_text_is_meant_are_as_if_the_field_were_absent(
    declaration: Declaration,
) -> None:
    example = declaration.example()
    for field in declaration.fields:
        fields = {name: value for name, value in example.items() if name != field.name}
        for absent in (None, "") if field.rule.empty_is_absent else (None,):
            assert outcome(declaration, {**fields, field.name: absent}) == outcome(declaration, fields)


def outcome(declaration: Declaration, fields: dict[str, Any]) -> Any:
    """The values of the fields, or the refusal."""
    try:
        return declaration.read(fields)
    except Refused as refused:
        return refused.refusal


def missing(place: Place) -> list[Bad]:
    """What counts as absent, where a value must be present."""
    if not place.required or place.path[0] == place.declaration.path_field:
        return []
    if "[]" in place.key and "info" in place.key:
        return [Bad(ABSENT)]
    cause: Cause = "missing"
    values = [ABSENT, *([None] if place.in_body else []), *([""] if place.empty_is_absent else [])]
    return [Bad(value, cause=cause) for value in values]


def sent(whole: WholeSite, place: Place, value: Any) -> tuple[int, Any]:
    """The status and the answer of the example of a call, with a value in one place."""
    fields = good(place.declaration)
    if place.only_with is not None:
        fields[place.only_with] = True
    if not place.in_body:
        query = {name: str(one).lower() if isinstance(one, bool) else str(one) for name, one in fields.items()}
        return whole.get(place.declaration, put(query, place, value))
    body = json.dumps(put(fields, place, _MARK if isinstance(value, Raw) else value))
    return whole.post(place.declaration, body.replace(f'"{_MARK}"', value) if isinstance(value, Raw) else body)


def put(fields: dict[str, Any], place: Place, value: Any) -> dict[str, Any]:
    """The fields with a value in a place, or without any value there."""
    inside: Any = fields
    for step, following in pairwise(place.path):
        if isinstance(inside, dict):
            inside = inside.setdefault(step, {} if isinstance(following, str) else [{}])
        else:
            inside = inside[step]
    if value is ABSENT:
        inside.pop(place.path[-1], None)
    else:
        inside[place.path[-1]] = value
    return fields
