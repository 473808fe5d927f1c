"""Records from a started consumer: fair between partitions, never lost by a cancelled wait."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import aiokafka.errors as kafka
from aiokafka import TopicPartition

from broker.kafka.clients import bounded
from broker.kafka.contact import Contact
from broker.kafka.errors import broker_error
from broker.kafka.member_events import Run
from broker.kafka.records import record_of
from broker.port import BrokerError, Record

_PLACE_S = 0.02
_SLICE_S = 0.2
"""How long one wait is: a partition that is resumed meanwhile, or brokers that are lost, are noticed after it."""


@dataclass(frozen=True, slots=True)
class Gate:
    """What decides which records a feed may deliver."""

    delivered: Callable[[], Collection[int]]
    """The partitions that are delivered now."""
    turn: Callable[[], int]
    """A number that goes with what is asked for now, and is given back with what comes of it."""
    admit: Callable[[int, Sequence[Run]], Collection[int]]
    """Given the turn and what came, the partitions whose records are delivered; the others' are dropped."""
    out_of_range: Callable[[int, int, int], Awaitable[None]]
    """Given the turn, a partition and the offset that was to be read and is not there: find another place."""


class Feed:
    """Delivers the partitions that its gate lets through.

    What the consumer hands over is returned without another suspension, so a fetch that is cancelled has taken nothing.
    """

    def __init__(
        self, consumer: Any, topic: str, contact: Contact, limit_s: float, gate: Gate, *, together: bool = False
    ) -> None:
        """`together`: one fetch may return records of several partitions, which a consumer without a group allows: each
        partition that is taken alone makes the library ask the brokers for it alone."""
        self._consumer = consumer
        self._topic = topic
        self._contact = contact
        self._limit_s = limit_s
        self._gate = gate
        self._together = together
        self._order: list[int] = []

    async def fetch(self, max_records: int, timeout_s: float | None) -> Sequence[Record]:
        """See `broker.port.Reader.fetch`.

        Raises:
            BrokerUnavailable: nothing came, and the brokers cannot be reached.
        """
        loop = asyncio.get_running_loop()
        until = None if timeout_s is None else loop.time() + timeout_s
        while True:
            delivered = self._gate.delivered()
            self._order = [p for p in self._order if p in delivered] + sorted(set(delivered).difference(self._order))
            for partition in tuple(self._order):
                records = await self._take([partition], max_records, 0.0)
                if records:
                    self._order.remove(partition)
                    self._order.append(partition)
                    return await self._topped_up(records, max_records) if self._together else records
            left_s = _SLICE_S if until is None else min(_SLICE_S, until - loop.time())
            if left_s <= 0:
                self._contact.require()
                return ()
            if delivered := self._gate.delivered():
                records = await self._take(sorted(delivered), max_records, left_s)
                if records:
                    return records
            else:
                await asyncio.sleep(left_s)
            if until is None:
                self._contact.require()

    async def _topped_up(self, records: Sequence[Record], max_records: int) -> Sequence[Record]:
        """Return records with those of the other partitions that the consumer has at hand, without a suspension."""
        places = [TopicPartition(self._topic, number) for number in self._order if number != records[0].partition]
        if not places or len(records) >= max_records:
            return records
        turn = self._gate.turn()
        try:
            found = await self._consumer.getmany(*places, timeout_ms=0, max_records=max_records - len(records))
        except kafka.KafkaError:
            return records  # the next fetch meets the error again
        return [*records, *self._admitted(turn, {place.partition: some for place, some in found.items() if some})]

    async def _take(self, partitions: Sequence[int], max_records: int, wait_s: float) -> Sequence[Record]:
        turn = self._gate.turn()
        places = [TopicPartition(self._topic, partition) for partition in partitions]
        try:
            # While a group is dealt partitions anew the library waits without a limit, whatever its timeout.
            async with asyncio.timeout(wait_s + _SLICE_S):
                found = await self._consumer.getmany(*places, timeout_ms=int(wait_s * 1000), max_records=max_records)
        except TimeoutError:
            return ()
        except kafka.OffsetOutOfRangeError as error:
            for place in error.args[0]:
                await self._out_of_range(turn, place)
            return ()
        except kafka.NoOffsetForPartitionError:
            # The library looked for a committed offset of a partition that was just given to this member, and whose
            # place is not set yet.
            await asyncio.sleep(_PLACE_S)
            return ()
        except kafka.KafkaError as error:
            raise broker_error(error, f"reading topic {self._topic}") from error
        except kafka.ConsumerStoppedError as error:
            raise BrokerError(f"the reader of {self._topic} was closed") from error
        return self._admitted(turn, {place.partition: records for place, records in found.items() if records})

    def _admitted(self, turn: int, found: Mapping[int, Sequence[Any]]) -> Sequence[Record]:
        runs = [
            Run(partition, records[0].offset, records[-1].offset + 1, max(record.timestamp for record in records))
            for partition, records in found.items()
        ]
        admitted = self._gate.admit(turn, runs)
        return [record_of(record) for partition in found if partition in admitted for record in found[partition]]

    async def _out_of_range(self, turn: int, place: TopicPartition) -> None:
        if place.partition not in self._gate.delivered():
            return
        try:
            position = await bounded(self._consumer.position(place), self._limit_s)
        except (kafka.KafkaError, TimeoutError) as error:
            raise broker_error(error, f"finding a place in topic {self._topic}") from error
        await self._gate.out_of_range(turn, place.partition, position)
