"""An index of seen faces in memory: exact in the order of time, and by sketches where the nearest of all are wanted.

A sketch is one bit per dimension: the sign of the rotated vector. The rotation is random and fixed; without it the bits
of a correlated embedding would repeat each other. The faces with the fewest different bits are compared exactly, in the
half precision in which evidence has them. So a face that belongs among the nearest may be missed where more than
`RERANKED` others have fewer different bits; the result is a list to look at, and never a decision.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from contract.seen_faces import MOST_FOUND, MOST_SCANNED, InTime, Nearest, SeenFace, SeenFilter
from contract.vectors import Vector, Vectors

RERANKED = 4096
"""How many faces, those with the fewest different bits, are compared exactly."""
_FIRST_ROWS = 4096
_AT_ONCE = 8192
_SEED = 12
_WORD_BITS = 64


@dataclass(frozen=True, slots=True)
class NewFace:
    """A face for the index. `embedding`: little-endian half-precision numbers of a unit vector, as evidence has them.
    `device_ip`: in its one spelling; "" where the match had none. `place`: the partition and offset of the evidence."""

    event_id: str
    time: float
    device_ip: str
    place: tuple[int, int]
    embedding: bytes


class SeenIndex:
    """The faces in the order in which they were added. A search and an addition must not run at the same time.

    Args:
        dimension: the length of the vectors.
        most: the most faces; beyond, the oldest ones are left out.
    """

    def __init__(self, dimension: int, most: int) -> None:
        self._dimension, self._most = dimension, most
        self._words = -(-dimension // _WORD_BITS)
        gaussian = np.random.default_rng(_SEED).standard_normal((dimension, dimension))
        self._rotation = np.linalg.qr(gaussian)[0].astype(np.float32)
        self._first = self._end = 0
        self._allocate(_FIRST_ROWS)
        self._ids: list[str] = [""] * _FIRST_ROWS
        self._device_codes: dict[str, int] = {}

    def __len__(self) -> int:
        return self._end - self._first

    def add(self, faces: Sequence[NewFace]) -> None:
        """Add faces, whose embeddings have the right length."""
        for first in range(0, len(faces), _AT_ONCE):
            self._add(faces[first : first + _AT_ONCE])
        if len(self) > self._most:
            self._first = self._end - self._most

    def leave_out_before(self, time_s: float) -> None:
        """Leave out the oldest faces, as far as they are older than a time (epoch seconds)."""
        young = np.flatnonzero(self._times[self._first : self._end] >= time_s)
        self._first = self._end if not len(young) else self._first + int(young[0])

    def in_time(self, probe: Vector, wanted: SeenFilter, least: float, *, newest_first: bool) -> InTime:
        """See `contract.seen_faces.SeenFaces.in_time`."""
        rows = self._rows(wanted)
        order = np.argsort(self._times[rows], kind="stable")
        rows = rows[order[::-1] if newest_first else order]
        scanned = rows[:MOST_SCANNED]
        hits = np.flatnonzero(self._cosines(probe, scanned) >= least)
        if len(hits) > MOST_FOUND:
            scanned = scanned[: hits[MOST_FOUND]]
            hits = hits[:MOST_FOUND]
        found = self._found(probe, scanned[hits])
        end = float(self._times[scanned[-1]]) if len(scanned) else None
        return InTime(found, len(scanned), len(scanned) < len(rows), end)

    def nearest(self, probe: Vector, wanted: SeenFilter, most: int) -> Nearest:
        """See `contract.seen_faces.SeenFaces.nearest`."""
        rows = self._rows(wanted)
        among = len(rows)
        if among > RERANKED:
            whole = among == len(self)
            different = self._different_bits(probe, slice(self._first, self._end) if whole else rows)
            rows = rows[np.argpartition(different, RERANKED)[:RERANKED]]
        best = np.argsort(-self._cosines(probe, rows), kind="stable")[:most]
        return Nearest(self._found(probe, rows[best]), among)

    def _add(self, faces: Sequence[NewFace]) -> None:
        self._make_room(len(faces))
        raw = np.frombuffer(b"".join(face.embedding for face in faces), "<f2").reshape(len(faces), self._dimension)
        rows = slice(self._end, self._end + len(faces))
        self._vectors[rows] = raw
        self._sketches[rows] = self._sketches_of(raw.astype(np.float32))
        self._times[rows] = [face.time for face in faces]
        self._places[rows] = [face.place for face in faces]
        codes = self._device_codes
        self._devices[rows] = [codes.setdefault(face.device_ip, len(codes)) for face in faces]
        self._ids[rows] = [face.event_id for face in faces]
        self._end += len(faces)

    def _allocate(self, rows: int) -> None:
        self._vectors: NDArray[np.float16] = np.empty((rows, self._dimension), np.float16)
        self._sketches: NDArray[np.uint64] = np.empty((rows, self._words), np.uint64)
        self._times: NDArray[np.float64] = np.empty(rows, np.float64)
        self._places: NDArray[np.int64] = np.empty((rows, 2), np.int64)
        self._devices: NDArray[np.int32] = np.empty(rows, np.int32)

    def _make_room(self, more: int) -> None:
        """Let `more` rows fit behind the last one: the rows move to the front, and into larger arrays if needed."""
        if self._end + more <= len(self._times):
            return
        live = slice(self._first, self._end)
        count = self._end - self._first
        rows = max(len(self._times), _FIRST_ROWS)
        while rows < count + more or rows < 1.1 * count:
            rows *= 2
        names = ("_vectors", "_sketches", "_times", "_places", "_devices")
        former = {name: getattr(self, name) for name in names}
        ids = self._ids[live]
        self._allocate(rows)
        for name in names:
            getattr(self, name)[:count] = former[name][live]
        self._ids = ids + [""] * (rows - count)
        self._first, self._end = 0, count
        self._forget_devices()

    def _forget_devices(self) -> None:
        """Number the devices anew, without those of faces that are left out: a request can name any address."""
        live = slice(self._first, self._end)
        used, self._devices[live] = np.unique(self._devices[live], return_inverse=True)
        names = list(self._device_codes)
        self._device_codes = {names[code]: new for new, code in enumerate(used.tolist())}

    def _rows(self, wanted: SeenFilter) -> NDArray[np.intp]:
        live = slice(self._first, self._end)
        times = self._times[live]
        chosen = (times >= wanted.since) & (times <= wanted.until)
        if wanted.device_ips is not None:
            codes = [self._device_codes[ip] for ip in wanted.device_ips if ip in self._device_codes]
            chosen &= np.isin(self._devices[live], codes)
        return self._first + np.flatnonzero(chosen)

    def _sketches_of(self, vectors: Vectors) -> NDArray[np.uint64]:
        bits = np.packbits(vectors @ self._rotation > 0, axis=1)
        padded = np.zeros((len(vectors), self._words * _WORD_BITS // 8), np.uint8)
        padded[:, : bits.shape[1]] = bits
        return padded.view(np.uint64)

    def _different_bits(self, probe: Vector, rows: slice | NDArray[np.intp]) -> NDArray[np.uint16]:
        sketch = self._sketches_of(probe[np.newaxis])[0]
        sketches = self._sketches[rows]
        different = np.empty(len(sketches), np.uint16)
        for first in range(0, len(sketches), _AT_ONCE):
            some = slice(first, first + _AT_ONCE)
            np.bitwise_count(sketches[some] ^ sketch).sum(axis=1, dtype=np.uint16, out=different[some])
        return different

    def _cosines(self, probe: Vector, rows: NDArray[np.intp]) -> NDArray[np.float32]:
        cosines = np.empty(len(rows), np.float32)
        for first in range(0, len(rows), _AT_ONCE):
            some = slice(first, first + _AT_ONCE)
            cosines[some] = self._vectors[rows[some]].astype(np.float32) @ probe
        return cosines

    def _found(self, probe: Vector, rows: NDArray[np.intp]) -> Sequence[SeenFace]:
        cosines, places = self._cosines(probe, rows).tolist(), self._places[rows].tolist()
        return [
            SeenFace(self._ids[row], cosine, float(self._times[row]), (partition, offset))
            for row, cosine, (partition, offset) in zip(rows.tolist(), cosines, places, strict=True)
        ]
