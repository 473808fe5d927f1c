"""Reads the people to enrol from a folder of photos or from a CSV or JSONL list; unusable entries are reported too."""

import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from clients.csv_rows import csv_rows
from clients.errors import CannotRun

PHOTO_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp"})
_OWN_COLUMNS = frozenset({"path", "identity_id", "group_name", "feature", "feature_model", "info"})


@dataclass(frozen=True, slots=True)
class Entry:
    """One face of one person: a `photo`, or a `feature` with the identity of the network that computed it.

    `where`: the file or line of the entry. `info`: sent to the server unchanged. `group_name` None and `feature_model`
    None mean those of the command's options.
    """

    where: str
    identity_id: str
    photo: Path | None = None
    feature: tuple[float, ...] | None = None
    feature_model: str | None = None
    info: dict[str, Any] = field(default_factory=dict)
    group_name: str | None = None


@dataclass(frozen=True, slots=True)
class Unusable:
    """An entry that cannot be enrolled, and the reason."""

    where: str
    reason: str


Found = Entry | Unusable


def find_entries(path: Path) -> Iterator[Found]:
    """Return all entries of a folder, in the order of their names, or of a list, in the order of its lines.

    Folder: the stem of a photo's name is the person's identity_id and name; in a sub-folder, the sub-folder's name
    is. List: the columns are path, identity_id, name (default identity_id), type and group_name; all other columns
    are added to info. A line of a JSONL list may contain `feature`, a list of numbers, and `feature_model` instead of
    path, and an object `info`. Paths are relative to the list.

    Raises:
        CannotRun: `path` is neither a folder nor a list, or the list cannot be read.
    """
    if path.is_dir():
        return _folder(path)
    if not path.is_file():
        raise CannotRun(f"{path} does not exist")
    if path.suffix.lower() == ".csv":
        return _csv_list(path)
    if path.suffix.lower() in (".jsonl", ".ndjson"):
        return _jsonl_list(path)
    raise CannotRun(f"{path} is neither a folder, nor a list whose name ends in .csv or .jsonl")


def count_entries(path: Path) -> int:
    """Return the number of entries.

    Raises:
        CannotRun: `path` is neither a folder nor a list, or the list cannot be read.
    """
    if path.is_file() and path.suffix.lower() in (".jsonl", ".ndjson"):
        with path.open("rb") as lines:  # the lines are only counted, because features are long and slow to parse
            return sum(1 for line in lines if line.strip())
    return sum(1 for _ in find_entries(path))


def _folder(folder: Path) -> Iterator[Found]:
    for path in sorted(folder.iterdir()):
        if path.name.startswith("."):
            continue
        if path.is_dir():
            photos = [photo for photo in sorted(path.iterdir()) if not photo.name.startswith(".")]
            if not photos:
                yield Unusable(path.name, "the folder is empty")
            for photo in photos:
                yield _photo(photo, f"{path.name}/{photo.name}", path.name)
        else:
            yield _photo(path, path.name, path.stem)


def _photo(path: Path, where: str, name: str) -> Found:
    if path.is_dir():
        return Unusable(where, "folders inside a person's folder are not read")
    if path.suffix.lower() not in PHOTO_SUFFIXES:
        return Unusable(where, f"not a photo: the name ends in none of {', '.join(sorted(PHOTO_SUFFIXES))}")
    try:
        name.encode()
    except UnicodeEncodeError:
        return Unusable(where, "the name is not UTF-8")
    # Some file systems store names decomposed; with another normal form the same person would have another id.
    identity_id = unicodedata.normalize("NFC", name)
    return Entry(where, identity_id, photo=path, info={"name": identity_id})


def _csv_list(path: Path) -> Iterator[Found]:
    for row in csv_rows(path, ("path", "identity_id")):
        where = f"{path.name} line {row.line}"
        cells: dict[str, Any] = {name: cell for name, cell in row.cells.items() if cell}
        kind = cells.get("type", "0")
        if row.too_long:
            yield Unusable(where, "more cells than columns")
        elif kind.isdecimal() and len(kind) < 10:
            yield _entry(where, cells | ({"type": int(kind)} if "type" in cells else {}), path.parent)
        else:
            yield Unusable(where, "type must be a number")


def _jsonl_list(path: Path) -> Iterator[Found]:
    with path.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            where = f"{path.name} line {number}"
            try:
                row = orjson.loads(line)
            except orjson.JSONDecodeError:
                row = None
            if isinstance(row, dict):
                yield _entry(where, {k: v for k, v in row.items() if v is not None}, path.parent)
            else:
                yield Unusable(where, "not a JSON object")


def _entry(where: str, row: dict[str, Any], folder: Path) -> Found:
    """Return the entry of a row, from which empty cells were removed."""
    photo, identity_id, group_name = row.get("path"), row.get("identity_id"), row.get("group_name")
    feature, info, feature_model = row.get("feature"), row.get("info", {}), row.get("feature_model")
    if not isinstance(identity_id, str) or not identity_id:
        return Unusable(where, "identity_id must be a text that is not empty")
    if (photo is None) == (feature is None):
        return Unusable(where, "either path or feature is needed")
    if not isinstance(photo, str | None) or not isinstance(group_name, str | None) or not isinstance(info, dict):
        return Unusable(where, "path and group_name must be texts, info an object")
    if feature is not None and not (_is_vector(feature) and isinstance(feature_model, str | None)):
        return Unusable(where, "feature must be a list of numbers, and feature_model a text")
    return Entry(
        where,
        identity_id,
        photo=None if photo is None else folder / photo,
        feature=None if feature is None else tuple(feature),
        feature_model=feature_model,
        info={"name": identity_id} | info | {k: v for k, v in row.items() if k not in _OWN_COLUMNS},
        group_name=group_name,
    )


def _is_vector(feature: object) -> bool:
    return isinstance(feature, list) and all(isinstance(x, int | float) and not isinstance(x, bool) for x in feature)
