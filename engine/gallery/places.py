"""Which row each face of the gallery has, in few bytes: one entry for all faces of a person."""

from collections.abc import Sequence
from itertools import repeat
from struct import Struct
from typing import Self

import numpy as np
from numpy.typing import NDArray

from engine.gallery.port import FaceId

_PAIR = Struct("<ii")
_NUMBER = np.dtype("<i4")


class PlacesOfFaces:
    """A table of the rows of faces; only one thread may use it.

    `_pairs`: identity_id -> the number and the row of each face of the person, as pairs of 32-bit numbers. A table with
    a key and a value for each face takes three times as much memory.
    """

    def __init__(self, pairs: dict[str, bytes] | None = None, count: int = 0) -> None:
        """`pairs`: as above; `count`: the number of faces."""
        self._pairs: dict[str, bytes] = {} if pairs is None else pairs
        self._count = count

    @classmethod
    def of(cls, ids: Sequence[str], numbers: NDArray[np.int32]) -> Self:
        """Return the table of these faces, whose rows are 0, 1, 2 and so on."""
        data = np.stack([numbers.astype(_NUMBER), np.arange(len(ids), dtype=_NUMBER)], axis=1).tobytes()
        pairs: dict[str, bytes] = {}
        for identity_id, first in zip(ids, range(0, len(data), _PAIR.size), strict=True):
            pair = data[first : first + _PAIR.size]
            known = pairs.get(identity_id)
            pairs[identity_id] = pair if known is None else known + pair
        return cls(pairs, len(ids))

    def __len__(self) -> int:
        """Return the number of faces."""
        return self._count

    def copy(self) -> Self:
        """Return a table that later changes of this one do not affect."""
        return type(self)(self._pairs.copy(), self._count)

    def get(self, face: FaceId) -> int | None:
        """Return the row of a face; None: the table does not have it."""
        for number, row in _PAIR.iter_unpack(self._pairs.get(face[0], b"")):
            if number == face[1]:
                found: int = row
                return found
        return None

    def put(self, face: FaceId, row: int) -> None:
        """Add a face that the table does not have."""
        identity_id, number = face
        self._pairs[identity_id] = self._pairs.get(identity_id, b"") + _PAIR.pack(number, row)
        self._count += 1

    def remove(self, face: FaceId) -> None:
        """Remove a face; an unknown face is ignored."""
        before = self._pairs.get(face[0], b"")
        after = b"".join(_PAIR.pack(number, row) for number, row in _PAIR.iter_unpack(before) if number != face[1])
        self._count -= (len(before) - len(after)) // _PAIR.size
        if after:
            self._pairs[face[0]] = after
        else:
            self._pairs.pop(face[0], None)

    def all_rows(self) -> NDArray[np.int32]:
        """Return the rows of all faces, in no order."""
        return self._flat()[:, 1]

    def in_order(self) -> tuple[list[str], NDArray[np.int32], NDArray[np.intp]]:
        """Return the persons' ids, the numbers and the rows of all faces, in the order of the rows."""
        ids = [i for identity_id, pairs in self._pairs.items() for i in repeat(identity_id, len(pairs) // _PAIR.size)]
        flat = self._flat()
        order = np.argsort(flat[:, 1])
        return [ids[place] for place in order.tolist()], flat[order, 0], flat[order, 1].astype(np.intp)

    def move(self, moved_to: NDArray[np.intp]) -> None:
        """Give each face the new row of its row."""
        flat = self._flat().copy()
        flat[:, 1] = moved_to[flat[:, 1]]
        data, first = flat.tobytes(), 0
        for identity_id, pairs in self._pairs.items():
            end = first + len(pairs)
            self._pairs[identity_id] = data[first:end]
            first = end

    def _flat(self) -> NDArray[np.int32]:
        return np.frombuffer(b"".join(self._pairs.values()), _NUMBER).reshape(-1, 2)
