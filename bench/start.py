"""What the start of a command costs: `python -m bench.start`.

In one run on this machine: the processor time of several commands from their start to their end, and of an interpreter
that does nothing. They take turns, so that a noisy machine is noisy for all. The server starts with stand-in networks
on an empty log of its own, and stops when it listens.
"""

import os
import resource
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence

import click
from rich.console import Console
from rich.table import Table

_SERVE = ("serve", "--port", "0")
_COMMANDS: Sequence[Sequence[str]] = (
    ("--version",),
    ("--help",),
    ("config",),
    ("match", "--help"),
    ("log", "--help"),
    ("replay", "--help"),
    _SERVE,
)


@click.command(epilog="Example: python -m bench.start --starts 20")
@click.option("--starts", default=20, show_default=True, type=click.IntRange(min=1), help="Starts of each command.")
def main(starts: int) -> None:
    """Processor time of a start, in milliseconds, and as a ratio to a start of the interpreter."""
    programs = [("python -c pass", ["-c", "pass"])]
    programs += [(f"picturematch {' '.join(words)}", ["-m", "picturematch", *words]) for words in _COMMANDS]
    spent = dict.fromkeys((name for name, _ in programs), 0.0)
    for _ in range(starts):
        for name, arguments in programs:
            spent[name] += _processor_s(arguments)
    baseline, *_ = spent.values()
    table = Table("start", "processor time, ms", "ratio")
    for name, seconds in spent.items():
        table.add_row(name, f"{1000 * seconds / starts:.0f}", f"{seconds / baseline:.1f}")
    Console().print(table)


def _processor_s(arguments: Sequence[str]) -> float:
    """Return the processor time, in seconds, of a program from its start to its end.

    Raises:
        RuntimeError: the program failed.
    """
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PICTUREMATCH_")}
    before = _of_children_s()
    with tempfile.TemporaryDirectory(prefix="picturematch-start-") as folder:
        own = {"PICTUREMATCH_DATA_FOLDER": folder, "PICTUREMATCH_MODELS__KIND": "stand-in"}
        process = subprocess.Popen(  # noqa: S603 - our own command lines
            [sys.executable, *arguments],
            env={**kept, **own},
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        with process:
            if process.stdout is not None and b" listens on " in process.stdout.readline():
                process.send_signal(signal.SIGTERM)
            process.communicate()
        if process.returncode != 0:
            raise RuntimeError(f"`{' '.join(arguments)}` ended with status {process.returncode}")
    return _of_children_s() - before


def _of_children_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    main()
