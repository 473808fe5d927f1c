"""Taking partitions over: the writer that fences the former owner, the place to go on at, and what is delivered.

All of it for one member of a group. Whatever changes a partition's writer or place holds the partition's lock.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any

import aiokafka.errors as kafka
from aiokafka import TopicPartition

from broker.going_on import Committed, time_of_commit
from broker.kafka.config import KafkaConfig
from broker.kafka.contact import Contact
from broker.kafka.feed import Feed
from broker.kafka.membership import is_member
from broker.kafka.owned import Owned, group_offset
from broker.kafka.places import Places
from broker.kafka.transactions import Writer
from broker.outages import OutageLog
from broker.port import BrokerError, CommitFailed

_log = logging.getLogger(__name__)

_RETRY_S = 0.2

Background = Callable[[Coroutine[Any, Any, None]], "asyncio.Task[None]"]
"""Has something done to its end, while its caller goes on."""


class Takeover:
    """`delivering` is called whenever a partition begins to be delivered."""

    def __init__(
        self,
        config: KafkaConfig,
        contact: Contact,
        topic: str,
        group: str,
        consumer: Any,
        places: Places,
        feed: Feed,
        start: Background,
        delivering: Callable[[], None],
    ) -> None:
        self._config, self._contact = config, contact
        self._topic, self._group = topic, group
        self._consumer, self._places, self._feed = consumer, places, feed
        self._start, self._delivering = start, delivering
        self._outages = OutageLog(_log)

    async def keep_taking_over(self, owned: Owned) -> None:
        """Take the partition over, however often that has to be tried, unless it leaves before."""
        while not owned.leaving:
            async with owned.lock:
                try:
                    await self._take_over(owned)
                except BrokerError as error:
                    if not owned.leaving:
                        self._outages.failed(f"{self._name(owned)} cannot be taken over yet: {error}; trying again")
                else:
                    self._outages.recovered(f"partitions of {self._topic} can be taken over again")
                    return
            await asyncio.sleep(_RETRY_S)

    async def _take_over(self, owned: Owned) -> None:
        self._contact.require()
        if owned.writer is not None:
            spent, owned.writer = owned.writer, None
            self._start(spent.close())  # which may take long; the next one of its name fences it
        writer = await self._new_writer(owned)
        try:
            # Asked only now that nobody else can commit any more, and what others committed is readable.
            owned.committed = await self._places.committed(owned.partition)
            found = await owned.find(self._places.going_on(owned.partition, owned.committed))
            if found.skip is not None:
                # So that it is not searched for, and told, again.
                moved = self.commit_of(owned, found.offset)
                await writer.write((), (), group_offset(self._group, self._topic, owned.partition, moved))
                owned.committed = moved
        except BaseException:
            self._start(writer.close())
            raise
        owned.going_on = found.offset
        owned.writer = writer
        self._seek(owned, owned.next_offset)

    async def _new_writer(self, owned: Owned) -> Writer:
        return await Writer.start(self._config, f"{self._group}-{self._topic}-{owned.partition}")

    async def rewind(self, owned: Owned) -> None:
        """Deliver from the committed offset again, if the group still knows this member. Needs the lock.

        Raises:
            BrokerError: that is not possible now; the partition is not delivered meanwhile.
        """
        if owned.leaving:
            return
        if owned.writer is not None and owned.writer.usable and owned.writer.answered:
            self._seek(owned, owned.next_offset)
            return
        self._hold(owned)
        # Whoever was given up by the group must not take partitions from their new owners. It will be told.
        if await self._is_member():
            await self._take_over(owned)

    async def writer_of(self, owned: Owned) -> Writer:
        """The writer for the next transaction: another one where a request of the last one may still come late.

        Needs the lock.

        Raises:
            BrokerError: there is none now; the partition has to be rewound.
        """
        writer = owned.writer
        if writer is None or not writer.usable:
            raise CommitFailed(f"{self._name(owned)} has to be rewound before it is committed")
        if writer.answered:
            return writer
        if not await self._is_member():
            raise CommitFailed(f"{self._name(owned)} may belong to another member now")
        renewed = await self._new_writer(owned)
        self._start(writer.close())
        owned.writer = renewed
        try:
            if (await self._places.committed(owned.partition)).offset != owned.committed.offset:
                raise CommitFailed(f"another member has committed {self._name(owned)} meanwhile")
        except BaseException:
            renewed.usable = False
            raise
        return renewed

    def commit_of(self, owned: Owned, next_offset: int) -> Committed:
        """A commit of now."""
        newest_ms = self._feed.newest_ms.get(owned.partition)
        return Committed(next_offset, time_of_commit(int(time.time() * 1000), newest_ms, owned.committed.time_ms))

    def left_behind(self, owned: Owned, position: int) -> None:
        """The log does not hold what is read next, at `position`: find where to go on; nothing is delivered before."""
        if owned.lost_at is None:
            owned.lost_at = position
            self._hold(owned)
            self._start(self._keep_catching_up(owned, position))

    async def _keep_catching_up(self, owned: Owned, position: int) -> None:
        while not owned.leaving:
            async with owned.lock:
                if owned.lost_at != position or owned.writer is None or not owned.writer.usable:
                    return  # `rewind` has found, or finds, the place
                try:
                    newest_ms = self._feed.newest_ms.get(owned.partition, owned.committed.time_ms)
                    found = await owned.find(self._places.going_on(owned.partition, Committed(position, newest_ms)))
                except BrokerError as error:
                    self._outages.failed(f"{self._name(owned)} has no place to go on at yet: {error}; trying again")
                else:
                    # Not committed: what was delivered before is still being worked on.
                    self._seek(owned, found.offset)
                    return
            await asyncio.sleep(_RETRY_S)

    def pause(self, owned: Owned) -> None:
        """Deliver nothing until `resume`."""
        owned.paused = True
        self._feed.active.discard(owned.partition)
        self._consumer.pause(self._place(owned))

    def resume(self, owned: Owned) -> None:
        """Deliver again, once the partition is taken over."""
        owned.paused = False
        self._deliver(owned)

    def _seek(self, owned: Owned, offset: int) -> None:
        """Deliver from that offset on."""
        if not owned.leaving and self._place(owned) in self._consumer.assignment():
            owned.lost_at = None
            self._consumer.seek(self._place(owned), offset)
            self._deliver(owned)

    def _deliver(self, owned: Owned) -> None:
        ready = owned.writer is not None and owned.writer.usable and owned.lost_at is None
        if ready and not owned.paused and not owned.leaving:
            self._consumer.resume(self._place(owned))
            self._feed.active.add(owned.partition)
            self._delivering()

    def _hold(self, owned: Owned) -> None:
        self._feed.active.discard(owned.partition)
        with suppress(kafka.IllegalStateError):
            self._consumer.pause(self._place(owned))

    async def _is_member(self) -> bool:
        return await is_member(self._consumer, self._group, self._config.patience_s)

    def _place(self, owned: Owned) -> TopicPartition:
        return TopicPartition(self._topic, owned.partition)

    def _name(self, owned: Owned) -> str:
        return f"partition {owned.partition} of {self._topic}"
