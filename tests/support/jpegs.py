"""JPEGs built scan by scan, as no encoder would: flat pictures of any size in as many passes as are asked for."""

import math
import struct
from collections.abc import Sequence

Sampling = Sequence[tuple[int, int]]
"""Of each component its factors across and down."""

S444: Sampling = ((1, 1),) * 3
S420: Sampling = ((2, 2), (1, 1), (1, 1))
BASELINE, EXTENDED, PROGRESSIVE, ARITHMETIC, ARITHMETIC_PROGRESSIVE = 0xC0, 0xC1, 0xC2, 0xC9, 0xCA
_END_OF_32767_BLOCKS = 0xE0
_RUN = 32_767


def segment(marker: int, payload: bytes) -> bytes:
    """One segment with its length."""
    return bytes((0xFF, marker)) + struct.pack(">H", len(payload) + 2) + payload


class FlatJpeg:
    """A flat picture; every method adds a scan, `file` ends it. Progressive unless `frame` says otherwise."""

    def __init__(self, width: int, height: int, sampling: Sampling = S420, frame: int = PROGRESSIVE) -> None:
        self._size, self._sampling = (width, height), sampling
        self._finest = max(across for across, _ in sampling), max(down for _, down in sampling)
        shape = struct.pack(">BHHB", 8, height, width, len(sampling)) + b"".join(
            bytes((number, across * 16 + down, 0)) for number, (across, down) in enumerate(sampling, start=1)
        )
        self._parts = [b"\xff\xd8", segment(0xDB, b"\x00" + bytes([16] * 64)), segment(frame, shape)]

    def file(self) -> bytes:
        """The whole file."""
        return b"".join(self._parts) + b"\xff\xd9"

    def add(self, raw: bytes) -> "FlatJpeg":
        """Any bytes where the next scan would stand."""
        self._parts.append(raw)
        return self

    def direct(self, components: Sequence[int], after: int = 0, before: int = 0, *, data: bool = True) -> "FlatJpeg":
        """The mean of each block, or one more bit of it."""
        table = segment(0xC4, b"\x00" + bytes([1] + [0] * 15) + b"\x00")
        scan = self._scan(components, 0, 0, before, after)
        return self.add(table + scan + (_zeros(self._blocks(components)) if data else b""))

    def alternating(
        self, component: int, first: int = 1, last: int = 63, before: int = 0, after: int = 0
    ) -> "FlatJpeg":
        """Nothing for these coefficients of any block, in a few bytes."""
        table = segment(0xC4, b"\x10" + bytes([1] + [0] * 15) + bytes([_END_OF_32767_BLOCKS]))
        bits = ("0" + "1" * 14) * -(-self._blocks([component]) // _RUN)
        bits += "1" * (-len(bits) % 8)
        data = int(bits, 2).to_bytes(len(bits) // 8, "big").replace(b"\xff", b"\xff\x00")
        return self.add(table + self._scan([component], first, last, before, after) + data)

    def sequential(self, component: int) -> "FlatJpeg":
        """All of one component."""
        tables = b"".join(segment(0xC4, kind + bytes([1] + [0] * 15) + b"\x00") for kind in (b"\x00", b"\x10"))
        return self.add(tables + self._scan([component], 0, 63, 0, 0) + _zeros(2 * self._blocks([component])))

    def whole(self, after: int = 0) -> "FlatJpeg":
        """The first pass of everything, `after` bits of the alternating coefficients left out."""
        everything = range(len(self._sampling))
        self.direct(everything)
        for component in everything:
            self.alternating(component, after=after)
        return self

    def _scan(self, components: Sequence[int], first: int, last: int, before: int, after: int) -> bytes:
        chosen = b"".join(bytes((component + 1, 0)) for component in components)
        return segment(0xDA, bytes([len(components)]) + chosen + bytes((first, last, before * 16 + after)))

    def _blocks(self, components: Sequence[int]) -> int:
        if len(components) == 1:
            own = self._sampling[components[0]]
            across, down = (
                math.ceil(math.ceil(length * factor / finest) / 8)
                for length, factor, finest in zip(self._size, own, self._finest, strict=True)
            )
            return across * down
        across, down = (
            math.ceil(length / (8 * finest)) for length, finest in zip(self._size, self._finest, strict=True)
        )
        return across * down * sum(self._sampling[c][0] * self._sampling[c][1] for c in components)


def _zeros(bits: int) -> bytes:
    """So many zero bits, and ones to the end of the byte."""
    data = bytearray(-(-bits // 8))
    if bits % 8:
        data[-1] = (1 << (8 - bits % 8)) - 1
    return bytes(data)
