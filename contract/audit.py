"""The audit topic: who asked for which administrative change, and which API keys were refused, as JSON.

A record contains no picture, no feature and no key. A reader ignores unknown fields, so that a newer writer does not
break an older reader; a field never changes its meaning.
"""

import msgspec

from contract.audit_details import Detail
from contract.codec import decode_with
from contract.events import ErrorInfo
from contract.requests import DeleteRequest, EnrolRequest, StrangerRequest
from contract.roles import Role
from contract.site_requests import (
    DevicesRequest,
    GroupRequest,
    ImportRequest,
    KeyRequest,
    MembersRequest,
    PermissionRequest,
    ReembedRequest,
    SettingsRequest,
)
from contract.site_settings import SITE_SETTINGS
from contract.terms import Message

TRUSTED_NETWORK = "trusted network"
"""The name of a caller who needs no key because of the address."""
ANYBODY = "anybody"
"""The name of a caller without a key from any other address."""
UNKNOWN = "unknown"
"""The name of the caller of a request, or the address of the caller, where nothing is known about it."""
ENROLLING_MATCH = "support_stranger of a match"
"""The name of the caller of a request to enrol a stranger, which a processor writes with the event of the match."""
LOG_OPERATOR = "operator of the log"
"""The name of whoever runs a command that writes the log itself, beside or instead of the server."""

MOST_OBJECTS = 1000
"""The most objects that one record names."""


class Actor(Message, frozen=True, kw_only=True):
    """The caller of an administrative call, as the ingress writes it into the header `actor` of the request's record;
    of a request that follows from a match, the processor writes it.

    `name`: the name of the API key, which contains no blank; or, for a caller without a key of the people topic, one of
    the names with a blank. `key_id`: the id of that API key. `peer`: the address of the caller.
    """

    name: str
    role: Role
    peer: str = UNKNOWN
    key_id: str | None = None


class ChangeRecord(Message, tag="change", tag_field="type", frozen=True, kw_only=True):
    """One administrative request, written in the same transaction as its event.

    `actor`, `key_id`, `role` and `peer` describe the caller (Actor). `kind` and `outcome` are those of the event, whose
    id is `request_id`. `action`: create, change, delete, add or remove. `objects`: the names or ids of the objects that
    the request names, at most MOST_OBJECTS of the `objects_total`. Times are epoch seconds.

    Of a request that became a dead letter and was sent again, `actor` is still the caller of the first request,
    `retry_of` the id of the request that failed, and `retried_by` who sent it again.

    `details`: names of changed fields, flags and counts (contract.audit_details).
    """

    request_id: str
    actor: str
    role: Role | None
    peer: str
    kind: str
    outcome: str
    time: float
    received_time: float
    key_id: str | None = None
    action: str | None = None
    objects: tuple[str, ...] = ()
    objects_total: int = 0
    details: dict[str, Detail] = msgspec.field(default_factory=dict)
    error: ErrorInfo | None = None
    gallery_version: int = 0
    retry_of: str | None = None
    retried_by: str | None = None
    replay_of: str | None = None


class RefusedKeysRecord(Message, tag="refused_keys", tag_field="type", frozen=True, kw_only=True):
    """The API keys that one ingress refused in one minute: reason -> number.

    `peer`: the address from which the keys came (of an IPv6 address the first 64 bits), or OTHER_PEERS. `time`: the
    beginning of the minute, in epoch seconds.
    """

    peer: str
    time: float
    counts: dict[str, int]


class SearchRecord(Message, tag="search", tag_field="type", frozen=True, kw_only=True):
    """One search by picture among the faces of past matches, written before it is answered or refused.

    `request_id`, `actor`, `key_id`, `role` and `peer` describe the call and its caller (Actor). `action`:
    picture_search or seen. `reason`: why, as the caller has sent it. Times are epoch seconds; `since` and `until` are
    those of the matches that were searched, and `devices` the addresses, none meaning all. `compared` and `found`: the
    numbers of faces. `error`: the code of the error with which the search was refused; None: it was answered.
    """

    request_id: str
    actor: str
    role: Role | None
    peer: str
    action: str
    reason: str
    time: float
    since: float
    until: float
    compared: int
    found: int
    key_id: str | None = None
    devices: tuple[str, ...] = ()
    error: int | None = None


OTHER_PEERS = "others"
"""The peer of a RefusedKeysRecord that counts all peers beyond those that are counted one by one."""

AuditRecord = ChangeRecord | RefusedKeysRecord | SearchRecord

_encoder = msgspec.json.Encoder()
_decoder: msgspec.json.Decoder[AuditRecord] = msgspec.json.Decoder(AuditRecord)
_actor_decoder: msgspec.msgpack.Decoder[Actor] = msgspec.msgpack.Decoder(Actor)


def encode_audit(record: AuditRecord) -> bytes:
    """Return an audit record as JSON."""
    return _encoder.encode(record)


def decode_audit(data: bytes) -> AuditRecord:
    """Return the audit record that a record of the audit topic contains.

    Raises:
        msgspec.DecodeError: the bytes are not an audit record.
    """
    return decode_with(_decoder, data)


def read_actor(header: bytes | None) -> Actor | None:
    """Return the caller that the header `actor` of a request's record describes; None: the header describes none."""
    try:
        return None if header is None else decode_with(_actor_decoder, header)
    except msgspec.DecodeError:
        return None


def action_of(request: object) -> str | None:
    """Return what an administrative request asks for; None where the kind of the request says it."""
    if isinstance(request, EnrolRequest):
        return "change" if request.update else "create"
    if isinstance(request, DeleteRequest):
        return "delete"
    if isinstance(request, StrangerRequest):
        return "create"
    action = getattr(request, "action", None)
    return action if isinstance(action, str) else None


def objects_of(request: object) -> tuple[str, ...]:
    """Return the names or ids of the objects that an administrative request names."""
    match request:
        case EnrolRequest() | DeleteRequest() | StrangerRequest():
            return (request.identity_id,)
        case MembersRequest():
            return (request.group_name, *request.identity_ids)
        case ReembedRequest():
            return tuple(dict.fromkeys(face.identity_id for face in request.faces))
        case ImportRequest():
            return tuple(dict.fromkeys(person.identity_id for person in request.people))
        case DevicesRequest():
            named = (device.device_id or device.address or device.name for device in request.devices)
            return tuple(name for name in named if name)
        case SettingsRequest():
            return tuple(name for name in request.values if name in SITE_SETTINGS)
        case PermissionRequest():
            return tuple(name for name in (request.name or request.permission_id,) if name)
        case GroupRequest() | KeyRequest():
            return (request.name,)
    return ()
