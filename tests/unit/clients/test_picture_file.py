import io
import os
from pathlib import Path

import pytest

import clients.picture_file
from clients.picture_file import UnusablePicture, read_picture, read_picture_from


def test_a_picture_is_read_through_a_link(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"a picture")
    (tmp_path / "link.jpg").symlink_to(tmp_path / "a.jpg")
    assert read_picture(tmp_path / "link.jpg") == b"a picture"


@pytest.mark.parametrize("name", ["fifo.jpg", "zero.jpg", "folder.jpg", "none.jpg", "loop.jpg"])
def test_only_regular_files_are_read(tmp_path: Path, name: str) -> None:
    os.mkfifo(tmp_path / "fifo.jpg")
    (tmp_path / "zero.jpg").symlink_to("/dev/zero")
    (tmp_path / "folder.jpg").mkdir()
    (tmp_path / "loop.jpg").symlink_to(tmp_path / "loop.jpg")
    with pytest.raises(UnusablePicture, match="does not exist or is not a file"):
        read_picture(tmp_path / name)


def test_a_fifo_that_takes_a_pictures_place_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.mkfifo(tmp_path / "fifo.jpg")
    monkeypatch.setattr(Path, "is_file", lambda _self: True)
    with pytest.raises(UnusablePicture, match="is not a regular file"):
        read_picture(tmp_path / "fifo.jpg")


def test_a_picture_of_the_limit_is_read_and_a_larger_one_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clients.picture_file, "MAX_PICTURE_BYTES", 5)
    (tmp_path / "a.jpg").write_bytes(b"12345")
    (tmp_path / "b.jpg").write_bytes(b"123456")
    assert read_picture(tmp_path / "a.jpg") == b"12345"
    with pytest.raises(UnusablePicture, match="larger than 5 bytes"):
        read_picture(tmp_path / "b.jpg")


def test_a_stream_is_read_to_its_end_and_no_further_than_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clients.picture_file, "MAX_PICTURE_BYTES", 5)
    assert read_picture_from(io.BytesIO(b"12345")) == b"12345"
    endless = io.BytesIO(b"1" * 1000)
    with pytest.raises(UnusablePicture, match="larger than 5 bytes"):
        read_picture_from(endless)
    assert endless.tell() == 6


def test_an_empty_stream_is_no_picture() -> None:
    with pytest.raises(UnusablePicture, match="the input is empty"):
        read_picture_from(io.BytesIO(b""))
