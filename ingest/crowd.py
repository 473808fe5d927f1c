"""The open connections by peer, and the choice of the connection that is closed for a new one. Pure."""

from collections import Counter, OrderedDict
from collections.abc import Iterator
from enum import Enum
from itertools import chain
from typing import Generic, TypeVar

C = TypeVar("C")


class State(Enum):
    """The state of a connection: idle; receiving the head or body of a request; or a request of it is in flight."""

    IDLE = 1
    ARRIVING = 2
    SERVED = 3


class Crowd(Generic[C]):
    """The open connections by peer. `C`: the hashable type of a connection."""

    def __init__(self) -> None:
        self._connections: dict[C, tuple[str, State]] = {}
        self._counts: Counter[str] = Counter()
        # The connections of each peer and state, in the order in which they entered the state.
        self._order: dict[tuple[str, State], OrderedDict[C, None]] = {}

    def __len__(self) -> int:
        return len(self._connections)

    def __contains__(self, connection: object) -> bool:
        return connection in self._connections

    def count(self, peer: str) -> int:
        """Return the number of connections of a peer."""
        return self._counts[peer]

    def add(self, connection: C, peer: str) -> None:
        """Add a new connection of a peer, which is idle."""
        self._connections[connection] = (peer, State.IDLE)
        self._counts[peer] += 1
        self._order.setdefault((peer, State.IDLE), OrderedDict())[connection] = None

    def remove(self, connection: C) -> None:
        """Remove a connection that is closed, or is being closed; an unknown connection is ignored."""
        known = self._connections.pop(connection, None)
        if known is None:
            return
        self._leave(connection, known)
        self._counts[known[0]] -= 1
        if not self._counts[known[0]]:
            del self._counts[known[0]]

    def set_state(self, connection: C, state: State) -> None:
        """Set the state of a connection; an unknown connection is ignored."""
        known = self._connections.get(connection)
        if known is None or known[1] is state:
            return
        self._leave(connection, known)
        self._connections[connection] = (known[0], state)
        self._order.setdefault((known[0], state), OrderedDict())[connection] = None

    def to_close(self, newcomer: str) -> C | None:
        """Return the connection to close for a new one of the peer `newcomer`; None: no connection may be closed.

        The peers are tried in the order of their numbers of connections, the largest first. The choice is the
        connection of a peer that has been idle for longest. Where a peer has no idle connection, the choice is the one
        whose request has been arriving for longest, but only if the newcomer has fewer connections, the new one
        included. No connection is closed of a peer that has fewer connections than the newcomer, and none whose request
        is in flight.
        """
        own = self._counts[newcomer]
        for peer, count in chain(self._counts.most_common(1), self._ranked()):
            if count < own:
                break
            found = self._closable(peer, own)
            if found is not None:
                return found
        return None

    def _ranked(self) -> Iterator[tuple[str, int]]:
        """Yield the peers, those with the most connections first; sorting begins only when the first is requested."""
        yield from self._counts.most_common()

    def _closable(self, peer: str, own: int) -> C | None:
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
