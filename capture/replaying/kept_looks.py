"""Embeddings that earlier replays have computed where the evidence was gone, and those that this replay computes."""

from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping
from hashlib import blake2b

import msgspec
import numpy as np

from capture.differences import is_undecided, tolerance_of
from capture.looks import LooksFile
from capture.rows import Row
from contract.captures.values import CapturedDecision, LookLine
from contract.terms import Message
from contract.vectors import Vector

_AT_ONCE = 256
"""The number of looks that are made durable at once."""


class _Id(Message, frozen=True, kw_only=True):
    request_id: str


_decode_id = msgspec.json.Decoder(_Id).decode


def is_lost(then: CapturedDecision | None) -> bool:
    """Return whether a decision was made from an embedding that is gone."""
    return then is not None and then.embedding is None and then.error_code is None and not is_undecided(then)


class KeptLooks:
    """The looks of one model set that were kept when this object was made, by the ids of their requests.

    Of each look, 16 bytes are in memory: a hash of the id, and the place of the look in its file.
    """

    def __init__(self, places: Iterable[tuple[int, LookLine]], read: Callable[[int], LookLine]) -> None:
        """`places`: the looks, each with its place in the file. `read` returns the look at a place."""
        self._read = read
        hashes, found = array("q"), array("q")
        for place, look in places:
            hashes.append(_hash(look.request_id))
            found.append(place)
        order = np.argsort(np.asarray(hashes, np.int64), kind="stable")
        self._hashes = np.asarray(hashes, np.int64)[order]
        self._places = np.asarray(found, np.int64)[order]

    def get(self, request_id: str) -> LookLine | None:
        """Return the look of a request; None: none was kept."""
        wanted = _hash(request_id)
        first = int(np.searchsorted(self._hashes, wanted))
        while first < len(self._hashes) and self._hashes[first] == wanted:
            look = self._read(int(self._places[first]))
            if look.request_id == request_id:
                return look
            first += 1
        return None

    def of(self, lines: Iterable[bytes]) -> Iterator[LookLine]:
        """Yield the looks of lines of requests.jsonl."""
        if not len(self._hashes):
            return
        for line in lines:
            try:
                look = self.get(_decode_id(line).request_id)
            except (msgspec.DecodeError, UnicodeDecodeError):
                continue  # whoever reads the line reports that it is damaged
            if look is not None:
                yield look


def _hash(request_id: str) -> int:
    return int.from_bytes(blake2b(request_id.encode(), digest_size=8).digest(), "little", signed=True)


def by_request(looks: Iterable[LookLine]) -> Mapping[str, LookLine]:
    """Return looks by the id of their request."""
    return {look.request_id: look for look in looks}


class LooksToKeep:
    """Keeps the embeddings of rows beside the capture, if the recorded score agrees with them; each request once."""

    def __init__(self, file: LooksFile, kept: KeptLooks, embedder: str, score_tolerance: float) -> None:
        self._file, self._kept, self._embedder, self._tolerance = file, kept, embedder, score_tolerance
        self._waiting: dict[str, LookLine] = {}

    def add(self, row: Row, embedding: Vector) -> None:
        """Keep the embedding of a row whose picture was looked at because the evidence is gone."""
        then, now, request_id = row.line.decision, row.now, row.line.request_id
        if then is None or now is None or then.score is None or now.score is None:
            return
        if abs(then.score - now.score) <= tolerance_of(then, self._tolerance) and self._kept.get(request_id) is None:
            numbers = embedding.astype("<f4").tobytes()
            self._waiting[request_id] = LookLine(
                request_id=request_id, embedder=self._embedder, precision="single", embedding=numbers
            )
        if len(self._waiting) >= _AT_ONCE:
            self.flush()

    def flush(self) -> None:
        """Make the looks that were added durable."""
        self._file.append(tuple(self._waiting.values()))
        self._waiting.clear()
