"""The server of an embedded log killed under load; `python -m bench.kills` goes on for as long as one likes."""

from pathlib import Path

import pytest

from bench.killrun import KillRun


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("seed", [20261, 20262])
async def test_however_often_the_server_is_killed_every_promise_is_kept(tmp_path: Path, seed: int) -> None:
    report = await KillRun(tmp_path, seed, print).run(15)
    assert report.broken == []
    assert report.statuses[200] > 100
    assert report.people > 0
    assert report.lines == report.events > 0
