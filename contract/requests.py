"""The requests: the values of the requests topic and of the admin topic, and the names of their headers.

Requests that change the site, or several people at once, are in contract.site_requests.

All messages are MessagePack maps in which pictures stay raw bytes. A reader ignores unknown fields, so that a newer
writer does not break an older reader; a field never changes its meaning.
"""

from typing import Any, ClassVar

import msgspec

from contract.codec import decode_with
from contract.site_requests import (
    DevicesRequest,
    ImportRequest,
    KeyRequest,
    ReembedRequest,
    ScopeRequest,
    SettingsRequest,
    WipeRequest,
)
from contract.terms import CompareLevel, LivenessMode, Message, QualityLevel


class Headers:
    """Names of the record headers that travel with a request and its reply."""

    REQUEST_ID = "request_id"
    REPLY_TOPIC = "reply_topic"
    REPLY_PARTITION = "reply_partition"
    REPLY_INSTANCE = "reply_instance"
    DEADLINE_MS = "deadline_ms"
    """The absolute time, in epoch milliseconds as decimal ASCII, after which no client waits for the answer."""
    GALLERY_VERSION = "gallery_version"
    """The newest gallery version that the sender knows, in decimal ASCII; a processor never searches an older one."""
    RETRY_OF = "retry_of"
    """The id of the request that became a dead letter and that this request sends again."""
    REPLAY_OF = "replay_of"
    """The id of the request that this request replays; the event and the reply repeat it."""
    ACTOR = "actor"
    """Who made an administrative call (contract.audit.Actor, as MessagePack); the ingress writes this header, and a
    processor into a request that follows from a match."""
    RETRIED_BY = "retried_by"
    """Who sent a dead letter again (contract.audit.LOG_OPERATOR); only the command that does so writes this header."""
    ATTEMPT = "attempt"
    """How many times the request has been sent, including this time, in decimal ASCII; absent means 1."""


MAX_PICTURES = 5
"""The most pictures of one passage in one request, so that the cost of a request is bounded."""


class MatchRequest(Message, tag="match", tag_field="kind", frozen=True, kw_only=True):
    """Who is the person in this picture? One PictureMatch call, with the fields of its body (docs/interface.md).

    `by_permission`: the search of version 6, which is restricted by a permission, named or that of the device, and by a
    group only where one is named. `match_all_faces`: every face of the picture is searched for. `further_pictures`: the
    other pictures of the same passage, in the order of the request.
    """

    request_id: str
    device_ip: str | None
    picture: bytes
    compare_time_s: float
    received_time_s: float
    compare_time_raw: str | None = None
    ir_picture: bytes | None = None
    need_register_photo: bool = False
    min_face_size: int = 0
    liveness_mode: LivenessMode = "liveness_off"
    need_keep_info: bool = False
    group_name: str | None = None
    permission_name: str | None = None
    support_stranger: bool = False
    with_attribute: bool = False
    with_debug_info: bool = False
    grab_fiqa_info: dict[str, Any] | None = None
    by_permission: bool = False
    match_all_faces: bool = False
    further_pictures: tuple[bytes, ...] = ()

    administrative: ClassVar[bool] = False

    @property
    def pictures(self) -> tuple[bytes, ...]:
        """The pictures of the passage, in the order of the request."""
        return (self.picture, *self.further_pictures)

    @property
    def key(self) -> bytes:
        """The key of the request's record and of its event: the device, else the group, else the permission."""
        return (self.device_ip or self.group_name or self.permission_name or "").encode()


class EnrolRequest(Message, tag="enrol", tag_field="kind", frozen=True, kw_only=True):
    """Add or change a person (docs/interface.md, POST and PUT of users).

    `update` True means a PUT: the person must exist, and absent fields leave the person's values unchanged. `update`
    False means a POST: the person must not exist unless `ignore_exist` is True, and a photo or feature is required
    unless `need_bring_pic` is False; a person who exists is added to the groups of the request and changed. A photo or
    a feature adds a face; `support_single_face` removes the older faces. `feature_model`: the identity of the embedder
    that computed the feature.
    """

    request_id: str
    identity_id: str
    received_time_s: float
    update: bool = False
    group_names: tuple[str, ...] | None = None
    photo: bytes | None = None
    feature: tuple[float, ...] | None = None
    feature_model: str | None = None
    info: dict[str, Any] | None = None
    ignore_exist: bool = False
    support_single_face: bool = False
    need_bring_pic: bool = True
    create_no_exit_permission: bool = False
    quality_level: QualityLevel | None = None

    administrative: ClassVar[bool] = True
    about_people: ClassVar[bool] = True

    @property
    def key(self) -> bytes:
        """The key of the request's record and of its event: the person."""
        return self.identity_id.encode()


class DeleteRequest(Message, tag="delete", tag_field="kind", frozen=True, kw_only=True):
    """Delete a person with all faces and photos."""

    request_id: str
    identity_id: str
    received_time_s: float

    administrative: ClassVar[bool] = True
    about_people: ClassVar[bool] = True

    @property
    def key(self) -> bytes:
        """The key of the request's record and of its event: the person."""
        return self.identity_id.encode()


class StrangerRequest(Message, tag="stranger", tag_field="kind", frozen=True, kw_only=True):
    """Enrol the stranger of a match under `identity_id`, unless somebody of the scope has that face already.

    The processor that decided the match `match_id` writes this request in the same transaction as the match's event
    (engine.strangers). `picture` and the times are those of the match, `match_partition` and `match_offset` the place
    of its request, and `group_id` and `permission_id` its scope, which the stranger gets. `ordered_by`: the text of the
    key of the match, so that the events of both are in one order. `cosine`: that of the nearest person, -1..1.
    """

    request_id: str
    identity_id: str
    match_id: str
    match_partition: int
    match_offset: int
    picture: bytes
    group_id: str
    permission_id: str
    cosine: float
    received_time_s: float
    compare_time_s: float
    compare_time_raw: str | None = None
    device_ip: str | None = None
    ordered_by: str = ""

    administrative: ClassVar[bool] = True
    about_people: ClassVar[bool] = True

    @property
    def key(self) -> bytes:
        """The key of the request's record and of its event: that of the match."""
        return self.ordered_by.encode()


class CompareRequest(Message, tag="compare", tag_field="kind", frozen=True, kw_only=True):
    """Do two pictures show the same person? One call of compare (docs/interface.md).

    The face of `face_picture` is compared with the face of `card_picture`; `fields` are the names of these two pictures
    in refusals. An event is written only where `need_save` is True; `identity_info` is present only then, and is copied
    into the event.
    """

    request_id: str
    face_picture: bytes
    card_picture: bytes
    compare_time_s: float
    received_time_s: float
    compare_time_raw: str | None = None
    level: CompareLevel = "middle"
    quality_level: QualityLevel | None = None
    need_save: bool = False
    with_debug_info: bool = False
    identity_info: dict[str, Any] | None = None
    fields: tuple[str, str] = ("face_image_base64", "card_image_base64")

    administrative: ClassVar[bool] = False

    @property
    def key(self) -> bytes:
        """The key of the request's record and of its event: the request's id."""
        return self.request_id.encode()


class FiqaRequest(Message, tag="fiqa", tag_field="kind", frozen=True, kw_only=True):
    """How good is this picture? One call of FIQA (face image quality assessment, docs/interface.md)."""

    request_id: str
    picture: bytes
    received_time_s: float
    quality_level: QualityLevel = "high"

    administrative: ClassVar[bool] = False

    @property
    def key(self) -> bytes:
        """The key of the request's record and of its event: the request's id."""
        return self.request_id.encode()


class DetectRequest(Message, tag="detect", tag_field="kind", frozen=True, kw_only=True):
    """Where are the faces in this picture? One call of detect; at most `most_faces` faces, the largest first."""

    request_id: str
    picture: bytes
    received_time_s: float
    most_faces: int = 10
    with_feature: bool = False
    with_attribute: bool = False
    with_headpose: bool = False
    with_landmark: bool = False

    administrative: ClassVar[bool] = False

    @property
    def key(self) -> bytes:
        """The key of the request's record and of its event: the request's id."""
        return self.request_id.encode()


PersonRequest = EnrolRequest | DeleteRequest
Request = (
    MatchRequest
    | CompareRequest
    | FiqaRequest
    | DetectRequest
    | PersonRequest
    | StrangerRequest
    | ScopeRequest
    | DevicesRequest
    | SettingsRequest
    | WipeRequest
    | KeyRequest
    | ReembedRequest
    | ImportRequest
)
"""The requests: administrative requests are written to the admin topic, which has one partition and therefore one order
of decisions; all others to the requests topic."""


_decoder: msgspec.msgpack.Decoder[Request] = msgspec.msgpack.Decoder(Request)


def decode_request(data: bytes) -> Request:
    """Return the request that a record of the requests or admin topic contains.

    Raises:
        msgspec.DecodeError: the bytes are not a request.
    """
    return decode_with(_decoder, data)
