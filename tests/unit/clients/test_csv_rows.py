from pathlib import Path

import pytest

from clients.csv_rows import CsvRow, csv_rows
from clients.errors import CannotRun


def written(folder: Path, text: str) -> Path:
    path = folder / "list.csv"
    path.write_text(text, encoding="utf-8-sig")
    return path


def test_rows_have_their_lines_and_cells_without_blanks(tmp_path: Path) -> None:
    path = written(tmp_path, 'a,b,c\n 1 ,"x\ny",\n\n2\n3,,,4\n')
    assert list(csv_rows(path, ("a", "b"))) == [
        CsvRow(3, {"a": "1", "b": "x\ny", "c": ""}, too_long=False),
        CsvRow(5, {"a": "2", "b": "", "c": ""}, too_long=False),
        CsvRow(6, {"a": "3", "b": "", "c": ""}, too_long=True),
    ]


@pytest.mark.parametrize(
    ("text", "others", "reason"),
    [
        ("", True, "needs a first line with the columns a, b, c"),
        ("a,c\n", True, "needs a first line with the columns a, b, c"),
        ("a,b,d\n", False, "has the column d; its columns can be a, b, c"),
        ('a,b\n"x"y,1\n', True, "is not a CSV file in UTF-8"),
        (f"a,b\n{'x' * 200_000},1\n", True, "is not a CSV file in UTF-8"),
    ],
)
def test_what_is_no_such_list_is_refused(tmp_path: Path, text: str, others: bool, reason: str) -> None:
    with pytest.raises(CannotRun, match=reason):
        list(csv_rows(written(tmp_path, text), ("a", "b"), ("c",), others=others))


def test_a_list_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    (tmp_path / "latin.csv").write_bytes(b"a\n\xff\n")
    for name, reason in (("latin.csv", "not a CSV file in UTF-8"), ("none", "No such file"), (".", "Is a directory")):
        with pytest.raises(CannotRun, match=reason):
            list(csv_rows(tmp_path / name, ("a",)))
