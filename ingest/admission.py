"""Admission of calls: the limits on calls and memory, and the share of each peer. No I/O.

A call beyond a limit is shed at once. Every call is checked twice: when its head has arrived, before any byte of its
body is read, and again when the whole call has arrived.
"""

from collections import Counter

from ingest.line import Line, Shed, ShedReason

_PATIENCE = 0.6
"""Share of the deadline that the last call in the line may be expected to wait for its answer; the remainder is for
unexpected delays."""
_SHARE = 2
"""One peer may reserve this many times the memory that is free for others: a peer alone two thirds of all memory, each
of n peers 2 / (2n + 1). So there is always memory for one more peer (dynamic thresholds, Choudhury and Hahne 1998)."""
_CROWDING = 3
"""A waiting call of one peer is shed for a call of another peer only where the first peer has more than this many times
as many calls in flight. A smaller factor would let similar peers displace each other's calls, which would then be
refused after a wait instead of at once."""
_LOG_SHARE = 0.75
"""Share of the calls in flight that may be in the log; the others wait in a line, in which peers take turns."""


class Admission:
    """Counts the calls in flight and the reserved bytes of each peer. Belongs to one event loop.

    Every successful `enter` must be followed by `leave`, every successful `reserve` by `release`.
    """

    def __init__(self, max_in_flight: int, max_reserved_bytes: int, deadline_s: float) -> None:
        self.max_in_flight = max_in_flight
        self.max_reserved_bytes = max_reserved_bytes
        self.draining = False
        self.line = Line(max(1, int(max_in_flight * _LOG_SHARE)), deadline_s)
        """The line of calls that wait to write to the requests topic."""
        self.admin_line = Line(max(1, int(max_in_flight * _LOG_SHARE)), deadline_s)
        """The line of calls that wait to write to the admin topic; separate, so that an import delays no match."""
        self._longest_s = _PATIENCE * deadline_s
        self._in_flight: Counter[str] = Counter()
        self._reserved: Counter[str] = Counter()

    @property
    def in_flight(self) -> int:
        """The number of calls in flight."""
        return self._in_flight.total()

    @property
    def reserved_bytes(self) -> int:
        """The number of bytes of bodies and answers in memory."""
        return self._reserved.total()

    def require_room(self, peer: str, size: int = 0, *, log_available: bool, line: Line | None) -> None:
        """Check that a call could be admitted, without admitting it.

        A call whose body has not arrived yet takes no place, so that it cannot keep another call out. `size`: the
        declared bytes of the body, 0 if unknown. `line`: the line in which the call will wait; None: the call writes
        nothing to the log.

        Raises:
            Shed: the server is stopping or full, or the log cannot be reached.
        """
        if self.draining:
            raise self.shed("draining", "the server is stopping; try again")
        if not log_available:
            raise self.shed("log", "the log cannot be reached now; try again")
        self._line_to_shorten(peer, line)
        self._require_memory(peer, size)

    def enter(self, peer: str, line: Line | None) -> None:
        """Admit one call that has arrived completely; a server that is stopping still finishes such calls.

        `line`: the line in which the call will wait; None: the call writes nothing to the log. When all places are
        taken, or the answer would come too late, the newest waiting call of the peer with the most calls in flight is
        shed instead, if that peer has more than three times as many calls in flight as this peer will have.

        Raises:
            Shed: the server is full.
        """
        crowded = self._line_to_shorten(peer, line)
        if crowded is not None:
            crowded.push_out("turn", "too many requests from one address at a time; try again")
        self._in_flight[peer] += 1

    def leave(self, peer: str) -> None:
        """Count one call of the peer as answered."""
        _take_off(self._in_flight, peer, 1)

    def reserve(self, peer: str, size: int) -> None:
        """Reserve `size` more bytes for a peer.

        Raises:
            Shed: the limit of this peer, or of all peers together, would be exceeded.
        """
        self._require_memory(peer, size)
        self._reserved[peer] += size

    def release(self, peer: str, size: int) -> None:
        """Release reserved bytes of a peer."""
        _take_off(self._reserved, peer, size)

    def shed(self, reason: ShedReason, message: str) -> Shed:
        """Return the refusal of a request for load."""
        return Shed(reason, message)

    def line_of(self, *, administrative: bool) -> Line:
        """Return the line of calls that wait to write administrative or other requests."""
        return self.admin_line if administrative else self.line

    def _line_to_shorten(self, peer: str, line: Line | None) -> Line | None:
        """Return the line whose newest call must be shed to admit a call of the peer; None: there is room.

        Raises:
            Shed: there is no room, and no call that may be shed instead.
        """
        late_in = line if line is not None and self._would_be_late(peer, line) else None
        if late_in is None and self.in_flight < self.max_in_flight:
            return None
        lines = (self.line, self.admin_line) if late_in is None else (late_in,)
        waiting = [(self._in_flight[found], each) for each in lines if (found := each.largest()) is not None]
        most, crowded = max(waiting, key=lambda pair: pair[0], default=(0, None))
        if most > _CROWDING * (self._in_flight[peer] + 1):
            return crowded
        if late_in is not None:
            late_in.turned_away()
            raise self.shed("wait", "too many requests at a time: the answer would come too late; try again")
        raise self.shed("in_flight", "too many requests at a time; try again")

    def _would_be_late(self, peer: str, line: Line) -> bool:
        answer_s = line.answer_s
        if not self._in_flight[peer]:
            # A peer without calls in flight is not refused because answers to others were slow: only the answer to an
            # admitted call can show that the processors have become faster.
            answer_s = min(answer_s, self._longest_s / 2)
        return line.wait_s(peer) + answer_s > self._longest_s

    def _require_memory(self, peer: str, size: int) -> None:
        free = self.max_reserved_bytes - self.reserved_bytes - size
        if free < 0 or self._reserved[peer] + size > _SHARE * free:
            raise self.shed("memory", "the requests and answers in flight are too large together; try again")


def _take_off(counter: Counter[str], peer: str, amount: int) -> None:
    counter[peer] -= amount
    if counter[peer] <= 0:
        del counter[peer]
