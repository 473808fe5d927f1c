"""The scans of a JPEG: how many there are, whether an end marker follows them, whether they send the whole picture.

A baseline JPEG is usually one scan. A progressive one sends each coefficient in several, and cut between two of them it
decodes without a warning, only coarser; so what the scan headers promise is ticked off here.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from engine.errors import PictureUnreadable
from engine.vision.headers import Segment, jpeg_segments

_SOS, _EOI = 0xDA, b"\xd9"
_FRAMES = frozenset({0xC0, 0xC1, 0xC2, 0xC3, 0xC9, 0xCA})
_PROGRESSIVE = frozenset({0xC2, 0xCA})
_COEFFICIENTS = 64
# What ends a scan: any marker but fill bytes, stuffed zeros and restarts.
_SCAN_END = re.compile(rb"\xff([\x01-\xcf\xd8-\xfe])")


@dataclass(frozen=True, slots=True)
class Scans:
    """`complete`: every coefficient of every component is sent to full precision; `ended`: an end marker follows."""

    count: int
    complete: bool
    ended: bool


def read_scans(data: bytes, max_count: int) -> Scans:
    """The scans of the file, at most `max_count` + 1 of them."""
    picture = _Coefficients()
    count, place, ended = 0, 2, False
    while count <= max_count:
        try:
            segments = list(jpeg_segments(data, place))
        except PictureUnreadable:
            break
        picture.tick_off(data, segments)
        count += 1
        end = _SCAN_END.search(data, segments[-1].end)
        if end is None or end[1] == _EOI:
            ended = end is not None
            break
        place = end.start()
    return Scans(count, picture.complete, ended)


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
