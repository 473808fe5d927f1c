"""picturematch dead-letters: list requests that could not be processed, and send them again."""

import re
import sys
import uuid
from collections.abc import Sequence
from contextlib import aclosing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from broker.ordered import read_merged
from broker.port import Broker, BrokerInUse, Position, RecordTooLarge, Start
from contract.dead_letters import SINK_STAGE
from contract.kinds import STAGES
from contract.text import printable
from contract.topics import Topics
from picturematch.opening import damaged_records, open_broker
from picturematch.options import UserError, config_option, log_options, settings_of
from picturematch.settings import Settings
from picturematch.shell import When, drop_stdout, echo_json, run
from processor.dead_letters import LetterSummary, Register, retry

_BATCH = 4  # a dead letter contains a whole request
_PLAIN_WIDTH = 400  # columns without a terminal: one line per dead letter


class Place(click.ParamType[tuple[int, int]]):
    """The place of a dead letter in its topic, written PARTITION-OFFSET."""

    name = "place"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, int]:
        """Return partition and offset from the text of an argument."""
        if isinstance(value, tuple):
            return value
        parts = re.fullmatch(r"(\d{1,9})-(\d{1,18})", value, re.ASCII)
        if parts is None:
            self.fail(f"{value!r} is not a place; write PARTITION-OFFSET as list prints it, such as 0-17", param, ctx)
        return int(parts[1]), int(parts[2])


class Stage(click.Choice[str]):
    """A stage in which a request can fail, or sink/NAME."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the stage in the text of an option."""
        return value if str(value).startswith(SINK_STAGE) else super().convert(value, param, ctx)


@click.group(epilog="Example: picturematch dead-letters list")
@config_option
def command() -> None:
    """Show requests that could not be processed, and send them again.

    Each of these requests was answered with an error, and has an event. The dead-letters topic keeps the request
    unchanged, its place in the log, and the error. It also keeps the events that a sink could not pass on.
    """


@command.command(
    name="list",
    epilog="""\b
Examples:
  picturematch dead-letters list --since 1d
  picturematch dead-letters list --stage decode --json | jq .place""",
)
@config_option
@log_options
@click.option(
    "--since",
    type=When(),
    help="Only letters written at this time or later: epoch seconds, ISO 8601, or 10m, 2h, 1d ago.",
)
@click.option("--stage", type=Stage(STAGES), help="Only letters of this stage; sink/NAME: of this sink.")
@click.option("--limit", type=click.IntRange(min=1), help="Only this number of letters, the newest.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object per line.")
@click.pass_context
def list_(
    ctx: click.Context,
    broker: str | None,
    data_folder: Path | None,
    since: float | None,
    stage: str | None,
    limit: int | None,
    as_json: bool,
) -> None:
    """Print the dead letters, oldest first, without pictures.

    Exit status: 0 all were printed, 1 records of the topic are damaged (standard error names them), 2 the command
    failed.
    """
    settings = settings_of(ctx, broker=broker, data_folder=data_folder)
    register, damaged = run(_register(settings, since))
    letters = [letter for letter in register.letters() if stage in (None, letter.stage)]
    shown = letters if limit is None else letters[-limit:]
    try:
        _print_json(shown) if as_json else _print_table(shown)
    except BrokenPipeError:
        drop_stdout()
    if register.unreadable:
        click.echo(f"{register.unreadable} records of the topic are not dead letters", err=True)
    if damaged:
        ctx.exit(1)


@command.command(
    name="retry",
    epilog="""\b
Examples:
  picturematch dead-letters retry 0-17 0-21
  picturematch dead-letters retry --all""",
)
@config_option
@log_options
@click.argument("places", type=Place(), nargs=-1, metavar="[PLACE]...")
@click.option("--all", "everything", is_flag=True, help="All letters that were not sent again yet.")
@click.option("--again", is_flag=True, help="Also letters that were sent again before.")
@click.pass_context
def retry_(
    ctx: click.Context,
    broker: str | None,
    data_folder: Path | None,
    places: tuple[tuple[int, int], ...],
    everything: bool,
    again: bool,
) -> None:
    """Send dead letters again, each as a new request with an id of its own; PLACE is the first column of list.

    No device receives the new answer; the new event names the failed request in retry_of. On the embedded log, stop the
    server before and start it again afterwards; then it processes the requests. Exit status: 0 all were sent, 1 some
    were not, 2 the command failed.
    """
    if bool(places) == everything:
        raise click.UsageError("name the PLACEs of the letters, or give --all")
    settings = settings_of(ctx, broker=broker, data_folder=data_folder)
    chosen = None if everything else [Position(settings.topics.dead_letters, *place) for place in dict.fromkeys(places)]
    refused = run(_retry(settings, chosen, again))
    ctx.exit(1 if refused else 0)


async def _register(settings: Settings, since_s: float | None = None) -> tuple[Register, int]:
    """Return the dead letters, and the number of damaged records of the topic."""
    topic = settings.topics.dead_letters
    register = Register()
    async with open_broker(settings, "guest") as log:
        ends = dict(await log.end_offsets(topic))
        start = Start.EARLIEST if since_s is None else since_s
        async with aclosing(read_merged(log, topic, start, ends, batch=_BATCH)) as batches:
            async for records in batches:
                register.take(records)
        return register, damaged_records(log)


async def _retry(settings: Settings, chosen: Sequence[Position] | None, again: bool) -> int:
    """Send the chosen letters again (None: all that may be sent); return the number of letters that were not sent."""
    register, _ = await _register(settings)
    places, refused = _may_be_sent(register, chosen, again)
    if places:
        try:
            async with open_broker(settings, "owner") as log:
                refused += [not_sent for place in places if (not_sent := await _send(log, place, settings.topics))]
        except BrokerInUse as error:
            raise UserError(
                f"the server on {settings.data_folder} is running, and only one process writes its log:"
                " stop the server, retry, and start it again"
            ) from error
    elif not refused:
        click.echo("there is no letter to send again")
    for sentence in refused:
        click.echo(printable(sentence), err=True)
    return len(refused)


def _may_be_sent(
    register: Register, chosen: Sequence[Position] | None, again: bool
) -> tuple[list[Position], list[str]]:
    """Return the places of the letters to send, and a sentence for every chosen letter that is not sent."""
    if chosen is None:
        letters = [letter for letter in register.letters() if not letter.of_sink]
        return [letter.place for letter in letters if again or not letter.retried_as], []
    places, refused = [], []
    for place in chosen:
        letter = register.letter(place)
        if letter is None:
            refused.append(f"{_name(place)}: there is no dead letter at this place; see picturematch dead-letters list")
        elif letter.of_sink:
            refused.append(
                f"{_name(place)}: the letter is an event that a sink could not pass on ({letter.stage}), not a request:"
                f" mend the receiver, and take event {letter.request_id} from `picturematch events`"
            )
        elif letter.retried_as and not again:
            refused.append(
                f"{_name(place)}: the letter was sent again already as {letter.retried_as[-1]};"
                " give --again to send it once more"
            )
        else:
            places.append(place)
    return places, refused


async def _send(log: Broker, place: Position, topics: Topics) -> str | None:
    """Send one letter again; return a sentence with the reason where it cannot be sent, else None."""
    record = await log.read_at(place)
    if record is None:
        return f"{_name(place)}: the letter has been removed from the log meanwhile"
    request_id = uuid.uuid4().hex
    try:
        await log.append(retry(record, request_id, topics))
    except RecordTooLarge as error:
        return f"{_name(place)}: {error}"
    click.echo(f"{_name(place)} sent again as {request_id}")
    return None


def _print_json(letters: Sequence[LetterSummary]) -> None:
    for letter in letters:
        echo_json(
            {
                "place": _name(letter.place),
                "time": letter.written_ms / 1000,
                "request_id": letter.request_id,
                "original": {
                    "topic": letter.original.topic,
                    "partition": letter.original.partition,
                    "offset": letter.original.offset,
                },
                "stage": letter.stage,
                "code": letter.code,
                "error": letter.error,
                "attempt": letter.attempt,
                "size_bytes": letter.size_bytes,
                "retry_of": letter.retry_of,
                "retried_as": letter.retried_as,
            }
        )


def _print_table(letters: Sequence[LetterSummary]) -> None:
    terminal = sys.stdout.isatty()
    table = Table(box=None, pad_edge=False)
    for column in ("place", "when", "request", "original", "stage", "code", "error", "attempt", "bytes", "retried as"):
        table.add_column(column, no_wrap=not terminal, overflow="fold")
    for letter in letters:
        original = letter.original
        cells = (
            _name(letter.place),
            datetime.fromtimestamp(letter.written_ms / 1000, UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
            letter.request_id,
            f"{original.topic}-{original.partition}@{original.offset}",
            letter.stage,
            str(letter.code),
            letter.error,
            str(letter.attempt),
            str(letter.size_bytes),
            " ".join(letter.retried_as),
        )
        table.add_row(*(Text(printable(cell)) for cell in cells))
    Console(width=None if terminal else _PLAIN_WIDTH).print(table)


def _name(place: Position) -> str:
    return f"{place.partition}-{place.offset}"
