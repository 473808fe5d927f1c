"""The tables of bench.cost: what each process costs per request, and what each part does."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from string import ascii_uppercase

from rich.console import Console
from rich.table import Table

from bench.cost_parts import ENGINE, NATIVE, UNEXPLAINED, Spent, in_order
from bench.load import LoadResult

_SMALL_MS = 0.005
_FREE_MS = 0.5
"""What a decision that was made before costs less than, and a look at a picture more than."""
_PERCENTILES = (50, 99, 99.9)


@dataclass(frozen=True, slots=True)
class Row:
    """All loads of one kind of server at one concurrency.

    `client_ns`, `broker_ns` and `spent`: processor time of the client, of the broker and of our processes; None: there
    was none, or it ran on another machine.
    """

    setup: str
    concurrency: int
    load: LoadResult
    client_ns: int | None
    broker_ns: int | None
    spent: Spent | None

    def per_request(self, spent_ns: float) -> float:
        """Return milliseconds per request."""
        return spent_ns / 1e6 / len(self.load.latencies_ms)

    def of_parts(self, *parts: str) -> float:
        """Return what our processes spent on these parts, milliseconds per request."""
        places = {} if self.spent is None else self.spent.places_ns
        return self.per_request(sum(spent for place, spent in places.items() if place.part in parts))

    @property
    def ours(self) -> float:
        """What our processes spent, milliseconds per request."""
        return 0.0 if self.spent is None else self.per_request(self.spent.process_ns)

    @property
    def beside(self) -> float:
        """What our processes spent beside the engine."""
        return self.ours - self.of_parts(ENGINE, NATIVE)


def process_table(rows: Sequence[Row]) -> Sequence[Sequence[str]]:
    """Return the cells of the table of processes, the head first."""
    letters = _letters(rows)
    head = ("", "in flight", "n", "p50", "p99", "p99.9", "calls/s", "failed", "client", "ours", "engine")
    cells: list[Sequence[str]] = [(*head, "beside it", "broker", "unexplained", "metering")]
    for row in rows:
        latencies = (f"{row.load.percentile(share):.2f}" for share in _PERCENTILES)
        load = (str(len(row.load.latencies_ms)), *latencies, f"{row.load.per_second:.1f}", str(row.load.failed))
        ours = [""] * 5
        if row.spent is not None:
            figures = (row.ours, row.of_parts(ENGINE, NATIVE), row.beside)
            ours = [f"{figure:.2f}" for figure in (*figures, row.of_parts(UNEXPLAINED))]
            ours.append(f"{row.per_request(row.spent.measuring_ns):.2f}")
        outside = ("" if spent is None else f"{row.per_request(spent):.2f}" for spent in (row.client_ns, row.broker_ns))
        client, broker = outside
        cells.append(
            (
                f"{letters[row.setup]} {row.setup}".strip(),
                str(row.concurrency),
                *load,
                client,
                *ours[:3],
                broker,
                *ours[3:],
            )
        )
    return cells


def part_table(rows: Sequence[Row]) -> Sequence[Sequence[str]]:
    """Return the cells of the table of parts, the head first: one column for each row of the table of processes.

    A column is named by the letter of its setup and its concurrency. Parts of less than 0.005 ms in every column are
    one row, so that each column adds up to `ours`.
    """
    letters = _letters(rows)
    measured = [row for row in rows if row.spent is not None]
    spent = [row.spent.places_ns if row.spent is not None else {} for row in measured]

    def figures(*wanted: object) -> list[float]:
        return [
            row.per_request(sum(places.get(place, 0) for place in wanted))  # type: ignore[call-overload]
            for row, places in zip(measured, spent, strict=True)
        ]

    cells: list[Sequence[str]] = [
        ("process, thread", "part", *(f"{letters[row.setup]} {row.concurrency}" for row in measured))
    ]
    small = []
    for place in in_order(place for places in spent for place in places):
        values = figures(place)
        if max(map(abs, values)) < _SMALL_MS:
            small.append(place)
        else:
            cells.append((f"{place.process}, {place.thread}", place.part, *(f"{value:.2f}" for value in values)))
    cells.append(("", "smaller parts together", *(f"{value:.2f}" for value in figures(*small))))
    cells.append(("", "all", *(f"{row.ours:.2f}" for row in measured)))
    return cells


def _letters(rows: Sequence[Row]) -> Mapping[str, str]:
    """Return a letter for each setup with processes of ours, and nothing for others."""
    ours = dict.fromkeys(row.setup for row in rows if row.spent is not None)
    return {row.setup: "" for row in rows} | dict(zip(ours, ascii_uppercase, strict=False))


def print_rows(rows: Sequence[Row], what: str, markdown: bool, console: Console) -> None:
    """Print both tables and how to read them."""
    show: Callable[[str, Sequence[Sequence[str]]], None] = (
        (lambda title, cells: _markdown(console, title, cells))
        if markdown
        else (lambda title, cells: _rich(console, title, cells))
    )
    show(f"{what}; latencies in ms, processor ms per request", process_table(rows))
    show("Our processes by thread and part, processor ms per request", part_table(rows))
    alone = [row for row in rows if row.spent is None]
    with_engine = [row for row in rows if row.of_parts(ENGINE) > _FREE_MS and row.concurrency == 1]
    for row in with_engine[:1] if alone else []:
        added = row.load.percentile(50) - alone[0].load.percentile(50)
        console.print(f"Added p50 of {row.setup} at 1 in flight: {added:.2f} ms.")
    console.print(
        "`ours` is all processor time of our processes; `beside it` is `ours` without the engine. `unexplained` is what"
        " belongs to no thread that still runs. `metering` is what the measurement adds to `ours`. Deadline 60 s, so"
        " that 64 requests at a time are not cut short. Aims: embedded log, beside the engine at most 1.8 ms at 8 and"
        " more in flight, p50 at 1 in flight at most 2.5 ms above the engine alone; Kafka at 64 in flight, at most 3 ms"
        " beside the engine and 3 ms of the broker.",
        soft_wrap=markdown,
    )


def _rich(console: Console, title: str, cells: Sequence[Sequence[str]]) -> None:
    table = Table(title=title)
    for at, column in enumerate(cells[0]):
        table.add_column(column, justify="left" if at == 0 or not _is_number(cells[-1][at]) else "right")
    for row in cells[1:]:
        table.add_row(*row)
    console.print(table)


def _is_number(text: str) -> bool:
    return text.replace(".", "", 1).lstrip("-").isdigit() or not text


def _markdown(console: Console, title: str, cells: Sequence[Sequence[str]]) -> None:
    head, *rows = cells
    lines = [
        title,
        "",
        f"| {' | '.join(head)} |",
        f"|{'---|' * len(head)}",
        *(f"| {' | '.join(row)} |" for row in rows),
    ]
    console.print("\n".join([*lines, ""]), soft_wrap=True, markup=False, highlight=False)
