"""One transactional producer: begin, send, await every send, offsets, commit; or abort.

A producer that failed in any way but a clean abort is not used again: its owner starts another of the same name, which
makes the brokers finish or abort what the first left open.

Nor is one that has sent a request which it saw no answer to, though its transaction went well. Such a request was sent
again, and its first copy may arrive later. The library speaks the old protocol of transactions, in which a producer
keeps its epoch, so the brokers would take what is late of one transaction for a part of the next: an EndTxn would
commit it half done, a TxnOffsetCommit take the group's offset back. Of what bears a former epoch they take nothing.
What if the request for the epoch itself, InitProducerId, comes late or twice? It gives the name another epoch, so the
producer that was started is fenced: its transaction is aborted, never half done, and its owner starts another.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Self

from aiokafka import TopicPartition
from aiokafka.errors import IllegalOperation, KafkaError

from broker.kafka.clients import bounded, start_producer, stop_producer
from broker.kafka.config import KafkaConfig
from broker.kafka.errors import FENCED, broker_error
from broker.kafka.records import Checked, acknowledged, send
from broker.kafka.requests import Requests
from broker.port import BrokerUnavailable, Position

_ABORT_LIMIT_S = 3.0
_WRONG_STATE = (AssertionError, IllegalOperation)
"""How the library tells that its producer is in no state for what was asked; neither is one of its KafkaErrors."""

FollowUp = Callable[[Sequence[Position]], Awaitable[Sequence[Checked]]]


@dataclass(frozen=True, slots=True)
class GroupOffset:
    """Where a group goes on; `metadata` is kept with it."""

    group: str
    topic: str
    partition: int
    next_offset: int
    metadata: str = ""


class Writer:
    """A started producer. `usable` is False once it has failed; `fenced` when another has taken its name."""

    def __init__(self, producer: Any, limit_s: float, requests: Requests | None = None) -> None:
        """Requests that were lost while the producer started do not matter: none of them can bear its epoch."""
        self._producer = producer
        self._limit_s = limit_s
        self._requests = requests
        self._lost_before = 0 if requests is None else requests.lost
        self.usable = True
        self.fenced = False

    @classmethod
    async def start(cls, config: KafkaConfig, transactional_id: str) -> Self:
        """Fence whoever had this name, finish or abort what it left open.

        Raises:
            BrokerError: that did not succeed.
        """
        limit_s = config.transaction_timeout_ms / 1000
        try:
            producer = await start_producer(config.transactional(transactional_id), limit_s)
        except (KafkaError, TimeoutError, OSError) as error:
            raise broker_error(error, "starting a transactional producer") from error
        return cls(producer, limit_s, producer.requests)

    @property
    def answered(self) -> bool:
        """Whether every request was answered; if not, the next transaction has to be another writer's."""
        found = self._requests
        return found is None or (found.lost == self._lost_before and not found.under_way)

    async def close(self) -> None:
        """Stop the producer, bounded. A transaction that is under way is left to the next one of its name."""
        self.usable = False
        await stop_producer(self._producer)

    async def write(
        self, outputs: Sequence[Checked], then: Sequence[FollowUp] = (), offset: GroupOffset | None = None
    ) -> Sequence[Position]:
        """One transaction; the places of everything written.

        Raises:
            BrokerError: it was aborted; or, with BrokerUnavailable, it is not known whether it was committed.
            Exception: what one of `then` raised; it was aborted.
        """
        if not self.usable or not self.answered:
            raise BrokerUnavailable("the transactional producer is to be replaced")
        try:
            async with asyncio.timeout(self._limit_s):
                return await self._write(outputs, then, offset)
        except TimeoutError as error:
            self.usable = False
            raise broker_error(error, "a transaction") from error
        except KafkaError as error:
            self.usable = False
            self.fenced = isinstance(error, FENCED)
            raise broker_error(error, "a transaction") from error
        except _WRONG_STATE as error:
            self.usable = False
            raise BrokerUnavailable("a transaction cannot go on: its producer has failed") from error
        except asyncio.CancelledError:
            self.usable = False
            raise

    async def _write(
        self, outputs: Sequence[Checked], then: Sequence[FollowUp], offset: GroupOffset | None
    ) -> Sequence[Position]:
        await self._producer.begin_transaction()
        try:
            positions = step = await self._send(outputs)
            for follow_up in then:
                step = await self._send(await follow_up(tuple(step)))
                positions = positions + step
            # Only now: the group must not go on behind records that may be missing, whatever ends the transaction.
            await self._send_offset(offset)
        except BaseException:
            if not await self._abort_if_possible():
                self.usable = False
            raise
        await self._producer.commit_transaction()
        return positions

    async def _send(self, records: Sequence[Checked]) -> list[Position]:
        """All of them, to their ends: nothing may still be under way when the transaction is ended.

        Raises:
            PartitionGone: one of their partitions is gone.
            BaseException: what went wrong; what the brokers said rather than the wrong state that it left behind.
        """
        sent: list[asyncio.Future[Any]] = []
        failures: list[BaseException] = []
        try:
            for record in records:
                sent.append(await send(self._producer, record))  # noqa: PERF401 - those before a failure are awaited
        except (KafkaError, *_WRONG_STATE) as error:
            failures.append(error)
        done = await acknowledged(self._producer, records[: len(sent)], sent)
        failures += [found for found in done if isinstance(found, BaseException)]
        for failure in sorted(failures, key=lambda failure: isinstance(failure, _WRONG_STATE)):
            raise failure
        return [Position(found.topic, found.partition, found.offset) for found in map(asyncio.Future.result, sent)]

    async def _send_offset(self, offset: GroupOffset | None) -> None:
        if offset is not None:
            place = {TopicPartition(offset.topic, offset.partition): (offset.next_offset, offset.metadata)}
            await self._producer.send_offsets_to_transaction(place, offset.group)

    async def _abort_if_possible(self) -> bool:
        """Even where the producer is to be replaced: an open transaction holds its topics' readers up."""
        try:
            await asyncio.shield(asyncio.ensure_future(bounded(self._producer.abort_transaction(), _ABORT_LIMIT_S)))
        except (KafkaError, TimeoutError, *_WRONG_STATE):
            return False
        return True
