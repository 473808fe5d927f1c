"""The answers of the processors: the values of the replies topic.

All messages are MessagePack maps in which pictures stay raw bytes. A reader ignores unknown fields, so that a newer
writer does not break an older reader; a field never changes its meaning.
"""

from typing import Any, Literal

import msgspec

from contract.codec import decode_with
from contract.errors import Code
from contract.findings import (
    Attributes,
    CheckResult,
    DetectedFace,
    FaceBox,
    FaceQuality,
    LivenessResult,
    Lookalike,
    MatchedFace,
)
from contract.imports import ImportFailure
from contract.roles import Role
from contract.terms import Cover, Message


class DebugInfo(Message, frozen=True, kw_only=True):
    """The values that with_debug_info adds to an answer.

    `cover`: nobody was recognised by the templates of whole faces, and somebody was by those of faces with this cover;
    null: the templates of whole faces decided, or nothing was searched.
    """

    faces: int
    face: FaceBox | None
    quality: tuple[CheckResult, ...]
    liveness: LivenessResult | None
    timings_ms: dict[str, float]
    quality_score: float | None = None
    cover: Cover | None = None


class MatchAnswer(Message, tag="match", tag_field="kind", frozen=True, kw_only=True):
    """The success of a MatchRequest: a match or a stranger.

    `score` is on the wire's scale, `percent` the same on the scale 0..100. `face_numbers`: the faces of the person whom
    the answer names. `faces`: all faces that were searched for, where the request asked for them.
    """

    retcode: Literal["0", "1"]
    identity_id: str
    name: str
    score: float
    identity_info: dict[str, Any]
    reg_pic: bytes | None = None
    debug: DebugInfo | None = None
    attributes: Attributes | None = None
    percent: float = 0.0
    face_numbers: tuple[int, ...] = ()
    faces: tuple[MatchedFace, ...] | None = None


class CompareDebug(Message, frozen=True, kw_only=True):
    """The values that with_debug_info adds to the answer of a comparison, for each picture.

    Each `timings_ms` covers both pictures together.
    """

    face: DebugInfo
    card: DebugInfo


class CompareAnswer(Message, tag="compare", tag_field="kind", frozen=True, kw_only=True):
    """The success of a CompareRequest: retcode "1" means the same person; `score` and `percent` as in MatchAnswer."""

    retcode: Literal["0", "1"]
    score: float
    debug: CompareDebug | None = None
    percent: float = 0.0


class FiqaAnswer(Message, tag="fiqa", tag_field="kind", frozen=True, kw_only=True):
    """The success of a FiqaRequest: the quality of each face, the largest face first."""

    faces: tuple[FaceQuality, ...]


class DetectAnswer(Message, tag="detect", tag_field="kind", frozen=True, kw_only=True):
    """The success of a DetectRequest: the faces of the picture, the largest first."""

    faces: tuple[DetectedFace, ...]


class PersonAnswer(Message, tag="person", tag_field="kind", frozen=True, kw_only=True):
    """The success of an EnrolRequest, or of a StrangerRequest, for whose answer nobody waits.

    `image_id` names the photo of the face that the request added; where a request changed the person without a face,
    it names that of the face that was added last. `unchanged`: the request repeated what was already enrolled
    (engine.calls.repeated), and `image_id` names the photo of the repeated face. `lookalikes`: the other people whose
    faces are too similar to that of the request (engine.calls.lookalikes).
    """

    identity_id: str
    group_names: tuple[str, ...]
    info: dict[str, Any]
    image_id: str | None = None
    photo: bytes | None = None
    unchanged: bool = False
    lookalikes: tuple[Lookalike, ...] = ()


class DeletedAnswer(Message, tag="deleted", tag_field="kind", frozen=True, kw_only=True):
    """The success of a DeleteRequest.

    `group_names`: the groups of the deleted person; empty where the person's record could not be read.
    """

    identity_id: str
    group_names: tuple[str, ...] = ()


class GroupAnswer(Message, tag="group", tag_field="kind", frozen=True, kw_only=True):
    """The success of a GroupRequest: the group afterwards or, where it was deleted, before; and who was deleted."""

    group_id: str
    name: str
    description: str = ""
    info: dict[str, Any] = msgspec.field(default_factory=dict)
    people_deleted: int = 0


class MembersAnswer(Message, tag="members", tag_field="kind", frozen=True, kw_only=True):
    """The success of a MembersRequest: the group, and the unknown people of the request, who were skipped.

    The people in the group are not listed, because a reply must stay smaller than the records that the log accepts.
    """

    group_id: str
    group_name: str
    failed: tuple[str, ...] = ()


class PermissionAnswer(Message, tag="permission", tag_field="kind", frozen=True, kw_only=True):
    """The success of a PermissionRequest: the permission as in GroupAnswer, and the number of people deleted."""

    permission_id: str
    name: str
    description: str = ""
    info: dict[str, Any] = msgspec.field(default_factory=dict)
    people_deleted: int = 0


class FailedDevice(Message, frozen=True, kw_only=True):
    """A device of a DevicesRequest that was not created, changed or deleted, and the reason in one sentence."""

    reason: str
    code: int
    device_id: str | None = None
    name: str | None = None
    address: str | None = None


class NamedDevice(Message, frozen=True, kw_only=True):
    """A device that was created, changed or deleted."""

    device_id: str
    name: str
    device_type: str


class DevicesAnswer(Message, tag="devices", tag_field="kind", frozen=True, kw_only=True):
    """The success of a DevicesRequest: the devices that were changed as asked, and those that were not."""

    succeeded: tuple[NamedDevice, ...]
    failed: tuple[FailedDevice, ...] = ()


class SettingsAnswer(Message, tag="settings", tag_field="kind", frozen=True, kw_only=True):
    """The success of a SettingsRequest.

    `values`: the settings that were set, as they are stored now. `failed`: name of a setting that could not be set ->
    the reason, in one sentence.
    """

    values: dict[str, Any]
    failed: dict[str, str] = msgspec.field(default_factory=dict)


class WipedAnswer(Message, tag="wiped", tag_field="kind", frozen=True, kw_only=True):
    """The success of a WipeRequest: how many people and devices it deleted."""

    people: int
    devices: int


class KeyAnswer(Message, tag="key", tag_field="kind", frozen=True, kw_only=True):
    """The success of a KeyRequest: the key that was created, or deleted. `created_s`: epoch seconds."""

    key_id: str
    name: str
    role: Role
    created_s: float


FaceOutcome = Literal["added", "present", "gone", "other_photo", "removed", "kept"]
"""What came of one face of a ReembedRequest. `added`: it has the templates now. `present`: it had some of that embedder
already. `gone`: the person or the face is not enrolled any more. `other_photo`: the face was enrolled with another
photo. `removed`: its records of other embedders are gone. `kept`: it has no record that may be removed."""


class ReembeddedAnswer(Message, tag="reembedded", tag_field="kind", frozen=True, kw_only=True):
    """The success of a ReembedRequest: what came of each face, in the order of the request."""

    outcomes: tuple[FaceOutcome, ...]


class ImportedAnswer(Message, tag="imported", tag_field="kind", frozen=True, kw_only=True):
    """The success of an ImportRequest.

    `added`: the people who were imported. `present`: the places, in the request, of those who were enrolled already
    exactly so. `faces`: the faces that were added, of which `unsearched` have no embedding of the embedder in use.
    `groups` and `permissions`: id in the request -> id by which the site knows the group or permission of that name.
    """

    added: int
    present: tuple[int, ...] = ()
    faces: int = 0
    unsearched: int = 0
    failed: tuple[ImportFailure, ...] = ()
    groups: dict[str, str] = msgspec.field(default_factory=dict)
    permissions: dict[str, str] = msgspec.field(default_factory=dict)


class RefusedAnswer(Message, tag="refused", tag_field="kind", frozen=True, kw_only=True):
    """The request was processed, and the answer is an error of the error table.

    `cause`: a contract.errors.Cause; a reader ignores a word that it does not know.
    """

    code: int
    message: str
    cause: str | None = None

    @property
    def status(self) -> str:
        """The name of the code on the wire."""
        return Code(self.code).status


ScopeAnswer = GroupAnswer | MembersAnswer | PermissionAnswer
Answer = (
    MatchAnswer
    | CompareAnswer
    | FiqaAnswer
    | DetectAnswer
    | PersonAnswer
    | DeletedAnswer
    | ScopeAnswer
    | DevicesAnswer
    | SettingsAnswer
    | WipedAnswer
    | KeyAnswer
    | ReembeddedAnswer
    | ImportedAnswer
    | RefusedAnswer
)


class Effort(Message, frozen=True, kw_only=True):
    """Seconds for which a request waited in its processor for a matching thread, and seconds for which it used one."""

    waited_s: float
    worked_s: float


class Reply(Message, frozen=True, kw_only=True):
    """The reply of a processor to the ingress that waits for it.

    `gallery_version`: the offset in the people topic behind the records that the request wrote (administration), else
    the version that was searched. `effort`: absent where the request used no matching thread; the ingress computes from
    it how many requests keep the processors busy (ingest.pace).
    """

    request_id: str
    answer: Answer
    gallery_version: int
    effort: Effort | None = None
    replay_of: str | None = None


_decoder: msgspec.msgpack.Decoder[Reply] = msgspec.msgpack.Decoder(Reply)


def decode_reply(data: bytes) -> Reply:
    """Return the reply that a record of the replies topic contains.

    Raises:
        msgspec.DecodeError: the bytes are not a reply.
    """
    return decode_with(_decoder, data)
