"""Writes a file of sealed lines (contract.captures.sealed), which can be continued."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Generic

from contract.captures.sealed import M, SealedReader, sealed
from contract.captures.values import FileSeal


class SealedFile(Generic[M]):
    """A file of sealed lines that is open for appending. Synchronous; the caller prevents a second writer.

    An incomplete last line, which a crash left, is removed when the file is opened.

    Raises:
        OSError: the file cannot be opened.
    """

    def __init__(self, path: Path, kind: type[M]) -> None:
        self._path = path
        self._reader: SealedReader[M] = SealedReader(path.name, kind)
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW, 0o600)
        _cut_half_line(path, self._descriptor)
        self._count, self._checksum = 0, 0

    @property
    def seal(self) -> FileSeal:
        """The number of lines, and the checksum of the last one."""
        return FileSeal(lines=self._count, sum=f"{self._checksum:08x}")

    def lines(self) -> Iterator[tuple[int, M]]:
        """Yield the lines that the file has, with their numbers; to be read to the end before `append`.

        Raises:
            CaptureError: a line is damaged.
        """
        with self._path.open("rb") as file:
            yield from self._reader.read(file)
        self._count, self._checksum = self._reader.seal.lines, self._reader.checksum

    def append(self, values: Sequence[M]) -> None:
        """Append lines, which are durable when this method returns; after an error the file is as before.

        Raises:
            OSError: the lines cannot be written.
        """
        data, checksum = bytearray(), self._checksum
        for value in values:
            line, checksum = sealed(value, checksum)
            data += line
        size = os.fstat(self._descriptor).st_size
        left = memoryview(bytes(data))
        try:
            while left:
                left = left[os.write(self._descriptor, left) :]
            os.fsync(self._descriptor)
        except OSError:
            os.ftruncate(self._descriptor, size)
            raise
        self._count, self._checksum = self._count + len(values), checksum

    def close(self) -> None:
        """Close the file."""
        os.close(self._descriptor)


def _cut_half_line(path: Path, descriptor: int) -> None:
    good = 0
    with path.open("rb") as lines:
        for line in lines:
            if line.endswith(b"\n"):
                good += len(line)
    os.ftruncate(descriptor, good)
