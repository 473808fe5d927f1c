"""Liveness from a second, infrared picture: checks that can be explained, each reported by name.

The first: the infrared picture holds a face where the colour picture does. A screen emits hardly any near infrared, so
a face that is replayed on one is missing there.
"""

from engine.vision.ports import Box, Check, Detector, Face, Image

MIN_OVERLAP = 0.2
"""Intersection over union that both boxes must reach, each relative to its own picture. Two lenses side by side see a
near face shifted by up to half its width (0.33) and at a somewhat different size."""


def infrared_face_check(image: Image, face: Face, infrared: Image, detector: Detector) -> Check:
    """The check `ir_face`: its value is the best overlap of an infrared face with `face`; 0 where there is none."""
    wanted = _relative(face.box, image)
    overlaps = [overlap(wanted, _relative(other.box, infrared)) for other in detector(infrared)]
    best = max(overlaps, default=0.0)
    return Check("ir_face", best, MIN_OVERLAP, best >= MIN_OVERLAP)


def overlap(one: Box, other: Box) -> float:
    """Intersection over union, 0..1."""
    width = min(one.x + one.width, other.x + other.width) - max(one.x, other.x)
    height = min(one.y + one.height, other.y + other.height) - max(one.y, other.y)
    shared = max(width, 0.0) * max(height, 0.0)
    union = one.area + other.area - shared
    return shared / union if union > 0 else 0.0


def _relative(box: Box, image: Image) -> Box:
    rows, columns = image.shape[:2]
    return Box(box.x / columns, box.y / rows, box.width / columns, box.height / rows)
