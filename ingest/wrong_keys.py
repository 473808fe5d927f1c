"""Limits how fast API keys can be guessed. Pure: the clock is an argument.

Each peer (`ingest.peer.peer_key`) may send a burst of wrong keys, and then a number of wrong keys a second. A key
beyond this allowance is refused without a comparison, whether it is right or wrong, so faster guessing reveals nothing
more. No call waits, so guessing occupies no connection. A peer that sent a right key within the last hour has a larger
allowance, so that a guesser who shares its address (behind one router) does not lock it out with a few guesses. While
the keys of the people topic are not read yet, a key of that topic counts as wrong, so that keys of the settings cannot
be guessed meanwhile; its sender is let in a few seconds after the start at the latest.
"""

from collections import OrderedDict
from dataclasses import dataclass

CAPACITY = 4096
PROVEN_S = 3600.0


@dataclass(frozen=True, slots=True)
class Allowance:
    """A peer may send `burst` wrong keys at once, and then `per_second` wrong keys a second."""

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
    """The wrong keys of at most `capacity` peers; beyond, the peer whose last key is oldest is forgotten."""

    def __init__(self, capacity: int = CAPACITY) -> None:
        self._capacity = capacity
        self._entries: OrderedDict[str, _Entry] = OrderedDict()

    def __len__(self) -> int:
        return len(self._entries)

    def wait_s(self, peer: str, now_s: float) -> float:
        """Return the seconds from `now_s` (monotonic) until a key of the peer is compared again; 0: now."""
        entry = self._entries.get(peer)
        if entry is None:
            return 0.0
        allowance = _allowance(entry, now_s)
        return max(0.0, (_spent(entry, now_s) + 1 - allowance.burst) / allowance.per_second)

    def right(self, peer: str, now_s: float) -> None:
        """Record a right key of a peer."""
        self._touched(peer, now_s).proven_until_s = now_s + PROVEN_S

    def wrong(self, peer: str, now_s: float) -> bool:
        """Record a wrong key of a peer; return whether the peer's next key would be refused without a comparison."""
        self._touched(peer, now_s).spent += 1
        return self.wait_s(peer, now_s) > 0

    def _touched(self, peer: str, now_s: float) -> _Entry:
        """Return the entry of a peer, updated to `now_s` and moved to the end of the order of forgetting."""
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
