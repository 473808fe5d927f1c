"""Posts the requests of a capture to a server, as their devices did, and yields what differs: one row per line."""

import asyncio
import time
from collections import deque
from collections.abc import AsyncGenerator
from contextlib import closing
from dataclasses import dataclass

from capture.differences import differences, is_refusal_to_work
from capture.posted import Scale, as_version_5, call_of, decision_of_answer, scale_of_answer
from capture.reader import CaptureReader
from capture.rows import Row
from clients.answers import ServerAnswer
from clients.errors import CannotRun
from clients.http import Client, NoAnswer, UnknownCall
from contract.captures.values import CaptureError, CaptureLine
from contract.http import is_request_id

GIVE_UP_AFTER = 20
"""The number of lines in a row without an answer after which the replay ends, because the server is gone."""
NO_SEARCH = "the server has no search of version 6, so that the request was skipped"
_CLOCK_SET_BACK_S = 1.0
"""A request that was recorded earlier than the one before it by more than this shows that a clock was set back; by
less, that requests of several doors have passed each other."""
_AHEAD = 8
"""How many rows for each call at a time may wait for the row of an earlier line."""


@dataclass(frozen=True, slots=True)
class Posting:
    """How a capture is posted.

    Attributes:
        concurrency: the number of calls at a time; 1 keeps the order of the capture.
        speed: the requests are posted this many times faster than they were recorded; None: without waiting.
        deadline_s: at a recorded pace, a request that could not be sent for longer than this is not sent any more.
        replay_header: whether the calls name the requests that they replay (X-Replay-Of), so that the server leaves
            them out of its statistics; another server may refuse the header.
        scale: the scale of the server's scores; None: that of the capture, or percent where a score is above 1.
        score_tolerance: scores that differ by at most this count as the same.
    """

    concurrency: int = 4
    speed: float | None = None
    deadline_s: float = 3.0
    replay_header: bool = True
    scale: Scale | None = None
    score_tolerance: float = 1e-3


class Poster:
    """Posts one capture once. `late` counts the requests that were not sent because it was too late for them, and
    `skipped` those that the server has no call for. `client` must be entered."""

    def __init__(self, capture: CaptureReader, client: Client, how: Posting) -> None:
        self._capture, self._client, self._how = capture, client, how
        self._pace = None if how.speed is None else _Pace(how.speed)
        self._answered = False
        self._unanswered_in_a_row = 0
        self._has_search = True
        self.late = 0
        self.skipped = 0

    async def rows(self) -> AsyncGenerator[Row]:
        """Yield the row of every line, in the order of the lines.

        Raises:
            CannotRun: no server can be reached, the server demands an API key, or it does not answer any more.
            CaptureError: the capture was changed during the replay.
        """
        turns = asyncio.Semaphore(self._how.concurrency)
        waiting: deque[asyncio.Task[Row]] = deque()
        try:
            with closing(self._capture.lines()) as lines:
                for number, line in lines:
                    due_s = await self._due(line)
                    await turns.acquire()
                    task = asyncio.create_task(self._row(number, line, due_s))
                    task.add_done_callback(lambda _: turns.release())
                    waiting.append(task)
                    while waiting and (waiting[0].done() or len(waiting) > self._how.concurrency * _AHEAD):
                        yield await waiting.popleft()
            while waiting:
                yield await waiting.popleft()
        finally:
            for task in waiting:
                task.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)

    async def _due(self, line: CaptureLine) -> float | None:
        """Wait until a request is due, and return when it was (of the clock time.monotonic); None: at any time."""
        if self._pace is None or line.received_time is None:
            return None
        return await self._pace.wait(line.received_time)

    async def _row(self, number: int, line: CaptureLine, due_s: float | None) -> Row:
        if due_s is not None and (late_s := time.monotonic() - due_s) > self._how.deadline_s:
            self.late += 1
            reason = f"it was due {late_s:.1f} s ago, and nobody would have waited so long: it was not sent"
            return _trouble(number, line, reason)
        if line.request.by_permission and not self._has_search:
            return self._skip(number, line)
        try:
            path, body = await asyncio.to_thread(call_of, line, self._capture.picture)
        except CaptureError as error:
            return _trouble(number, line, str(error))
        began_s = time.monotonic()
        try:
            answer = await self._client.post(path, body, self._original(line))
        except UnknownCall:
            if not line.request.by_permission:
                raise
            self._has_search = False
            return self._skip(number, line)
        except NoAnswer as error:
            return _trouble(number, line, self._noted(error))
        latency_ms = (time.monotonic() - began_s) * 1000
        self._answered, self._unanswered_in_a_row = True, 0
        return self._compared(number, line, answer, latency_ms)

    def _compared(self, number: int, line: CaptureLine, answer: ServerAnswer, latency_ms: float) -> Row:
        if line.request.by_permission:
            answer = as_version_5(line, answer)
        if is_refusal_to_work(answer):
            return _trouble(number, line, f"the server did not decide ({answer.error_text})", latency_ms)
        scale = "percent" if line.request.by_permission else self._how.scale
        now = decision_of_answer(line, answer)
        return Row(
            number,
            line,
            "url",
            now,
            differences(line, answer, self._how.score_tolerance, scale),
            expected=line.expected_identity_id,
            latency_ms=latency_ms,
            scale=scale_of_answer(line.decision, scale, now.score),
        )

    def _skip(self, number: int, line: CaptureLine) -> Row:
        self.skipped += 1
        return Row(number, line, expected=line.expected_identity_id, remark=NO_SEARCH)

    def _original(self, line: CaptureLine) -> str | None:
        """Return the id of the request that the call names as the one that it replays; None: it names none."""
        recorded = line.decision is not None and is_request_id(line.request_id)
        return line.request_id if recorded and self._how.replay_header else None

    def _noted(self, error: NoAnswer) -> str:
        """Count a call without an answer, and return the reason in words.

        Raises:
            CannotRun: it is not worth while to go on.
        """
        self._unanswered_in_a_row += 1
        if not self._answered and not error.reached:
            raise error.final() from error
        if self._unanswered_in_a_row >= GIVE_UP_AFTER:
            raise CannotRun(f"{GIVE_UP_AFTER} requests in a row had no answer; the last error: {error}") from error
        return str(error)


class _Pace:
    """Delays requests so that the times between them are as recorded, divided by `speed`.

    No request is due before the one that came before it. Where the recorded clock was set back, the pace begins anew.
    """

    def __init__(self, speed: float) -> None:
        self._speed = speed
        self._first: tuple[float, float] | None = None
        self._last = (0.0, 0.0)  # of the request before: when it was recorded, and when it was due

    async def wait(self, recorded_s: float) -> float:
        """Wait until a request that was recorded at that time (epoch seconds) is due; return when it was due."""
        if self._first is None:
            self._first = self._last = (recorded_s, time.monotonic())
        if recorded_s < self._last[0] - _CLOCK_SET_BACK_S:
            self._first = (recorded_s, self._last[1])
        first_s, began_s = self._first
        due_s = max(began_s + (recorded_s - first_s) / self._speed, self._last[1])
        self._last = (recorded_s, due_s)
        await asyncio.sleep(max(0.0, due_s - time.monotonic()))
        return due_s


def _trouble(number: int, line: CaptureLine, reason: str, latency_ms: float | None = None) -> Row:
    return Row(number, line, "url", trouble=reason, expected=line.expected_identity_id, latency_ms=latency_ms)
