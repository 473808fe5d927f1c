"""Whose turn is it? Pure: waiting calls, in turns by peer.

Peers take turns, however many calls each has waiting, so a peer alone gets every turn and a peer among n at least one
in n. A peer that had no call waiting is fresh: every third turn goes to the fresh ones, so that a caller who comes now
and then waits a turn or two instead of a whole round behind callers who are always there. Once it has had its turn it
joins the round, and leaves it only when the round reaches it with nothing waiting. (The two lists are those of
fq_codel, RFC 8290; that its new list could starve its old one is why it has a part of the turns only here.)
"""

from collections import OrderedDict, deque
from typing import Generic, TypeVar

T = TypeVar("T")

_TURNS_OF_THE_ROUND = 2
"""For each turn of a fresh peer, while both wait: so those in the round wait at most half as long again."""


class Turns(Generic[T]):
    """Entries that wait, by peer. The lists are never longer than the entries that wait and the peers of one round."""

    def __init__(self) -> None:
        self._waiting: dict[str, deque[T]] = {}
        self._fresh: OrderedDict[str, None] = OrderedDict()
        self._round: OrderedDict[str, None] = OrderedDict()
        self._turns_since_fresh = _TURNS_OF_THE_ROUND
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def waiting(self, peer: str) -> int:
        """How many entries of that peer wait."""
        return len(self._waiting.get(peer, ()))

    def put(self, peer: str, entry: T) -> None:
        """An entry waits behind the others of its peer."""
        if peer not in self._round and peer not in self._fresh:
            self._fresh[peer] = None
        self._waiting.setdefault(peer, deque()).append(entry)
        self._count += 1

    def take(self) -> T | None:
        """The entry whose turn it is, which waits no more; None when nothing waits."""
        if not self._count:
            return None
        self._skip_absent()
        fresh_is_next = self._turns_since_fresh >= _TURNS_OF_THE_ROUND
        turn_of_fresh = bool(self._fresh) and (fresh_is_next or not self._round)
        peer, _ = (self._fresh if turn_of_fresh else self._round).popitem(last=False)
        self._turns_since_fresh = 0 if turn_of_fresh else self._turns_since_fresh + 1
        entry = self._waiting[peer].popleft()
        self._round[peer] = None
        self._left(peer)
        return entry

    def remove(self, peer: str, entry: T) -> bool:
        """That entry waits no more; False: it did not wait."""
        try:
            self._waiting.get(peer, deque()).remove(entry)
        except ValueError:
            return False
        self._left(peer)
        return True

    def rounds(self, peer: str) -> int:
        """How many turns the peers of this round have until one more entry of that peer has its own, as others keep
        coming: a round for each of its entries. 0 for a peer that would be fresh."""
        if peer not in self._round and peer not in self._fresh:
            return 0
        return (self.waiting(peer) + 1) * (len(self._round) + len(self._fresh))

    def largest(self) -> str | None:
        """The peer that has most entries waiting."""
        return max(self._waiting, key=self.waiting, default=None)

    def push_out(self) -> T | None:
        """The newest entry of the peer that has most, which waits no more; None when nothing waits."""
        peer = self.largest()
        if peer is None:
            return None
        entry = self._waiting[peer].pop()
        self._left(peer)
        return entry

    def _left(self, peer: str) -> None:
        self._count -= 1
        if not self._waiting[peer]:
            del self._waiting[peer]
            self._fresh.pop(peer, None)
        if not self._count:
            self._round.clear()
            self._turns_since_fresh = _TURNS_OF_THE_ROUND

    def _skip_absent(self) -> None:
        """Let those leave the round who stand at its front with nothing waiting."""
        while self._round:
            peer = next(iter(self._round))
            if peer in self._waiting:
                return
            del self._round[peer]
