"""The contents of a Zstandard file, within limits: a small file may claim to contain terabytes of zeros."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import BinaryIO

import zstandard

from contract.captures.values import CaptureError

# A chunk of Zstandard's shortest blocks becomes at most 32,768 times as large: 128 MiB.
_CHUNK = 4096
_MOST_WINDOW = 1 << 27
_LEAST_PER_FILE = 4096
_RATIO, _RATIO_FROM = 200, 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits of unpacking: the most bytes of all files; a file counts as at least 4 KiB.

    `step` is called with the number of compressed bytes that were read since the last call.
    """

    most_bytes: int
    step: Callable[[int], None] = lambda _: None


DEFAULT_LIMITS = Limits(256 * 1024**3)


class InflatedStream:
    """Reads what a Zstandard file of one frame contains. `name`: of the file, for messages.

    Every error is a CaptureError that names the file: the file cannot be read, is damaged or cut, or exceeds a limit.
    """

    def __init__(self, file: BinaryIO, name: str, limits: Limits) -> None:
        self._file, self._name, self._limits = file, name, limits
        self._inflater = zstandard.ZstdDecompressor(max_window_size=_MOST_WINDOW).decompressobj()
        self._ready, self._at = b"", 0
        self._read = self._inflated = self._charged = 0

    def fault(self, reason: str) -> CaptureError:
        """Return the error about the file."""
        return CaptureError(f"{self._name} is not a whole archive of a capture: {reason}")

    def charge(self, size: int) -> None:
        """Count a file of that many bytes.

        Raises:
            CaptureError: the files have more bytes than the limit allows.
        """
        self._charged += max(size, _LEAST_PER_FILE)
        if self._charged > self._limits.most_bytes:
            raise CaptureError(
                f"{self._name} contains more than {self._limits.most_bytes} bytes; if you trust the file, raise the "
                "limit with --most-bytes"
            )

    def read_exactly(self, size: int) -> bytes:
        """Return the next `size` bytes, which must be there."""
        parts, left = [], size
        while left:
            if self._at == len(self._ready) and not self._fill():
                raise self.fault("it ends too early")
            part = self._ready[self._at : self._at + left]
            self._at += len(part)
            left -= len(part)
            parts.append(part)
        return b"".join(parts)

    def read_to_end(self) -> None:
        """Read the rest, which must be zeros only, up to the end of the file."""
        while self._at < len(self._ready) or self._fill():
            if self._ready.count(0, self._at) != len(self._ready) - self._at:
                raise self.fault("something is behind its end")
            self._at = len(self._ready)

    def _fill(self) -> bool:
        """Inflate further bytes; return False at the end of the file."""
        while True:
            chunk = self._chunk()
            if self._inflater.eof:
                if chunk or self._inflater.unused_data:
                    raise self.fault("something is behind its end")
                return False
            if not chunk:
                raise self.fault("it ends too early")
            try:
                self._ready, self._at = self._inflater.decompress(chunk), 0
            except zstandard.ZstdError as error:
                raise self.fault("it is damaged, or not compressed with Zstandard") from error
            self._inflated += len(self._ready)
            if self._inflated > _RATIO_FROM and self._inflated > _RATIO * self._read:
                raise self.fault(f"it would become more than {_RATIO} times as large as it is")
            if self._ready:
                return True

    def _chunk(self) -> bytes:
        try:
            chunk = self._file.read(_CHUNK)
        except OSError as error:
            raise CaptureError(f"{self._name} cannot be read: {error.strerror}") from error
        self._read += len(chunk)
        self._limits.step(len(chunk))
        return chunk
