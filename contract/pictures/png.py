"""Checks a PNG before it is decoded, and removes everything from it that is not needed to decode it.

libpng prints its warnings about a file to the process's standard error, which is the operator's terminal. So libpng is
given only the chunks that contain the picture, after these have been checked.
"""

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from contract.errors import PictureUnreadable
from contract.pictures.headers import PNG_SIGNATURE, png_chunks

_DEPTHS = {0: {1, 2, 4, 8, 16}, 2: {8, 16}, 3: {1, 2, 4, 8}, 4: {8, 16}, 6: {8, 16}}
_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
_PALETTE = 3
_ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
"""The seven interlaced passes: first column, first row, step between columns, step between rows."""
_LAST_FILTER = 4
_BLOCK_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True)
class _Layout:
    """The fields of an IHDR chunk, checked against the values that the standard allows."""

    width: int
    height: int
    depth: int
    colour: int
    interlaced: bool

    def passes(self) -> Iterator[tuple[int, int]]:
        """Yield, for each pass over the picture, the number of rows and the bytes per row including the filter byte."""
        for left, top, right, down in _ADAM7 if self.interlaced else ((0, 0, 1, 1),):
            columns, rows = -((left - self.width) // right), -((top - self.height) // down)
            if columns > 0 and rows > 0:
                yield rows, 1 + (columns * self.depth * _CHANNELS[self.colour] + 7) // 8


def plain_png(data: bytes) -> bytes:
    """Return a PNG of the same picture without metadata and without transparency of the palette.

    Its rows are stored uncompressed, so that the stream of the original file, which can be costly, is decompressed only
    once.

    Raises:
        PictureUnreadable: the PNG is damaged, cut off, or violates the standard.
    """
    header, palette, compressed = _critical(data)
    layout = _layout(header)
    if layout.colour == _PALETTE:
        colours = 1 << layout.depth
        if palette is None or len(palette) % 3 or not 0 < len(palette) <= 768:
            raise PictureUnreadable
        # Pixels whose index lies beyond a short palette are black, as libpng decodes them.
        parts = [_chunk(b"PLTE", palette[: 3 * colours].ljust(3 * colours, b"\x00"))]
    else:
        parts = []
    packer = zlib.compressobj(0)
    for block in _unpacked(compressed, layout):
        if stored := packer.compress(block):
            parts.append(_chunk(b"IDAT", stored))
    parts.append(_chunk(b"IDAT", packer.flush()))
    return b"".join((PNG_SIGNATURE, _chunk(b"IHDR", header), *parts, _chunk(b"IEND", b"")))


def row_bytes(data: bytes) -> tuple[int, bool]:
    """Return the number of bytes of a PNG's decompressed rows, computed from its header, and whether it is interlaced.

    Raises:
        PictureUnreadable: the header violates the standard.
    """
    layout = _layout(data[16:29])
    return sum(rows * stride for rows, stride in layout.passes()), layout.interlaced


def _critical(data: bytes) -> tuple[bytes, bytes | None, bytes]:
    """Return the payload of IHDR, that of PLTE or None, and the joined payloads of the first run of IDAT chunks."""
    header: bytes | None = None
    palette: bytes | None = None
    pieces: list[bytes] = []
    ended = False
    for kind, payload in png_chunks(data):
        if kind == b"IDAT":
            if not ended:
                pieces.append(payload)
            continue
        ended = bool(pieces)
        if kind == b"IHDR" and header is None:
            header = payload
        elif kind == b"PLTE" and palette is None and not pieces:
            palette = payload
        elif kind != b"IEND" and not kind[0] & 0x20:
            raise PictureUnreadable
    if header is None or not pieces:
        raise PictureUnreadable
    return header, palette, b"".join(pieces)


def _layout(header: bytes) -> _Layout:
    if len(header) != 13:
        raise PictureUnreadable
    width, height, depth, colour, compression, filtering, interlacing = struct.unpack(">IIBBBBB", header)
    allowed = depth in _DEPTHS.get(colour, ()) and (compression, filtering) == (0, 0) and interlacing in (0, 1)
    if not (allowed and width > 0 and height > 0):
        raise PictureUnreadable
    return _Layout(width, height, depth, colour, interlacing == 1)


def _unpacked(compressed: bytes, layout: _Layout) -> Iterator[bytes]:
    """Yield blocks of decompressed rows, with their filter bytes checked. Bytes behind the stream's end are ignored."""
    unpacker = zlib.decompressobj()
    packed = compressed
    try:
        for rows, stride in layout.passes():
            rows_per_block = max(1, _BLOCK_BYTES // stride)
            for first in range(0, rows, rows_per_block):
                size = min(rows_per_block, rows - first) * stride
                block = unpacker.decompress(packed, size)
                packed = unpacker.unconsumed_tail
                if len(block) != size or np.frombuffer(block, np.uint8)[::stride].max() > _LAST_FILTER:
                    raise PictureUnreadable
                yield block
        if not unpacker.eof and (unpacker.decompress(packed, 1) or not unpacker.eof):
            raise PictureUnreadable
    except zlib.error as error:
        raise PictureUnreadable from error


def _chunk(kind: bytes, payload: bytes) -> bytes:
    return struct.pack(">I", len(payload)) + kind + payload + struct.pack(">I", zlib.crc32(kind + payload))
