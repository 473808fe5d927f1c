"""From the Kafka client's rebalance callbacks to plain partition numbers."""

from collections.abc import Awaitable, Callable, Iterable

from aiokafka import ConsumerRebalanceListener, TopicPartition

Report = Callable[[Iterable[int]], Awaitable[None]]
"""Called with partition numbers; the rebalance waits for it."""


class Listener(ConsumerRebalanceListener):  # type: ignore[misc] # the library is not typed
    """Reports which partitions leave, and then which have come."""

    def __init__(self, revoked: Report, assigned: Report) -> None:
        self._revoked, self._assigned = revoked, assigned

    async def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        """Before they go to others."""
        await self._revoked(place.partition for place in revoked)

    async def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        """Once they are this member's."""
        await self._assigned(place.partition for place in assigned)
