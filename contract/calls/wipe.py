"""The declaration of the call that deletes all people and devices."""

from typing import Any

from msgspec import Struct

from contract.calls.declaration import Answer, Declaration, Field
from contract.calls.dialects import Dialect
from contract.calls.rules import FLAG, free_object
from contract.calls.shared import Data
from contract.errors import Code
from contract.http import GALLERY_VERSION_HEADER, WIPE_DATA_PATH


class Wiped(Struct, frozen=True, kw_only=True):
    """The options as they were sent, and the numbers of people and devices that were deleted."""

    wipe_options: dict[str, Any]
    people_deleted: int
    devices_deleted: int


WIPE = Declaration(
    method="POST",
    path=WIPE_DATA_PATH,
    route="wipe_data",
    summary="Delete all people, with their faces and photos, and all devices.",
    fields=(
        Field(
            "wipe_options",
            free_object(users=FLAG, events=FLAG, all=FLAG),
            "`users` must be true. `events` and `all` are refused if true: events end by their retention only.",
            required=True,
            example={"users": True, "events": False},
        ),
    ),
    answers=(
        Answer(
            Data[Wiped],
            {
                "data": {
                    "wipe_options": {"users": True, "events": False},
                    "people_deleted": 120,
                    "devices_deleted": 2,
                }
            },
        ),
    ),
    errors=(Code.GROUP_LEN_ERROR,),
    headers={GALLERY_VERSION_HEADER: "The version of the gallery that contains the change."},
    dialect=Dialect.FOG,
)
