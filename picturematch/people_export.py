"""Writes everybody who is enrolled to one file (contract.people.exported), read from the log beside its server.

The topic is read once, to the end that it had at first. The last record of each key goes to a temporary file that has
no name, so that memory holds only the keys; then the people are written in the order of their ids.
"""

import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import BinaryIO

from msgspec import structs

from broker.keyed import KeyedReader
from broker.port import Broker, Record, Start
from contract.files import new_file
from contract.people.exported import (
    FORMAT,
    VERSION,
    ExportEnd,
    ExportHead,
    group_line,
    line_of,
    permission_line,
    person_line,
)
from contract.people.keys import FaceKey, NotReadable, PersonKey, SiteKey, key_of, parse_key, photo_key
from contract.people.records import FaceRecord, PersonRecord, PhotoReference, photo_of
from contract.people.site import GroupRecord, PermissionRecord, read_site_record
from contract.people.unreadable import read_face, read_person
from contract.topics import Topics
from picturematch.options import UserError
from picturematch.shell import progress

_READ_AT_ONCE = 1000
_POLL_S = 0.2
_SEARCH_S = 60.0
"""The longest search for photos whose positions are wrong because the log was restored; it happens once a partition."""


@dataclass(frozen=True, slots=True)
class Exported:
    """What an export contains. `photos_missing`: the faces whose photo is not in the log any more."""

    head: ExportHead
    photos_missing: int


async def export_people(log: Broker, topics: Topics, path: Path, *, photos: bool) -> Exported:
    """Write everybody to a new file, which gets its name when it is whole; only its owner may read it.

    Raises:
        UserError: a record of the people cannot be read.
        BrokerError: the log cannot be read.
        OSError: the file cannot be written, or something has that name.
    """
    with tempfile.TemporaryFile(dir=path.parent) as spool:
        records = _Records(spool)
        await _read(log, topics.people, records)
        reader = KeyedReader(log, topics.photos, _SEARCH_S) if photos else None
        head = records.head(photos=photos)
        missing = 0
        with new_file(path) as file, progress("writing people", head.people) as steps:
            lines = _Hashed(file)
            lines.write(line_of(structs.asdict(head)))
            for line in records.site_lines():
                lines.write(line)
            for person, faces in records.people():
                found = {} if reader is None else await _photos(reader, faces)
                if reader is not None:
                    missing += len({f.number for f in faces if f.photo is not None}) - len(found)
                lines.write(person_line(person, faces, found))
                steps.step()
            file.write(line_of(structs.asdict(ExportEnd(end=True, sha256=lines.digest.hexdigest()))))
    return Exported(head, missing)


class _Hashed:
    """Writes lines to a file, and computes their hash."""

    def __init__(self, file: BinaryIO) -> None:
        self._file, self.digest = file, sha256()

    def write(self, line: bytes) -> None:
        """Write a line."""
        self._file.write(line)
        self.digest.update(line)


class _Records:
    """The last record of every key of the people topic; the values are in the file `spool`."""

    def __init__(self, spool: BinaryIO) -> None:
        self._spool = spool
        self._end = 0
        self._places: dict[bytes, tuple[int, int]] = {}
        self._lost: dict[bytes, int] = {}

    def take(self, record: Record) -> None:
        """Take the next record of the topic."""
        key = key_of(record.key, record.offset, damaged=record.damaged)
        if key is None:
            return
        self._lost.pop(key, None)
        if record.damaged:
            self._lost[key] = record.offset
        elif record.value is None:
            self._places.pop(key, None)
        else:
            self._spool.write(record.value)
            self._places[key] = self._end, len(record.value)
            self._end += len(record.value)

    def head(self, *, photos: bool) -> ExportHead:
        """Return the first line of the export.

        Raises:
            UserError: a record cannot be read, so that people may be missing.
        """
        embedders: Counter[str] = Counter()
        counts = dict.fromkeys(("people", "faces", "group", "permission"), 0)
        for _, faces in self.people():
            counts["people"] += 1
            counts["faces"] += len(faces)
            embedders.update(face.embedder for face in faces)
        for _ in self._site("group"):
            counts["group"] += 1
        for _ in self._site("permission"):
            counts["permission"] += 1
        return ExportHead(
            format=FORMAT,
            version=VERSION,
            photos=photos,
            people=counts["people"],
            faces=counts["faces"],
            groups=counts["group"],
            permissions=counts["permission"],
            embedders=dict(sorted(embedders.items())),
        )

    def site_lines(self) -> Iterator[bytes]:
        """Yield the lines of the groups and permissions, in the order of their ids."""
        for record in self._site("group"):
            if isinstance(record, GroupRecord):
                yield group_line(record)
        for record in self._site("permission"):
            if isinstance(record, PermissionRecord):
                yield permission_line(record)

    def people(self) -> Iterator[tuple[PersonRecord, list[FaceRecord]]]:
        """Yield the people in the order of their ids, each with the records of the faces that the person names."""
        faces: dict[str, list[tuple[FaceKey, bytes]]] = {}
        persons: list[tuple[str, bytes]] = []
        for key in self._places:
            parsed = self._parsed(key)
            if isinstance(parsed, PersonKey):
                persons.append((parsed.identity_id, key))
            elif isinstance(parsed, FaceKey):
                faces.setdefault(parsed.identity_id, []).append((parsed, key))
        for identity_id, key in sorted(persons):
            try:
                person = read_person(PersonKey(identity_id), self._value(key))
                own = [read_face(face, self._value(k), None, 0)[0] for face, k in faces.get(identity_id, ())]
            except NotReadable as error:
                raise _unreadable() from error
            order = {number: place for place, number in enumerate(person.faces)}
            named = [face for face in own if face.number in order]
            yield person, sorted(named, key=lambda face: (order[face.number], face.embedder))

    def _site(self, kind: str) -> Iterator[object]:
        keys = [(parsed.id, parsed, key) for key in self._places if isinstance(parsed := self._parsed(key), SiteKey)]
        for _, parsed, key in sorted((each for each in keys if each[1].kind == kind), key=lambda each: each[0]):
            try:
                yield read_site_record(parsed, self._value(key))
            except NotReadable as error:
                raise _unreadable() from error

    def _parsed(self, key: bytes) -> PersonKey | FaceKey | SiteKey:
        try:
            return parse_key(key)
        except NotReadable as error:
            raise _unreadable() from error

    def _value(self, key: bytes) -> bytes:
        if self._lost:
            raise _unreadable()
        place, length = self._places[key]
        self._spool.seek(place)
        return self._spool.read(length)


def _unreadable() -> UserError:
    return UserError("a record of the people cannot be read: see `picturematch people check`, and repair it first")


async def _read(log: Broker, topic: str, records: _Records) -> None:
    end = (await log.end_offsets(topic)).get(0, 0)
    async with log.reader(topic, Start.EARLIEST, [0]) as reader:
        with progress("reading records", end) as steps:
            at = reader.positions()[0]
            while at < end:
                for record in await reader.fetch(_READ_AT_ONCE, _POLL_S):
                    if record.offset < end:
                        records.take(record)
                before, at = at, reader.positions()[0]
                steps.step(min(at, end) - min(before, end))


async def _photos(reader: KeyedReader, faces: list[FaceRecord]) -> Mapping[int, bytes]:
    """Return the JPEGs of faces by number, as far as the log has them."""
    found: dict[int, bytes] = {}
    for face in faces:
        if face.photo is None or face.number in found:
            continue
        jpeg = await _photo(reader, face.identity_id, face.number, face.photo)
        if jpeg is not None:
            found[face.number] = jpeg
    return found


async def _photo(reader: KeyedReader, identity_id: str, number: int, reference: PhotoReference) -> bytes | None:
    accept = partial(photo_of, reference=reference)
    return await reader.read(photo_key(identity_id, number), reference.partition, reference.offset, accept)
