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
from contract.people.held import Frame, HeldPerson
from contract.people.held_faces import HeldFaces, shared
from contract.people.keys import SiteKey, parse_key, site_key
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
    others: int = 0
    embedders: tuple[tuple[str, int], ...] = ()


_contents_decoder = msgspec.json.Decoder(_Contents)
_site_decoder = msgspec.msgpack.Decoder(list[tuple[bytes, bytes]])
_frames_decoder = msgspec.msgpack.Decoder(list[Frame])
_persons_decoder = msgspec.msgpack.Decoder(list[tuple[str, int, bytes, bytes]])
_others_decoder = msgspec.msgpack.Decoder(list[tuple[str, bytes]])


def form_of_copies() -> str:
    """Return a digest of the form of the records in a copy; a copy of another form is not read."""
    _, fields = msgspec.json.schema_components([PersonRecord, PhotoReference, Frame])
    return sha256(repr((_FORMAT, HELD_INFO, COVERS, CHUNK, fields)).encode()).hexdigest()


def write_parts(file: BinaryIO, about: About, parts: PeopleParts, pause: Callable[[], None] = lambda: None) -> None:
    """Write a copy. `pause` is called after each member, so that a writing thread can let others work.

    Raises:
        OSError: the file cannot be written.
    """
    directory, covered, rows = parts.directory, parts.covered.compacted(), parts.rows()
    persons, others = sorted(directory.persons, key=_identity_id), directory.others
    # Each face is that of a person, or of somebody whose faces alone are stored.
    ids = (*map(_identity_id, persons), *map(_identity_id, others))
    places = {identity_id: place for place, identity_id in enumerate(ids)}
    frames: dict[Frame, int] = {}

    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:

        def add(name: str, data: bytes | memoryview) -> None:
            with archive.open(name, "w", force_zip64=True) as member:
                member.write(data)
            pause()

        def add_column(name: str, values: Iterable[int]) -> None:
            add(name, np.fromiter(values, _WHOLE).tobytes())

        for number, first in enumerate(range(0, len(persons), _RECORDS)):
            some = [
                (person.identity_id, frames.setdefault(person.frame, len(frames)), person.own, person.stored_faces)
                for person in persons[first : first + _RECORDS]
            ]
            add(f"persons/{number}", msgspec.msgpack.encode(some))
        add("frames", msgspec.msgpack.encode(list(frames)))
        for number, first in enumerate(range(0, len(others), _RECORDS)):
            pairs = [(held.identity_id, held.stored_faces) for held in others[first : first + _RECORDS]]
            add(f"others/{number}", msgspec.msgpack.encode(pairs))
        add_column("rows/persons", map(places.__getitem__, rows.ids))
        add_column("rows/numbers", rows.numbers.tolist())
        add_column("rows/searched", rows.searched.tolist())
        for number, block in enumerate(rows.blocks):
            add(f"rows/vectors/{number}", np.ascontiguousarray(block.numbers, _SHORT).data.cast("B"))
            add(f"rows/steps/{number}", np.ascontiguousarray(block.steps, _FLOAT).data.cast("B"))
        add_column("covered/persons", (places[identity_id] for identity_id, _ in covered.rows))
        add_column("covered/numbers", (number for _, number in covered.rows))
        if covered.rows:
            add("covered/vectors", np.ascontiguousarray(covered.vectors, _HALF).data.cast("B"))
        site = [(site_key(site_key_of(record)), encode(record)) for record in directory.site.records()]
        add("site", msgspec.msgpack.encode(site))
        embedders = tuple(directory.embedders.items())
        counts = (len(persons), sum(directory.embedders.values()), len(rows.ids), len(covered.rows))
        lengths = dict(directory.lengths)
        contents = _Contents(about, directory.version, *counts, lengths, len(others), embedders)
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
        frames = [frame.shared() for frame in archive.decoded("frames", _frames_decoder)]
        persons = [
            HeldPerson(identity_id, frames[frame], own, shared(faces))
            for identity_id, frame, own, faces in archive.lists("persons", _persons_decoder, contents.persons)
        ]
        others = [
            HeldFaces(identity_id, shared(faces))
            for identity_id, faces in archive.lists("others", _others_decoder, contents.others)
        ]
        ids = [*map(_identity_id, persons), *map(_identity_id, others)]
        blocks = [
            Packed(
                archive.array(f"rows/vectors/{number}", _SHORT, (min(CHUNK, contents.rows - first), dimension)),
                archive.array(f"rows/steps/{number}", _FLOAT, (min(CHUNK, contents.rows - first),)),
            )
            for number, first in enumerate(range(0, contents.rows, CHUNK))
        ]
        rows = StoredRows(
            [ids[place] for place in archive.column("rows/persons", contents.rows, len(ids))],
            archive.array("rows/numbers", _WHOLE, (contents.rows,)).astype(np.int32),
            archive.array("rows/searched", _WHOLE, (contents.rows,)).astype(np.bool_),
            blocks,
        )
        covered = CoveredTemplates()
        if contents.covered:
            vectors = archive.array("covered/vectors", _HALF, (contents.covered, len(COVERS), dimension))
            its = archive.faces("covered", contents.covered, ids)
            covered = CoveredTemplates(vectors, {face: row for row, face in enumerate(its)})
        directory = DirectoryParts(
            contents.version, archive.site(), persons, others, dict(contents.embedders), contents.lengths
        )
        return PeopleParts(directory, lambda: rows, covered)


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
