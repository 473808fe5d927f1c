"""What one call of an import contains: people with their faces, and the groups and permissions that people name.

The call is one administrative request (contract.site_requests.ImportRequest): one transaction, one event. Each person
is imported whole or not at all.
"""

from typing import Any

import msgspec

from contract.people.site import GroupRecord, PermissionRecord
from contract.terms import Message

MOST_PEOPLE = 1000
"""The most people of one call: their records are one transaction, which is decided on the event loop."""
MOST_FACES = 4000
"""The most faces of one call, counted for each embedder."""
MOST_LOOKED_AT = 16
"""The most photos of one call that take some 100 ms of a core each (`is_looked_at`): the call has a deadline, and other
administration waits for it."""

_JPEG = b"\xff\xd8\xff"
"""The first bytes of every JPEG."""


class ImportedFace(Message, frozen=True, kw_only=True):
    """One face of a person, embedded by one embedder.

    `number`: the number of the face; None: the next one. A face that several embedders have embedded is named once for
    each, with the same number. `templates`: kind of template -> little-endian float32 bytes, as in
    contract.people.records.FaceRecord; empty: the embedding is computed from `photo`. `embedder`: the identity of the
    embedder of the templates; None: unknown. `sent_sha256`: the hash of the file that was sent when the face was
    enrolled first, where `photo` is another one.
    """

    number: int | None = None
    embedder: str | None = None
    templates: dict[str, bytes] = msgspec.field(default_factory=dict)
    photo: bytes | None = None
    sent_sha256: bytes | None = None


def is_looked_at(face: ImportedFace) -> bool:
    """Return whether the photo of a face is decoded whole: to be embedded, or to be made a JPEG."""
    return not face.templates or (face.photo is not None and not face.photo.startswith(_JPEG))


class ImportedPerson(Message, frozen=True, kw_only=True):
    """One person of an import.

    `group_names`: the groups by name; None: `group_ids` are given, or else the person joins the default group.
    `next_face`: the number of the next face that the person will get; None: the one behind the highest.
    `enrolled_time`: when the match arrived that enrolled the person (contract.people.records.PersonRecord).
    """

    identity_id: str
    group_names: tuple[str, ...] | None = None
    group_ids: tuple[str, ...] | None = None
    info: dict[str, Any] = msgspec.field(default_factory=dict)
    faces: tuple[ImportedFace, ...] = ()
    next_face: int | None = None
    enrolled_time: float | None = None


class ImportFailure(Message, frozen=True, kw_only=True):
    """A person who was not imported. `place`: where the person is in the list of the call. `code`: of the error."""

    place: int
    identity_id: str
    code: int
    message: str


class ImportedSite(Message, frozen=True, kw_only=True):
    """The groups and permissions that the people of an export name."""

    groups: tuple[GroupRecord, ...] = ()
    permissions: tuple[PermissionRecord, ...] = ()
