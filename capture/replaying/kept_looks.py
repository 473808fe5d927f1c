"""Embeddings that earlier replays have computed where the evidence was gone, and those that this replay computes."""

from collections.abc import Iterable, Iterator, Mapping, Sequence

import msgspec

from capture.differences import is_undecided
from capture.looks import LooksFile
from capture.rows import Row
from contract.captures.values import CapturedDecision, LookLine
from contract.terms import Message

_AT_ONCE = 256
"""The number of looks that are made durable at once."""


class _Id(Message, frozen=True, kw_only=True):
    request_id: str


_decode_id = msgspec.json.Decoder(_Id).decode


def is_lost(then: CapturedDecision | None) -> bool:
    """Return whether a decision was made from an embedding that is gone."""
    return then is not None and then.embedding is None and then.error_code is None and not is_undecided(then)


class KeptLooks:
    """The kept looks of one model set, read in step with the lines, in whose order they were kept.

    A look that is out of this order is not found, and is computed again.
    """

    def __init__(self, looks: Iterable[LookLine]) -> None:
        self._looks = iter(looks)
        self._next = next(self._looks, None)

    def of(self, lines: Sequence[bytes]) -> Iterator[LookLine]:
        """Yield the looks of the next lines of requests.jsonl."""
        for line in lines:
            if self._next is None:
                return
            try:
                request_id = _decode_id(line).request_id
            except (msgspec.DecodeError, UnicodeDecodeError):
                continue  # whoever reads the line reports that it is damaged
            if request_id == self._next.request_id:
                yield self._next
                self._next = next(self._looks, None)


def by_request(looks: Iterable[LookLine]) -> Mapping[str, LookLine]:
    """Return looks by the id of their request."""
    return {look.request_id: look for look in looks}


class LooksToKeep:
    """Keeps the embeddings of rows beside the capture, if the recorded score agrees with them."""

    def __init__(self, file: LooksFile, embedder: str, score_tolerance: float) -> None:
        self._file, self._embedder, self._tolerance = file, embedder, score_tolerance
        self._waiting: list[LookLine] = []

    def add(self, row: Row) -> None:
        """Keep the embedding of a row whose picture was looked at because the evidence is gone."""
        then, now = row.line.decision, row.now
        if then is None or now is None or now.embedding is None or then.score is None or now.score is None:
            return
        if abs(then.score - now.score) <= self._tolerance:
            look = LookLine(request_id=row.line.request_id, embedder=self._embedder, embedding=now.embedding)
            self._waiting.append(look)
        if len(self._waiting) >= _AT_ONCE:
            self.flush()

    def flush(self) -> None:
        """Make the looks that were added durable."""
        self._file.append(self._waiting)
        self._waiting.clear()
