"""The order of waiting calls: peers take turns. Pure.

The turns do not depend on how many calls each peer has waiting: a peer alone gets every turn, a peer among n at least
one turn in n. A peer that had no waiting call before is fresh. Every third turn goes to fresh peers, so that a caller
with few calls waits for a turn or two instead of a whole round of the callers with many. After its turn a fresh peer
joins the round; it leaves the round when the round reaches it and it has no waiting call. These are the two lists of
fq_codel (RFC 8290), whose list of new flows can starve the list of old ones; here fresh peers get only a share of the
turns.

An entry may cost several turns: its peer then gives up as many of its next turns, less one (deficit round robin).
"""

from collections import OrderedDict, deque
from typing import Generic, TypeVar

T = TypeVar("T")

_TURNS_OF_THE_ROUND = 2
"""The turns of the round between two turns of fresh peers; so peers in the round wait at most half as long again."""


class Turns(Generic[T]):
    """The waiting entries by peer. Memory is bounded by the number of waiting entries and of peers in one round."""

    def __init__(self) -> None:
        self._waiting: dict[str, deque[tuple[T, int]]] = {}
        self._owed: dict[str, int] = {}
        self._fresh: OrderedDict[str, None] = OrderedDict()
        self._round: OrderedDict[str, None] = OrderedDict()
        self._turns_since_fresh = _TURNS_OF_THE_ROUND
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def waiting(self, peer: str) -> int:
        """Return the number of waiting entries of a peer."""
        return len(self._waiting.get(peer, ()))

    def put(self, peer: str, entry: T, turns: int = 1) -> None:
        """Add an entry, which costs so many turns, behind the other entries of its peer."""
        if peer not in self._round and peer not in self._fresh:
            self._fresh[peer] = None
        self._waiting.setdefault(peer, deque()).append((entry, turns))
        self._count += 1

    def take(self) -> T | None:
        """Remove and return the entry whose turn it is; None where no entry waits."""
        if not self._count:
            return None
        self._skip_absent()
        fresh_is_next = self._turns_since_fresh >= _TURNS_OF_THE_ROUND
        turn_of_fresh = bool(self._fresh) and (fresh_is_next or not self._round)
        peer, _ = (self._fresh if turn_of_fresh else self._round).popitem(last=False)
        self._turns_since_fresh = 0 if turn_of_fresh else self._turns_since_fresh + 1
        entry, turns = self._waiting[peer].popleft()
        self._round[peer] = None
        if turns > 1:
            self._owed[peer] = self._owed.get(peer, 0) + turns - 1
        self._left(peer)
        return entry

    def remove(self, peer: str, entry: T) -> bool:
        """Remove a waiting entry; return False where it did not wait."""
        entries = self._waiting.get(peer, deque())
        place = next((place for place, (waiting, _) in enumerate(entries) if waiting == entry), None)
        if place is None:
            return False
        del entries[place]
        self._left(peer)
        return True

    def rounds(self, peer: str) -> int:
        """Return the number of turns before one more entry of a peer gets its own; 0 for a peer that would be fresh.

        Each entry of the peer, and each turn that it owes, takes one round, if all peers of this round keep adding
        entries.
        """
        if peer not in self._round and peer not in self._fresh:
            return 0
        return (self.waiting(peer) + self._owed.get(peer, 0) + 1) * (len(self._round) + len(self._fresh))

    def largest(self) -> str | None:
        """Return the peer with the most waiting entries; None where no entry waits."""
        return max(self._waiting, key=self.waiting, default=None)

    def push_out(self) -> T | None:
        """Remove and return the newest entry of the peer with the most waiting entries; None where no entry waits."""
        peer = self.largest()
        if peer is None:
            return None
        entry, _ = self._waiting[peer].pop()
        self._left(peer)
        return entry

    def _left(self, peer: str) -> None:
        self._count -= 1
        if not self._waiting[peer]:
            del self._waiting[peer]
            self._fresh.pop(peer, None)
        if not self._count:
            self._round.clear()
            self._owed.clear()
            self._turns_since_fresh = _TURNS_OF_THE_ROUND

    def _skip_absent(self) -> None:
        """Remove peers without waiting entries from the front of the round; let peers there give up turns they owe."""
        while self._round:
            peer = next(iter(self._round))
            if peer not in self._waiting:
                del self._round[peer]
                self._owed.pop(peer, None)
            elif self._owed.get(peer):
                self._owed[peer] -= 1
                self._round.move_to_end(peer)
            else:
                return
