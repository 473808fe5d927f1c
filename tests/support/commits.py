"""Parts of a lane that keep what they are asked for, for tests of commits without a log."""

from collections.abc import Sequence

from broker.port import FollowUp, NewRecord, Position
from engine.context import Context
from processor.processing import Processed


class Member:
    """A group member that keeps what is committed; the first record of each step gets the offset `first`."""

    def __init__(self, first: int = 0) -> None:
        self.written: list[NewRecord] = []
        self.next_offsets: list[int] = []
        self._first = first

    async def commit(
        self, partition: int, next_offset: int, outputs: Sequence[NewRecord] = (), *then: FollowUp
    ) -> Sequence[Position]:
        self.next_offsets.append(next_offset)
        positions = step = self._positions(outputs)
        self.written += outputs
        for follow_up in then:
            made = follow_up(step)
            step = self._positions(made)
            positions = positions + step
            self.written += made
        return positions

    def _positions(self, outputs: Sequence[NewRecord]) -> list[Position]:
        return [Position(new.topic, new.partition or 0, self._first + at) for at, new in enumerate(outputs)]


class Unchanged:
    """A processing that returns every request as it is."""

    def expire(self, processed: Processed) -> Processed:
        return processed

    async def prepare_again(self, processed: Processed, context: Context) -> Processed:
        return processed
