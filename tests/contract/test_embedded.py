from pathlib import Path

import pytest

from tests.contract.embedded_make import EmbeddedMake
from tests.contract.suites import GroupContract, HistoryContract, KeepingContract, LogContract, ReaderContract


@pytest.fixture
def make(tmp_path: Path) -> EmbeddedMake:
    return EmbeddedMake(tmp_path / "data")


class TestLog(LogContract):
    pass


class TestReader(ReaderContract):
    pass


class TestGroup(GroupContract):
    pass


class TestHistory(HistoryContract):
    pass


class TestKeeping(KeepingContract):
    pass
