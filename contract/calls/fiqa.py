"""The declaration of FIQA (face image quality assessment): how good is a picture for recognition?

The names are the vendor's; the values are in the units of PictureMatch (docs/interface.md).
"""

from msgspec import UNSET, Struct, UnsetType

from contract.calls.declaration import Answer, Declaration, Field
from contract.calls.rules import PICTURE, PICTURE_PATH
from contract.calls.shared import EXAMPLE_PICTURE, QUALITY_LEVEL, Data
from contract.errors import Code
from contract.http import FIQA_PATH


class HeadPose(Struct, frozen=True, kw_only=True):
    """The angles of the head in degrees."""

    pitch_angle: float
    roll_angle: float
    yaw_angle: float


class Scores(Struct, frozen=True, kw_only=True):
    """Every measured item, including items without a limit, which neither pass nor fail.

    `partial` and `mask` (1 worn, 0 not worn, -1 not measured) are verdicts, which follow from the values
    `partial_share` and `mouth_shown`; `occlusion` is empty, because no network measures it.
    """

    mask: int
    occlusion: list[float]
    face_size: float | UnsetType = UNSET
    headpose: HeadPose | UnsetType = UNSET
    partial: bool | UnsetType = UNSET
    partial_share: float | UnsetType = UNSET
    brightness: float | UnsetType = UNSET
    clarity: float | UnsetType = UNSET
    mouth_shown: float | UnsetType = UNSET


class AssessedFace(Struct, frozen=True, kw_only=True):
    """The quality of one face. `bbox`: left, top, right and bottom in pixels of the upright picture; `score` 0..1."""

    bbox: tuple[int, int, int, int]
    success: list[str]
    fails: list[str]
    fiqa_result: bool
    info: Scores
    score: float


_SCORES = {
    "mask": 0,
    "occlusion": [],
    "face_size": 98.0,
    "headpose": {"pitch_angle": -4.1, "roll_angle": 1.2, "yaw_angle": 7.9},
    "partial": False,
    "partial_share": 0.0,
    "brightness": 121.4,
    "clarity": 0.47,
    "mouth_shown": 1.6,
}
_PASSED = ["headpose", "partial", "brightness", "clarity", "mask"]
_FACE = {
    "bbox": [212, 90, 310, 215],
    "success": _PASSED,
    "fails": ["face_size"],
    "fiqa_result": False,
    "info": _SCORES,
    "score": 0.71,
}

FIQA = Declaration(
    method="POST",
    path=FIQA_PATH,
    route="fiqa",
    summary="How good is this picture for recognition? One entry for each face, the largest first.",
    fields=(
        Field(
            "image_path",
            PICTURE_PATH,
            "The path of a picture file, sent like `image_file_path`; wins over `image_base64_str`.",
        ),
        Field(
            "image_base64_str",
            PICTURE,
            "The picture, sent like `rgb_image_base64`. Required unless `image_path` is sent.",
            example=EXAMPLE_PICTURE,
        ),
        Field(
            "fiqa_level",
            QUALITY_LEVEL,
            "The quality level with which each face is compared.",
            default="high",
            example="middle",
        ),
    ),
    any_of=(("image_base64_str", "image_path"),),
    answers=(Answer(Data[list[AssessedFace]], {"data": [_FACE]}),),
    errors=(Code.NO_FACE,),
    typeless_is_json=True,
)
