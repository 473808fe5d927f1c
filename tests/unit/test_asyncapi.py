"""docs/asyncapi.yaml is a document of AsyncAPI 3, and names what the code names."""

import copy
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import jsonschema
import orjson
import pytest

from broker.port import ERASED
from contract.requests import Headers
from contract.schemas import PUBLISHED
from contract.topics import Topics
from contract.trace import LONGEST_STATE
from engine.calls import CALLS
from picturematch.settings import Settings
from tests.support.asyncapi import document, expanded, faults, references, topic_of
from tests.support.nodejs import ASYNCAPI_SPECS, npm_packages

INTERNAL = {"people", "photos", "configs", "members"}


def test_the_document_has_what_the_specification_demands() -> None:
    assert list(faults(document())) == []


def test_the_document_is_as_the_schema_of_the_specification_says(tmp_path: Path) -> None:
    """The schema is not in this repository; the makers of AsyncAPI publish it as a package."""
    schemas = npm_packages(tmp_path, ASYNCAPI_SPECS) / "@asyncapi/specs/schemas"
    validator = jsonschema.Draft7Validator(orjson.loads((schemas / f"{document()['asyncapi']}.json").read_bytes()))
    assert [error.message for error in validator.iter_errors(document())] == []
    misspelt = copy.deepcopy(document())
    misspelt["channels"]["events"]["adress"] = "events"
    assert not validator.is_valid(misspelt)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda d: d.update(asyncapi="2.6.0"), "no version 3"),
        (lambda d: d["info"].pop("version"), "info has no version"),
        (lambda d: d["components"]["messages"].pop("reply"), "which is not there"),
        (lambda d: d["components"]["messages"]["event"]["payload"]["schema"].update({"$ref": "no"}), "is not there"),
        (lambda d: d["servers"]["kafka"].pop("protocol"), "has no protocol"),
        (lambda d: d["channels"]["events"].pop("parameters"), "its parameters"),
        (lambda d: d["channels"]["events"].pop("messages"), "is not there"),
        (lambda d: d["operations"]["askChanges"].update(action="publish"), "neither sends nor receives"),
        (lambda d: d["operations"]["askChanges"]["channel"].update({"$ref": "#/channels/requests"}), "no message of"),
        (lambda d: d["channels"]["replies"].update(address="replies"), "so has the channel of the reply"),
        (lambda d: d["components"]["replyAddresses"]["waitingIngress"].update(location="there"), "no expression"),
    ],
)
def test_a_document_that_lacks_something_is_found(change: Callable[[dict[str, Any]], object], told: str) -> None:
    changed = copy.deepcopy(document())
    change(changed)
    assert told in " / ".join(faults(changed))


def test_the_topics_are_those_of_the_code() -> None:
    topics = Topics()
    described = {topic_of(channel, document()) for channel in document()["channels"].values()}
    all_topics = {f.name: getattr(topics, f.name) for f in fields(Topics) if "." in getattr(topics, f.name)}
    assert described == {name for role, name in all_topics.items() if role not in INTERNAL}
    groups = {
        document()["operations"][name]["bindings"]["kafka"]["groupId"]["default"]
        for name in ("answerRequests", "answerChanges")
    }
    assert groups == {topics.processors, topics.admins}


def test_the_partitions_are_those_of_the_topics() -> None:
    specs = {spec.name: spec.partitions for spec in Settings().topic_specs}
    for channel in document()["channels"].values():
        fixed = channel["bindings"]["kafka"].get("partitions")
        if fixed is not None:
            assert specs[topic_of(channel, document())] == fixed


def test_every_header_that_the_code_names_is_described() -> None:
    schemas = expanded(document()["components"]["schemas"], document())
    named = {name for schema in ("requestHeaders", "changeHeaders") for name in schemas[schema]["properties"]}
    assert named == {v for k, v in vars(Headers).items() if k.isupper()} | {"traceparent", "tracestate"}
    assert schemas["tracestate"]["maxLength"] == LONGEST_STATE
    assert list(document()["components"]["messages"]["erased"]["headers"]["properties"]) == [ERASED]


def test_every_published_schema_is_referred_to() -> None:
    files = {reference for _, reference in references(document()) if not reference.startswith("#")}
    assert files == {f"schemas/{name}.schema.json" for name in PUBLISHED}


def test_every_type_of_event_is_named() -> None:
    words = document()["components"]["schemas"]["eventHeaders"]["properties"]["ce_type"]["description"]
    for call in CALLS:
        assert call.event_type.removeprefix("picturematch") in words
