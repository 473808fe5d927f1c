"""The file of a copy of the fold of the people topic (engine.gallery.people.PeopleParts): its writing and its reading.

The file is a ZIP archive whose members are not compressed: the archive has a checksum of every member. Members are JSON
(`about`), MessagePack (site, people, references to photos) and arrays of little-endian numbers.
"""

import zipfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from hashlib import sha256
from operator import attrgetter
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

import msgspec
import numpy as np
from numpy.typing import NDArray

from contract.codec import decode_with, encode
from contract.people.keys import FaceKey, SiteKey, parse_key, site_key
from contract.people.parts import DirectoryParts
from contract.people.records import HELD_INFO, PersonRecord, PhotoReference
from contract.people.site import Site, read_site_record, site_key_of
from contract.terms import COVERS
from engine.gallery.covered import CoveredTemplates
from engine.gallery.packed import Packed
from engine.gallery.people import PeopleParts
from engine.gallery.port import FaceId, StoredRows
from engine.gallery.rows import CHUNK

_FORMAT = 2
_RECORDS = 20_000
"""People, or references to photos, in one member: some megabytes."""
_WHOLE, _SHORT, _FLOAT, _HALF = np.dtype("<i8"), np.dtype("<i2"), np.dtype("<f4"), np.dtype("<f2")

T = TypeVar("T")
_identity_id = attrgetter("identity_id")


class UnusableCopy(Exception):
    """The file is no copy that this version can read; the message is the reason as a clause about the copy."""


class About(msgspec.Struct, frozen=True, kw_only=True):
    """What a copy is a copy of.

    `form`: the form of the records (`form_of_copies`). `embedder`, `dimension`: the embedder in use. `written_s`: when
    the copy was begun (epoch seconds). `kept_s`: how long the people topic kept deletions then. `last_offset`,
    `last_sha256`: place and digest of the last record of the people topic that the copy contains, by which another log
    is noticed.
    """

    form: str
    embedder: str
    dimension: int
    written_s: float
    kept_s: float
    last_offset: int
    last_sha256: str


class _Contents(msgspec.Struct, frozen=True):
    about: About
    version: int
    persons: int
    faces: int
    rows: int
    covered: int
    lengths: dict[str, int]


_contents_decoder = msgspec.json.Decoder(_Contents)
_site_decoder = msgspec.msgpack.Decoder(list[tuple[bytes, bytes]])
_persons_decoder = msgspec.msgpack.Decoder(list[PersonRecord])
_photos_decoder = msgspec.msgpack.Decoder(list[PhotoReference | None])
_ids_decoder = msgspec.msgpack.Decoder(list[str])


def form_of_copies() -> str:
    """Return a digest of the form of the records in a copy; a copy of another form is not read."""
    _, fields = msgspec.json.schema_components([PersonRecord, PhotoReference])
    return sha256(repr((_FORMAT, HELD_INFO, COVERS, CHUNK, fields)).encode()).hexdigest()


def write_parts(file: BinaryIO, about: About, parts: PeopleParts, pause: Callable[[], None] = lambda: None) -> None:
    """Write a copy. `pause` is called after each member, so that a writing thread can let others work.

    Raises:
        OSError: the file cannot be written.
    """
    directory, covered = parts.directory, parts.covered.compacted()
    persons = sorted(directory.persons, key=_identity_id)
    places, others = {person.identity_id: place for place, person in enumerate(persons)}, list[str]()

    def place_of(identity_id: str) -> int:
        if identity_id not in places:  # a face of somebody who is not enrolled
            places[identity_id] = len(places)
            others.append(identity_id)
        return places[identity_id]

    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:

        def add(name: str, data: bytes | memoryview) -> None:
            with archive.open(name, "w", force_zip64=True) as member:
                member.write(data)
            pause()

        def add_column(name: str, values: Iterable[int]) -> None:
            add(name, np.fromiter(values, _WHOLE).tobytes())

        def add_faces(name: str, faces: Iterable[FaceId]) -> None:
            add_column(f"{name}/persons", (place_of(identity_id) for identity_id, _ in faces))
            add_column(f"{name}/numbers", (number for _, number in faces))

        embedders = {embedder: code for code, embedder in enumerate(directory.lengths)}
        keys = list(directory.faces)
        _add_lists(add, "persons", persons)
        _add_lists(add, "photos", list(directory.faces.values()))
        add_faces("faces", [(key.identity_id, key.number) for key in keys])
        add_column("faces/embedders", (embedders[key.embedder] for key in keys))
        add_faces("rows", parts.rows.faces)
        for number, block in enumerate(parts.rows.blocks):
            add(f"rows/vectors/{number}", np.ascontiguousarray(block.numbers, _SHORT).data.cast("B"))
            add(f"rows/steps/{number}", np.ascontiguousarray(block.steps, _FLOAT).data.cast("B"))
        add_faces("covered", list(covered.rows))
        if covered.rows:
            add("covered/vectors", np.ascontiguousarray(covered.vectors, _HALF).data.cast("B"))
        add("others", msgspec.msgpack.encode(others))
        site = [(site_key(site_key_of(record)), encode(record)) for record in directory.site.records()]
        add("site", msgspec.msgpack.encode(site))
        counts = (len(persons), len(keys), len(parts.rows.faces), len(covered.rows))
        contents = _Contents(about, directory.version, *counts, dict(directory.lengths))
        add("about", msgspec.json.encode(contents))


def read_about(path: Path) -> About:
    """Return what a file is a copy of.

    Raises:
        UnusableCopy: the file is no such copy, or is damaged.
        OSError: the file cannot be read.
    """
    with _opened(path) as archive:
        return archive.contents.about


def read_parts(path: Path) -> PeopleParts:
    """Read a copy; its form must be that of this version.

    Raises:
        UnusableCopy: the file is no such copy, or is damaged.
        OSError: the file cannot be read.
    """
    with _opened(path) as archive:
        contents, dimension = archive.contents, archive.contents.about.dimension
        persons = archive.lists("persons", _persons_decoder, contents.persons)
        photos = archive.lists("photos", _photos_decoder, contents.faces)
        ids = [*map(_identity_id, persons), *archive.decoded("others", _ids_decoder)]
        embedders = list(contents.lengths)
        codes = archive.column("faces/embedders", contents.faces, len(embedders))
        keys = archive.faces("faces", contents.faces, ids)
        faces = {
            FaceKey(identity_id, number, embedders[code]): photo
            for (identity_id, number), code, photo in zip(keys, codes, photos, strict=True)
        }
        blocks = [
            Packed(
                archive.array(f"rows/vectors/{number}", _SHORT, (min(CHUNK, contents.rows - first), dimension)),
                archive.array(f"rows/steps/{number}", _FLOAT, (min(CHUNK, contents.rows - first),)),
            )
            for number, first in enumerate(range(0, contents.rows, CHUNK))
        ]
        rows = StoredRows(archive.faces("rows", contents.rows, ids), blocks)
        covered = CoveredTemplates()
        if contents.covered:
            vectors = archive.array("covered/vectors", _HALF, (contents.covered, len(COVERS), dimension))
            its = archive.faces("covered", contents.covered, ids)
            covered = CoveredTemplates(vectors, {face: row for row, face in enumerate(its)})
        directory = DirectoryParts(contents.version, archive.site(), persons, faces, contents.lengths)
        return PeopleParts(directory, rows, covered)


class _Archive:
    """An opened file. Each method raises what `_opened` converts into UnusableCopy."""

    def __init__(self, archive: zipfile.ZipFile) -> None:
        self._archive = archive
        self.contents = self.decoded("about", _contents_decoder)

    def decoded(self, name: str, decoder: msgspec.msgpack.Decoder[T] | msgspec.json.Decoder[T]) -> T:
        return decode_with(decoder, self._archive.read(name))

    def lists(self, name: str, decoder: msgspec.msgpack.Decoder[list[T]], length: int) -> list[T]:
        found = list[T]()
        for number in range(-(-length // _RECORDS)):
            some: list[T] = self.decoded(f"{name}/{number}", decoder)
            found += some
        if len(found) != length:
            raise ValueError(f"{name} has {len(found)} records instead of {length}")
        return found

    def array(self, name: str, kind: np.dtype[Any], shape: tuple[int, ...]) -> NDArray[Any]:
        return np.frombuffer(self._archive.read(name), kind).reshape(shape)

    def column(self, name: str, length: int, below: int) -> Sequence[int]:
        found = self.array(name, _WHOLE, (length,))
        if length and not 0 <= found.min() <= found.max() < below:
            raise ValueError(f"{name} has impossible numbers")
        values: list[int] = found.tolist()
        return values

    def faces(self, name: str, length: int, ids: Sequence[str]) -> Sequence[FaceId]:
        persons = self.column(f"{name}/persons", length, len(ids))
        numbers = self.array(f"{name}/numbers", _WHOLE, (length,)).tolist()
        return [(ids[person], number) for person, number in zip(persons, numbers, strict=True)]

    def site(self) -> Site:
        site = Site()
        for key, value in self.decoded("site", _site_decoder):
            parsed = parse_key(key)
            if not isinstance(parsed, SiteKey):
                raise ValueError("the site has the record of a person")
            site = site.put(read_site_record(parsed, value))
        return site


@contextmanager
def _opened(path: Path) -> Iterator[_Archive]:
    try:
        with zipfile.ZipFile(path) as archive:
            yield _Archive(archive)
    except OSError:
        raise
    except Exception as error:  # damaged bytes make the library raise errors of many kinds
        raise UnusableCopy("it is damaged") from error


def _add_lists(add: Callable[[str, bytes], None], name: str, values: Sequence[Any]) -> None:
    """Add values as lists of at most `_RECORDS`."""
    for number, first in enumerate(range(0, len(values), _RECORDS)):
        add(f"{name}/{number}", msgspec.msgpack.encode(values[first : first + _RECORDS]))
