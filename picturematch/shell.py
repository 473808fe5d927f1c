"""What the commands around a server share: errors as sentences, times, progress, signals, and the log as a guest."""

import asyncio
import os
import signal
import sys
import time
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import click
import orjson
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from contract.operator_error import OperatorError
from contract.text import printable, printable_json
from contract.when import parse_span, parse_when
from picturematch.options import UserError

T = TypeVar("T")

_PLAIN_PROGRESS_EVERY_S = 5.0
_STOP_SIGNALS = frozenset({signal.SIGINT, signal.SIGTERM, signal.SIGHUP})


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run to the end; what the user can put right becomes one sentence and exit status 2.

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


def stop_signal() -> asyncio.Event:
    """Set by the first SIGINT, SIGTERM or SIGHUP; the second one ends the process at once.

    A SIGHUP that was ignored when the process started (`nohup`) stays ignored.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    ignored = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    numbers = _STOP_SIGNALS - {signal.SIGHUP} if ignored else _STOP_SIGNALS

    def first() -> None:
        stop.set()
        for number in numbers:
            loop.remove_signal_handler(number)
            # the system's own way of dying works whatever the process is doing
            signal.signal(number, signal.SIG_DFL)

    for number in numbers:
        loop.add_signal_handler(number, first)
    return stop


def echo_json(value: Any) -> None:
    """Print a value as one line of JSON, fit for a terminal."""
    click.echo(json_line(value))


def json_line(value: Any) -> str:
    """A value as JSON without line breaks, fit for a terminal."""
    return printable_json(orjson.dumps(value)).decode()


def counted(count: int, noun: str) -> str:
    """The number with its noun: 1 event, 2 events."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def say(line: str) -> None:
    """Print a line about the process's own work, which goes on where nobody can read that any more: the terminal is
    gone (which is what SIGHUP tells), or the pipe was closed."""
    try:
        click.echo(printable(line))
    except OSError:
        drop_stdout()


def drop_stdout() -> None:
    """Nobody reads standard output any more: let what is still buffered go nowhere, without a complaint."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)


class When(click.ParamType[float]):
    """A point in time, as epoch seconds."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Read what the user wrote."""
        try:
            return value if isinstance(value, float) else parse_when(value, time.time())
        except ValueError as error:
            self.fail(str(error), param, ctx)


class Span(click.ParamType[float]):
    """A span of time, as seconds."""

    name = "span"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Read what the user wrote."""
        try:
            return value if isinstance(value, float) else parse_span(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


class Steps:
    """Progress of a long command on stderr, and the lines it prints meanwhile. Here: a plain line now and then."""

    def __init__(self, title: str, total: int | None) -> None:
        self._title = title
        self._total = total
        self._done = 0
        self._told = 0
        self._told_s = time.monotonic()

    def step(self) -> None:
        """One more is done."""
        self._done += 1
        if time.monotonic() - self._told_s >= _PLAIN_PROGRESS_EVERY_S:
            self._tell()

    def finish(self) -> None:
        """All is done: what was told last is completed; a run that was too short for a line stays without."""
        if 0 < self._told < self._done:
            self._tell()

    def say(self, line: str, *, problem: bool = False) -> None:
        """Print a line, whatever its text: data to stdout, a problem to stderr."""
        click.echo(printable(line), err=problem)

    def _tell(self) -> None:
        self._told, self._told_s = self._done, time.monotonic()
        of = "" if self._total is None else f" of {self._total}"
        click.echo(f"{self._title}: {self._done}{of}", err=True)


class _Bar(Steps):
    """The same on a terminal: a bar, with the lines above it."""

    def __init__(self, title: str, total: int | None, bar: Progress) -> None:
        super().__init__(title, total)
        self._bar = bar
        self._task = bar.add_task(title, total=total)

    def step(self) -> None:
        self._bar.advance(self._task)

    def say(self, line: str, *, problem: bool = False) -> None:
        if problem or sys.stdout.isatty():
            self._bar.console.print(printable(line), markup=False, highlight=False, soft_wrap=True)
        else:
            super().say(line)


@contextmanager
def progress(title: str, total: int | None) -> Iterator[Steps]:
    """A bar on a terminal, plain lines elsewhere."""
    console = Console(stderr=True)
    if not console.is_terminal:
        steps = Steps(title, total)
        yield steps
        steps.finish()
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, redirect_stdout=False, redirect_stderr=False, transient=True) as bar:
        yield _Bar(title, total, bar)
