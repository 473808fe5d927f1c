"""Sealed lines: JSON objects, one per line, whose last member is a checksum of the line and of all lines before it.

The member is `"sum":"xxxxxxxx"`, the CRC-32 (RFC 1952) as 8 hex digits of the bytes of the object without that member,
continued from the checksum of the line before (0 at the beginning). So a line that was changed, removed, added or moved
is noticed; the seal of the last line in the manifest shows whether lines at the end are missing.
"""

import re
from collections.abc import Iterable, Iterator
from functools import partial
from typing import BinaryIO, Generic, TypeVar
from zlib import crc32

import msgspec

from contract.captures.values import CaptureError, FileSeal
from contract.terms import Message

M = TypeVar("M", bound=Message)

NO_LINES = FileSeal(lines=0, sum="00000000")
"""The seal of an empty file."""

LONGEST_LINE = 16 * 1024 * 1024
"""The most bytes of a line that are read."""

_SUM = re.compile(rb',"sum":"([0-9a-f]{8})"\}\n\Z')
_SUM_BYTES = len(b',"sum":"00000000"}\n')

_encoder = msgspec.json.Encoder()


def sealed(line: Message, before: int) -> tuple[bytes, int]:
    """Return a value as a sealed line, including the newline, and its checksum. `before`: that of the line before."""
    body = _encoder.encode(line)
    checksum = crc32(body, before)
    return body[:-1] + _member(checksum), checksum


def checksum_in(line: bytes) -> int | None:
    """Return the checksum that a line contains, unchecked; None: the line contains none."""
    found = _SUM.search(line[-_SUM_BYTES:])
    return None if found is None else int(found.group(1), 16)


def checksum_of(line: bytes, before: int) -> int:
    """Return the checksum that a sealed line must contain, by its other bytes and the checksum of the line before."""
    return crc32(b"}", crc32(memoryview(line)[:-_SUM_BYTES], before))


def lines_of(file: BinaryIO) -> Iterator[bytes]:
    """Yield the lines of an open file; of a line that is too long only the first `LONGEST_LINE` + 1 bytes are read."""
    return iter(partial(file.readline, LONGEST_LINE + 1), b"")


class SealedReader(Generic[M]):
    """Reads the lines of a file, in order, and checks each; `seal` is that of the lines read so far.

    `file_name` is for messages. `sealed` False: the file is of a format version without checksums. `expected`: the seal
    of the whole file, where that is known. `after`: the seal of the lines before the first one that is read.
    """

    def __init__(
        self,
        file_name: str,
        kind: type[M],
        *,
        sealed: bool = True,
        expected: FileSeal | None = None,
        after: FileSeal = NO_LINES,
    ) -> None:
        self._name, self._decoder, self._sealed = file_name, msgspec.json.Decoder(kind), sealed
        self._expected = expected
        self._number, self._checksum = after.lines, int(after.sum, 16)

    @property
    def seal(self) -> FileSeal:
        """The number of lines read, and the checksum of the last one."""
        return FileSeal(lines=self._number, sum=f"{self._checksum:08x}")

    @property
    def checksum(self) -> int:
        """The checksum of the last line read; 0 before the first."""
        return self._checksum

    def read(self, lines: Iterable[bytes]) -> Iterator[tuple[int, M]]:
        """Yield the values of further lines, each with its number, counted from 1.

        In a file without checksums, empty lines are skipped.

        Raises:
            CaptureError: a line is cut, was changed, is out of place or is too long; the message names the line and the
                reason.
        """
        for number, data in self.checked(lines):
            if data.strip():
                yield number, self.value(number, data)

    def checked(self, lines: Iterable[bytes]) -> Iterator[tuple[int, bytes]]:
        """Yield further lines as they are, each with its number, without reading their values.

        Raises:
            CaptureError: as `read`, except that the values may be of other types than those of the file.
        """
        for data in lines:
            if self._sealed:
                self._check(data)
            elif len(data) > LONGEST_LINE:
                raise self._too_long()
            self._number += 1
            yield self._number, data

    def value(self, number: int, line: bytes) -> M:
        """Return the value of a line with that number.

        Raises:
            CaptureError: the line is no value of the file.
        """
        try:
            return self._decoder.decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise CaptureError(f"line {number} of {self._name} cannot be read: {error}") from error

    def require_end(self) -> None:
        """Check that the lines that were read are all lines of the file.

        Raises:
            CaptureError: the whole file has another seal than the lines that were read.
        """
        if self._expected is None or self._expected == self.seal:
            return
        if self._number < self._expected.lines:
            raise CaptureError(
                f"line {self._number + 1} of {self._name} is missing: the file ends after {self._number} of "
                f"{self._expected.lines} lines"
            )
        raise CaptureError(
            f"line {self._number} of {self._name} is damaged: by the manifest the file has {self._expected.lines} "
            f"lines, and the last one the checksum {self._expected.sum}"
        )

    def _check(self, data: bytes) -> None:
        checksum = checksum_of(data, self._checksum)
        if not data.endswith(_member(checksum)) or len(data) > LONGEST_LINE:
            raise self._damage(data, checksum)
        self._checksum = checksum

    def _damage(self, data: bytes, checksum: int) -> CaptureError:
        if len(data) > LONGEST_LINE:
            return self._too_long()
        number = self._number + 1
        if not data.endswith(b"\n"):
            return CaptureError(f"line {number} of {self._name} is cut: the file ends in the middle of the line")
        expected = checksum_in(data)
        if expected is None:
            return CaptureError(f"line {number} of {self._name} is damaged: it does not end with a checksum")
        return CaptureError(
            f"line {number} of {self._name} is damaged: its checksum is {expected:08x}, and its contents and the "
            f"lines before it give {checksum:08x}"
        )

    def _too_long(self) -> CaptureError:
        return CaptureError(f"line {self._number + 1} of {self._name} is longer than {LONGEST_LINE} bytes")


def _member(checksum: int) -> bytes:
    return b',"sum":"%08x"}\n' % checksum
