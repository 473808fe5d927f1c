"""Small pictures for the HTML report, as data: URLs: of the face in a request, and of the photos of candidates.

Pictures are untrusted bytes. They are checked and decoded as those of requests are, and only newly encoded pixels reach
the report.
"""

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
import pybase64

from capture.reporting.people import Photos
from clients.picture_file import UnusablePicture
from contract.captures.values import CaptureError
from contract.errors import PictureRefused
from contract.findings import FaceBox
from contract.pictures.limits import PictureSettings
from engine.vision.decode.jpeg import encode_jpeg
from engine.vision.decode.versions import Versions
from engine.vision.ports import Image
from engine.vision.turned import turn

SIDE = 176
"""The longest side of a thumbnail, in pixels."""

_QUALITY = 76
_AROUND = 2.2
_MOST_PIXELS = PictureSettings().max_pixels


def thumbnail(picture: bytes, face: FaceBox | None = None) -> bytes | None:
    """Return a JPEG of at most `SIDE` x `SIDE` pixels; None where the picture cannot be decoded.

    `face`: the part of the picture around this face is shown, with the face upright; None: the whole picture.
    """
    try:
        versions = Versions(picture, _MOST_PIXELS)
        shown = versions.longer_side if face is None else max(_AROUND * max(face.width, face.height), 1.0)
        reduction = versions.fitting_reduction(min(round(SIDE * versions.longer_side / shown), versions.longer_side))
        image = versions.version(reduction)
    except PictureRefused:
        return None
    if face is not None:
        image = _around(turn(image, face.turned_degrees // 90), face, reduction)
    return encode_jpeg(_fitted(image), _QUALITY)


def _around(image: Image, face: FaceBox, reduction: int) -> Image:
    """Return the square part of an image around a face; the whole image where the face lies outside of it."""
    rows, columns = image.shape[:2]
    side = min(_AROUND * max(face.width, face.height) / reduction, float(min(rows, columns)))
    left = min(max((face.x + face.width / 2) / reduction - side / 2, 0.0), columns - side)
    top = min(max((face.y + face.height / 2) / reduction - side / 2, 0.0), rows - side)
    part = image[int(top) : int(top + side), int(left) : int(left + side)]
    return image if not part.size else part


def _fitted(image: Image) -> Image:
    rows, columns = image.shape[:2]
    scale = min(1.0, SIDE / max(rows, columns))
    size = max(1, round(columns * scale)), max(1, round(rows * scale))
    return image if scale == 1.0 else np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)


@dataclass(frozen=True, slots=True)
class Album:
    """The pictures of a capture.

    `picture`: returns the bytes of the picture with a sha256 (hex); it may raise CaptureError, UnusablePicture or
    OSError. `photos`: the photos of candidates.
    """

    picture: Callable[[str], bytes]
    photos: Photos

    def photo_of(self, identity_id: str, number: int | None, gallery_version: int) -> str | None:
        """Return the sha256 of the photo that a face had at a gallery version; None: the album does not name it."""
        known = () if number is None else self.photos.get((identity_id, number), ())
        named = [sha256 for offset, sha256 in known if offset < gallery_version] or [sha256 for _, sha256 in known[:1]]
        return named[-1] if named else None


class Thumbnails:
    """The thumbnails of one report, which together have at most `most_bytes`; each is made once.

    `then`: the pictures of requests and the photos of the people of then. `now`: the photos of the people of now.
    """

    def __init__(self, then: Album, now: Album, most_bytes: int) -> None:
        self.then, self.now = then, now
        self._left = most_bytes
        self._made: dict[str, str | None] = {}

    def of_request(self, sha256: str, face: FaceBox | None) -> str | None:
        """Return the data: URL of the face in a request's picture; None where there is no such picture."""
        return self._made_once(self.then, sha256, face)

    def of_candidate(self, album: Album, identity_id: str, number: int | None, gallery_version: int) -> str | None:
        """Return the data: URL of the photo that a face had in a gallery; None where the album does not have it."""
        sha256 = album.photo_of(identity_id, number, gallery_version)
        return None if sha256 is None else self._made_once(album, sha256, None)

    def _made_once(self, album: Album, sha256: str, face: FaceBox | None) -> str | None:
        key = f"{sha256} {face}"
        if self._made.get(key) is None:
            self._made[key] = self._make(album, sha256, face)
        return self._spent(self._made[key])

    def _make(self, album: Album, sha256: str, face: FaceBox | None) -> str | None:
        try:
            small = thumbnail(album.picture(sha256), face)
        except (CaptureError, UnusablePicture, OSError):
            return None
        return None if small is None else f"data:image/jpeg;base64,{pybase64.b64encode_as_string(small)}"

    def _spent(self, url: str | None) -> str | None:
        """Return the URL if it still fits into the report."""
        if url is None or len(url) > self._left:
            return None
        self._left -= len(url)
        return url
