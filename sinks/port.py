"""The port of a sink, which is a destination of events. Each is one module; `sinks.runner` runs all of them."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from broker.port import Record
from contract.operator_error import OperatorError


class SinkError(OperatorError):
    """A destination cannot be used; the message is a sentence for the user."""


class SinkBusy(Exception):
    """The destination cannot accept records for `retry_after_s` seconds.

    Only `Sink.flush` raises this error, and the runner calls `flush` again later. Added records stay added.
    """

    def __init__(self, retry_after_s: float) -> None:
        super().__init__(f"busy for {retry_after_s} s")
        self.retry_after_s = retry_after_s


@dataclass(frozen=True, slots=True)
class PartitionOffsets:
    """The offsets of a partition: the group's `committed` one (None before the first commit) and the topic's `end`."""

    committed: int | None
    end: int


ReadAt = Callable[[int, int], Awaitable[Record | None]]
"""A function that returns the topic's record at a partition and offset, or None where the topic has no record there or
has removed it."""


class Sink(Protocol):
    """A destination of records.

    The log delivers at least once: after a crash between `flush` and the commit the same records are added again.
    Partitions are committed one by one, so after a crash any of them may be committed and the others not. A sink that
    can recognise repeated records (by partition and offset) leaves them out; another sink sends the event's id to its
    receiver, which then recognises them.
    """

    async def setup(self, offsets: Mapping[int, PartitionOffsets], read_at: ReadAt) -> None:
        """Prepare the destination; called once, before all other methods, with every partition of the topic.

        With `read_at` a sink compares its own records with those of the log.

        Raises:
            SinkError: the destination cannot be used.
        """
        ...

    async def add(self, records: Sequence[Record]) -> None:
        """Add records, which are in offset order within each partition."""
        ...

    async def flush(self) -> None:
        """Return when all added records are durable at the destination.

        Raises:
            SinkBusy: the destination is busy; the runner calls `flush` again later.
            SinkError: the records cannot be made durable; the runner commits none of them.
        """
        ...

    async def close(self) -> None:
        """Release all resources, without flushing."""
        ...
