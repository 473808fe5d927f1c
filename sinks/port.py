"""The port of a sink: a destination of events. One file per destination; `sinks.runner` drives them all."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from broker.port import Record
from contract.operator_error import OperatorError


class SinkError(OperatorError):
    """A destination that cannot be used; the message is a sentence for the user."""


class SinkBusy(Exception):
    """The destination asks to be left alone for `retry_after_s` seconds; raised by `Sink.flush` only, which is then
    called again. What was added stays added."""

    def __init__(self, retry_after_s: float) -> None:
        super().__init__(f"busy for {retry_after_s} s")
        self.retry_after_s = retry_after_s


@dataclass(frozen=True, slots=True)
class Standing:
    """How far a partition is: the group's `committed` offset (None before the first) and the topic's `end`."""

    committed: int | None
    end: int


ReadAt = Callable[[int, int], Awaitable[Record | None]]
"""Given partition and offset, the topic's record at that place, or None where there is none (any more)."""


class Sink(Protocol):
    """A destination of records.

    The log delivers at least once: after a crash between `flush` and the commit the same records are added again.
    Partitions are committed one by one, so a crash can leave any of them committed and the others not.
    A sink that can tell (by partition and offset) leaves them out; another passes on the event's id, so that its
    receiver can.
    """

    async def setup(self, standings: Mapping[int, Standing], read_at: ReadAt) -> None:
        """Called once before all else, with every partition of the topic.

        `read_at` lets a sink compare what it holds with what the log has.

        Raises:
            SinkError: the destination cannot be used.
        """
        ...

    async def add(self, records: Sequence[Record]) -> None:
        """Take these records, per partition in offset order."""
        ...

    async def flush(self) -> None:
        """Return once everything added is durable at the destination.

        Raises:
            SinkBusy: not now; call it again.
            SinkError: it cannot be had; nothing of it is committed.
        """
        ...

    async def close(self) -> None:
        """Give back what is held. Nothing is flushed here."""
        ...
