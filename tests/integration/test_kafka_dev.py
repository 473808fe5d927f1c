"""The Kafka broker for development."""

import os
import signal
import subprocess
import sys
import uuid

import pytest

from tests.support.commands import ROOT
from tests.support.kafka import own_kafka
from tests.support.kafka_dev.broker import STOP_LIMIT_S, answers


@pytest.mark.slow
def test_it_starts_whatever_its_cluster_id_begins_with(kafka_bootstrap: str, monkeypatch: pytest.MonkeyPatch) -> None:
    dash = uuid.UUID(bytes=b"\xf8" + bytes(15))  # in base64 for URLs it begins with a dash
    monkeypatch.setattr("tests.support.kafka_dev.java.uuid.uuid4", lambda: dash)
    with own_kafka() as broker:
        assert broker.bootstrap != kafka_bootstrap


@pytest.mark.slow
@pytest.mark.skipif(os.environ.get("KAFKA_BOOTSTRAP") is not None, reason="a broker was given, so none need start here")
def test_its_command_prints_an_address_that_answers_until_it_is_stopped(kafka_bootstrap: str) -> None:
    command = [sys.executable, "-m", "tests.support.kafka_dev", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=ROOT) as process:
        assert process.stdout is not None
        port = int(process.stdout.readline().decode().strip().rpartition(":")[2])
        assert f"127.0.0.1:{port}" != kafka_bootstrap
        assert answers(port)
        process.send_signal(signal.SIGINT)
        assert process.wait(STOP_LIMIT_S) == 0
    assert not answers(port)
