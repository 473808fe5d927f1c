"""The declarations of the calls that create, list and delete API keys."""

import re
from typing import Any

from msgspec import Struct

from contract.calls.declaration import Answer, Declaration, Field
from contract.calls.rules import Rule, choice, param_error, string
from contract.calls.shared import Data
from contract.errors import Code
from contract.http import KEYS_PATH
from contract.roles import ROLES, Role

MAX_KEY_NAME_CHARS = 64

_NAME = re.compile(r"\w[\w.-]*")


class CreatedKey(Struct, frozen=True, kw_only=True):
    """A new API key; `key` is the key itself, which no later answer contains. `created`: epoch seconds."""

    key_id: str
    name: str
    role: Role
    created: float
    key: str


class ListedKey(Struct, frozen=True, kw_only=True):
    """An API key without the key itself. `created`: epoch seconds."""

    key_id: str
    name: str
    role: Role
    created: float


class KeyList(Struct, frozen=True, kw_only=True):
    """The API keys by name, and the number of further keys in the setting `ingest.api_keys`."""

    keys: list[ListedKey]
    keys_in_settings: int


def _key_name(value: Any, field: str) -> str:
    name = string(value, field)
    if len(name) > MAX_KEY_NAME_CHARS or not _NAME.fullmatch(name):
        raise param_error(
            f"{field} must have 1 to {MAX_KEY_NAME_CHARS} letters, digits and . _ -, a letter or digit first"
        )
    return name


KEY_NAME = Rule(
    word="string", check=_key_name, schema={"type": "string", "minLength": 1, "maxLength": MAX_KEY_NAME_CHARS}
)
"""The name of an API key. It contains no blank, as the names of callers without such a key do (contract.audit)."""

_LISTED = {
    "key_id": "3f0c7d0e-6d5b-5d0a-9a55-6a2f8f3b9f10",
    "name": "gate-1",
    "role": "device",
    "created": 1700000000.25,
}
_EXAMPLE_KEY = "pm_" + "x" * 43
_NAME_FIELD = Field("name", KEY_NAME, "The name of the key, unique among the keys.", required=True, example="gate-1")

CREATE_KEY = Declaration(
    method="POST",
    path=KEYS_PATH,
    route="keys",
    summary="Create an API key. Only this answer contains the key; the server stores its hash.",
    fields=(
        _NAME_FIELD,
        Field(
            "role",
            choice(*ROLES),
            "What the key may do: `device` (pictures), `operator` (also people, groups, permissions, devices),"
            " `administrator` (everything).",
            required=True,
            example="device",
        ),
    ),
    answers=(Answer(Data[CreatedKey], {"data": {**_LISTED, "key": _EXAMPLE_KEY}}),),
)
LIST_KEYS = Declaration(
    method="GET",
    path=KEYS_PATH,
    route="keys",
    summary="The API keys by name, without the keys themselves.",
    answers=(Answer(Data[KeyList], {"data": {"keys": [_LISTED], "keys_in_settings": 0}}),),
    errors=(Code.OVERLOADED, Code.TIMEOUT),
)
DELETE_KEY = Declaration(
    method="DELETE",
    path=KEYS_PATH,
    route="keys",
    summary="Delete an API key; when the call is answered, this server refuses the key.",
    fields=(_NAME_FIELD,),
    answers=(Answer(Data[ListedKey], {"data": _LISTED}),),
    errors=(Code.ID_NOT_FOUND,),
)
