"""What the log has left of comparisons and enrolments, and what is explained from it."""

import time
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from broker.embedded import EmbeddedBroker, open_embedded
from broker.port import NewRecord, TopicSpec
from capture.explaining.finding import find_event
from capture.explaining.left import Kept
from capture.explaining.log import Engine, other_then_of
from capture.explaining.others import explain_other
from capture.explaining.values import OtherThen, What
from contract.codec import encode
from contract.configs import model_set_record, policy_record
from contract.events import encode_event
from contract.pictures.digest import picture_digest
from contract.requests import CompareRequest, EnrolRequest, Headers
from contract.topics import Topics
from engine.calls import call_of
from engine.calls.enrol import EnrolCall
from engine.calls.reporting import Circumstances
from engine.gallery.pending import PendingPeople
from tests.support.faces import MAX_PIXELS, MODELS, context, photo
from tests.support.then import Past

TOPICS = Topics()
DAY_MS = 24 * 60 * 60 * 1000
ENGINE = Engine(MODELS, "", MAX_PIXELS)
POLICY = policy_record({})
IDENTITIES = dict(MODELS.identities)


@pytest.fixture
async def log(tmp_path: Path) -> AsyncIterator[EmbeddedBroker]:
    async with open_embedded(tmp_path, role="owner", clock_ms=lambda: int(time.time() * 1000)) as broker:
        await broker.ensure_topics(
            [
                *(TopicSpec(topic, 1, retention_ms=7 * DAY_MS) for topic in (TOPICS.requests, TOPICS.admin)),
                TopicSpec(TOPICS.events, 2),
                TopicSpec(TOPICS.people, 1, compacted=True, min_compaction_lag_ms=7 * DAY_MS),
                TopicSpec(TOPICS.configs, 1, compacted=True),
            ]
        )
        yield broker


class Site:
    """A site whose decisions the test makes, in the order of the log."""

    def __init__(self, log: EmbeddedBroker) -> None:
        self.log, self.past, self.given = log, Past(), context()
        self.infos: dict[str, Mapping[str, Any]] = {}

    async def decide(self, request: CompareRequest | EnrolRequest) -> str:
        """Decide a request, write everything that belongs to it, and return the id of its event."""
        call: Any = call_of(request)
        topic = TOPICS.admin if isinstance(call, EnrolCall) else TOPICS.requests
        headers = ((Headers.DEADLINE_MS, b"%d" % int(1000 * (time.time() + 60))),)
        (place,) = await self.log.append([NewRecord(topic, b"k", encode(request), headers)])
        if isinstance(call, EnrolCall):
            prepared = call.prepare(request, self.given)  # type: ignore[arg-type]
            decision: Any = call.decide(request, prepared, PendingPeople(self.past.people, self.infos), self.given)  # type: ignore[arg-type]
            records = decision.people_records([(0, 3)] * len(decision.photos))
            self.past.write(records)
            self.infos |= {who: known.record.info for who, known in decision.people.items()}
            await self.log.append([NewRecord(TOPICS.people, key, value, partition=0) for key, value in records])
        else:
            decision = call.decide(request, self.past.people.snapshot(), self.given)
        at = Circumstances(
            place.topic,
            place.partition,
            place.offset,
            time.time(),
            self.past.people.version,
            IDENTITIES,
            tuple(map(picture_digest, call.pictures(request))),
            policy=POLICY.id,
            model_set=model_set_record(IDENTITIES).id,
        )
        event = call.event(request, decision, self.given, at)
        await self.log.append(
            [
                NewRecord(TOPICS.events, b"k", encode_event(event)),
                NewRecord(TOPICS.configs, POLICY.key, POLICY.value, partition=0),
            ]
        )
        return str(event.id)

    async def left(self, event_id: str, now_s: float | None = None, **event: Any) -> OtherThen:
        found = await find_event(self.log, TOPICS.events, event_id, None, lambda _: None)
        assert found is not None
        changed = structs.replace(found.event, **event)
        kept = Kept(7 * DAY_MS, 7 * DAY_MS, now_s or time.time())
        found = type(found)(changed, found.record, found.erasures)
        return await other_then_of(self.log, TOPICS, found, kept, ENGINE)


def enrol(request_id: str, identity_id: str, seed: int, **fields: Any) -> EnrolRequest:
    return EnrolRequest(
        request_id=request_id, identity_id=identity_id, received_time_s=time.time(), photo=photo(seed), **fields
    )


def gone(then: OtherThen) -> dict[What, str]:
    return {each.what: each.sentence for each in then.gone}


async def test_enrolments_are_made_again_against_the_people_before_them(log: EmbeddedBroker) -> None:
    site = Site(log)
    info = {"name": "Anna", "colour": "red"}
    ids = [
        await site.decide(enrol("r1", "anna", 1, info=info)),
        await site.decide(enrol("r2", "ben", 2)),
        await site.decide(enrol("r3", "anna", 3)),
        await site.decide(enrol("r4", "anna", 1, info=info)),
        await site.decide(enrol("r5", "anna", 4, ignore_exist=True, info={"size": 3})),
        await site.decide(enrol("r6", "anna", 5, ignore_exist=True, support_single_face=True)),
        await site.decide(structs.replace(enrol("r7", "anna", 1, update=True, info={"name": "A"}), photo=None)),
        await site.decide(enrol("r8", "carla", 6, info={"permission_ids": ["9"]}, create_no_exit_permission=True)),
    ]
    written, outcomes, ways = [], [], []
    for event_id in ids:
        then = await site.left(event_id)
        assert then.gone == ()
        assert then.before is not None
        explanation = explain_other(then)
        assert (explanation.alarms, explanation.rounding) == ((), 0), event_id
        written.append(len(then.before.written))
        outcomes.append(explanation.outcome)
        ways.append(explanation.way)
    assert outcomes == ["enrolled", "enrolled", "refused", "enrolled", "updated", "updated", "updated", "enrolled"]
    assert written == [2, 2, 0, 0, 2, 4, 1, 3]
    assert ways == ["look"] * 6 + ["decide", "look"]
    exists = explain_other(await site.left("r3"))
    assert [flip.outcome for flip in exists.flips if flip.setting == "ignore_exist"] == ["updated"]


async def test_an_event_of_an_enrolment_that_was_changed_later_is_an_alarm(log: EmbeddedBroker) -> None:
    site = Site(log)
    await site.decide(enrol("r1", "anna", 1, info={"name": "Anna"}))
    then = await site.left("r1", name="Eve", identity_id="anna")
    assert [alarm.what for alarm in explain_other(then).alarms] == ["name"]


async def test_a_comparison_needs_no_people(log: EmbeddedBroker) -> None:
    site = Site(log)
    request = CompareRequest(
        request_id="c1",
        face_picture=photo(1),
        card_picture=photo(1, size=90),
        compare_time_s=time.time(),
        received_time_s=time.time(),
        need_save=True,
    )
    await site.decide(request)
    explanation = explain_other(await site.left("c1"))
    assert (explanation.way, explanation.alarms, explanation.gone) == ("look", (), ())
    assert {check.stage for check in explanation.checks} == {"deadline", "comparison"}
    assert explain_other(await site.left("c1", score=0.1)).alarms


async def test_what_is_gone_is_named(log: EmbeddedBroker) -> None:
    site = Site(log)
    await site.decide(enrol("r1", "anna", 1))
    found = await site.left("r1")
    nowhere = structs.replace(found.event.request, offset=77)
    assert "retention removed its record" in gone(await site.left("r1", request=nowhere))["picture"]
    other = await site.left("r1", id="r2")
    assert "another request at its place" in gone(other)["picture"]
    assert "is not in the topic" in gone(await site.left("r1", policy="0123"))["policy"]
    assert "embedder" in gone(await site.left("r1", models={"embedder": "old"}))["networks"]
    assert "was made anew" in gone(await site.left("r1", gallery_version=99))["gallery"]
    late = await site.left("r1", time.time() + 15 * DAY_MS / 1000)
    assert "log.people_history_ms" in gone(late)["gallery"]
    for then in (other, late):
        assert explain_other(then).way == "read"


async def test_an_info_that_is_lost_leaves_what_the_event_records(log: EmbeddedBroker) -> None:
    site = Site(log)
    await site.decide(enrol("r1", "anna", 1, info={"name": "Anna", "colour": "red"}))
    await site.decide(enrol("r2", "anna", 2, ignore_exist=True))
    then = await site.left("r2")
    assert then.before is not None
    assert then.before.info is not None
    assert then.before.info["colour"] == "red"
    lost = OtherThen(
        then.event, then.request, then.policy, then.models, before=type(then.before)(then.before.people, None, True)
    )
    assert explain_other(lost).way == "read"
