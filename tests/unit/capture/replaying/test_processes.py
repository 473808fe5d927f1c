"""The decision file is the same for any number of processes, and damage ends a replay at its line."""

import os
import signal
from collections.abc import Sequence
from pathlib import Path

import msgspec
import pytest

from capture.folder import CaptureFolder
from capture.reader import CaptureReader
from capture.replaying import run
from capture.replaying.decide import PRESENT_SETTINGS
from capture.replaying.decision_file import decision_line
from capture.replaying.processes import ProcessLost
from capture.replaying.run import Replay
from capture.replaying.whatif import WhatIf
from capture.reporting.report import Report
from capture.rows import Row
from contract.captures.convert import format_manifest
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


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_missing_picture_ends_a_replay_of_embeddings_at_its_line(folder: Path, jobs: int) -> None:
    line = next(line for number, line in CaptureReader(folder).lines() if number == 3)
    (folder / "pictures" / f"{line.request.picture}.jpg").unlink()
    rows: list[Row] = []
    replay = Replay(CaptureReader(folder, check=False), WhatIf(), means(jobs=jobs))
    missing = rf"line 3 of requests.jsonl: pictures/{line.request.picture}.jpg is missing or not a regular file"
    with pytest.raises(CaptureError, match=missing):
        rows.extend(replay.rows())
    assert [row.number for row in rows] == [1, 2]
    rows = list(Replay(CaptureReader(folder, keep_going=True), WhatIf(), means(jobs=jobs)).rows())
    assert [row.number for row in rows] == list(range(1, 21))
    troubled = {row.number: row.trouble for row in rows if row.trouble is not None}
    assert 3 in troubled
    assert {row.line.request.picture for row in rows if row.trouble} == {line.request.picture}
    assert troubled[3].endswith("is missing or not a regular file")
    assert all(row.differences == () for row in rows if row.trouble is None)


def test_a_missing_infrared_picture_and_one_that_is_a_link_are_missing(tmp_path: Path) -> None:
    site = RecordedSite()
    site.enrol("p", 1)
    site.match(photo(1))
    site.match(photo(1), ir_picture=photo(1, infrared=True), liveness_mode="liveness_rgb_ir")
    folder = site.capture(tmp_path / "c")
    infrared = folder / "pictures" / f"{site.lines[1].request.ir_picture}.jpg"
    infrared.rename(tmp_path / "elsewhere.jpg")
    for _ in range(2):
        with pytest.raises(CaptureError, match=rf"line 2 of requests.jsonl: pictures/{infrared.name} is missing"):
            list(Replay(CaptureReader(folder, check=False), WhatIf(), means()).rows())
        infrared.unlink(missing_ok=True)
        infrared.symlink_to(tmp_path / "elsewhere.jpg")


def test_a_capture_without_pictures_is_not_searched_for_them(folder: Path) -> None:
    with CaptureFolder(folder) as out:
        out.describe(pictures=False)
    for picture in (folder / "pictures").iterdir():
        picture.unlink()
    assert all(row.differences == () for row in Replay(CaptureReader(folder, check=False), WhatIf(), means()).rows())


def _killed(rows: Sequence[Row]) -> int:
    """Add rows up until the system, which has no memory left, kills the process."""
    os.kill(os.getpid(), signal.SIGKILL)
    return len(rows)


def test_a_process_that_the_system_kills_ends_the_replay_with_a_sentence(folder: Path) -> None:
    replay = Replay(CaptureReader(folder), WhatIf(), means(jobs=2))
    with pytest.raises(ProcessLost, match=r"was ended from outside.*--jobs"):
        list(replay.summed_rows(_killed))
    going_on = Replay(CaptureReader(folder, keep_going=True), WhatIf(), means(jobs=2))
    with pytest.raises(ProcessLost):
        list(going_on.summed_rows(_killed))


def test_a_capture_that_becomes_shorter_while_it_is_replayed_is_reported(folder: Path) -> None:
    rows = Replay(CaptureReader(folder), WhatIf(), means()).rows()
    assert next(rows).number == 1
    (folder / "requests.jsonl").write_bytes(b"")
    with pytest.raises(CaptureError, match="became shorter while it was read; replay a copy of the capture"):
        list(rows)


def test_a_manifest_without_the_seal_of_the_requests_is_damage(folder: Path) -> None:
    manifest = CaptureReader(folder).manifest
    files = {name: seal for name, seal in manifest.files.items() if name != "requests.jsonl"}
    (folder / "capture.json").write_bytes(format_manifest(msgspec.structs.replace(manifest, files=files)))
    with pytest.raises(CaptureError, match=r"capture.json is damaged: it has no seal of requests.jsonl"):
        list(Replay(CaptureReader(folder, check=False), WhatIf(), means()).rows())
    kept_going = CaptureReader(folder, keep_going=True)
    assert len(list(Replay(kept_going, WhatIf(), means()).rows())) == 20
    assert any("it has no seal of requests.jsonl" in sentence for sentence in kept_going.damage)
