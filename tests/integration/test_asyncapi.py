"""Every record that a running server writes is as docs/asyncapi.yaml says: topic, key, headers and value."""

import json
from collections import Counter
from pathlib import Path

import pytest

from broker.port import Broker, NewRecord, Record
from contract.audit import RefusedKeysRecord, encode_audit
from contract.http import KEYS_PATH, REPLAY_OF_HEADER
from contract.requests import Headers
from contract.topics import Topics
from tests.golden.event_scenes import make_events
from tests.golden.make import fill
from tests.golden.make_events import EVENTS
from tests.integration.test_dead_letters import POISON
from tests.integration.test_processor import read_all
from tests.integration.test_trace_context import PARENT, STATE, ask, serving
from tests.support.asyncapi import complaints, document, resolved, topic_of
from tests.support.commands import run
from tests.support.waiting import until_asked

TOPICS = Topics()


def described(record: Record) -> tuple[str, list[str]]:
    """The name of the record's message in the document, and what the record does not fulfil of it."""
    (channel,) = [c for c in document()["channels"].values() if topic_of(c, document()) == record.topic]
    messages = {name: resolved(message, document()) for name, message in channel["messages"].items()}
    erased = messages.pop("erased", {})
    if record.erased:
        return "erased", complaints(record, erased, document())
    ((name, message),) = messages.items()
    return name, complaints(record, message, document())


async def of_poison(log: Broker) -> bool:
    return bool(await read_all(log, TOPICS.dead_letters))


async def test_every_record_of_a_server_is_as_the_document_says(tmp_path: Path) -> None:
    traced = [("traceparent", PARENT), ("tracestate", STATE)]
    async with serving(tmp_path) as system:
        await fill(system.url)
        await ask(system, traced)
        await ask(system, [*traced, (REPLAY_OF_HEADER, "an-earlier-request")], need_register_photo=True)
        assert (await ask(system, traced, KEYS_PATH, name="office", role="operator"))[0] == 200
        poison = NewRecord(TOPICS.requests, b"10.0.0.1", POISON, ((Headers.REQUEST_ID, b"poison"),))
        await system.broker.append([poison])
        await until_asked(lambda: of_poison(system.broker), 20)
        erased = await run("people", "erase", "anna", "--yes", "--url", system.url, "--data-folder", tmp_path)
        assert erased.status == 0, erased
    again = await run("dead-letters", "retry", "--all", "--data-folder", tmp_path)
    assert again.status == 0, again
    async with serving(tmp_path) as system:
        await ask(system, [])
        topics = {topic_of(channel, document()) for channel in document()["channels"].values()}
        records = [record for topic in sorted(topics) for record in await read_all(system.broker, topic)]
    found = [(record, *described(record)) for record in records if record.value != POISON]
    assert [(str(record.position), faults) for record, _, faults in found if faults] == []
    assert Counter(name for _, name, _ in found).keys() == document()["components"]["messages"].keys()
    kinds = {(record.topic, record.header("traceparent") is not None) for record in records}
    assert kinds >= {(topic, True) for topic in (TOPICS.requests, TOPICS.admin, TOPICS.replies, TOPICS.events)}
    deadletters = [record for record in records if record.topic == TOPICS.dead_letters]
    assert len(deadletters) >= 2, "a letter and a mark"


async def test_every_kind_of_event_is_as_the_document_says() -> None:
    made = await make_events()
    assert {name: faults for name, record in made.items() if (faults := described(record)[1])} == {}


def golden(name: str) -> Record:
    found = json.loads((EVENTS / f"{name}.json").read_text())
    headers = tuple((name, text.encode()) for name, text in found["headers"].items())
    return Record(TOPICS.events, 0, 0, 0, found["key"].encode(), json.dumps(found["value"]).encode(), headers)


def test_refused_keys_are_as_the_document_says() -> None:
    value = encode_audit(RefusedKeysRecord(peer="10.0.0.9", time=1.7e9, counts={"wrong": 3}))
    assert described(Record(TOPICS.audit, 0, 0, 0, b"10.0.0.9", value)) == ("audit", [])


@pytest.mark.parametrize(
    "changes",
    [
        {"headers": ()},
        {"ce_specversion": "0.3"},
        {"ce_type": "picturematch.match"},
        {"traceparent": PARENT},
        {"traceparent": PARENT, "ce_traceparent": PARENT.upper()},
        {"value": b'{"id": 1}'},
        {"value": b"{}"},
    ],
)
def test_a_record_that_is_otherwise_is_found(changes: dict[str, object]) -> None:
    record = golden("match-matched")
    headers = {name: value.decode() for name, value in record.headers}
    headers |= {name: str(text) for name, text in changes.items() if name not in ("headers", "value")}
    kept = () if "headers" in changes else tuple((name, text.encode()) for name, text in headers.items())
    value = changes.get("value", record.value)
    assert isinstance(value, bytes)
    other = Record(record.topic, 0, 0, 0, record.key, value, kept)
    assert described(other)[1]
    assert described(record)[1] == []
