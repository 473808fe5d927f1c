"""What can be asked of the faces that were seen: those of matches whose evidence the log still has. Pure.

`SeenFaces` is the port between an ingress, which asks, and the index, which follows the evidence topic.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from contract.event_store import PERCENT_AT_THRESHOLD
from contract.vectors import Vector

MOST_SCANNED = 50_000
"""The most faces that one search in the order of time compares."""
COMPARED_AS = 1000
"""A similarity of 82 on the percent scale is the threshold of a search among so many faces."""
MOST_FOUND = 1000
"""The most faces that one search finds."""


@dataclass(frozen=True, slots=True)
class Likeness:
    """What an index must know of the embedder in use.

    `embedder`: its identity. `dimension`: the length of its vectors. `threshold_of`: returns the cosine threshold of a
    search among so many faces. `rate_of`: returns the false match rate of one comparison at a cosine; None: the
    embedder has no curve of these rates.
    """

    embedder: str
    dimension: int
    threshold_of: Callable[[int], float]
    rate_of: Callable[[float], float | None]


@dataclass(frozen=True, slots=True)
class SeenFilter:
    """The faces that are searched: those of matches in a time (epoch seconds, both included), at some devices.

    `device_ips`: the addresses in their one spelling; None: all devices.
    """

    since: float
    until: float
    device_ips: frozenset[str] | None = None


@dataclass(frozen=True, slots=True)
class SeenFace:
    """A face that was found: the id of its event, the cosine to the probe, the time of the match (epoch seconds), and
    the partition and offset of its evidence."""

    event_id: str
    cosine: float
    time: float
    place: tuple[int, int]


@dataclass(frozen=True, slots=True)
class InTime:
    """The result of a search in the order of time.

    `more`: the search ended before the last face of the filter, at a face of the time `end`. `end` is None where no
    face was compared. `scanned`: the number of compared faces.
    """

    found: Sequence[SeenFace]
    scanned: int
    more: bool
    end: float | None


@dataclass(frozen=True, slots=True)
class Nearest:
    """The nearest faces, the nearest first. `among`: the number of faces that the filter leaves."""

    found: Sequence[SeenFace]
    among: int


class SeenFaces(Protocol):
    """The faces of the evidence that the log has. The searches take milliseconds of a core, and may run in a thread."""

    @property
    def likeness(self) -> Likeness:
        """The facts about the embedder."""
        ...

    def complete(self) -> bool:
        """Return whether the evidence was read to the end that it had at the start."""
        ...

    def in_time(self, probe: Vector, wanted: SeenFilter, least: float, *, newest_first: bool) -> InTime:
        """Return the faces with at least the cosine `least`, in the order of time, within the limits of one search."""
        ...

    def nearest(self, probe: Vector, wanted: SeenFilter, most: int) -> Nearest:
        """Return the faces with the greatest cosines."""
        ...

    async def kept(self, found: Sequence[SeenFace]) -> Sequence[SeenFace]:
        """Return the faces whose evidence is still in the log: not erased, and not removed."""
        ...


def cosine_of(percent: float, threshold: float) -> float:
    """Return the least cosine that has a score on the scale of 0 to 100 (contract.event_store.percent_of)."""
    if percent <= 0:
        return -1.0
    middle = min(max(threshold, 1e-6), 1 - 1e-6)
    if percent < PERCENT_AT_THRESHOLD:
        return percent / PERCENT_AT_THRESHOLD * middle
    return middle + (percent - PERCENT_AT_THRESHOLD) / (100.0 - PERCENT_AT_THRESHOLD) * (1 - middle)
