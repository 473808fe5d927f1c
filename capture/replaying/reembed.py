"""Embeds the enrolled photos of a capture with other networks, so that these can search its people."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from msgspec import structs

from capture.replaying.galleries import face_of
from contract.captures.values import PeopleLine
from contract.codec import encode
from contract.people.keys import FaceKey, NotReadable, face_key
from contract.people.records import FaceRecord
from contract.people.unreadable import read_face
from engine.calls.enrol import prepare_photo
from engine.context import Context

Templates = dict[str, bytes]


@dataclass(frozen=True, slots=True)
class Reembedded:
    """The records with the faces of another embedder, and the numbers of faces that have none of it: those without a
    photo, those whose photo the capture does not have, and those in whose photo the networks find no face."""

    records: Sequence[PeopleLine]
    without_photo: int = 0
    photo_gone: int = 0
    without_face: int = 0


def reembed(
    records: Sequence[PeopleLine], context: Context, picture: Callable[[str], bytes | None], threads: int
) -> Reembedded:
    """Return the records with a face of the installed embedder beside every face of another one.

    A photo that the installed embedder has embedded already, in a record at any version, is not embedded again. That
    face is put beside those of the other embedders too, so that the installed one can search the people of an earlier
    version. `picture` returns the bytes of a photo by its sha256 (hex), or None where the photo is gone. `context` has
    the installed networks.

    Raises:
        CaptureError: the capture does not have a photo that a face names.
    """
    wanted = context.models.embedder_identity
    others = list(_others(records, wanted))
    embedded = _embedded(records, wanted)
    photos = sorted({sha256 for line, _ in others if (sha256 := _photo_of(line)) is not None} - embedded.keys())

    gone: set[str] = set()

    def embed(sha256: str) -> Templates | None:
        photo = picture(sha256)
        face = None if photo is None else prepare_photo(photo, (), context).face
        if photo is None:
            gone.add(sha256)
        return None if face is None else face.templates

    with ThreadPoolExecutor(threads, "photo") as pool:
        templates = {**embedded, **dict(zip(photos, pool.map(embed, photos), strict=True))}
    beside = {line.offset: _beside(line, key, wanted, templates) for line, key in others}
    missing = [_photo_of(line) for line, _ in others if line.value is not None and beside[line.offset] is None]
    without_photo, photo_gone = sum(sha256 is None for sha256 in missing), sum(sha256 in gone for sha256 in missing)
    return Reembedded(
        tuple(_with_faces(records, beside)), without_photo, photo_gone, len(missing) - without_photo - photo_gone
    )


def _others(records: Sequence[PeopleLine], wanted: str) -> Iterator[tuple[PeopleLine, FaceKey]]:
    """Yield the records of faces of other embedders, but not while the log has a record of the wanted one itself."""
    own: set[tuple[str, int]] = set()
    for line in records:
        key = face_of(line)
        if key is None:
            continue
        face = key.identity_id, key.number
        if key.embedder != wanted:
            if face not in own:
                yield line, key
        elif line.value is None:
            own.discard(face)
        else:
            own.add(face)


def _embedded(records: Sequence[PeopleLine], wanted: str) -> Mapping[str, Templates | None]:
    """Return sha256 (hex) of a photo -> the templates that the wanted embedder has computed from it already."""
    found: dict[str, Templates | None] = {}
    for line in records:
        key = face_of(line)
        face = None if key is None or key.embedder != wanted else _face(line, key)
        if face is not None and face.photo is not None:
            found[face.photo.sha256.hex()] = face.templates
    return found


def _with_faces(records: Sequence[PeopleLine], beside: dict[int, PeopleLine | None]) -> Iterator[PeopleLine]:
    for line in records:
        new = beside.get(line.offset)
        if new is not None:
            yield new
        yield line


def _beside(
    line: PeopleLine, key: FaceKey, embedder: str, templates: Mapping[str, Templates | None]
) -> PeopleLine | None:
    """Return the record of the same face by the other embedder; None: the face has no photo, or none with a face."""
    new_key = face_key(key.identity_id, key.number, embedder)
    if line.value is None:
        return structs.replace(line, key=new_key)
    sha256 = _photo_of(line)
    computed = None if sha256 is None else templates[sha256]
    if computed is None:
        return None
    face = FaceRecord(identity_id=key.identity_id, number=key.number, embedder=embedder, templates=computed)
    return structs.replace(line, key=new_key, value=encode(face))


def _photo_of(line: PeopleLine) -> str | None:
    """Return the sha256 (hex) of the photo of a face's record; None: it has no photo, or cannot be read."""
    key = face_of(line)
    face = None if key is None else _face(line, key)
    return None if face is None or face.photo is None else face.photo.sha256.hex()


def _face(line: PeopleLine, key: FaceKey) -> FaceRecord | None:
    if line.value is None:
        return None
    try:
        return read_face(key, line.value, None, 0)[0]
    except NotReadable:
        return None
