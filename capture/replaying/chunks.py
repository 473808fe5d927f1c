"""Makes chunks of the file of requests that other processes can check and decide."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from io import BytesIO

from capture.replaying.kept_looks import KeptLooks
from contract.captures.convert import REQUESTS_FILE
from contract.captures.sealed import NO_LINES, SealedReader, checksum_in, lines_of
from contract.captures.values import CaptureLine, FileSeal, LookLine

CHUNK_BYTES = 4 << 20
"""The size from which on a block of lines is a chunk: large enough that searches are made many at once, small enough
that the chunks of all processes take little memory."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """Successive whole lines of requests.jsonl in one block; `after` is the seal of the lines before them.

    `looks`: the looks that earlier replays have kept for these lines.
    """

    after: FileSeal
    data: bytes
    looks: tuple[LookLine, ...] = ()

    def lines(self) -> Iterator[tuple[int, CaptureLine]]:
        """Yield the lines with their numbers, counted from 1 in the whole file.

        Raises:
            CaptureError: a line is damaged.
        """
        return SealedReader(REQUESTS_FILE, CaptureLine, after=self.after).read(lines_of(BytesIO(self.data)))


def cut(blocks: Iterable[bytes], expected: FileSeal | None, kept: Sequence[KeptLooks] = ()) -> Iterator[Chunk]:
    """Yield a chunk for each block of whole lines. A damaged line is not noticed here but by `Chunk.lines`.

    `expected`: the seal of the whole file; None: it is not known. `kept`: the kept looks, by model set.

    Raises:
        CaptureError: the file has other lines at its end than `expected`.
    """
    after = NO_LINES
    for data in blocks:
        looks = tuple(look for looks in kept for look in looks.of(lines_of(BytesIO(data))))
        yield Chunk(after, data, looks)
        after = FileSeal(lines=after.lines + _lines_in(data), sum=f"{checksum_in(data) or 0:08x}")
    SealedReader(REQUESTS_FILE, CaptureLine, expected=expected, after=after).require_end()


def _lines_in(data: bytes) -> int:
    return data.count(b"\n") + (not data.endswith(b"\n"))
