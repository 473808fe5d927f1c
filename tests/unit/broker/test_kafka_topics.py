from collections.abc import Mapping

import pytest

from broker.kafka.topics import (
    ROOM_BYTES,
    TopicState,
    configs_of,
    differences,
    losses,
    offsets_forgotten_early,
    state_of,
)
from broker.port import DELETIONS_KEPT_MS, TopicSpec

LOG = TopicSpec("events", 3, retention_ms=1000, retention_bytes=500, max_record_bytes=100)
PEOPLE = TopicSpec("people", 1, compacted=True, max_record_bytes=100)


def state(
    spec: TopicSpec, configs: Mapping[str, str], partitions: int | None = None, replication: int = 1
) -> TopicState:
    as_wanted = {
        "max.message.bytes": str(spec.max_record_bytes + ROOM_BYTES),
        "cleanup.policy": "compact" if spec.compacted else "delete",
        "retention.ms": str(spec.retention_ms or -1),
        "retention.bytes": str(spec.retention_bytes or -1),
        "delete.retention.ms": str(DELETIONS_KEPT_MS),
    }
    return state_of(spec.name, spec.partitions if partitions is None else partitions, replication, as_wanted | configs)


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


HISTORY = TopicSpec("history", 1, compacted=True, min_compaction_lag_ms=7_000)


def test_a_shorter_history_is_a_loss_and_a_longer_one_a_difference() -> None:
    (told,) = losses(HISTORY, state(HISTORY, {"min.compaction.lag.ms": "6999"}))
    assert "has min.compaction.lag.ms=6999: set it to 7000, and max.compaction.lag.ms to 3607000" in told
    longer = state(HISTORY, {"min.compaction.lag.ms": "7001"})
    assert list(losses(HISTORY, longer)) == []
    assert len(list(differences(HISTORY, longer))) == 1
    assert list(differences(HISTORY, state(HISTORY, {"min.compaction.lag.ms": "7000"}))) == []


def test_deletions_that_kafka_forgets_early_are_a_difference_and_no_loss_and_later_is_fine() -> None:
    early = state(PEOPLE, {"delete.retention.ms": "86400000"})
    assert list(losses(PEOPLE, early)) == []
    (told,) = differences(PEOPLE, early)
    assert f"has delete.retention.ms=86400000: set it to {DELETIONS_KEPT_MS}" in told
    assert list(differences(PEOPLE, state(PEOPLE, {"delete.retention.ms": str(2 * DELETIONS_KEPT_MS)}))) == []
    assert configs_of(PEOPLE, 1)["delete.retention.ms"] == str(DELETIONS_KEPT_MS)


def test_kafka_is_asked_for_a_greatest_lag_above_the_least() -> None:
    configs = configs_of(HISTORY, 1)
    assert configs["min.compaction.lag.ms"] == "7000"
    assert int(configs["max.compaction.lag.ms"]) > 7000


@pytest.mark.parametrize("configs", [{"retention.ms": "1001"}, {"retention.ms": "-1"}, {"retention.bytes": "-1"}])
def test_a_longer_retention_is_a_difference_and_no_loss(configs: Mapping[str, str]) -> None:
    found = state(LOG, configs)
    assert list(losses(LOG, found)) == []
    assert len(list(differences(LOG, found))) == 1


def test_any_retention_is_a_loss_where_records_are_to_stay_for_ever() -> None:
    for_ever = TopicSpec("letters", 1)
    (told,) = losses(for_ever, state(for_ever, {"retention.ms": "1000"}))
    assert "retention.ms=1000: set it to -1" in told


@pytest.mark.parametrize(("replication", "least"), [(1, "1"), (2, "1"), (3, "2"), (5, "2")])
@pytest.mark.parametrize("spec", [LOG, PEOPLE], ids=lambda spec: spec.name)
def test_two_replicas_confirm_a_record_where_there_are_three(spec: TopicSpec, replication: int, least: str) -> None:
    assert configs_of(spec, replication)["min.insync.replicas"] == least
    made = state(spec, {"min.insync.replicas": least}, replication=replication)
    assert list(differences(spec, made)) == []


def test_records_that_one_replica_confirms_are_a_difference_and_no_loss() -> None:
    found = state(LOG, {"min.insync.replicas": "1"}, replication=3)
    (told,) = differences(LOG, found)
    assert "set min.insync.replicas to 2" in told
    assert list(losses(LOG, found)) == []


def test_a_stricter_choice_is_let_be_unless_it_refuses_every_record() -> None:
    assert list(differences(LOG, state(LOG, {"min.insync.replicas": "3"}, replication=3))) == []
    (told,) = losses(LOG, state(LOG, {"min.insync.replicas": "3"}, replication=2))
    assert "takes no records: set min.insync.replicas to 1" in told


@pytest.mark.parametrize(
    ("requests_minutes", "offsets_minutes", "told"),
    [(100, 99, "to 200"), (100, 100, "to 200"), (100, 101, None), (None, 10_000, "to 2147483647")],
)
def test_offsets_are_to_be_kept_for_longer_than_requests(
    requests_minutes: int | None, offsets_minutes: int, told: str | None
) -> None:
    spec = TopicSpec("requests", 1, None if requests_minutes is None else requests_minutes * 60_000)
    found = offsets_forgotten_early(offsets_minutes, 7, spec)
    assert (found is None) if told is None else (found is not None and "broker 7" in found and told in found)
