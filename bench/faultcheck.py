"""What a run under faults is judged by: the log as a client reads it that is not ours, straight from the broker."""

import asyncio
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.client import AIOKafkaClient
from aiokafka.errors import GroupIdNotFound, NoError, for_code
from aiokafka.protocol.admin import DeleteGroupsRequest

LATE_S = 2.0
"""What a call may take over its deadline before it counts as hanging: machines under faults are slow."""

_POLL_MS = 200
_EMPTY_LIMIT_S = 60.0


@dataclass(frozen=True, slots=True)
class Call:
    """One HTTP call: what came of it. `status` 0: no answer (the ingress was killed, or not there)."""

    request_id: str
    status: int
    answer: Mapping[str, Any]
    seconds: float


@dataclass(frozen=True, slots=True)
class Stored:
    """A committed record: where it stands, and its value."""

    partition: int
    offset: int
    value: bytes


async def committed_records(bootstrap: str, topic: str, partitions: int) -> Sequence[Stored]:
    """Every committed record of a topic."""
    async with _consumer(bootstrap) as consumer:
        places = [TopicPartition(topic, partition) for partition in range(partitions)]
        consumer.assign(places)
        await consumer.seek_to_beginning(*places)
        found: list[Stored] = []
        for place, end in (await consumer.end_offsets(places)).items():
            while await consumer.position(place) < end:
                got = await consumer.getmany(place, timeout_ms=_POLL_MS)
                found += [Stored(place.partition, record.offset, record.value or b"") for record in got.get(place, ())]
        return found


async def unfinished(bootstrap: str, topic: str, partitions: int, group: str) -> int:
    """How many records of the topic stand behind the group's offsets."""
    records = await committed_records(bootstrap, topic, partitions)
    async with _consumer(bootstrap, group) as consumer:
        committed = [await consumer.committed(TopicPartition(topic, partition)) or 0 for partition in range(partitions)]
    return sum(1 for record in records if record.offset >= committed[record.partition])


async def delete_group(bootstrap: str, group: str) -> None:
    """Have the broker forget the group and its offsets, as it does when they expire. Its members have to be gone.

    Raises:
        TimeoutError: the group still has members.
    """
    client = AIOKafkaClient(bootstrap_servers=bootstrap)
    try:
        await client.bootstrap()
        async with asyncio.timeout(_EMPTY_LIMIT_S):
            while True:
                answer = await client.send(client.get_random_node(), DeleteGroupsRequest([group]))
                ((_, code),) = answer.results
                if for_code(code) in (NoError, GroupIdNotFound):
                    return
                await asyncio.sleep(0.2)
    finally:
        await client.close()


def _consumer(bootstrap: str, group: str | None = None) -> Any:
    return AIOKafkaConsumer(
        bootstrap_servers=bootstrap,
        group_id=group,
        isolation_level="read_committed",
        enable_auto_commit=False,
        auto_offset_reset="none",
    )


def log_differences(ids: Sequence[str], events: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Where the requests and the events of the log do not belong together, one sentence each."""
    counted, asked = Counter(event["id"] for event in events), Counter(ids)
    for what, wrong in (
        ("requests stand in the log twice", [i for i, count in asked.items() if count > 1]),
        ("requests have no event", sorted(asked.keys() - counted.keys())),
        ("requests have more than one event", [i for i, count in counted.items() if count > 1]),
        ("events have no request", sorted(counted.keys() - asked.keys())),
    ):
        if wrong:
            yield f"{len(wrong)} {what}, {wrong[0]} among them"


def call_differences(call: Call, event: Mapping[str, Any] | None, deadline_s: float) -> Iterator[str]:
    """What a call was answered against its event, one sentence for each thing that is wrong."""
    if call.status and call.seconds > deadline_s + LATE_S:
        yield f"call {call.request_id} took {call.seconds:.1f} s, its deadline is {deadline_s:g} s"
    if call.status == 500:
        yield f"call {call.request_id} was answered with HTTP status 500: {call.answer}"
    elif call.status not in (0, 200) and "error" not in call.answer:
        yield f"call {call.request_id} ended with HTTP status {call.status} and no error"
    if call.status == 200 and event is None:
        yield f"call {call.request_id} was answered and has no event"
    elif event is not None and "retcode" in call.answer:
        told = {name: call.answer[name] for name in ("retcode", "identity_id", "name", "score")}
        if told != {name: event[name] for name in told}:
            yield f"the answer to call {call.request_id} is not its event"
    elif event is not None and 400 <= call.status < 500 and _error_code(call.answer) != _error_code(event):
        yield f"the error that call {call.request_id} got is not that of its event"


def _error_code(told: Mapping[str, Any]) -> Any:
    return (told.get("error") or {}).get("code")
