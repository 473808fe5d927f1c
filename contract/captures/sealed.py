"""Sealed lines: JSON objects, one per line, whose last member is a checksum of the line and of all lines before it.

The member is `"sum":"xxxxxxxx"`, the CRC-32 (RFC 1952) as 8 hex digits of the bytes of the object without that member,
continued from the checksum of the line before (0 at the beginning). So a line that was changed, removed, added or moved
is noticed; the seal of the last line in the manifest shows whether lines at the end are missing.
"""

import re
from collections.abc import Iterable, Iterator
from typing import Generic, TypeVar
from zlib import crc32

import msgspec

from contract.captures.values import CaptureError, FileSeal
from contract.terms import Message

M = TypeVar("M", bound=Message)

_SUM = re.compile(rb',"sum":"([0-9a-f]{8})"\}\n\Z')
_SUM_BYTES = len(b',"sum":"00000000"}\n')

_encoder = msgspec.json.Encoder()


def sealed(line: Message, before: int) -> tuple[bytes, int]:
    """Return a value as a sealed line, including the newline, and its checksum. `before`: that of the line before."""
    body = _encoder.encode(line)
    checksum = crc32(body, before)
    return body[:-1] + f',"sum":"{checksum:08x}"}}\n'.encode(), checksum


def checksum_in(line: bytes) -> int | None:
    """Return the checksum that a line contains, unchecked; None: the line contains none."""
    found = _SUM.search(line[-_SUM_BYTES:])
    return None if found is None else int(found.group(1), 16)


class SealedReader(Generic[M]):
    """Reads the lines of a file, in order, and checks each; `seal` is that of the lines read so far.

    `file_name` is for messages. `sealed` False: the file is of a format version without checksums.
    """

    def __init__(self, file_name: str, kind: type[M], *, sealed: bool = True) -> None:
        self._name, self._decoder, self._sealed = file_name, msgspec.json.Decoder(kind), sealed
        self._number, self._checksum = 0, 0

    @property
    def seal(self) -> FileSeal:
        """The number of lines read, and the checksum of the last one."""
        return FileSeal(lines=self._number, sum=f"{self._checksum:08x}")

    @property
    def checksum(self) -> int:
        """The checksum of the last line read; 0 before the first."""
        return self._checksum

    def read(self, lines: Iterable[bytes]) -> Iterator[tuple[int, M]]:
        """Yield the values of further lines, each with its number, counted from 1; empty lines are skipped.

        Raises:
            CaptureError: a line is cut, was changed, or is out of place; the message names the line and the reason.
        """
        for data in lines:
            if self._sealed:
                self._check(data)
            self._number += 1
            if not data.strip():
                continue
            try:
                value = self._decoder.decode(data)
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
                raise CaptureError(f"line {self._number} of {self._name} cannot be read: {error}") from error
            yield self._number, value

    def _check(self, data: bytes) -> None:
        number = self._number + 1
        if not data.endswith(b"\n"):
            raise CaptureError(f"line {number} of {self._name} is cut: the file ends in the middle of the line")
        expected = checksum_in(data)
        if expected is None:
            raise CaptureError(f"line {number} of {self._name} is damaged: it does not end with a checksum")
        body = data[:-_SUM_BYTES] + b"}"
        self._checksum = crc32(body, self._checksum)
        if self._checksum != expected:
            raise CaptureError(
                f"line {number} of {self._name} is damaged: its checksum is {expected:08x}, and its contents and the "
                f"lines before it give {self._checksum:08x}"
            )
