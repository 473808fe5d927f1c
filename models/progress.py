"""What an operator sees while packages arrive: one line per package, with what has arrived."""

import time
from types import TracebackType
from typing import Protocol, Self, TextIO

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TaskID, TextColumn

_MEGABYTE = 1_000_000
_PLAIN_INTERVAL_S = 5.0


class Reporter(Protocol):
    """Told of what happens, from one thread."""

    def note(self, sentence: str) -> None:
        """Something worth a line."""
        ...

    def arrived(self, package: str, size_bytes: int, about_bytes: int) -> None:
        """So much of the package is here; `about_bytes` is what it weighs, roughly."""
        ...

    def finished(self, package: str, size_bytes: int) -> None:
        """The package is here."""
        ...


class Silent:
    """Says nothing."""

    def note(self, sentence: str) -> None:
        """Nothing."""

    def arrived(self, package: str, size_bytes: int, about_bytes: int) -> None:
        """Nothing."""

    def finished(self, package: str, size_bytes: int) -> None:
        """Nothing."""


class PlainLines:
    """Lines for a log file or a pipe: when a package begins, every few seconds, when it is there."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._told_at_s: dict[str, float] = {}

    def note(self, sentence: str) -> None:
        """One line."""
        self._stream.write(sentence + "\n")
        self._stream.flush()

    def arrived(self, package: str, size_bytes: int, about_bytes: int) -> None:
        """One line, unless the last one is recent."""
        now_s = time.monotonic()
        if now_s - self._told_at_s.get(package, -_PLAIN_INTERVAL_S) < _PLAIN_INTERVAL_S:
            return
        self._told_at_s[package] = now_s
        self.note(f"{package}: {_megabytes(size_bytes)} of about {_megabytes(about_bytes)} MB")

    def finished(self, package: str, size_bytes: int) -> None:
        """One line."""
        self.note(f"{package}: {_megabytes(size_bytes)} MB, complete")


class TerminalBars:
    """Bars on a terminal. Use as a context manager, so that the cursor comes back."""

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
        """A line above the bars."""
        self._progress.console.print(sentence, markup=False, highlight=False)

    def arrived(self, package: str, size_bytes: int, about_bytes: int) -> None:
        """Move the package's bar."""
        # The weight is a rough one: a bar that seems full before it is would mislead.
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
