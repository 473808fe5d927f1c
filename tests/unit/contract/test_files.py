import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from contract.files import half_written, is_locked, new_file, try_lock, write_whole


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "note"


def test_a_file_is_replaced_as_a_whole_and_nothing_is_left_beside_it(path: Path) -> None:
    write_whole(path, b"long content", mode=0o644)
    write_whole(path, b"new")
    assert path.read_bytes() == b"new"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [found.name for found in path.parent.iterdir()] == ["note"]


def test_a_file_that_cannot_be_written_leaves_the_former_one(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_whole(path, b"former")

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_whole(path, b"new")
    assert path.read_bytes() == b"former"
    assert [found.name for found in path.parent.iterdir()] == ["note"]


def test_what_a_killed_writer_left_is_written_over(path: Path) -> None:
    path.with_name("note.half").write_bytes(b"much more than what is written next")
    write_whole(path, b"new")
    assert path.read_bytes() == b"new"


def test_a_link_at_the_half_written_name_is_not_followed(path: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_bytes(b"mine")
    path.with_name("note.half").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="symbolic links"):
        write_whole(path, b"new")
    assert (tmp_path / "elsewhere").read_bytes() == b"mine"


def test_a_name_is_looked_up_in_the_folder_that_is_open_wherever_it_was_moved(tmp_path: Path) -> None:
    (tmp_path / "before").mkdir()
    folder = os.open(tmp_path / "before", os.O_RDONLY | os.O_DIRECTORY)
    try:
        (tmp_path / "before").rename(tmp_path / "after")
        write_whole("note", b"new", folder=folder)
    finally:
        os.close(folder)
    assert (tmp_path / "after" / "note").read_bytes() == b"new"


def test_a_half_written_file_that_is_not_wanted_goes(path: Path) -> None:
    with half_written(path, b"new") as half:
        assert Path(half).read_bytes() == b"new"
    assert list(path.parent.iterdir()) == []


def test_a_new_file_has_its_name_only_once_it_is_whole(path: Path) -> None:
    with new_file(path) as file:
        file.write(b"one")
        assert not path.exists()
        file.write(b"two")
    assert path.read_bytes() == b"onetwo"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with pytest.raises(FileExistsError), new_file(path):
        pass
    assert path.read_bytes() == b"onetwo"
    assert list(path.parent.iterdir()) == [path]


def test_a_new_file_that_was_not_finished_leaves_nothing(path: Path) -> None:
    def half() -> None:
        with new_file(path) as file:
            file.write(b"one")
            raise KeyError

    with pytest.raises(KeyError):
        half()
    assert list(path.parent.iterdir()) == []


def test_a_lock_ends_with_the_process_that_has_it(path: Path) -> None:
    program = (
        "import os, sys; from contract.files import try_lock;"
        "print(try_lock(os.open(sys.argv[1], os.O_RDWR | os.O_CREAT)), flush=True); sys.stdin.read()"
    )
    holder = subprocess.Popen([sys.executable, "-c", program, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"True\n"
        with path.open("r+b") as file:
            assert is_locked(file.fileno())
            assert not try_lock(file.fileno())
    finally:
        holder.kill()
        holder.communicate()
    with path.open("r+b") as file:
        assert not is_locked(file.fileno())
    with path.open("r+b") as file, path.open("r+b") as other:
        assert try_lock(file.fileno())
        assert not try_lock(other.fileno())
