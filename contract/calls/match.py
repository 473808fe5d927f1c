"""The declaration of PictureMatch: who is the person in a picture?"""

from dataclasses import replace
from typing import Any, Literal, Self

from msgspec import UNSET, Struct, UnsetType

from contract.answers import DebugInfo
from contract.calls.declaration import Answer, Declaration, Field, flag
from contract.calls.names import DEVICE, SCOPE_NAME
from contract.calls.rules import PICTURE, PICTURE_PATH, PICTURES, choice, free_object, whole
from contract.calls.shared import COMPARE_TIME, EXAMPLE_PICTURE
from contract.errors import Code
from contract.findings import Attributes, CheckResult, LivenessResult, MatchedFace
from contract.http import MATCH_PATH
from contract.requests import MAX_PICTURES
from contract.terms import LIVENESS_ORDER


class FaceInPicture(Struct, frozen=True, kw_only=True):
    """One face of the picture, with match_all_faces; the fields are those that an answer about this face alone has.

    `bbox`: left, top, width and height in pixels. `outcome` as in events. A face that an answer would refuse has the
    number of that error as `error_code`, and neither retcode nor score. `chosen`: the face was chosen by the rule of
    the setting `matching.face`. `answered`: the fields of the answer are about this face. `kept_by_another`: the
    nearest person, with this score, was recognised in another face, so that this one counts as a stranger's.
    """

    bbox: tuple[float, float, float, float]
    outcome: str
    retcode: Literal["0", "1"] | UnsetType = UNSET
    identity_id: str
    name: str
    score: float | UnsetType = UNSET
    error_code: int | UnsetType = UNSET
    quality_score: float | None
    quality: tuple[CheckResult, ...]
    liveness: LivenessResult | None
    chosen: bool
    answered: bool
    kept_by_another: bool

    @classmethod
    def of(cls, face: MatchedFace) -> Self:
        """Return a face as answers contain it."""
        box = face.face
        return cls(
            bbox=(0.0, 0.0, 0.0, 0.0) if box is None else (box.x, box.y, box.width, box.height),
            outcome=face.outcome,
            retcode=UNSET if face.retcode is None else face.retcode,
            identity_id=face.identity_id,
            name=face.name,
            score=UNSET if face.score is None else face.score,
            error_code=UNSET if face.error_code is None else face.error_code,
            quality_score=face.quality_score,
            quality=face.quality,
            liveness=face.liveness,
            chosen=face.chosen,
            answered=face.answered,
            kept_by_another=face.kept_by_another,
        )


class MatchResult(Struct, frozen=True, kw_only=True):
    """A match (retcode "1"), or none (retcode "0"), which is a success as well.

    `reg_pic`, `attributes`, `debug_info` and `faces` are present only where the request asks for them. `faces`: every
    face that was searched for: the chosen one, its rival, and then the largest.
    """

    retcode: Literal["0", "1"]
    identity_id: str
    name: str
    score: float
    identity_info: dict[str, Any]
    reg_pic: str | UnsetType = UNSET
    attributes: Attributes | UnsetType = UNSET
    debug_info: DebugInfo | UnsetType = UNSET
    faces: tuple[FaceInPicture, ...] | UnsetType = UNSET


MOST_FACES = 10
"""The most faces of a picture that are searched for."""

_MATCHED = {"retcode": "1", "identity_id": "666666", "name": "Ada", "score": 0.8312, "identity_info": {"type": 1}}
_STRANGER = {"retcode": "0", "identity_id": "", "name": "stranger", "score": 0.4512, "identity_info": {}}

MATCH = Declaration(
    method="POST",
    path=MATCH_PATH,
    route="match",
    summary="Who is this? A face of a picture, or of several pictures of one passage, is compared with everybody"
    " enrolled in the device's scope.",
    fields=(
        Field(
            "image_file_path",
            PICTURE_PATH,
            "The path of a picture file under `ingest.image_roots`; wins over `rgb_image_base64`. Only callers from a"
            " trusted network or with an API key may send a path.",
        ),
        Field(
            "rgb_image_base64",
            PICTURE,
            "The picture: JPEG (PNG, WebP and BMP are accepted too) in base64 of either alphabet, with or without a"
            " data-URL prefix, line breaks and padding. Required unless `image_file_path` or `rgb_images_base64` is"
            " sent.",
            example=EXAMPLE_PICTURE,
        ),
        Field(
            "rgb_images_base64",
            PICTURES,
            f"Several pictures of one passage of one person, each sent like `rgb_image_base64`; a field of PictureMatch"
            f" only. A picture in `rgb_image_base64` or `image_file_path` counts as the first one before these, and all"
            f" together may be at most {MAX_PICTURES}.",
        ),
        Field(
            "ir_image_base64",
            replace(PICTURE, empty_is_absent=False),
            "The infrared picture; sending it turns the check of infrared liveness on. An empty text is an error.",
        ),
        Field(
            "group_name",
            SCOPE_NAME,
            "The group that is searched instead of the group of the device; without `permission_name` the permission is"
            " still that of the device.",
        ),
        Field(
            "permission_name",
            SCOPE_NAME,
            "The permission that is searched instead of that of the device; only together with `group_name`.",
        ),
        Field(
            "device_ip",
            DEVICE,
            "The device: an IP address or a host-like name of 1..255 characters, in any spelling; blanks around it are"
            " removed. Required unless `group_name` is sent.",
            example="192.168.1.22",
        ),
        COMPARE_TIME,
        flag(
            "need_register_photo",
            "The answer contains `reg_pic`, the photo with which the matched face was enrolled.",
        ),
        Field("min_face_size", whole(0, 65_535), "Faces whose shorter side has fewer pixels are ignored.", default=0),
        Field(
            "liveness_mode",
            choice(*LIVENESS_ORDER),
            "Can raise the site's least mode (the setting `matching.liveness_floor`), never lower it. With"
            " `ir_image_base64` the mode is always `liveness_rgb_ir`.",
            default="liveness_off",
        ),
        flag(
            "need_keep_info",
            "The answer names the best candidate below the threshold too; needs `matching.allow_keep_info`.",
        ),
        flag(
            "with_attribute",
            "The answer contains `attributes`: age_years, age_class, sex, mask, glasses; an attribute is null where no"
            " network computes it, or none could for this face. The decision never depends on attributes.",
        ),
        flag(
            "with_debug_info",
            "The answer contains `debug_info`: faces, face box, quality items and quality_score, liveness checks,"
            " milliseconds per stage, each counted once, and `cover`: the cover (`mouth`, `eyes`) by whose templates"
            " somebody was recognised; null otherwise.",
        ),
        flag(
            "match_all_faces",
            f"Every face of at least `min_face_size` is searched for, at most {MOST_FACES} (the chosen one, its"
            " rival, and the largest others), and the answer contains `faces`, in which each person is recognised at"
            " most once. The vendor does not have this field.",
        ),
        flag(
            "support_stranger",
            "A face that is good enough and unknown is enrolled as a person of type 4 (stranger); needs"
            " `matching.enrol_strangers`.",
        ),
        Field(
            "grab_fiqa_info",
            free_object(),
            "The camera's own measurements of the face; recorded in the event unchanged.",
        ),
    ),
    any_of=(("device_ip", "group_name"), ("rgb_image_base64", "image_file_path", "rgb_images_base64")),
    answers=(Answer(MatchResult, _MATCHED), Answer(MatchResult, _STRANGER)),
    errors=(
        *(Code.NO_FACE, Code.LOW_QUALITY_ERROR, Code.EMPTY_GROUP_ERROR),
        *(Code.LIVENESS_DETECT_FAIL, Code.DEVICE_ID_NOT_FOUND),
    ),
    typeless_is_json=True,
)
