"""Reports to the operator, while packages are fetched, how much of each package has arrived."""

import time
from types import TracebackType
from typing import Protocol, Self, TextIO

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TaskID, TextColumn

_MEGABYTE = 1_000_000
_PLAIN_INTERVAL_S = 5.0


class Reporter(Protocol):
    """Receives the progress of an installation; all calls are from one thread."""

    def note(self, sentence: str) -> None:
        """Report a sentence."""
        ...

    def arrived(self, package: str, size_bytes: int, about_bytes: int) -> None:
        """Report that `size_bytes` of a package have arrived; `about_bytes` is the package's approximate size."""
        ...

    def finished(self, package: str, size_bytes: int) -> None:
        """Report that a package is complete."""
        ...


class Silent:
    """A reporter that ignores all reports."""

    def note(self, sentence: str) -> None:
        """Ignore the sentence."""

    def arrived(self, package: str, size_bytes: int, about_bytes: int) -> None:
        """Ignore the progress."""

    def finished(self, package: str, size_bytes: int) -> None:
        """Ignore the completion."""


class PlainLines:
    """A reporter for a log file or a pipe: a line when a package begins, every few seconds, and when it is complete."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._reported_at_s: dict[str, float] = {}

    def note(self, sentence: str) -> None:
        """Write the sentence as a line."""
        self._stream.write(sentence + "\n")
        self._stream.flush()

    def arrived(self, package: str, size_bytes: int, about_bytes: int) -> None:
        """Write a line, unless the package's last line is only a few seconds old."""
        now_s = time.monotonic()
        if now_s - self._reported_at_s.get(package, -_PLAIN_INTERVAL_S) < _PLAIN_INTERVAL_S:
            return
        self._reported_at_s[package] = now_s
        self.note(f"{package}: {_megabytes(size_bytes)} of about {_megabytes(about_bytes)} MB")

    def finished(self, package: str, size_bytes: int) -> None:
        """Write a line."""
        self.note(f"{package}: {_megabytes(size_bytes)} MB, complete")


class TerminalBars:
    """A reporter with progress bars on a terminal; as a context manager it restores the cursor at the end."""

    def __init__(self, console: Console) -> None:
        self._progress = Progress(
            TextColumn("{task.description}"), BarColumn(), DownloadColumn(), console=console, transient=False
        )
        self._tasks: dict[str, TaskID] = {}

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def note(self, sentence: str) -> None:
        """Print the sentence above the bars."""
        self._progress.console.print(sentence, markup=False, highlight=False)

    def arrived(self, package: str, size_bytes: int, about_bytes: int) -> None:
        """Move the package's bar."""
        # The size is approximate, and a bar that is full before the package is complete would mislead.
        self._progress.update(self._task(package), completed=size_bytes, total=max(about_bytes, size_bytes + 1))

    def finished(self, package: str, size_bytes: int) -> None:
        """Fill the package's bar."""
        self._progress.update(self._task(package), completed=size_bytes, total=size_bytes)

    def _task(self, package: str) -> TaskID:
        if package not in self._tasks:
            self._tasks[package] = self._progress.add_task(package, total=None)
        return self._tasks[package]


def _megabytes(size_bytes: int) -> str:
    return f"{size_bytes / _MEGABYTE:.1f}"
