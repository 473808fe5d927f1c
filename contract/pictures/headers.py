"""Reads the kind and size of a picture from untrusted bytes without decoding them: fast enough for an event loop.

The size read here and the size that the decoder uses must agree, or a forged header would evade the pixel limit. So a
JPEG is parsed by libjpeg's own rules (stray bytes are skipped, a second frame header is an error), a WebP's canvas must
be of its frame's size, and `engine.vision.decode.jpeg` gives libjpeg a buffer of the checked size only.
"""

import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

from contract.errors import PictureTooLarge, PictureUnreadable

MAX_JPEG_SEGMENTS = 512
"""The most segments of a JPEG. Real files have a few dozen; a long colour profile takes one for every 64 KiB."""

MAX_SEGMENTS = 4096
"""The most chunks of a WebP; a PNG may have 16 times as many. Real files have a few dozen."""

MAX_STRAY_BYTES = 65_536
"""The most bytes of a JPEG that lie between segments and belong to none; some cameras write a few."""

MAX_SIDE = 65_500
"""The most pixels on one side of a picture. This is libjpeg's own limit: every photo is stored as a JPEG, whatever the
kind of the file that was sent."""

_SOI, _EOI, _SOS, _APP1 = 0xD8, 0xD9, 0xDA, 0xE1
_FRAMES = frozenset({0xC0, 0xC1, 0xC2})
UNSERVED_FRAMES = frozenset({0xC3, 0xC5, 0xC6, 0xC7, 0xC8, 0xC9, 0xCA, 0xCB, 0xCD, 0xCE, 0xCF})
"""The markers of lossless, differential and arithmetic JPEG frames: no camera writes them, and decoding them costs
libjpeg many times the work."""

_SERVED_DEPTH = 8
_BARE_MARKERS = frozenset({0x01, *range(0xD0, 0xD8)})
_NEXT_MARKER = re.compile(rb"\xff([^\xff\x00])")
PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_BMP_INFO_HEADER = 36
_BMP_CORE_HEADER = 12


class Kind(Enum):
    """The kinds of picture that are served."""

    JPEG = "jpeg"
    PNG = "png"
    WEBP = "webp"
    BMP = "bmp"


@dataclass(frozen=True, slots=True)
class PictureHeader:
    """The kind of a picture and its size as stored (before EXIF orientation), in pixels."""

    kind: Kind
    width: int
    height: int

    @property
    def pixels(self) -> int:
        """Width x height."""
        return self.width * self.height


def picture_header(data: bytes) -> PictureHeader:
    """Return the kind and size of a picture, from the beginning of its bytes.

    Raises:
        PictureUnreadable: the picture is of a kind that is not served, or its header is damaged.
    """
    if data.startswith(b"\xff\xd8\xff"):
        header = _jpeg_header(data)
    elif data.startswith(PNG_SIGNATURE):
        header = _png_header(data)
    elif data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        header = _webp_header(data)
    elif data.startswith(b"BM"):
        header = _bmp_header(data)
    else:
        raise PictureUnreadable("the picture is not a JPEG, PNG, WebP or BMP file")
    if header.width <= 0 or header.height <= 0:
        raise PictureUnreadable
    return header


def require_pixels(data: bytes, max_pixels: int) -> PictureHeader:
    """Return the header of a picture of at most `max_pixels`.

    Raises:
        PictureUnreadable: the picture is of a kind that is not served, or its header is damaged.
        PictureTooLarge: the picture has more than `max_pixels`, or a side of more than `MAX_SIDE` pixels.
    """
    header = picture_header(data)
    if max(header.width, header.height) > MAX_SIDE:
        raise PictureTooLarge(MAX_SIDE, "pixels on a side")
    if header.pixels > max_pixels:
        raise PictureTooLarge(max_pixels)
    return header


@dataclass(frozen=True, slots=True)
class Segment:
    """One JPEG segment: its marker code, and the offsets in the file at which its payload starts and ends."""

    marker: int
    start: int
    end: int


def jpeg_segments(data: bytes, start: int = 2) -> Iterator[Segment]:
    """Yield the segments from the offset `start` up to and including the first start of scan.

    Raises:
        PictureUnreadable: the file ends before a start of scan, or does not have the structure of a JPEG.
    """
    place, stray = start, 0
    for _ in range(MAX_JPEG_SEGMENTS):
        found = _NEXT_MARKER.search(data, place, place + MAX_STRAY_BYTES - stray)
        if found is None:
            raise PictureUnreadable
        stray += found.start() - place
        marker, place = found[1][0], found.end()
        if marker in _BARE_MARKERS:
            continue
        if marker in (_SOI, _EOI):
            raise PictureUnreadable
        length = int.from_bytes(data[place : place + 2], "big")
        end = place + length
        if length < 2 or end > len(data):
            raise PictureUnreadable
        yield Segment(marker, place + 2, end)
        if marker == _SOS:
            return
        place = end
    raise PictureUnreadable


def unserved_jpeg() -> PictureUnreadable:
    """Return the refusal of a JPEG of a kind that is not served."""
    return PictureUnreadable(
        "the JPEG is of a kind that is not read (arithmetic, lossless or not of 8 bits); save it as a baseline JPEG"
    )


def _jpeg_header(data: bytes) -> PictureHeader:
    header: PictureHeader | None = None
    for segment in jpeg_segments(data):
        if segment.marker in UNSERVED_FRAMES:
            raise unserved_jpeg()
        if segment.marker in _FRAMES and header is not None:
            raise PictureUnreadable
        if segment.marker in _FRAMES:
            frame = data[segment.start : segment.end]
            if len(frame) < 6:
                raise PictureUnreadable
            if frame[0] != _SERVED_DEPTH:
                raise unserved_jpeg()
            header = PictureHeader(
                Kind.JPEG, int.from_bytes(frame[3:5], "big"), height=int.from_bytes(frame[1:3], "big")
            )
    if header is None:
        raise PictureUnreadable
    return header


def _png_header(data: bytes) -> PictureHeader:
    chunk = data[12:33]
    if data[8:12] != b"\x00\x00\x00\x0d" or chunk[:4] != b"IHDR" or len(chunk) < 21:
        raise PictureUnreadable
    if zlib.crc32(chunk[:17]) != int.from_bytes(chunk[17:], "big"):
        raise PictureUnreadable
    return PictureHeader(Kind.PNG, int.from_bytes(chunk[4:8], "big"), int.from_bytes(chunk[8:12], "big"))


def png_chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield the type and payload of each chunk up to and including IEND; the checksum of each chunk is checked.

    Raises:
        PictureUnreadable: the file ends before IEND, or a checksum is wrong.
    """
    place = len(PNG_SIGNATURE)
    # libpng reads any number of chunks; the limit prevents that a file of empty chunks costs seconds.
    for _ in range(16 * MAX_SEGMENTS):
        length = int.from_bytes(data[place : place + 4], "big")
        end = place + 12 + length
        if end > len(data):
            raise PictureUnreadable
        if zlib.crc32(data[place + 4 : end - 4]) != int.from_bytes(data[end - 4 : end], "big"):
            raise PictureUnreadable
        kind = data[place + 4 : place + 8]
        yield kind, data[place + 8 : end - 4]
        if kind == b"IEND":
            return
        place = end
    raise PictureUnreadable


def webp_chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield the type and payload of each chunk of a WebP file.

    Raises:
        PictureUnreadable: the file is shorter than its header declares, or a chunk extends beyond the file's end.
    """
    size = 8 + int.from_bytes(data[4:8], "little")
    if size > len(data):
        raise PictureUnreadable
    yield from riff_chunks(data, 12, size)


def riff_chunks(data: bytes, start: int, size: int) -> Iterator[tuple[bytes, bytes]]:
    """Yield the type and payload of each chunk between the offsets `start` and `size`, at most `MAX_SEGMENTS` chunks.

    Raises:
        PictureUnreadable: a chunk extends beyond `size`.
    """
    place = start
    for _ in range(MAX_SEGMENTS):
        if place + 8 > size:
            return
        end = place + 8 + int.from_bytes(data[place + 4 : place + 8], "little")
        if end > size:
            raise PictureUnreadable
        yield data[place : place + 4], data[place + 8 : end]
        place = end + (end & 1)


def _webp_header(data: bytes) -> PictureHeader:
    canvas: tuple[int, int] | None = None
    for kind, payload in webp_chunks(data):
        if kind == b"VP8X" and canvas is None and len(payload) >= 10:
            canvas = (1 + int.from_bytes(payload[4:7], "little"), 1 + int.from_bytes(payload[7:10], "little"))
        elif kind == b"ANMF" and canvas is not None:
            return PictureHeader(Kind.WEBP, *canvas)
        elif kind in (b"VP8 ", b"VP8L"):
            size = _vp8_size(payload) if kind == b"VP8 " else _vp8l_size(payload)
            if canvas not in (None, size):
                raise PictureUnreadable
            return PictureHeader(Kind.WEBP, *size)
    raise PictureUnreadable


def _vp8_size(frame: bytes) -> tuple[int, int]:
    if len(frame) < 10 or frame[0] & 1 or frame[3:6] != b"\x9d\x01\x2a":
        raise PictureUnreadable
    return int.from_bytes(frame[6:8], "little") & 0x3FFF, int.from_bytes(frame[8:10], "little") & 0x3FFF


def _vp8l_size(frame: bytes) -> tuple[int, int]:
    if len(frame) < 5 or frame[0] != 0x2F:
        raise PictureUnreadable
    bits = int.from_bytes(frame[1:5], "little")
    return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)


def _bmp_header(data: bytes) -> PictureHeader:
    size = int.from_bytes(data[14:18], "little")
    if len(data) < 26:
        raise PictureUnreadable
    if size == _BMP_CORE_HEADER:
        return PictureHeader(Kind.BMP, int.from_bytes(data[18:20], "little"), int.from_bytes(data[20:22], "little"))
    if size < _BMP_INFO_HEADER:
        raise PictureUnreadable
    width = int.from_bytes(data[18:22], "little", signed=True)
    # A negative height means that the rows are stored from the top down.
    return PictureHeader(Kind.BMP, width, abs(int.from_bytes(data[22:26], "little", signed=True)))
