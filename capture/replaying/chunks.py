"""Cuts the file of requests into chunks of lines that other processes can check and decide."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from capture.replaying.kept_looks import KeptLooks
from contract.captures.convert import REQUESTS_FILE
from contract.captures.sealed import NO_LINES, SealedReader, checksum_in
from contract.captures.values import CaptureLine, FileSeal, LookLine

_CHUNK_BYTES = 4 << 20
_CHUNK_LINES = 2048
"""So many lines make a chunk, or fewer large ones: enough that searches are made many at once, few enough that the
chunks of all processes take little memory."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """Successive lines of requests.jsonl as bytes; `after` is the seal of the lines before them.

    `looks`: the looks that earlier replays have kept for these lines.
    """

    after: FileSeal
    data: tuple[bytes, ...]
    looks: tuple[LookLine, ...] = ()

    def lines(self) -> Iterator[tuple[int, CaptureLine]]:
        """Yield the lines with their numbers, counted from 1 in the whole file.

        Raises:
            CaptureError: a line is damaged.
        """
        return SealedReader(REQUESTS_FILE, CaptureLine, after=self.after).read(self.data)


def cut(lines: Iterable[bytes], expected: FileSeal | None, kept: Sequence[KeptLooks] = ()) -> Iterator[Chunk]:
    """Yield the lines of a file in chunks. A damaged line is not noticed here but by `Chunk.lines`.

    `expected`: the seal of the whole file; None: it is not known. `kept`: the kept looks, by model set.

    Raises:
        CaptureError: the file has other lines at its end than `expected`.
    """
    after, data, size = NO_LINES, list[bytes](), 0
    for line in lines:
        data.append(line)
        size += len(line)
        if len(data) >= _CHUNK_LINES or size >= _CHUNK_BYTES:
            yield _chunk(after, data, kept)
            after, data, size = _seal(after, data), [], 0
    if data:
        yield _chunk(after, data, kept)
        after = _seal(after, data)
    SealedReader(REQUESTS_FILE, CaptureLine, expected=expected, after=after).require_end()


def _chunk(after: FileSeal, data: Sequence[bytes], kept: Sequence[KeptLooks]) -> Chunk:
    return Chunk(after, tuple(data), tuple(look for looks in kept for look in looks.of(data)))


def _seal(after: FileSeal, data: Sequence[bytes]) -> FileSeal:
    return FileSeal(lines=after.lines + len(data), sum=f"{checksum_in(data[-1]) or 0:08x}")
