"""Parses the scans of a JPEG without decoding them: their contents, their completeness and the cost of decoding them.

A baseline JPEG usually has one scan. A progressive JPEG sends each coefficient in several scans, and libjpeg walks over
all blocks of the picture for each scan, even for an empty one: a file of four kilobytes can cause seconds of work. So
the scans are counted and their cost is estimated before libjpeg decodes the file. A progressive JPEG that was cut off
between two scans decodes without a warning, only coarser; so this module checks from the scan headers that every
coefficient was sent. It also counts the restart markers: libjpeg skips all data before a missing restart marker, and
its warning is the same as for harmless padding.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from contract.errors import PictureUnreadable
from contract.pictures.headers import MAX_JPEG_SEGMENTS, UNSERVED_FRAMES, Segment, jpeg_segments, unserved_jpeg

MAX_SCANS = 32
"""The most scans of a JPEG; even thorough encoders write about ten."""

MAX_TABLE_BYTES = 65_536
"""The most bytes of all Huffman and quantisation tables together; an encoder that writes new tables for each scan needs
a tenth of that."""

Places = NDArray[np.intp]
"""Offsets in a file, in rising order."""

_SOS, _DHT, _DQT, _DRI = 0xDA, 0xC4, 0xDB, 0xDD
_BASELINE, _EXTENDED, _PROGRESSIVE = 0xC0, 0xC1, 0xC2
_SERVED_FRAMES = frozenset({_BASELINE, _EXTENDED, _PROGRESSIVE})
_EOI = 0xD9
_LAST_COEFFICIENT = 63
_MOST_BITS_LEFT_OUT = 13
_BLOCK_SIDE = 8
_COMPONENTS = (1, 3, 4)
_NOT_SENT = -1

# Nanoseconds on one core of the machine that docs/measurements.md names, measured by bench.decode_cost. On another
# machine only their ratios are valid; both limits in contract.pictures.affordable are in the same unit.
_PER_SCAN, _PER_BLOCK, _PER_BLOCK_DIRECT, _PER_BLOCK_REFINED = 4_000.0, 6.0, 20.0, 36.0
_PER_BYTE, _PER_COEFFICIENT = 30.0, 5.0


@dataclass(frozen=True, slots=True)
class Component:
    """One colour plane: its number, and its sampling factors across and down, relative to those of the other planes."""

    number: int
    across: int
    down: int


@dataclass(frozen=True, slots=True)
class Scan:
    """One scan: its header and the end of its data in the file, its components, and the coefficients first..last.

    `before`: how many low bits of the coefficients the earlier scans left out; 0 where this scan is the first to send
    them. `after`: how many low bits are still missing after this scan.
    """

    header: Segment
    data_end: int
    components: tuple[int, ...]
    first: int
    last: int
    before: int
    after: int


@dataclass(frozen=True, slots=True)
class Layout:
    """The structure of a JPEG.

    `segments`: all segments before the last scan's data, in order, including the scans' headers. `complete`: the scans
    send every coefficient of every component to full precision. `ended`: an end marker follows the last scan.
    `cost_ns`: the estimated cost of reading the scans, in nanoseconds.
    """

    width: int
    height: int
    progressive: bool
    segments: tuple[Segment, ...]
    scans: tuple[Scan, ...]
    complete: bool
    ended: bool
    cost_ns: float

    @property
    def data_bytes(self) -> int:
        """The number of bytes of the data of all scans."""
        return sum(scan.data_end - scan.header.end for scan in self.scans)


def read_layout(data: bytes) -> Layout:
    """Return the layout of a JPEG file up to its end marker, or up to its last byte where the end marker is missing.

    Raises:
        PictureUnreadable: libjpeg would warn about the file or refuse it, or the JPEG is of a kind that is not served.
    """
    return _Walk(data).layout()


class _Walk:
    """The state of the parser: everything that was read from the file up to the present place."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._segments: list[Segment] = []
        self._scans: list[Scan] = []
        self._size = (0, 0)
        self._progressive = False
        self._components: dict[int, Component] = {}
        self._bits_left_out: dict[int, list[int]] = {}
        self._interval = 0
        self._table_bytes = 0
        self._cost_ns = 0.0
        self._consistent = True

    def layout(self) -> Layout:
        markers, ends = _markers(self._data)
        place, ended = 2, False
        while True:
            self._read_segments(place)
            start = self._segments[-1].end
            index = int(np.searchsorted(ends, start))
            end = int(ends[index]) if index < len(ends) else len(self._data)
            self._read_scan(self._segments[-1], end, markers)
            if index == len(ends) or end + 1 >= len(self._data):
                break
            if self._data[end + 1] == _EOI:
                ended = True
                break
            place = end
        if not self._consistent:
            raise PictureUnreadable
        complete = not any(any(bits) for bits in self._bits_left_out.values())
        width, height = self._size
        return Layout(
            width,
            height,
            self._progressive,
            tuple(self._segments),
            tuple(self._scans),
            complete,
            ended,
            self._cost_ns,
        )

    def _read_segments(self, place: int) -> None:
        for segment in jpeg_segments(self._data, place):
            payload = self._data[segment.start : segment.end]
            if segment.marker in UNSERVED_FRAMES:
                raise unserved_jpeg()
            if segment.marker in _SERVED_FRAMES:
                self._read_frame(payload, segment.marker)
            elif segment.marker in (_DHT, _DQT):
                self._table_bytes += len(payload)
            elif segment.marker == _DRI and len(payload) >= 2:
                self._interval = int.from_bytes(payload[:2], "big")
            self._segments.append(segment)
        if self._table_bytes > MAX_TABLE_BYTES or len(self._segments) > MAX_JPEG_SEGMENTS:
            raise PictureUnreadable

    def _read_frame(self, frame: bytes, marker: int) -> None:
        if self._components or len(frame) < 6 or frame[5] not in _COMPONENTS or len(frame) != 6 + 3 * frame[5]:
            raise PictureUnreadable
        if frame[0] != _BLOCK_SIDE:
            raise unserved_jpeg()
        self._size = (int.from_bytes(frame[3:5], "big"), int.from_bytes(frame[1:3], "big"))
        self._progressive = marker == _PROGRESSIVE
        for place in range(6, len(frame), 3):
            across, down = divmod(frame[place + 1], 16)
            if not (1 <= across <= 4 and 1 <= down <= 4):
                raise PictureUnreadable
            self._components[frame[place]] = Component(frame[place], across, down)
        if len(self._components) != frame[5]:
            raise PictureUnreadable
        self._bits_left_out = {number: [_NOT_SENT] * (_LAST_COEFFICIENT + 1) for number in self._components}

    def _read_scan(self, segment: Segment, end: int, markers: Places) -> None:
        header = self._data[segment.start : segment.end]
        if not header or not 1 <= header[0] <= 4 or len(header) != 4 + 2 * header[0]:
            raise PictureUnreadable
        numbers = tuple(header[1 : 1 + 2 * header[0] : 2])
        if any(number not in self._components for number in numbers):
            raise PictureUnreadable
        first, last, before, after = 0, _LAST_COEFFICIENT, 0, 0
        if self._progressive:
            first, last = header[-3], header[-2]
            before, after = divmod(header[-1], 16)
            _require_progressive(first, last, before, after, len(numbers))
        scan = Scan(segment, end, numbers, first, last, before, after)
        self._tick_off(scan)
        units = self._units(numbers)
        promised = (units - 1) // self._interval if self._interval else 0
        if promised > 0 and _between(markers, segment.end, end) < promised:
            raise PictureUnreadable
        self._scans.append(scan)
        if len(self._scans) > MAX_SCANS:
            raise PictureUnreadable("the JPEG has too many scans; save it again as a baseline JPEG")
        self._cost_ns += self._cost(scan)

    def _tick_off(self, scan: Scan) -> None:
        for number in scan.components:
            bits = self._bits_left_out[number]
            if self._progressive:
                # libjpeg warns about any other order of scans as an inconsistent progression; here that means damage.
                direct_first = scan.first == 0 or bits[0] != _NOT_SENT
                as_left = all(max(left, 0) == scan.before for left in bits[scan.first : scan.last + 1])
                self._consistent = self._consistent and direct_first and as_left
            bits[scan.first : scan.last + 1] = [scan.after] * (scan.last - scan.first + 1)

    def _units(self, numbers: Sequence[int]) -> int:
        """Return the number of units in which restart intervals are counted: the blocks of a single component, else
        the minimum coded units of several components."""
        if len(numbers) == 1:
            return self._blocks(self._components[numbers[0]])
        across, down = self._finest()
        width, height = self._size
        return -(-width // (_BLOCK_SIDE * across)) * -(-height // (_BLOCK_SIDE * down))

    def _blocks(self, component: Component) -> int:
        across, down = self._finest()
        columns = -(-self._size[0] * component.across // across)
        rows = -(-self._size[1] * component.down // down)
        return -(-columns // _BLOCK_SIDE) * -(-rows // _BLOCK_SIDE)

    def _finest(self) -> tuple[int, int]:
        shapes = self._components.values()
        return max(shape.across for shape in shapes), max(shape.down for shape in shapes)

    def _cost(self, scan: Scan) -> float:
        if len(scan.components) == 1:
            blocks = self._blocks(self._components[scan.components[0]])
        else:
            shapes = [self._components[number] for number in scan.components]
            blocks = self._units(scan.components) * sum(shape.across * shape.down for shape in shapes)
        per_block = _per_block(scan)
        coefficients = blocks * (scan.last - scan.first + 1)
        walked = blocks * per_block
        read = min(_PER_BYTE * (scan.data_end - scan.header.end), _PER_COEFFICIENT * coefficients)
        return _PER_SCAN + walked + read


def _per_block(scan: Scan) -> float:
    if scan.first == 0:
        return _PER_BLOCK_DIRECT
    return _PER_BLOCK_REFINED if scan.before > 0 else _PER_BLOCK


def _require_progressive(first: int, last: int, before: int, after: int, components: int) -> None:
    """Raise PictureUnreadable unless libjpeg accepts a progressive scan of these coefficients and bits."""
    direct = first == 0 and last == 0
    alternating = 0 < first <= last <= _LAST_COEFFICIENT and components == 1
    if not (direct or alternating) or after > _MOST_BITS_LEFT_OUT or (before and after != before - 1):
        raise PictureUnreadable


def _markers(data: bytes) -> tuple[Places, Places]:
    """Return the offsets of the restart markers, and those of the markers that end a scan, which are all markers except
    fill bytes, stuffed zeros and restart markers. Works on whole arrays, because a file may consist of markers only."""
    values = np.frombuffer(data, np.uint8)
    code = values[1:]
    marked = values[:-1] == 0xFF
    restart = (code & 0xF8) == 0xD0
    ends = marked & ~restart & (code != 0) & (code != 0xFF)
    return np.flatnonzero(marked & restart), np.flatnonzero(ends)


def _between(places: Places, start: int, end: int) -> int:
    return int(np.searchsorted(places, end) - np.searchsorted(places, start))
