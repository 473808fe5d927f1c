"""The form in which the fold of the people topic keeps a person: few bytes, from which the record is made when asked.

Of a million people most share groups, permissions and type. These are in one `Frame` that all of them refer to; the
rest of a person's brief record is one bytes object. So a person takes about 100 bytes beside the id, where a record
takes 600.
"""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import msgspec

from contract.people.records import PersonRecord

_SHARED = 1 << 14
"""The most frames that are remembered to be shared; a person with any further one has it alone."""


class Frame(msgspec.Struct, frozen=True, gc=False):
    """What many people have in common.

    `group_ids`, `permission_ids`, `person_type`: as `PersonRecord` returns them. `members`: the names of the members of
    the info, in their order. `own_members`: those of them whose values each person has alone; the others, `type` and
    `permission_ids`, follow from the fields. `by_match`: whether a match has enrolled the person.
    """

    group_ids: tuple[str, ...]
    permission_ids: tuple[str, ...]
    person_type: int
    members: tuple[str, ...]
    own_members: tuple[str, ...]
    by_match: bool

    def shared(self) -> "Frame":
        """Return the frame equal to this one that others have, too."""
        return _frame(
            self.group_ids, self.permission_ids, self.person_type, self.members, self.own_members, self.by_match
        )


_frame = lru_cache(maxsize=_SHARED)(Frame)


class _Own(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """What a person has alone; `values`: those of the frame's `own_members`."""

    faces: tuple[int, ...]
    next_face: int
    stored_at: int | None
    enrolled_time: float | None
    values: list[Any]


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(_Own)


class HeldPerson(msgspec.Struct, frozen=True, gc=False):
    """A person's brief record, and what is known of the records of the person's faces: a value that never changes.

    `own`: what the person has alone, encoded. `stored_faces`: see contract.people.held_faces.
    """

    identity_id: str
    frame: Frame
    own: bytes
    stored_faces: bytes = b""

    @classmethod
    def of(cls, record: PersonRecord, identity_id: str | None = None, stored_faces: bytes = b"") -> "HeldPerson":
        """Return a brief record in this form. `identity_id`: the equal id that the person is to have."""
        info, permission_ids, person_type = record.info, record.permission_ids, record.person_type
        common: dict[str, Any] = {}
        if type(info.get("type")) is int:
            common["type"] = person_type
        if info.get("permission_ids") == list(permission_ids):
            common["permission_ids"] = permission_ids
        own_members = tuple(name for name in info if name not in common)
        by_match = record.enrolled_time is not None
        frame = _frame(record.group_ids, permission_ids, person_type, tuple(info), own_members, by_match)
        values = [info[name] for name in own_members]
        own = _Own(record.faces, record.next_face, record.stored_at, record.enrolled_time, values)
        return cls(identity_id or record.identity_id, frame, _encoder.encode(own), stored_faces)

    def record(self) -> PersonRecord:
        """Return the brief record."""
        frame, own = self.frame, _decoder.decode(self.own)
        return PersonRecord(
            identity_id=self.identity_id,
            group_ids=frame.group_ids,
            info=_info(frame, own.values),
            faces=own.faces,
            next_face=own.next_face,
            stored_at=own.stored_at,
            enrolled_time=own.enrolled_time,
        )

    @property
    def faces(self) -> tuple[int, ...]:
        """The numbers of the person's faces."""
        return _decoder.decode(self.own).faces

    @property
    def group_ids(self) -> tuple[str, ...]:
        """The groups of the person, by id."""
        return self.frame.group_ids

    @property
    def permission_ids(self) -> tuple[str, ...]:
        """The permissions of the person, by id."""
        return self.frame.permission_ids

    @property
    def person_type(self) -> int:
        """The type of the person (`PersonRecord.person_type`)."""
        return self.frame.person_type


def _info(frame: Frame, values: list[Any]) -> dict[str, Any]:
    own: Mapping[str, Any] = dict(zip(frame.own_members, values, strict=True))
    if len(own) == len(frame.members):
        return dict(own)
    common = {"type": frame.person_type, "permission_ids": list(frame.permission_ids)}
    return {name: own[name] if name in own else common[name] for name in frame.members}
