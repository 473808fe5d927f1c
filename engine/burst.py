"""One look at several pictures of one passage, which makes one probe of the pictures of one person.

The rules:

- Pictures with equal bytes count once.
- A picture without a usable face is left out as long as another one remains. Where none remains, the look ends with the
  refusal of the picture that came furthest.
- Every picture that is used has passed liveness, and a face that is not live in any of them refuses them all: otherwise
  one live face could carry pictures of somebody else.
- The best picture, which has the highest quality score, is always used. Another one is used only where its face is that
  of the same person, by the middle level of 1:1 comparison with the mean of those in use. So people are not averaged,
  and the answer is about the person of the best picture, as if it had been sent alone.
- Of each picture only the chosen face is compared, and no rival of it (engine.vision.choosing).
- The infrared picture is decoded once for all pictures. Where it cannot be read, the look ends with its refusal.
- The probe is the normalised mean of the embeddings in use, weighted by the quality scores.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from contract.errors import Code, PictureRefused, Refusal, Refused
from contract.findings import LeftOut, PassagePicture
from contract.pictures.affordable import too_large_together
from contract.pictures.headers import picture_header
from contract.terms import CompareLevel
from contract.vectors import Vector
from engine.context import Context
from engine.look import NOTHING_FOUND, Look, Wanted, infrared_of, look, total_ms
from engine.threshold import comparison_threshold
from engine.vision.ports import Embedding

_LEFT_OUT: dict[Code, LeftOut] = {
    Code.LOW_QUALITY_ERROR: "low_quality",
    Code.NO_FACE: "no_face",
    Code.IMAGE_ERROR: "image_error",
    Code.IMAGE_SIZE_TOO_LARGE_ERROR: "image_error",
}
"""The refusals that concern one picture alone, that which came furthest first."""

SAME_PERSON: CompareLevel = "middle"
"""The level of 1:1 comparison at which pictures count as pictures of one person."""

_LEAST_WEIGHT = 1e-3
"""The weight of an embedding whose quality score is lower, so that the weights never add up to nothing."""


@dataclass(frozen=True, slots=True)
class Burst:
    """The look at the pictures of one passage.

    `look`: the look at the best picture, with the probe in place of its embedding and the times of all looks; or the
    look whose refusal refuses them all. `pictures`: what became of each picture, in the order of the request; empty
    where there is only one picture.
    """

    look: Look
    pictures: tuple["Seen", ...] = ()


@dataclass(frozen=True, slots=True)
class Seen:
    """What became of one picture. `left_out`: why it is not part of the probe; None: it is."""

    left_out: LeftOut | None = "not_looked_at"
    best: bool = False
    look: Look | None = None


def look_at_burst(pictures: Sequence[bytes], wanted: Wanted, context: Context) -> Burst:
    """Look at the pictures of one passage; one picture alone is looked at as `look` does.

    Whatever their bytes are, the result has an embedding or a refusal, and no error is raised.
    """
    if len(pictures) == 1:
        return Burst(look(pictures[0], wanted, context))
    wanted = replace(wanted, beside="nobody")
    try:
        _require_pixels(pictures, context.max_pixels)
    except Refused as refused:
        return Burst(Look(NOTHING_FOUND, refused.refusal), (Seen(),) * len(pictures))
    seen, infrared = list[Seen](), infrared_of(wanted, context)
    for number, picture in enumerate(pictures):
        if picture in pictures[:number]:
            seen.append(Seen("repeated"))
            continue
        found = look(picture, wanted, context, infrared)
        ended = found.embedding
        if isinstance(ended, Embedding):
            seen.append(Seen(None, look=found))
        elif ended.code in _LEFT_OUT and (infrared is None or infrared.refusal is None):
            seen.append(Seen(_LEFT_OUT[ended.code], look=found))
        else:
            seen.append(Seen("spoof" if ended.code is Code.LIVENESS_DETECT_FAIL else "refused", True, found))
            judged = [replace(one, left_out=one.left_out or "refused") for one in seen]
            return _ended(found, [*judged, *[Seen()] * (len(pictures) - len(seen))])
    return _together(seen, context)


def same_person(embeddings: Sequence[Vector], scores: Sequence[float], threshold: float) -> list[int]:
    """Return the places of the embeddings that are averaged, in the order in which they were taken, the best first.

    The embedding with the highest score is always averaged. Then the next best one whose cosine to the mean so far is
    at least `threshold` is taken, again and again, until there is none.

    Args:
        embeddings: unit vectors, at least one.
        scores: their quality scores, 0..1.
        threshold: the least cosine.
    """
    first, *left = sorted(range(len(embeddings)), key=lambda place: (-scores[place], place))
    averaged = [first]
    while left:
        mean = weighted_mean([embeddings[one] for one in averaged], [scores[one] for one in averaged])
        similar = next((place for place in left if float(embeddings[place] @ mean) >= threshold), None)
        if similar is None:
            break
        averaged.append(similar)
        left.remove(similar)
    return averaged


def weighted_mean(embeddings: Sequence[Vector], scores: Sequence[float]) -> Vector:
    """Return the normalised mean of unit vectors (float32), weighted by their quality scores, 0..1.

    One vector alone is returned as it is. So is the first one where the vectors cancel each other out.
    """
    if len(embeddings) == 1:
        return embeddings[0]
    weights = np.maximum(np.asarray(scores, np.float64), _LEAST_WEIGHT)
    mean = weights @ np.stack(embeddings).astype(np.float64)
    length = float(np.linalg.norm(mean))
    if length <= 1e-6 * float(weights.sum()):
        return embeddings[0]
    return np.asarray(mean / length, np.float32)


def passage_pictures(
    pictures: Sequence[bytes], seen: Sequence[Seen], digests: Sequence[str]
) -> tuple[PassagePicture, ...]:
    """Return what became of each picture of a request, as events and evidence contain it; empty for one picture alone.

    `seen` is empty where the request was refused before the look. `digests`: the sha256 (hex) of the pictures.
    """
    if len(pictures) == 1:
        return ()
    rows = zip(pictures, seen or [Seen()] * len(pictures), digests, strict=True)
    return tuple(_named(number, *row) for number, row in enumerate(rows))


def best_of(seen: Sequence[Seen]) -> int:
    """Return the place of the picture to which the findings of a look refer; the first one where there is no other."""
    return next((place for place, one in enumerate(seen) if one.best), 0)


def _named(number: int, picture: bytes, seen: Seen, sha256: str) -> PassagePicture:
    found = NOTHING_FOUND if seen.look is None else seen.look.findings
    width, height = found.size or (None, None)
    return PassagePicture(
        number=number,
        sha256=sha256,
        bytes=len(picture),
        width=width,
        height=height,
        best=seen.best,
        left_out=seen.left_out,
        quality_score=found.quality_score,
    )


def _together(seen: Sequence[Seen], context: Context) -> Burst:
    usable = [(place, one.look) for place, one in enumerate(seen) if one.left_out is None and one.look is not None]
    if not usable:
        return _refused(seen)
    places = [place for place, _ in usable]
    vectors = [found.embedding.vector for _, found in usable if isinstance(found.embedding, Embedding)]
    scores = [found.findings.quality_score or 0.0 for _, found in usable]
    threshold = comparison_threshold(SAME_PERSON, context.models.embedder).cosine
    averaged = same_person(vectors, scores, threshold)
    probe = weighted_mean([vectors[one] for one in averaged], [scores[one] for one in averaged])
    best, used = places[averaged[0]], {places[one] for one in averaged}
    judged = [
        replace(
            one, best=place == best, left_out="other_person" if place in places and place not in used else one.left_out
        )
        for place, one in enumerate(seen)
    ]
    _, found = usable[averaged[0]]
    embedding = found.embedding
    if isinstance(embedding, Embedding):
        embedding = replace(embedding, vector=probe)
    return _ended(replace(found, embedding=embedding), judged)


def _refused(seen: Sequence[Seen]) -> Burst:
    """Return the look that ends with the refusal of the picture that came furthest; of two such, the first."""
    refusals = [
        (_rank(one.look.embedding), place)
        for place, one in enumerate(seen)
        if one.look is not None and isinstance(one.look.embedding, Refusal)
    ]
    _, best = min(refusals)
    judged = [replace(one, best=place == best) for place, one in enumerate(seen)]
    found = judged[best].look
    return _ended(found or Look(NOTHING_FOUND, Refusal(Code.NO_FACE, "no face found in the pictures")), judged)


def _rank(refusal: Refusal) -> int:
    return list(_LEFT_OUT).index(refusal.code)


def _ended(found: Look, seen: Sequence[Seen]) -> Burst:
    looks = [one.look for one in seen if one.look is not None]
    return Burst(replace(found, timings_ms=total_ms(*looks)), tuple(seen))


def _require_pixels(pictures: Sequence[bytes], max_pixels: int) -> None:
    """Refuse pictures that have more pixels together than one picture may have, so that a request costs no more.

    A picture without a readable header is not decoded and costs nothing.
    """
    total = 0
    for picture in dict.fromkeys(pictures):
        try:
            total += picture_header(picture).pixels
        except PictureRefused:
            continue
    if total > max_pixels:
        raise too_large_together(f"have more than {max_pixels} pixels")
