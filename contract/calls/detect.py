"""The declaration of detect: where are the faces in a picture?"""

from typing import Any, Literal

from msgspec import UNSET, Struct, UnsetType

from contract.calls.declaration import Answer, Declaration, Field, flag
from contract.calls.fiqa import HeadPose
from contract.calls.rules import PICTURE, Rule, param_error, whole
from contract.calls.shared import EXAMPLE_PICTURE, Data
from contract.errors import Code
from contract.http import DETECT_PATH

MOST_FACES = 20
"""The most faces of one picture, so that the cost of a picture is bounded."""


class PersonAttribute(Struct, frozen=True, kw_only=True):
    """The estimated age in years and gender of a person; null where no network estimates it."""

    age: int | None
    gender: Literal["male", "female"] | None


class PlacedFace(Struct, frozen=True, kw_only=True):
    """One face in whole pixels of the upright picture, and what the call asks for.

    `bbox`: left, top, right and bottom. `landmark`: the x of five points and then their y: the eye on the picture's
    left, the other eye, the nose tip, the mouth corner on the picture's left, the other corner.
    """

    bbox: tuple[int, int, int, int]
    attribute: PersonAttribute | UnsetType = UNSET
    headpose: HeadPose | UnsetType = UNSET
    landmark: list[int] | UnsetType = UNSET


class FoundFace(PlacedFace, frozen=True, kw_only=True):
    """One face with `feature`, its embedding."""

    feature: list[float] | UnsetType = UNSET


def _never(value: Any, field: str) -> Any:
    raise param_error(f"{field} is not accepted: this server fetches nothing from addresses; send the picture itself")


_EXAMPLE = {
    "bbox": [212, 90, 310, 215],
    "attribute": {"age": 27, "gender": "male"},
    "landmark": [238, 285, 261, 242, 281, 138, 137, 165, 186, 185],
}
PICTURE_SENT = Field(
    "image_base64_str", PICTURE, "The picture, sent like `rgb_image_base64`.", required=True, example=EXAMPLE_PICTURE
)
WANTED = (
    flag("with_attribute", "Each face has its `attribute`: age and gender."),
    flag("with_headpose", "Each face has its `headpose`: three angles in degrees."),
    flag("with_landmark", "Each face has its `landmark`: five points."),
    flag(
        "with_feature", "Each face has its embedding, which only embeddings of the same network can be compared with."
    ),
    Field("max_num_faces", whole(1, MOST_FACES), "The most faces in the answer, the largest first.", default=10),
)

DETECT = Declaration(
    method="POST",
    path=DETECT_PATH,
    route="detect",
    summary="Where are the faces in this picture? One entry for each face, the largest first.",
    fields=(
        Field(
            "image_url",
            Rule(word="string", check=_never, schema={"type": "string"}),
            "Refused, because a server that fetches addresses can be made to fetch any.",
        ),
        PICTURE_SENT,
        *WANTED,
    ),
    answers=(Answer(Data[list[FoundFace]], {"data": [_EXAMPLE]}),),
    errors=(Code.NO_FACE,),
)
