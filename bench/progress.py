"""What a long benchmark shows on stderr while it runs: a bar on a terminal, one line per step elsewhere."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

Step = Callable[[str], None]
"""Told the name of each step as it begins."""


@contextmanager
def progress(steps: int) -> Iterator[Step]:
    """Show a run of so many steps."""
    console = Console(stderr=True)
    if not console.is_terminal:
        done = 0

        def line(name: str) -> None:
            nonlocal done
            done += 1
            click.echo(f"{done} of {steps}: {name}", err=True)

        yield line
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as shown:
        task = shown.add_task("", total=steps)
        begun = 0

        def bar(name: str) -> None:
            nonlocal begun
            shown.update(task, description=name, completed=begun)
            begun += 1

        yield bar
