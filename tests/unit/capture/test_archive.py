"""A capture as one file: what is packed comes out again, and what comes from elsewhere is checked."""

import io
import os
import shutil
import stat
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from capture.archive import opened, pack, unpack
from capture.inflating import Limits
from capture.reader import CaptureReader
from contract.captures.values import CaptureError
from tests.support.captures import whole_capture

MANIFEST = ("capture.json", b"{}\n")


@pytest.fixture(scope="module")
def capture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return whole_capture(tmp_path_factory.mktemp("packed") / "capture")


@pytest.fixture(scope="module")
def packed(capture: Path) -> bytes:
    archive = capture.parent / "capture.tar.zst"
    pack(capture, archive)
    return archive.read_bytes()


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def archive_of(path: Path, *members: tuple[str, bytes] | tarfile.TarInfo, behind: bytes = b"") -> Path:
    """An archive that somebody else has made."""
    tar = io.BytesIO()
    with tarfile.open(fileobj=tar, mode="w") as out:
        for member in members:
            if isinstance(member, tarfile.TarInfo):
                out.addfile(member)
            else:
                info = tarfile.TarInfo(member[0])
                info.size = len(member[1])
                out.addfile(info, io.BytesIO(member[1]))
    path.write_bytes(zstandard.compress(tar.getvalue() + behind))
    return path


def special(name: str, kind: bytes, target: str = "") -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, target
    return member


def refused(archive: Path, folder: Path, limits: Limits | None = None) -> str:
    """The sentence about an archive, of which nothing is left."""
    with pytest.raises(CaptureError) as error:
        unpack(archive, folder, *([limits] if limits else []))
    assert not folder.exists()
    assert "\n" not in str(error.value)
    return str(error.value)


def test_a_capture_comes_out_as_it_was_packed_and_private(capture: Path, packed: bytes, tmp_path: Path) -> None:
    (tmp_path / "in.tar.zst").write_bytes(packed)
    assert unpack(tmp_path / "in.tar.zst", tmp_path / "out") == len(files(capture))
    assert files(tmp_path / "out") == files(capture)
    assert CaptureReader(tmp_path / "out").count == 4
    modes = {path: stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "out").rglob("*")}
    assert {mode for path, mode in modes.items() if path.is_file()} == {0o600}
    assert {mode for path, mode in modes.items() if path.is_dir()} == {0o700}


def test_the_same_capture_gives_the_same_bytes_and_other_files_are_left_out(
    capture: Path, packed: bytes, tmp_path: Path
) -> None:
    copy = shutil.copytree(capture, tmp_path / "copy")
    (copy / "notes.txt").write_text("private")
    (copy / "pictures" / "half.half").write_text("private")
    for path in copy.rglob("*"):
        os.utime(path, (1, 1))
    pack(copy, tmp_path / "out.tar.zst")
    assert (tmp_path / "out.tar.zst").read_bytes() == packed
    assert stat.S_IMODE((tmp_path / "out.tar.zst").stat().st_mode) == 0o600


def test_the_archive_is_an_ordinary_one(packed: bytes, capture: Path) -> None:
    data = zstandard.ZstdDecompressor().stream_reader(packed).read()
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        names = archive.getnames()
        assert names == sorted(files(capture))
        assert {(m.mtime, m.uid, m.gid, m.uname, m.gname, m.mode) for m in archive} == {(0, 0, 0, "", "", 0o600)}


def test_a_file_that_is_there_is_not_replaced_and_no_half_of_one_is_left(
    capture: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "there.tar.zst").write_bytes(b"mine")
    with pytest.raises(CaptureError, match=r"there\.tar\.zst exists already"):
        pack(capture, tmp_path / "there.tar.zst")
    assert (tmp_path / "there.tar.zst").read_bytes() == b"mine"

    def cut(*_: object) -> None:
        raise CaptureError("a file of the capture cannot be read")

    monkeypatch.setattr("capture.archive.open_file", cut)
    with pytest.raises(CaptureError, match="cannot be read"):
        pack(capture, tmp_path / "new.tar.zst")
    assert [path.name for path in tmp_path.iterdir()] == ["there.tar.zst"]
    with pytest.raises(CaptureError, match="cannot be written"):
        pack(capture, tmp_path / "nowhere" / "new.tar.zst")


def test_a_folder_is_opened_as_it_is_and_an_archive_in_a_folder_that_is_removed(
    capture: Path, packed: bytes, tmp_path: Path
) -> None:
    with opened(capture) as folder:
        assert folder == capture
    (tmp_path / "in.tar.zst").write_bytes(packed)
    with opened(tmp_path / "in.tar.zst") as folder:
        assert files(folder) == files(capture)
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert not folder.exists()
    assert capture.exists()


def test_an_archive_can_come_from_standard_input(capture: Path, packed: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(packed)))
    with opened(Path("-")) as folder:
        assert files(folder) == files(capture)


def test_a_folder_that_is_not_empty_is_left_alone(packed: bytes, tmp_path: Path) -> None:
    (tmp_path / "in.tar.zst").write_bytes(packed)
    with pytest.raises(CaptureError, match="is not empty"):
        unpack(tmp_path / "in.tar.zst", tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["in.tar.zst"]


def test_an_archive_that_is_cut_anywhere_is_refused(packed: bytes, tmp_path: Path) -> None:
    archive = tmp_path / "in.tar.zst"
    for size in [*range(0, len(packed), 97), len(packed) - 1]:
        archive.write_bytes(packed[:size])
        assert "it ends too early" in refused(archive, tmp_path / "out"), size


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(at=st.floats(0, 1, exclude_max=True), mask=st.integers(1, 255))
def test_an_archive_with_a_changed_byte_is_refused_or_the_same(
    packed: bytes, capture: Path, tmp_path: Path, at: float, mask: int
) -> None:
    changed = bytearray(packed)
    changed[int(at * len(packed))] ^= mask
    archive, out = tmp_path / "in.tar.zst", tmp_path / "out"
    archive.write_bytes(changed)
    try:
        unpack(archive, out)
    except CaptureError:
        assert not out.exists()
        return
    try:
        assert files(out) == files(capture), "a bit of the frame's header without a meaning for the contents"
    finally:
        shutil.rmtree(out)


@pytest.mark.parametrize("data", [b"", b"hello", b"\x1f\x8b\x08\0" + bytes(20)], ids=["empty", "text", "gzip"])
def test_what_is_no_archive_is_refused(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "in.tar.zst").write_bytes(data)
    assert "is not a whole archive of a capture" in refused(tmp_path / "in.tar.zst", tmp_path / "out")


def test_an_archive_that_cannot_be_opened_is_refused(tmp_path: Path) -> None:
    assert "cannot be opened: No such file" in refused(tmp_path / "none", tmp_path / "out")
    with pytest.raises(CaptureError, match="cannot be opened"), opened(tmp_path / "none"):
        pass


@pytest.mark.parametrize(
    "member",
    [
        ("../capture.json", b""),
        ("/capture.json", b""),
        ("./capture.json", b""),
        ("pictures/../capture.json", b""),
        ("pictures/" + "a" * 63 + ".jpg", b""),
        ("pictures/" + "A" * 64 + ".jpg", b""),
        ("pictures/" + "a" * 64 + ".jpg\n", b""),
        ("pictures/sub/" + "a" * 64 + ".jpg", b""),
        ("looks/" + "a" * 65 + ".jsonl", b""),
        ("notes.txt", b""),
        ("x" * 300, b""),
        special("pictures", tarfile.DIRTYPE),
        special("requests.jsonl", tarfile.SYMTYPE, "/etc/passwd"),
        special("requests.jsonl", tarfile.LNKTYPE, "capture.json"),
        special("requests.jsonl", tarfile.FIFOTYPE),
        special("requests.jsonl", tarfile.CHRTYPE),
        special("pictures/" + "a" * 64 + ".jpg", tarfile.GNUTYPE_SPARSE),
    ],
    ids=lambda member: member[0][:20] if isinstance(member, tuple) else f"{member.name[:20]} {member.type!r}",
)
def test_only_regular_files_of_a_capture_are_unpacked(
    tmp_path: Path, member: tuple[str, bytes] | tarfile.TarInfo
) -> None:
    archive = archive_of(tmp_path / "in.tar.zst", MANIFEST, member)
    assert "which is no file of a capture" in refused(archive, tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["in.tar.zst"]


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda path: archive_of(path, MANIFEST, MANIFEST), "contains capture.json twice"),
        (lambda path: archive_of(path, ("requests.jsonl", b"")), "contains no capture.json"),
        (lambda path: archive_of(path, MANIFEST, behind=b"more"), "something is behind its end"),
        (lambda path: path.write_bytes(archive_of(path, MANIFEST).read_bytes() * 2), "something is behind its end"),
        (lambda path: path.write_bytes(zstandard.compress(b"x" * 512)), "a header of its tar archive is damaged"),
        (lambda path: path.write_bytes(zstandard.compress(bytes(10240))), "contains no capture.json"),
    ],
    ids=["twice", "no manifest", "more", "two frames", "no tar", "nothing"],
)
def test_an_archive_that_is_not_whole_is_refused(tmp_path: Path, make: Callable[[Path], object], reason: str) -> None:
    make(tmp_path / "in.tar.zst")
    assert reason in refused(tmp_path / "in.tar.zst", tmp_path / "out")


def test_an_archive_that_contains_more_than_is_allowed_is_refused_before_it_is_written(tmp_path: Path) -> None:
    archive = archive_of(tmp_path / "in.tar.zst", MANIFEST, ("requests.jsonl", os.urandom(20_000)))
    assert "contains more than 24000 bytes" in refused(archive, tmp_path / "out", Limits(24_000))
    unpack(archive, tmp_path / "out", Limits(24_096))
    many = [(f"pictures/{n:064x}.jpg", b"") for n in range(10)]
    small = archive_of(tmp_path / "small.tar.zst", MANIFEST, *many)
    assert "contains more than 40960 bytes" in refused(small, tmp_path / "small", Limits(40_960))


def test_a_bomb_is_refused_early(tmp_path: Path) -> None:
    compressor = zstandard.ZstdCompressor(level=19).compressobj()
    member = tarfile.TarInfo("requests.jsonl")
    member.size = 2 * 1024**3
    with (tmp_path / "in.tar.zst").open("wb") as out:
        out.write(compressor.compress(member.tobuf(tarfile.GNU_FORMAT)))
        for _ in range(2048):
            out.write(compressor.compress(bytes(1024**2)))
        out.write(compressor.flush())
    assert (tmp_path / "in.tar.zst").stat().st_size < 200_000
    assert "more than 200 times as large" in refused(tmp_path / "in.tar.zst", tmp_path / "out")


def test_a_negative_size_is_refused(tmp_path: Path) -> None:
    header = bytearray(tarfile.TarInfo("capture.json").tobuf(tarfile.GNU_FORMAT))
    header[124:136] = b"\xff" * 12
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    (tmp_path / "in.tar.zst").write_bytes(zstandard.compress(bytes(header) + bytes(1024)))
    assert "a size is negative" in refused(tmp_path / "in.tar.zst", tmp_path / "out")
