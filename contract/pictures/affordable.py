"""Whether a picture may be decoded at all: its kind, its size, and about what decoding it costs, told from its headers.

Pixels alone do not bound the work. A JPEG may pass over them dozens of times, a PNG may have eight bytes for each of
them, a lossless WebP a set of code tables for every sixteen. So each kind has a price, taken from measurements
(bench.decode_cost), and no picture may be dearer than `MAX_JPEG_COST_NS` or `MAX_UNDECIMATED_COST_NS`; nor may a JPEG
be dearer for its size than `MAX_SCANS_NS_PER_PIXEL`.

Nothing is unpacked here and all walks are linear in the bytes, so that it may run on an event loop.
"""

from dataclasses import dataclass

from contract.errors import PictureTooLarge, PictureUnreadable
from contract.pictures.headers import Kind, PictureHeader, require_pixels
from contract.pictures.jpeg_scans import Layout, read_layout
from contract.pictures.limits import MAX_UNDECIMATED_PIXELS
from contract.pictures.png import row_bytes
from contract.pictures.webp import LOSSLESS, webp_picture

MAX_LOSSLESS_WEBP_PIXELS = 640 * 480
"""Of a lossless WebP: it may bring code tables for every 4 x 4 pixels, and how many it brings stands behind data that
would have to be unpacked to be passed over."""

MAX_JPEG_COST_NS = 215e6
"""Of decoding a JPEG that is sent in several scans, on the machine that docs/measurements.md names. A look for faces
where nobody is takes nearly as long again, and both together stay below half a second."""

MAX_UNDECIMATED_COST_NS = 200e6
"""Of decoding a PNG or a WebP."""

MAX_SCANS_NS_PER_PIXEL = 14.0
"""Of the scans of a JPEG alone, without making pixels of them. A whole ordinary JPEG takes 2 to 3, the scans of a good
progressive one 5 to 10."""

MAX_DATA_BYTES_PER_PIXEL = 3
"""Of a JPEG; one of the best quality has between one and two."""

_SMALL_NS, _SMALL_BYTES = 1e6, 65_536
"""What a small picture may cost and weigh in any case: less is lost in the noise of everything else."""

_JPEG_PER_PIXEL = 2.5
_PNG_PER_BYTE, _PNG_PER_BYTE_INTERLACED, _PNG_PER_PACKED_BYTE = 4.2, 5.5, 44.0
# The stream of a PNG may bring new code tables every thirty bytes, and no data for them, which costs five times as much
# as an ordinary one. That cannot be told without unpacking, so every PNG is priced half as if it did.
_WEBP_PER_PIXEL, _WEBP_PER_BYTE = 5.0, 48.0


@dataclass(frozen=True, slots=True)
class Affordable:
    """A picture that may be decoded: its header and, of a JPEG, how it is built."""

    header: PictureHeader
    layout: Layout | None = None

    @property
    def in_one_pass(self) -> bool:
        """Whether decoding it smaller saves most of the work: a JPEG of one scan."""
        return self.layout is not None and len(self.layout.scans) == 1


def require_affordable(
    data: bytes, max_pixels: int, max_undecimated_pixels: int = MAX_UNDECIMATED_PIXELS
) -> Affordable:
    """What its headers tell of a picture that may be decoded.

    Args:
        data: a whole file.
        max_pixels: the limit, in pixels of the picture as sent.
        max_undecimated_pixels: the same for a PNG, WebP or BMP; of both the lower one counts.

    Raises:
        PictureUnreadable: not a picture we serve, damaged as far as the headers tell, or a JPEG whose scans are too
            many or too dear for its size.
        PictureTooLarge: too many pixels, too long a side, or more work than a picture may make.
    """
    header = require_pixels(data, max_pixels)
    if header.kind is Kind.JPEG:
        return Affordable(header, _affordable_layout(data, header))
    fewest = min(max_pixels, max_undecimated_pixels, MAX_UNDECIMATED_PIXELS)
    if header.pixels > fewest:
        raise PictureTooLarge(fewest, f"pixels, which is the limit of a {_NAMES[header.kind]}")
    if header.kind is Kind.PNG:
        _require_affordable_png(data)
    elif header.kind is Kind.WEBP:
        _require_affordable_webp(data, header)
    return Affordable(header)


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


def _require_affordable_png(data: bytes) -> None:
    total, interlaced = row_bytes(data)
    each = _PNG_PER_BYTE_INTERLACED if interlaced else _PNG_PER_BYTE
    cost_ns = each * total + _PNG_PER_PACKED_BYTE * len(data)
    if cost_ns > MAX_UNDECIMATED_COST_NS:
        share = MAX_UNDECIMATED_COST_NS / cost_ns
        if each * total < _PNG_PER_PACKED_BYTE * len(data):
            raise PictureTooLarge(int(len(data) * share), "bytes for a PNG of its size")
        raise PictureTooLarge(int(total * share), "bytes in its rows, unpacked")


def _require_affordable_webp(data: bytes, header: PictureHeader) -> None:
    kind, payload = webp_picture(data)
    if kind == LOSSLESS:
        if header.pixels > MAX_LOSSLESS_WEBP_PIXELS:
            raise PictureTooLarge(MAX_LOSSLESS_WEBP_PIXELS, "pixels, which is the limit of a lossless WebP")
        return
    cost_ns = _WEBP_PER_PIXEL * header.pixels + _WEBP_PER_BYTE * len(payload)
    if cost_ns > MAX_UNDECIMATED_COST_NS:
        raise PictureTooLarge(int(header.pixels * MAX_UNDECIMATED_COST_NS / cost_ns), "pixels for a WebP of its bytes")
