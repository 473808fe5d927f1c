"""A capture as one file: a tar archive of its files, compressed with Zstandard (.tar.zst).

The archive of a capture has the same bytes whoever packs it: the files are in the order of their names, with no times
and no owners. Archives come from elsewhere, so unpacking accepts regular files with the names of a capture's files
only, and stops at limits. The headers are read one by one here, because tarfile's own reader would read extended
headers of any size into memory.
"""

import os
import sys
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import zstandard

from capture.files import empty_after_errors, open_file
from capture.inflating import DEFAULT_LIMITS, InflatedStream, Limits
from contract.captures.convert import LINE_FILES, LOOKS_FOLDER, MANIFEST_FILE, PICTURES_FOLDER, is_capture_file
from contract.captures.values import CaptureError
from contract.files import cannot_be_written, new_file

STDIN = "-"
"""The name of an archive that is read from standard input."""

_LEVEL = 3
_BLOCK = 512
_COPY = 256 * 1024


def capture_files(folder: Path) -> list[str]:
    """Return the paths, relative to a capture's folder, of all its files, sorted; other files are left out.

    Raises:
        OSError: a folder cannot be read.
    """
    names = [name for name in (MANIFEST_FILE, *LINE_FILES) if (folder / name).exists()]
    for inner in (PICTURES_FOLDER, LOOKS_FOLDER):
        if (folder / inner).is_dir():
            names += (f"{inner}/{path.name}" for path in (folder / inner).iterdir())
    return sorted(filter(is_capture_file, names))


def pack(folder: Path, file: Path, step: Callable[[int], None] = lambda _: None) -> int:
    """Write a capture's files into the new archive `file`, which only its owner can read; return the number of files.

    `step` is called with the number of bytes that were packed since the last call. The caller has checked the capture.

    Raises:
        CaptureError: a file of the capture cannot be read, or the archive cannot be written or exists already.
    """
    try:
        names = capture_files(folder)
        with new_file(file) as out:
            compressor = zstandard.ZstdCompressor(level=_LEVEL, write_checksum=True)
            with (
                compressor.stream_writer(out, closefd=False) as compressed,
                tarfile.open(mode="w|", fileobj=compressed, format=tarfile.GNU_FORMAT) as archive,
            ):
                for name in names:
                    step(_add(archive, folder, name))
    except FileExistsError as error:
        raise CaptureError(f"{file} exists already; name another file") from error
    except OSError as error:
        raise CaptureError(cannot_be_written(file.parent, error)) from error
    return len(names)


def _add(archive: tarfile.TarFile, folder: Path, name: str) -> int:
    with open_file(folder, name) as file:
        member = tarfile.TarInfo(name)
        member.mode = 0o600
        member.size = os.fstat(file.fileno()).st_size
        archive.addfile(member, file)
        return member.size


def unpack(archive: Path, folder: Path, limits: Limits = DEFAULT_LIMITS) -> int:
    """Unpack an archive (STDIN: standard input) into a folder, which is new or empty; return the number of files.

    Only the folder's owner can read it. After an error the folder is empty or gone.

    Raises:
        CaptureError: the archive cannot be read, is damaged, contains something that is no file of a capture, or
            exceeds a limit; or the folder cannot be written or is not empty.
    """
    with empty_after_errors(folder):
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise CaptureError(cannot_be_written(folder, error)) from error
        if str(archive) == STDIN:
            return _unpack(InflatedStream(sys.stdin.buffer, "standard input", limits), folder)
        try:
            file = archive.open("rb")
        except OSError as error:
            raise CaptureError(f"{archive} cannot be opened: {error.strerror}") from error
        with file:
            return _unpack(InflatedStream(file, str(archive), limits), folder)


@contextmanager
def opened(path: Path, limits: Limits = DEFAULT_LIMITS) -> Iterator[Path]:
    """Yield the folder of a capture: `path` itself where it is a folder, else that of the unpacked archive.

    An archive (STDIN: standard input) is unpacked into a private folder among the temporary files (TMPDIR), which is
    removed at the end of the `with` block.

    Raises:
        CaptureError: as `unpack`.
    """
    if path.is_dir():
        yield path
        return
    with tempfile.TemporaryDirectory(prefix="picturematch-capture-") as temporary:
        folder = Path(temporary)
        unpack(path, folder, limits)
        yield folder


def _unpack(stream: InflatedStream, folder: Path) -> int:
    count = 0
    while (member := _next_member(stream)) is not None:
        if member.type not in (tarfile.REGTYPE, tarfile.AREGTYPE) or not is_capture_file(member.name):
            raise stream.fault(f"it contains {member.name!r}, which is no file of a capture")
        stream.charge(member.size)
        count += 1
        try:
            _write(stream, folder, member)
        except FileExistsError as error:
            raise stream.fault(f"it contains {member.name} twice") from error
        except OSError as error:
            raise CaptureError(cannot_be_written(folder, error)) from error
    stream.read_to_end()
    if not (folder / MANIFEST_FILE).exists():
        raise stream.fault(f"it contains no {MANIFEST_FILE}")
    return count


def _next_member(stream: InflatedStream) -> tarfile.TarInfo | None:
    """Return the next header of the archive, or None at the end mark: a block of zeros."""
    block = stream.read_exactly(_BLOCK)
    if not any(block):
        return None
    try:
        member = tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
    except tarfile.HeaderError as error:
        raise stream.fault(f"a header of its tar archive is damaged: {error}") from error
    if member.size < 0:
        raise stream.fault("a header of its tar archive is damaged: a size is negative")
    return member


def _write(stream: InflatedStream, folder: Path, member: tarfile.TarInfo) -> None:
    path = folder / member.name
    path.parent.mkdir(mode=0o700, exist_ok=True)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
    with os.fdopen(os.open(path, flags, 0o600), "wb") as file:
        left = member.size
        while left:
            data = stream.read_exactly(min(left, _COPY))
            file.write(data)
            left -= len(data)
    stream.read_exactly(-member.size % _BLOCK)
