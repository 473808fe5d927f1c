"""Output files of a replay never replace what it reads."""

import resource
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from click.testing import CliRunner

from capture.replaying.decision_file import decision_file, decision_line
from capture.rows import Row
from contract.captures.values import CapturedRequest, CaptureError, CaptureLine
from picturematch.__main__ import cli
from picturematch.options import UserError
from picturematch.replay_outputs import require_apart
from tests.support.faces import photo
from tests.support.recorded_site import RecordedSite


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


def row(request_id: str) -> Row:
    return Row(1, CaptureLine(request_id=request_id, request=CapturedRequest(picture="0" * 64)))


def test_the_decision_file_is_replaced_at_the_end_also_after_an_error(tmp_path: Path) -> None:
    path = tmp_path / "decisions.jsonl"
    path.write_text("before")
    stopped = pytest.raises(RuntimeError)
    with stopped, decision_file(path) as write:
        write(row("before the error"))
        assert path.read_text() == "before"
        raise RuntimeError
    assert path.read_bytes() == decision_line(row("before the error"))
    with decision_file(path) as write:
        write(row("whole"))
        assert path.read_bytes() == decision_line(row("before the error"))
    assert (path.read_bytes(), stat.S_IMODE(path.stat().st_mode)) == (decision_line(row("whole")), 0o600)
    assert list(tmp_path.iterdir()) == [path]
    with pytest.raises(CaptureError, match="cannot be written"), decision_file(tmp_path / "absent" / "x"):
        pass


@contextmanager
def room_for(most_bytes: int) -> Iterator[None]:
    """Let no file of this process grow beyond so many bytes, as where the disk is full."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("rows", [2, 2000])
def test_a_decision_file_without_room_is_one_sentence_and_as_before(tmp_path: Path, rows: int) -> None:
    """Few rows are written when the file is closed, many before."""
    path = tmp_path / "decisions.jsonl"
    path.write_text("before")
    unwritable = pytest.raises(CaptureError, match=r"decisions\.jsonl cannot be written: ")
    with room_for(100), unwritable, decision_file(path) as write:
        for _ in range(rows):
            write(row("r"))
    assert path.read_text() == "before"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("matches", [1, 60])
def test_a_replay_whose_decisions_have_no_room_ends_with_one_sentence(tmp_path: Path, matches: int) -> None:
    site = RecordedSite()
    site.enrol("p", 1)
    for _ in range(matches):
        site.match(photo(1))
    folder = site.capture(tmp_path / "c")
    with room_for(100):
        ended = CliRunner().invoke(cli, ["replay", str(folder), "--decisions", str(tmp_path / "d"), "--jobs", "1"])
    assert ended.exit_code == 2
    assert ended.stderr.splitlines()[-1].startswith(f"picturematch: {tmp_path / 'd'} cannot be written: ")
    assert not (tmp_path / "d").exists()
