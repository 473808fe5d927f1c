"""The declaration of compare: do two pictures show the same person?"""

from typing import Literal

from msgspec import UNSET, Struct, UnsetType

from contract.answers import CompareDebug
from contract.calls.declaration import Answer, Declaration, Field, flag
from contract.calls.rules import COMPARISON_LEVEL, PICTURE, PLAIN, free_object
from contract.calls.shared import COMPARE_TIME, EXAMPLE_PICTURE, QUALITY_LEVEL
from contract.errors import Code
from contract.http import COMPARE_PATH


class CompareResult(Struct, frozen=True, kw_only=True):
    """The same person (retcode "1"), or two different people (retcode "0")."""

    retcode: Literal["0", "1"]
    score: float
    debug_info: CompareDebug | UnsetType = UNSET


COMPARE = Declaration(
    method="POST",
    path=COMPARE_PATH,
    route="compare",
    summary="Do two pictures show the same person? A face taken now is compared with that of a card or document.",
    fields=(
        Field(
            "face_image_base64",
            PICTURE,
            "The picture taken now, sent like `rgb_image_base64`. Of several faces one is chosen, as in PictureMatch.",
            required=True,
            example=EXAMPLE_PICTURE,
        ),
        Field(
            "card_image_base64", PICTURE, "The picture of the card, likewise.", required=True, example=EXAMPLE_PICTURE
        ),
        Field(
            "threshold",
            COMPARISON_LEVEL,
            "The level of the comparison. The figures are other names of the words, in the same order.",
            default="middle",
            example="high",
        ),
        Field(
            "fiqa_level",
            QUALITY_LEVEL,
            "The quality level of the face picture; absent: the setting `matching.match_quality`. The items of that"
            " level are measured in the card picture too and recorded in the event, but low values refuse nothing.",
        ),
        flag("need_save", "An event of the comparison is written."),
        flag(
            "with_debug_info",
            "The answer contains `debug_info`: the `debug_info` of PictureMatch for `face` and for `card`.",
        ),
        COMPARE_TIME,
        Field(
            "identity_info",
            free_object(identity_id=PLAIN, name=PLAIN),
            "Recorded in the event unchanged, at most 64 KiB; its `identity_id` and `name`, where they are strings,"
            " become those of the event.",
        ),
    ),
    answers=(Answer(CompareResult, {"retcode": "1", "score": 0.7421}),),
    errors=(Code.NO_FACE, Code.LOW_QUALITY_ERROR),
    typeless_is_json=True,
)
