"""What a transactional producer's failures become, without a broker."""

from collections.abc import Awaitable
from typing import Any

import pytest
from aiokafka.errors import IllegalOperation, KafkaError, ProducerFenced

from broker.kafka.records import Checked
from broker.kafka.transactions import GroupOffset, Writer
from broker.port import BrokerError, BrokerUnavailable, CommitFailed, NewRecord

OUTPUT = Checked(NewRecord("events", b"k", b"v"), 0)
OFFSET = GroupOffset("group", "requests", 0, 1)


class FailingProducer:
    """A producer whose calls raise what they are told to."""

    def __init__(self, **failures: Exception) -> None:
        self._failures = failures

    def __getattr__(self, name: str) -> Any:
        async def call(*_: Any, **__: Any) -> Awaitable[None]:
            if name in self._failures:
                raise self._failures[name]
            raise AssertionError(f"{name} was not to be reached")

        return call

    async def begin_transaction(self) -> None:
        return None

    async def abort_transaction(self) -> None:
        raise IllegalOperation("nothing to abort")


@pytest.mark.parametrize(
    ("failures", "expected"),
    [
        ({"send_offsets_to_transaction": ProducerFenced("x")}, CommitFailed),
        ({"send": ProducerFenced("x")}, CommitFailed),
        ({"send": IllegalOperation("x")}, BrokerUnavailable),
        ({"send": KafkaError("x")}, BrokerError),
    ],
    ids=["fenced at the offset", "fenced at a send", "in the wrong state", "refused"],
)
async def test_a_failed_transaction_is_told_by_its_cause_and_its_producer_not_used_again(failures, expected):
    writer = Writer(FailingProducer(**failures), 5.0)
    with pytest.raises(expected):
        await writer.write([OUTPUT] if "send" in failures else [], offset=OFFSET)
    assert not writer.usable
