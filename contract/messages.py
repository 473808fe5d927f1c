"""The wire types of the log: the values of the requests, replies and dead-letters topics.
Events: contract.events; records about people: contract.people.records.

All are MessagePack maps; pictures stay raw bytes. Unknown fields are ignored when reading, so that a newer writer does
not break an older reader; a field is never given another meaning.
"""

from typing import Any, ClassVar, Literal

import msgspec

from contract.codec import decode_with
from contract.errors import Code
from contract.findings import Attributes, CheckResult, FaceBox, FaceQuality, LivenessResult
from contract.terms import CompareLevel, LivenessMode, Message, QualityLevel


class Headers:
    """Names of the record headers that travel with a request and its reply."""

    REQUEST_ID = "request_id"
    REPLY_TOPIC = "reply_topic"
    REPLY_PARTITION = "reply_partition"
    REPLY_INSTANCE = "reply_instance"
    DEADLINE_MS = "deadline_ms"
    """Absolute, epoch milliseconds, decimal ASCII: after it nobody waits any more."""
    GALLERY_VERSION = "gallery_version"
    """Decimal ASCII: the gallery the sender has seen; a processor never searches an older one."""
    RETRY_OF = "retry_of"
    """Id of the request that this one sends again, after it became a dead letter."""
    REPLAY_OF = "replay_of"
    """Id of the request that this one replays: its event and its reply carry it on."""
    ATTEMPT = "attempt"
    """Decimal ASCII: how many times the request has been sent with this one; absent means 1."""


class MatchRequest(Message, tag="match", tag_field="kind", frozen=True, kw_only=True):
    """Who is this? One PictureMatch call, with what its body told (docs/interface.md)."""

    request_id: str
    device_ip: str | None
    image: bytes
    compare_time_s: float
    received_time_s: float
    compare_time_raw: str | None = None
    ir_image: bytes | None = None
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

    administrative: ClassVar[bool] = False

    @property
    def key(self) -> bytes:
        """Key of the request and of its event: the device, else the group."""
        return (self.device_ip or self.group_name or "").encode()


class EnrolRequest(Message, tag="enrol", tag_field="kind", frozen=True, kw_only=True):
    """Add or change a person (docs/interface.md, POST and PUT of users).

    `update` True is a PUT: the person must exist, absent fields stay as they are. Else a POST: the person must not
    exist unless `ignore_exist`, and needs a face unless `need_bring_pic` is False. A photo or a feature adds a face;
    `support_single_face` drops the older ones.
    """

    request_id: str
    identity_id: str
    received_time_s: float
    update: bool = False
    group_names: tuple[str, ...] | None = None
    photo: bytes | None = None
    feature: tuple[float, ...] | None = None
    info: dict[str, Any] | None = None
    ignore_exist: bool = False
    support_single_face: bool = False
    need_bring_pic: bool = True
    create_no_exit_permission: bool = False
    quality_level: QualityLevel | None = None

    administrative: ClassVar[bool] = True

    @property
    def key(self) -> bytes:
        """Key of the request and of its event: the person."""
        return self.identity_id.encode()


class DeleteRequest(Message, tag="delete", tag_field="kind", frozen=True, kw_only=True):
    """Remove a person with all faces and photos."""

    request_id: str
    identity_id: str
    received_time_s: float

    administrative: ClassVar[bool] = True

    @property
    def key(self) -> bytes:
        """Key of the request and of its event: the person."""
        return self.identity_id.encode()


class CompareRequest(Message, tag="compare", tag_field="kind", frozen=True, kw_only=True):
    """Are these two one person? One call of compare (docs/interface.md): the face of `face_image` against that of
    `card_image`. Only with `need_save` an event is written, and only then there is `identity_info`, which goes into it.
    """

    request_id: str
    face_image: bytes
    card_image: bytes
    compare_time_s: float
    received_time_s: float
    compare_time_raw: str | None = None
    level: CompareLevel = "middle"
    quality_level: QualityLevel | None = None
    need_save: bool = False
    with_debug_info: bool = False
    identity_info: dict[str, Any] | None = None

    administrative: ClassVar[bool] = False

    @property
    def key(self) -> bytes:
        """Key of the request and of its event: its own id."""
        return self.request_id.encode()


class FiqaRequest(Message, tag="fiqa", tag_field="kind", frozen=True, kw_only=True):
    """How good is this picture? One call of FIQA (face image quality assessment, docs/interface.md)."""

    request_id: str
    image: bytes
    received_time_s: float
    quality_level: QualityLevel = "high"

    administrative: ClassVar[bool] = False

    @property
    def key(self) -> bytes:
        """Key of the request and of its event: its own id."""
        return self.request_id.encode()


PersonRequest = EnrolRequest | DeleteRequest
Request = MatchRequest | CompareRequest | FiqaRequest | PersonRequest
"""What the requests topic and the admin topic carry: administrative requests go to the admin topic, whose requests are
decided in one order."""


class DebugInfo(Message, frozen=True, kw_only=True):
    """What with_debug_info adds to an answer."""

    faces: int
    face: FaceBox | None
    quality: tuple[CheckResult, ...]
    liveness: LivenessResult | None
    timings_ms: dict[str, float]
    quality_score: float | None = None


class MatchAnswer(Message, tag="match", tag_field="kind", frozen=True, kw_only=True):
    """The success of a MatchRequest: a match or a stranger. `score` is on the wire's scale."""

    retcode: Literal["0", "1"]
    identity_id: str
    name: str
    score: float
    identity_info: dict[str, Any]
    reg_pic: bytes | None = None
    debug: DebugInfo | None = None
    attributes: Attributes | None = None


class CompareDebug(Message, frozen=True, kw_only=True):
    """What with_debug_info adds to the answer of a comparison, by picture; `timings_ms` are those of both together."""

    face: DebugInfo
    card: DebugInfo


class CompareAnswer(Message, tag="compare", tag_field="kind", frozen=True, kw_only=True):
    """The success of a CompareRequest: retcode "1" for one person. `score` is on the wire's scale."""

    retcode: Literal["0", "1"]
    score: float
    debug: CompareDebug | None = None


class FiqaAnswer(Message, tag="fiqa", tag_field="kind", frozen=True, kw_only=True):
    """The success of a FiqaRequest: the quality of each face, the largest first."""

    faces: tuple[FaceQuality, ...]


class PersonAnswer(Message, tag="person", tag_field="kind", frozen=True, kw_only=True):
    """The success of an EnrolRequest. `image_id` names the face that was added, if one was. `unchanged`: the request
    only repeated what was so (engine.calls.repeated), and `image_id` names the face it repeated. A change without
    a face names the face that was added last."""

    identity_id: str
    group_names: tuple[str, ...]
    info: dict[str, Any]
    image_id: str | None = None
    photo: bytes | None = None
    unchanged: bool = False


class DeletedAnswer(Message, tag="deleted", tag_field="kind", frozen=True, kw_only=True):
    """The success of a DeleteRequest. `group_names`: the groups that the person was in, as far as they were known."""

    identity_id: str
    group_names: tuple[str, ...] = ()


class RefusedAnswer(Message, tag="refused", tag_field="kind", frozen=True, kw_only=True):
    """The request was processed and the answer is an error of the table."""

    code: int
    message: str

    @property
    def status(self) -> str:
        """The wire's name of the code."""
        return Code(self.code).status


Answer = MatchAnswer | CompareAnswer | FiqaAnswer | PersonAnswer | DeletedAnswer | RefusedAnswer


class Effort(Message, frozen=True, kw_only=True):
    """Seconds that a request waited at its processor for a matching thread, and seconds that it took there."""

    waited_s: float
    worked_s: float


class Reply(Message, frozen=True, kw_only=True):
    """What a processor tells the ingress that waits. `gallery_version`: the people topic's offset after the records
    that this request wrote (enrolment), else the version that was searched. `effort`: absent where the request took no
    matching thread; from it an ingress learns how many requests keep the processors busy (ingest.pace)."""

    request_id: str
    answer: Answer
    gallery_version: int
    effort: Effort | None = None
    replay_of: str | None = None


class DeadLetter(Message, tag="letter", tag_field="kind", frozen=True, kw_only=True):
    """What the dead-letters topic keeps about a record that could not be processed; the record's own value, key and
    headers are kept as they were. `attempt` counts from 1."""

    topic: str
    partition: int
    offset: int
    stage: str
    code: int
    error: str
    attempt: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...]


class RetryMark(Message, tag="retry", tag_field="kind", frozen=True, kw_only=True):
    """Stands in the dead-letters topic behind a letter: the letter at that place was sent again as this request."""

    partition: int
    offset: int
    request_id: str


_encoder = msgspec.msgpack.Encoder()
_request_decoder: msgspec.msgpack.Decoder[Request] = msgspec.msgpack.Decoder(Request)
_reply_decoder: msgspec.msgpack.Decoder[Reply] = msgspec.msgpack.Decoder(Reply)
_letter_decoder: msgspec.msgpack.Decoder[DeadLetter | RetryMark] = msgspec.msgpack.Decoder(DeadLetter | RetryMark)


def encode(message: Message) -> bytes:
    """A message as MessagePack."""
    return _encoder.encode(message)


def decode_request(data: bytes) -> Request:
    """A record of the requests topic.

    Raises:
        msgspec.DecodeError: it is not one.
    """
    return decode_with(_request_decoder, data)


def decode_reply(data: bytes) -> Reply:
    """A record of the replies topic.

    Raises:
        msgspec.DecodeError: it is not one.
    """
    return decode_with(_reply_decoder, data)


def decode_dead_letter(data: bytes) -> DeadLetter | RetryMark:
    """A record of the dead-letters topic.

    Raises:
        msgspec.DecodeError: it is neither.
    """
    return decode_with(_letter_decoder, data)
