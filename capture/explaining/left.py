"""What the log has left of a decision: its request, its evidence and its policy; and why the rest is gone."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Generic, TypeVar

import msgspec

from broker.partitioner import partition_of
from broker.port import Broker, Position, Record
from capture.explaining.consistency import has_evidence
from capture.explaining.finding import FoundEvent, find_key, first_record, latest_of
from capture.explaining.values import Gone, What
from contract.captures.convert import decision_of
from contract.configs import policy_key, policy_record
from contract.evidence import Evidence, decode_evidence
from contract.kinds import kind_of
from contract.requests import Headers, MatchRequest, Request, decode_request
from engine.policy import Policy, recorded_policy

R = TypeVar("R", bound=Request)

_NEAR_S = (1.0, 60.0)
"""Evidence is written with its event, and both times differ by no more than clocks do; the nearest are read first."""
_WORDS: dict[What, str] = {"picture": "The picture is gone", "evidence": "The evidence is gone"}


@dataclass(frozen=True, slots=True)
class Kept:
    """For how long the log keeps records (milliseconds): requests and evidence, and replaced records of people; and the
    time at which the log is read (epoch seconds)."""

    requests_ms: int
    history_ms: int
    now_s: float


@dataclass(frozen=True, slots=True)
class LeftRequest(Generic[R]):
    """The request, or why it is gone; `deadline_s`: until when its answer was awaited (epoch seconds)."""

    request: R | None = None
    deadline_s: float | None = None
    gone: Gone | None = None


@dataclass(frozen=True, slots=True)
class LeftPolicy:
    """The policy, or why it is gone; `content`: the id that the content of its record has, None: there is no record."""

    policy: Policy | None = None
    content: str | None = None
    gone: Gone | None = None


async def left_request(log: Broker, found: FoundEvent, kept: Kept, expected: type[R]) -> LeftRequest[R]:
    """Return the request of an event, which is of the type that is expected.

    Raises:
        BrokerError: the log cannot be read.
    """
    place = found.event.request
    record = await log.read_at(Position(place.topic, place.partition, place.offset))
    if record is None:
        oldest = await first_record(log, place.topic, place.partition)
        return LeftRequest(gone=_removed("picture", found, kept, oldest))
    deadline = record.header(Headers.DEADLINE_MS) or b""
    deadline_s = int(deadline) / 1000 if deadline.isdigit() else None
    if record.erased:
        return LeftRequest(deadline_s=deadline_s, gone=_erased("picture", found))
    try:
        request = decode_request(record.value or b"")
    except msgspec.DecodeError:
        words = f"{_WORDS['picture']}: the record of the request cannot be read any more."
        return LeftRequest(deadline_s=deadline_s, gone=Gone("picture", words))
    if not isinstance(request, expected) or request.request_id != found.event.id:
        words = f"{_WORDS['picture']}: the log has another request at its place, so its topic was made anew."
        return LeftRequest(gone=Gone("picture", words))
    return LeftRequest(request, deadline_s)


async def left_evidence(log: Broker, topic: str, found: FoundEvent, kept: Kept) -> Evidence | Gone | None:
    """Return the evidence of an event, or why it is gone; None: the event never had any, as no face was compared.

    Evidence is searched for whatever the event says: evidence of an event that should have none is an alarm.

    Raises:
        BrokerError: the log cannot be read.
    """
    event = found.event
    key, written_s = event.id.encode(), found.record.timestamp_ms / 1000
    for near_s in _NEAR_S:
        record = await find_key(log, topic, key, written_s - near_s, written_s + near_s)
        if record is None:
            continue
        if record.erased:
            return _erased("evidence", found)
        try:
            return decode_evidence(record.value or b"")
        except msgspec.DecodeError:
            return Gone("evidence", f"{_WORDS['evidence']}: its record cannot be read any more.")
    if not has_evidence(decision_of(event)):
        return None
    oldest = await first_record(log, topic, partition_of(key, await log.partitions(topic)))
    if kept.now_s < _until_s(found, kept) and not _may_be_removed(oldest, written_s):
        return Gone("evidence", "The match has no evidence: the setting processor.evidence was off.")
    return _removed("evidence", found, kept, oldest)


async def left_policy(log: Broker, topic: str, policy: str) -> LeftPolicy:
    """Return the policy with that id, or why it is gone.

    Raises:
        BrokerError: the log cannot be read.
    """
    if not policy:
        return LeftPolicy(gone=Gone("policy", "The event does not name its policy: an older release wrote it."))
    record = await latest_of(log, topic, policy_key(policy))
    if record is None or record.value is None:
        return LeftPolicy(gone=Gone("policy", f"The policy {policy} is not in the topic {topic}."))
    content = None
    try:
        settings = msgspec.json.decode(record.value, type=dict[str, Any])
        content = policy_record(settings).id
        return LeftPolicy(recorded_policy(settings), content)
    except (msgspec.DecodeError, ValueError):
        words = f"The policy {policy} has settings that this release does not know; use the release of then."
        return LeftPolicy(content=content, gone=Gone("policy", words))


def moment(time_s: float) -> str:
    """Return a time (epoch seconds) in words."""
    return f"{datetime.fromtimestamp(time_s, UTC):%Y-%m-%d %H:%M:%S} UTC"


def _may_be_removed(oldest: Record | None, written_s: float) -> bool:
    """Return whether retention for size may have removed a record. `oldest`: the oldest one that its partition has.

    It removes the oldest records of a partition, and never all of them. Records that were written together have the
    same time, and some of them may be removed.
    """
    if oldest is None or oldest.offset == 0:
        return False
    return oldest.timestamp_ms / 1000 >= written_s - _NEAR_S[0]


def _until_s(found: FoundEvent, kept: Kept) -> float:
    """Return until when the records of the match are kept for their age (epoch seconds)."""
    return (found.record.timestamp_ms + kept.requests_ms) / 1000


def _removed(what: What, found: FoundEvent, kept: Kept, oldest: Record | None) -> Gone:
    """Return why a record is not in its topic any more. `oldest`: the oldest record that is left."""
    until_s = _until_s(found, kept)
    by_age = until_s <= kept.now_s
    setting = "log.requests_retention_ms" if by_age else "log.requests_retention_bytes"
    left = "none is left" if oldest is None else f"the oldest one left is of {moment(oldest.timestamp_ms / 1000)}"
    words = f"{_WORDS[what]}: retention removed its record (the setting {setting}); {left}."
    return Gone(what, words, until_s if by_age else None)


def _erased(what: What, found: FoundEvent) -> Gone:
    who = "recognised person" if found.event.kind == kind_of(MatchRequest) else "person"
    words = f"{_WORDS[what]}: an operator erased the records of the {who}."
    return Gone(what, words, found.erasures.get(found.event.identity_id))
