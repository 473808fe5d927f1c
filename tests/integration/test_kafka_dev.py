"""The Kafka broker for development."""

import uuid

import pytest

from tests.support.kafka import own_kafka


@pytest.mark.slow
def test_it_starts_whatever_its_cluster_id_begins_with(kafka_bootstrap: str, monkeypatch: pytest.MonkeyPatch) -> None:
    dash = uuid.UUID(bytes=b"\xf8" + bytes(15))  # in base64 for URLs it begins with a dash
    monkeypatch.setattr("picturematch.kafka_dev.uuid.uuid4", lambda: dash)
    with own_kafka() as broker:
        assert broker.bootstrap != kafka_bootstrap
