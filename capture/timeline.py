"""The people and the site at any version of the past, folded from records of the people topic. Pure."""

from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from contract.captures.values import PeopleLine
from engine.gallery.people import People, Snapshot

_SNAPSHOTS_KEPT = 64


@dataclass(frozen=True, slots=True)
class CapturedEntry:
    """A captured record as the fold of the people reads it (contract.people.directory.Entry)."""

    line: PeopleLine
    damaged: bool = False

    @property
    def key(self) -> bytes:
        """The key."""
        return self.line.key

    @property
    def value(self) -> bytes | None:
        """The value; None deletes the key."""
        return self.line.value

    @property
    def offset(self) -> int:
        """The offset in the people topic."""
        return self.line.offset


class _Moment(NamedTuple):
    """The people at a version; `foreign`: there are faces, and none of the embedder."""

    snapshot: Snapshot
    foreign: bool


class Timeline:
    """Snapshots of the people by gallery version. Only one thread may use it; any thread may search a snapshot.

    Going on to a later version costs the records between both versions. Going back costs nothing while the snapshot is
    among the last ones used, and otherwise all records up to the version.
    """

    def __init__(self, records: Sequence[PeopleLine], dimension: int, embedder: str) -> None:
        """`records`: in the order of their offsets. `dimension` and `embedder`: as of engine.gallery.people.People."""
        self._records, self._dimension, self._embedder = records, dimension, embedder
        self._offsets = [record.offset for record in records]
        self._moments: OrderedDict[int, _Moment] = OrderedDict()
        self._people, self._applied = People(dimension, embedder), 0

    def at(self, version: int) -> Snapshot:
        """Return the snapshot that contains all records with offsets below `version`.

        Its own version may be lower, where no record changed anything in between.
        """
        return self._moment(version).snapshot

    def is_foreign(self, version: int) -> bool:
        """Return whether faces are enrolled at that version, and none of the embedder."""
        return self._moment(version).foreign

    def _moment(self, version: int) -> _Moment:
        wanted = bisect_left(self._offsets, version)
        if wanted in self._moments:
            self._moments.move_to_end(wanted)
            return self._moments[wanted]
        if wanted < self._applied:
            self._people, self._applied = People(self._dimension, self._embedder), 0
        self._people.apply(CapturedEntry(record) for record in self._records[self._applied : wanted])
        self._applied = wanted
        foreign = self._people.own_faces == 0 < self._people.faces_count
        self._moments[wanted] = _Moment(self._people.snapshot(), foreign)
        if len(self._moments) > _SNAPSHOTS_KEPT:
            self._moments.popitem(last=False)
        return self._moments[wanted]
