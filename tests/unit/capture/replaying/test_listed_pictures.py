"""The pictures of lines are found in one listing of their folder."""

import pickle
from pathlib import Path

import pytest

from capture.pictures import PictureFiles
from capture.replaying.listed_pictures import ListedPictures
from contract.captures.values import CapturedRequest, CaptureError, CaptureLine

NAMES = [f"{number:02x}" * 32 for number in (0, 1, 127, 128, 255)]


def line(picture: str, infrared: str | None = None, further: tuple[str, ...] = ()) -> CaptureLine:
    request = CapturedRequest(picture=picture, ir_picture=infrared, further_pictures=further)
    return CaptureLine(request_id="r", request=request)


@pytest.fixture
def files(tmp_path: Path) -> PictureFiles:
    (tmp_path / "pictures").mkdir()
    for name in NAMES:
        (tmp_path / "pictures" / f"{name}.jpg").write_bytes(b"")
    return PictureFiles.of(tmp_path)


def test_each_line_without_a_picture_is_named_with_the_picture(files: PictureFiles) -> None:
    absent, also = "ab" * 32, "02" * 32
    lines = [*map(line, NAMES), line(absent), line(NAMES[0], also), line(NAMES[0], NAMES[1])]
    listed = pickle.loads(pickle.dumps(ListedPictures(files)))  # noqa: S301 - our own value, as other processes get it
    assert listed.missing(list(enumerate(lines, start=41))) == {
        46: f"line 46 of requests.jsonl: pictures/{absent}.jpg is missing or not a regular file",
        47: f"line 47 of requests.jsonl: pictures/{also}.jpg is missing or not a regular file",
    }
    assert listed.missing([]) == {}


def test_further_pictures_are_looked_for_too(files: PictureFiles) -> None:
    absent = "ab" * 32
    lines = [line(NAMES[0], None, (NAMES[1], absent)), line(NAMES[0], NAMES[1], (NAMES[2], NAMES[3]))]
    assert ListedPictures(files).missing(list(enumerate(lines, start=1))) == {
        1: f"line 1 of requests.jsonl: pictures/{absent}.jpg is missing or not a regular file"
    }


def test_what_is_no_picture_is_not_taken_for_one(files: PictureFiles) -> None:
    folder, names = Path(files.prefix), [f"{number:02x}" * 32 for number in range(10, 14)]
    (folder / f"{names[0]}.jpg").symlink_to(folder / f"{NAMES[0]}.jpg")
    (folder / f"{names[1]}.jpg").mkdir()
    (folder / f"{names[2]}.jpg.half").write_bytes(b"")
    for name in ("-" + "1" * 67, " " + "1" * 67, "x" * 68, "notes.txt"):
        (folder / name).write_bytes(b"")
    missing = ListedPictures(files).missing(list(enumerate(map(line, [*names, NAMES[0]]))))
    assert list(missing) == [0, 1, 2, 3]


def test_a_picture_that_a_recording_has_stored_since_is_there(files: PictureFiles) -> None:
    listed, later = ListedPictures(files), "cd" * 32
    assert list(listed.missing([(1, line(later))])) == [1]
    (Path(files.prefix) / f"{later}.jpg").write_bytes(b"")
    assert listed.missing([(1, line(later))]) == {}


def test_without_a_folder_every_picture_is_missing_and_what_is_no_folder_is_refused(tmp_path: Path) -> None:
    assert list(ListedPictures(PictureFiles.of(tmp_path)).missing([(1, line(NAMES[0])), (2, line(NAMES[1]))])) == [1, 2]
    (tmp_path / "pictures").write_bytes(b"")
    with pytest.raises(CaptureError, match="pictures cannot be read: Not a directory"):
        ListedPictures(PictureFiles.of(tmp_path))
