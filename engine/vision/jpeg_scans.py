"""The scans of a JPEG: how many there are, whether an end marker follows them, whether they send the whole picture.

A baseline JPEG is usually one scan. A progressive one sends each coefficient in several, and cut between two of them it
decodes without a warning, only coarser; so what the scan headers promise is ticked off here. So are restart markers:
libjpeg skips all that stands before a missing one, and calls it by the name of harmless padding.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from engine.errors import PictureUnreadable
from engine.vision.headers import Segment, jpeg_segments

_SOS, _DRI, _EOI = 0xDA, 0xDD, b"\xd9"
_FRAMES = frozenset({0xC0, 0xC1, 0xC2, 0xC3, 0xC9, 0xCA})
_PROGRESSIVE = frozenset({0xC2, 0xCA})
_COEFFICIENTS = 64
_BLOCK_SIDE = 8
# What ends a scan: any marker but fill bytes, stuffed zeros and restarts.
_SCAN_END = re.compile(rb"\xff([\x01-\xcf\xd8-\xfe])")
_RESTART = re.compile(rb"\xff[\xd0-\xd7]")


@dataclass(frozen=True, slots=True)
class Scans:
    """`complete`: every coefficient of every component is sent to full precision; `restarted`: each scan has all the
    restart markers that it promises; `ended`: an end marker follows."""

    count: int
    complete: bool
    restarted: bool
    ended: bool


def read_scans(data: bytes, max_count: int) -> Scans:
    """The scans of the file, at most `max_count` + 1 of them."""
    picture, restarts = _Coefficients(), _Restarts()
    count, place, restarted, ended = 0, 2, True, False
    while count <= max_count:
        try:
            segments = list(jpeg_segments(data, place))
        except PictureUnreadable:
            break
        picture.tick_off(data, segments)
        count += 1
        end = _SCAN_END.search(data, segments[-1].end)
        promised = restarts.promised(data, segments)
        if promised:
            found = _RESTART.findall(data, segments[-1].end, end.start() if end else len(data))
            restarted = restarted and len(found) >= promised
        if end is None or end[1] == _EOI:
            ended = end is not None
            break
        place = end.start()
    return Scans(count, picture.complete, restarted, ended)


class _Coefficients:
    """Which coefficients of which component are still to come."""

    def __init__(self) -> None:
        self._missing: dict[int, set[int]] = {}
        self._progressive = False

    @property
    def complete(self) -> bool:
        return not any(self._missing.values())

    def tick_off(self, data: bytes, segments: Iterable[Segment]) -> None:
        for segment in segments:
            payload = data[segment.start : segment.end]
            if segment.marker in _FRAMES:
                self._progressive = segment.marker in _PROGRESSIVE
                self._missing = {component: set(range(_COEFFICIENTS)) for component in payload[6::3]}
            elif segment.marker == _SOS and len(payload) >= 4:
                self._tick_off_scan(payload)

    def _tick_off_scan(self, scan: bytes) -> None:
        first, last, bits_left_out = 0, _COEFFICIENTS - 1, 0
        if self._progressive:
            first, last, bits_left_out = scan[-3], scan[-2], scan[-1] & 0x0F
        if bits_left_out == 0:
            for component in scan[1 : 1 + 2 * scan[0] : 2]:
                self._missing.get(component, set()).difference_update(range(first, last + 1))


class _Restarts:
    """How many restart markers a scan has to have."""

    def __init__(self) -> None:
        self._interval = 0
        self._size = (0, 0)
        self._sampling: dict[int, tuple[int, int]] = {}

    def promised(self, data: bytes, segments: Iterable[Segment]) -> int:
        """Those of the scan that the segments end with; 0 where the headers make no sense."""
        units = 0
        for segment in segments:
            payload = data[segment.start : segment.end]
            if segment.marker == _DRI and len(payload) >= 2:
                self._interval = int.from_bytes(payload[:2], "big")
            elif segment.marker in _FRAMES:
                self._size = (int.from_bytes(payload[3:5], "big"), int.from_bytes(payload[1:3], "big"))
                self._sampling = {payload[i]: divmod(payload[i + 1], 16) for i in range(6, len(payload) - 2, 3)}
            elif segment.marker == _SOS and payload:
                units = self._units(payload[1 : 1 + 2 * payload[0] : 2])
        return max(0, units - 1) // self._interval if self._interval else 0

    def _units(self, components: bytes) -> int:
        """What restart intervals are counted in: blocks of a single component, else the smallest common pieces."""
        units = 1
        for axis, length in enumerate(self._size):
            most = max((factors[axis] for factors in self._sampling.values()), default=0)
            own = self._sampling.get(components[0], (0, 0))[axis] if len(components) == 1 else 1
            if not most or not own:
                return 0
            samples = -(-length * own // most) if len(components) == 1 else -(-length // most)
            units *= -(-samples // _BLOCK_SIDE)
        return units
