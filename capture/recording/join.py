"""Joins requests and events by the place and the id of the request. Pure.

The log may have a request twice, with the same id; each of the two has its own event, which names its place. An event
of an earlier requests topic of the same name may name the place of another request, so the id counts too.

The events of the requests of one partition have their own partition, the same for all of them, and their order is that
of the requests, because a lane commits in offset order. So a request has no event where a later request of its
partition has one. Events may be read before their requests; events of requests that were read and not taken are
dropped.
"""

from collections import deque
from collections.abc import Collection
from dataclasses import dataclass

from contract.events import Event, RequestPlace
from contract.kinds import kind_of
from contract.requests import MatchRequest

_MATCH = kind_of(MatchRequest)

_Key = tuple[int, int, str]
"""Partition, offset and id of a request."""


@dataclass(frozen=True, slots=True, eq=False)
class Pending:
    """A request that is to be recorded, its place, and when it was written (epoch seconds).

    `give_up_s`: from this time on it may be recorded without a decision.
    """

    request: MatchRequest
    place: RequestPlace
    written_s: float
    give_up_s: float


@dataclass(frozen=True, slots=True, eq=False)
class Decided:
    """An event, and the time at which it was written (epoch milliseconds)."""

    event: Event
    written_ms: int


class Join:
    """The requests that are to be recorded, in order, and the events that were read for them."""

    def __init__(self) -> None:
        self._waiting: deque[Pending] = deque()
        self._wanted: set[_Key] = set()
        self._decided: dict[_Key, Decided] = {}
        self._passed: dict[int, int] = {}
        self._ahead: dict[int, deque[Decided]] = {}
        self._newest: dict[int, Event] = {}

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def kept_events(self) -> int:
        """The number of events in memory."""
        return len(self._decided) + sum(map(len, self._ahead.values()))

    def take(self, pending: Pending) -> None:
        """Add a request to be recorded."""
        self._waiting.append(pending)
        self._wanted.add(_key(pending))

    def pass_by(self, partition: int, offset: int) -> None:
        """Note that all requests of that partition up to and including that offset were read."""
        self._passed[partition] = offset + 1
        ahead = self._ahead.get(partition)
        while ahead and ahead[0].event.request.offset <= offset:
            self._keep(ahead.popleft())

    def decide(self, event: Event, written_ms: int) -> None:
        """Add an event; only the first event of a request counts. `written_ms`: when it was written."""
        if event.kind != _MATCH:
            return
        partition = event.request.partition
        self._newest[partition] = event
        if event.request.offset >= self._passed.get(partition, 0):
            self._ahead.setdefault(partition, deque()).append(Decided(event, written_ms))
        else:
            self._keep(Decided(event, written_ms))

    def open_partitions(self) -> Collection[int]:
        """Return the partitions in which a request waits for its event."""
        return {p.place.partition for p in self._waiting if _key(p) not in self._decided and self._open(p)}

    def is_due(self, now_s: float) -> bool:
        """Return whether the first request that waits is given up at that time, if its event was not written."""
        return bool(self._waiting) and self._waiting[0].give_up_s <= now_s

    def ready(self, give_up_before_s: float | None) -> list[tuple[Pending, Decided | None]]:
        """Remove and return the first requests, with their events, up to the first that still waits for its event.

        A request that waits is given up, and has None as its event, if its `give_up_s` is at most `give_up_before_s`.
        """
        found = []
        while self._waiting:
            pending = self._waiting[0]
            key = _key(pending)
            decided = self._decided.get(key)
            is_given_up = give_up_before_s is not None and pending.give_up_s <= give_up_before_s
            if decided is None and not is_given_up and self._open(pending):
                break
            self._waiting.popleft()
            self._wanted.discard(key)
            self._decided.pop(key, None)
            found.append((pending, decided))
        return found

    def _keep(self, decided: Decided) -> None:
        place = decided.event.request
        key = (place.partition, place.offset, decided.event.id)
        if key in self._wanted:
            self._decided.setdefault(key, decided)

    def _open(self, pending: Pending) -> bool:
        """Return whether the event of the request may still come.

        The event of a request that arrived earlier shows nothing, although its offset is higher: it belongs to an
        earlier requests topic of the same name.
        """
        newest = self._newest.get(pending.place.partition)
        return (
            newest is None
            or newest.request.offset <= pending.place.offset
            or newest.received_time < pending.request.received_time_s
        )


def _key(pending: Pending) -> _Key:
    return pending.place.partition, pending.place.offset, pending.request.request_id
