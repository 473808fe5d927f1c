"""What the store of events keeps of each event, and what can be asked of it. Pure.

The store is filled by the sql sink from the events topic; an ingress asks it. `EventStore` is the port between both.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from contract.events import Event
from contract.operator_error import OperatorError

MOST_COUNTED = 100_000
"""The number of events up to which a count is exact; a greater count is answered as this number plus one."""
MOST_PER_PAGE = 1000
SHOWN_KINDS = ("match", "compare")
"""The kinds of events that are meant where a question names none."""
PERCENT_AT_THRESHOLD = 82.0
"""The score that a cosine at the threshold has on the percent scale, by the vendor's default."""

Grouping = Literal["day", "device", "outcome"]


class StoreUnavailable(OperatorError):
    """The store of events cannot be read or written now; the message is a sentence for an operator."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredEvent:
    """An event as the store has it.

    Times are in epoch seconds. `device_id`, `device_name`, `group_id` and `permission_id` are those of the site when
    the event was stored; "" where there was none. `score` is on the wire's scale, `percent` on the percent scale, both
    None where nothing was compared. `picture`: the sha256 (hex) of the picture, which the log has as long as requests.
    `request`: topic, partition and offset of the request. `detail`: the box of the face and the attributes, as the
    event has them. `infrared`: whether the liveness mode needed an infrared picture.
    """

    id: str
    kind: str
    outcome: str
    compare_time: float
    received_time: float
    identity_id: str = ""
    name: str = ""
    person_type: int | None = None
    score: float | None = None
    percent: float | None = None
    device_ip: str = ""
    device_id: str = ""
    device_name: str = ""
    group_id: str = ""
    group_name: str = ""
    permission_id: str = ""
    permission_name: str = ""
    want_action: str = "0"
    picture: str = ""
    infrared: bool = False
    request: tuple[str, int, int] = ("", 0, 0)
    repeat_of: str = ""
    replay_of: str = ""
    detail: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class EventFilter:
    """The events that are asked for: those that meet every condition that is not None.

    `since` and `until`: epoch seconds, by compare_time, both included. `name`: the name contains that text; upper and
    lower case are equal. `least` and `most`: the score on the percent scale. The sequences name the allowed values;
    `kinds` None: `SHOWN_KINDS`. `repeats` and `replays`: whether events of repeats and of replays are included.
    """

    since: float | None = None
    until: float | None = None
    name: str | None = None
    identity_id: str | None = None
    least: float | None = None
    most: float | None = None
    person_type: int | None = None
    kinds: Sequence[str] | None = None
    outcomes: Sequence[str] | None = None
    group_ids: Sequence[str] | None = None
    device_ids: Sequence[str] | None = None
    repeats: bool = False
    replays: bool = False


@dataclass(frozen=True, slots=True)
class EventPage:
    """A page of events, the newest by compare_time first. `total`: of all pages, at most `MOST_COUNTED` + 1."""

    events: Sequence[StoredEvent]
    total: int


@dataclass(frozen=True, slots=True)
class EventCount:
    """The number of events of one day (as YYYY-MM-DD, in UTC), device and outcome; "" where not grouped by it."""

    day: str
    device_id: str
    outcome: str
    count: int


def percent_of(cosine: float, threshold: float) -> float:
    """Return a cosine on the scale of 0 to 100: piecewise linear through (0, 0), (threshold, 82) and (1, 100).

    Both are between -1 and 1; a threshold outside of 0..1 (exclusive) is taken as the nearest one inside.
    """
    middle = min(max(threshold, 1e-6), 1 - 1e-6)
    if cosine < middle:
        return max(0.0, cosine) / middle * PERCENT_AT_THRESHOLD
    return PERCENT_AT_THRESHOLD + (min(cosine, 1.0) - middle) / (1 - middle) * (100.0 - PERCENT_AT_THRESHOLD)


def event_percent(event: Event) -> float | None:
    """Return the score of an event on the scale of `percent_of`; None: it has no score.

    Events of version 0.1.0 have no cosine, and their score may be one.
    """
    threshold = event.threshold
    if event.score is None or threshold is None:
        return None
    if event.cosine is not None and threshold.cosine is not None:
        return percent_of(event.cosine, threshold.cosine)
    return percent_of(event.score, threshold.value) if threshold.value <= 1 else event.score


class EventStore(Protocol):
    """The store of events. Every method takes as long as the database, so it is called in a thread.

    All methods raise StoreUnavailable where the store cannot be used.
    """

    def page(self, wanted: EventFilter, skip: int, limit: int) -> EventPage:
        """Return at most `limit` of the wanted events, without the first `skip`, and how many there are."""
        ...

    def event(self, event_id: str) -> StoredEvent | None:
        """Return an event; None: the store has none with this id."""
        ...

    def events(self, event_ids: Sequence[str]) -> Mapping[str, StoredEvent]:
        """Return events by their ids; those that the store does not have are missing."""
        ...

    def counts(self, wanted: EventFilter, by: Sequence[Grouping]) -> Sequence[EventCount]:
        """Return the numbers of the wanted events, grouped by `by`, in the order of these groupings."""
        ...
