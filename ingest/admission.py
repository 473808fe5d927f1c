"""Who is let in: plain counters, no I/O. What is over a limit is shed at once instead of queueing."""

from dataclasses import dataclass

from engine.errors import Code, RequestRefused


class Shed(RequestRefused):
    """Refused for want of room; `reason` is a metric's label."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(Code.OVERLOADED, message)
        self.reason = reason


@dataclass(slots=True)
class Admission:
    """Counts calls in flight and bytes held. One event loop owns it.

    `leave` and `release` must follow every successful `enter` and `hold`.
    """

    max_in_flight: int
    max_held_bytes: int
    in_flight: int = 0
    held_bytes: int = 0
    draining: bool = False

    def require_room(self, *, log_available: bool) -> None:
        """Ask for a place without taking it: a call whose body is still on its way must keep nobody else out.

        Raises:
            Shed: the server is stopping, full, or without its log.
        """
        if self.draining:
            raise self.shed("draining", "the server is stopping; try again")
        if not log_available:
            raise self.shed("log", "the log cannot be reached now; try again")
        if self.in_flight >= self.max_in_flight:
            raise self._full()

    def enter(self) -> None:
        """Let one call in, which has arrived completely; a server that is stopping still finishes it.

        Raises:
            Shed: the server is full.
        """
        if self.in_flight >= self.max_in_flight:
            raise self._full()
        self.in_flight += 1

    def leave(self) -> None:
        """One call has been answered."""
        self.in_flight -= 1

    def hold(self, size: int) -> None:
        """Account for `size` more bytes in memory.

        Raises:
            Shed: that would be more than all requests together may hold.
        """
        if self.held_bytes + size > self.max_held_bytes:
            raise self.shed("memory", "the requests and answers in flight are too large together; try again")
        self.held_bytes += size

    def release(self, size: int) -> None:
        """Those bytes are gone."""
        self.held_bytes -= size

    def _full(self) -> Shed:
        return self.shed("in_flight", "too many requests at a time; try again")

    def shed(self, reason: str, message: str) -> Shed:
        """A refusal for want of room."""
        return Shed(reason, message)
