"""From the Kafka client's way of telling a rebalance to plain partition numbers."""

from collections.abc import Awaitable, Callable, Iterable

from aiokafka import ConsumerRebalanceListener, TopicPartition

Told = Callable[[Iterable[int]], Awaitable[None]]
"""Is told partition numbers; the rebalance waits for it."""


class Listener(ConsumerRebalanceListener):  # type: ignore[misc] # the library is not typed
    """Tells which partitions go, and then which have come."""

    def __init__(self, revoked: Told, assigned: Told) -> None:
        self._revoked, self._assigned = revoked, assigned

    async def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        """Before they go to others."""
        await self._revoked(place.partition for place in revoked)

    async def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        """Once they are this member's."""
        await self._assigned(place.partition for place in assigned)
