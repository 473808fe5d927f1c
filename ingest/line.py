"""The line in front of the log: only so many requests are in the log as the processors need; the others wait here.

Here they can be taken in turns by peer (ingest.turns) and refused while it is still early; in the log they could not.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Literal

from contract.errors import Code, Refused
from contract.messages import Reply
from ingest.pace import Pace, Sent
from ingest.turns import Turns

_LATEST_SHARE = 0.5
"""Of the deadline: the most that is kept for the log when a call waits, whatever the last answers took."""


ShedReason = Literal[
    "wait", "turn", "late", "in_flight", "memory", "connections", "log", "processor", "people", "draining"
]
"""Why a request is refused that can be sent again; ingest.metrics has the words."""


class Shed(Refused):
    """Refused for want of room; `reason` is a metric's label."""

    def __init__(self, reason: ShedReason, message: str) -> None:
        super().__init__(Code.OVERLOADED, message)
        self.reason = reason


class Place:
    """What a call holds while its requests are in the log."""

    def __init__(self, sent: Sent) -> None:
        self.sent = sent
        self.appended = False
        self.reply: Reply | None = None


Waiting = asyncio.Future[None]
"""A call that waits; done when it has its turn, or a refusal."""


class Line:
    """Lets calls into the log. One event loop owns it.

    Args:
        most_in_log: the limit of the limit.
        deadline_s: from the arrival of a call to its answer.
    """

    def __init__(self, most_in_log: int, deadline_s: float) -> None:
        self._pace = Pace(most_in_log)
        self._turns: Turns[Waiting] = Turns()
        self._deadline_s = deadline_s
        self._in_log = 0
        self._turned_away = False

    @property
    def limit(self) -> int:
        """How many calls may be in the log at a time."""
        return self._pace.limit

    @property
    def in_log(self) -> int:
        """How many calls are in the log."""
        return self._in_log

    @property
    def length(self) -> int:
        """How many calls wait for their turn."""
        return len(self._turns)

    def largest(self) -> str | None:
        """The peer that has most calls waiting."""
        return self._turns.largest()

    def wait_s(self, peer: str) -> float:
        """How long the last in the line would wait for its turn, with one more call of that peer, in seconds; 0 while
        nothing is known."""
        if self._in_log < self.limit and not self._turns:
            return 0.0
        return max(len(self._turns) + 1, self._turns.rounds(peer)) * self._pace.interval_s

    @property
    def answer_s(self) -> float:
        """How long nearly all calls wait for their answer once they have had their turn; 0 while nothing is known."""
        return self._pace.answer_s if self._in_log else 0.0

    def turned_away(self) -> None:
        """A call was refused because its answer would come too late: there is more work than is let in."""
        self._turned_away = True

    def push_out(self, reason: ShedReason, message: str) -> None:
        """Refuse the newest waiting call of the peer that has most."""
        waiting = self._turns.push_out()
        if waiting is not None:
            _refuse(waiting, reason, message)

    @asynccontextmanager
    async def turn(self, peer: str, wait_until: float) -> AsyncIterator[Place]:
        """Wait for the turn of a call of that peer; inside, it may be in the log. `wait_until`: when its answer must
        be there, a time of the event loop. Inside, set `appended` and `reply` of the place as they
        happen.

        Raises:
            Shed: it cannot be in time any more, or had to make way for others.
        """
        loop = asyncio.get_running_loop()
        must_wait = self._in_log >= self.limit or bool(self._turns)
        if must_wait:
            await self._wait(peer, wait_until)
        else:
            self._in_log += 1
        place = Place(self._pace.sent(loop.time(), had_waited=must_wait))
        try:
            yield place
        finally:
            self._in_log -= 1
            self._learn(place, loop.time())
            self._let_in()

    async def _wait(self, peer: str, wait_until: float) -> None:
        loop = asyncio.get_running_loop()
        waiting: Waiting = loop.create_future()
        self._turns.put(peer, waiting)
        latest = wait_until - min(self._pace.answer_s, _LATEST_SHARE * self._deadline_s)
        timer = loop.call_at(latest, self._too_late, peer, waiting)
        self._let_in()
        try:
            await waiting
        except asyncio.CancelledError:
            if not self._turns.remove(peer, waiting) and not waiting.cancelled() and waiting.exception() is None:
                # It had its turn in the same moment; somebody else gets it.
                self._in_log -= 1
                self._let_in()
            raise
        finally:
            timer.cancel()

    def _too_late(self, peer: str, waiting: Waiting) -> None:
        if self._turns.remove(peer, waiting):
            _refuse(waiting, "late", "too many requests at a time: this one waited too long; try again")

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
