"""Decodes and encodes JPEG files with libjpeg-turbo in its strict mode.

A file that is cut off is an error: libjpeg would fill the missing part with grey, also in the middle of a face. A file
that lacks only its end marker is complete. Harmless faults of real cameras (stray bytes between segments, odd revision
numbers) are removed before decoding. So every file is decoded exactly once, whatever its structure, and any damage to
it is found.
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
# The markers that decoding needs: frames, tables, restart interval, scans. Two application segments define the colours.
_NEEDED = frozenset({0xC0, 0xC1, 0xC2, 0xC4, 0xDB, 0xDD, _SOS})
_WHOLE_BLOCK = b"\x00\x3f\x00"

_PADDED_END = re.compile(r"extraneous bytes before marker 0xd9")


def decode_jpeg(data: bytes, layout: Layout, reduction: int = 1) -> Image:
    """Return the image as stored (not turned upright): BGR, uint8, height x width x 3.

    Each side is divided by `reduction` (1, 2, 4 or 8) and rounded up.

    Raises:
        PictureUnreadable: the file is damaged or cut off, or its size is not the one in `layout`.
    """
    if not (layout.ended or layout.complete):
        raise PictureUnreadable
    # libjpeg reads the size again; into a buffer of the checked size it cannot decode a larger image.
    # simplejpeg's own reader of headers does not know 4:4:1 sampling and raises KeyError.
    rows, columns = -(-layout.height // reduction), -(-layout.width // reduction)
    buffer = np.empty((rows, columns, 3), np.uint8)
    try:
        image = simplejpeg.decode_jpeg(
            _cleaned(data, layout), "BGR", min_height=rows, min_width=columns, buffer=buffer, strict=True
        )
    except ValueError as problem:
        # Where a single scan is followed by extra bytes, libjpeg has decoded all rows before it reports these bytes.
        if len(layout.scans) == 1 and _PADDED_END.search(str(problem).lower()):
            return buffer
        raise PictureUnreadable from problem
    return np.asarray(image, np.uint8)


def encode_jpeg(image: Image, quality: int = QUALITY) -> bytes:
    """Return an image (BGR, uint8, height x width x 3) as the bytes of a JPEG file."""
    return bytes(simplejpeg.encode_jpeg(np.ascontiguousarray(image), quality, "BGR", "420"))


def _cleaned(data: bytes, layout: Layout) -> bytes:
    """Return a JPEG of the same picture with only the segments that decoding needs, and with an end marker."""
    parts = [_SOI]
    data_ends = {scan.header.start: scan.data_end for scan in layout.scans}
    for segment in layout.segments:
        payload = data[segment.start : segment.end]
        if segment.marker == _APP0 and payload.startswith(b"JFIF\x00") and len(payload) >= _JFIF_BYTES:
            payload = payload[:5] + b"\x01\x01" + payload[7:]
        elif segment.marker not in _NEEDED and not _defines_colours(segment, payload):
            continue
        if segment.marker == _SOS and not layout.progressive:
            payload = payload[:-3] + _WHOLE_BLOCK
        parts.append(bytes((0xFF, segment.marker)) + (len(payload) + 2).to_bytes(2, "big") + payload)
        if segment.marker == _SOS:
            parts.append(data[segment.end : data_ends[segment.start]])
    if not layout.ended:
        parts[-1] = parts[-1].rstrip(b"\xff")
    return b"".join((*parts, _EOI))


def _defines_colours(segment: Segment, payload: bytes) -> bool:
    return segment.marker == _APP14 and payload.startswith(b"Adobe") and payload[11:12] in _ADOBE_TRANSFORMS
