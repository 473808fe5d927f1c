"""Opens captures for commands: with progress, and without leaving unpacked faces behind."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from capture.archive import STDIN, opened
from capture.inflating import DEFAULT_LIMITS, Limits
from contract.operator_error import OperatorError
from contract.text import printable
from picturematch.options import UserError
from picturematch.shell import Steps, ended_by_signals, progress

_MEGABYTE = 1_000_000


class MegabyteSteps:
    """Converts numbers of bytes to the steps of a progress, one per megabyte."""

    def __init__(self, steps: Steps) -> None:
        self._steps, self._bytes = steps, 0

    def __call__(self, count: int) -> None:
        """Count bytes."""
        before = self._bytes
        self._bytes += count
        for _ in range(self._bytes // _MEGABYTE - before // _MEGABYTE):
            self._steps.step()


@contextmanager
def sentences() -> Iterator[None]:
    """Convert an error that the user can correct to a sentence and exit status 2.

    Raises:
        UserError: a capture, an input or the networks cannot be used.
    """
    try:
        yield
    except OperatorError as error:
        raise UserError(printable(str(error))) from error


@contextmanager
def opened_capture(path: Path, most_bytes: int = DEFAULT_LIMITS.most_bytes) -> Iterator[Path]:
    """Yield the folder of a capture, which may be an archive or "-", standard input (capture.archive.opened).

    Within the block, SIGTERM and SIGHUP raise KeyboardInterrupt, as SIGINT does, so that unpacked files are removed.

    Raises:
        CaptureError: as capture.archive.opened.
    """
    with ExitStack() as stack:
        stack.enter_context(ended_by_signals())
        with unpacking(path, most_bytes) as limits:
            folder = stack.enter_context(opened(path, limits))
        yield folder


@contextmanager
def unpacking(archive: Path, most_bytes: int) -> Iterator[Limits]:
    """Yield the limits with which an archive is unpacked, and show the progress within the block."""
    with progress("unpacking, MB", _megabytes(archive)) as steps:
        yield Limits(most_bytes, MegabyteSteps(steps))


def _megabytes(archive: Path) -> int | None:
    return archive.stat().st_size // _MEGABYTE if str(archive) != STDIN and archive.is_file() else None
