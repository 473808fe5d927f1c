"""The handler of FIQA (face image quality assessment)."""

from typing import Any

import msgspec

from contract.calls.declaration import Declaration, Values
from contract.calls.fiqa import FIQA, AssessedFace, Scores
from contract.calls.shared import Data
from contract.findings import CheckResult, FaceQuality, MeasuredItem
from contract.messages import FiqaAnswer, FiqaRequest
from ingest.api.binding import Binding, Services, ask, request_of
from ingest.api.detect import corners
from ingest.call import Call
from ingest.pictures import PictureField
from ingest.render import Rendered, success

_PICTURES = (PictureField("image_base64_str", "picture", path="image_path"),)
_NOT_MEASURED = -1
_DECIMALS = 4
"""Further decimals would be noise: they differ between JPEG decoders."""


def _request(call: Call, values: Values) -> FiqaRequest:
    return request_of(FiqaRequest, call, values, picture=b"", quality_level=values["fiqa_level"])


async def assessed_faces(call: Call, services: Services, declaration: Declaration) -> list[AssessedFace]:
    """Return the faces of the picture of a call of FIQA, the largest first.

    Raises:
        Refused: the call is refused, by the ingress or by the processor.
    """
    answer, _ = await ask(call, services, declaration, _request, _PICTURES, FiqaAnswer)
    return [_assessed(face) for face in answer.faces]


async def _fiqa(call: Call, services: Services) -> Rendered:
    return success(Data(await assessed_faces(call, services, FIQA)))


def _assessed(found: FaceQuality) -> AssessedFace:
    return AssessedFace(
        bbox=corners(found.face),
        success=[check.name for check in found.checks if check.passed],
        fails=[check.name for check in found.checks if not check.passed],
        fiqa_result=found.passed,
        info=_scores(found),
        score=round(found.quality_score, _DECIMALS),
    )


def _scores(found: FaceQuality) -> Scores:
    """Return the scores of a face by the vendor's names.

    The vendor's `partial` and `mask` are verdicts. The item mask of PictureMatch measures how clearly a mouth is
    visible, so a lower value is worse; the vendor's name means the opposite.
    """
    scores: dict[str, Any] = {"mask": _NOT_MEASURED, "occlusion": []}
    items: tuple[CheckResult | MeasuredItem, ...] = (*found.checks, *found.measured)
    for item in items:
        value = round(item.value, _DECIMALS)
        if item.name == "headpose":
            scores["headpose"] = {f"{name}_angle": round(angle, _DECIMALS) for name, angle in item.detail.items()}
        elif item.name == "partial":
            scores["partial"], scores["partial_share"] = found.cut, value
        elif item.name == "mask":
            scores["mask"], scores["mouth_shown"] = int(found.masked), value
        else:
            scores[item.name] = [value] if item.name == "occlusion" else value
    # An item of a newer processor that Scores does not contain is dropped.
    return msgspec.convert(scores, Scores)


CALLS = (Binding(declaration=FIQA, handle=_fiqa, role="device", request=FiqaRequest),)
