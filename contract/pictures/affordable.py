"""Decides whether a picture may be decoded, from its kind, its size and the cost of decoding that its headers imply.

The number of pixels alone does not bound the work. A JPEG may have dozens of scans over all pixels, a PNG may have
eight bytes for each pixel, a lossless WebP a set of code tables for every sixteen pixels. So the cost of decoding is
estimated for each kind by a formula fitted to measurements (bench.decode_cost). No picture may cost more than
`MAX_JPEG_COST_NS` or `MAX_UNDECIMATED_COST_NS`, and the scans of a JPEG may not cost more than `MAX_SCANS_NS_PER_PIXEL`
times its pixels.

This module decompresses nothing, and its time is linear in the number of bytes, so that it may run on an event loop.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from contract.errors import Code, PictureTooLarge, PictureUnreadable, Refused
from contract.pictures.headers import Kind, PictureHeader, require_pixels
from contract.pictures.jpeg_scans import Layout, read_layout
from contract.pictures.limits import MAX_UNDECIMATED_PIXELS
from contract.pictures.png import row_bytes
from contract.pictures.webp import LOSSLESS, webp_picture

MAX_LOSSLESS_WEBP_PIXELS = 640 * 480
"""The most pixels of a lossless WebP: the file may contain code tables for every 4 x 4 pixels, and their number lies
behind data that could only be skipped by decompressing it."""

MAX_JPEG_COST_NS = 215e6
"""The highest cost of decoding a JPEG that has several scans, on the machine that docs/measurements.md names. Searching
a picture without faces takes nearly as long again, and both together stay below half a second."""

MAX_UNDECIMATED_COST_NS = 200e6
"""The highest cost of decoding a PNG or a WebP."""

MAX_SCANS_NS_PER_PIXEL = 14.0
"""The highest cost of reading the scans of a JPEG, without converting them to pixels. Decoding an ordinary JPEG costs 2
to 3 ns per pixel in all, reading the scans of a good progressive JPEG 5 to 10."""

MAX_DATA_BYTES_PER_PIXEL = 3
"""The most bytes per pixel in the scans of a JPEG; a JPEG of the best quality has between one and two."""

_SMALL_NS, _SMALL_BYTES = 1e6, 65_536
"""The cost and the number of bytes that every picture may have, however few its pixels: less is negligible."""

_JPEG_PER_PIXEL = 2.5
_PNG_PER_BYTE, _PNG_PER_BYTE_INTERLACED, _PNG_PER_PACKED_BYTE = 4.2, 5.5, 44.0
# The stream of a PNG may contain new code tables every thirty bytes and no data for them, which costs five times as
# much as an ordinary stream. Only decompression could show that, so every PNG is charged half of that extra cost.
_WEBP_PER_PIXEL, _WEBP_PER_BYTE = 5.0, 48.0
_BMP_PER_PIXEL = 2.5


@dataclass(frozen=True, slots=True)
class Affordable:
    """A picture that may be decoded: its header, the cost of decoding it and, for a JPEG, the layout of its scans."""

    header: PictureHeader
    cost_ns: float
    layout: Layout | None = None

    @property
    def in_one_pass(self) -> bool:
        """Whether the picture is a JPEG of one scan, so that decoding it at a smaller size saves most of the work."""
        return self.layout is not None and len(self.layout.scans) == 1


def require_affordable(
    data: bytes, max_pixels: int, max_undecimated_pixels: int = MAX_UNDECIMATED_PIXELS
) -> Affordable:
    """Return the header (and the layout of a JPEG) of a picture that may be decoded.

    Args:
        data: the bytes of a whole file.
        max_pixels: the most pixels of the picture as sent.
        max_undecimated_pixels: the most pixels of a PNG, WebP or BMP; the lower of both limits applies.

    Raises:
        PictureUnreadable: the picture is of a kind that is not served, or its headers are damaged, or it is a JPEG
            whose scans are too many or too costly for its size.
        PictureTooLarge: the picture has too many pixels or too long a side, or decoding it costs too much.
    """
    header = require_pixels(data, max_pixels)
    if header.kind is Kind.JPEG:
        layout = _affordable_layout(data, header)
        scans_ns = layout.cost_ns if len(layout.scans) > 1 else 0.0
        return Affordable(header, scans_ns + _JPEG_PER_PIXEL * header.pixels, layout)
    fewest = min(max_pixels, max_undecimated_pixels, MAX_UNDECIMATED_PIXELS)
    if header.pixels > fewest:
        raise PictureTooLarge(fewest, f"pixels, which is the limit of a {_NAMES[header.kind]}")
    if header.kind is Kind.PNG:
        return Affordable(header, _affordable_png_ns(data))
    if header.kind is Kind.WEBP:
        return Affordable(header, _affordable_webp_ns(data, header))
    return Affordable(header, _BMP_PER_PIXEL * header.pixels)


def require_affordable_together(pictures: Iterable[Affordable], max_pixels: int) -> None:
    """Refuse several pictures of one request that cost more together than one picture may cost.

    Raises:
        Refused: 40007: together they have more than `max_pixels`, or decoding all of them costs more than decoding one
            picture may cost.
    """
    pixels, cost_ns = 0, 0.0
    for picture in pictures:
        pixels += picture.header.pixels
        cost_ns += picture.cost_ns
    if pixels > max_pixels:
        raise too_large_together(f"have more than {max_pixels} pixels")
    if cost_ns > MAX_JPEG_COST_NS:
        raise too_large_together("take longer to decode than one picture may take")


def too_large_together(words: str) -> Refused:
    """Return the refusal of several pictures that are too large together; `words`: what they exceed."""
    return Refused(Code.IMAGE_SIZE_TOO_LARGE_ERROR, f"the pictures {words} together; send fewer or smaller ones")


_NAMES = {Kind.PNG: "PNG", Kind.WEBP: "WebP", Kind.BMP: "BMP", Kind.JPEG: "JPEG"}


def _affordable_layout(data: bytes, header: PictureHeader) -> Layout:
    layout = read_layout(data)
    dear = layout.data_bytes > max(_SMALL_BYTES, MAX_DATA_BYTES_PER_PIXEL * header.pixels)
    if len(layout.scans) > 1:
        dear = dear or layout.cost_ns > max(_SMALL_NS, MAX_SCANS_NS_PER_PIXEL * header.pixels)
        cost_ns = layout.cost_ns + _JPEG_PER_PIXEL * header.pixels
        if not dear and cost_ns > MAX_JPEG_COST_NS:
            raise PictureTooLarge(int(header.pixels * MAX_JPEG_COST_NS / cost_ns), "pixels for a JPEG in such scans")
    if dear:
        raise PictureUnreadable("the JPEG's scans are too many or too long for its size; save it as a baseline JPEG")
    return layout


def _affordable_png_ns(data: bytes) -> float:
    total, interlaced = row_bytes(data)
    each = _PNG_PER_BYTE_INTERLACED if interlaced else _PNG_PER_BYTE
    cost_ns = each * total + _PNG_PER_PACKED_BYTE * len(data)
    if cost_ns > MAX_UNDECIMATED_COST_NS:
        share = MAX_UNDECIMATED_COST_NS / cost_ns
        if each * total < _PNG_PER_PACKED_BYTE * len(data):
            raise PictureTooLarge(int(len(data) * share), "bytes for a PNG of its size")
        raise PictureTooLarge(int(total * share), "bytes in its rows, unpacked")
    return cost_ns


def _affordable_webp_ns(data: bytes, header: PictureHeader) -> float:
    kind, payload = webp_picture(data)
    if kind == LOSSLESS:
        if header.pixels > MAX_LOSSLESS_WEBP_PIXELS:
            raise PictureTooLarge(MAX_LOSSLESS_WEBP_PIXELS, "pixels, which is the limit of a lossless WebP")
        return MAX_UNDECIMATED_COST_NS * header.pixels / MAX_LOSSLESS_WEBP_PIXELS
    cost_ns = _WEBP_PER_PIXEL * header.pixels + _WEBP_PER_BYTE * len(payload)
    if cost_ns > MAX_UNDECIMATED_COST_NS:
        raise PictureTooLarge(int(header.pixels * MAX_UNDECIMATED_COST_NS / cost_ns), "pixels for a WebP of its bytes")
    return cost_ns
