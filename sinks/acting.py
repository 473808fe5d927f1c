"""Whether an event may open a door: the rule of sinks that act. Pure; the time is an argument.

A receiver that acts gets an event at most once, only about a person who was matched and only within moments of the
passage. So an event is never delivered to it again, and never after an interruption.
"""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from contract.events import Event
from contract.terms import LIVENESS_ORDER, PERSON_STRANGER, LivenessMode

WhyNot = Literal["not_matched", "again", "late", "clock", "margin", "liveness", "backlog"]
"""Why a receiver that acts does not get an event. `again`: the event is of a replay, a retry or a repeat. `clock`: the
request arrived in the future, so this machine's clock and that of the ingress differ."""

CLOCK_DIFFERENCE_S = 0.25
"""How far the ingress's clock may be ahead of that of the sink. A receiver may act for as much longer than `valid_s`,
so it is no more than what clocks differ by that NTP keeps."""


class Acting(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """When a receiver acts; the table `acting` of a sink's settings."""

    valid_s: Annotated[float, Meta(gt=0, le=60)] = 2.0
    """Seconds after the arrival of the request in which the receiver may act, by the clock of the sink."""
    margin: Annotated[float, Meta(ge=0, le=1)] = 0.0
    """How far the cosine must be above the threshold."""
    liveness: LivenessMode = "liveness_off"
    """The least liveness mode that the face must have passed."""


def why_not(event: Event, acting: Acting, now_s: float) -> WhyNot | None:
    """Return why a receiver must not act on the event; None: it may.

    `now_s`: epoch seconds by the clock of the sink.
    """
    if event.kind != "match" or event.outcome != "matched" or event.retcode != "1":
        return "not_matched"
    if event.person_type == PERSON_STRANGER:
        return "not_matched"  # a processor of an older version writes such an event
    if event.replay_of is not None or event.retry_of is not None or event.repeat_of is not None:
        return "again"
    age_s = now_s - event.received_time
    if age_s > acting.valid_s:
        return "late"
    if age_s < -CLOCK_DIFFERENCE_S:
        return "clock"
    if not _is_clear(event, acting.margin):
        return "margin"
    return None if _is_live(event, acting.liveness) else "liveness"


def _is_clear(event: Event, margin: float) -> bool:
    threshold = None if event.threshold is None else event.threshold.cosine
    return event.cosine is not None and threshold is not None and event.cosine >= threshold + margin


def _is_live(event: Event, least: LivenessMode) -> bool:
    if least == LIVENESS_ORDER[0]:
        return True
    found = event.liveness
    return found is not None and found.passed and LIVENESS_ORDER.index(found.mode) >= LIVENESS_ORDER.index(least)
