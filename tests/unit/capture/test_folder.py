import errno
import stat
from contextlib import suppress
from pathlib import Path

import pytest

from capture.folder import CaptureFolder
from capture.reader import CaptureReader
from contract.captures.convert import line_of
from contract.captures.values import CaptureError
from contract.events import RequestPlace
from contract.files import sync_filesystem
from contract.pictures.digest import picture_digest
from contract.requests import MatchRequest
from tests.support.records import match_request


def keep(folder: CaptureFolder, request: MatchRequest, offset: int) -> None:
    sha256 = folder.keep_picture(request.picture)
    place = RequestPlace(topic="requests", partition=0, offset=offset, sha256=sha256)
    folder.append([line_of(request, place, None)])


def offsets(folder: CaptureFolder) -> dict[int, int]:
    return {partition: line.place.offset for partition, line in folder.last_lines.items() if line.place is not None}


def test_what_is_written_is_read_and_private(tmp_path: Path) -> None:
    out = tmp_path / "a" / "capture"
    request = match_request(1)
    with CaptureFolder(out) as folder:
        keep(folder, request, 4)
        keep(folder, request, 5)

    reader = CaptureReader(out)
    lines = [line for _, line in reader.lines()]
    assert reader.count == len(lines) == 2
    assert reader.picture(lines[0].request.picture) == request.picture
    assert len(list((out / "pictures").iterdir())) == 1
    assert {stat.S_IMODE(p.stat().st_mode) for p in out.rglob("*") if p.is_file()} == {0o600}
    assert {stat.S_IMODE(p.stat().st_mode) for p in (out, out / "pictures")} == {0o700}


def test_a_capture_is_continued_after_its_last_request(tmp_path: Path) -> None:
    with CaptureFolder(tmp_path) as folder:
        assert folder.last_lines == {}
        keep(folder, match_request(1), 4)
    with CaptureFolder(tmp_path) as folder:
        assert offsets(folder) == {0: 4}
        keep(folder, match_request(2), 9)
    assert CaptureReader(tmp_path).count == 2


class Crash(Exception):
    """The writer of a capture ended in the middle of its work."""


def crash_after_two_requests(out: Path) -> None:
    with suppress(Crash), CaptureFolder(out) as folder:
        keep(folder, match_request(1), 4)
        keep(folder, match_request(2), 5)
        raise Crash


def test_what_a_crash_left_half_is_removed(tmp_path: Path) -> None:
    crash_after_two_requests(tmp_path)
    requests = tmp_path / "requests.jsonl"
    requests.write_bytes(requests.read_bytes()[:-20])
    (tmp_path / "pictures" / "abc.half").write_bytes(b"half")
    (tmp_path / "capture.json.half").write_bytes(b"half")
    with CaptureFolder(tmp_path) as folder:
        assert offsets(folder) == {0: 4}
    assert CaptureReader(tmp_path).count == 1
    assert not list(tmp_path.rglob("*.half"))


def test_half_of_a_line_that_is_longer_than_a_block_is_removed(tmp_path: Path) -> None:
    crash_after_two_requests(tmp_path)
    with (tmp_path / "requests.jsonl").open("ab") as requests:
        requests.write(b"x" * 200_000)
    with CaptureFolder(tmp_path) as folder:
        assert offsets(folder) == {0: 5}
    assert CaptureReader(tmp_path).count == 2


def test_a_crash_before_the_first_manifest_leaves_a_folder_that_can_be_used(tmp_path: Path) -> None:
    (tmp_path / "capture.json.half").write_bytes(b"{")
    with CaptureFolder(tmp_path) as folder:
        keep(folder, match_request(1), 4)
    assert CaptureReader(tmp_path).count == 1
    assert not list(tmp_path.rglob("*.half"))


@pytest.mark.parametrize("kept", [0, 40, -40], ids=["all lines are missing", "a line is cut", "the last line is cut"])
def test_a_capture_that_was_whole_and_lost_lines_is_not_continued(tmp_path: Path, kept: int) -> None:
    with CaptureFolder(tmp_path) as folder:
        keep(folder, match_request(1), 4)
        keep(folder, match_request(2), 5)
    requests = tmp_path / "requests.jsonl"
    requests.write_bytes(requests.read_bytes()[:kept])
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    with pytest.raises(CaptureError, match=r"line \d of requests\.jsonl is (missing|cut)"), CaptureFolder(tmp_path):
        pass
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_a_folder_of_something_else_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("dear")
    with pytest.raises(CaptureError, match="not empty and not a capture"), CaptureFolder(tmp_path):
        pass
    assert [p.name for p in tmp_path.iterdir()] == ["letter.txt"]


def test_a_capture_of_a_newer_format_is_refused(tmp_path: Path) -> None:
    (tmp_path / "capture.json").write_text('{"format": "picturematch-capture", "version": 9}')
    with pytest.raises(CaptureError, match="version 9"), CaptureFolder(tmp_path):
        pass


def test_a_capture_has_one_writer(tmp_path: Path) -> None:
    with (
        CaptureFolder(tmp_path),
        pytest.raises(CaptureError, match="another process writes"),
        CaptureFolder(tmp_path),
    ):
        pass


def test_a_reader_says_what_is_missing_or_damaged(tmp_path: Path) -> None:
    with pytest.raises(CaptureError, match="is not a folder"):
        CaptureReader(tmp_path / "none")
    with pytest.raises(CaptureError, match=r"no capture\.json"):
        CaptureReader(tmp_path)
    with CaptureFolder(tmp_path) as folder:
        keep(folder, match_request(1), 4)
    (picture,) = (tmp_path / "pictures").iterdir()
    reader = CaptureReader(tmp_path)
    picture.write_bytes(b"another")
    with pytest.raises(CaptureError, match="damaged"):
        reader.picture(picture.stem)
    picture.unlink()
    with pytest.raises(CaptureError, match=r"line 1 of requests\.jsonl: pictures/\w+\.jpg is missing"):
        CaptureReader(tmp_path)
    (tmp_path / "requests.jsonl").unlink()
    with pytest.raises(CaptureError, match=r"no requests\.jsonl"):
        CaptureReader(tmp_path)


@pytest.mark.parametrize("place", ["os.write", "os.fsync", "os.open"])
def test_a_full_disk_is_told_with_the_folder_and_the_way_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    def full(*_: object, **_how: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    with CaptureFolder(tmp_path) as folder:
        keep(folder, match_request(1), 4)
        monkeypatch.setattr(f"capture.folder.{place}", full)
        with pytest.raises(CaptureError) as error:
            keep(folder, match_request(2), 5)
        monkeypatch.undo()
        keep(folder, match_request(3), 6)
    assert str(error.value).startswith(f"{tmp_path} cannot be written (No space left on device): free some space")
    assert [line.request_id for _, line in CaptureReader(tmp_path).lines()] == ["r1", "r3"]


def test_a_folder_that_cannot_be_made_is_told_with_its_name(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(CaptureError, match=r"file/out cannot be written .*choose another folder"):
        CaptureFolder(tmp_path / "file" / "out").__enter__()


@pytest.mark.parametrize("left", [match_request(1).picture[:10], bytes(len(match_request(1).picture)), b""])
def test_a_picture_of_which_a_crash_left_a_part_or_zeros_is_stored_again(tmp_path: Path, left: bytes) -> None:
    picture = match_request(1).picture
    with CaptureFolder(tmp_path / "out") as folder:
        sha256 = folder.keep_picture(picture)
        file = tmp_path / "out" / "pictures" / f"{sha256}.jpg"
        file.write_bytes(left)
        assert list(folder.keep_pictures([picture, picture])) == [sha256, sha256]
        assert file.read_bytes() == picture


def damaged(folder: CaptureFolder) -> list[tuple[int, int]]:
    """The lines and offsets whose pictures are damaged."""
    return [(named.number, named.place.offset) for named in folder.damaged() if named.place is not None]


def zero_pictures(out: Path) -> None:
    """What a crash of the machine may leave of pictures that were not synced."""
    for file in (out / "pictures").iterdir():
        file.write_bytes(bytes(file.stat().st_size))


def test_pictures_that_a_crash_of_the_machine_damaged_are_found_by_their_lines(tmp_path: Path) -> None:
    crash_after_two_requests(tmp_path)
    with suppress(Crash), CaptureFolder(tmp_path) as folder:
        assert damaged(folder) == []
        raise Crash
    (tmp_path / "pictures" / f"{picture_digest(match_request(2).picture)}.jpg").unlink()
    with suppress(Crash), CaptureFolder(tmp_path) as folder:
        assert damaged(folder) == [(2, 5)]
        raise Crash
    zero_pictures(tmp_path)
    with CaptureFolder(tmp_path) as folder:
        assert damaged(folder) == [(1, 4), (2, 5)]


def test_pictures_that_are_known_to_be_durable_are_not_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("capture.folder.MOST_UNSYNCED", 2)
    with suppress(Crash), CaptureFolder(tmp_path) as folder:
        for number in range(3):
            keep(folder, match_request(number), number)
        raise Crash
    assert CaptureReader(tmp_path, keep_going=True).manifest.durable == 2
    zero_pictures(tmp_path)
    with CaptureFolder(tmp_path) as folder:
        assert damaged(folder) == [(3, 2)]
    assert CaptureReader(tmp_path).manifest.durable == 0
    with suppress(Crash), CaptureFolder(tmp_path) as folder:
        keep(folder, match_request(3), 3)
        raise Crash
    zero_pictures(tmp_path)
    with CaptureFolder(tmp_path) as folder:
        assert damaged(folder) == [(4, 3)]


def test_a_capture_whose_pictures_cannot_be_made_durable_is_not_complete(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr("capture.folder.sync_filesystem", broken)
    with pytest.raises(CaptureError, match="Input/output error"), CaptureFolder(tmp_path) as folder:
        keep(folder, match_request(1), 4)
    assert not CaptureReader(tmp_path, keep_going=True).manifest.complete


def test_many_pictures_are_synced_at_once_before_the_capture_is_complete(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[bool] = []

    def sync(descriptor: int) -> None:
        synced.append(CaptureReader(tmp_path, keep_going=True).manifest.complete)
        sync_filesystem(descriptor)

    with CaptureFolder(tmp_path) as folder:
        monkeypatch.setattr("capture.folder.sync_filesystem", sync)
        with monkeypatch.context() as no_sync:
            no_sync.delattr("capture.folder.os.fsync")
            folder.keep_pictures([match_request(number).picture for number in range(10)])
    assert synced == [False]
    assert CaptureReader(tmp_path).manifest.complete


def test_a_complete_capture_that_is_only_opened_stays_complete(tmp_path: Path) -> None:
    with CaptureFolder(tmp_path / "out") as folder:
        folder.append([])
    with suppress(ValueError), CaptureFolder(tmp_path / "out"):
        raise ValueError
    assert CaptureReader(tmp_path / "out").manifest.complete
