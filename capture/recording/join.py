"""Joins requests and events by the place and the id of the request. Pure.

The log may have a request twice, with the same id; each of the two has its own event, which names its place. An event
of an earlier requests topic of the same name may name the place of another request, so the id counts too. Such events
are in a log that was restored from a backup: its requests have new places, and their events name the former ones. So a
request whose own event does not come gets the event that has its id and its time of arrival.

The events of the requests of one partition have their own partition, the same for all of them, and their order is that
of the requests, because a lane commits in offset order. So a request has no event where a later request of its
partition has one. Events may be read before their requests; events of requests that were read and not taken are
dropped.
"""

from collections import deque
from collections.abc import Collection
from dataclasses import dataclass
from heapq import heapify, heappop, heappush
from itertools import count
from operator import itemgetter

from contract.events import Event, RequestPlace
from contract.kinds import kind_of
from contract.requests import MatchRequest

_MATCH = kind_of(MatchRequest)

_MANY_AHEAD = 10_000
"""The number of events ahead of their requests from which on those are looked for that will never be needed."""
_FORMER_S = 3600.0
"""An event ahead of its request that arrived so much earlier than others names a place of an earlier topic: the clocks
of ingresses differ less, and requests wait less."""

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
        self._ahead: dict[int, _Ahead] = {}
        self._newest: dict[int, Event] = {}
        self._newest_taken_s = 0.0

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
        self._newest_taken_s = max(self._newest_taken_s, pending.request.received_time_s)

    def pass_by(self, partition: int, offset: int) -> None:
        """Note that all requests of that partition up to and including that offset were read."""
        self._passed[partition] = offset + 1
        ahead = self._ahead.get(partition)
        if ahead is not None:
            for decided in ahead.up_to(offset):
                self._keep(decided)

    def decide(self, event: Event, written_ms: int) -> None:
        """Add an event; only the first event of a request counts. `written_ms`: when it was written."""
        if event.kind != _MATCH:
            return
        partition = event.request.partition
        self._newest[partition] = event
        decided = Decided(event, written_ms)
        if event.request.offset >= self._passed.get(partition, 0):
            self._ahead.setdefault(partition, _Ahead()).add(decided, self._newest_taken_s)
        else:
            self._keep(decided)

    def open_partitions(self) -> Collection[int]:
        """Return the partitions in which a request waits for its event."""
        return {p.place.partition for p in self._waiting if _key(p) not in self._decided and self._open(p)}

    def is_due(self, now_s: float) -> bool:
        """Return whether the first request that waits is given up at that time, if its event was not written."""
        return bool(self._waiting) and self._waiting[0].give_up_s <= now_s

    def ready(self, give_up_before_s: float | None) -> list[tuple[Pending, Decided | None]]:
        """Remove and return the first requests, with their events, up to the first that still waits for its event.

        A request that waits is given up if its `give_up_s` is at most `give_up_before_s`. A request without an event
        has None.
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
            found.append((pending, self._of_former_place(pending) if decided is None else decided))
        return found

    def _keep(self, decided: Decided) -> None:
        place = decided.event.request
        key = (place.partition, place.offset, decided.event.id)
        if key in self._wanted:
            self._decided.setdefault(key, decided)

    def _of_former_place(self, pending: Pending) -> Decided | None:
        """Remove and return the event of a request that names the place of the request in an earlier topic."""
        found = (ahead.of_request(pending.request) for ahead in self._ahead.values())
        return next((decided for decided in found if decided is not None), None)

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


class _Ahead:
    """The events of one partition that name places of requests which were not read yet."""

    def __init__(self) -> None:
        self._by_place: list[tuple[int, int, Decided]] = []
        """A heap by offset, and then by a number of the event."""
        self._by_id: dict[str, tuple[int, Decided]] = {}
        """The first event of each request id, with its number."""
        self._used: set[int] = set()
        """The numbers of events that were removed by their id and are still in the heap."""
        self._numbers = count()
        self._look_again_at = _MANY_AHEAD

    def __len__(self) -> int:
        return len(self._by_place) - len(self._used)

    def add(self, decided: Decided, newest_taken_s: float) -> None:
        """Add an event. `newest_taken_s`: the latest time of arrival of a request that was read."""
        number = next(self._numbers)
        self._by_id.setdefault(decided.event.id, (number, decided))
        heappush(self._by_place, (decided.event.request.offset, number, decided))
        if len(self._by_place) >= self._look_again_at:
            self._forget(newest_taken_s - _FORMER_S)

    def up_to(self, offset: int) -> list[Decided]:
        """Remove and return the events of requests up to and including an offset."""
        found = []
        while self._by_place and self._by_place[0][0] <= offset:
            _, number, decided = heappop(self._by_place)
            if number in self._used:
                self._used.remove(number)
                continue
            if self._by_id.get(decided.event.id) == (number, decided):
                del self._by_id[decided.event.id]
            found.append(decided)
        return found

    def of_request(self, request: MatchRequest) -> Decided | None:
        """Remove and return the event with the id and the time of arrival of a request; None: there is none."""
        number, decided = self._by_id.get(request.request_id, (0, None))
        if decided is None or decided.event.received_time != request.received_time_s:
            return None
        del self._by_id[request.request_id]
        self._used.add(number)
        return decided

    def _forget(self, before_s: float) -> None:
        """Drop the events that were used, and those of requests that arrived before a time (epoch seconds)."""
        self._by_place = [
            (offset, number, decided)
            for offset, number, decided in self._by_place
            if number not in self._used and decided.event.received_time >= before_s
        ]
        heapify(self._by_place)
        self._by_id = {}
        for _, number, decided in sorted(self._by_place, key=itemgetter(1)):
            self._by_id.setdefault(decided.event.id, (number, decided))
        self._used.clear()
        self._look_again_at = max(_MANY_AHEAD, 2 * len(self._by_place))


def _key(pending: Pending) -> _Key:
    return pending.place.partition, pending.place.offset, pending.request.request_id
