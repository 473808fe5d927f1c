"""Sources that are lists: an array of embeddings beside a CSV list, JSON lines, CompreFace's table of embeddings."""

import csv
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import msgspec
import numpy as np
import orjson
from numpy.typing import NDArray

from clients.bulk.items import (
    MAX_LINE_BYTES,
    Item,
    Person,
    Unusable,
    face_of,
    info_of,
    merged,
    merged_count,
    readable,
)
from clients.csv_rows import CsvRow, csv_rows
from clients.errors import CannotRun

_NO_SITE: Mapping[str, Any] = {}
_OWN = frozenset({"identity_id", "group_name", "embedder", "feature_model", "feature", "path", "info", "faces"})

_TOO_LONG = "the line has more cells than the first line has columns: a cell with a comma needs quotation marks"


class ArrayList:
    """The rows of a .npy array (people x numbers) and, row by row, the lines of a CSV list beside it.

    The list has the column identity_id, and may have name, type and group_name; other columns are members of info.
    Rows with the same identity_id are faces of one person, wherever they are in the list.
    """

    restore = False
    site = _NO_SITE

    def __init__(self, array: Path, listed: Path, embedder: str | None) -> None:
        """Open both files.

        Raises:
            CannotRun: they cannot be read, or have different numbers of rows.
        """
        self.files: Sequence[Path] = (array, listed)
        self._embedder = embedder
        try:
            self._vectors: NDArray[Any] = np.lib.format.open_memmap(array, mode="r")
        except (OSError, OverflowError, ValueError) as error:
            raise CannotRun(f"{array} is no array of numbers in NumPy's format: {error}") from error
        if self._vectors.ndim != 2 or self._vectors.dtype.kind != "f":
            raise CannotRun(f"{array} must contain one row of floating-point numbers for each line of {listed}")
        self._rows: dict[str, list[int]] = {}
        self._lines: list[CsvRow] = list(csv_rows(listed, ("identity_id",), ("name", "type", "group_name")))
        if len(self._lines) != len(self._vectors):
            raise CannotRun(
                f"{listed} has {len(self._lines)} lines below the first, and {array} {len(self._vectors)} rows"
            )
        for number, row in enumerate(self._lines):
            self._rows.setdefault(row.cells["identity_id"], []).append(number)

    def count(self) -> int:
        """Return the number of people."""
        return len(self._rows)

    def items(self) -> Iterator[Item]:
        """Yield the people in the order of their first lines."""
        for identity_id, rows in self._rows.items():
            row = self._lines[rows[0]]
            where = _line(self.files[1], row.line)
            if any(self._lines[number].too_long for number in rows):
                yield Unusable(where, _TOO_LONG, identity_id)
                continue
            own = {name: cell for name, cell in row.cells.items() if name not in _OWN}
            try:
                fields: dict[str, Any] = {"identity_id": identity_id, "info": info_of(identity_id, own)}
            except ValueError as error:
                yield Unusable(where, str(error), identity_id)
                continue
            if row.cells.get("group_name"):
                fields["group_name"] = row.cells["group_name"]
            fields["faces"] = [face_of(self._vectors[number], self._embedder) for number in rows]
            yield Person(where, fields)


class JsonLines:
    """A file with a JSON object for each person, or for each face of a person in consecutive lines.

    A line has identity_id and either `faces`, as the call takes them, or `feature`, a list of numbers or base64 of
    float32 numbers, with `embedder` (or `feature_model`), or `path`, a photo below the folder of the list. `info` is an
    object; other members are members of info too.
    """

    restore = False
    site = _NO_SITE

    def __init__(self, path: Path, embedder: str | None) -> None:
        self.files: Sequence[Path] = (path,)
        self._path, self._embedder = path, embedder

    def count(self) -> int:
        """Return the number of people and of lines that cannot be used; features are long, and are not parsed."""
        with open_source(self._path) as file:
            return merged_count(_id_of(line) for line in lines_of(file) if line is None or line.strip())

    def items(self) -> Iterator[Item]:
        """Yield the people in the order of the lines."""
        return merged(self._each())

    def _each(self) -> Iterator[Item]:
        with open_source(self._path) as file:
            for number, line in enumerate(lines_of(file), start=1):
                where = _line(self._path, number)
                if line is None:
                    yield Unusable(where, f"the line has more than {MAX_LINE_BYTES} bytes")
                elif line.strip():
                    yield self._item(where, line)

    def _item(self, where: str, line: bytes) -> Item:
        try:
            row = orjson.loads(line)
        except orjson.JSONDecodeError:
            row = None
        if not isinstance(row, dict):
            return Unusable(where, "not a JSON object")
        identity_id = row.get("identity_id")
        if not isinstance(identity_id, str):
            return Unusable(where, "identity_id must be a text")
        try:
            return self._person(where, identity_id, row)
        except ValueError as error:
            return Unusable(where, str(error), identity_id)

    def _person(self, where: str, identity_id: str, row: dict[str, Any]) -> Person:
        given = row.get("info") or {}
        if not isinstance(given, dict):
            raise ValueError("info must be an object")
        others = {name: value for name, value in row.items() if name not in _OWN}
        fields: dict[str, Any] = {"identity_id": identity_id, "info": info_of(identity_id, {**given, **others})}
        if row.get("group_name") is not None:
            fields["group_name"] = row["group_name"]
        given_faces = row.get("faces")
        if not isinstance(given_faces, list | None):
            raise ValueError("faces must be a list of objects")
        faces: list[Any] = list(given_faces or ())
        photos: dict[int, Path] = {}
        embedder = row.get("embedder") or row.get("feature_model") or self._embedder
        if row.get("feature") is not None:
            faces.append(_feature(row["feature"], embedder))
        if row.get("path") is not None:
            if row.get("feature") is None:
                faces.append({})
            photos[len(faces) - 1] = beside(self._path, row["path"])
        return Person(where, {**fields, "faces": faces}, photos)


class _Identified(msgspec.Struct):
    identity_id: str


def _id_of(line: bytes | None) -> str:
    """Return the identity_id of a line; empty where it has none that is a text."""
    try:
        return msgspec.json.decode(line or b"", type=_Identified).identity_id
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return ""


def _feature(feature: Any, embedder: Any) -> dict[str, Any]:
    if isinstance(feature, str):
        face: dict[str, Any] = {"templates": {"whole": feature}}
        return face if embedder is None else {**face, "embedder": embedder}
    if not isinstance(feature, list) or any(isinstance(x, bool) or not isinstance(x, int | float) for x in feature):
        raise ValueError("feature must be a list of numbers, or base64 of float32 numbers")
    return face_of(feature, embedder)


class CompreFaceTable:
    """The table of embeddings of CompreFace as CSV: the columns subject (or subject_name), calculator and embedding.

    CompreFace's own calls return no embeddings. Its database has the tables `embedding` (id, subject_id, embedding
    float8[], calculator, img_id) and `subject` (id, api_key, subject_name), by its classes Embedding and Subject
    (exadel-inc/CompreFace, java/common/src/main/java/com/exadel/frs/commonservice/entity); docs/migration.md has the
    statement that joins them. The embeddings of a subject are the faces of one person; the calculator is the embedder
    unless `embedder` is given.
    """

    restore = False
    site = _NO_SITE

    def __init__(self, path: Path, embedder: str | None) -> None:
        self.files: Sequence[Path] = (path,)
        self._path, self._embedder = path, embedder

    def count(self) -> int:
        """Return the number of people and of lines that cannot be used."""
        return merged_count(_subject(row) for row in self._rows())

    def items(self) -> Iterator[Item]:
        """Yield the people; lines of one subject must follow each other, as ORDER BY makes them."""
        return merged(self._each())

    def _rows(self) -> Iterator[CsvRow]:
        name = "subject" if "subject" in header_of(self._path) else "subject_name"
        return csv_rows(self._path, (name, "embedding"), ("calculator",))

    def _each(self) -> Iterator[Item]:
        for row in self._rows():
            where, subject = _line(self._path, row.line), _subject(row)
            if row.too_long:
                yield Unusable(where, _TOO_LONG, subject)
                continue
            calculator = row.cells.get("calculator", "").replace("/", "-") or None
            try:
                numbers = [float(text) for text in row.cells["embedding"].strip("{}[]").split(",")]
            except ValueError:
                yield Unusable(where, "embedding must be numbers in braces: {0.1,0.2}", subject)
                continue
            face = face_of(numbers, self._embedder or calculator)
            yield Person(where, {"identity_id": subject, "info": {"name": subject}, "faces": [face]})


def _subject(row: CsvRow) -> str:
    return row.cells.get("subject") or row.cells.get("subject_name") or ""


def _line(path: Path, number: int) -> str:
    return f"{readable(path.name)} line {number}"


def header_of(path: Path) -> Sequence[str]:
    """Return the names in the first line of a CSV list; empty where it has none.

    Raises:
        CannotRun: the file cannot be read, or is not a CSV file.
    """
    with open_source(path) as file:
        line = file.readline(MAX_LINE_BYTES).decode("utf-8-sig", "replace")
    try:
        return next(csv.reader([line]), [])
    except csv.Error as error:
        raise CannotRun(f"{path} is not a CSV file in UTF-8: {error}") from error


def beside(listed: Path, named: Any) -> Path:
    """Return the path of a photo that a list names, below the folder of the list.

    Raises:
        ValueError: the path is no text, has links that lead to each other, or leads out of the folder, by itself or by
            a link.
    """
    if not isinstance(named, str) or "\0" in named:
        raise ValueError("path must be a text")
    folder = listed.parent.resolve()
    try:
        path = (folder / named).resolve()
    except RuntimeError:
        raise ValueError("path has links that lead to each other") from None
    if not path.is_relative_to(folder):
        raise ValueError("path leads out of the folder of the list")
    return path


def open_source(path: Path) -> BinaryIO:
    """Open a file of a source.

    Raises:
        CannotRun: it cannot be read.
    """
    try:
        return path.open("rb")
    except OSError as error:
        raise CannotRun(f"{path} cannot be read: {error.strerror or error}") from error


def lines_of(file: BinaryIO) -> Iterator[bytes | None]:
    """Yield the lines of a file; None: one with more than `MAX_LINE_BYTES`, of which no more is in memory."""
    while line := file.readline(MAX_LINE_BYTES + 1):
        if len(line) <= MAX_LINE_BYTES or line.endswith(b"\n"):
            yield line
            continue
        while line and not line.endswith(b"\n"):
            line = file.readline(MAX_LINE_BYTES)
        yield None
