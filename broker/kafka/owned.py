"""A partition that a member of a group owns: its writer, how far it is, and the search for where to go on."""

import asyncio
from collections.abc import Coroutine
from typing import Any

from broker.going_on import Committed, GoingOn
from broker.kafka.places import metadata_of
from broker.kafka.transactions import GroupOffset, Writer
from broker.port import BrokerUnavailable


class Owned:
    """A partition of a member. `lock` is held by whatever must not meet: commit, rewind, take-over, catching up."""

    def __init__(self, partition: int) -> None:
        self.partition = partition
        self.lock = asyncio.Lock()
        self.writer: Writer | None = None
        self.committed = Committed()
        self.going_on = 0
        """Where delivery begins as long as nothing is committed."""
        self.lost_at: int | None = None
        """The place that was to be read next and that the log does not hold, until another place is found."""
        self.paused = False
        self.leaving = False
        self.task: asyncio.Task[None] | None = None
        self._finding: asyncio.Task[GoingOn] | None = None

    @property
    def next_offset(self) -> int:
        """Where delivery goes on after what is committed."""
        return self.going_on if self.committed.offset is None else self.committed.offset

    async def find(self, search: Coroutine[Any, Any, GoingOn]) -> GoingOn:
        """The result of a search that may take long; `leave` ends it.

        Raises:
            BrokerUnavailable: the partition was taken away meanwhile.
        """
        finding = self._finding = asyncio.create_task(search)
        try:
            await asyncio.wait({finding})
        finally:
            self._finding = None
            finding.cancel()
        if finding.cancelled():
            raise BrokerUnavailable("the partition was taken away")
        return finding.result()

    def leave(self) -> None:
        """It passes to another member: nothing more is begun."""
        self.leaving = True
        if self._finding is not None:
            self._finding.cancel()

    async def give_up(self) -> None:
        """Close the writer after a commit that is under way: aborted, it would hold readers up until its time is
        over."""
        async with self.lock:
            writer, self.writer = self.writer, None
        if writer is not None:
            await writer.close()


def group_offset(group: str, topic: str, partition: int, committed: Committed) -> GroupOffset:
    """A commit as it is sent, with its time written down."""
    metadata = "" if committed.time_ms is None else metadata_of(committed.time_ms)
    return GroupOffset(group, topic, partition, committed.offset or 0, metadata)
