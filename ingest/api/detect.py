"""The handler of detect."""

import struct

from msgspec import UNSET

from contract.calls.declaration import Declaration, Values
from contract.calls.detect import DETECT, FoundFace, PersonAttribute
from contract.calls.fiqa import HeadPose
from contract.calls.shared import Data
from contract.findings import Attributes, DetectedFace, FaceBox, HeadAngles
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


def headpose_of(angles: HeadAngles) -> HeadPose:
    """Return the angles of a head by the vendor's names."""
    pitch, roll, yaw = (round(angle, _DECIMALS) for angle in (angles.pitch, angles.roll, angles.yaw))
    return HeadPose(pitch_angle=pitch, roll_angle=roll, yaw_angle=yaw)


def landmark_of(points: tuple[tuple[float, float], ...]) -> list[int]:
    """Return the x of all points, and then their y, in whole pixels."""
    return [round(point[axis]) for axis in (0, 1) for point in points]


def _request(call: Call, values: Values) -> DetectRequest:
    return request_of(DetectRequest, call, values, picture=b"", most_faces=values["max_num_faces"])


def _found(found: DetectedFace) -> FoundFace:
    return FoundFace(
        bbox=corners(found.face),
        attribute=UNSET if found.attributes is None else attribute_of(found.attributes),
        headpose=UNSET if found.angles is None else headpose_of(found.angles),
        landmark=UNSET if found.landmarks is None else landmark_of(found.landmarks),
        feature=UNSET if found.feature is None else _numbers(found.feature),
    )


def _numbers(feature: bytes) -> list[float]:
    return list(struct.unpack(f"<{len(feature) // 4}f", feature))


CALLS = (Binding(declaration=DETECT, handle=_detect, request=DetectRequest),)
