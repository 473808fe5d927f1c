"""Stand-in networks with curves for covered faces, and drawn faces with a cover."""

from collections.abc import Mapping
from dataclasses import replace

from contract.terms import Cover
from engine.vision.covering import covered_copy
from engine.vision.decode.jpeg import encode_jpeg
from engine.vision.decode.versions import decode
from engine.vision.networks.standin import StandInEmbedder, detect, draw_face, draw_scene
from engine.vision.ports import Image, ModelSet
from models.manifest import FmrPoint
from tests.support.faces import MAX_PIXELS, MODELS, photo

NEAR, WHOLE, COVERED = 0.2, 0.78, 0.8
"""The cosine from which on covered templates are compared, and the thresholds of a search in a small gallery."""


def curve(threshold: float) -> tuple[FmrPoint, ...]:
    """A curve with about that threshold at the rates of a small gallery."""
    return (
        FmrPoint(fmr=1e-2, threshold=NEAR),
        FmrPoint(fmr=2e-3, threshold=threshold - 0.001),
        FmrPoint(fmr=1e-6, threshold=threshold + 0.001),
    )


class CoveredEmbedder(StandInEmbedder):
    """The stand-in with curves: WHOLE decides among whole faces, COVERED among covered ones."""

    fmr_curve = curve(WHOLE)
    covered_curves: Mapping[Cover, tuple[FmrPoint, ...]] = {"mouth": curve(COVERED), "eyes": curve(COVERED)}


COVERED_MODELS: ModelSet = replace(MODELS, embedder=CoveredEmbedder())


class UnevenEmbedder(CoveredEmbedder):
    """The stand-in with thresholds at which `covered_photo(1)` reaches those of both covers: mouth by .017, eyes by
    .026."""

    fmr_curve = curve(0.52)
    covered_curves: Mapping[Cover, tuple[FmrPoint, ...]] = {"mouth": curve(0.85), "eyes": curve(0.53)}


UNEVEN_MODELS: ModelSet = replace(MODELS, embedder=UnevenEmbedder())


def beside(seed: int, small: int, cover: Cover = "mouth") -> bytes:
    """A JPEG with the covered face of a seed and the face of another one, a third as large, which is no rival."""
    placed = [(draw_face(seed, 160), 240, 160), (draw_face(small, 53), 16, 16)]
    return _with_cover(draw_scene(640, 480, placed), 240, cover)


def two_near(middle: int, side: int, covered: int) -> bytes:
    """A JPEG with the faces of two seeds that are as near; the first is chosen, and `covered` has a mask."""
    at = {middle: (240, 160), side: (32, 32)}
    image = draw_scene(640, 480, [(draw_face(seed, 150), *place) for seed, place in at.items()])
    return _with_cover(image, at[covered][0], "mouth")


def _with_cover(image: Image, left: int, cover: Cover) -> bytes:
    """Draw a cover over the face of an image that begins there, counted in pixels from the left."""
    face = min(detect(image), key=lambda one: abs(one.box.x - left))
    copy, moved = covered_copy(image, face, cover)
    left, top = round(face.box.x - moved.box.x), round(face.box.y - moved.box.y)
    image[top : top + len(copy), left : left + copy.shape[1]] = copy
    return encode_jpeg(image, quality=95)


def covered_photo(seed: int, cover: Cover = "mouth") -> bytes:
    """A JPEG with the face of that seed and a drawn cover over it."""
    image = decode(photo(seed), MAX_PIXELS)
    (face,) = detect(image)
    return encode_jpeg(covered_copy(image, face, cover)[0], quality=95)
