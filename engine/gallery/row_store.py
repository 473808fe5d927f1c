"""The store of the rows that every index shares: it adds, changes and removes rows, and gives views of them.

Rows lie in chunks, so a gallery grows without being copied. A row that a reader may have is never changed: its face
gets another row, or the list of people of its chunk is copied first. A chunk is packed once the next one is begun
(engine.gallery.packed); views from before keep its float32 array.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import partial

import numpy as np
from numpy.typing import NDArray
from pyroaring import BitMap

from contract.people.held import HeldPerson
from contract.people.keys import MEAN_FACE
from contract.vectors import Vector
from engine.gallery.packed import Packed, rounded
from engine.gallery.places import PlacesOfFaces
from engine.gallery.port import FaceId, StoredRows
from engine.gallery.rows import CHUNK, Chunk, Places, Rows, listed, set_names, taken

_FIRST_CAPACITY = 256
_DEAD_ROWS_KEPT = 1024
"""The most rows of removed faces that are kept; moving the other rows for so few is not worth the time."""


class RowStore:
    """The rows of all faces, of which `Rows` are views; only one thread may change it.

    Each index (engine.gallery.port.FaceIndex) is such a store, with snapshots of its own make.
    """

    def __init__(self, dimension: int) -> None:
        self.dimension = dimension
        self._rows = PlacesOfFaces()
        self._vectors: list[Chunk]
        self._owners: list[list[HeldPerson | None]]
        self._numbers: list[NDArray[np.int32]]
        self._sets: dict[str, BitMap]
        self._count: int
        self._shared: int  # the number of first rows that a view may have
        self._own_chunks: set[int]  # chunks whose list of people no view has
        self._own_sets: set[str]  # sets that no view has
        self._clear()

    def add(self, face: FaceId, vector: Vector, owner: HeldPerson | None) -> None:
        """Add or replace a face; a face without an owner is stored but not searched."""
        known, vector = self._rows.get(face), rounded(vector)
        if known is not None and known >= self._shared:
            self._put(known, vector)
            self._own(known, owner)
            return
        if known is not None:
            self.remove(face)
        row = self._append(vector, face[1])
        self._rows.put(face, row)
        self._own(row, owner)

    def assign(self, face: FaceId, owner: HeldPerson | None) -> None:
        """Assign a face to the present record of its person; None excludes the face from searches."""
        row = self._rows.get(face)
        if row is not None:
            self._own(row, owner)

    def remove(self, face: FaceId) -> None:
        """Remove a face; an unknown face is ignored."""
        self.assign(face, None)
        self._rows.remove(face)
        dead = self._count - len(self._rows)
        if dead > _DEAD_ROWS_KEPT and dead > self._count // 4:
            self._compact()

    def vector(self, face: FaceId) -> Vector | None:
        """Return the embedding of a face, or None for an unknown face."""
        row = self._rows.get(face)
        return None if row is None else taken(self._vectors[row // CHUNK], [row % CHUNK])[0]

    def stored(self) -> Callable[[], StoredRows]:
        """Return what computes the rows as they are now, for any thread; later changes do not affect them."""
        return partial(_stored, self.view(), self._rows.copy())

    def fill(self, stored: StoredRows, owners: Sequence[HeldPerson | None]) -> None:
        """Make an empty store one with these rows, whose blocks it keeps; `owners`: see the port.

        Raises:
            ValueError: the store is not empty.
        """
        if self._count:
            raise ValueError("only an empty store can be filled")
        count = len(stored.ids)
        if not count:
            return
        sets: dict[str, list[Places]] = {}
        for names, rows in _rows_by_sets(owners, stored.numbers):
            for name in names:
                sets.setdefault(name, []).append(rows)
        *full, last = stored.blocks
        self._vectors = [*full, last.take(slice(None))]
        self._owners = [list(owners[first : first + CHUNK]) for first in range(0, count, CHUNK)]
        numbers = np.zeros(len(self._vectors) * CHUNK, np.int32)
        numbers[:count] = stored.numbers
        self._numbers = list(numbers.reshape(-1, CHUNK))
        self._sets = {name: _bitmap(np.concatenate(rows)) for name, rows in sets.items()}
        self._rows = PlacesOfFaces.of(stored.ids, stored.numbers)
        self._count = self._shared = count

    def view(self) -> Rows:
        """Return the rows as they are now; later changes do not affect the view."""
        self._shared = self._count
        self._own_chunks.clear()
        self._own_sets.clear()
        return Rows(
            self._count,
            self.dimension,
            tuple(self._vectors),
            tuple(self._owners),
            tuple(self._numbers),
            dict(self._sets),
        )

    def _clear(self) -> None:
        self._vectors = [np.zeros((_FIRST_CAPACITY, self.dimension), np.float32)]
        self._owners = [[]]
        self._numbers = [np.zeros(CHUNK, np.int32)]
        self._sets = {}
        self._count = self._shared = 0
        self._own_chunks = set()
        self._own_sets = set()

    def _append(self, vector: Vector, number: int) -> int:
        row, chunk = self._count, self._count // CHUNK
        if chunk == len(self._vectors):
            self._add_chunk()
        last = self._vectors[chunk]
        if row % CHUNK == len(last):
            more = np.zeros((min(len(last), CHUNK - len(last)), self.dimension), np.float32)
            self._vectors[chunk] = np.concatenate([taken(last, slice(None)), more])
        self._put(row, vector)
        self._owners[chunk].append(None)
        self._numbers[chunk][row % CHUNK] = number
        self._count += 1
        return row

    def _put(self, row: int, vector: Vector) -> None:
        vectors, place = self._vectors[row // CHUNK], row % CHUNK
        if isinstance(vectors, np.ndarray):
            vectors[place] = vector
        else:
            vectors.put(place, vector)

    def _add_chunk(self) -> None:
        """Begin a chunk; the one before is full."""
        if self._vectors and isinstance(full := self._vectors[-1], np.ndarray):
            self._vectors[-1] = Packed.of(full)
        self._vectors.append(np.zeros((CHUNK, self.dimension), np.float32))
        self._owners.append([])
        self._numbers.append(np.zeros(CHUNK, np.int32))

    def _own(self, row: int, owner: HeldPerson | None) -> None:
        chunk, place = divmod(row, CHUNK)
        number = int(self._numbers[chunk][place])
        former = self._owners[chunk][place]
        before = set_names(former, number) if former is not None else frozenset[str]()
        after = set_names(owner, number) if owner is not None else frozenset[str]()
        if row < self._shared and chunk not in self._own_chunks:
            self._owners[chunk] = self._owners[chunk].copy()
            self._own_chunks.add(chunk)
        self._owners[chunk][place] = owner
        for name in before - after:
            self._own_set(name).discard(row)
        for name in after - before:
            self._own_set(name).add(row)

    def _own_set(self, name: str) -> BitMap:
        if name not in self._own_sets:
            self._sets[name] = self._sets[name].copy() if name in self._sets else BitMap()
            self._own_sets.add(name)
        return self._sets[name]

    def _compact(self) -> None:
        """Give up the rows of removed faces; the order of the other rows stays."""
        old, kept = self.view(), np.zeros(self._count, np.bool_)
        kept[self._rows.all_rows()] = True
        moved_to = np.where(kept, np.cumsum(kept) - 1, -1)
        self._clear()
        rows = np.flatnonzero(kept)
        for chunk, first in enumerate(range(0, len(rows), CHUNK)):
            some = rows[first : first + CHUNK]
            capacity = CHUNK if len(rows) > CHUNK else min(CHUNK, max(_FIRST_CAPACITY, 2 * len(rows)))
            if chunk == len(self._owners):
                self._add_chunk()
            vectors = np.zeros((capacity, self.dimension), np.float32)
            vectors[: len(some)] = old.take(some)
            self._vectors[chunk] = vectors
            self._owners[chunk] = [old.owner(row) for row in some.tolist()]
            self._numbers[chunk][: len(some)] = [old.number(row) for row in some.tolist()]
        self._count = len(rows)
        self._sets = {name: _bitmap(moved_to[listed(members)]) for name, members in old.sets.items() if members}
        self._rows.move(moved_to)
        self._moved(moved_to)

    def _moved(self, moved_to: Places) -> None:
        """Notice that the rows of removed faces were given up: `moved_to` has the new row of each old row, or -1."""


def _blocks(rows: Rows, wanted: Places) -> Iterator[Packed]:
    """Yield the vectors of these rows in blocks of `CHUNK`."""
    for first in range(0, len(wanted), CHUNK):
        yield rows.packed(wanted[first : first + CHUNK])


def _stored(view: Rows, places: PlacesOfFaces) -> StoredRows:
    """Return the rows of these faces, in the order of the view."""
    ids, numbers, rows = places.in_order()
    searched = np.fromiter((view.owner(row) is not None for row in rows.tolist()), np.bool_, len(rows))
    return StoredRows(ids, numbers, searched, _blocks(view, rows))


def _rows_by_sets(
    owners: Sequence[HeldPerson | None], numbers: NDArray[np.int32]
) -> Iterator[tuple[frozenset[str], Places]]:
    """Yield combinations of sets, each with the rows that are in these sets."""
    frames: dict[int, int] = {}
    of_row = np.empty(len(owners), np.int64)
    some: list[HeldPerson] = []
    for row, owner in enumerate(owners):
        of_row[row] = -1 if owner is None else frames.setdefault(id(owner.frame), len(frames))
        if owner is not None and len(some) < len(frames):
            some.append(owner)
    found = 2 * of_row + (numbers == MEAN_FACE)
    order = np.argsort(found, kind="stable")
    for rows in np.split(order, np.flatnonzero(np.diff(found[order])) + 1):
        place = int(of_row[rows[0]])
        if place >= 0:
            yield set_names(some[place], int(numbers[rows[0]])), rows


def _bitmap(rows: Places) -> BitMap:
    return BitMap(rows.astype(np.uint32))
