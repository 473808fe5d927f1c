"""Writes a file of sealed lines (contract.captures.sealed), which can be continued."""

import os
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Generic

from contract.captures.sealed import LONGEST_LINE, M, SealedReader, lines_of, sealed
from contract.captures.values import CaptureError, FileSeal

_BLOCK = 64 * 1024


class SealedFile(Generic[M]):
    """A file of sealed lines that is open for appending. Synchronous; the caller prevents a second writer.

    `expected`: the seal of the file, where its writer had ended; the file is then not changed by opening it. Otherwise
    an incomplete last line, which a crash left, is removed.

    Raises:
        OSError: the file cannot be opened.
        CaptureError: the path is that of something else than a file.
    """

    def __init__(self, path: Path, kind: type[M], expected: FileSeal | None = None) -> None:
        self._path = path
        self._reader: SealedReader[M] = SealedReader(path.name, kind, expected=expected)
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_NONBLOCK, 0o600)
        if not stat.S_ISREG(os.fstat(self._descriptor).st_mode):
            self.close()
            raise CaptureError(f"{path.name} is not a regular file")
        if expected is None:
            _cut_half_line(self._descriptor)
        self._count, self._checksum = 0, 0

    @property
    def seal(self) -> FileSeal:
        """The number of lines, and the checksum of the last one."""
        return FileSeal(lines=self._count, sum=f"{self._checksum:08x}")

    def lines(self) -> Iterator[tuple[int, M]]:
        """Yield the lines that the file has, with their numbers; to be read to the end before `append`.

        Raises:
            CaptureError: a line is damaged or missing.
        """
        with self._path.open("rb") as file:
            yield from self._reader.read(lines_of(file))
        self._reader.require_end()
        self._count, self._checksum = self._reader.seal.lines, self._reader.checksum

    def append(self, values: Sequence[M]) -> None:
        """Append lines, which are durable when this method returns; after an error the file is as before.

        Raises:
            OSError: the lines cannot be written.
            CaptureError: a line is too long to be read again.
        """
        data, checksum = bytearray(), self._checksum
        for value in values:
            line, checksum = sealed(value, checksum)
            if len(line) > LONGEST_LINE:
                raise CaptureError(f"a line for {self._path.name} would be longer than {LONGEST_LINE} bytes")
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


def _cut_half_line(descriptor: int) -> None:
    """Remove the bytes behind the last newline."""
    end = size = os.fstat(descriptor).st_size
    while end > 0:
        begin = max(0, end - _BLOCK)
        newline = os.pread(descriptor, end - begin, begin).rfind(b"\n")
        if newline >= 0:
            end = begin + newline + 1
            break
        end = begin
    if end < size:
        os.ftruncate(descriptor, end)
