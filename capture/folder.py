"""Writes a capture (contract.capture) into a private folder, which can be continued; each picture is stored once."""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

from contract.capture import (
    MANIFEST_FILE,
    PICTURES_FOLDER,
    REQUESTS_FILE,
    CaptureError,
    CaptureLine,
    check_manifest,
    format_line,
    format_manifest,
    last_lines,
    parse_lines,
    picture_file,
)
from contract.files import HALF_WRITTEN, cannot_be_written, half_written, sync_folder, try_lock
from contract.pictures.digest import picture_digest


class CaptureFolder:
    """A capture that is being written, which is new or continued. Synchronous; only one process may write to it.

    Pictures are complete before the line that names them is written, so that a capture is readable also after a crash.

    Raises:
        CaptureError: the folder contains something else than a capture, another process writes to it, or it cannot be
            written.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._last: Mapping[int, CaptureLine] = {}
        self._lock: int | None = None
        self._lines: int | None = None

    def __enter__(self) -> Self:
        with self._writing():
            if self._folder.is_dir() and not (self._folder / MANIFEST_FILE).exists() and any(self._folder.iterdir()):
                raise CaptureError(f"{self._folder} is not empty and not a capture; choose an empty folder")
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            try:
                self._open()
            except BaseException:
                self.__exit__(None, None, None)
                raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for descriptor in (self._lines, self._lock):
            if descriptor is not None:
                os.close(descriptor)
        self._lines = self._lock = None

    @property
    def last_lines(self) -> Mapping[int, CaptureLine]:
        """Partition of the requests topic -> the partition's last captured line, after which recording continues."""
        return self._last

    def keep_picture(self, picture: bytes) -> str:
        """Store a picture, unless it is stored already, and return its sha256 (hex)."""
        sha256 = picture_digest(picture)
        path = self._folder / picture_file(sha256)
        if path.exists():
            return sha256
        with self._writing(), half_written(path, picture) as half:
            Path(half).replace(path)  # `append` makes the name durable before it writes a line that names the picture
        return sha256

    def append(self, lines: Sequence[CaptureLine]) -> None:
        """Append lines whose pictures are stored; the lines are durable when this method returns."""
        if self._lines is None:
            raise ValueError("the capture folder is not open")
        with self._writing():
            sync_folder(self._folder / PICTURES_FOLDER)
            size = os.fstat(self._lines).st_size
            left = memoryview(b"".join(map(format_line, lines)))
            try:
                while left:
                    left = left[os.write(self._lines, left) :]
            except OSError:
                os.ftruncate(self._lines, size)
                raise
            os.fsync(self._lines)

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise CaptureError(cannot_be_written(self._folder, error)) from error

    def _open(self) -> None:
        self._lock = os.open(self._folder / MANIFEST_FILE, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        if not try_lock(self._lock):
            raise CaptureError(f"another process writes to {self._folder}; stop it or choose another folder")
        manifest = os.pread(self._lock, 65536, 0)
        if manifest:
            check_manifest(manifest)
        else:
            os.pwrite(self._lock, format_manifest(), 0)
            os.fsync(self._lock)
        pictures = self._folder / PICTURES_FOLDER
        pictures.mkdir(mode=0o700, exist_ok=True)
        for half in pictures.glob(HALF_WRITTEN):
            half.unlink()
        requests = self._folder / REQUESTS_FILE
        self._lines = os.open(requests, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW, 0o600)
        _cut_half_line(requests, self._lines)
        with requests.open("rb") as lines:
            self._last = last_lines(parse_lines(lines))
        sync_folder(self._folder)


def _cut_half_line(path: Path, descriptor: int) -> None:
    """Remove an incomplete last line, which a crash left; its request is recorded again."""
    good = 0
    with path.open("rb") as lines:
        for line in lines:
            if line.endswith(b"\n"):
                good += len(line)
    os.ftruncate(descriptor, good)
