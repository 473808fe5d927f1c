"""The file of `picturematch people export`: JSON lines, of which the first describes the file and the last ends it.

    {"format": "picturematch people", "version": 1, "photos": false, "people": 1, "faces": 1, "groups": 0, ...}
    {"group": {"group_id": ..., "name": ..., "description": ..., "info": {...}}}
    {"permission": {"permission_id": ..., "name": ..., "description": ..., "info": {...}}}
    {"person": {"identity_id": ..., "group_ids": [...], "info": {...}, "next_face": 1, "faces": [...]}}
    {"end": true, "sha256": ...}

A person has the form of the import call (contract.calls.imports), with `enrolled_time` where a match enrolled the
person. The last line has the sha256 of all bytes before it. The same people give the same bytes: groups, permissions
and people are in the order of their ids.
"""

from collections.abc import Mapping
from typing import Any

import msgspec
import orjson
import pybase64

from contract.people.records import FaceRecord, PersonRecord
from contract.people.site import GroupRecord, PermissionRecord

FORMAT = "picturematch people"
VERSION = 1


class ExportHead(msgspec.Struct, frozen=True, kw_only=True):
    """The first line. `photos`: whether the file contains photos. `embedders`: identity of an embedder -> its faces.

    `people`, `faces`, `groups`, `permissions`: how many there are; a face counts once for each embedder.
    """

    format: str
    version: int
    photos: bool
    people: int
    faces: int
    groups: int
    permissions: int
    embedders: dict[str, int]


class ExportEnd(msgspec.Struct, frozen=True, kw_only=True):
    """The last line. `sha256`: the hash, in hexadecimal digits, of all lines before it."""

    end: bool
    sha256: str


def line_of(value: Any) -> bytes:
    """Return a value as a line of JSON."""
    return orjson.dumps(value) + b"\n"


def group_line(group: GroupRecord) -> bytes:
    """Return the line of a group."""
    return line_of({"group": _members(group)})


def permission_line(permission: PermissionRecord) -> bytes:
    """Return the line of a permission."""
    return line_of({"permission": _members(permission)})


def person_line(person: PersonRecord, faces: list[FaceRecord], photos: Mapping[int, bytes]) -> bytes:
    """Return the line of a person. `person`: the whole record. `photos`: the JPEGs by the number of the face."""
    fields: dict[str, Any] = {
        "identity_id": person.identity_id,
        "group_ids": person.group_ids,
        "info": person.info,
        "next_face": person.next_face,
        "faces": [_face(face, photos.get(face.number)) for face in faces],
    }
    if person.enrolled_time is not None:
        fields["enrolled_time"] = person.enrolled_time
    return line_of({"person": fields})


def _face(face: FaceRecord, jpeg: bytes | None) -> dict[str, Any]:
    templates = {kind: pybase64.b64encode_as_string(data) for kind, data in face.templates.items()}
    fields: dict[str, Any] = {"number": face.number, "embedder": face.embedder, "templates": templates}
    if jpeg is not None and face.photo is not None:
        fields["photo"] = pybase64.b64encode_as_string(jpeg)
        if face.photo.sent_sha256 is not None:
            fields["sent_sha256"] = face.photo.sent_sha256.hex()
    return fields


def _members(record: GroupRecord | PermissionRecord) -> dict[str, Any]:
    return {name: getattr(record, name) for name in record.__struct_fields__}
