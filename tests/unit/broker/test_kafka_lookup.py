"""What a look-up of one record on Kafka returns where the record is damaged or gone, and where no broker answers."""

from typing import Any

import aiokafka.errors as kafka
import pytest

from broker.kafka.config import KafkaConfig
from broker.kafka.lookup import Lookup
from broker.port import BrokerUnavailable, Position, Record

PLACE = Position("people", 0, 7)


async def looked_up(monkeypatch: pytest.MonkeyPatch, error: Exception) -> Record | None:
    """The result of a look-up during which the client raises the error."""

    async def read_at(self: Lookup, consumer: Any, position: Position) -> Record | None:
        raise error

    async def started(self: Lookup, isolation: str) -> object:
        return object()

    monkeypatch.setattr(Lookup, "_read_at", read_at)
    monkeypatch.setattr(Lookup, "_started", started)
    return await Lookup(KafkaConfig(bootstrap="localhost:1")).read_at(PLACE)


async def test_a_batch_with_a_wrong_checksum_is_a_damaged_record_and_not_tried_for_ever(monkeypatch) -> None:
    found = await looked_up(monkeypatch, kafka.CorruptRecordException("Invalid CRC"))
    assert found is not None
    assert (found.position, found.value, found.damaged) == (PLACE, b"", True)


async def test_an_offset_that_the_topic_no_longer_has_is_no_record(monkeypatch) -> None:
    assert await looked_up(monkeypatch, kafka.OffsetOutOfRangeError({})) is None


async def test_brokers_that_do_not_answer_are_an_error_that_is_tried_again(monkeypatch) -> None:
    with pytest.raises(BrokerUnavailable):
        await looked_up(monkeypatch, kafka.NodeNotReadyError())
