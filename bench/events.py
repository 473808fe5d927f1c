"""Questions to the store of events on SQLite: `python -m bench.events`.

Fills a database with made-up events, and asks it as GET of events does: the longest of several rounds, in milliseconds
of the clock. The aims are 100 ms with filters by time, device, identity and outcome, and a second by part of a name.
"""

import tempfile
import time
from pathlib import Path

import click
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from contract.event_store import EventFilter
from sinks.sql_engine import open_engine, sqlite_url
from sinks.sql_store import SqlStore
from sinks.sql_writer import SqlWriter

_START_S, _EVERY_S = 1_600_000_000.0, 6.0
_DAY_S = 86_400.0
_AT_ONCE = 100_000
_FILTERS_MS, _NAMES_MS = 100, 1000

# Hashes of the number instead of random numbers, so that every run fills the same database.
_EVENTS = """
INSERT INTO event
SELECT printf('%032x', i), 'match', CASE WHEN k < 80 THEN 'matched' WHEN k < 95 THEN 'stranger' ELSE 'no_face' END,
  {start} + i * {every}, {start} + i * {every}, CASE WHEN k < 80 THEN cast(p AS TEXT) ELSE '' END,
  CASE WHEN k < 80 THEN p ELSE 1 END, CASE WHEN k < 80 THEN 1 END, 0.7, 90.0, d, 'default_group', 'default_group', '0',
  '0', '0', printf('%064x', i), 0, 'picturematch.requests', i % 8, i, '', '', NULL, 1
FROM (
  WITH RECURSIVE n(i) AS (SELECT {first} UNION ALL SELECT i + 1 FROM n WHERE i < {last})
  SELECT i, (i / 13 * 7919) % 100 AS k, 2 + (i * 104729) % {people} AS p, 1 + (i * 1299709) % {devices} AS d FROM n
)
"""

_NAMES = """
INSERT INTO name
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {count})
SELECT i, CASE WHEN i = 1 THEN '' ELSE 'Person ' || i END, CASE WHEN i = 1 THEN '' ELSE 'person ' || i END FROM n
"""
_DEVICES = """
INSERT INTO device
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {count})
SELECT i, '10.0.0.' || i, 'd' || i, 'door ' || i FROM n
"""


def fill(path: Path, events: int, people: int, devices: int) -> None:
    """Fill a new database: every six seconds an event, four fifths of them of enrolled people."""
    writer = SqlWriter(sqlite_url(path))
    writer.prepare()
    engine = open_engine(sqlite_url(path))
    with engine.begin() as connection:
        connection.exec_driver_sql(_NAMES.format(count=people + 1))
        connection.exec_driver_sql(_DEVICES.format(count=devices))
    with Progress(console=Console(stderr=True)) as progress:
        task = progress.add_task("filling the store", total=events)
        for first in range(1, events + 1, _AT_ONCE):
            last = min(first + _AT_ONCE - 1, events)
            values = {"start": _START_S, "every": _EVERY_S, "people": people, "devices": devices}
            with engine.begin() as connection:
                connection.exec_driver_sql(_EVENTS.format(first=first, last=last, **values))
            progress.update(task, completed=last)
    writer.analyse()
    writer.close()
    engine.dispose()


def questions(events: int) -> dict[str, tuple[EventFilter, int]]:
    """Return the questions by name, each with the milliseconds that are its aim."""
    middle = _START_S + _EVERY_S * events / 2
    since, until = middle, middle + 30 * _DAY_S
    return {
        "the newest": (EventFilter(), _FILTERS_MS),
        "a day": (EventFilter(since=middle, until=middle + _DAY_S), _FILTERS_MS),
        "a month": (EventFilter(since=since, until=until), _FILTERS_MS),
        "a device": (EventFilter(device_ids=["d7"]), _FILTERS_MS),
        "a person": (EventFilter(identity_id="777"), _FILTERS_MS),
        "an outcome": (EventFilter(outcomes=["no_face"]), _FILTERS_MS),
        "a device and an outcome": (EventFilter(device_ids=["d7"], outcomes=["stranger"]), _FILTERS_MS),
        "a device and a person": (EventFilter(device_ids=["d7"], identity_id="777"), _FILTERS_MS),
        "a device in a month": (EventFilter(device_ids=["d7"], since=since, until=until), _FILTERS_MS),
        "an outcome in a month": (EventFilter(outcomes=["no_face"], since=since, until=until), _FILTERS_MS),
        "a part of few names": (EventFilter(name="77777"), _NAMES_MS),
        "a part of many names": (EventFilter(name="77"), _NAMES_MS),
        "a part of all names": (EventFilter(name="person"), _NAMES_MS),
        "a part of a name in a month": (EventFilter(name="777", since=since, until=until), _NAMES_MS),
    }


@click.command(epilog="Example: python -m bench.events --events 500000")
@click.option("--events", default=5_000_000, show_default=True, type=click.IntRange(min=1000))
@click.option("--people", default=100_000, show_default=True, type=click.IntRange(min=1000))
@click.option("--devices", default=50, show_default=True, type=click.IntRange(min=10))
@click.option("--rounds", default=5, show_default=True, type=click.IntRange(min=1))
def main(events: int, people: int, devices: int, rounds: int) -> None:
    """Time a page of ten events, with its count, by different filters."""
    table = Table("filter", "longest, ms", "aim, ms", "events found", title=f"A page from {events:,} events")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "events.sqlite"
        fill(path, events, people, devices)
        store = SqlStore(sqlite_url(path))
        for name, (wanted, aim_ms) in questions(events).items():
            longest = 0.0
            for _ in range(rounds):
                begun = time.perf_counter()
                total = store.page(wanted, 0, 10).total
                longest = max(longest, 1000 * (time.perf_counter() - begun))
            table.add_row(name, f"{longest:.0f}", str(aim_ms), f"{total:,}")
        store.close()
    Console(width=100).print(table)


if __name__ == "__main__":
    main()
