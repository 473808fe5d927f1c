"""What a sender was told TIMEOUT about: recorded as expired wherever the log allows it, and harmless to send again."""

import asyncio
import sqlite3
import time
from collections.abc import Awaitable, Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp
import cv2
import numpy as np
import pytest
from msgspec import structs

from broker.embedded import open_embedded
from broker.embedded.store import LOG_FILE
from broker.port import Broker, GroupMember, NewRecord, Position
from contract.errors import Code
from contract.requests import DeleteRequest, Headers, Request
from contract.topics import Topics
from tests.faults.test_serve import USERS, enrol_body, post, serving
from tests.integration.test_processor import FailingBroker, Running, enrol, match, record_of, running
from tests.support.faces import photo

TOPICS = Topics()
PATIENCE_S = 30.0
DEADLINE_S = 1.0


class SlowBroker(FailingBroker):
    """The log, whose first commit waits for `before`, as on a disk or brokers that are slow."""

    def __init__(self, broker: Broker, before: Callable[[Callable[[], Awaitable[Any]]], Awaitable[Any]]) -> None:
        super().__init__(broker, [])
        self._before: Callable[..., Awaitable[Any]] | None = before

    def member(self, topic: str, group: str, *asked: Any) -> GroupMember:
        member = super().member(topic, group, *asked)
        commit = member.commit

        async def slow(*args: Any, **kwargs: Any) -> Any:
            before, self._before = self._before, None
            if before is None:
                return await commit(*args, **kwargs)
            return await before(lambda: commit(*args, **kwargs))

        member.commit = slow
        return member


async def end(system: Running) -> int:
    return (await system.broker.end_offsets(TOPICS.people))[0]


def deadline(after_s: float) -> dict[str, bytes]:
    return {Headers.DEADLINE_MS: str(int((time.time() + after_s) * 1000)).encode()}


def in_one_lane(request: Request, **headers: bytes) -> NewRecord:
    return replace(record_of(request, **headers), partition=0)


async def events_of(system: Running, count: int) -> dict[str, dict[str, Any]]:
    return {event["id"]: event for event in await system.wait_for(count)}


LATE = {
    "enrolment": enrol("late", "bert", 2),
    "match": match(0, request_id="late"),
    "deletion": DeleteRequest(request_id="late", identity_id="anna", received_time_s=1.0),
}


@pytest.mark.parametrize("late", LATE.values(), ids=LATE)
async def test_what_was_ready_in_time_and_too_late_at_the_head_of_its_lane_is_expired(tmp_path, late):
    committing, sent_late, passed = asyncio.Event(), asyncio.Event(), 0.0

    async def before(commit: Callable[[], Awaitable[Any]]) -> Any:
        committing.set()
        await sent_late.wait()
        await asyncio.sleep(passed - time.time() + 0.1)
        return await commit()

    async with running(tmp_path) as system:
        await system.send(enrol("e1", "anna", 1))
        await system.wait_for(1)

    async with running(tmp_path, wrap=lambda broker: SlowBroker(broker, before)) as system:
        # All of one lane: the first commit is slow, and what stands behind it is ready long before.
        first = enrol("m1", "carla", 3) if late.administrative else match(1)
        await system.broker.append([in_one_lane(first)])
        await committing.wait()
        passed = time.time() + DEADLINE_S
        await system.broker.append([in_one_lane(late, **deadline(DEADLINE_S))])
        sent_late.set()
        events = await events_of(system, 3)
        assert events["m1"]["outcome"] == ("enrolled" if late.administrative else "matched")
        assert events["late"]["outcome"] == "expired"
        assert system.replies["late"].answer.code == Code.TIMEOUT
        changed = {
            (await system.broker.read_at(Position(TOPICS.people, 0, n))).key for n in range(2, await end(system))
        }
        assert not [key for key in changed if b"bert" in key or b"anna" in key]
        assert system.people.person("bert") is None
        assert system.people.person("anna") is not None


async def test_an_enrolment_that_the_log_was_too_slow_to_take_enrols_nobody(tmp_path):
    """Somebody else holds the log's write lock until the deadline has passed; then the transaction goes on."""
    passed = 0.0

    async def before(commit: Callable[[], Awaitable[Any]]) -> Any:
        with closing(sqlite3.connect(tmp_path / LOG_FILE, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            committing = asyncio.ensure_future(commit())
            await asyncio.sleep(passed - time.time() + 0.1)
            other.execute("ROLLBACK")
        return await committing

    async with running(tmp_path, wrap=lambda broker: SlowBroker(broker, before)) as system:
        passed = time.time() + DEADLINE_S
        await system.send(enrol("e1", "anna", 1), **deadline(DEADLINE_S))
        events = await events_of(system, 1)
        assert events["e1"]["outcome"] == "expired"
        assert system.replies["e1"].answer.code == Code.TIMEOUT
        assert await system.broker.end_offsets(TOPICS.people) == {0: 0}
        await system.send(enrol("e2", "anna", 1))
        assert (await events_of(system, 2))["e2"]["outcome"] == "enrolled"


def png(jpeg: bytes) -> bytes:
    return bytes(cv2.imencode(".png", cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR))[1])


@pytest.mark.parametrize("sent", [photo(1), png(photo(1))], ids=["jpeg", "png"])
async def test_the_same_enrolment_again_is_answered_as_the_first_and_changes_nothing(tmp_path, sent):
    async with running(tmp_path) as system:
        asked = enrol("e1", "anna", 1, info={"name": "Anna", "floor": 2}, need_bring_pic=True)
        asked = structs.replace(asked, photo=sent)
        await system.send(asked)
        await system.wait_for(1)
        written = await system.broker.end_offsets(TOPICS.people)
        again = ["again1", "again2", "again3"]
        await system.send(*(structs.replace(asked, request_id=request_id) for request_id in again))
        events = await events_of(system, 4)
        assert await system.broker.end_offsets(TOPICS.people) == written
        for request_id in again:
            event, reply = events[request_id], system.replies[request_id]
            assert (event["outcome"], event["identity_id"], event["error"]) == ("enrolled", "anna", None)
            assert reply.answer == structs.replace(system.replies["e1"].answer, unchanged=True)
            assert reply.gallery_version >= system.replies["e1"].gallery_version


async def test_an_enrolment_that_was_told_timeout_may_simply_be_sent_again(tmp_path: Path) -> None:
    """On the wire: whatever became of the first, the second call is answered 200 and one person is there."""
    async with (
        serving(tmp_path, PICTUREMATCH_INGEST__DEADLINE_MS="700") as server,
        aiohttp.ClientSession() as session,
        open_embedded(tmp_path, role="guest", clock_ms=lambda: 0) as beside,
        asyncio.timeout(4 * PATIENCE_S),
    ):
        timed_out = number = 0
        while timed_out < 3:
            number += 1
            identity_id = f"p{number}"
            body = enrol_body(identity_id, number)
            with closing(sqlite3.connect(tmp_path / LOG_FILE, isolation_level=None)) as other:
                asking = asyncio.create_task(post(session, server.url + USERS, body))
                await asyncio.sleep(0.004 * (number % 12))
                other.execute("BEGIN IMMEDIATE")
                ends = [(await beside.end_offsets(topic)) for topic in (TOPICS.admin, TOPICS.events)]
                accepted = sum(ends[0].values()) > sum(ends[1].values())
                if accepted:  # in the log and not decided: its deadline passes while the lock is held
                    await asyncio.sleep(1.0)
                other.execute("ROLLBACK")
            status, _, _ = await asking
            if accepted:
                assert status == 504
                timed_out += 1
                async with session.get(server.url + USERS, params={"identity_id": identity_id}) as got:
                    assert (await got.json())["error"]["code"] == Code.ID_NOT_FOUND
            for _ in range(2):
                status, _, answer = await post(session, server.url + USERS, body)
                assert (status, answer.get("error")) == (200, None)
            changed = {**body, "info": {"name": "somebody else"}}
            status, _, answer = await post(session, server.url + USERS, changed)
            assert (status, answer["error"]["code"]) == (400, Code.IDENTITY_EXSIT_ERROR)
