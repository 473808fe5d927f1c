"""Posts the requests of a capture to a server, as their devices did, and reports what differs."""

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Any, Literal

import pybase64

from capture.differences import differences, is_refusal_to_work
from capture.reader import CaptureReader
from capture.rows import Difference
from clients.errors import CannotRun
from clients.http import Client, NoAnswer, all_or_first_error
from contract.captures.convert import body_fields
from contract.captures.values import CaptureError, CaptureLine
from contract.http import MATCH_PATH, is_request_id

Rate = Literal["as-recorded", "max"]
GIVE_UP_AFTER = 20
"""The number of lines in a row without an answer after which the replay ends, because the server is gone."""


@dataclass(frozen=True, slots=True)
class LineResult:
    """The result of one line.

    `trouble`: the reason why the line could not be posted or was not decided. `differences`: where `trouble` is None,
    the differences; None means that the line contains nothing to compare with.
    """

    number: int
    request_id: str
    differences: tuple[Difference, ...] | None = None
    trouble: str | None = None


@dataclass(slots=True)
class ReplayTally:
    """The numbers of lines by result."""

    same: int = 0
    different: int = 0
    not_compared: int = 0
    could_not_run: int = 0

    def add(self, result: LineResult) -> None:
        """Count the result of one line."""
        if result.trouble is not None:
            self.could_not_run += 1
        elif result.differences is None:
            self.not_compared += 1
        elif result.differences:
            self.different += 1
        else:
            self.same += 1

    @property
    def lines(self) -> int:
        """The number of all counted lines."""
        return self.same + self.different + self.not_compared + self.could_not_run

    @property
    def exit_status(self) -> int:
        """The exit status of the command: 0 if all compared lines are the same, 1 if a line differs, 2 if a line could
        not be run or no line was compared."""
        if self.could_not_run or not (self.same or self.different):
            return 2
        return 1 if self.different else 0


async def replay(
    capture: CaptureReader,
    client: Client,
    report: Callable[[LineResult], None],
    *,
    concurrency: int = 4,
    score_tolerance: float = 1e-3,
    rate: Rate = "max",
) -> None:
    """Post every line and report its result as soon as the server answers.

    Args:
        capture: The capture to post.
        client: The entered client of the server.
        report: Called once per line.
        concurrency: The number of calls at a time; 1 keeps the order of the capture.
        score_tolerance: Scores that differ by at most this count as the same.
        rate: `as-recorded` keeps the recorded times between requests; `max` posts without waiting.

    Raises:
        CannotRun: no server can be reached, the server demands an API key, or it does not answer any more.
        CaptureError: the capture was changed during the replay.
    """
    run = _Run(capture, client, report, score_tolerance, rate)
    with closing(capture.lines()) as lines:
        await all_or_first_error(*(run.work(lines) for _ in range(concurrency)))


class _Run:
    """The state that the workers of one replay share."""

    def __init__(
        self,
        capture: CaptureReader,
        client: Client,
        report: Callable[[LineResult], None],
        score_tolerance: float,
        rate: Rate,
    ) -> None:
        self._capture = capture
        self._client = client
        self._report = report
        self._score_tolerance = score_tolerance
        self._pace = _Pace() if rate == "as-recorded" else None
        self._answered = False
        self._unanswered_in_a_row = 0

    async def work(self, lines: Iterator[tuple[int, CaptureLine]]) -> None:
        """Post lines until the iterator ends; all workers take lines from the same iterator, in order."""
        for number, line in lines:
            if self._pace is not None and line.received_time is not None:
                await self._pace.wait(line.received_time)
            self._report(await self._one(number, line))

    async def _one(self, number: int, line: CaptureLine) -> LineResult:
        try:
            body = await asyncio.to_thread(_body, self._capture, line)
        except CaptureError as error:
            return LineResult(number, line.request_id, trouble=str(error))
        try:
            recorded = line.decision is not None and is_request_id(line.request_id)
            original = line.request_id if recorded else None
            answer = await self._client.post(MATCH_PATH, body, original)
        except NoAnswer as error:
            self._unanswered_in_a_row += 1
            if not self._answered and not error.reached:
                raise error.final() from error
            if self._unanswered_in_a_row >= GIVE_UP_AFTER:
                raise CannotRun(f"{GIVE_UP_AFTER} requests in a row had no answer; the last error: {error}") from error
            return LineResult(number, line.request_id, trouble=str(error))
        self._answered = True
        self._unanswered_in_a_row = 0
        if is_refusal_to_work(answer):
            return LineResult(number, line.request_id, trouble=f"the server did not decide ({answer.error_text})")
        return LineResult(number, line.request_id, differences(line, answer, self._score_tolerance))


class _Pace:
    """Delays requests so that the times between them are as recorded."""

    def __init__(self) -> None:
        self._first: tuple[float, float] | None = None

    async def wait(self, recorded_s: float) -> None:
        """Wait until a request that was recorded at that time (epoch seconds) is due."""
        if self._first is None:
            self._first = (recorded_s, time.monotonic())
        first_s, began_s = self._first
        await asyncio.sleep(max(0.0, began_s + recorded_s - first_s - time.monotonic()))


def _body(capture: CaptureReader, line: CaptureLine) -> dict[str, Any]:
    body = body_fields(line.request)
    body["rgb_image_base64"] = pybase64.b64encode_as_string(capture.picture(line.request.picture))
    if line.request.ir_picture is not None:
        body["ir_image_base64"] = pybase64.b64encode_as_string(capture.picture(line.request.ir_picture))
    return body
