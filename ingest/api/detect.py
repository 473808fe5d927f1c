"""The handler of detect."""

import struct
from typing import Any

from msgspec import UNSET

from contract.calls.declaration import Declaration, Values
from contract.calls.detect import DETECT, FoundFace, PersonAttribute
from contract.calls.fiqa import HeadPose
from contract.calls.shared import Data
from contract.findings import Attributes, DetectedFace, FaceBox
from contract.messages import DetectAnswer, DetectRequest
from ingest.api.binding import Binding, Services, ask, request_of
from ingest.call import Call
from ingest.pictures import PictureField
from ingest.render import Rendered, success

_PICTURES = (PictureField("image_base64_str", "picture"),)
_DECIMALS = 4


async def _detect(call: Call, services: Services) -> Rendered:
    return success(Data([_found(face) for face in await detected_faces(call, services, DETECT, _PICTURES)]))


async def detected_faces(
    call: Call, services: Services, declaration: Declaration, pictures: tuple[PictureField, ...]
) -> tuple[DetectedFace, ...]:
    """Return the faces of the picture of a call of detect.

    Raises:
        Refused: the call is refused, by the ingress or by the processor.
    """
    answer, _ = await ask(call, services, declaration, _request, pictures, DetectAnswer)
    return answer.faces


def corners(face: FaceBox) -> tuple[int, int, int, int]:
    """Return the left, top, right and bottom of a face in whole pixels."""
    return round(face.x), round(face.y), round(face.x + face.width), round(face.y + face.height)


def attribute_of(attributes: Attributes) -> PersonAttribute:
    """Return attributes by the vendor's names."""
    age = attributes.age_years
    return PersonAttribute(age=None if age is None else round(age), gender=attributes.sex)


def placed(found: DetectedFace) -> dict[str, Any]:
    """Return the members of a face that both versions have, by the vendor's names."""
    members: dict[str, Any] = {"bbox": corners(found.face)}
    if found.attributes is not None:
        members["attribute"] = attribute_of(found.attributes)
    if found.angles is not None:
        angles = {"pitch_angle": found.angles.pitch, "roll_angle": found.angles.roll, "yaw_angle": found.angles.yaw}
        members["headpose"] = HeadPose(**{name: round(angle, _DECIMALS) for name, angle in angles.items()})
    if found.landmarks is not None:
        members["landmark"] = [round(point[axis]) for axis in (0, 1) for point in found.landmarks]
    return members


def _request(call: Call, values: Values) -> DetectRequest:
    return request_of(DetectRequest, call, values, picture=b"", most_faces=values["max_num_faces"])


def _found(found: DetectedFace) -> FoundFace:
    feature = found.feature
    numbers = UNSET if feature is None else list(struct.unpack(f"<{len(feature) // 4}f", feature))
    return FoundFace(**placed(found), feature=numbers)


CALLS = (Binding(declaration=DETECT, handle=_detect, role="device", request=DetectRequest),)
