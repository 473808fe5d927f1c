"""What is found in the log: events from the newest on, and why a part of a match is gone."""

import time
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest
from msgspec import structs

from broker.embedded import EmbeddedBroker, open_embedded
from broker.partitioner import partition_of
from broker.port import NewRecord, Position, TopicSpec
from capture.explaining.finding import FoundEvent, find_event
from capture.explaining.left import Kept
from capture.explaining.log import Engine, then_of
from capture.explaining.matches import explain_match
from capture.explaining.values import Then, What
from contract.codec import encode
from contract.configs import policy_record
from contract.errors import Code, Refusal
from contract.events import ErrorInfo, Event, encode_event
from contract.requests import Headers, MatchRequest
from contract.topics import Topics
from engine.policy import Policy, recorded_policy
from tests.support.faces import MAX_PIXELS, MODELS, photo
from tests.support.then import Past, without_picture

TOPICS = Topics()
DAY_MS = 24 * 60 * 60 * 1000
NOW_S = 1_800_000_000.0
ENGINE = Engine(MODELS, "", MAX_PIXELS)
POLICY = policy_record(msgspec.to_builtins(Policy()))


class Clock:
    """The clock of the log, which tests set forward."""

    def __init__(self) -> None:
        self.now_ms = int(NOW_S * 1000)

    def __call__(self) -> int:
        return self.now_ms


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def log(tmp_path: Path, clock: Clock) -> AsyncIterator[EmbeddedBroker]:
    async with open_embedded(tmp_path, role="owner", clock_ms=clock) as broker:
        kept = {"retention_ms": 7 * DAY_MS}
        await broker.ensure_topics(
            [
                *(TopicSpec(topic, 2, **kept) for topic in (TOPICS.requests, TOPICS.evidence)),
                TopicSpec(TOPICS.events, 2),
                TopicSpec(TOPICS.people, 1, compacted=True, min_compaction_lag_ms=7 * DAY_MS),
                TopicSpec(TOPICS.configs, 1, compacted=True),
            ]
        )
        yield broker


async def write(log: EmbeddedBroker, past: Past, then: Then) -> FoundEvent:
    """Write a match with everything that belongs to it, and find its event."""
    assert then.request is not None
    assert then.event is not None
    done = (await log.end_offsets(TOPICS.people))[0]
    await log.append([NewRecord(TOPICS.people, e.key, e.value, partition=0) for e in past.entries[done:]])
    headers = ((Headers.DEADLINE_MS, b"%d" % int((NOW_S + 3) * 1000)),)
    (place,) = await log.append([NewRecord(TOPICS.requests, b"k", encode(then.request), headers)])
    at = structs.replace(then.event.request, topic=place.topic, partition=place.partition, offset=place.offset)
    event = structs.replace(then.event, request=at, policy=POLICY.id, processed_time=NOW_S)
    records = [NewRecord(TOPICS.events, b"k", encode_event(event))]
    if then.evidence is not None:
        kept = structs.replace(then.evidence, policy=POLICY.id, decided_time=NOW_S)
        records.append(NewRecord(TOPICS.evidence, event.id.encode(), encode(kept)))
    await log.append([*records, NewRecord(TOPICS.configs, POLICY.key, POLICY.value, partition=0)])
    return await find(log, event.id)


async def find(log: EmbeddedBroker, event_id: str, since_s: float | None = None) -> FoundEvent:
    found = await find_event(log, TOPICS.events, event_id, since_s, lambda _: None)
    assert found is not None
    return found


async def left(log: EmbeddedBroker, found: FoundEvent, now_s: float = NOW_S, engine: Engine = ENGINE) -> Then:
    return await then_of(log, TOPICS, found, Kept(7 * DAY_MS, 7 * DAY_MS, now_s), engine)


def sentences(then: Then) -> dict[What, str]:
    return {gone.what: gone.sentence for gone in then.gone}


@pytest.fixture
def past() -> Past:
    past = Past()
    past.enrol("anna", 1, info={"name": "Anna", "colour": "red"})
    return past


async def test_an_event_is_found_among_thousands_from_the_newest_on(log: EmbeddedBroker, past: Past) -> None:
    event = past.then(photo(1)).event
    assert event is not None

    def numbered(number: int) -> NewRecord:
        named: Event = structs.replace(event, id=f"e{number}", retry_of="e7" if number == 5000 else None)
        return NewRecord(TOPICS.events, b"%d" % (number % 7), encode_event(named))

    for first in range(0, 6000, 1000):
        await log.append([numbered(number) for number in range(first, first + 1000)])
    looked_at: list[int] = []
    newest = await find_event(log, TOPICS.events, "e5999", None, looked_at.append)
    assert newest is not None
    assert newest.event.id == "e5999"
    assert sum(looked_at) <= 2000, "only the newest window of each partition"
    oldest = await find(log, "e7")
    assert (oldest.event.id, oldest.event.retry_of) == ("e7", None)
    assert await find_event(log, TOPICS.events, "e", None, lambda _: None) is None
    assert await find_event(log, TOPICS.events, "e7", NOW_S + 1, lambda _: None) is None


async def test_everything_is_there_right_after_the_decision(log: EmbeddedBroker, past: Past) -> None:
    then = await left(log, await write(log, past, past.then(photo(1))))
    assert then.gone == ()
    assert then.request is not None
    assert then.request.picture == photo(1)
    assert then.evidence is not None
    assert then.policy == Policy()
    assert then.deadline_s == NOW_S + 3
    assert then.whole is not None
    assert then.whole.info["colour"] == "red", "decisions do not need it, so the fold does not have it"


async def test_another_request_at_the_place_is_not_taken_for_the_picture(log: EmbeddedBroker, past: Past) -> None:
    found = await write(log, past, past.then(photo(1)))
    other = past.then(photo(2)).request
    assert other is not None
    (place,) = await log.append([NewRecord(TOPICS.requests, b"k", encode(structs.replace(other, request_id="r2")))])
    at = structs.replace(found.event.request, offset=place.offset)
    then = await left(log, replace(found, event=structs.replace(found.event, request=at)))
    assert "another request at its place" in sentences(then)["picture"]
    assert then.request is not None
    assert then.request.picture == b"", "the request is inferred from the event"


async def test_a_policy_that_is_unknown_or_of_another_release_is_named(log: EmbeddedBroker, past: Past) -> None:
    found = await write(log, past, past.then(photo(1)))
    for policy, words in (("", "does not name its policy"), ("0123", "is not in the topic"), ("new", "does not know")):
        if policy == "new":
            await log.append([NewRecord(TOPICS.configs, b"policy/new", b'{"later":1}', partition=0)])
        then = await left(log, replace(found, event=structs.replace(found.event, policy=policy)))
        assert words in sentences(then)["policy"]
        assert then.policy is None


async def test_the_content_of_a_policy_is_compared_with_its_id(log: EmbeddedBroker, past: Past) -> None:
    found = await write(log, past, past.then(photo(1)))
    assert explain_match(await left(log, found)).alarms == ()
    await log.append([NewRecord(TOPICS.configs, POLICY.key, b'{"threshold":0.6}', partition=0)])
    forged = await left(log, found)
    assert forged.policy == recorded_policy({"threshold": 0.6})
    assert "policy" in {alarm.what for alarm in explain_match(forged).alarms}


async def test_the_people_of_then_are_gone_once_a_later_change_is_older_than_the_history(
    log: EmbeddedBroker, past: Past, clock: Clock
) -> None:
    found = await write(log, past, past.then(photo(1)))
    past.enrol("ben", 2)
    clock.now_ms += DAY_MS
    await write(log, past, past.then(photo(2), request_id="r2"))
    changed_s = clock.now_ms / 1000
    still = await left(log, found, changed_s + 6 * DAY_MS / 1000)
    assert "gallery" not in sentences(still)
    late = await left(log, found, changed_s + 8 * DAY_MS / 1000)
    assert late.people is None
    (gone,) = [each for each in late.gone if each.what == "gallery"]
    assert "log.people_history_ms" in gone.sentence
    assert gone.since_s == changed_s + 7 * DAY_MS / 1000


async def test_a_topic_that_was_made_anew_has_no_people_of_then(log: EmbeddedBroker, past: Past) -> None:
    found = await write(log, past, past.then(photo(1)))
    then = await left(log, replace(found, event=structs.replace(found.event, gallery_version=99)))
    assert "was made anew" in sentences(then)["gallery"]


async def test_a_missing_network_is_named(log: EmbeddedBroker, past: Past) -> None:
    found = await write(log, past, past.then(photo(1)))
    none = await left(log, found, engine=Engine(None, "no network is installed", MAX_PIXELS))
    assert sentences(none) == {"networks": "The picture cannot be looked at again: no network is installed."}
    other = replace(MODELS, identities=tuple((role, "new") for role, _ in MODELS.identities))
    then = await left(log, found, engine=Engine(other, "", MAX_PIXELS))
    assert "detector, embedder" in sentences(then)["networks"]


async def test_a_request_that_was_never_looked_at_never_had_evidence(log: EmbeddedBroker, past: Past) -> None:
    then = await left(log, await write(log, past, past.then(b"no picture")))
    assert then.gone == ()
    assert isinstance(then.request, MatchRequest)


async def test_the_place_of_a_request_that_retention_removed_has_nothing(log: EmbeddedBroker, past: Past) -> None:
    found = await write(log, past, past.then(photo(1)))
    nowhere = structs.replace(found.event.request, offset=77)
    assert await log.read_at(Position(TOPICS.requests, nowhere.partition, 77)) is None
    moved = replace(found, event=structs.replace(found.event, request=nowhere))
    late_s = found.record.timestamp_ms / 1000 + 8 * DAY_MS / 1000
    (gone,) = [each for each in (await left(log, moved, late_s)).gone if each.what == "picture"]
    assert gone.since_s == pytest.approx(NOW_S + 7 * DAY_MS / 1000, abs=1)
    (early,) = [each for each in (await left(log, moved)).gone if each.what == "picture"]
    assert (early.since_s, "log.requests_retention_bytes" in early.sentence) == (None, True)
    assert time.strftime("%Y-%m-%d", time.gmtime(NOW_S)) in early.sentence


async def test_evidence_is_read_also_where_the_event_says_that_the_request_expired(
    log: EmbeddedBroker, past: Past
) -> None:
    then = past.then(photo(1))
    assert then.event is not None
    error = ErrorInfo(code=int(Code.TIMEOUT), status="TIMEOUT", message="late")
    found = await write(log, past, replace(then, event=structs.replace(then.event, outcome="expired", error=error)))
    assert (await left(log, found)).evidence is not None
    expired = past.then(photo(1), refusal=Refusal(Code.TIMEOUT, "late"), request_id="r2")
    kept = await left(log, await write(log, past, expired))
    assert (kept.evidence, kept.gone) == (None, ())


def evidence_key(*, beside: bool) -> bytes:
    """The key of another event's evidence: in the partition of that of r1, or in the other one."""
    own = partition_of(b"r1", 2)
    return next(key for n in range(100) if (partition_of(key := b"other%d" % n, 2) == own) is beside)


@pytest.mark.parametrize("older_s", [None, 3600])
async def test_evidence_that_retention_for_size_removed_is_not_taken_for_evidence_that_was_off(
    log: EmbeddedBroker, past: Past, clock: Clock, older_s: int | None
) -> None:
    """Other evidence is left: of the same time in its partition, and perhaps older one in another partition."""
    if older_s is not None:
        await log.append([NewRecord(TOPICS.evidence, evidence_key(beside=False), b"older")])
        clock.now_ms += 1000 * older_s
    found = await write(log, past, past.then(photo(1)))
    await log.append([NewRecord(TOPICS.evidence, evidence_key(beside=True), b"another")])
    assert (await left(log, found, clock.now_ms / 1000)).evidence is not None
    await log.ensure_topics([TopicSpec(TOPICS.evidence, 2, retention_ms=7 * DAY_MS, retention_bytes=200)])
    await log.housekeep()
    then = await left(log, found, clock.now_ms / 1000)
    assert then.evidence is None
    assert "log.requests_retention_bytes" in sentences(then)["evidence"]


async def test_evidence_that_was_off_is_named_beside_that_of_another_event_of_the_same_time(
    log: EmbeddedBroker, past: Past
) -> None:
    await log.append([NewRecord(TOPICS.evidence, evidence_key(beside=True), b"another")])
    found = await write(log, past, replace(past.then(photo(1)), evidence=None))
    then = await left(log, found)
    assert (then.evidence, "processor.evidence was off" in sentences(then)["evidence"]) == (None, True)


async def test_events_of_the_same_time_get_each_its_own_evidence(log: EmbeddedBroker, past: Past) -> None:
    for name, seed in (("r1", 1), ("r2", 2), ("r3", 3)):
        await write(log, past, past.then(photo(seed), request_id=name))
    for name in ("r1", "r2", "r3"):
        evidence = (await left(log, await find(log, name))).evidence
        assert evidence is not None
        assert evidence.event_id == name


def test_the_evidence_of_another_event_is_an_alarm(past: Past) -> None:
    then = past.then(photo(1))
    assert then.evidence is not None
    other = structs.replace(then.evidence, event_id="r2")
    for each in (replace(then, evidence=other), without_picture(replace(then, evidence=other))):
        assert "event_id" in {alarm.what for alarm in explain_match(each).alarms}
