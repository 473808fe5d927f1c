"""Reads a capture (contract.capture) from its folder."""

from collections.abc import Generator
from pathlib import Path

from contract.capture import (
    MANIFEST_FILE,
    REQUESTS_FILE,
    CaptureError,
    CaptureLine,
    check_manifest,
    parse_lines,
    picture_file,
)
from contract.pictures.digest import picture_digest


class CaptureReader:
    """A capture that is complete enough to be posted: every line is readable, every picture is present. Synchronous.

    Raises:
        CaptureError: the constructor found that the capture is not complete; the message names the fault and the line.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.count = 0
        if not folder.is_dir():
            raise CaptureError(f"{folder} is not a folder")
        try:
            check_manifest((folder / MANIFEST_FILE).read_bytes())
        except FileNotFoundError as error:
            raise CaptureError(f"{folder} is not a capture: it has no {MANIFEST_FILE}") from error
        for number, line in self.lines():
            self.count += 1
            for sha256 in (line.request.picture, line.request.ir_picture):
                if sha256 is not None and not (folder / picture_file(sha256)).is_file():
                    raise CaptureError(f"line {number} of {REQUESTS_FILE}: {picture_file(sha256)} is missing")

    def lines(self) -> Generator[tuple[int, CaptureLine]]:
        """Yield the lines in order, with their numbers, counted from 1.

        Raises:
            CaptureError: a line cannot be read.
        """
        try:
            with (self._folder / REQUESTS_FILE).open("rb") as lines:
                yield from parse_lines(lines)
        except FileNotFoundError as error:
            raise CaptureError(f"{self._folder} has no {REQUESTS_FILE}") from error

    def picture(self, sha256: str) -> bytes:
        """Return the bytes of the picture with that sha256 (hex).

        Raises:
            CaptureError: the picture's file cannot be read, or contains another picture.
        """
        try:
            data = (self._folder / picture_file(sha256)).read_bytes()
        except OSError as error:
            raise CaptureError(f"{picture_file(sha256)} cannot be read: {error.strerror}") from error
        if picture_digest(data) != sha256:
            raise CaptureError(f"{picture_file(sha256)} is damaged: its sha256 is not its name")
        return data
