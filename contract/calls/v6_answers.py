"""The answers of the calls of version 6."""

from typing import Any

from msgspec import UNSET, Struct, UnsetType

from contract.calls.detect import PersonAttribute, PlacedFace
from contract.calls.fiqa import Scores
from contract.calls.v6_rules import UserType


class FoundIdentity(Struct, frozen=True, kw_only=True):
    """The person whom a search names; every member is absent where the search names nobody."""

    identity_id: str | UnsetType = UNSET
    identity_name: str | UnsetType = UNSET
    user_type: UserType | UnsetType = UNSET
    permission_ids: list[str] | UnsetType = UNSET
    ext_user_info: dict[str, Any] | UnsetType = UNSET
    face_ids: list[str] | UnsetType = UNSET
    register_image_ids: list[str] | UnsetType = UNSET


class SearchTimes(Struct, frozen=True, kw_only=True):
    """Milliseconds: of the work on the picture, and from the arrival of the call to its answer."""

    comparetime: int
    totaltime: int


class SearchResult(Struct, frozen=True, kw_only=True):
    """Whether a person was recognised who may pass. `register_image`: a data URL, absent where no photo is stored."""

    result: bool
    score: float
    identity_id: str
    identity_info: FoundIdentity
    register_image: str | UnsetType = UNSET
    attribute: PersonAttribute | UnsetType = UNSET
    debug_info: SearchTimes | UnsetType = UNSET


class Similarity(Struct, frozen=True, kw_only=True):
    """The similarity of two faces: from 82 on they are very probably of one person."""

    score: float


class DetailedResult(Struct, frozen=True, kw_only=True):
    """The quality of the largest face, with `bbox` as in version 5."""

    bbox: tuple[int, int, int, int]
    passed_items: list[str]
    failed_items: list[str]
    detailed_scores: Scores
    quality_score: float


class FiqaResult(Struct, frozen=True, kw_only=True):
    """Whether the largest face passes the level, and the values from which that follows."""

    fiqa_result: bool
    detailed_result: DetailedResult


class FoundFaceV6(PlacedFace, frozen=True, kw_only=True):
    """One face with `feature_base64_str`, its embedding as little-endian float32 in base64."""

    feature_base64_str: str | UnsetType = UNSET


class DetectResult(Struct, frozen=True, kw_only=True):
    """The faces of a picture, the largest first."""

    faces: list[FoundFaceV6]


class CreatedPermission(Struct, frozen=True, kw_only=True):
    """A permission after it was created."""

    permission_id: str
    permission_name: str
    description: str


class LookalikeV6(Struct, frozen=True, kw_only=True):
    """An enrolled person whom a search could take for another one, with the score on the scale 0..100.

    `shares_scope`: both people have a group and a permission in common, so that a search can compare both.
    """

    identity_id: str
    score: float
    shares_scope: bool


class CreatedIdentity(Struct, frozen=True, kw_only=True):
    """A person after the creation; `register_image_id` and `face_id` are the same name of the new face.

    `lookalikes`, a field of our own: present only where there are some: the other enrolled people whose faces are too
    similar.
    """

    identity_id: str
    register_image_id: str
    face_id: str
    lookalikes: list[LookalikeV6] | UnsetType = UNSET


class AddedDevice(Struct, frozen=True, kw_only=True):
    """A device after it was added."""

    media_device_id: str
    media_device_name: str


class SiteConfigs(Struct, frozen=True, kw_only=True):
    """Settings of the site; only those that were set or asked for are present."""

    HISTORY_EVENT_UPLOAD_URL: str | UnsetType = UNSET
    HISTORY_REPORT_PEROID: int | UnsetType = UNSET
    GATE_DUPLICATE_REMOVAL_TIMEOUT: int | UnsetType = UNSET
    MATCH_THRESHOLD: float | UnsetType = UNSET
    GATE_SUPPORT_STRANGER_GROUP: bool | UnsetType = UNSET
