"""Look-ups of offsets: what a group has committed, the first and end offset of a partition, where the group goes on."""

import logging
import time
from typing import Any

import aiokafka.errors as kafka
from aiokafka import TopicPartition

from broker.going_on import Committed, GoingOn, Span, going_on, log_skipped, needs_worked_on, without_wrong_time
from broker.kafka.clients import bounded
from broker.kafka.errors import broker_error
from broker.port import OnSkipped, WorkedOn

_log = logging.getLogger(__name__)

_TIME = "committed_ms="


def metadata_of(time_ms: int) -> str:
    """Return the metadata of a commit, which records the time of the commit (epoch milliseconds)."""
    return f"{_TIME}{time_ms}"


def time_in(metadata: str) -> int | None:
    """Return the time that the metadata of a commit records (epoch milliseconds); None: no time is recorded."""
    text = metadata.removeprefix(_TIME)
    return int(text) if metadata.startswith(_TIME) and text.isdecimal() and len(text) < 20 else None


class Places:
    """Looks up offsets by a started consumer."""

    def __init__(
        self,
        consumer: Any,
        topic: str,
        group: str,
        limit_s: float,
        worked_on: WorkedOn | None = None,
        on_skipped: OnSkipped | None = None,
    ) -> None:
        self._consumer = consumer
        self._topic, self._group = topic, group
        self._limit_s = limit_s
        self._worked_on, self._on_skipped = worked_on, on_skipped

    async def committed(self, partition: int) -> Committed:
        """Return the group's last commit.

        Raises:
            BrokerUnavailable: no broker answers in time.
        """
        place = TopicPartition(self._topic, partition)
        coordinator = self._consumer._coordinator  # noqa: SLF001 - the public method does not return the metadata
        try:
            found = await bounded(coordinator.fetch_committed_offsets([place]), self._limit_s)
        except (kafka.KafkaError, TimeoutError) as error:
            raise broker_error(error, f"asking for the offset of group {self._group}") from error
        if place not in found or found[place].offset < 0:
            return Committed()
        return Committed(found[place].offset, time_in(found[place].metadata or ""))

    async def going_on(self, partition: int, committed: Committed) -> GoingOn:
        """Return where the group goes on; log skipped records and report them to `on_skipped`.

        Raises:
            BrokerUnavailable: no broker answers in time.
        """
        committed = without_wrong_time(committed, int(time.time() * 1000))
        span = await span_of(self._consumer, TopicPartition(self._topic, partition), committed.time_ms, self._limit_s)
        worked_on = None
        if self._worked_on is not None and needs_worked_on(committed, span):
            worked_on = await self._worked_on(partition, span.first, span.end)
        found = going_on(committed, span, worked_on)
        log_skipped(_log, self._group, found.report(self._topic, partition), committed, span, self._on_skipped)
        return found


async def span_of(consumer: Any, place: TopicPartition, time_ms: int | None, limit_s: float) -> Span:
    """Return the partition's first and end offset and, if `time_ms` is a time, the first offset written after that.

    Raises:
        BrokerUnavailable: no broker answers in time.
    """
    try:
        first = (await bounded(consumer.beginning_offsets([place]), limit_s))[place]
        end = (await bounded(consumer.end_offsets([place]), limit_s))[place]
        if time_ms is None:
            return Span(first, end)
        found = (await bounded(consumer.offsets_for_times({place: time_ms + 1}), limit_s))[place]
    except (kafka.KafkaError, TimeoutError) as error:
        raise broker_error(error, f"asking for the offsets of topic {place.topic}") from error
    return Span(first, end, end if found is None else min(found.offset, end))
