"""Who is connected, and who must go when there is no room for one who comes. Pure."""

from collections import Counter, OrderedDict
from collections.abc import Iterator
from enum import Enum
from itertools import chain
from typing import Generic, TypeVar

C = TypeVar("C")


class State(Enum):
    """What a connection is doing: nothing; receiving a head or a body; or a request of it is being served."""

    IDLE = 1
    ARRIVING = 2
    SERVED = 3


class Crowd(Generic[C]):
    """The open connections by peer. `C`: whatever stands for a connection, hashable."""

    def __init__(self) -> None:
        self._connections: dict[C, tuple[str, State]] = {}
        self._counts: Counter[str] = Counter()
        # Of each state and peer, in the order in which they came to it.
        self._order: dict[tuple[str, State], OrderedDict[C, None]] = {}

    def __len__(self) -> int:
        return len(self._connections)

    def __contains__(self, connection: object) -> bool:
        return connection in self._connections

    def count(self, peer: str) -> int:
        """How many connections that peer has."""
        return self._counts[peer]

    def came(self, connection: C, peer: str) -> None:
        """A connection is open, and idle so far."""
        self._connections[connection] = (peer, State.IDLE)
        self._counts[peer] += 1
        self._order.setdefault((peer, State.IDLE), OrderedDict())[connection] = None

    def went(self, connection: C) -> None:
        """It is closed, or will be at once. One that is not known is let be."""
        known = self._connections.pop(connection, None)
        if known is None:
            return
        self._leave(connection, known)
        self._counts[known[0]] -= 1
        if not self._counts[known[0]]:
            del self._counts[known[0]]

    def is_now(self, connection: C, state: State) -> None:
        """It does something else now, or still the same. One that is not known is let be."""
        known = self._connections.get(connection)
        if known is None or known[1] is state:
            return
        self._leave(connection, known)
        self._connections[connection] = (known[0], state)
        self._order.setdefault((known[0], state), OrderedDict())[connection] = None

    def to_close(self, newcomer: str) -> C | None:
        """Whose connection makes way for a further one of that peer; None: nobody's.

        The longest idle one of the peer that has most; where it has no idle one, the one whose request has been
        arriving for longest, but only for a peer with fewer connections, this one included. Then of the next peer.
        Nobody makes way for a peer that has more than he, and no request that is being served is cut off.
        """
        own = self._counts[newcomer]
        for peer, count in chain(self._counts.most_common(1), self._ranked()):
            if count < own:
                break
            found = self._of(peer, own)
            if found is not None:
                return found
        return None

    def _ranked(self) -> Iterator[tuple[str, int]]:
        """The peers that have most first; sorted only when somebody asks."""
        yield from self._counts.most_common()

    def _of(self, peer: str, own: int) -> C | None:
        idle = self._order.get((peer, State.IDLE))
        if idle:
            return next(iter(idle))
        arriving = self._order.get((peer, State.ARRIVING))
        return next(iter(arriving)) if arriving and self._counts[peer] > own + 1 else None

    def _leave(self, connection: C, known: tuple[str, State]) -> None:
        order = self._order[known]
        del order[connection]
        if not order:
            del self._order[known]
