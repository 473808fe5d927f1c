"""What a report needs of the people of a capture: who is enrolled, and which photo a face was enrolled with. Pure."""

from collections.abc import Iterable, Iterator, Mapping, Sequence

import msgspec

from capture.reporting.values import ReportedRow
from contract.captures.values import PeopleLine
from contract.people.keys import FaceKey, NotReadable, parse_key
from contract.people.records import FaceRecord
from engine.gallery.port import FaceId

Photos = Mapping[FaceId, Sequence[tuple[int, str]]]
"""The photos of each face: offsets of the records that name a photo, rising, and the photos' sha256 (hex)."""

_FACE = b"face/"
_decoder = msgspec.msgpack.Decoder(FaceRecord)


def enrolled_among(people: Iterable[PeopleLine], wanted: frozenset[str]) -> frozenset[str]:
    """Return those of the wanted people who have a face at any time in the capture."""
    return frozenset(key.identity_id for key, _ in _faces(people) if key.identity_id in wanted)


def enrolled_at(people: Iterable[PeopleLine], version: int, wanted: frozenset[str]) -> frozenset[str]:
    """Return those of the wanted people who have a face at a gallery version. `people`: by rising offset."""
    present: dict[bytes, str] = {}
    for line in people:
        if line.offset < version and (key := _face_key(line)) is not None and key.identity_id in wanted:
            present.pop(line.key, None)
            if line.value is not None:
                present[line.key] = key.identity_id
    return frozenset(present.values())


def photos_of(people: Iterable[PeopleLine], rows: Iterable[ReportedRow]) -> Photos:
    """Return the photos of the candidates in rows."""
    decisions = (decision for row in rows for decision in (row.then, row.now) if decision is not None)
    wanted = {(decision.candidate, decision.candidate_face) for decision in decisions}
    found: dict[FaceId, list[tuple[int, str]]] = {}
    for key, line in _faces(people):
        face = key.identity_id, key.number
        if face in wanted and (sha256 := _photo_in(line.value or b"")) is not None:
            found.setdefault(face, []).append((line.offset, sha256))
    return found


def _faces(people: Iterable[PeopleLine]) -> Iterator[tuple[FaceKey, PeopleLine]]:
    for line in people:
        if line.value is not None and (key := _face_key(line)) is not None:
            yield key, line


def _face_key(line: PeopleLine) -> FaceKey | None:
    """Return the key of a record of a face; None: it is another record."""
    if not line.key.startswith(_FACE):
        return None
    try:
        key = parse_key(line.key)
    except NotReadable:
        return None
    return key if isinstance(key, FaceKey) else None


def _photo_in(value: bytes) -> str | None:
    try:
        photo = _decoder.decode(value).photo
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return None if photo is None else photo.sha256.hex()
