"""Comparisons and quality assessments on the embedded log: always one reply, and an event only where it is asked for
or would be lost otherwise."""

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from broker.port import CommitFailed, NewRecord, RecordTooLarge
from contract.answers import CompareAnswer, FiqaAnswer, RefusedAnswer, Reply
from contract.errors import Code
from contract.events import decode_event
from contract.requests import CompareRequest, FiqaRequest, Headers
from contract.topics import Topics
from tests.integration.test_dead_letters import broken_on_333_rows, retried
from tests.integration.test_processor import (
    DEADLINE_S,
    FailingBroker,
    Running,
    as_reply,
    dead_letters,
    match,
    read_all,
    running,
)
from tests.support.faces import MODELS, photo, scene
from tests.support.waiting import until

TOPICS = Topics()
POISON = scene(width=500, height=333)
INFO = {"identity_id": "4711", "name": "Ada"}
SAVED: dict[str, Any] = {"need_save": True, "identity_info": INFO}


def compare(number: int, **fields: Any) -> CompareRequest:
    required = {"face_picture": photo(1), "card_picture": photo(1, size=200)}
    return CompareRequest(
        **{**required, "request_id": f"c{number}", "compare_time_s": 5.0, "received_time_s": 6.0, **fields}
    )


def fiqa(number: int, **fields: Any) -> FiqaRequest:
    return FiqaRequest(**{"request_id": f"q{number}", "picture": photo(1), "received_time_s": 6.0, **fields})


async def replies(system: Running, count: int) -> dict[str, Reply]:
    """All replies by request, once there are so many."""
    found: list[Reply] = []
    async with system.broker.reader(TOPICS.replies) as reader:
        until_s = time.monotonic() + DEADLINE_S
        while len(found) < count:
            assert time.monotonic() < until_s, f"only {len(found)} of {count} replies came"
            found += map(as_reply, await reader.fetch(1000, 0.5))
    assert len({reply.request_id for reply in found}) == len(found)
    return {reply.request_id: reply for reply in found}


async def events(system: Running) -> list[bytes]:
    return [record.value or b"" for record in await read_all(system.broker, TOPICS.events)]


async def test_a_saved_comparison_has_exactly_one_event_that_agrees_with_its_reply(tmp_path: Path) -> None:
    async with running(tmp_path) as system:
        await system.send(compare(1, **SAVED), compare(2, **SAVED, card_picture=photo(2)))
        told = {event["id"]: event for event in await system.wait_for(2)}
        await system.processor.drain(DEADLINE_S)
        assert len(await events(system)) == 2
        assert {i: event["outcome"] for i, event in told.items()} == {"c1": "same", "c2": "different"}
        for request_id, event in told.items():
            answer = system.replies[request_id].answer
            assert isinstance(answer, CompareAnswer)
            assert (event["retcode"], event["score"]) == (answer.retcode, answer.score)
            assert (event["identity_id"], event["identity_info"]) == ("4711", INFO)


async def test_the_record_of_a_saved_comparison_says_what_it_is(tmp_path: Path) -> None:
    async with running(tmp_path) as system:
        await system.send(compare(1, need_save=True))
        await system.wait_for(1)
        (record,) = await read_all(system.broker, TOPICS.events)
        assert record.key == b"c1"
        assert record.header("ce_type") == b"picturematch.compare.v1"
        assert record.header("ce_id") == b"c1"


async def test_what_nobody_wanted_saved_is_answered_counted_and_leaves_no_event(tmp_path: Path) -> None:
    requests = [
        compare(1),
        compare(2, card_picture=scene()),
        compare(3, face_picture=b"no picture"),
        fiqa(1),
        fiqa(2, picture=scene()),
    ]
    async with running(tmp_path) as system:
        await system.send(*requests)
        told = await replies(system, len(requests))
        await system.processor.drain(DEADLINE_S)
        assert await events(system) == []
        assert await read_all(system.broker, TOPICS.dead_letters) == []
        assert isinstance(told["c1"].answer, CompareAnswer)
        assert isinstance(told["q1"].answer, FiqaAnswer)
        refused = {i: r.answer.code for i, r in told.items() if isinstance(r.answer, RefusedAnswer)}
        assert refused == {"c2": Code.NO_FACE, "c3": Code.IMAGE_ERROR, "q2": Code.NO_FACE}
        counted = [("compare", "same"), ("compare", "no_face"), ("fiqa", "measured"), ("fiqa", "no_face")]
        for kind, outcome in counted:
            labels = {"kind": kind, "outcome": outcome}
            name = "picturematch_answers_without_event_total"
            assert system.registry.get_sample_value(name, labels) == 1, (kind, outcome)
            assert system.registry.get_sample_value("picturematch_events_total", labels) == 0


async def test_between_comparisons_matches_keep_their_events(tmp_path: Path) -> None:
    async with running(tmp_path) as system:
        mixed = [
            request for n in range(8) for request in (compare(n), match(n), fiqa(n), compare(n + 8, need_save=True))
        ]
        await system.send(*mixed)
        told = await system.wait_for(16)
        assert len(await replies(system, 32)) == 32
        await system.processor.drain(DEADLINE_S)
        wanted = [f"m{n}" for n in range(8)] + [f"c{n + 8}" for n in range(8)]
        assert sorted(event["id"] for event in told) == sorted(wanted)
        assert len(await events(system)) == 16


@pytest.mark.parametrize("saved", [True, False])
async def test_work_that_nobody_waits_for_is_answered_and_not_inferred(tmp_path: Path, saved: bool) -> None:
    def detector(image: Any) -> Any:
        raise AssertionError("an expired picture was looked at")

    async with running(tmp_path, models=replace(MODELS, detector=detector)) as system:
        await system.send(compare(1, need_save=saved), fiqa(1), **{Headers.DEADLINE_MS: b"1000"})
        told = await replies(system, 2)
        await system.processor.drain(DEADLINE_S)
        assert {reply.answer.code for reply in told.values()} == {Code.TIMEOUT}  # type: ignore[union-attr]
        outcomes = [(event.id, event.outcome) for event in map(decode_event, await events(system))]
        assert outcomes == ([("c1", "expired")] if saved else [])


async def test_an_unexpected_error_is_never_lost_whatever_was_asked_for(tmp_path: Path) -> None:
    async with running(tmp_path, models=replace(MODELS, detector=broken_on_333_rows)) as system:
        await system.send(compare(1, card_picture=POISON), compare(2, face_picture=POISON, **SAVED))
        await system.send(fiqa(1, picture=POISON))
        told = {event["id"]: event for event in await system.wait_for(3)}
        assert {i: (event["kind"], event["outcome"]) for i, event in told.items()} == {
            "c1": ("compare", "error"),
            "c2": ("compare", "error"),
            "q1": ("fiqa", "error"),
        }
        assert told["c1"]["identity_info"] is None
        assert told["c2"]["identity_info"] == INFO
        assert {reply.answer.code for reply in system.replies.values()} == {Code.INTERNAL_ERROR}  # type: ignore[union-attr]
        stages = sorted(letter.stage for letter in await dead_letters(system.broker))
        assert stages == ["compare", "compare", "fiqa"]


async def test_the_retry_of_a_dead_letter_has_its_event_since_nobody_waits_for_its_answer(tmp_path: Path) -> None:
    async with running(tmp_path, models=replace(MODELS, detector=broken_on_333_rows)) as system:
        await system.send(compare(1, card_picture=POISON), fiqa(1, picture=POISON))
        await system.wait_for(2)
    ids = await retried(tmp_path, "--all")
    async with running(tmp_path) as system:
        told = {event["id"]: event for event in await system.wait_for(4)}
        again = sorted((told[i]["kind"], told[i]["outcome"], told[i]["retry_of"]) for i in ids)
        assert again == [("compare", "no_face", "c1"), ("fiqa", "no_face", "q1")]


async def test_after_failed_commits_every_comparison_still_has_one_reply(tmp_path: Path) -> None:
    errors: list[Exception | None] = [None, CommitFailed("aborted"), CommitFailed("again")]
    async with running(tmp_path, wrap=lambda broker: FailingBroker(broker, errors)) as system:
        await system.send(*(compare(n, need_save=n % 2 == 1) for n in range(12)))
        assert len(await replies(system, 12)) == 12
        await system.processor.drain(DEADLINE_S)
        await until(lambda: not errors)
        assert len(await read_all(system.broker, TOPICS.replies)) == 12
        assert len(await events(system)) == 6


async def test_a_reply_that_the_log_has_no_room_for_becomes_a_dead_letter(tmp_path: Path) -> None:
    class NarrowBroker(FailingBroker):
        def member(self, topic: str, group: str, *asked: Any) -> Any:
            member = self._broker.member(topic, group, *asked)
            commit = member.commit

            async def narrow(partition: int, offset: int, outputs: list[NewRecord], *more: Any) -> Any:
                if any(b"quality_score" in (new.value or b"") for new in outputs if new.topic == TOPICS.replies):
                    raise RecordTooLarge("a record is over the limit")
                return await commit(partition, offset, outputs, *more)

            member.commit = narrow
            return member

    async with running(tmp_path, wrap=lambda broker: NarrowBroker(broker, [])) as system:
        await system.send(fiqa(1), compare(1))
        (event,) = await system.wait_for(1)
        assert (event["id"], event["kind"], event["outcome"]) == ("q1", "unreadable", "error")
        told = await replies(system, 2)
        assert isinstance(told["c1"].answer, CompareAnswer)
        assert [letter.stage for letter in await dead_letters(system.broker)] == ["emit"]
