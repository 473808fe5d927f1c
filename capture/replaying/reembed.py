"""Embeds the enrolled photos of a capture with other networks, so that these can search its people."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from msgspec import structs

from capture.replaying.galleries import face_of
from contract.captures.values import PeopleLine
from contract.codec import encode
from contract.errors import Refusal
from contract.people.keys import FaceKey, NotReadable, face_key
from contract.people.records import FaceRecord
from contract.people.unreadable import read_face
from engine.calls.people import PreparedFace
from engine.context import Context
from engine.look import Wanted, look


@dataclass(frozen=True, slots=True)
class Reembedded:
    """The records with the faces of another embedder, and the numbers of faces that have none of it: those without a
    photo, and those in whose photo the networks find no face."""

    records: Sequence[PeopleLine]
    without_photo: int = 0
    without_face: int = 0


def reembed(
    records: Sequence[PeopleLine], context: Context, picture: Callable[[str], bytes], threads: int
) -> Reembedded:
    """Return the records with a face of the installed embedder beside every face of another one.

    `picture` returns the bytes of a photo by its sha256 (hex). `context` has the installed networks.

    Raises:
        CaptureError: the capture does not have a photo that a face names.
    """
    wanted = context.models.embedder_identity
    faces = [(line, key) for line in records if (key := face_of(line)) is not None]
    present = {(key.identity_id, key.number) for _, key in faces if key.embedder == wanted}
    others = [(line, key) for line, key in faces if (key.identity_id, key.number) not in present]
    photos = {sha256 for line, _ in others if (sha256 := _photo_of(line)) is not None}

    def embed(sha256: str) -> PreparedFace | None:
        policy = context.policy
        found = look(picture(sha256), Wanted(face=policy.face, covered=policy.covered_templates), context)
        if isinstance(found.embedding, Refusal):
            return None
        return PreparedFace(found.embedding.vector, covered=found.covered)

    in_order = sorted(photos)
    with ThreadPoolExecutor(threads, "photo") as pool:
        prepared = dict(zip(in_order, pool.map(embed, in_order), strict=True))
    beside = {line.offset: _beside(line, key, wanted, prepared) for line, key in others}
    missing = [_photo_of(line) for line, _ in others if line.value is not None and beside[line.offset] is None]
    return Reembedded(
        tuple(_with_faces(records, beside)),
        sum(sha256 is None for sha256 in missing),
        sum(sha256 is not None for sha256 in missing),
    )


def _with_faces(records: Sequence[PeopleLine], beside: dict[int, PeopleLine | None]) -> Iterator[PeopleLine]:
    for line in records:
        new = beside.get(line.offset)
        if new is not None:
            yield new
        yield line


def _beside(line: PeopleLine, key: FaceKey, embedder: str, faces: dict[str, PreparedFace | None]) -> PeopleLine | None:
    """Return the record of the same face by the other embedder; None: the face has no photo, or none with a face."""
    new_key = face_key(key.identity_id, key.number, embedder)
    if line.value is None:
        return structs.replace(line, key=new_key)
    sha256 = _photo_of(line)
    prepared = None if sha256 is None else faces[sha256]
    if prepared is None:
        return None
    face = FaceRecord(
        identity_id=key.identity_id,
        number=key.number,
        embedder=embedder,
        templates=prepared.templates,
    )
    return structs.replace(line, key=new_key, value=encode(face))


def _photo_of(line: PeopleLine) -> str | None:
    """Return the sha256 (hex) of the photo of a face's record; None: it has no photo, or cannot be read."""
    key = face_of(line)
    if key is None or line.value is None:
        return None
    try:
        face, _ = read_face(key, line.value, None, 0)
    except NotReadable:
        return None
    return None if face.photo is None else face.photo.sha256.hex()
