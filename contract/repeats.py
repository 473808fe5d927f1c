"""Repeats: matches of a person at a device within moments of an earlier match of the person there. Pure.

The window begins with the first match and does not move, so somebody who stays in front of a device leaves a whole
event each time the window is over. Times are those of arrival (received_time), so that the same requests in the same
order have the same repeats, whenever they are processed.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from msgspec import structs

from contract.events import Event
from contract.kinds import kind_of
from contract.requests import MatchRequest
from contract.terms import STRANGER

_MATCH = kind_of(MatchRequest)


@dataclass(frozen=True, slots=True)
class Passage:
    """Who was recognised where, and with which outcome; another outcome of the same person is no repeat."""

    device_ip: str
    identity_id: str
    outcome: str


@dataclass(frozen=True, slots=True)
class First:
    """The first match of a passage: the id of its event, and its time of arrival (epoch seconds)."""

    event_id: str
    received_time: float


Firsts = Mapping[Passage, First]
"""The first match of each passage of the last moments."""


def passage_of(event: Event) -> Passage | None:
    """Return what a later match can repeat, or what this match may repeat; None: the event takes no part in repeats.

    These take no part: other calls, strangers, refused requests, requests without device_ip, pictures in which several
    people were recognised, and requests that were sent again (retries and replays).
    """
    if event.kind != _MATCH or event.error is not None or event.outcome == STRANGER:
        return None
    if not event.identity_id or not event.device_ip or event.retry_of is not None or event.replay_of is not None:
        return None
    if any(face.identity_id not in ("", event.identity_id) for face in event.searched):
        return None
    return Passage(event.device_ip, event.identity_id, event.outcome)


def first_of(event: Event, firsts: Firsts, window_s: float) -> First | None:
    """Return the match that the event repeats, or None. `window_s`: the length of the window in seconds."""
    passage = passage_of(event)
    first = None if passage is None else firsts.get(passage)
    if first is None or first.event_id == event.id or abs(event.received_time - first.received_time) >= window_s:
        return None
    return first


def as_repeat(event: Event, first_id: str) -> Event:
    """Return the small event of a repeat: who, where, when and how near. What was measured is in the evidence alone.

    `first_id`: the id of the event of the first match.
    """
    return structs.replace(
        event,
        repeat_of=first_id,
        identity_info=None,
        picture=None,
        pictures=(),
        faces=None,
        face=None,
        quality=(),
        quality_score=None,
        liveness=None,
        attributes=None,
        card=None,
        grab_fiqa_info=None,
        timings_ms={},
    )
