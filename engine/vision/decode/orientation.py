"""Reads the EXIF orientation of a picture and turns images upright by it."""

import cv2
import numpy as np

from contract.errors import PictureUnreadable
from contract.pictures.headers import Kind, jpeg_segments, png_chunks, webp_chunks
from engine.vision.ports import Image

UPRIGHT = 1
_ORIENTATION_TAG = 0x0112
_SHORT, _LONG = 3, 4
_APP1 = 0xE1
_EXIF_PREFIX = b"Exif\x00\x00"
_MAX_ENTRIES = 512


def stored_orientation(data: bytes, kind: Kind) -> int:
    """Return the EXIF orientation of a picture, 1..8; 1 where the file has none or an invalid one."""
    try:
        exif = _exif(data, kind)
    except PictureUnreadable:
        return UPRIGHT
    return _orientation(exif) if exif else UPRIGHT


def upright(image: Image, orientation: int) -> Image:
    """Return the image turned upright by its EXIF orientation; C-contiguous."""
    match orientation:
        case 2:
            turned = cv2.flip(image, 1)
        case 3:
            turned = cv2.rotate(image, cv2.ROTATE_180)
        case 4:
            turned = cv2.flip(image, 0)
        case 5:
            turned = cv2.transpose(image)
        case 6:
            turned = cv2.rotate(image, cv2.ROTATE_90_CLOCKWISE)
        case 7:
            turned = cv2.rotate(cv2.transpose(image), cv2.ROTATE_180)
        case 8:
            turned = cv2.rotate(image, cv2.ROTATE_90_COUNTERCLOCKWISE)
        case _:
            return image
    return np.asarray(turned, np.uint8)


def _exif(data: bytes, kind: Kind) -> bytes | None:
    match kind:
        case Kind.JPEG:
            payloads = (data[s.start : s.end] for s in jpeg_segments(data) if s.marker == _APP1)
            return next((p[len(_EXIF_PREFIX) :] for p in payloads if p.startswith(_EXIF_PREFIX)), None)
        case Kind.PNG:
            return next((payload for name, payload in png_chunks(data) if name == b"eXIf"), None)
        case Kind.WEBP:
            found = next((payload for name, payload in webp_chunks(data) if name == b"EXIF"), None)
            return found.removeprefix(_EXIF_PREFIX) if found else None
        case Kind.BMP:
            return None


def _orientation(exif: bytes) -> int:
    if exif[:4] == b"II*\x00":
        little = True
    elif exif[:4] == b"MM\x00*":
        little = False
    else:
        return UPRIGHT

    def number(start: int, size: int) -> int:
        return int.from_bytes(exif[start : start + size], "little" if little else "big")

    directory = number(4, 4)
    for index in range(min(number(directory, 2), _MAX_ENTRIES)):
        entry = directory + 2 + 12 * index
        if number(entry, 2) == _ORIENTATION_TAG:
            kind = number(entry + 2, 2)
            value = number(entry + 8, 4 if kind == _LONG else 2)
            return value if kind in (_SHORT, _LONG) and 1 <= value <= 8 else UPRIGHT
    return UPRIGHT
