"""The rows of a gallery, which every index shares: vectors, people, face numbers, sets of groups and permissions.

Rows lie in chunks, so a gallery grows without being copied. A row that a reader may have is never changed: its face
gets another row, or the list of people of its chunk is copied first. Vectors have the values with which they are stored
(engine.gallery.packed): those of the last chunk, which grows, are float32, which is compared quickest; the others are
packed. The sets are compressed bitmaps, so a thousand
groups of a million people cost a few bytes for each membership, and a scope is an intersection of bitmaps.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from pyroaring import BitMap

from contract.people.held import HeldPerson
from contract.people.keys import MEAN_FACE
from contract.vectors import Vector, Vectors
from engine.gallery.cosine import deciding_cosines
from engine.gallery.packed import Packed
from engine.gallery.port import Candidate, Scope

Mask = NDArray[np.bool_]
Places = NDArray[np.intp]
"""Numbers of rows."""
Chunk = NDArray[np.float32] | Packed
"""The vectors of a chunk."""

CHUNK = 1 << 14
"""The number of rows of a chunk: 16 MB of 512 numbers each, and 32 MB while it grows."""


_SMALL_PART = 10
"""A scope with at most one row in so many is compared by a list of its rows; more rows, by comparing all rows: reading
rows one by one takes several times as long as reading them in their order."""

_ROWS_AT_ONCE = 1024
"""The number of listed rows that are compared at once: their vectors stay in the processor's cache."""

_SCOPES_KEPT = 64
"""The most scopes whose rows a view keeps: at most a byte for each row of the gallery and scope."""

_OUTSIDE = np.float32(-np.inf)

_EVERYBODY, _MEANS = "everybody", "means"


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """The rows of a scope: the listed `rows`, rising; None: all rows of the view, or those in the `mask`."""

    count: int
    rows: Places | None = None
    mask: Mask | None = None

    def row_of(self, places: Places) -> Places:
        """Return the rows of places among the cosines of `Rows.cosines`."""
        return places if self.rows is None else self.rows[places]


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """The rows of a gallery at one moment: a value that never changes and that any thread may read.

    `vectors`, `owners` and `numbers`: by chunk, for each row the unit vector (packed, or float32), the person (None: a
    face that is not searched), and the face number; the last chunk may have rows of a later moment. `sets`: by the
    name of a group or permission (`set_names`), the rows of faces of people in it; also one of the means of faces.
    """

    count: int
    dimension: int
    vectors: Sequence[Chunk]
    owners: Sequence[list[HeldPerson | None]]
    numbers: Sequence[NDArray[np.int32]]
    sets: Mapping[str, BitMap]
    _bitmaps: dict[Scope, BitMap] = field(default_factory=dict)
    _parts: dict[Scope, Part] = field(default_factory=dict)

    def bitmap(self, scope: Scope) -> BitMap:
        """Return the rows of a scope; the caller does not change it."""
        found = self._bitmaps.get(scope)
        if found is None:
            found = self._people(scope)
            means = self.sets.get(_MEANS)
            if means and not scope.means:
                found = found - means
            _keep(self._bitmaps, scope, found)
        return found

    def part(self, scope: Scope) -> Part:
        """Return the rows of a scope in the form in which `cosines` compares them."""
        found = self._parts.get(scope)
        if found is None:
            rows, count = self.bitmap(scope), len(self.bitmap(scope))
            if count == self.count:
                found = Part(count)
            elif count * _SMALL_PART <= self.count:
                found = Part(count, rows=listed(rows))
            else:
                mask = np.zeros(self.count, np.bool_)
                mask[listed(rows)] = True
                found = Part(count, mask=mask)
            _keep(self._parts, scope, found)
        return found

    def mask(self, scope: Scope) -> Mask:
        """Return which rows are in a scope."""
        part, mask = self.part(scope), np.zeros(self.count, np.bool_)
        if part.mask is not None:
            return part.mask
        mask[slice(None) if part.rows is None else part.rows] = True
        return mask

    def cosines(self, probe: Vector, part: Part) -> NDArray[np.float32]:
        """Return the cosines of the rows of a part to a probe in single precision.

        By listed row, else by row of the view with -inf for a row outside the mask. Equal rows may differ by the
        rounding of single precision.
        """
        if part.rows is not None:
            return self.listed_cosines(probe, part.rows)
        found = self.products(probe)
        return found if part.mask is None else np.where(part.mask, found, _OUTSIDE)

    def listed_cosines(self, probe: Vector, rows: Places) -> NDArray[np.float32]:
        """Return the cosine of each of these rows to a probe in single precision."""
        found = np.empty(len(rows), np.float32)
        for first in range(0, len(rows), _ROWS_AT_ONCE):
            some = slice(first, first + _ROWS_AT_ONCE)
            found[some] = self.take(rows[some]) @ probe
        return found

    def products(self, probes: Vector | Vectors, first: int = 0, end: int | None = None) -> NDArray[np.float32]:
        """Return the cosines of the rows from `first` to `end` (None: the last) to a probe, or to each of many probes.

        The shape is rows, or probes x rows; single precision.
        """
        end = self.count if end is None else end
        found = np.empty((*probes.shape[:-1], max(0, end - first)), np.float32)
        for chunk in range(first // CHUNK, -(-end // CHUNK)):
            low, high = max(first, chunk * CHUNK), min(end, (chunk + 1) * CHUNK)
            here = products_of(self.vectors[chunk], probes, low - chunk * CHUNK, high - chunk * CHUNK)
            found[..., low - first : high - first] = here
        return found

    def take(self, rows: Places) -> Vectors:
        """Return the vectors of these rows, which may come in any order, as an array of its own."""
        if len(self.vectors) == 1:
            return taken(self.vectors[0], rows)
        found, chunks = np.empty((len(rows), self.dimension), np.float32), rows // CHUNK
        for chunk in np.unique(chunks).tolist():
            here = np.flatnonzero(chunks == chunk)
            found[here] = taken(self.vectors[chunk], rows[here] - chunk * CHUNK)
        return found

    def packed(self, rows: Places) -> Packed:
        """Return the vectors of these rows, which may come in any order, as arrays of their own."""
        found = Packed(np.empty((len(rows), self.dimension), np.int16), np.empty(len(rows), np.float32))
        chunks = rows // CHUNK
        for chunk in np.unique(chunks).tolist():
            here, vectors = np.flatnonzero(chunks == chunk), self.vectors[chunk]
            places = rows[here] - chunk * CHUNK
            some = Packed.of(vectors[places]) if isinstance(vectors, np.ndarray) else vectors.chosen(places)
            found.numbers[here], found.steps[here] = some.numbers, some.steps
        return found

    def exact(self, rows: Places, probes: Vector | Vectors, whose: Places | None = None) -> NDArray[np.float64]:
        """Return the deciding cosines of rows to a probe, or to a probe for each row: `whose` has its place."""
        found = np.empty(len(rows), np.float64)
        for first in range(0, len(rows), _ROWS_AT_ONCE):
            some = slice(first, first + _ROWS_AT_ONCE)
            found[some] = deciding_cosines(self.take(rows[some]), probes if whose is None else probes[whose[some]])
        return found

    def owner(self, row: int) -> HeldPerson | None:
        """Return the person whose face a row is; None: the face is not searched."""
        return self.owners[row // CHUNK][row % CHUNK]

    def number(self, row: int) -> int:
        """Return the face number of a row."""
        return int(self.numbers[row // CHUNK][row % CHUNK])

    def all_owners(self) -> list[HeldPerson | None]:
        """Return the person of every row."""
        return [owner for chunk in self.owners for owner in chunk][: self.count]

    def all_numbers(self) -> list[int]:
        """Return the face number of every row."""
        return [number for chunk in self.numbers for number in chunk.tolist()][: self.count]

    def people(self, rows: Places, cosines: NDArray[np.float64]) -> list[Candidate]:
        """Return the people of rows, whose deciding cosines are given, in the order of the port.

        Of equally near faces of a person the lowest number is returned.
        """
        found = sorted(
            (-cosine, owner.identity_id, self.number(row), row)
            for row, cosine in zip(rows.tolist(), cosines.tolist(), strict=True)
            if (owner := self.owner(row)) is not None
        )
        nearest: dict[str, Candidate] = {}
        for negative, identity_id, number, row in found:
            if identity_id not in nearest and (owner := self.owner(row)) is not None:
                nearest[identity_id] = Candidate(owner.record(), number, -negative)
        return list(nearest.values())

    def _people(self, scope: Scope) -> BitMap:
        """Return the rows of the people of a scope, with their means."""
        if scope.group_id is not None:
            group = self.sets.get(_group_set(scope.group_id), _NO_ROWS)
        elif scope.any_group is None:
            group = self.sets.get(_EVERYBODY, _NO_ROWS)
        else:
            groups = [self.sets[name] for name in map(_group_set, scope.any_group) if name in self.sets]
            group = BitMap.union(*groups) if groups else _NO_ROWS
        if scope.permission_id is None:
            return group
        return group & self.sets.get(_permission_set(scope.permission_id), _NO_ROWS)


_NO_ROWS = BitMap()


def taken(chunk: Chunk, rows: Any) -> Vectors:
    """Return the vectors of these rows of a chunk, which are anything that selects rows of an array, by number."""
    found: Vectors = chunk[rows] if isinstance(chunk, np.ndarray) else chunk.take(rows)
    return found


def products_of(chunk: Chunk, probes: Vector | Vectors, low: int, high: int) -> NDArray[np.float32]:
    """Return the products of the rows of a chunk from `low` to `high` with a vector, or with each of many."""
    if not isinstance(chunk, np.ndarray):
        return chunk.products(probes, low, high)
    vectors = chunk[low:high]
    return probes @ vectors.T if probes.ndim > 1 else vectors @ probes


def listed(rows: BitMap) -> Places:
    """Return the rows of a bitmap, rising."""
    return np.frombuffer(rows.to_array(), np.uint32).astype(np.intp)


T = TypeVar("T")


def _keep(kept: dict[Scope, T], scope: Scope, value: T) -> None:
    """Keep a value that a scope has in a view; many scopes push out the others."""
    if len(kept) >= _SCOPES_KEPT:
        kept.clear()
    kept[scope] = value


def _group_set(group_id: str) -> str:
    return f"group/{group_id}"


def _permission_set(permission_id: str) -> str:
    return f"permission/{permission_id}"


def set_names(person: HeldPerson, number: int) -> frozenset[str]:
    """Return the names of the sets of a row: everybody, each group and each permission of its person, and the means."""
    return _set_names(person.group_ids, person.permission_ids, number == MEAN_FACE)


@lru_cache(maxsize=4096)
def _set_names(group_ids: Iterable[str], permission_ids: Iterable[str], is_mean: bool) -> frozenset[str]:
    means = (_MEANS,) if is_mean else ()
    return frozenset((_EVERYBODY, *map(_group_set, group_ids), *map(_permission_set, permission_ids), *means))
