"""A sink on a real log that kills itself: `python -m tests.support.dying_sink LOG TOPIC GROUP OUT WHEN COMMITS`.

LOG is a data folder, or the address of a Kafka broker after `kafka://`. The process is killed (SIGKILL) `before` it
sends its commit number COMMITS, or `after` that commit is durable: between what is written and its commit, and between
the commits of two partitions. COMMITS 0 never kills, and the process ends when nothing has come for a moment.
"""

import asyncio
import os
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from broker.embedded import open_embedded
from broker.kafka.broker import open_kafka
from broker.kafka.config import KafkaConfig
from broker.port import Broker, GroupMember, NewRecord, OnRevoked, Position, Record
from sinks.jsonl import JsonlSink
from sinks.runner import reading_at, run_sink

MAX_BATCH = 7
MAX_BYTES = 600
IDLE_S = 0.3
KAFKA_IDLE_S = 8.0  # the partitions of the process that was killed before come after its session has ended
SESSION_MS = 3000


class DyingMember:
    """A member that works until `when` its commit number `commits`."""

    def __init__(self, member: GroupMember, when: str, commits: int) -> None:
        self._member, self._when, self._left = member, when, commits

    async def fetch(self, max_records: int = 100, timeout_s: float | None = None) -> Sequence[Record]:
        return await self._member.fetch(max_records, timeout_s)

    def assignment(self) -> frozenset[int]:
        return self._member.assignment()

    def on_revoked(self, forget: OnRevoked) -> None:
        self._member.on_revoked(forget)

    async def committed(self, partition: int) -> int | None:
        return await self._member.committed(partition)

    async def rewind(self, partition: int) -> None:
        await self._member.rewind(partition)

    async def commit(self, partition: int, next_offset: int, outputs: Sequence[NewRecord] = ()) -> Sequence[Position]:
        self._left -= 1
        self._die("before")
        written = await self._member.commit(partition, next_offset, outputs)
        self._die("after")
        return written

    def _die(self, when: str) -> None:
        if self._left == 0 and self._when == when:
            os.kill(os.getpid(), signal.SIGKILL)


async def carry(log: Broker, topic: str, group: str, out: Path, when: str, commits: int, idle_s: float) -> None:
    sink = JsonlSink(out, topic, group, max_bytes=MAX_BYTES, max_age_s=3600.0, clock_s=time.time)
    async with log.member(topic, group) as member:
        dying: GroupMember = DyingMember(member, when, commits)  # type: ignore[assignment]
        ends = await log.end_offsets(topic)
        read_at = reading_at(log, topic)
        await run_sink(sink, dying, ends, asyncio.Event(), read_at=read_at, max_batch=MAX_BATCH, idle_exit_s=idle_s)


async def main(address: str, topic: str, group: str, out: str, when: str, commits: str) -> None:
    if address.startswith("kafka://"):
        bootstrap = address.removeprefix("kafka://")
        config = KafkaConfig(bootstrap=bootstrap, session_timeout_ms=SESSION_MS, rebalance_timeout_ms=6000)
        async with open_kafka(config) as log:
            await carry(log, topic, group, Path(out), when, int(commits), KAFKA_IDLE_S)
    else:
        async with open_embedded(Path(address), role="guest", clock_ms=lambda: int(time.time() * 1000)) as log:
            await carry(log, topic, group, Path(out), when, int(commits), IDLE_S)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
