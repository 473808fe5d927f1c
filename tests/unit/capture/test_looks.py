import errno
import os
from pathlib import Path

import pytest

from capture.looks import LooksFile
from capture.reader import CaptureReader
from contract.captures.values import CaptureError, LookLine
from tests.support.captures import MODEL_SET, whole_capture


def look(number: int) -> LookLine:
    return LookLine(request_id=f"r{number}", embedder="e", precision="single", embedding=None)


def kept(capture: Path, model_set: str = MODEL_SET) -> list[str]:
    return [line.request_id for _, line in CaptureReader(capture).looks(model_set)]


@pytest.fixture
def capture(tmp_path: Path) -> Path:
    return whole_capture(tmp_path / "capture")


def test_looks_are_appended_to_those_that_are_there(capture: Path) -> None:
    with LooksFile(capture, MODEL_SET) as looks:
        assert looks.keeps
        looks.append([look(7), look(8)])
        looks.append([look(9)])
    assert kept(capture) == ["r0", "r1", "r2", "r7", "r8", "r9"]
    assert kept(capture, "other") == []


def test_a_look_that_a_crash_left_half_written_is_computed_again(capture: Path) -> None:
    path = capture / "looks" / f"{MODEL_SET}.jsonl"
    path.write_bytes(path.read_bytes()[:-5])
    assert kept(capture) == ["r0", "r1"]
    with LooksFile(capture, MODEL_SET) as looks:
        looks.append([look(2)])
    assert kept(capture) == ["r0", "r1", "r2"]


def test_damaged_looks_are_refused_with_the_way_on(capture: Path) -> None:
    path = capture / "looks" / f"{MODEL_SET}.jsonl"
    path.write_bytes(path.read_bytes().replace(b"r1", b"r2"))
    with pytest.raises(CaptureError, match=r"line 2 of .* is damaged.*delete the file"):
        LooksFile(capture, MODEL_SET).__enter__()
    with pytest.raises(CaptureError, match=r"line 2 of .* is damaged.*delete the file"):
        kept(capture)


def test_one_process_appends_and_another_goes_on_without(capture: Path) -> None:
    with LooksFile(capture, MODEL_SET) as first, LooksFile(capture, MODEL_SET) as second:
        assert (first.keeps, second.keeps) == (True, False)
        second.append([look(5)])
        first.append([look(6)])
    assert kept(capture) == ["r0", "r1", "r2", "r6"]


@pytest.mark.parametrize("number", [errno.EROFS, errno.EACCES])
def test_looks_of_a_capture_that_cannot_be_written_are_not_kept(
    capture: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    before, opened = kept(capture), os.open

    def read_only(path: Path, flags: int, *more: int) -> int:
        if flags & (os.O_RDWR | os.O_WRONLY):
            raise OSError(number, os.strerror(number), path)
        return opened(path, flags, *more)

    monkeypatch.setattr("capture.sealed_file.os.open", read_only)
    with LooksFile(capture, MODEL_SET) as looks:
        assert not looks.keeps
        looks.append([look(5)])
    monkeypatch.undo()
    assert kept(capture) == before


def test_a_full_disk_ends_the_keeping_and_not_the_replay(capture: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    with LooksFile(capture, MODEL_SET) as looks:
        looks.append([look(5)])
        monkeypatch.setattr("capture.sealed_file.os.fsync", full)
        looks.append([look(6)])
        monkeypatch.undo()
        assert not looks.keeps
        looks.append([look(7)])
    assert kept(capture) == ["r0", "r1", "r2", "r5"]


def test_a_folder_of_looks_that_leads_elsewhere_is_refused(capture: Path, tmp_path: Path) -> None:
    (capture / "looks").rename(tmp_path / "elsewhere")
    (capture / "looks").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(CaptureError, match="looks is not a folder inside"):
        LooksFile(capture, MODEL_SET).__enter__()
