from collections.abc import Mapping

import pytest

from broker.kafka.topics import ROOM_BYTES, TopicState, differences, losses, state_of
from broker.port import TopicSpec

LOG = TopicSpec("events", 3, retention_ms=1000, retention_bytes=500, max_record_bytes=100)
PEOPLE = TopicSpec("people", 1, compacted=True, max_record_bytes=100)


def state(spec: TopicSpec, configs: Mapping[str, str], partitions: int | None = None) -> TopicState:
    as_wanted = {
        "max.message.bytes": str(spec.max_record_bytes + ROOM_BYTES),
        "cleanup.policy": "compact" if spec.compacted else "delete",
        "retention.ms": str(spec.retention_ms or -1),
        "retention.bytes": str(spec.retention_bytes or -1),
    }
    return state_of(spec.name, spec.partitions if partitions is None else partitions, 1, as_wanted | configs)


@pytest.mark.parametrize("spec", [LOG, PEOPLE], ids=lambda spec: spec.name)
def test_nothing_is_told_of_a_topic_that_is_as_wanted(spec: TopicSpec) -> None:
    assert list(differences(spec, state(spec, {}))) == []


@pytest.mark.parametrize("policy", ["compact,delete", "delete,compact", "delete"])
def test_a_table_whose_old_records_kafka_deletes_is_a_loss(policy: str) -> None:
    (told,) = losses(PEOPLE, state(PEOPLE, {"cleanup.policy": policy, "retention.ms": "604800000"}))
    assert "set cleanup.policy to compact" in told


@pytest.mark.parametrize("policy", ["compact,delete", "compact"])
def test_a_log_that_kafka_compacts_is_a_loss(policy: str) -> None:
    (told,) = losses(LOG, state(LOG, {"cleanup.policy": policy}))
    assert f"has cleanup.policy={policy}: set cleanup.policy to delete" in told


@pytest.mark.parametrize(
    ("configs", "partitions", "told"),
    [
        ({"retention.ms": "999"}, 3, "retention.ms=999: set it to 1000"),
        ({"retention.bytes": "0"}, 3, "retention.bytes=0: set it to 500"),
        ({"max.message.bytes": str(ROOM_BYTES + 99)}, 3, f"set max.message.bytes to {ROOM_BYTES + 100}"),
        ({}, 4, "has 4 partitions and should have 3"),
    ],
)
def test_what_would_lose_or_refuse_records_is_a_loss(configs: Mapping[str, str], partitions: int, told: str) -> None:
    found = state(LOG, configs, partitions)
    (loss,) = losses(LOG, found)
    assert told in loss
    assert list(differences(LOG, found)) == [loss]


@pytest.mark.parametrize("configs", [{"retention.ms": "1001"}, {"retention.ms": "-1"}, {"retention.bytes": "-1"}])
def test_a_longer_retention_is_a_difference_and_no_loss(configs: Mapping[str, str]) -> None:
    found = state(LOG, configs)
    assert list(losses(LOG, found)) == []
    assert len(list(differences(LOG, found))) == 1


def test_any_retention_is_a_loss_where_records_are_to_stay_for_ever() -> None:
    for_ever = TopicSpec("letters", 1)
    (told,) = losses(for_ever, state(for_ever, {"retention.ms": "1000"}))
    assert "retention.ms=1000: set it to -1" in told
