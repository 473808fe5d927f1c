"""Helpers that the commands share: errors as sentences, times, progress, signals, and printing."""

import asyncio
import os
import signal
import sys
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import click
import orjson

from contract.addresses import canonical_address
from contract.operator_error import OperatorError
from contract.text import printable, printable_json
from contract.when import parse_span, parse_when
from picturematch.options import UserError

if TYPE_CHECKING:
    from rich.progress import Progress

T = TypeVar("T")

_PLAIN_PROGRESS_EVERY_S = 5.0
_STOP_SIGNALS = frozenset({signal.SIGINT, signal.SIGTERM, signal.SIGHUP})


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end; an error that the user can correct becomes one sentence and exit status 2.

    Raises:
        UserError: the log, an address, the networks, a folder, a capture or a server cannot be used.
    """
    try:
        return asyncio.run(work)
    except OperatorError as error:
        raise UserError(printable(str(error))) from error
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        raise UserError(printable(f"{where}{error.strerror or error}")) from error


def stop_signal(on_hangup: Callable[[], None] | None = None) -> asyncio.Event:
    """Return an event that the first SIGINT, SIGTERM or SIGHUP sets; a second signal ends the process at once.

    `on_hangup`: what SIGHUP does instead, however often it comes. Otherwise a SIGHUP that was ignored when the process
    started (`nohup`) stays ignored.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    ignored = on_hangup is not None or signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    numbers = _STOP_SIGNALS - {signal.SIGHUP} if ignored else _STOP_SIGNALS
    if on_hangup is not None:
        loop.add_signal_handler(signal.SIGHUP, on_hangup)

    def first() -> None:
        stop.set()
        for number in numbers:
            loop.remove_signal_handler(number)
            # the default action of a signal works whatever the process is doing
            signal.signal(number, signal.SIG_DFL)

    for number in numbers:
        loop.add_signal_handler(number, first)
    return stop


@contextmanager
def ended_by_signals() -> Iterator[None]:
    """Let SIGTERM and SIGHUP end the block by a KeyboardInterrupt, as SIGINT does, so that its files are removed.

    A SIGHUP that was ignored when the process started (`nohup`) stays ignored.
    """
    numbers = [number for number in _STOP_SIGNALS if signal.getsignal(number) is signal.SIG_DFL]
    for number in numbers:
        signal.signal(number, signal.default_int_handler)
    try:
        yield
    finally:
        for number in numbers:
            signal.signal(number, signal.SIG_DFL)


def echo_json(value: Any) -> None:
    """Print a value as one line of JSON, safe for a terminal."""
    click.echo(json_line(value))


def json_line(value: Any) -> str:
    """Return a value as JSON without line breaks, safe for a terminal."""
    return printable_json(orjson.dumps(value)).decode()


def counted(count: int, noun: str) -> str:
    """Return a number with its noun: 1 event, 2 events."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def print_line(line: str) -> None:
    """Print a line about the work of the process.

    Where standard output is lost (the terminal was closed, which SIGHUP reports, or the pipe was), the process
    continues without output.
    """
    try:
        click.echo(printable(line))
    except OSError:
        drop_stdout()


def drop_stdout() -> None:
    """Discard what standard output still buffers and everything later, because its reader is gone."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)


class When(click.ParamType[float]):
    """An option's point in time, as epoch seconds."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Return epoch seconds from the text of an option."""
        try:
            return value if isinstance(value, float) else parse_when(value, time.time())
        except ValueError as error:
            self.fail(str(error), param, ctx)


class DeviceAddress(click.ParamType[str]):
    """An option's address of a device, in the spelling that requests and events have."""

    name = "ip"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the address in one spelling."""
        return canonical_address(str(value))


class Span(click.ParamType[float]):
    """An option's span of time, as seconds."""

    name = "span"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Return seconds from the text of an option."""
        try:
            return value if isinstance(value, float) else parse_span(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


class Steps:
    """The progress of a long command on stderr, as a plain line every few seconds, and the lines that it prints."""

    def __init__(self, title: str, total: int | None) -> None:
        self._title = title
        self._total = total
        self._done = 0
        self._printed = 0
        self._printed_s = time.monotonic()

    def step(self, count: int = 1) -> None:
        """Count one more item, or `count` items, as done."""
        self._done += count
        if time.monotonic() - self._printed_s >= _PLAIN_PROGRESS_EVERY_S:
            self._print_progress()

    def finish(self) -> None:
        """Print the final count, unless the run was too short for any line of progress."""
        if 0 < self._printed < self._done:
            self._print_progress()

    def print_line(self, line: str, *, problem: bool = False) -> None:
        """Print a line of any text: data to stdout, a problem to stderr."""
        click.echo(printable(line), err=problem)

    def _print_progress(self) -> None:
        self._printed, self._printed_s = self._done, time.monotonic()
        total = "" if self._total is None else f" of {self._total}"
        click.echo(f"{self._title}: {self._done}{total}", err=True)


class _Bar(Steps):
    """The progress of a long command on a terminal, as a bar with the printed lines above it."""

    def __init__(self, title: str, total: int | None, bar: "Progress") -> None:
        super().__init__(title, total)
        self._bar = bar
        self._task = bar.add_task(title, total=total)

    def step(self, count: int = 1) -> None:
        self._bar.advance(self._task, count)

    def print_line(self, line: str, *, problem: bool = False) -> None:
        if problem or sys.stdout.isatty():
            self._bar.console.print(printable(line), markup=False, highlight=False, soft_wrap=True)
        else:
            super().print_line(line)


@contextmanager
def progress(title: str, total: int | None) -> Iterator[Steps]:
    """Show progress: as a bar on a terminal, else as plain lines."""
    from rich.console import Console  # most commands show no progress, and must not wait for the import
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    if not console.is_terminal:
        steps = Steps(title, total)
        yield steps
        steps.finish()
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, redirect_stdout=False, redirect_stderr=False, transient=True) as bar:
        yield _Bar(title, total, bar)
