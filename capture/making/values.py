"""What a hand-made capture is made of: photos of its gallery, and requests."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clients.picture_file import UnusablePicture, read_picture
from contract.captures.values import CaptureLine
from contract.errors import PictureRefused
from contract.pictures.headers import picture_header


@dataclass(frozen=True, slots=True)
class Photo:
    """A photo to enrol. `where`: its name in messages. `info`: of its person. `group_name`: the groups of its person,
    separated by commas; None: the default group."""

    identity_id: str
    where: str
    path: Path
    info: Mapping[str, Any]
    group_name: str | None = None


@dataclass(frozen=True, slots=True)
class MadeRequest:
    """A line for the capture, and the bytes of the line's pictures."""

    line: CaptureLine
    pictures: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A picture that is not in the capture, and the reason."""

    where: str
    reason: str


def picture_at(path: Path) -> bytes:
    """Return the bytes of a picture whose header is that of a picture.

    Raises:
        ValueError: the file is missing, cannot be read, or is not a picture; the message is the reason.
    """
    try:
        data = read_picture(path)
        picture_header(data)
    except UnusablePicture:
        raise
    except PictureRefused as error:
        raise ValueError(error.message) from error
    except OSError as error:
        raise ValueError(f"it cannot be read: {error.strerror or error}") from error
    return data
