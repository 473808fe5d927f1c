"""What a report needs of the people of a capture: who is enrolled, and which photo a face was enrolled with. Pure."""

from bisect import bisect_left
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence

import msgspec

from capture.reporting.values import ReportedRow
from contract.captures.values import PeopleLine
from contract.people.keys import MEAN_FACE, FaceKey, NotReadable, PersonKey, parse_key
from contract.people.records import FaceRecord
from engine.gallery.port import FaceId

Photos = Mapping[FaceId, Sequence[tuple[int, str]]]
"""The photos of each face: offsets of the records that name a photo, rising, and the photos' sha256 (hex)."""

_FACE, _PERSON = b"face/", b"person/"
_decoder = msgspec.msgpack.Decoder(FaceRecord)


class Enrolled:
    """Who has a face at which gallery version, in whatever group; the memory grows with the people and their changes.

    `people`: by rising offset. `first`: the version from which on the people can be folded.
    """

    __slots__ = ("_changes", "_first")

    def __init__(self, people: Iterable[PeopleLine], first: int = 0) -> None:
        faces: dict[str, set[bytes]] = {}
        changes: dict[str, list[int]] = {}
        for line in people:
            key = _key(line)
            if key is None:
                continue
            present = faces.setdefault(key.identity_id, set())
            had = bool(present)
            if isinstance(key, PersonKey):
                present.clear()  # no face counts without its person
            else:
                (present.discard if line.value is None else present.add)(line.key)
            if bool(present) != had:
                changes.setdefault(key.identity_id, []).append(line.offset)
        self._changes, self._first = changes, first
        """By person, the offsets at which the person got a first face, lost the last one, got one again, and so on."""

    def has(self, identity_id: str, version: int | None) -> bool | None:
        """Return whether a person has a face at a gallery version; None: the people of that version are not known.

        `version` None: the last one.
        """
        if version is not None and version < self._first:
            return None
        changes = self._changes.get(identity_id, ())
        return (len(changes) if version is None else bisect_left(changes, version)) % 2 == 1


def photos_of(people: Iterable[PeopleLine], rows: Iterable[ReportedRow], files: Container[str] = ()) -> Photos:
    """Return the photos of the candidates in rows; for the mean of a person's faces, those of the newest face.

    `files`: the sha256 (hex) of files from which people were enrolled; such a photo has the sha256 of its file.
    """
    decisions = (decision for row in rows for decision in (row.then, row.now) if decision is not None)
    wanted = {(decision.candidate, decision.candidate_face) for decision in decisions}
    present: dict[str, dict[int, str]] = {who: {} for who, number in wanted if number == MEAN_FACE}
    found: dict[FaceId, list[tuple[int, str]]] = {}
    for key, line in _faces(people):
        face = key.identity_id, key.number
        sha256 = None if line.value is None else _photo_in(line.value, files)
        if face in wanted and sha256 is not None:
            found.setdefault(face, []).append((line.offset, sha256))
        faces = present.get(key.identity_id)
        if faces is not None:
            faces.pop(key.number, None)
            faces |= {} if sha256 is None else {key.number: sha256}
            if faces:
                found.setdefault((key.identity_id, MEAN_FACE), []).append((line.offset, faces[max(faces)]))
    return found


def _faces(people: Iterable[PeopleLine]) -> Iterator[tuple[FaceKey, PeopleLine]]:
    for line in people:
        if isinstance(key := _key(line), FaceKey):
            yield key, line


def _key(line: PeopleLine) -> FaceKey | PersonKey | None:
    """Return the key of a record of a face, or of a record that deletes a person; None: it is another record."""
    if not line.key.startswith(_FACE if line.value is not None else (_FACE, _PERSON)):
        return None
    try:
        key = parse_key(line.key)
    except NotReadable:
        return None
    return key if isinstance(key, FaceKey | PersonKey) else None


def _photo_in(value: bytes, files: Container[str]) -> str | None:
    try:
        photo = _decoder.decode(value).photo
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    if photo is None:
        return None
    sent = photo.digest.hex()
    return sent if sent in files else photo.sha256.hex()
