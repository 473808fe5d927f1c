"""JPEG, by libjpeg-turbo in its strict mode.

A file that ends too early is an error: libjpeg would fill the rest with grey, and a face cut in half is not what the
camera saw. One that lacks only its end marker is complete. What real cameras do wrong without harm (stray bytes between
segments, odd revision numbers) is cleaned away and decoded strictly again, so that damage behind it is still found.
"""

import re

import numpy as np
import simplejpeg

from engine.errors import PictureUnreadable
from engine.vision.headers import PictureHeader, jpeg_segments
from engine.vision.jpeg_scans import Scans, read_scans
from engine.vision.ports import Image

MAX_SCANS = 64
"""Encoders write about ten, even the thorough ones; each costs a pass over the whole picture."""

QUALITY = 92

_SOI, _EOI = b"\xff\xd8", b"\xff\xd9"
_SOS, _APP0, _APP14 = 0xDA, 0xE0, 0xEE
_ADOBE_TRANSFORMS = (b"\x00", b"\x01", b"\x02")
# Frames, tables, restart interval: what decoding needs. Of the applications' segments, two decide about colour.
_NEEDED = frozenset({*range(0xC0, 0xD0), 0xDB, 0xDC, 0xDD, _SOS})

_ENDED_EARLY = "premature end of jpeg file"
# Bytes skipped before a restart marker are lost picture; before any other they are only in the way.
_HARMLESS = re.compile(
    r"extraneous bytes before marker 0x(?!d[0-7])|unknown jfif revision|unknown adobe color transform"
    r"|bad icc marker|invalid sos parameters for sequential|inconsistent progression sequence"
)


def decode_jpeg(data: bytes, header: PictureHeader, reduction: int = 1) -> Image:
    """The picture as stored (not turned upright): BGR, uint8, height x width x 3, each side divided by `reduction`
    (1, 2, 4 or 8) and rounded up.

    Raises:
        PictureUnreadable: damaged, truncated, or not of the size its header was read to say.
    """
    size = -(-header.height // reduction), -(-header.width // reduction)
    scans = read_scans(data, MAX_SCANS)
    if scans.count > MAX_SCANS:
        raise PictureUnreadable("the JPEG has too many scans; save it again as a baseline JPEG")
    try:
        return _decode(data, size, scans)
    except ValueError as problem:
        if not _harmless(problem, scans):
            raise PictureUnreadable from problem
    cleaned = _cleaned(data)
    try:
        return _decode(cleaned, size, scans)
    except ValueError as problem:
        # What is left to warn of lies behind the headers, where nothing can be cleaned.
        if not (_harmless(problem, scans) and scans.ended):
            raise PictureUnreadable from problem
    try:
        return _into_place(cleaned, size, strict=False)
    except ValueError as problem:
        raise PictureUnreadable from problem


def encode_jpeg(image: Image, quality: int = QUALITY) -> bytes:
    """The picture as a JPEG file."""
    return bytes(simplejpeg.encode_jpeg(np.ascontiguousarray(image), quality, "BGR", "420"))


def _harmless(problem: ValueError, scans: Scans) -> bool:
    return scans.restarted and _HARMLESS.search(str(problem).lower()) is not None


def _decode(data: bytes, size: tuple[int, int], scans: Scans) -> Image:
    try:
        return _into_place(data, size)
    except ValueError as problem:
        if not (_ENDED_EARLY in str(problem).lower() and scans.complete):
            raise
    # If the end marker is all that is missing, this decodes without a warning.
    return _into_place(data.rstrip(b"\xff") + _EOI, size)


def _into_place(data: bytes, size: tuple[int, int], *, strict: bool = True) -> Image:
    # libjpeg reads the size anew; into a place of the size that was checked it decodes nothing larger.
    # simplejpeg's own look at the header knows no 4:4:1 sampling, and raises KeyError.
    rows, columns = size
    place = np.empty((rows, columns, 3), np.uint8)
    image = simplejpeg.decode_jpeg(data, "BGR", min_height=rows, min_width=columns, buffer=place, strict=strict)
    return np.asarray(image, np.uint8)


def _cleaned(data: bytes) -> bytes:
    """The same picture with nothing but the needed segments before its first scan."""
    parts = [_SOI]
    for segment in jpeg_segments(data):
        payload = data[segment.start : segment.end]
        if segment.marker == _APP0 and payload.startswith(b"JFIF\x00"):
            payload = payload[:5] + b"\x01\x01" + payload[7:]
        elif segment.marker not in _NEEDED and not _tells_colour(segment.marker, payload):
            continue
        parts.append(bytes((0xFF, segment.marker)) + (len(payload) + 2).to_bytes(2, "big") + payload)
        if segment.marker == _SOS:
            parts.append(data[segment.end :])
    return b"".join(parts)


def _tells_colour(marker: int, payload: bytes) -> bool:
    return marker == _APP14 and payload.startswith(b"Adobe") and payload[11:12] in _ADOBE_TRANSFORMS
