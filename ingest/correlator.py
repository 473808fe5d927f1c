"""The correlator delivers each reply to the call that waits for it.

The ingress chooses one partition of the replies topic and reads it without a consumer group, so no rebalance can lose a
reply. The headers of each request name the topic, the partition and the instance; replies to other instances in the
same partition are skipped without decoding. A reply for which no call waits any more is counted and dropped.
"""

import asyncio
import contextlib
import logging
import random
import uuid
from collections.abc import Iterable, Mapping, Sequence
from types import TracebackType
from typing import Self

import msgspec

from broker.outages import OutageLog
from broker.port import Broker, BrokerError, BrokerUnavailable, Reader, Record, Start, UnknownTopic
from contract.answers import Reply, decode_reply
from contract.requests import Headers
from ingest.attendance import Attendance
from ingest.metrics import Metrics

_log = logging.getLogger(__name__)

_FETCH_S = 5.0
_FETCH_RECORDS = 256
_FIRST_BACKOFF_S = 0.1
_LAST_BACKOFF_S = 5.0


class ReplyUndecodable(Exception):
    """The reply to a request has arrived but cannot be decoded."""


class Correlator:
    """The reader of the replies to this ingress; an async context manager.

    Once `positioned` is True, no reply to a later request can be missed. On entering, it becomes True if the log can be
    reached; otherwise the correlator keeps trying, and sets `positioned` later.
    """

    def __init__(self, broker: Broker, topic: str, metrics: Metrics, attendance: Attendance) -> None:
        self._broker = broker
        self._attendance = attendance
        self._metrics = metrics
        self._waiting: dict[str, asyncio.Future[Reply]] = {}
        self._in_log: set[str] = set()
        self._positions: Mapping[int, int] | None = None
        self._task: asyncio.Task[None] | None = None
        self._outages = OutageLog(_log)
        self.topic = topic
        self.instance = uuid.uuid4().hex
        self.partition = 0
        self.positioned = False
        self.gallery_version = 0
        """The newest gallery version that a reply has named."""

    async def __aenter__(self) -> Self:
        reader = None
        with contextlib.suppress(BrokerUnavailable):
            reader = await self._open()
        self._task = asyncio.create_task(self._run(reader), name="correlator")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.positioned = False
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        for future in self._waiting.values():
            future.cancel()
        self._waiting.clear()
        self._in_log.clear()

    def expect(self, request_id: str) -> asyncio.Future[Reply]:
        """Return the future of the reply to a request; call `expect` before the request is appended, and `forget` at
        the end.

        The future raises ReplyUndecodable where the reply cannot be decoded.
        """
        future: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        self._waiting[request_id] = future
        return future

    def sent(self, request_ids: Iterable[str]) -> None:
        """Record that requests were written to the log; the replies to some of them may have arrived already."""
        unanswered = [request_id for request_id in request_ids if request_id in self._waiting]
        if unanswered:
            self._in_log.update(unanswered)
            self._attendance.sent(asyncio.get_running_loop().time())

    def forget(self, request_id: str) -> None:
        """Stop waiting for the reply to a request."""
        self._in_log.discard(request_id)
        future = self._waiting.pop(request_id, None)
        if future is not None and not future.done():
            future.cancel()

    def headers(self) -> tuple[tuple[str, bytes], ...]:
        """Return the headers of a request that name the destination of its reply."""
        return (
            (Headers.REPLY_TOPIC, self.topic.encode()),
            (Headers.REPLY_PARTITION, b"%d" % self.partition),
            (Headers.REPLY_INSTANCE, self.instance.encode()),
        )

    def accept(self, records: Sequence[Record]) -> None:
        """Deliver those of the records that are replies to this instance."""
        own = self.instance.encode()
        for record in records:
            if record.header(Headers.REPLY_INSTANCE) != own:
                self._metrics.replies.labels("foreign").inc()
                continue
            self._deliver(record)

    def _deliver(self, record: Record) -> None:
        request_id = (record.header(Headers.REQUEST_ID) or b"").decode("ascii", "replace")
        future = self._waiting.pop(request_id, None)
        self._in_log.discard(request_id)
        self._attendance.answered(asyncio.get_running_loop().time(), len(self._in_log))
        if future is None or future.done():
            self._metrics.replies.labels("late").inc()
            return
        try:
            reply = decode_reply(record.value or b"")
        except msgspec.MsgspecError:
            self._metrics.replies.labels("undecodable").inc()
            _log.error("the reply to request %s cannot be read", request_id)
            future.set_exception(ReplyUndecodable(request_id))
            return
        self.gallery_version = max(self.gallery_version, reply.gallery_version)
        self._metrics.replies.labels("delivered").inc()
        future.set_result(reply)

    async def _open(self) -> Reader:
        """Open a reader that continues at the position of the previous reader."""
        if self._positions is None:
            # The random choice spreads instances over the partitions; it needs no secrecy.
            self.partition = random.randrange(await self._broker.partitions(self.topic))  # noqa: S311
        start = Start.LATEST if self._positions is None else self._positions
        reader = self._broker.reader(self.topic, start, [self.partition])
        try:
            await reader.__aenter__()
        except UnknownTopic:
            self._positions = None  # the topic was created again without this partition: choose another one
            raise
        self._positions = dict(reader.positions())
        self.positioned = True
        return reader

    async def _run(self, reader: Reader | None) -> None:
        backoff_s = _FIRST_BACKOFF_S
        while True:
            try:
                if reader is None:
                    reader = await self._open()
                records = await reader.fetch(_FETCH_RECORDS, timeout_s=_FETCH_S)
                backoff_s = _FIRST_BACKOFF_S
                self._outages.recovered("the replies topic can be read again")
                self.accept(records)
                self._positions = dict(reader.positions())
            except asyncio.CancelledError:
                await _close(reader)
                raise
            except Exception as error:  # noqa: BLE001 - after any error of a reader the next one may work
                self.positioned = False
                self._metrics.reply_reader_errors.inc()
                if isinstance(error, BrokerError):
                    self._outages.failed(f"the replies topic cannot be read ({error}); trying again")
                else:
                    _log.exception("reading replies failed; trying again")
                await _close(reader)
                reader = None
                await asyncio.sleep(backoff_s)
                backoff_s = min(2 * backoff_s, _LAST_BACKOFF_S)


async def _close(reader: Reader | None) -> None:
    if reader is None:
        return
    try:
        await reader.__aexit__(None, None, None)
    except Exception as error:  # noqa: BLE001 - an error of a closed reader must not end the correlator
        _log.warning("a reader of the replies topic could not be closed (%s)", error or type(error).__name__)
