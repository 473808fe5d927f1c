"""Who is let in: limits, and each peer's part of them. No I/O. What is over a limit is shed at once.

Whether a call comes in is asked twice: at its head, before a byte of its body is read, and when all of it is here.
"""

from collections import Counter

from ingest.line import Line, Shed, ShedReason

_PATIENCE = 0.6
"""Of the deadline: how long the last in the line may be expected to wait for its answer. The rest is for what is not
expected."""
_SHARE = 2
"""One peer may hold this many times the memory that it leaves to others: alone two thirds of all, one of n peers
2 / (2n + 1). So whatever the others hold, there is always room for one that comes (dynamic thresholds, Choudhury and
Hahne 1998)."""
_CROWDING = 3
"""How many times the calls of a peer another must have in flight, so that one of them makes way. With less, callers who
are much alike would push each other out, and be refused after a wait instead of at once."""
_LOG_SHARE = 0.75
"""Of the calls in flight: those that may be in the log; at least the rest can be taken in turns."""


class Admission:
    """Counts calls in flight and bytes held, for each peer. One event loop owns it.

    `leave` and `release` must follow every successful `enter` and `hold`.
    """

    def __init__(self, max_in_flight: int, max_held_bytes: int, deadline_s: float) -> None:
        self.max_in_flight = max_in_flight
        self.max_held_bytes = max_held_bytes
        self.draining = False
        self.line = Line(max(1, int(max_in_flight * _LOG_SHARE)), deadline_s)
        """In front of the requests topic."""
        self.admin_line = Line(max(1, int(max_in_flight * _LOG_SHARE)), deadline_s)
        """In front of the admin topic: another lane decides there, and an import must delay no match."""
        self._longest_s = _PATIENCE * deadline_s
        self._in_flight: Counter[str] = Counter()
        self._held: Counter[str] = Counter()

    @property
    def in_flight(self) -> int:
        """Calls that are served now."""
        return self._in_flight.total()

    @property
    def held_bytes(self) -> int:
        """Bytes of bodies and answers that are held now."""
        return self._held.total()

    def require_room(self, peer: str, size: int = 0, *, log_available: bool, line: Line | None) -> None:
        """Ask for a place without taking it: a call whose body is still on its way must keep nobody else out. `size`:
        the bytes of its body, as far as it tells them. `line`: the one that it will wait in; None: it does not go
        through the log.

        Raises:
            Shed: the server is stopping, full, or without its log.
        """
        if self.draining:
            raise self.shed("draining", "the server is stopping; try again")
        if not log_available:
            raise self.shed("log", "the log cannot be reached now; try again")
        self._makes_way(peer, line)
        self._require_memory(peer, size)

    def enter(self, peer: str, line: Line | None) -> None:
        """Let one call in, which has arrived completely; a server that is stopping still finishes it. `line`: the one
        that it will wait in; None: it does not go through the log.

        When all places are taken, or the line is as long as it may be, the newest waiting call of the peer that has
        most makes way, if that peer has more than three times as many in flight as this one will have.

        Raises:
            Shed: the server is full.
        """
        crowded = self._makes_way(peer, line)
        if crowded is not None:
            crowded.push_out("turn", "too many requests from one address at a time; try again")
        self._in_flight[peer] += 1

    def leave(self, peer: str) -> None:
        """One call of that peer has been answered."""
        _take_off(self._in_flight, peer, 1)

    def hold(self, peer: str, size: int) -> None:
        """Account for `size` more bytes in memory.

        Raises:
            Shed: that would be more than this peer, or all together, may hold.
        """
        self._require_memory(peer, size)
        self._held[peer] += size

    def release(self, peer: str, size: int) -> None:
        """Those bytes are gone."""
        _take_off(self._held, peer, size)

    def shed(self, reason: ShedReason, message: str) -> Shed:
        """A refusal for want of room."""
        return Shed(reason, message)

    def line_of(self, *, administrative: bool) -> Line:
        """The line in front of the topic of such requests."""
        return self.admin_line if administrative else self.line

    def _makes_way(self, peer: str, line: Line | None) -> Line | None:
        """The line in which another call must make way for one of that peer; None: there is room.

        Raises:
            Shed: there is none, and nobody who would make way.
        """
        late_in = line if line is not None and self._comes_too_late(peer, line) else None
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

    def _comes_too_late(self, peer: str, line: Line) -> bool:
        answer_s = line.answer_s
        if not self._in_flight[peer]:
            # Slow answers to others are no reason to refuse who has nothing under way: only a call that is let in can
            # tell that they are no longer slow.
            answer_s = min(answer_s, self._longest_s / 2)
        return line.wait_s(peer) + answer_s > self._longest_s

    def _require_memory(self, peer: str, size: int) -> None:
        free = self.max_held_bytes - self.held_bytes - size
        if free < 0 or self._held[peer] + size > _SHARE * free:
            raise self.shed("memory", "the requests and answers in flight are too large together; try again")


def _take_off(counter: Counter[str], peer: str, amount: int) -> None:
    counter[peer] -= amount
    if counter[peer] <= 0:
        del counter[peer]
