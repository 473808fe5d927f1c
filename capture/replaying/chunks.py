"""Makes chunks of the file of requests that other processes can read, check and decide."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

from capture.files import open_file
from capture.replaying.kept_looks import KeptLooks
from contract.captures.convert import REQUESTS_FILE
from contract.captures.sealed import NO_LINES, SealedReader, checksum_in, lines_of
from contract.captures.values import CaptureError, CaptureLine, FileSeal, LookLine

CHUNK_BYTES = 8 << 20
"""The size from which on a block of lines is a chunk: large enough that searches are made many at once, small enough
that the chunks of all processes take little memory."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """Successive whole lines of requests.jsonl: `size` bytes from `place` on. `after` is the seal of the lines before.

    `folder`: the capture's folder; each process reads the lines there itself, because passing so many bytes between
    processes costs more than reading them. `looks`: the looks that earlier replays have kept for these lines.
    """

    folder: Path
    place: int
    size: int
    after: FileSeal
    looks: tuple[LookLine, ...] = ()

    def lines(self) -> Iterator[tuple[int, CaptureLine]]:
        """Yield the lines with their numbers, counted from 1 in the whole file.

        Raises:
            CaptureError: a line is damaged, or the file cannot be read.
        """
        return SealedReader(REQUESTS_FILE, CaptureLine, after=self.after).read(lines_of(BytesIO(self._data())))

    def _data(self) -> bytes:
        with open_file(self.folder, REQUESTS_FILE) as file:
            try:
                file.seek(self.place)
                data = file.read(self.size)
            except OSError as error:
                raise CaptureError(f"{REQUESTS_FILE} cannot be read: {error.strerror}") from error
        if len(data) < self.size:
            raise CaptureError(f"{REQUESTS_FILE} became shorter while it was read; replay a copy of the capture")
        return data


def cut(
    folder: Path, blocks: Iterable[tuple[int, bytes]], expected: FileSeal | None, kept: Sequence[KeptLooks] = ()
) -> Iterator[Chunk]:
    """Yield a chunk for each block of whole lines, which has a place in the file of requests in `folder`.

    A damaged line is not noticed here but by `Chunk.lines`. `expected`: the seal of the whole file; None: it is not
    known. `kept`: the kept looks, by model set.

    Raises:
        CaptureError: the file has other lines at its end than `expected`.
    """
    after = NO_LINES
    for place, data in blocks:
        looks = tuple(look for looks in kept for look in looks.of(lines_of(BytesIO(data))))
        yield Chunk(folder, place, len(data), after, looks)
        after = FileSeal(lines=after.lines + _lines_in(data), sum=f"{checksum_in(data) or 0:08x}")
    SealedReader(REQUESTS_FILE, CaptureLine, expected=expected, after=after).require_end()


def _lines_in(data: bytes) -> int:
    return data.count(b"\n") + (not data.endswith(b"\n"))
