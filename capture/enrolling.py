"""The enrolments of a folder or list of people, as `picturematch enrol` asks a server for them. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any

from contract.calls.people import ENROL
from contract.requests import EnrolRequest


def enrol_request(
    request_id: str,
    identity_id: str,
    *,
    info: Mapping[str, Any],
    group_name: str | None = None,
    photo: bytes | None = None,
    feature: Sequence[float] | None = None,
    feature_model: str | None = None,
    creates_permissions: bool = False,
) -> EnrolRequest:
    """Return the request that enrols one face of a person, who may be enrolled already.

    Args:
        request_id: the id of the request.
        identity_id, info, group_name, feature, feature_model: as a list has them (clients.enrol_list); the names of
            groups are separated by commas.
        photo: the bytes of the photo.
        creates_permissions: permissions that the info names and that do not exist are created.

    Raises:
        Refused: a server would refuse a value; the message names the field.
    """
    values = ENROL.read(
        {
            "identity_id": identity_id,
            "info": dict(info),
            "group_name": group_name,
            "import_mode": feature is not None,
            "feature": None if feature is None else list(feature),
            "feature_model": feature_model,
        }
    )
    return EnrolRequest(
        request_id=request_id,
        identity_id=values["identity_id"],
        received_time_s=0.0,
        group_names=values["group_name"],
        photo=photo,
        feature=values["feature"],
        feature_model=values["feature_model"],
        info=values["info"],
        ignore_exist=True,
        create_no_exit_permission=creates_permissions,
    )
