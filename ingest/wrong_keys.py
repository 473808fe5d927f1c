"""Slows down whoever guesses API keys. Pure: the clock is an argument.

Each peer (`ingest.peer.peer_key`) may send so many wrong keys at once, and so many a second from then on. An attempt
beyond that is not judged, be it right or wrong, and costs nothing: a guesser learns no more by hurrying. Nothing waits
here, so guessing holds no connection. A peer from which a right key came within the last hour has a larger allowance,
so that a stranger who shares its address (behind one router) locks nobody out by guessing now and then.
"""

from collections import OrderedDict
from dataclasses import dataclass

CAPACITY = 4096
PROVEN_S = 3600.0


@dataclass(frozen=True, slots=True)
class Allowance:
    """`burst` wrong keys at once, then `per_second`."""

    burst: int
    per_second: float


STRANGER = Allowance(burst=10, per_second=0.5)
PROVEN = Allowance(burst=100, per_second=20.0)


@dataclass(slots=True)
class _Entry:
    spent: float
    at_s: float
    proven_until_s: float


class WrongKeys:
    """Wrong keys by peer, of at most `capacity` peers: beyond, the one that was quiet longest is forgotten."""

    def __init__(self, capacity: int = CAPACITY) -> None:
        self._capacity = capacity
        self._entries: OrderedDict[str, _Entry] = OrderedDict()

    def __len__(self) -> int:
        return len(self._entries)

    def wait_s(self, peer: str, now_s: float) -> float:
        """How many seconds from `now_s` (monotonic) until a key from there is judged; 0: now."""
        entry = self._entries.get(peer)
        if entry is None:
            return 0.0
        allowance = _allowance(entry, now_s)
        return max(0.0, (_spent(entry, now_s) + 1 - allowance.burst) / allowance.per_second)

    def right(self, peer: str, now_s: float) -> None:
        """A right key came from there."""
        self._touched(peer, now_s).proven_until_s = now_s + PROVEN_S

    def wrong(self, peer: str, now_s: float) -> bool:
        """A wrong key came from there; whether it was the last one that is judged for now."""
        self._touched(peer, now_s).spent += 1
        return self.wait_s(peer, now_s) > 0

    def _touched(self, peer: str, now_s: float) -> _Entry:
        """The peer's entry, brought up to now and moved to the end of the queue of those to be forgotten."""
        entry = self._entries.get(peer)
        if entry is None:
            entry = self._entries[peer] = _Entry(0.0, now_s, now_s)
            if len(self._entries) > self._capacity:
                self._entries.popitem(last=False)
        else:
            entry.spent = _spent(entry, now_s)
            entry.at_s = now_s
            self._entries.move_to_end(peer)
        return entry


def _allowance(entry: _Entry, now_s: float) -> Allowance:
    return PROVEN if now_s < entry.proven_until_s else STRANGER


def _spent(entry: _Entry, now_s: float) -> float:
    return max(0.0, entry.spent - _allowance(entry, now_s).per_second * (now_s - entry.at_s))
