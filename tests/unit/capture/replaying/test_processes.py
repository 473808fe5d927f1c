"""The decision file is the same for any number of processes, and damage ends a replay at its line."""

from pathlib import Path

import msgspec
import pytest

from capture.reader import CaptureReader
from capture.replaying import run
from capture.replaying.decide import PRESENT_SETTINGS
from capture.replaying.decision_file import decision_line
from capture.replaying.run import Replay
from capture.replaying.whatif import WhatIf
from capture.reporting.report import Report
from capture.rows import Row
from contract.captures.values import CaptureError
from tests.support.faces import photo, scene
from tests.support.recorded_site import RecordedSite
from tests.support.replays import means, replayed


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(run, "CHUNK_BYTES", 1500)  # of about two lines
    site = RecordedSite()
    for number in range(10):
        site.enrol(f"p{number}", number % 5)
        site.match(photo(number % 6))
        site.match(scene())
    return site.capture(tmp_path / "c")


@pytest.mark.parametrize("what_if", [WhatIf(), WhatIf(threshold=0.9), WhatIf(look=True)])
def test_the_bytes_do_not_depend_on_the_number_of_workers(folder: Path, what_if: WhatIf) -> None:
    files = [b"".join(map(decision_line, replayed(folder, what_if, means(jobs=jobs)))) for jobs in (1, 2, 5)]
    assert len(files[0].splitlines()) == 20
    assert files[0] == files[1] == files[2]


def test_rows_are_the_same_from_any_number_of_processes(folder: Path) -> None:
    assert replayed(folder, given=means(jobs=1)) == replayed(folder, given=means(jobs=3))


@pytest.mark.parametrize("what_if", [WhatIf(), WhatIf(threshold=0.9)])
@pytest.mark.parametrize("jobs", [1, 2])
def test_rows_in_which_nothing_differs_are_added_up_and_the_report_is_the_same(
    folder: Path, jobs: int, what_if: WhatIf
) -> None:
    whole, summed, alone = Report(), Report(), list[Row]()
    for row in replayed(folder, what_if):
        whole.add(row)
    for item in Replay(CaptureReader(folder), what_if, means(jobs=jobs)).summed_rows(summed.summing):
        if isinstance(item, Row):
            alone.append(item)
            summed.add(item)
        else:
            summed.add_same(item)
    assert summed.findings() == whole.findings()
    assert summed.shown() == whole.shown()
    assert [row.number for row in alone if row.differences == () and row.remark is None] == []
    assert len(alone) < 20


def test_a_row_with_a_remark_is_not_added_up(tmp_path: Path) -> None:
    site = RecordedSite()
    site.enrol("p", 0)
    site.match(photo(0))
    site.change_last(policy=None)
    folder = site.capture(tmp_path / "c")
    (row,) = Replay(CaptureReader(folder), WhatIf(), means()).summed_rows(Report().summing)
    assert isinstance(row, Row)
    assert (row.differences, row.remark) == ((), PRESENT_SETTINGS)
    assert msgspec.json.decode(decision_line(row))["remark"] == PRESENT_SETTINGS


@pytest.mark.parametrize("jobs", [1, 2])
def test_damage_ends_a_replay_with_the_rows_before_it(folder: Path, jobs: int) -> None:
    requests = folder / "requests.jsonl"
    lines = requests.read_bytes().splitlines(keepends=True)
    for damaged, reason in (
        ([*lines[:7], lines[7].replace(b'"r7"', b'"r9"'), *lines[8:]], "line 8 of requests.jsonl is damaged"),
        ([*lines[:7], *lines[8:]], "line 8 of requests.jsonl is damaged"),
        ([*lines[:15], lines[15][:-9]], "line 16 of requests.jsonl is cut"),
        (lines[:16], "line 17 of requests.jsonl is missing"),
        ([*lines, lines[-1]], "line 21 of requests.jsonl is damaged"),
    ):
        requests.write_bytes(b"".join(damaged))
        rows: list[Row] = []
        replay = Replay(CaptureReader(folder, check=False), WhatIf(), means(jobs=jobs))
        with pytest.raises(CaptureError, match=reason):
            rows.extend(replay.rows())
        assert [row.number for row in rows] == list(range(1, int(reason.split()[1])))
