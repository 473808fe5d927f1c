"""The trace context of an HTTP call is in the records of its request, its reply and its event."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp
import pybase64
import pytest

from broker.port import Record
from contract.dead_letters import decode_dead_letter
from contract.http import MATCH_PATH, REPLAY_OF_HEADER, USERS_PATH
from contract.topics import Topics
from contract.trace import LONGEST_STATE
from picturematch.settings import load_settings
from picturematch.wiring import System, run_system
from tests.integration.test_dead_letters import broken_on_333_rows, opened, retried
from tests.integration.test_processor import match, read_all, running
from tests.support.faces import MODELS, photo, scene

TOPICS = Topics()
PARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
STATE = "rojo=00f067aa0ba902b7,congo=t61rcWkgMzE"
NAMES = ("traceparent", "tracestate", "ce_traceparent", "ce_tracestate")


@asynccontextmanager
async def serving(folder: Path) -> AsyncIterator[System]:
    given = {
        "PICTUREMATCH_DATA_FOLDER": str(folder),
        "PICTUREMATCH_INGEST__PORT": "0",
        "PICTUREMATCH_HEALTH__PORT": "0",
        "PICTUREMATCH_MODELS__KIND": "stand-in",
    }
    async with run_system(load_settings(None, given), MODELS) as system:
        yield system


async def ask(
    system: System, headers: Sequence[tuple[str, str]], path: str = MATCH_PATH, **changes: Any
) -> tuple[int, str]:
    """Status and text of the answer."""
    fields = {"rgb_image_base64": pybase64.b64encode(photo(1)).decode(), "device_ip": "10.0.0.1", **changes}
    async with (
        aiohttp.ClientSession() as session,
        session.post(system.url + path, json=fields, headers=list(headers)) as response,
    ):
        return response.status, await response.text()


def traced(record: Record) -> dict[str, str]:
    """The headers of a record that are about its trace."""
    return {name: value.decode() for name, value in record.headers if name in NAMES}


async def last(system: System, topic: str) -> dict[str, str]:
    records = await read_all(system.broker, topic)
    return traced(max(records, key=lambda record: (record.timestamp_ms, record.offset)))


async def test_a_trace_context_is_in_request_reply_and_event(tmp_path: Path) -> None:
    async with serving(tmp_path) as system:
        await ask(system, [("Traceparent", PARENT), ("tracestate", STATE)])
        plain = {"traceparent": PARENT, "tracestate": STATE}
        both = plain | {"ce_traceparent": PARENT, "ce_tracestate": STATE}
        assert await last(system, TOPICS.requests) == plain
        assert await last(system, TOPICS.replies) == plain
        assert await last(system, TOPICS.events) == both


async def test_an_administrative_request_has_it_too(tmp_path: Path) -> None:
    async with serving(tmp_path) as system:
        photo_text = pybase64.b64encode(photo(1)).decode()
        fields = {"identity_id": "anna", "reg_photo": photo_text}
        assert (await ask(system, [("traceparent", PARENT)], USERS_PATH, **fields))[0] == 200
        assert await last(system, TOPICS.admin) == {"traceparent": PARENT}
        assert await last(system, TOPICS.events) == {"traceparent": PARENT, "ce_traceparent": PARENT}


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [("tracestate", STATE)],
        [("traceparent", "secret-of-the-caller"), ("tracestate", STATE)],
        [("traceparent", PARENT), ("traceparent", PARENT)],
        [("traceparent", PARENT.upper())],
    ],
    ids=["none", "state alone", "bad", "two", "upper case"],
)
async def test_without_a_valid_one_nothing_is_made_up_and_the_answer_is_the_same(
    tmp_path: Path, headers: Sequence[tuple[str, str]]
) -> None:
    async with serving(tmp_path) as system:
        answers = [await ask(system, these, rgb_image_base64="no picture") for these in ((), headers)]
        assert answers[0] == answers[1]
        assert answers[0][0] == 400
        await ask(system, headers)
        for topic in (TOPICS.requests, TOPICS.replies, TOPICS.events):
            assert await last(system, topic) == {}, topic


async def test_a_tracestate_that_is_too_long_leaves_the_traceparent(tmp_path: Path) -> None:
    async with serving(tmp_path) as system:
        members = [f"k{number}={'v' * 100}" for number in range(5)]
        assert len(",".join(members)) > LONGEST_STATE
        await ask(system, [("traceparent", PARENT), *(("tracestate", member) for member in members)])
        assert await last(system, TOPICS.requests) == {"traceparent": PARENT}
        await ask(system, [("traceparent", PARENT), *(("tracestate", member) for member in members[:4])])
        state = ",".join(members[:4])
        assert await last(system, TOPICS.requests) == {"traceparent": PARENT, "tracestate": state}


async def test_a_replay_has_the_context_of_the_call_that_replays(tmp_path: Path) -> None:
    async with serving(tmp_path) as system:
        await ask(system, [("traceparent", PARENT)])
        again = PARENT.replace("b7-01", "b8-00")
        await ask(system, [("traceparent", again), (REPLAY_OF_HEADER, "an-earlier-request")])
        assert await last(system, TOPICS.events) == {"traceparent": again, "ce_traceparent": again}


async def test_a_dead_letter_that_is_sent_again_keeps_the_context_of_its_call(tmp_path: Path) -> None:
    given = {"traceparent": PARENT.encode(), "tracestate": STATE.encode()}
    async with running(tmp_path, models=replace(MODELS, detector=broken_on_333_rows)) as system:
        await system.send(match(1, picture=scene(width=500, height=333)), **given)
        await system.wait_for(1)
    (new_id,) = await retried(tmp_path, "--all")
    async with running(tmp_path) as system:
        assert [event["id"] for event in await system.wait_for(2)] == ["m1", new_id]
    async with opened(tmp_path) as log:
        (letter, _mark) = [decode_dead_letter(r.value or b"") for r in await read_all(log, TOPICS.dead_letters)]
        assert dict(letter.headers).items() >= given.items()
        first, second = map(traced, await read_all(log, TOPICS.requests))
        assert first == second == {"traceparent": PARENT, "tracestate": STATE}
        first, second = map(traced, await read_all(log, TOPICS.events))
        assert first == second == {name: PARENT if "parent" in name else STATE for name in NAMES}
