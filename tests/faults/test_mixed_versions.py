"""Ingresses and processors of neighbouring versions on the same topics, under load."""

from pathlib import Path

import pytest

from bench.command import Command
from bench.faultrun import FaultRun
from bench.versions import newest_release, sources_of
from tests.support.kafka_dev import DevBroker


@pytest.mark.slow
@pytest.mark.timeout(600)
async def test_the_released_version_and_this_one_keep_every_promise_together(
    kafka_to_break: DevBroker, tmp_path: Path
) -> None:
    # Until a version is released this one runs beside itself.
    other = sources_of(newest_release() or "HEAD", tmp_path / "beside")
    faults = ("kill a processor", "add a processor", "kill an ingress", "remove a processor")
    report = await FaultRun(kafka_to_break, tmp_path, seed=20262, say=print, beside=other).run(20.0, faults)
    assert report.broken == []
    assert report.requests == report.events
    assert report.statuses()[200] > 200
    assert set(report.statuses()) <= {0, 200, 503, 504}


async def test_a_command_of_another_version_runs_that_versions_sources(tmp_path: Path) -> None:
    package = tmp_path / "other" / "picturematch"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "__main__.py").write_text('print("listens on http://127.0.0.1:77")')
    command = Command(["process"], {}, tmp_path / "errors", tmp_path / "other")
    await command.start()
    assert await command.listening(20.0) == 77
    await command.end()
