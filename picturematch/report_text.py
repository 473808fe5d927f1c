"""Prints the summary of a replay's report: as tables on a terminal, and as plain aligned lines elsewhere."""

import sys

import click
from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text

from capture.reporting.tables import RESULT_WORDS, Table, tables
from capture.reporting.values import Findings
from contract.text import printable


def print_findings(findings: Findings) -> None:
    """Print the tables of a report, and the numbers of rows by result as the last line."""
    for table in tables(findings):
        print_table(table)
    if findings.stopped is not None:
        click.echo(printable(f"The replay ended before the last line: {findings.stopped}"), err=True)
    click.echo(", ".join(f"{getattr(findings, name)} {name.replace('_', ' ')}" for name in RESULT_WORDS))


def print_table(table: Table) -> None:
    """Print a table: in colours on a terminal, and as plain lines elsewhere."""
    if sys.stdout.isatty():
        _print_rich(table)
    else:
        click.echo("\n".join(plain_lines(table)))


def plain_lines(table: Table) -> list[str]:
    """Return a table as lines without colours: its title, its explanation, aligned columns, and an empty line."""
    cells = [[printable(cell) for cell in row] for row in (table.columns, *table.rows)]
    widths = [max(len(row[i]) for row in cells) for i in range(len(table.columns))]
    lines = []
    for row in cells:
        padded = (
            cell.rjust(width) if 0 < i <= table.numbers else cell.ljust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        lines.append("  ".join(padded).rstrip())
    return [table.title, table.words, *(f"  {line}" for line in lines), ""]


def _print_rich(table: Table) -> None:
    shown = RichTable(box=None, pad_edge=False)
    for i, title in enumerate(table.columns):
        shown.add_column(title, justify="right" if 0 < i <= table.numbers else "left", overflow="fold")
    for row in table.rows:
        shown.add_row(*(Text(printable(cell)) for cell in row))
    console = Console(highlight=False)
    console.print(Text(table.title, "bold"), Text(table.words, "dim"), shown, "", sep="\n")
