"""The people and the site at any version of the past, folded from records of the people topic. Pure."""

from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

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


class Timeline:
    """Snapshots of the people by gallery version. Only one thread may use it; any thread may search a snapshot.

    Going on to a later version costs the records between both versions. Going back costs nothing while the snapshot is
    among the last ones used, and otherwise all records up to the version.
    """

    def __init__(self, records: Sequence[PeopleLine], dimension: int, embedder: str) -> None:
        """`records`: in the order of their offsets. `dimension` and `embedder`: as of engine.gallery.people.People."""
        self._records, self._dimension, self._embedder = records, dimension, embedder
        self._offsets = [record.offset for record in records]
        self._snapshots: OrderedDict[int, Snapshot] = OrderedDict()
        self._people, self._applied = People(dimension, embedder), 0

    def at(self, version: int) -> Snapshot:
        """Return the snapshot that contains all records with offsets below `version`.

        Its own version may be lower, where no record changed anything in between.
        """
        wanted = bisect_left(self._offsets, version)
        if wanted in self._snapshots:
            self._snapshots.move_to_end(wanted)
            return self._snapshots[wanted]
        if wanted < self._applied:
            self._people, self._applied = People(self._dimension, self._embedder), 0
        self._people.apply(CapturedEntry(record) for record in self._records[self._applied : wanted])
        self._applied = wanted
        self._snapshots[wanted] = self._people.snapshot()
        if len(self._snapshots) > _SNAPSHOTS_KEPT:
            self._snapshots.popitem(last=False)
        return self._snapshots[wanted]
