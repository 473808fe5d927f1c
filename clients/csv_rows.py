"""Reads CSV lists whose first line names their columns."""

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from clients.errors import CannotRun


class CsvRow(NamedTuple):
    """One row: the number of its last line in the file, and its cells by column, without the blanks around them.

    A missing cell is empty. `too_long`: the row has more cells than the first line.
    """

    line: int
    cells: dict[str, str]
    too_long: bool


def csv_rows(
    path: Path, needed: Sequence[str], optional: Sequence[str] = (), *, others: bool = True
) -> Iterator[CsvRow]:
    """Yield the rows of a list in UTF-8, in its order.

    Args:
        path: the list.
        needed: the columns that it must have.
        optional: further columns that mean something.
        others: whether it may have columns that mean nothing.

    Raises:
        CannotRun: the list cannot be read, is not a CSV file, or has other columns.
    """
    known = (*needed, *optional)
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = csv.DictReader(file, strict=True)
            names = rows.fieldnames or ()
            if not set(needed) <= set(names):
                raise CannotRun(f"{path} needs a first line with the columns {', '.join(known)}")
            unknown = next((name for name in names if name not in known), None)
            if unknown is not None and not others:
                raise CannotRun(f"{path} has the column {unknown}; its columns can be {', '.join(known)}")
            for row in rows:
                cells = {name: (row[name] or "").strip() for name in names}
                yield CsvRow(rows.line_num, cells, None in row)
    except (csv.Error, UnicodeDecodeError) as error:
        raise CannotRun(f"{path} is not a CSV file in UTF-8: {error}") from error
    except OSError as error:
        raise CannotRun(f"{path} cannot be read: {error.strerror or error}") from error
