"""The contract on a real Kafka broker.

The keeping of records is Kafka's own affair and follows Kafka's clock, in steps of minutes; so `KeepingContract`, which
drives a clock and asks for housekeeping, is the embedded make's. What it says about readers and groups that meet
removed records is tested in test_kafka_alone.py, by removing records. `HistoryContract` runs on both, at Kafka's pace.
"""

import pytest

from tests.contract.kafka_make import KafkaMake
from tests.contract.suites import GroupContract, HistoryContract, LogContract, ReaderContract


@pytest.fixture
def make(kafka_bootstrap: str) -> KafkaMake:
    return KafkaMake(kafka_bootstrap)


class TestLog(LogContract):
    pass


@pytest.mark.slow
class TestHistory(HistoryContract):
    pass


class TestReader(ReaderContract):
    pass


class TestGroup(GroupContract):
    pass
