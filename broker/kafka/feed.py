"""Records from a started consumer: fair between partitions, never lost by a cancelled wait."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import aiokafka.errors as kafka
from aiokafka import TopicPartition

from broker.kafka.clients import bounded
from broker.kafka.contact import Contact
from broker.kafka.errors import broker_error
from broker.kafka.records import record_of
from broker.port import BrokerError, Record

_PLACE_S = 0.02
_SLICE_S = 0.2
"""How long one wait is: a partition that is resumed meanwhile, or brokers that are lost, are noticed after it."""

OnOutOfRange = Callable[[int, int], Awaitable[None]]
"""Given a partition and the offset that was to be read and is not there, go on elsewhere, or see to it."""


class Feed:
    """Delivers the partitions in `active`; whoever owns the feed changes that set, and seeks.

    What the consumer hands over is returned without another suspension, so a fetch that is cancelled has taken nothing.
    """

    def __init__(self, consumer: Any, topic: str, contact: Contact, limit_s: float, out_of_range: OnOutOfRange) -> None:
        self._consumer = consumer
        self._topic = topic
        self._contact = contact
        self._limit_s = limit_s
        self._out_of_range = out_of_range
        self._turn: list[int] = []
        self.active: set[int] = set()
        self.epoch = 0
        """Grows whenever partitions are revoked."""
        self.newest_ms: dict[int, int] = {}
        """Partition -> the newest time of the records that were delivered."""

    async def fetch(self, max_records: int, timeout_s: float | None) -> Sequence[Record]:
        """See `broker.port.Reader.fetch`.

        Raises:
            BrokerUnavailable: nothing came, and the brokers cannot be reached.
        """
        loop = asyncio.get_running_loop()
        until = None if timeout_s is None else loop.time() + timeout_s
        while True:
            self._turn = [p for p in self._turn if p in self.active] + sorted(self.active.difference(self._turn))
            for partition in tuple(self._turn):
                records = await self._take([partition], max_records, 0.0)
                if records:
                    self._turn.remove(partition)
                    self._turn.append(partition)
                    return records
            left_s = _SLICE_S if until is None else min(_SLICE_S, until - loop.time())
            if left_s <= 0:
                self._contact.require()
                return ()
            if self.active:
                records = await self._take(sorted(self.active), max_records, left_s)
                if records:
                    return records
            else:
                await asyncio.sleep(left_s)
            if until is None:
                self._contact.require()

    async def _take(self, partitions: Sequence[int], max_records: int, wait_s: float) -> Sequence[Record]:
        epoch = self.epoch
        places = [TopicPartition(self._topic, partition) for partition in partitions]
        try:
            # While a group is dealt partitions anew the library waits without a limit, whatever it is told.
            async with asyncio.timeout(wait_s + _SLICE_S):
                found = await self._consumer.getmany(*places, timeout_ms=int(wait_s * 1000), max_records=max_records)
        except TimeoutError:
            return ()
        except kafka.OffsetOutOfRangeError as error:
            for place in error.args[0]:
                await self._find_again(place)
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
        if epoch != self.epoch:
            self._put_back(found)
            return ()
        delivered = [record_of(record) for records in found.values() for record in records]
        for record in delivered:
            self.newest_ms[record.partition] = max(record.timestamp_ms, self.newest_ms.get(record.partition, 0))
        return delivered

    def _put_back(self, found: dict[Any, list[Any]]) -> None:
        """The partitions were dealt anew while this was waited for: whoever has them now gets these records."""
        for place, records in found.items():
            if records and place in self._consumer.assignment():
                self._consumer.seek(place, records[0].offset)

    async def _find_again(self, place: TopicPartition) -> None:
        if place.partition not in self.active:
            return
        try:
            position = await bounded(self._consumer.position(place), self._limit_s)
        except (kafka.KafkaError, TimeoutError) as error:
            raise broker_error(error, f"finding a place in topic {self._topic}") from error
        await self._out_of_range(place.partition, position)
