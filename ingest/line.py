"""The line of calls that wait to write to the log, which limits the number of requests in the log.

Only as many requests are in the log as keep the processors busy; the other calls wait in the line. In the line, the
peers take turns (ingest.turns), and a call that would be answered too late can be refused early; requests that are
already in the log allow neither.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Literal

from contract.answers import Reply
from contract.errors import Code, Refused
from ingest.pace import Pace, Sent
from ingest.turns import Turns

_LATEST_SHARE = 0.5
"""The largest share of the deadline that is reserved for processing while a call waits."""


ShedReason = Literal[
    "wait", "turn", "late", "in_flight", "memory", "connections", "log", "processor", "people", "draining"
]
"""The reason why a request is shed, which can be sent again; ingest.metrics explains each reason."""


class Shed(Refused):
    """A request is refused for load; `reason` is a label in metrics."""

    def __init__(self, reason: ShedReason, message: str) -> None:
        super().__init__(Code.OVERLOADED, message)
        self.reason = reason


class Place:
    """The state of a call while its requests are in the log: whether they were appended, and the reply."""

    def __init__(self, sent: Sent) -> None:
        self.sent = sent
        self.appended = False
        self.reply: Reply | None = None


Waiting = asyncio.Future[None]
"""A waiting call: a future that is done when the call has its turn, or that raises the refusal of the call."""


class Line:
    """The calls that wait to write to one topic of the log. Belongs to one event loop.

    Args:
        most_in_log: the greatest value of `limit`.
        deadline_s: the seconds from the arrival of a call to its answer.
    """

    def __init__(self, most_in_log: int, deadline_s: float) -> None:
        self._pace = Pace(most_in_log)
        self._turns: Turns[Waiting] = Turns()
        self._deadline_s = deadline_s
        self._in_log = 0
        self._turned_away = False

    @property
    def limit(self) -> int:
        """The number of calls whose requests may be in the log at the same time."""
        return self._pace.limit

    @property
    def in_log(self) -> int:
        """The number of calls whose requests are in the log."""
        return self._in_log

    @property
    def length(self) -> int:
        """The number of calls that wait for their turn."""
        return len(self._turns)

    def largest(self) -> str | None:
        """Return the peer with the most waiting calls; None where no call waits."""
        return self._turns.largest()

    def wait_s(self, peer: str) -> float:
        """Return the seconds for which the last call would wait for its turn if the peer had one more call in the line;
        0 until answers have been measured."""
        if self._in_log < self.limit and not self._turns:
            return 0.0
        return max(len(self._turns) + 1, self._turns.rounds(peer)) * self._pace.interval_s

    @property
    def answer_s(self) -> float:
        """The seconds from the turn to the answer of nearly all calls; 0 until answers have been measured."""
        return self._pace.answer_s if self._in_log else 0.0

    def turned_away(self) -> None:
        """Record that a call was refused because its answer would be late, so more work exists than is admitted."""
        self._turned_away = True

    def push_out(self, reason: ShedReason, message: str) -> None:
        """Refuse the newest waiting call of the peer with the most waiting calls."""
        waiting = self._turns.push_out()
        if waiting is not None:
            _refuse(waiting, reason, message)

    @asynccontextmanager
    async def turn(self, peer: str, wait_until: float, turns: int = 1) -> AsyncIterator[Place]:
        """Wait for the turn of a call; inside the block, the requests of the call may be in the log.

        The block sets `appended` and `reply` of the place. `wait_until`: the deadline of the answer, a time of the
        event loop. `turns`: how many turns a call costs that waits, because its request takes so many times the work.

        Raises:
            Shed: the answer would be late, or the call was refused in favour of another peer.
        """
        loop = asyncio.get_running_loop()
        must_wait = self._in_log >= self.limit or bool(self._turns)
        if must_wait:
            await self._wait(peer, wait_until, turns)
        else:
            self._in_log += 1
        place = Place(self._pace.sent(loop.time(), had_waited=must_wait))
        try:
            yield place
        finally:
            self._in_log -= 1
            self._learn(place, loop.time())
            self._let_in()

    async def _wait(self, peer: str, wait_until: float, turns: int) -> None:
        loop = asyncio.get_running_loop()
        waiting: Waiting = loop.create_future()
        self._turns.put(peer, waiting, turns)
        latest = wait_until - min(self._pace.answer_s, _LATEST_SHARE * self._deadline_s)
        timer = loop.call_at(latest, self._too_late, peer, waiting)
        self._let_in()
        try:
            await waiting
        except asyncio.CancelledError:
            if not self._turns.remove(peer, waiting) and not waiting.cancelled() and waiting.exception() is None:
                # The call got its turn in the same moment; the next call gets that turn instead.
                self._in_log -= 1
                self._let_in()
            raise
        finally:
            timer.cancel()

    def _too_late(self, peer: str, waiting: Waiting) -> None:
        if self._turns.remove(peer, waiting):
            _refuse(waiting, "late", "too many requests at a time: this request waited too long; try again")

    def _let_in(self) -> None:
        while self._in_log < self.limit and (waiting := self._turns.take()) is not None:
            if not waiting.done():
                self._in_log += 1
                waiting.set_result(None)

    def _learn(self, place: Place, now: float) -> None:
        if place.reply is None:
            if place.appended:
                self._pace.unanswered(place.sent, now)
            return
        contended = bool(self._turns) or self._turned_away
        self._turned_away = False
        effort = place.reply.effort
        self._pace.answered(place.sent, now, contended=contended, waited_s=effort.waited_s if effort else None)
        while len(self._turns) * self._pace.interval_s > self._deadline_s:
            self.push_out("wait", "too many requests at a time; try again")


def _refuse(waiting: Waiting, reason: ShedReason, message: str) -> None:
    if not waiting.done():
        waiting.set_exception(Shed(reason, message))
