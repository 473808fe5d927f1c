"""The exchange between HTTP calls and the log: it appends requests and returns their replies."""

import asyncio
import logging
from collections.abc import Callable, Sequence

from broker.outages import OutageLog
from broker.port import Broker, BrokerError, NewRecord, RecordTooLarge
from contract.answers import Answer, RefusedAnswer, Reply
from contract.codec import encode
from contract.errors import Code, Refusal, Refused
from contract.requests import Headers, MatchRequest, Request
from contract.topics import Topics
from ingest.admission import Admission
from ingest.attendance import Attendance
from ingest.call import Call
from ingest.correlator import Correlator, ReplyUndecodable
from ingest.render import refused

_log = logging.getLogger(__name__)

# The part of the deadline that is reserved for sending the answer where no reply has arrived.
ANSWER_MARGIN_S = 0.02

AsOfNow = Callable[[Request], Request]
"""Returns a request with the same id as it is to be written now."""


def timed_out() -> Refused:
    """Return the refusal 50480: no reply within the deadline."""
    return Refused(Code.TIMEOUT, "no answer within the deadline; try again")


class Exchange:
    """Sends requests and waits for their replies."""

    def __init__(
        self, broker: Broker, topics: Topics, correlator: Correlator, admission: Admission, attendance: Attendance
    ) -> None:
        self._broker = broker
        self._topics = topics
        self._correlator = correlator
        self._admission = admission
        self._attendance = attendance
        self._outages = OutageLog(_log)

    @property
    def gallery_version(self) -> int:
        """The newest gallery version that a reply has named."""
        return self._correlator.gallery_version

    def available(self) -> bool:
        """Return whether requests can be written and their replies be read now."""
        return self._correlator.positioned and self._broker.available()

    def require_processor(self) -> None:
        """Return where a processor answers requests, or where one more request may be sent to find out.

        Raises:
            Shed: no processor answers.
        """
        if not self._attendance.admits(asyncio.get_running_loop().time()):
            raise self._admission.shed("processor", "no processor answers requests now; try again")

    async def ask(self, call: Call, request: Request, as_of_now: AsOfNow = lambda request: request) -> Reply:
        """Send the one request of a call and return its reply; `as_of_now` as for `ask_all`.

        Raises:
            Refused: the processor's refusal, or 50480, 50380, 41300.
        """
        (outcome,) = await self.ask_all(call, (request,), as_of_now)
        if isinstance(outcome, Refusal):
            raise Refused.of(outcome)
        return outcome

    async def ask_all(
        self, call: Call, requests: Sequence[Request], as_of_now: AsOfNow = lambda request: request
    ) -> Sequence[Reply | Refusal]:
        """Send the requests of a call and return, for each, its reply or a refusal.

        When the call has its turn, either all requests are appended to the log together, or none of them. A call may
        have waited long for its turn: what is appended is the result of `as_of_now`, which is called at that moment.

        Raises:
            Refused: 50380, 41300 or 50480: it is not certain that the requests are in the log.
        """
        if call.line is None:
            raise RuntimeError("a call without a line has sent a request")
        turns = max((len(request.pictures) for request in requests if isinstance(request, MatchRequest)), default=1)
        async with call.line.turn(call.peer, call.wait_until - ANSWER_MARGIN_S, turns) as place:
            futures = [self._correlator.expect(request.request_id) for request in requests]
            try:
                # The processors may have stopped since the call was admitted.
                self.require_processor()
                await self._append([self._record(as_of_now(request), call) for request in requests], call.wait_until)
                self._correlator.sent(request.request_id for request in requests)
                place.appended = True
                remaining_s = call.wait_until - ANSWER_MARGIN_S - asyncio.get_running_loop().time()
                await asyncio.wait(futures, timeout=max(remaining_s, 0))
                outcomes = [_outcome(future) for future in futures]
                place.reply = _last_reply(futures)
                return outcomes
            finally:
                for request in requests:
                    self._correlator.forget(request.request_id)

    async def _append(self, records: Sequence[NewRecord], wait_until: float) -> None:
        try:
            async with asyncio.timeout_at(wait_until - ANSWER_MARGIN_S):
                await self._broker.append(records)
            self._outages.recovered("requests can be written again")
        except TimeoutError:
            raise timed_out() from None
        except RecordTooLarge:
            raise Refused(Code.PAYLOAD_TOO_LARGE, "the request is larger than the log accepts") from None
        except BrokerError as error:
            if not error.retriable:
                self._outages.failed(f"requests cannot be written ({error})", logging.ERROR)
            raise self._admission.shed("log", "the log cannot be written now; try again") from None

    def _record(self, request: Request, call: Call) -> NewRecord:
        headers = (
            (Headers.REQUEST_ID, request.request_id.encode()),
            *self._correlator.headers(),
            (Headers.DEADLINE_MS, b"%d" % (int(call.received_time_s * 1000) + call.settings.deadline_ms)),
            (Headers.GALLERY_VERSION, b"%d" % self._correlator.gallery_version),
            *(((Headers.ACTOR, encode(call.actor)),) if request.administrative else ()),
            *(() if call.replay_of is None else ((Headers.REPLAY_OF, call.replay_of.encode()),)),
            *(() if call.trace is None else call.trace.headers),
        )
        topic = self._topics.of_requests(administrative=request.administrative)
        return NewRecord(topic, request.key, encode(request), headers)


def _last_reply(futures: Sequence[asyncio.Future[Reply]]) -> Reply | None:
    """Return the reply to the last request; None where it has not arrived or cannot be decoded."""
    last = futures[-1]
    return last.result() if last.done() and not last.cancelled() and last.exception() is None else None


def _outcome(future: asyncio.Future[Reply]) -> Reply | Refusal:
    if not future.done() or future.cancelled():
        return timed_out().refusal
    failure = future.exception()
    if failure is not None:
        if isinstance(failure, ReplyUndecodable):
            return Refusal(Code.INTERNAL_ERROR, "the reply cannot be read")
        raise failure
    reply = future.result()
    answer: Answer = reply.answer
    return refused(answer) if isinstance(answer, RefusedAnswer) else reply
