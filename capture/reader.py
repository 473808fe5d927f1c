"""Reads a capture (contract.captures) from its folder."""

from collections.abc import Generator
from pathlib import Path

from contract.captures.convert import (
    CONFIGS_FILE,
    MANIFEST_FILE,
    PEOPLE_FILE,
    REQUESTS_FILE,
    parse_manifest,
    picture_file,
)
from contract.captures.sealed import M, SealedReader
from contract.captures.values import CaptureError, CaptureLine, ConfigLine, PeopleLine
from contract.pictures.digest import picture_digest


class CaptureReader:
    """A capture that is whole: every line and every picture is there. Synchronous.

    Raises:
        CaptureError: the constructor found that the capture is not whole; the message names the fault and the line.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.count = 0
        if not folder.is_dir():
            raise CaptureError(f"{folder} is not a folder")
        try:
            self.manifest = parse_manifest((folder / MANIFEST_FILE).read_bytes())
        except FileNotFoundError as error:
            raise CaptureError(f"{folder} is not a capture: it has no {MANIFEST_FILE}") from error
        for number, line in self.lines():
            self.count += 1
            for sha256 in (line.request.picture, line.request.ir_picture):
                if sha256 is not None and not (folder / picture_file(sha256)).is_file():
                    raise CaptureError(f"line {number} of {REQUESTS_FILE}: {picture_file(sha256)} is missing")

    def lines(self) -> Generator[tuple[int, CaptureLine]]:
        """Yield the requests in order, with their numbers, counted from 1.

        Raises:
            CaptureError: a line cannot be read, or lines are missing.
        """
        return self._read(REQUESTS_FILE, CaptureLine)

    def people(self) -> Generator[tuple[int, PeopleLine]]:
        """Yield the records of the people topic; Raises as `lines`."""
        return self._read(PEOPLE_FILE, PeopleLine)

    def configs(self) -> Generator[tuple[int, ConfigLine]]:
        """Yield the policies and model sets; Raises as `lines`."""
        return self._read(CONFIGS_FILE, ConfigLine)

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

    def _read(self, name: str, kind: type[M]) -> Generator[tuple[int, M]]:
        reader = SealedReader(name, kind, sealed=self.manifest.version > 1)
        try:
            with (self._folder / name).open("rb") as lines:
                yield from reader.read(lines)
        except FileNotFoundError as error:
            if self.manifest.version > 1 or name == REQUESTS_FILE:
                raise CaptureError(f"{self._folder} has no {name}") from error
            return
        seal = self.manifest.files.get(name)
        if self.manifest.complete and seal is not None and seal != reader.seal:
            raise CaptureError(
                f"{name} is damaged: it has {reader.seal.lines} lines, and {MANIFEST_FILE} names {seal.lines}"
            )
