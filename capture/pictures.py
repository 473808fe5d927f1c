"""Finds the files of the pictures that the requests of a capture name."""

from dataclasses import dataclass
from pathlib import Path

from capture.files import is_regular_file
from contract.captures.convert import PICTURES_FOLDER, REQUESTS_FILE, picture_file
from contract.captures.values import CaptureLine


@dataclass(frozen=True, slots=True)
class PictureFiles:
    """The files of the pictures of a capture. `prefix`: their folder, with the separator at its end."""

    prefix: str

    @classmethod
    def of(cls, capture: Path) -> "PictureFiles":
        """Return the files of the capture in a folder."""
        return cls(f"{capture / PICTURES_FOLDER}/")

    def has(self, sha256: str) -> bool:
        """Return whether there is a file of the picture with that sha256 (hex)."""
        return is_regular_file(f"{self.prefix}{sha256}.jpg")

    def missing(self, number: int, line: CaptureLine) -> str | None:
        """Return in a sentence that a picture of the line with that number is missing; None: none is."""
        missing = next((sha256 for sha256 in line.request.all_pictures if not self.has(sha256)), None)
        return None if missing is None else _sentence(number, missing)


def _sentence(number: int, sha256: str) -> str:
    return f"line {number} of {REQUESTS_FILE}: {picture_file(sha256)} is missing or not a regular file"
