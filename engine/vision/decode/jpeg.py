"""JPEG, by libjpeg-turbo in its strict mode.

A file that ends too early is an error: libjpeg would fill the rest with grey, and a face cut in half is not what the
camera saw. One that lacks only its end marker is complete. What real cameras do wrong without harm (stray bytes between
segments, odd revision numbers) is cleaned away first. So every file is decoded once and no more, however it is built,
and damage in it is found.
"""

import re

import numpy as np
import simplejpeg

from contract.errors import PictureUnreadable
from contract.pictures.headers import Segment
from contract.pictures.jpeg_scans import Layout
from engine.vision.ports import Image

QUALITY = 92

_SOI, _EOI = b"\xff\xd8", b"\xff\xd9"
_SOS, _APP0, _APP14 = 0xDA, 0xE0, 0xEE
_JFIF_BYTES = 14
_ADOBE_TRANSFORMS = (b"\x00", b"\x01", b"\x02")
# Frames, tables, restart interval: what decoding needs. Of the applications' segments, two decide about colour.
_NEEDED = frozenset({0xC0, 0xC1, 0xC2, 0xC4, 0xDB, 0xDD, _SOS})
_WHOLE_BLOCK = b"\x00\x3f\x00"

_PADDED_END = re.compile(r"extraneous bytes before marker 0xd9")


def decode_jpeg(data: bytes, layout: Layout, reduction: int = 1) -> Image:
    """The picture as stored (not turned upright): BGR, uint8, height x width x 3, each side divided by `reduction`
    (1, 2, 4 or 8) and rounded up.

    Raises:
        PictureUnreadable: damaged, truncated, or not of the size its header was read to say.
    """
    if not (layout.ended or layout.complete):
        raise PictureUnreadable
    # libjpeg reads the size anew; into a place of the size that was checked it decodes nothing larger.
    # simplejpeg's own look at the header knows no 4:4:1 sampling, and raises KeyError.
    rows, columns = -(-layout.height // reduction), -(-layout.width // reduction)
    place = np.empty((rows, columns, 3), np.uint8)
    try:
        image = simplejpeg.decode_jpeg(
            _cleaned(data, layout), "BGR", min_height=rows, min_width=columns, buffer=place, strict=True
        )
    except ValueError as problem:
        # Of a single scan all rows are in their place when libjpeg comes upon bytes between its data and the end.
        if len(layout.scans) == 1 and _PADDED_END.search(str(problem).lower()):
            return place
        raise PictureUnreadable from problem
    return np.asarray(image, np.uint8)


def encode_jpeg(image: Image, quality: int = QUALITY) -> bytes:
    """The picture as a JPEG file."""
    return bytes(simplejpeg.encode_jpeg(np.ascontiguousarray(image), quality, "BGR", "420"))


def _cleaned(data: bytes, layout: Layout) -> bytes:
    """The same picture with nothing but the needed segments, and with an end."""
    parts = [_SOI]
    data_ends = {scan.header.start: scan.data_end for scan in layout.scans}
    for segment in layout.segments:
        payload = data[segment.start : segment.end]
        if segment.marker == _APP0 and payload.startswith(b"JFIF\x00") and len(payload) >= _JFIF_BYTES:
            payload = payload[:5] + b"\x01\x01" + payload[7:]
        elif segment.marker not in _NEEDED and not _tells_colour(segment, payload):
            continue
        if segment.marker == _SOS and not layout.progressive:
            payload = payload[:-3] + _WHOLE_BLOCK
        parts.append(bytes((0xFF, segment.marker)) + (len(payload) + 2).to_bytes(2, "big") + payload)
        if segment.marker == _SOS:
            parts.append(data[segment.end : data_ends[segment.start]])
    if not layout.ended:
        parts[-1] = parts[-1].rstrip(b"\xff")
    return b"".join((*parts, _EOI))


def _tells_colour(segment: Segment, payload: bytes) -> bool:
    return segment.marker == _APP14 and payload.startswith(b"Adobe") and payload[11:12] in _ADOBE_TRANSFORMS
