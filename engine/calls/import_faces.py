"""The faces of an import: embeddings are checked together, photos without embeddings are looked at, and the records are
made. Pure; nothing here depends on the people who are enrolled."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
from msgspec import structs
from numpy.typing import NDArray

from contract.codec import encode
from contract.errors import Code, PictureRefused, Refused
from contract.imports import ImportedFace, ImportedPerson, ImportFailure
from contract.people.keys import photo_key
from contract.people.records import WHOLE_FACE, FaceRecord, PhotoRecord, PhotoReference
from contract.people.validity import is_ordered
from contract.site_requests import ImportRequest
from contract.vectors import Vector
from engine.calls.people import KeyedValue, Prepared, PreparedFace, merged_info
from engine.calls.repeated import NEW_PERSON_INFO
from engine.context import Context
from engine.vision.decode.versions import as_jpeg

Look = Callable[[bytes], Prepared]
"""Returns the face of a photo with its embedding, or the refusal of that face."""

_BYTES_OF_NUMBER = 4
_UNIT_LENGTH_OFF = 1e-6
"""A vector whose length differs less from 1 has been normalised already, and is stored as it was sent."""
_RESTORED_LENGTH_OFF = 1e-2
"""By how much the length of a stored vector may differ from 1 (contract.people.unreadable)."""

_json = msgspec.json.Encoder()


@dataclass(frozen=True, slots=True, eq=False)
class PreparedPerson:
    """A person who is ready to be imported: everything but the groups is decided.

    `place`: where the person is in the request. `numbers`: the faces, in their order. `photos`: the records of the
    photos topic. `embedders` and `vectors`, by number: the embedders that embedded the face, and the embedding by the
    embedder in use.
    """

    place: int
    sent: ImportedPerson
    info: dict[str, Any]
    numbers: tuple[int, ...]
    next_face: int
    faces: tuple[FaceRecord, ...]
    photos: tuple[KeyedValue, ...]
    embedders: Mapping[int, tuple[str, ...]]
    vectors: Mapping[int, Vector]


@dataclass(frozen=True, slots=True, eq=False)
class PreparedImport(Prepared):
    """The people of an import who can be imported as far as they themselves are concerned, and the others."""

    people: tuple[PreparedPerson, ...] = ()
    failed: tuple[ImportFailure, ...] = ()


def failure(place: int, person: ImportedPerson, refused: Refused) -> ImportFailure:
    """Return a person who is not imported, with the reason."""
    return ImportFailure(place=place, identity_id=person.identity_id, code=int(refused.code), message=refused.message)


def prepared_import(request: ImportRequest, context: Context, look: Look) -> PreparedImport:
    """Return the people of a request, prepared; `look` looks at the photos that have no embeddings."""
    units = _Units(request)
    people: list[PreparedPerson] = []
    failed: list[ImportFailure] = []
    for place, person in enumerate(request.people):
        try:
            people.append(_prepared(place, person, request, units, context, look))
        except Refused as refused:
            failed.append(failure(place, person, refused))
    return PreparedImport(people=tuple(people), failed=tuple(failed))


class _Units:
    """The templates of a request as unit vectors; those of one length are computed together."""

    def __init__(self, request: ImportRequest) -> None:
        by_length: defaultdict[int, dict[bytes, None]] = defaultdict(dict)
        for person in request.people:
            for face in person.faces:
                for data in face.templates.values():
                    by_length[len(data)][data] = None
        self._restore = request.restore
        self._found: dict[bytes, bytes] = {}
        for length, different in by_length.items():
            if length and length % _BYTES_OF_NUMBER == 0:
                self._add(list(different), length)

    def of(self, data: bytes) -> bytes:
        """Return a template as a unit vector, in the bytes of a record.

        Raises:
            Refused: the template has no direction, or is no unit vector although it was stored as one.
        """
        unit = self._found.get(data)
        if unit is None:
            what = "unit vectors" if self._restore else "finite numbers that are not all zero"
            raise Refused(Code.BAD_FEATURE_ERROR, f"templates must be {what}")
        return unit

    def _add(self, templates: Sequence[bytes], length: int) -> None:
        sent = np.frombuffer(b"".join(templates), "<f4").reshape(len(templates), length // _BYTES_OF_NUMBER)
        wide = sent.astype(np.float64)
        with np.errstate(over="ignore", invalid="ignore"):
            norms: NDArray[np.float64] = np.sqrt(np.einsum("ij,ij->i", wide, wide))
        off = np.abs(norms - 1.0)
        if self._restore:
            kept = usable = off <= _RESTORED_LENGTH_OFF
        else:
            kept, usable = off <= _UNIT_LENGTH_OFF, np.isfinite(norms) & (norms > 0.0)
        for row, data in enumerate(templates):
            if kept[row]:
                self._found[data] = data
            elif usable[row]:
                self._found[data] = (wide[row] / norms[row]).astype("<f4").tobytes()


def _prepared(
    place: int, person: ImportedPerson, request: ImportRequest, units: _Units, context: Context, look: Look
) -> PreparedPerson:
    info = _info(person, request, context)
    faces = dict[tuple[int, str], FaceRecord]()
    photos = dict[int, PhotoRecord]()
    references = dict[int, PhotoReference]()
    for number, sent in _numbered(person.faces):
        embedder = sent.embedder or _unnamed(sent, context)
        if (number, embedder) in faces:
            raise Refused(Code.PARAM_ERROR, f"face {number} has embeddings of {embedder} twice")
        templates, made = _embedded(sent, number, units, context, look)
        if made is not None and made.jpeg is not None and made.photo is not None and number not in photos:
            photos[number] = PhotoRecord(identity_id=person.identity_id, number=number, jpeg=made.jpeg)
            references[number] = made.photo
        faces[number, embedder] = FaceRecord(
            identity_id=person.identity_id, number=number, embedder=embedder, templates=templates
        )
    numbers = tuple(dict.fromkeys(number for number, _ in faces))
    next_face = max(numbers, default=-1) + 1
    if person.next_face is not None:
        if person.next_face < next_face:
            raise Refused(Code.PARAM_ERROR, "next_face must be greater than the numbers of all faces")
        next_face = person.next_face
    if len(numbers) > context.policy.max_faces_per_person:
        raise Refused(
            Code.PARAM_ERROR,
            f"a person may have at most {context.policy.max_faces_per_person} faces (matching.max_faces_per_person)",
        )
    in_use = context.models.embedder_identity
    return PreparedPerson(
        place=place,
        sent=person,
        info=info,
        numbers=numbers,
        next_face=next_face,
        faces=tuple(
            structs.replace(face, photo=references[number]) if number in references else face
            for (number, _), face in faces.items()
        ),
        photos=tuple((photo_key(person.identity_id, n), encode(photo)) for n, photo in photos.items()),
        embedders={n: tuple(name for number, name in faces if number == n) for n in numbers},
        vectors={
            n: np.frombuffer(faces[n, in_use].templates[WHOLE_FACE], "<f4") for n in numbers if (n, in_use) in faces
        },
    )


def _info(person: ImportedPerson, request: ImportRequest, context: Context) -> dict[str, Any]:
    info = merged_info({} if request.restore else NEW_PERSON_INFO, person.info)
    size, most = len(_json.encode(info)), context.policy.max_info_bytes
    if size > most:
        raise Refused(Code.PARAM_ERROR, f"info would have {size} bytes as JSON; at most {most} are allowed")
    if not is_ordered(info):
        raise Refused(Code.PARAM_ERROR, "info.valid_until must not be before info.valid_from")
    return info


def _numbered(faces: Sequence[ImportedFace]) -> Iterator[tuple[int, ImportedFace]]:
    """Yield the faces with their numbers; one without a number gets the one behind the highest."""
    following = max((face.number for face in faces if face.number is not None), default=-1) + 1
    for face in faces:
        if face.number is None:
            yield following, face
            following += 1
        else:
            yield face.number, face


def _unnamed(face: ImportedFace, context: Context) -> str:
    """Return the embedder of a face that names none.

    Raises:
        Refused: the templates of the face may be those of any embedder.
    """
    if face.templates and not context.policy.trust_unnamed_features:
        raise Refused(
            Code.BAD_FEATURE_ERROR,
            "features of different networks cannot be compared: embedder must name the network that computed the"
            f" templates; that of the installed embedder is {context.models.embedder_identity}",
        )
    return context.models.embedder_identity


def _embedded(
    face: ImportedFace, number: int, units: _Units, context: Context, look: Look
) -> tuple[dict[str, bytes], PreparedFace | None]:
    """Return the templates of a face, and the face with its photo, if it has one.

    Raises:
        Refused: a template or the photo cannot be used.
    """
    if not face.templates:
        found = look(face.photo or b"")
        if found.face is None:
            raise _about(
                number, Refused(Code.NO_FACE, "no face") if found.refusal is None else Refused.of(found.refusal)
            )
        return found.face.templates, found.face
    templates = {kind: units.of(data) for kind, data in face.templates.items()}
    if len({len(data) for data in templates.values()}) > 1:
        raise Refused(Code.BAD_FEATURE_ERROR, f"the templates of face {number} have different lengths")
    length = len(templates[WHOLE_FACE]) // _BYTES_OF_NUMBER
    if face.embedder in (None, context.models.embedder_identity) and length != context.models.embedder.dimension:
        wanted = context.models.embedder.dimension
        raise Refused(Code.BAD_FEATURE_ERROR, f"a template of face {number} has {length} numbers, and needs {wanted}")
    if face.photo is None:
        return templates, None
    try:
        jpeg = as_jpeg(face.photo, context.max_pixels)
    except PictureRefused as refused:
        raise _about(number, refused) from None
    made = PreparedFace.of(np.zeros(0, np.float32), face.photo, jpeg)
    if face.sent_sha256 is not None:
        made = PreparedFace(made.vector, jpeg, made.sha256, face.sent_sha256)
    return templates, made


def _about(number: int, refused: Refused) -> Refused:
    return Refused(refused.code, f"the photo of face {number}: {refused.message}", refused.refusal.cause)
