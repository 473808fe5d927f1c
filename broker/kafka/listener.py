"""Passes the rebalances that the Kafka client reports on as plain partition numbers."""

from collections.abc import Awaitable, Callable, Iterable

from aiokafka import ConsumerRebalanceListener, TopicPartition

OnPartitions = Callable[[Iterable[int]], Awaitable[None]]
"""Called with partition numbers; the rebalance waits until the callback returns."""


class Listener(ConsumerRebalanceListener):  # type: ignore[misc] # the library is not typed
    """Calls `revoked` with the partitions that are taken away, then `assigned` with those that are assigned."""

    def __init__(self, revoked: OnPartitions, assigned: OnPartitions) -> None:
        self._revoked, self._assigned = revoked, assigned

    async def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        """Report partitions before they pass to other members."""
        await self._revoked(place.partition for place in revoked)

    async def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        """Report partitions once this member owns them."""
        await self._assigned(place.partition for place in assigned)
