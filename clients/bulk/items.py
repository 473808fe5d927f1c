"""What a source of people consists of: people as the call takes them, and entries that cannot be used."""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pybase64
from numpy.typing import NDArray

from contract.people.records import WHOLE_FACE

MAX_LINE_BYTES = 64 * 1024 * 1024
"""The most bytes of a line of a source; a person with 20 photos of 2 MB has fewer."""


@dataclass(frozen=True, slots=True)
class Person:
    """A person of a source. `where`: the line, file or row. `fields`: as the call takes them (contract.calls.imports).

    `photos`: faces of `fields` that still lack their photo, by their place there: the file that is read when the person
    is sent.
    """

    where: str
    fields: dict[str, Any]
    photos: Mapping[int, Path] = field(default_factory=dict)

    @property
    def identity_id(self) -> str:
        """The id of the person; empty where the source has none that is a text."""
        found = self.fields.get("identity_id")
        return found if isinstance(found, str) else ""


@dataclass(frozen=True, slots=True)
class Unusable:
    """An entry that cannot be imported, and the reason."""

    where: str
    reason: str
    identity_id: str = ""


Item = Person | Unusable


class Source(Protocol):
    """People in an order that is the same each time.

    `files`: the files that the source consists of, by whose sizes and times a change of the source is noticed.
    `restore`: the people come from an export of PictureMatch. `site`: the groups and permissions that come before the
    people, as the call takes them.
    """

    files: Sequence[Path]
    restore: bool
    site: Mapping[str, Any]

    def items(self) -> Iterator[Item]:
        """Yield everything that the source contains.

        Raises:
            CannotRun: the source cannot be read any further.
        """
        ...

    def count(self) -> int:
        """Return the number of items, for progress.

        Raises:
            CannotRun: the source cannot be read.
        """
        ...


def face_of(vector: Sequence[float] | NDArray[Any], embedder: str | None) -> dict[str, Any]:
    """Return a face as the call takes it. `embedder`: the identity of the embedder that computed the vector.

    Raises:
        ValueError: the values are no numbers.
    """
    with np.errstate(over="ignore"):
        data = np.asarray(vector, dtype=np.float64).astype("<f4").tobytes()
    face: dict[str, Any] = {"templates": {WHOLE_FACE: pybase64.b64encode_as_string(data)}}
    return face if embedder is None else {**face, "embedder": embedder}


def merged(items: Iterator[Item]) -> Iterator[Item]:
    """Yield the items; consecutive people with the same id are one person, with the faces of all.

    Where one of them cannot be used, the person cannot: a person is imported whole or not at all.
    """
    for identity_id, alike in groupby(items, key=lambda item: item.identity_id):
        if identity_id:
            yield _joined(alike)
        else:
            yield from alike


def _joined(items: Iterator[Item]) -> Item:
    people, unusable = list[Person](), None
    for item in items:
        if isinstance(item, Person):
            people.append(item)
        else:
            unusable = unusable or item
    if unusable is not None:
        return unusable
    faces: list[Any] = []
    photos: dict[int, Path] = {}
    for person in people:
        photos |= {len(faces) + place: path for place, path in person.photos.items()}
        faces += person.fields.get("faces") or ()
    return Person(people[0].where, {**people[0].fields, "faces": faces}, photos)


def merged_count(ids: Iterable[str]) -> int:
    """Return how many items `merged` yields. `ids`: the identity_id of each item; empty where it has none."""
    return sum(1 if identity_id else len(list(alike)) for identity_id, alike in groupby(ids))


def readable(name: str) -> str:
    """Return the name of a file as a text that JSON can contain; bytes that are not UTF-8 become \\xNN."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def info_of(identity_id: str, cells: Mapping[str, Any]) -> dict[str, Any]:
    """Return the info of a person from the columns of a list that have no meaning of their own.

    Raises:
        ValueError: the type is no number.
    """
    info = {"name": identity_id, **{name: cell for name, cell in cells.items() if cell not in ("", None)}}
    if isinstance(info.get("type"), str):
        if not info["type"].isdecimal() or len(info["type"]) > 9:
            raise ValueError("type must be a number")
        info["type"] = int(info["type"])
    return info
