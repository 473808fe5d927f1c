"""The declaration of the call with which `picturematch people reembed` writes embeddings of another embedder."""

import re
from typing import Any

import pybase64
from msgspec import Struct

from contract.answers import FaceOutcome
from contract.calls.declaration import Answer, Declaration, Field, objects
from contract.calls.names import ENROLLED_ID
from contract.calls.rules import FLAG, MAX_FEATURE_LENGTH, Rule, choice, param_error, string, whole
from contract.calls.shared import Data
from contract.errors import Code, Refused
from contract.http import GALLERY_VERSION_HEADER, REEMBED_PATH
from contract.people.records import WHOLE_FACE

MOST_FACES = 200
"""The most faces of one call: their records are one transaction, which is decided on the event loop."""
MOST_TEMPLATES = 16
_MAX_EMBEDDER_CHARS = 255
MAX_NUMBER = 10**9
_SHA256 = re.compile(r"[0-9a-f]{64}")
_WORD = re.compile(r"[a-z][a-z0-9_]{0,63}")
_BYTES_OF_NUMBER = 4


class Reembedded(Struct, frozen=True, kw_only=True):
    """What came of each face, in the order of the call."""

    outcomes: list[FaceOutcome]


def _embedder(value: Any, field: str) -> str:
    text = string(value, field)
    if not 1 <= len(text) <= _MAX_EMBEDDER_CHARS or not text.isascii() or not text.isprintable() or "/" in text:
        raise param_error(f"{field} must have 1 to {_MAX_EMBEDDER_CHARS} printable ASCII characters and no /")
    return text


def _sha256(value: Any, field: str) -> bytes:
    if not _SHA256.fullmatch(string(value, field)):
        raise param_error(f"{field} must be a sha256: 64 hexadecimal digits in lower case")
    return bytes.fromhex(value)


def _templates(value: Any, field: str) -> dict[str, bytes]:
    error = Refused(
        Code.BAD_FEATURE_ERROR,
        f"{field} must be an object with {WHOLE_FACE}, whose values are float32 numbers, little-endian, in base64",
    )
    if not isinstance(value, dict) or WHOLE_FACE not in value or len(value) > MOST_TEMPLATES:
        raise error
    templates = {}
    for kind, text in value.items():
        if not _WORD.fullmatch(kind) or not isinstance(text, str):
            raise error
        try:
            data = pybase64.b64decode(text, validate=True)
        except ValueError:
            raise error from None
        if not data or len(data) % _BYTES_OF_NUMBER or len(data) > _BYTES_OF_NUMBER * MAX_FEATURE_LENGTH:
            raise error
        templates[kind] = data
    return templates


EMBEDDER = Rule(
    word="string",
    check=_embedder,
    schema={"type": "string", "minLength": 1, "maxLength": _MAX_EMBEDDER_CHARS, "pattern": "^[ -.0-~]+$"},
)
SHA256 = Rule(word="string", check=_sha256, schema={"type": "string", "pattern": "^[0-9a-f]{64}$"})
TEMPLATES = Rule(
    word="object",
    check=_templates,
    schema={
        "type": "object",
        "required": [WHOLE_FACE],
        "additionalProperties": {"type": "string", "contentEncoding": "base64"},
    },
    codes=(Code.BAD_FEATURE_ERROR,),
    empty_is_absent=False,
)

REEMBED = Declaration(
    method="POST",
    path=REEMBED_PATH,
    route="reembed",
    summary="Add embeddings of another embedder to enrolled faces, or remove those of all but the embedder in use.",
    fields=(
        Field(
            "action",
            choice("add", "remove"),
            "`add`: the templates of each face are stored beside those that it has. `remove`: each face that has"
            " templates of `embedder`, which must be the embedder in use, loses those of all others.",
            required=True,
            example="add",
        ),
        Field("embedder", EMBEDDER, "The identity of the embedder.", required=True, example="87aa3581-r3"),
        Field(
            "face",
            choice("chosen", "largest"),
            "The rule by which one of several faces of a photo was chosen (`matching.face`). To add; a call with"
            " another rule than that of the server is refused. Absent: not checked.",
            example="chosen",
        ),
        Field(
            "covered_templates",
            FLAG,
            "Whether templates of covered faces were made where the embedder has curves for them"
            " (`matching.covered_templates`). Likewise.",
            example=True,
        ),
        objects(
            "faces",
            f"The faces, at most {MOST_FACES}.",
            (
                Field("identity_id", ENROLLED_ID, "The id of the person.", required=True, example="666666"),
                Field("number", whole(0, MAX_NUMBER), "The number of the face.", required=True, example=0),
                Field(
                    "photo_sha256",
                    SHA256,
                    "The sha256 of the enrolled photo (the JPEG) from which the templates were computed. To add.",
                    example="0" * 64,
                ),
                Field(
                    "templates",
                    TEMPLATES,
                    f"Kind of template -> unit vector; `{WHOLE_FACE}` is needed. To add.",
                    example={WHOLE_FACE: "AACAPwAAAAA="},
                ),
            ),
            required=True,
        ),
    ),
    answers=(Answer(Data[Reembedded], {"data": {"outcomes": ["added"]}}),),
    errors=(Code.BAD_FEATURE_ERROR,),
    headers={GALLERY_VERSION_HEADER: "The version of the gallery that contains the change."},
)
