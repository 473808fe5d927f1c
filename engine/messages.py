"""The wire types of the log: what stands in the requests, replies, events and people topics.

Requests, replies and people are MessagePack maps (pictures stay raw bytes); events are JSON. Unknown fields are ignored
when reading, so that a newer writer does not break an older reader; a field is never given another meaning.
"""

from inspect import cleandoc
from typing import Any, Literal, TypeVar

import msgspec

from engine.errors import Code

T = TypeVar("T")

DEFAULT_GROUP = "default_group"
STRANGER = "stranger"

LivenessMode = Literal["liveness_off", "liveness_rgb", "liveness_rgb_ir"]
LIVENESS_ORDER: tuple[LivenessMode, ...] = ("liveness_off", "liveness_rgb", "liveness_rgb_ir")
QualityLevel = Literal["high", "middle", "low", "custom", "no"]

PERSON_EMPLOYEE, PERSON_VISITOR, PERSON_BLACKLIST, PERSON_STRANGER, PERSON_VIP = 1, 2, 3, 4, 5

Outcome = Literal[
    "matched",
    "blacklisted",
    "stranger",
    "no_face",
    "low_quality",
    "spoof",
    "image_error",
    "empty_group",
    "expired",
    "error",
    "enrolled",
    "updated",
    "deleted",
    "refused",
]


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
    ATTEMPT = "attempt"
    """Decimal ASCII: how many times the request has been sent with this one; absent means 1."""


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """Base of all messages."""


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


class EnrolRequest(Message, tag="enrol", tag_field="kind", frozen=True, kw_only=True):
    """Add or change a person (docs/interface.md, POST and PUT of users).

    `update` True is a PUT: the person must exist, absent fields stay as they are. Else a POST: the person must not
    exist unless `ignore_exist`. A photo or a feature adds a face; `support_single_face` drops the older ones.
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
    need_bring_pic: bool = False
    create_no_exit_permission: bool = False
    quality_level: QualityLevel | None = None


class DeleteRequest(Message, tag="delete", tag_field="kind", frozen=True, kw_only=True):
    """Remove a person with all faces and photos."""

    request_id: str
    identity_id: str
    received_time_s: float


PersonRequest = EnrolRequest | DeleteRequest
Request = MatchRequest | PersonRequest


class CheckResult(Message, frozen=True, kw_only=True):
    """One measured item of quality or liveness: what was measured, against what, and the verdict."""

    name: str
    value: float
    limit: float
    passed: bool


class LivenessResult(Message, frozen=True, kw_only=True):
    """The liveness part of a decision. `mode` is the one that was applied, not the one asked for."""

    mode: LivenessMode
    passed: bool
    checks: tuple[CheckResult, ...]


class FaceBox(Message, frozen=True, kw_only=True):
    """Where the matched face is, in pixels of the upright picture."""

    x: float
    y: float
    width: float
    height: float
    confidence: float


class DebugInfo(Message, frozen=True, kw_only=True):
    """What with_debug_info adds to an answer."""

    faces: int
    face: FaceBox | None
    quality: tuple[CheckResult, ...]
    liveness: LivenessResult | None
    timings_ms: dict[str, float]


class MatchAnswer(Message, tag="match", tag_field="kind", frozen=True, kw_only=True):
    """The success of a MatchRequest: a match or a stranger. `score` is on the wire's scale."""

    retcode: Literal["0", "1"]
    identity_id: str
    name: str
    score: float
    identity_info: dict[str, Any]
    reg_pic: bytes | None = None
    debug: DebugInfo | None = None


class PersonAnswer(Message, tag="person", tag_field="kind", frozen=True, kw_only=True):
    """The success of an EnrolRequest. `image_id` names the face that was added, if one was."""

    identity_id: str
    group_names: tuple[str, ...]
    info: dict[str, Any]
    image_id: str | None = None
    photo: bytes | None = None


class DeletedAnswer(Message, tag="deleted", tag_field="kind", frozen=True, kw_only=True):
    """The success of a DeleteRequest."""

    identity_id: str


class RefusedAnswer(Message, tag="refused", tag_field="kind", frozen=True, kw_only=True):
    """The request was processed and the answer is an error of the table."""

    code: int
    message: str

    @property
    def status(self) -> str:
        """The wire's name of the code."""
        return Code(self.code).name


Answer = MatchAnswer | PersonAnswer | DeletedAnswer | RefusedAnswer


class Reply(Message, frozen=True, kw_only=True):
    """What a processor tells the ingress that waits. `gallery_version`: the people topic's offset after the records
    that this request wrote (enrolment), else the version that was searched."""

    request_id: str
    answer: Answer
    gallery_version: int


class ErrorInfo(Message, frozen=True, kw_only=True):
    """An error of the table, as it was answered."""

    code: int
    status: str
    message: str


class Threshold(Message, frozen=True, kw_only=True):
    """The threshold that was applied, on the wire's scale, and the rule it came from."""

    value: float
    rule: str


class Scope(Message, frozen=True, kw_only=True):
    """Whose people were searched."""

    group_name: str
    permission_name: str | None = None


class RequestPlace(Message, frozen=True, kw_only=True):
    """Where the request stands in the log, and the sha256 (hex) of its picture."""

    topic: str
    partition: int
    offset: int
    sha256: str | None = None


class Event(Message, frozen=True, kw_only=True):
    """What happened to one accepted request; docs/event.schema.json is made from this.

    `id` is the request's id; `retry_of` is that of the request it sends again, if it does. Times are seconds since the
    epoch: `compare_time` is the device's, `received_time` the ingress's, `processed_time` the decision's.
    `identity_info` is filled only where the operator asks for it.
    """

    id: str
    kind: Literal["match", "enrol", "delete", "unreadable"]
    outcome: Outcome
    compare_time: float
    received_time: float
    processed_time: float
    request: RequestPlace
    gallery_version: int
    models: dict[str, str]
    compare_time_raw: str | None = None
    device_ip: str | None = None
    retcode: Literal["0", "1"] | None = None
    identity_id: str = ""
    name: str = ""
    person_type: int | None = None
    identity_info: dict[str, Any] | None = None
    score: float | None = None
    threshold: Threshold | None = None
    error: ErrorInfo | None = None
    scope: Scope | None = None
    faces: int | None = None
    face: FaceBox | None = None
    quality: tuple[CheckResult, ...] = ()
    liveness: LivenessResult | None = None
    grab_fiqa_info: dict[str, Any] | None = None
    timings_ms: dict[str, float] = {}
    retry_of: str | None = None


class PersonRecord(Message, frozen=True, kw_only=True):
    """people topic, key person/ID. `faces`: the numbers N of this person's face/ID/N records."""

    identity_id: str
    group_names: tuple[str, ...]
    info: dict[str, Any]
    faces: tuple[int, ...]
    next_face: int


class FaceRecord(Message, frozen=True, kw_only=True):
    """people topic, key face/ID/N: one embedding (little-endian float32 bytes, unit length) and its model."""

    identity_id: str
    number: int
    vector: bytes
    model: str
    has_photo: bool


class PhotoRecord(Message, frozen=True, kw_only=True):
    """people topic, key photo/ID/N: the enrolled photo, a JPEG."""

    identity_id: str
    number: int
    jpeg: bytes


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
_event_encoder = msgspec.json.Encoder()
_request_decoder: msgspec.msgpack.Decoder[Request] = msgspec.msgpack.Decoder(Request)
_reply_decoder: msgspec.msgpack.Decoder[Reply] = msgspec.msgpack.Decoder(Reply)
_event_decoder: msgspec.json.Decoder[Event] = msgspec.json.Decoder(Event)
_letter_decoder: msgspec.msgpack.Decoder[DeadLetter | RetryMark] = msgspec.msgpack.Decoder(DeadLetter | RetryMark)


def encode(message: Message) -> bytes:
    """A message as MessagePack."""
    return _encoder.encode(message)


def _decode(decoder: msgspec.msgpack.Decoder[T] | msgspec.json.Decoder[T], data: bytes) -> T:
    try:
        return decoder.decode(data)
    except (UnicodeDecodeError, RecursionError) as error:
        raise msgspec.DecodeError("text that is not UTF-8, or values nested too deeply") from error


def decode_request(data: bytes) -> Request:
    """A record of the requests topic.

    Raises:
        msgspec.DecodeError: it is not one.
    """
    return _decode(_request_decoder, data)


def decode_reply(data: bytes) -> Reply:
    """A record of the replies topic.

    Raises:
        msgspec.DecodeError: it is not one.
    """
    return _decode(_reply_decoder, data)


def decode_dead_letter(data: bytes) -> DeadLetter | RetryMark:
    """A record of the dead-letters topic.

    Raises:
        msgspec.DecodeError: it is neither.
    """
    return _decode(_letter_decoder, data)


def encode_event(event: Event) -> bytes:
    """An event as JSON."""
    return _event_encoder.encode(event)


def event_schema() -> dict[str, Any]:
    """The JSON Schema (2020-12) of an event; docs/event.schema.json holds it."""
    schema = msgspec.json.schema(Event)
    for definition in schema["$defs"].values():
        definition["description"] = cleandoc(definition["description"])
        for field in definition["properties"].values():
            for alternatives in ("enum", "anyOf"):
                # The library gives these in the order of a set, which changes from run to run.
                if alternatives in field:
                    field[alternatives].sort(key=str)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "PictureMatch event", **schema}


def decode_event(data: bytes) -> Event:
    """A record of the events topic.

    Raises:
        msgspec.DecodeError: it is not one.
    """
    return _decode(_event_decoder, data)
