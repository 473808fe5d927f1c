"""The declaration of the call with which people are imported in bulk, and the conversion of its people.

`picturematch people import` checks each person with the same fields before it sends one (`checked_person`).
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from msgspec import Struct

from contract.calls.declaration import Answer, Declaration, Field, Values, flag, objects, read_fields
from contract.calls.dialects import ErrorDetail
from contract.calls.names import ENROLLED_ID, GROUP_NAMES, IDENTITY_ID, MAX_SCOPE_NAME_CHARS, SCOPE_NAME
from contract.calls.people import INFO_RULE
from contract.calls.reembed import EMBEDDER, MAX_NUMBER, SHA256, TEMPLATES
from contract.calls.rules import PICTURE, Rule, line, param_error, seconds, whole
from contract.calls.scopes import DESCRIPTION, GROUP_INFO, PERMISSION_INFO
from contract.calls.shared import QUALITY_LEVEL, Data
from contract.errors import Code
from contract.http import GALLERY_VERSION_HEADER, IMPORT_PATH
from contract.imports import (
    MOST_FACES,
    MOST_LOOKED_AT,
    MOST_PEOPLE,
    ImportedFace,
    ImportedPerson,
    ImportedSite,
    is_looked_at,
)
from contract.people.records import WHOLE_FACE
from contract.people.site import GroupRecord, PermissionRecord

MOST_SCOPES = 1000
"""The most groups, and the most permissions, of one call."""
MOST_GROUPS = 10_000
"""The most groups of one person: as many as a site may have (`matching.max_groups`)."""

Decode = Callable[[str, str], bytes]
"""A function of a picture in base64 and the name of its field that returns the picture's bytes, or raises Refused."""


class NotImported(Struct, frozen=True, kw_only=True):
    """A person who was not imported, and the reason. `place`: where the person is in `people`, from 0."""

    place: int
    identity_id: str
    error: ErrorDetail


class Imported(Struct, frozen=True, kw_only=True):
    """What came of an import.

    `added`: the people who were enrolled. `present`: the places of those who were enrolled already exactly so. `faces`:
    the faces that were added; `unsearched`: those of them without an embedding of the embedder in use. `groups` and
    `permissions`: id that was sent -> id by which this site knows the group or permission of that name.
    """

    added: int
    present: list[int]
    faces: int
    unsearched: int
    failed: list[NotImported]
    groups: dict[str, str]
    permissions: dict[str, str]


def _info(value: Any, field: str) -> dict[str, Any]:
    info: dict[str, Any] = INFO_RULE.check(value, field)
    return {
        name: info[name] for name in value if name in info
    }  # in the order as sent, so that a record has the same bytes


def _group_ids(value: Any, field: str) -> tuple[str, ...]:
    if not isinstance(value, list) or len(value) > MOST_GROUPS:
        raise param_error(f"{field} must be a list of at most {MOST_GROUPS} strings")
    return tuple(dict.fromkeys(_ID_LINE.check(item, field) for item in value))


_ID_LINE = line(MAX_SCOPE_NAME_CHARS)
_GROUP_IDS = Rule(
    word="list of string",
    check=_group_ids,
    schema={"type": "array", "items": _ID_LINE.schema, "maxItems": MOST_GROUPS},
    empty_is_absent=False,
)

_FACES = (
    Field("number", whole(0, MAX_NUMBER), "The number of the face. Absent: the next one.", example=0),
    Field(
        "embedder",
        EMBEDDER,
        "The identity of the embedder that computed `templates`. Absent: the installed one, where"
        " `matching.trust_unnamed_features` is set.",
        example="87aa3581-r3",
    ),
    Field(
        "templates",
        TEMPLATES,
        f"Kind of template -> embedding, as little-endian float32 numbers in base64; `{WHOLE_FACE}` is needed. Absent:"
        " the installed embedder embeds the photo.",
        example={WHOLE_FACE: "AACAPwAAAAA="},
    ),
    Field("photo", PICTURE, "The photo of the face."),
    Field(
        "sent_sha256",
        SHA256,
        "The sha256 of the file that was enrolled, where `photo` is the JPEG that was made from it. To restore.",
    ),
)
PERSON_FIELDS = (
    Field("identity_id", ENROLLED_ID, "The id of the person: 1..64 characters.", required=True, example="666666"),
    Field("group_name", GROUP_NAMES, "The groups of the person, comma-separated. Absent: `default_group`."),
    Field(
        "group_ids",
        _GROUP_IDS,
        "The groups of the person by id, instead of `group_name`. To restore.",
    ),
    Field(
        "info",
        replace(INFO_RULE, check=_info),
        "The info of the person, as in POST of users.",
        example={"name": "Ada", "type": 1},
    ),
    Field("next_face", whole(0, MAX_NUMBER + 1), "The number of the next face that the person gets. To restore."),
    Field(
        "enrolled_time",
        replace(seconds(), empty_is_absent=False),
        "When the match arrived that enrolled the person as a stranger, in epoch seconds. To restore.",
    ),
    objects("faces", "The faces of the person; a face that several embedders embedded is named once for each.", _FACES),
)
"""The fields of one person."""

_ID = replace(SCOPE_NAME, empty_is_absent=False)
_GROUPS = (
    Field("group_id", _ID, "The id of the group.", required=True, example="default_group"),
    Field("name", _ID, "The name of the group.", required=True, example="default_group"),
    Field("description", DESCRIPTION.rule, "Free text.", default=""),
    Field("info", GROUP_INFO, "Further members.", default={}),
)
_PERMISSIONS = (
    Field("permission_id", _ID, "The id of the permission.", required=True, example="0"),
    Field("name", _ID, "The name of the permission.", required=True, example="0"),
    Field("description", DESCRIPTION.rule, "Free text.", default=""),
    Field("info", PERMISSION_INFO, "Further members, and the weekly schedule `pass_times`.", default={}),
)

IMPORT = Declaration(
    method="POST",
    path=IMPORT_PATH,
    route="import",
    summary=f"Enrol up to {MOST_PEOPLE} people in one transaction, each of them whole or not at all.",
    fields=(
        objects(
            "people",
            f"The people, at most {MOST_PEOPLE} with {MOST_FACES} faces, of which at most {MOST_LOOKED_AT} have a photo"
            " that is no JPEG, or no templates.",
            PERSON_FIELDS,
        ),
        objects("groups", "Groups that are created before the people, at most 1000.", _GROUPS),
        objects("permissions", "Permissions that are created before the people, at most 1000.", _PERMISSIONS),
        flag("restore", "The people come from an export: infos, numbers and templates are stored as they are."),
        Field(
            "fiqa_level",
            QUALITY_LEVEL,
            "The quality level of photos without templates; absent: the setting `matching.enrolment_quality`.",
        ),
    ),
    any_of=(("people", "groups", "permissions"),),
    answers=(
        Answer(
            Data[Imported],
            {
                "data": {
                    "added": 1,
                    "present": [],
                    "faces": 1,
                    "unsearched": 0,
                    "failed": [],
                    "groups": {"default_group": "default_group"},
                    "permissions": {"0": "0"},
                }
            },
        ),
    ),
    errors=(Code.GROUP_NAME_ERROR, Code.GROUP_LEN_ERROR),
    headers={GALLERY_VERSION_HEADER: "The version of the gallery that contains the people."},
)


def checked_person(sent: Mapping[str, Any], decode: Decode, *, restore: bool = False) -> ImportedPerson:
    """Return the person whom the fields of a JSON object describe; `restore`: the person comes from an export.

    Raises:
        Refused: a field is missing or has a value that its rule refuses; the message names the field.
    """
    return person_of(read_fields(PERSON_FIELDS, sent), decode, restore=restore)


def person_of(values: Values, decode: Decode, within: str = "", *, restore: bool) -> ImportedPerson:
    """Return the person whom checked fields describe. `within` is put before the names in messages.

    Raises:
        Refused: the id is none for a new person, a face has neither templates nor a photo, or its photo is no base64.
    """
    if not restore:
        IDENTITY_ID.check(values["identity_id"], f"{within}identity_id")
    faces = [_face(face, decode, f"{within}faces[{number}]") for number, face in enumerate(values["faces"] or ())]
    return ImportedPerson(
        identity_id=values["identity_id"],
        group_names=values["group_name"],
        group_ids=values["group_ids"],
        info=values["info"] or {},
        faces=tuple(faces),
        next_face=values["next_face"],
        enrolled_time=values["enrolled_time"],
    )


def site_of(values: Values) -> ImportedSite:
    """Return the groups and permissions of the checked fields of a call.

    Raises:
        Refused: they are too many.
    """
    for name in ("groups", "permissions"):
        if len(values[name] or ()) > MOST_SCOPES:
            raise param_error(f"{name} must have at most {MOST_SCOPES} objects")
    return ImportedSite(
        groups=tuple(GroupRecord(**group) for group in values["groups"] or ()),
        permissions=tuple(PermissionRecord(**permission) for permission in values["permissions"] or ()),
    )


def require_few(people: tuple[ImportedPerson, ...]) -> None:
    """Return where one call may contain these people.

    Raises:
        Refused: they are too many, or their faces or the photos to be embedded are.
    """
    if len(people) > MOST_PEOPLE:
        raise param_error(f"people must be a list of at most {MOST_PEOPLE} objects")
    faces = [face for person in people for face in person.faces]
    if len(faces) > MOST_FACES:
        raise param_error(f"people must have at most {MOST_FACES} faces together")
    if sum(map(is_looked_at, faces)) > MOST_LOOKED_AT:
        raise param_error(
            f"people must have at most {MOST_LOOKED_AT} photos together that have no templates or are no JPEG"
        )


def _face(values: Values, decode: Decode, field: str) -> ImportedFace:
    photo, templates = values["photo"], values["templates"]
    if photo is None and templates is None:
        raise param_error(f"{field} needs templates or photo", "missing")
    return ImportedFace(
        number=values["number"],
        embedder=values["embedder"],
        templates=templates or {},
        photo=None if photo is None else decode(photo, f"{field}.photo"),
        sent_sha256=values["sent_sha256"],
    )
