"""What a source of people consists of: people as the call takes them, and entries that cannot be used."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
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
    """Yield the items; consecutive people with the same id are one person, with the faces of all."""
    held: Person | None = None
    for item in items:
        if isinstance(item, Person) and held is not None and item.identity_id == held.identity_id != "":
            before = held.fields.get("faces") or []
            photos = {len(before) + place: path for place, path in item.photos.items()}
            fields = {**held.fields, "faces": [*before, *(item.fields.get("faces") or [])]}
            held = Person(held.where, fields, {**held.photos, **photos})
            continue
        if held is not None:
            yield held
        held = item if isinstance(item, Person) else None
        if isinstance(item, Unusable):
            yield item
    if held is not None:
        yield held


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
