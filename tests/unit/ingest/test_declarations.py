"""What is declared of the calls is what the documents, the examples and the log have."""

from typing import Any

import msgspec
import pytest

from contract.calls.declaration import Declaration
from contract.calls.dialects import Dialect
from contract.errors import Code, Refusal
from ingest.api.listing import DECLARATIONS
from tests.support import interface_document as interface


def test_the_document_has_every_call_as_it_is_declared() -> None:
    text = interface.DOCUMENT.read_text()
    assert text == interface.current(text), "run python -m tests.support.interface_document"


def test_every_call_and_the_error_table_have_their_place_in_the_document() -> None:
    places = interface.declared(interface.DOCUMENT.read_text())
    pages = {"GET /healthz", "GET /readyz", "GET /metrics", "GET /openapi.json"}
    assert sorted(places) == sorted({"errors", "settings", *map(interface.name, DECLARATIONS)} - pages)


def test_a_document_that_is_not_current_is_seen() -> None:
    stale = interface.DOCUMENT.read_text().replace("| `device_ip` |", "| `device` |")
    assert stale != interface.current(stale)


@pytest.mark.parametrize("declaration", DECLARATIONS, ids=interface.name)
def test_the_examples_are_what_they_are_examples_of(declaration: Declaration) -> None:
    if declaration.method != "GET":
        declaration.read(declaration.example())
    for answer in declaration.answers:
        read = msgspec.convert(answer.example, answer.shape)
        assert msgspec.json.decode(msgspec.json.encode(read)) == answer.example


def test_no_call_is_declared_twice() -> None:
    assert len(set(map(interface.name, DECLARATIONS))) == len(DECLARATIONS)


def test_calls_of_one_url_have_their_errors_and_their_metrics_in_common() -> None:
    facts: dict[str, set[Any]] = {}
    for each in DECLARATIONS:
        facts.setdefault(each.path, set()).add((each.dialect, each.route))
    assert all(len(found) == 1 for found in facts.values())


def test_every_field_of_a_declaration_is_documented() -> None:
    for each in DECLARATIONS:
        assert all(field.words.endswith((".", ")")) for field in each.fields), each.path


def test_the_fog_calls_have_numbers_of_their_own_for_two_statuses() -> None:
    told = {code: Dialect.FOG.detail(Refusal(code, "why")) for code in Code}
    assert (told[Code.PARAM_ERROR].code, told[Code.PARAM_ERROR].status) == (40091, "PARAM_ERROR")
    assert (told[Code.NOT_FOUND].code, told[Code.NOT_FOUND].status) == (40491, "NOT_FOUND")
    others = set(Code) - {Code.PARAM_ERROR, Code.NOT_FOUND}
    assert all(told[code].code == int(code) for code in others)
    assert all(Dialect.V5.detail(Refusal(code, "why")).code == int(code) for code in Code)
