"""One partition of the requests: processed in parallel, decided and committed in the log's order.

Invariants: results leave in offset order; a commit covers a run of finished records from the front; at most one commit
is under way; after a failed commit everything in the lane is forgotten and delivered again; what nobody waits for any
more when its turn to be committed comes is recorded as expired.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from itertools import accumulate, islice, takewhile
from typing import Any

from broker.outages import OutageLog
from broker.port import BrokerError, GroupMember, Record, RecordTooLarge, UnknownTopic
from engine.calls.unreadable import UNREADABLE_DECISION
from processor.outputs import Emission, Emitter
from processor.people import PeopleAccess
from processor.processing import Failure, Processed, unreadable

log = logging.getLogger(__name__)

_COMMITTED_TOGETHER = 64
"""Results in one transaction: enough that the commits of a long queue cost little, few enough to stay small."""

_COMMITTED_BYTES = 16 * 1024 * 1024
"""Of the requests whose results are in one transaction; a single one may be larger."""

_RETRY_FIRST_S, _RETRY_MOST_S = 0.05, 2.0


@dataclass(frozen=True, slots=True)
class LaneHooks:
    """What a lane tells its processor: what follows from a request was committed; so many records left the lane; a
    commit failed."""

    committed: Callable[[Emission], None]
    left: Callable[[int], None]
    failed: Callable[[], None]
    outages: OutageLog = field(default_factory=lambda: OutageLog(log))
    """Shared by all lanes, so that a log that cannot be written is not told by each of them."""


class NotMade(Exception):
    """What follows from a request could not be made; nothing of it is in the log."""


class Lane:
    """The records of one partition on their way from fetch to commit."""

    def __init__(
        self,
        partition: int,
        member: GroupMember,
        process: Callable[[Record], Coroutine[Any, Any, Processed]],
        expire: Callable[[Processed], Processed],
        emitter: Emitter,
        access: PeopleAccess,
        hooks: LaneHooks,
        commit_wait_s: float = 0.0,
    ) -> None:
        self._partition, self._member = partition, member
        self._process, self._expire, self._emitter = process, expire, emitter
        self._access, self._people = access, access.people
        self._hooks, self._commit_wait_s = hooks, commit_wait_s
        self._queue: deque[asyncio.Task[Processed]] = deque()
        self._filled = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._reply_partitions: int | None = None  # None: no reply is left out
        self._replies_missed = False

    def put(self, record: Record) -> None:
        """Take a fetched record; records come in offset order."""
        self._queue.append(asyncio.create_task(self._process(record)))
        self._filled.set()
        self._idle.clear()

    async def idle(self) -> None:
        """Wait until everything taken is committed (or forgotten)."""
        await self._idle.wait()

    async def run(self) -> None:
        """Commit what is finished, for ever.

        Raises:
            BrokerError: the log refused an output for good.
        """
        retry_s = _RETRY_FIRST_S
        try:
            while True:
                batch = await self._finished()
                try:
                    committed = await self._commit(batch)
                except BrokerError as error:
                    if not error.retriable:
                        raise
                    self._hooks.outages.failed(f"requests partition {self._partition}: {error}; trying again")
                    self._hooks.failed()
                    await self._start_over(retry_s)
                    retry_s = min(2 * retry_s, _RETRY_MOST_S)
                else:
                    retry_s = _RETRY_FIRST_S
                    self._hooks.outages.recovered("requests are committed again")
                    self._drop(committed)
        finally:
            self._forget()

    async def _finished(self) -> list[Processed]:
        """What can be committed together: finished results from the front, as many as one transaction may have."""
        while not self._queue:
            self._idle.set()
            self._filled.clear()
            await self._filled.wait()
        await self._queue[0]
        await self._gather_more()
        done = [task.result() for task in islice(takewhile(asyncio.Task.done, self._queue), _COMMITTED_TOGETHER)]
        sizes = accumulate(len(processed.record.value or b"") for processed in done)
        return done[: max(1, sum(size <= _COMMITTED_BYTES for size in sizes))]

    async def _gather_more(self) -> None:
        """Wait a moment for what is on its way behind a finished result; a lane without a backlog never waits.

        A transaction costs a log about the same whatever it holds, so a backlog goes faster in few.
        """
        loop = asyncio.get_running_loop()
        until = loop.time() + self._commit_wait_s
        while (left_s := until - loop.time()) > 0:
            front = islice(self._queue, _COMMITTED_TOGETHER)
            unfinished = next((task for task in front if not task.done()), None)
            if unfinished is None:
                return
            await asyncio.wait((unfinished,), timeout=left_s)

    async def _commit(self, batch: Sequence[Processed]) -> int:
        """How many of them, from the front, are committed now; without replies that have no partition any more."""
        self._reply_partitions = None
        while True:
            try:
                return await self._commit_or_instead(batch)
            except UnknownTopic as error:
                fewer = self._reply_partitions is None or error.partitions < self._reply_partitions
                if error.topic != self._emitter.topics.replies or not fewer:
                    raise
                self._reply_partitions = error.partitions
                if not self._replies_missed:
                    log.error(
                        "requests partition %d: replies are left out whose partition the replies topic does not have"
                        " (%s); whoever waits for them is answered TIMEOUT",
                        *(self._partition, error),
                    )
                    self._replies_missed = True

    async def _commit_or_instead(self, batch: Sequence[Processed]) -> int:
        try:
            made = await self._commit_together(batch)
        except (RecordTooLarge, NotMade) as error:
            if len(batch) > 1:
                return await self._commit_or_instead(batch[:1])
            # It would fail for ever, and with it everything behind it.
            request_id = batch[0].envelope.request_id
            log.error("request %s: its event could not be committed: %s", request_id, error, exc_info=error.__cause__)
            instead = self._instead(batch[0], "an output is larger than the log takes, or could not be made")
            await self._member.commit(self._partition, batch[0].record.offset + 1, instead.records)
            made = [instead]
        for emission in made:
            self._hooks.committed(emission)
        return len(batch)

    async def _commit_together(self, batch: Sequence[Processed]) -> list[Emission]:
        next_offset = batch[-1].record.offset + 1
        made = [self._emission(self._expire(e) if self._expired(e) else e) for e in batch]
        await self._member.commit(self._partition, next_offset, [record for one in made for record in one.records])
        return made

    def _expired(self, processed: Processed) -> bool:
        return processed.envelope.expired(self._emitter.clock())

    def _emission(self, processed: Processed) -> Emission:
        if processed.decision is not None:
            try:
                return self._sendable(self._emitter.of(processed, processed.decision, processed.gallery_version))
            except Exception:
                log.exception("request %s: its event could not be made", processed.envelope.request_id)
        return self._instead(processed, "the event could not be made")

    def _instead(self, processed: Processed, reason: str) -> Emission:
        """Event, error and dead letter of what cannot have its own."""
        failure = processed.failure or Failure("emit", reason)
        dead = unreadable(processed.record, processed.envelope, failure)
        return self._sendable(self._emitter.of(dead, UNREADABLE_DECISION, self._people.version))

    def _sendable(self, emission: Emission) -> Emission:
        if self._reply_partitions is None:
            return emission
        return emission.without_replies(self._emitter.topics.replies, self._reply_partitions)

    async def _start_over(self, pause_s: float) -> None:
        """Forget what was taken and have it delivered again, after a pause."""
        self._forget_decisions()
        self._member.pause(self._partition)
        await asyncio.sleep(pause_s)
        while True:
            try:
                await self._member.rewind(self._partition)
                break
            except BrokerError as error:
                if not error.retriable:
                    raise
                self._hooks.outages.failed(f"requests partition {self._partition} cannot be rewound yet: {error}")
                await asyncio.sleep(_RETRY_MOST_S)
        self._forget()
        self._member.resume(self._partition)

    def _forget_decisions(self) -> None:
        """Called before records are delivered again: the commit that failed may have been written all the same."""

    def _drop(self, count: int) -> None:
        for _ in range(count):
            self._queue.popleft()
        self._hooks.left(count)

    def _forget(self) -> None:
        for task in self._queue:
            task.cancel()
        self._drop(len(self._queue))
