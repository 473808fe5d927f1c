"""Output files of a replay never replace what it reads."""

import stat
from pathlib import Path

import pytest

from capture.replaying.decision_file import decision_file
from contract.captures.values import CaptureError
from picturematch.options import UserError
from picturematch.replay_outputs import require_apart


@pytest.fixture
def capture(tmp_path: Path) -> Path:
    (tmp_path / "capture" / "pictures").mkdir(parents=True)
    (tmp_path / "capture" / "requests.jsonl").write_text("lines")
    (tmp_path / "packed.tar.zst").write_text("archive")
    (tmp_path / "link").symlink_to(tmp_path / "capture")
    (tmp_path / "other.tar.zst").hardlink_to(tmp_path / "packed.tar.zst")
    return tmp_path / "capture"


@pytest.mark.parametrize(
    "output",
    [
        "capture/requests.jsonl",
        "capture/new.html",
        "capture/pictures/new.html",
        "link/requests.jsonl",
        "packed.tar.zst",
        "other.tar.zst",
        "elsewhere/../capture/x",
    ],
)
def test_a_file_that_would_replace_what_is_read_is_refused(capture: Path, output: str) -> None:
    folder = capture.parent
    with pytest.raises(UserError, match="which is read; choose another file"):
        require_apart({"--html": folder / output}, (None, capture, folder / "packed.tar.zst"))


def test_two_outputs_with_one_path_are_refused(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path)
    for first, second in (("x", "x"), ("x", "link/x"), ("x", "x.half")):
        outputs = {"--decisions": tmp_path / first, "--html": tmp_path / second}
        with pytest.raises(UserError, match="--decisions and --html would both write"):
            require_apart(outputs, ())


def test_files_beside_the_capture_are_allowed(capture: Path) -> None:
    outputs = {"--decisions": capture.parent / "capture.jsonl", "--html": capture.parent / "x", "--junit": None}
    read = (capture, Path("-"), capture.parent / "absent")
    require_apart(outputs, read)
    with pytest.raises(UserError, match="which is read"):
        require_apart({**outputs, "--decisions": capture / "requests.jsonl"}, read)


def test_the_decision_file_is_replaced_at_the_end_also_after_an_error(tmp_path: Path) -> None:
    path = tmp_path / "decisions.jsonl"
    path.write_text("before")
    stopped = pytest.raises(RuntimeError)
    with stopped, decision_file(path) as file:
        file.write(b"rows before the error")
        assert path.read_text() == "before"
        raise RuntimeError
    assert path.read_text() == "rows before the error"
    with decision_file(path) as file:
        file.write(b"whole")
        assert path.read_text() != "whole"
    assert (path.read_text(), stat.S_IMODE(path.stat().st_mode)) == ("whole", 0o600)
    assert list(tmp_path.iterdir()) == [path]
    with pytest.raises(CaptureError, match="cannot be written"), decision_file(tmp_path / "absent" / "x"):
        pass
