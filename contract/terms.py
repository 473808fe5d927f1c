"""The words that requests, answers and events share: names, modes and levels."""

from typing import Literal

import msgspec

DEFAULT_GROUP = "default_group"
"""The id and the name of the group that always exists."""
DEFAULT_PERMISSION = "0"
"""The id and the name of the permission that always exists."""
STRANGER = "stranger"
KNOWN_STRANGER: Literal["known_stranger"] = "known_stranger"
"""The outcome of a match in which a person of type 4 was recognised."""
STRANGERS = (STRANGER, KNOWN_STRANGER)
PHOTO_DEVICE = "photo"
"""The type of the devices that send pictures; no device of another type is read."""

LivenessMode = Literal["liveness_off", "liveness_rgb", "liveness_rgb_ir"]
LIVENESS_ORDER: tuple[LivenessMode, ...] = ("liveness_off", "liveness_rgb", "liveness_rgb_ir")
QualityLevel = Literal["high", "middle", "low", "custom", "no"]
QUALITY_ORDER: tuple[QualityLevel, ...] = ("no", "low", "middle", "high")
"""The levels that can be compared, the least strict first; `custom` is not among them."""
FaceRule = Literal["chosen", "largest"]
"""Which of several faces of a picture counts (the setting matching.face)."""
Cover = Literal["mouth", "eyes"]
"""What covers a face: a face mask, or sunglasses."""
COVERED_MOUTH: Literal["mouth"] = "mouth"
COVERED_EYES: Literal["eyes"] = "eyes"
COVERS: tuple[Cover, ...] = (COVERED_MOUTH, COVERED_EYES)

CompareLevel = Literal["high", "middle", "low"]
LEAST_RATE = 1e-7
"""The lowest rate that matching.target_fpir and matching.highest_fmr may have: the lowest false match rate that was
measured for the embedder that ships (docs/accuracy.md). Nobody has shown that a lower one is kept."""
ThresholdRule = Literal["setting", "target_fpir", "floor", "model", "level", "accepted_score"]

PERSON_EMPLOYEE, PERSON_VISITOR, PERSON_BLACKLIST, PERSON_STRANGER, PERSON_VIP = 1, 2, 3, 4, 5


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """Base of all messages."""
