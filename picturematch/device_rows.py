"""Reads the rows of `picturematch devices list` from the log, and prints them."""

import sys
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import asdict, dataclass

import msgspec
from rich.console import Console
from rich.table import Table
from rich.text import Text

from broker.ordered import read_merged
from broker.port import Broker, Start
from contract.events import decode_event
from contract.people.directory import Directory
from contract.people.keys import SITE_KINDS
from contract.text import printable
from picturematch.opening import open_broker
from picturematch.settings import Settings
from picturematch.shell import echo_json
from sinks.devices import Activities, DeviceRow

_SITE_KEYS = tuple(f"{kind}/".encode() for kind in SITE_KINDS)
_COLUMNS = ("state", "name", "address", "group, permission", "seen", "outcome")
_NUMBERS = ("matches", "strangers", "refusals", "clock", "picture", "face", "quality")
_UNITS = ((86_400, "d"), (3600, "h"), (60, "min"), (1, "s"))


@dataclass(frozen=True, slots=True)
class DeviceRows:
    """The rows, and what is missing from them.

    `span_s`: how far back the events were read, in seconds; a device without a match since then may have had one
    before. `left_out`: some unregistered addresses have no row. `unreadable`: the number of records that cannot be
    read.
    """

    rows: Sequence[DeviceRow]
    span_s: float
    left_out: bool
    unreadable: int


async def device_rows(settings: Settings, span_s: float, now_s: float, silent_after_s: float) -> DeviceRows:
    """Return a row for each device, from the events of the last `span_s` seconds before `now_s` (epoch seconds)."""
    async with open_broker(settings, "guest") as log:
        directory = await _directory(log, settings.topics.people)
        activities, unreadable = Activities(directory.site), len(directory.unreadable)
        topic = settings.topics.events
        ends = dict(await log.end_offsets(topic))
        async with aclosing(read_merged(log, topic, now_s - span_s, ends)) as batches:
            async for records in batches:
                for record in records:
                    try:
                        activities.take(decode_event(record.value or b""))
                    except msgspec.DecodeError:
                        unreadable += 1
    return DeviceRows(activities.rows(now_s, silent_after_s), span_s, activities.left_out, unreadable)


async def _directory(log: Broker, topic: str) -> Directory:
    """Return the fold of the people topic without the people."""
    directory = Directory()
    ends = dict(await log.end_offsets(topic))
    async with aclosing(read_merged(log, topic, Start.EARLIEST, ends)) as batches:
        async for records in batches:
            directory.apply(record for record in records if (record.key or b"").startswith(_SITE_KEYS))
    return directory


def print_json(rows: Sequence[DeviceRow], span_s: float) -> None:
    """Print each row as a line of JSON, with `looked_back_s`: the seconds of which the events were read."""
    for row in rows:
        echo_json({**asdict(row), "looked_back_s": span_s})


def print_table(rows: Sequence[DeviceRow], now_s: float, span_s: float) -> None:
    """Print the rows as a table on the terminal, and the time of which the events were read."""
    table = Table(box=None, pad_edge=False)
    for column in _COLUMNS:
        table.add_column(column, overflow="fold", no_wrap=column in ("state", "seen"))
    for column in _NUMBERS:
        table.add_column(column, overflow="fold", justify="right")
    for row in rows:
        table.add_row(*(Text(printable(cell)) for cell in _cells(row, now_s, span_s)))
    console = Console(file=sys.stdout)
    console.print(table)
    console.print(Text(f"from the events of the last {_looked(span_s)}; --since looks further back"))


def _cells(row: DeviceRow, now_s: float, span_s: float) -> tuple[str, ...]:
    return (
        row.state,
        row.name or "-",
        row.address,
        _scope(row),
        f"not in the last {_looked(span_s)}" if row.last_seen is None else f"{_span(now_s - row.last_seen)} ago",
        row.last_outcome or "",
        str(row.matches),
        str(row.strangers),
        str(row.refusals),
        "" if row.clock_skew_s is None else _skew(row.clock_skew_s),
        "" if row.picture_bytes is None else f"{row.picture_bytes / 1000:.0f} kB",
        "" if row.face_px is None else f"{row.face_px:.0f} px",
        "" if row.quality_score is None else f"{row.quality_score:.2f}",
    )


def _scope(row: DeviceRow) -> str:
    """Return the group and the permission; a request that names a group may leave the permission out."""
    absent = "any" if row.device_id is None else "(deleted)"
    return f"{row.group or absent}, {row.permission or absent}"


def _skew(seconds: float) -> str:
    if abs(seconds) < 60:
        return f"{seconds:+.1f} s"
    return f"{'-' if seconds < 0 else '+'}{_span(abs(seconds))}"


def _looked(seconds: float) -> str:
    """Return the span that was asked for: up to two days in hours where these are whole."""
    return f"{seconds / 3600:.0f} h" if seconds % 3600 == 0 and seconds <= 2 * 86_400 else _span(seconds)


def _span(seconds: float) -> str:
    """Return a span of time in its largest unit: 90 seconds are 1 min."""
    seconds = max(seconds, 0)
    size, unit = next(((size, unit) for size, unit in _UNITS if seconds >= size), (1, "s"))
    return f"{int(seconds // size)} {unit}"
