"""Searches in two stages: a generation, built aside from the first rows, names candidates, and their cosines decide.

The rows behind those of the generation, the tail, are all compared, so a person who was enrolled a moment ago is found.
The row of a face that was removed or replaced is in no scope, so it is never found, whatever the generation names. The
next generation is built in a thread of its own and takes the place of the former one in a later snapshot; a snapshot
keeps the one that it was taken with.
"""

import atexit
import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import NamedTuple, Protocol

import numpy as np
from pyroaring import BitMap

from contract.evidence import EvidenceCandidate
from contract.vectors import Vector, Vectors
from engine.gallery.exact import ROUNDING, ExactGallery, ExactSearch
from engine.gallery.port import Candidate, FaceId, Gallery, IndexUnavailable, IndexUsed, Scope
from engine.gallery.row_store import RowStore
from engine.gallery.rows import Part, Places, Rows, listed

_LEAST_CANDIDATES = 32
"""The number of candidates that are compared even where none has the floor: the nearest of them is what a stranger's
score is computed from."""

_MORE = 16
"""By how much more candidates are asked for where those in the scope were too few."""

_FEW = 100
"""A scope with at most one row in so many is compared row by row, which is then quicker than the first stage: reading a
row from anywhere takes about as long as scanning the codes of eighty."""

_TAIL = 2048
"""The least number of rows behind a generation for which the next one is built; comparing them takes half a
millisecond."""

computing = threading.Lock()
"""Held by the thread of a build while it computes with many vectors. A process that ends takes the lock for good:
OpenBLAS may wait for ever at the end of a process while a thread is in one of its functions."""

log = logging.getLogger(__name__)

atexit.register(computing.acquire)


class Near(NamedTuple):
    """The places of candidates that a generation names for a probe; `cut` and `miss`: as in `IndexUsed`."""

    places: Places
    cut: float | None
    miss: float


class Generation(Protocol):
    """A structure over the vectors of the first rows: a value that never changes, which any thread may search."""

    @property
    def name(self) -> str:
        """The name of the index, as IndexUsed has it."""
        ...

    def __len__(self) -> int:
        """Return the number of places; a place is the number of a vector in the order in which they were given."""
        ...

    def near(self, probe: Vector, floor: float, least: int) -> Near | None:
        """Return every place whose cosine to the probe may be `floor` or more, and the `least` nearest in any case.

        None: these are so many that comparing all rows is quicker.
        """
        ...


class IndexRefused(Exception):
    """A generation was built and must not be used; the message is one sentence for the operator."""


class Maker(Protocol):
    """Builds generations of one make.

    `extends`: whether `before` saves work; else it is never given, and a generation is built of all rows. `tail_share`:
    the next generation is built where the tail has more than one row in so many of the generation.
    """

    @property
    def extends(self) -> bool:
        """As above."""
        ...

    @property
    def tail_share(self) -> int:
        """As above."""
        ...

    def make(self, rows: Rows, first: int, before: Generation | None) -> Generation:
        """Return a generation with the places of `before` and behind them all rows from `first` on.

        Raises:
            IndexRefused: it must not be used.
        """
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Placed:
    """A generation, the row of each of its places (-1: it was given up), and `end`: the first row behind them.

    `tail_allowed`: the number of rows behind them from which on the next generation is due. `extends`: as in `Maker`.
    """

    generation: Generation
    rows: Places
    end: int
    tail_allowed: int
    extends: bool

    def moved(self, moved_to: Places) -> "Placed":
        """Return the same with the rows in their new places (`RowStore`)."""
        rows = np.where(self.rows >= 0, moved_to[self.rows], -1)
        return replace(self, rows=rows, end=int(np.count_nonzero(moved_to[: self.end] >= 0)))

    @property
    def is_worn(self) -> bool:
        """Whether so many places were given up that the generation is better built from the beginning."""
        return int(np.count_nonzero(self.rows < 0)) * 4 > len(self.rows)


@dataclass(frozen=True, slots=True, eq=False)
class TwoStageGallery:
    """The gallery at one version (engine.gallery.port.Gallery). `exact`: the same rows, all compared."""

    exact: ExactGallery
    first: Placed

    @property
    def version(self) -> int:
        """The offset in the people topic behind the last record that the gallery contains."""
        return self.exact.version

    @property
    def rows(self) -> Rows:
        """The rows."""
        return self.exact.rows

    def count(self, scope: Scope) -> int:
        """Return the number of templates that a search in that scope compares: faces, and means if it has them."""
        return self.exact.count(scope)

    def search(self, probe: Vector, scope: Scope, floor: float = -1.0) -> "TwoStageSearch":
        """Search for a unit vector in a scope once, for a caller that has several questions."""
        return TwoStageSearch(self, probe, scope, floor)

    def best(self, probe: Vector, scope: Scope, most: int = 1, floor: float = -1.0) -> Sequence[Candidate]:
        """Return the `most` people nearest to a unit vector, each once; fewer where the scope has fewer people."""
        return self.search(probe, scope, floor).best(most)

    def best_of_each(
        self, probes: Vectors, scope: Scope, most: int = 1, down_to: Sequence[float] | None = None
    ) -> Sequence[Sequence[Candidate]]:
        """Return, for each probe, what `best` returns, and with `down_to` everybody whom `above` returns as well."""
        return self.exact.best_of_each(probes, scope, most, down_to)

    def confirm_each(
        self,
        probes: Vectors,
        scope: Scope,
        rankings: Sequence[Sequence[EvidenceCandidate]],
        most: int,
        within: float,
    ) -> Sequence[Candidate | None]:
        """Return for each probe its first recorded candidate, if `best` gives the recorded ranking; else None."""
        return self.exact.confirm_each(probes, scope, rankings, most, within)

    def above(self, probe: Vector, scope: Scope, cosine: float) -> Sequence[Candidate]:
        """Return every person who has a face with at least that cosine to a unit vector, each once."""
        return self.search(probe, scope, cosine).above(cosine)

    def above_each(
        self, probes: Vectors, scope: Scope, cosine: float, most: int
    ) -> Sequence[Sequence[Candidate] | None]:
        """Return, for each probe, what `above` returns, or None where more than `most` faces are so near."""
        found: list[Sequence[Candidate] | None] = []
        for place, probe in enumerate(probes):
            search = self.search(probe, scope, cosine)
            if search.used is None:  # of many probes, comparing all rows once is quicker
                return [*found, *self.exact.above_each(probes[place:], scope, cosine, most)]
            found.append(search.above(cosine) if search.reached(cosine) <= most else None)
        return found

    def vector(self, face: FaceId) -> Vector | None:
        """Return the embedding of a face, or the mean of a person's faces; None where the gallery does not have it."""
        return self.exact.vector(face)


class TwoStageSearch:
    """One probe in one scope (engine.gallery.port.Search)."""

    def __init__(self, gallery: TwoStageGallery, probe: Vector, scope: Scope, floor: float) -> None:
        self._gallery, self._probe, self._scope = gallery, probe, scope
        self._rows = gallery.rows.bitmap(scope)
        self._floor, self._least = floor, _LEAST_CANDIDATES
        self._found, self._used = self._compare()

    @property
    def used(self) -> IndexUsed | None:
        """How the questions until now were answered; None: every face of the scope was compared."""
        return self._used

    def best(self, most: int = 1) -> Sequence[Candidate]:
        """Return the `most` people nearest to the probe, each once; fewer where the scope has fewer people."""
        while len(found := self._found.best(most)) < most and self._used is not None:
            self._least *= _MORE
            self._found, self._used = self._compare()
        return found

    def above(self, cosine: float) -> Sequence[Candidate]:
        """Return every person who has a face with at least that cosine to the probe, each once."""
        self._reach(cosine)
        return self._found.above(cosine)

    def reached(self, cosine: float) -> int:
        """Return the number of faces that have about that cosine to the probe or more."""
        self._reach(cosine)
        return int(np.count_nonzero(self._found.cosines >= cosine - ROUNDING))

    def _reach(self, cosine: float) -> None:
        if cosine < self._floor and self._used is not None:
            self._floor = cosine
            self._found, self._used = self._compare()

    def _compare(self) -> tuple[ExactSearch, IndexUsed | None]:
        """Return the candidates with their cosines, and how they were found."""
        rows, first = self._gallery.rows, self._gallery.first
        in_scope = len(self._rows)
        if self._floor <= -1.0 or in_scope * _FEW <= rows.count:
            return self._gallery.exact.search(self._probe, self._scope), None
        # Of the nearest places, only the share of the scope is in it.
        least = max(self._least, self._least * rows.count // in_scope // 2)
        near = first.generation.near(self._probe, self._floor, least)
        if near is None:
            return self._gallery.exact.search(self._probe, self._scope), None
        candidates = self._inside(np.sort(first.rows[near.places]))
        tail = listed(self._rows & BitMap(range(first.end, rows.count))) if first.end < rows.count else _NO_ROWS
        if len(tail) == rows.count - first.end:
            behind = rows.products(self._probe, first.end)
        else:
            behind = rows.listed_cosines(self._probe, tail)
        cosines = np.concatenate([rows.listed_cosines(self._probe, candidates), behind])
        part = Part(len(cosines), rows=np.concatenate([candidates, tail]))
        found = ExactSearch(rows, self._probe, part, cosines)
        if len(cosines) == in_scope:
            return found, None
        return found, IndexUsed(first.generation.name, self._floor, near.cut, len(cosines), near.miss)

    def _inside(self, rows: Places) -> Places:
        """Return those of the rows that are in the scope; -1 never is."""
        rows, inside = rows[np.searchsorted(rows, 0) :], self._rows
        return rows[np.fromiter((row in inside for row in rows.tolist()), np.bool_, len(rows))]


_NO_ROWS: Places = np.empty(0, np.intp)


class TwoStageIndex(RowStore):
    """The index whose galleries search in two stages (engine.gallery.port.FaceIndex).

    While there are fewer than `starts_at` rows, every face is compared. `maker`: called when they are more, in the
    thread that builds, because it may load a library.
    """

    def __init__(self, dimension: int, maker: Callable[[], Maker], starts_at: int = _TAIL, tail: int = _TAIL) -> None:
        super().__init__(dimension)
        self._maker = cache(maker)
        self._starts_at, self._tail = starts_at, tail
        self._first: Placed | None = None
        self._build: _Build | None = None
        self._again_at = 0  # the number of rows below which no generation is tried, because the last one failed

    def snapshot(self, version: int) -> Gallery:
        """Return the gallery as it is now; later changes of the index do not affect it.

        The next generation is begun where one is due, and a finished one is used from now on.
        """
        rows = self.view()
        self._adopt()
        if self._first is not None and self._first.is_worn and rows.count < self._starts_at:
            self._first = None
        if self._build is None and self._is_due(rows.count):
            self._build = self._begin(rows)
        exact = ExactGallery(version, rows)
        return exact if self._first is None else TwoStageGallery(exact, self._first)

    def renewed(self) -> bool:
        """Return whether a generation was built since the last snapshot."""
        return self._build is not None and not self._build.thread.is_alive()

    def wait(self) -> None:
        """Return once no generation is being built; the next snapshot uses the finished one."""
        if self._build is not None:
            self._build.thread.join()

    def _is_due(self, count: int) -> bool:
        first = self._first
        if count < self._again_at:
            return False
        if first is None:
            return count >= self._starts_at
        return first.is_worn or count - first.end > max(self._tail, first.tail_allowed)

    def _begin(self, rows: Rows) -> "_Build":
        first = self._first
        before = None if first is None or first.is_worn or not first.extends else first
        build = _Build(self._maker, rows, before)
        build.thread.start()
        return build

    def _adopt(self) -> None:
        build = self._build
        if build is None or build.thread.is_alive():
            return
        self._build = None
        if build.made is None:
            self._again_at = build.count * 5 // 4 + 1
            return
        placed = build.made
        for moved_to in build.moved:
            placed = placed.moved(moved_to)
        self._first = placed

    def _moved(self, moved_to: Places) -> None:
        # A generation has the vectors of these rows as much as a reader has, so a changed face gets another row.
        self._shared = self._count
        if self._first is not None:
            self._first = self._first.moved(moved_to)
        if self._build is not None:
            self._build.moved.append(moved_to)


class _Build:
    """A generation that is being built in a thread of its own.

    `moved`: how the rows have moved since it began. `made`: the generation; None: not yet, or it failed.
    """

    def __init__(self, maker: Callable[[], Maker], rows: Rows, before: Placed | None) -> None:
        self._maker, self._rows, self._before = maker, rows, before
        self.count = rows.count
        self.moved: list[Places] = []
        self.made: Placed | None = None
        # A daemon, because a process that ends need wait for `computing` only.
        self.thread = threading.Thread(target=self._run, name="gallery-index", daemon=True)

    def _run(self) -> None:
        before, rows = self._before, self._rows
        first = 0 if before is None else before.end
        try:
            with computing:  # a maker may begin with a decomposition
                maker = self._maker()
            generation = maker.make(rows, first, None if before is None else before.generation)
        except (IndexRefused, IndexUnavailable) as refused:
            log.warning("%s", refused)
            return
        except Exception:
            log.exception("the index of the gallery could not be built; searches compare each face that no index has")
            return
        places = np.arange(first, rows.count)
        known = _NO_ROWS if before is None else before.rows
        tail_allowed = len(generation) // maker.tail_share
        self.made = Placed(generation, np.concatenate([known, places]), rows.count, tail_allowed, maker.extends)
