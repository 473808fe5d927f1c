"""The dead letters of a sink: records that it cannot pass on, with the reason. They are committed with the offset."""

from collections import defaultdict

from broker.port import NewRecord, Record
from contract.codec import encode
from contract.dead_letters import SINK_STAGE, DeadLetter
from contract.errors import Code


class Letters:
    """The dead letters of a sink that are not committed yet, by partition.

    Args:
        topic: the dead-letters topic.
        sink: the name of the sink.
    """

    def __init__(self, topic: str, sink: str) -> None:
        self._topic, self._sink = topic, sink
        self._by_partition: defaultdict[int, list[NewRecord]] = defaultdict(list)

    def add(self, record: Record, reason: str, tries: int = 1) -> None:
        """Add a record that cannot be passed on. `tries`: how often the sink has tried to pass it on."""
        letter = DeadLetter(
            topic=record.topic,
            partition=record.partition,
            offset=record.offset,
            stage=f"{SINK_STAGE}{self._sink}",
            code=int(Code.INTERNAL_ERROR),
            error=reason,
            attempt=tries,
            timestamp_ms=record.timestamp_ms,
            key=record.key,
            value=record.value,
            headers=record.headers,
        )
        self._by_partition[record.partition].append(NewRecord(self._topic, record.key, encode(letter), partition=0))

    def has(self, partition: int) -> bool:
        """Return whether the partition has letters that are not committed."""
        return bool(self._by_partition.get(partition))

    def take(self, partition: int) -> tuple[NewRecord, ...]:
        """Return the letters of a partition, and forget them: the caller commits them, or the records come again."""
        return tuple(self._by_partition.pop(partition, ()))
