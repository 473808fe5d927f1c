import os
from pathlib import Path

import pytest

import clients.photo_file
from clients.photo_file import UnusablePhoto, read_photo


def test_a_photo_is_read_through_a_link(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"a photo")
    (tmp_path / "link.jpg").symlink_to(tmp_path / "a.jpg")
    assert read_photo(tmp_path / "link.jpg") == b"a photo"


@pytest.mark.parametrize("name", ["fifo.jpg", "zero.jpg", "folder.jpg", "none.jpg", "loop.jpg"])
def test_only_regular_files_are_read(tmp_path: Path, name: str) -> None:
    os.mkfifo(tmp_path / "fifo.jpg")
    (tmp_path / "zero.jpg").symlink_to("/dev/zero")
    (tmp_path / "folder.jpg").mkdir()
    (tmp_path / "loop.jpg").symlink_to(tmp_path / "loop.jpg")
    with pytest.raises(UnusablePhoto, match="does not exist or is not a file"):
        read_photo(tmp_path / name)


def test_a_fifo_that_takes_a_photos_place_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.mkfifo(tmp_path / "fifo.jpg")
    monkeypatch.setattr(Path, "is_file", lambda _self: True)
    with pytest.raises(UnusablePhoto, match="is not a regular file"):
        read_photo(tmp_path / "fifo.jpg")


def test_a_photo_of_the_limit_is_read_and_a_larger_one_is_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clients.photo_file, "MAX_PICTURE_BYTES", 5)
    (tmp_path / "a.jpg").write_bytes(b"12345")
    (tmp_path / "b.jpg").write_bytes(b"123456")
    assert read_photo(tmp_path / "a.jpg") == b"12345"
    with pytest.raises(UnusablePhoto, match="larger than 5 bytes"):
        read_photo(tmp_path / "b.jpg")
