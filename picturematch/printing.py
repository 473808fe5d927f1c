"""Prints the records of a topic to standard output: `events` and `audit` share it."""

import asyncio
import contextlib
import sys
from collections.abc import Callable, Mapping

import click

from broker.port import Record
from picturematch.opening import open_broker
from picturematch.options import UserError
from picturematch.settings import Settings
from picturematch.shell import counted, drop_stdout, run
from sinks.console import Printed, Wants, print_events


def print_records(
    ctx: click.Context,
    settings: Settings,
    topic: str,
    noun: str,
    *,
    since_s: float | None,
    follow: bool,
    choice: Wants,
    limit: int | None = None,
    line: Callable[[Record, Mapping[str, object]], bytes] | None = None,
) -> None:
    """Print the chosen records of a topic (sinks.console.print_events); exit with 1 where records cannot be read.

    `noun`: the name of one record, for messages. An interruption ends the command without an error.

    Raises:
        UserError: the log cannot be opened, or standard output cannot be written.
    """
    printed = Printed()

    def passed_over(record: Record) -> None:
        if not record.damaged:  # the log itself logs damaged records
            place = f"topic {record.topic}, partition {record.partition}, offset {record.offset}"
            click.echo(f"the record at {place} is not a readable {noun}", err=True)

    async def all_records() -> None:
        async with open_broker(settings, "guest") as log:
            with contextlib.suppress(BrokenPipeError):
                await print_events(
                    log,
                    topic,
                    _write(noun),
                    asyncio.Event(),
                    since_s=since_s,
                    follow=follow,
                    choice=choice,
                    line=line,
                    limit=limit,
                    passed_over=passed_over,
                    printed=printed,
                )
                return
            drop_stdout()

    with contextlib.suppress(KeyboardInterrupt):
        run(all_records())
    if printed.unreadable:
        click.echo(f"{counted(printed.unreadable, 'record')} skipped: see above", err=True)
        ctx.exit(1)


def _write(noun: str) -> Callable[[bytes], None]:
    def write(lines: bytes) -> None:
        try:
            sys.stdout.buffer.write(lines)
            sys.stdout.buffer.flush()
        except BrokenPipeError:
            raise
        except OSError as error:
            drop_stdout()
            raise UserError(
                f"the {noun}s cannot be written to standard output ({error.strerror}); put that right and try again"
            ) from error

    return write
