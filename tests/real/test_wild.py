"""Faces as they come in: small and huge, cut, turned, dark, grey, in big photos and in every kind of file."""

import time
from collections.abc import Sequence
from itertools import product

import cv2
import numpy as np
import pytest
import simplejpeg

from contract.requests import MatchRequest
from engine.calls.match import MatchCall
from engine.calls.matching import MatchDecision
from engine.context import Context
from engine.gallery.people import People
from engine.policy import Policy
from engine.timing import StageTimer
from engine.vision.decode.jpeg import encode_jpeg
from engine.vision.finding import find_faces
from engine.vision.ports import Box, Face, Image, ModelSet
from tests.support import pictures

MAX_PIXELS = 32_000_000
WIDTH, HEIGHT = 5472, 3648
"""A photo of 20 megapixels."""

FACE_WIDTH = 88
"""Of the sample's face, in pixels."""


def seen(models: ModelSet, picture: bytes) -> tuple[Image, Sequence[Face]]:
    return find_faces(picture, models.detector, MAX_PIXELS, StageTimer(time.perf_counter))


def cosine(models: ModelSet, picture: bytes, vector: np.ndarray) -> float:
    """How like the astronaut the picture's largest face is."""
    image, faces = seen(models, picture)
    assert faces, "no face was found"
    return float(models.embedder(image, faces[0]).vector @ vector)


def jpeg(image: Image) -> bytes:
    return encode_jpeg(image, quality=95)


def enlarged(image: Image, factor: float) -> Image:
    kind = cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(image, None, fx=factor, fy=factor, interpolation=kind), np.uint8)


def on_background(width: int, height: int, *placed: tuple[Image, int, int]) -> Image:
    scene = np.full((height, width, 3), 90, np.uint8)
    for image, left, top in placed:
        part = image[: height - top, : width - left]
        scene[top : top + part.shape[0], left : left + part.shape[1]] = part
    return scene


@pytest.fixture(scope="session")
def box(models: ModelSet, astronaut: Image) -> Box:
    return models.detector(astronaut)[0].box


@pytest.fixture(scope="session")
def two_people(astronaut: Image) -> bytes:
    """The astronaut's mirror image, smaller, on the left; the astronaut on the right."""
    person = astronaut[:300, 80:400]
    mirrored = np.ascontiguousarray(enlarged(person, 0.6)[:, ::-1])
    return jpeg(on_background(560, 320, (mirrored, 0, 0), (person, 220, 0)))


def decided(models: ModelSet, picture: bytes, min_face_size: int = 0) -> MatchDecision:
    people = People(models.embedder.dimension, models.embedder_identity)
    request = MatchRequest(
        request_id="r",
        device_ip="10.0.0.1",
        compare_time_s=0.0,
        received_time_s=0.0,
        picture=picture,
        min_face_size=min_face_size,
    )
    return MatchCall().decide(request, people.snapshot(), Context(models, Policy(), MAX_PIXELS, time.perf_counter))


def test_the_largest_of_several_faces_is_taken(models: ModelSet, two_people: bytes, vector: np.ndarray):
    _, faces = seen(models, two_people)

    assert len(faces) == 2
    assert faces[0].box.x > 220
    assert cosine(models, two_people, vector) > 0.95


@pytest.mark.parametrize(("min_face_size", "counts"), [(0, True), (70, True), (200, False)])
def test_faces_smaller_than_asked_for_are_ignored(
    models: ModelSet, two_people: bytes, min_face_size: int, counts: bool
):
    decision = decided(models, two_people, min_face_size)

    assert decision.findings.faces == 2
    assert (decision.findings.face is not None) is counts


@pytest.mark.parametrize("face_px", [300, 700])
def test_min_face_size_is_about_the_photo_as_it_was_sent(models: ModelSet, astronaut: Image, box: Box, face_px: int):
    photo = jpeg(on_background(WIDTH, HEIGHT, (enlarged(astronaut, face_px / box.width), 900, 300)))

    assert decided(models, photo, int(face_px * 0.9)).findings.face is not None
    assert decided(models, photo, int(face_px * 1.3)).findings.face is None


@pytest.mark.parametrize("side", [0, 640, 3000], ids=["own size", "640", "3000"])
@pytest.mark.parametrize(("share", "least"), [(1.2, 0.9), (1.0, 0.9), (0.9, 0.8), (0.7, 0.48)])
def test_a_face_that_fills_the_picture_and_more_is_recognised(
    models: ModelSet, astronaut: Image, box: Box, vector: np.ndarray, share: float, least: float, side: int
):
    x, y, width, height = box.x + box.width / 2, box.y + box.height / 2, box.width * share, box.height * share
    crop = astronaut[int(y - height / 2) : int(y + height / 2), int(x - width / 2) : int(x + width / 2)]
    picture = enlarged(crop, side / crop.shape[0]) if side else np.ascontiguousarray(crop)

    assert cosine(models, jpeg(picture), vector) > least


@pytest.mark.parametrize("border", ["left", "right", "top", "bottom"])
@pytest.mark.parametrize(("share", "least"), [(0.1, 0.9), (0.2, 0.85), (0.3, 0.65)])
def test_a_face_cut_by_a_border_is_recognised(
    models: ModelSet, astronaut: Image, box: Box, vector: np.ndarray, border: str, share: float, least: float
):
    cut = {
        "left": astronaut[:, int(box.x + share * box.width) :],
        "right": astronaut[:, : int(box.x + (1 - share) * box.width)],
        "top": astronaut[int(box.y + share * box.height) :],
        "bottom": astronaut[: int(box.y + (1 - share) * box.height)],
    }[border]

    assert cosine(models, jpeg(np.ascontiguousarray(cut)), vector) > least


@pytest.mark.parametrize("orientation", range(1, 9))
def test_however_the_camera_was_held_it_is_the_same_face(
    models: ModelSet, astronaut: Image, vector: np.ndarray, orientation: int
):
    # What the camera stores is the upright picture, turned back by what EXIF says of it.
    stored = {
        1: astronaut,
        2: astronaut[:, ::-1],
        3: astronaut[::-1, ::-1],
        4: astronaut[::-1],
        5: astronaut.transpose(1, 0, 2),
        6: astronaut.transpose(1, 0, 2)[::-1],
        7: astronaut[::-1, ::-1].transpose(1, 0, 2),
        8: astronaut.transpose(1, 0, 2)[:, ::-1],
    }[orientation]

    assert cosine(models, pictures.with_exif(jpeg(np.ascontiguousarray(stored)), orientation), vector) > 0.95


@pytest.mark.parametrize("face_px", [100, 180, 400, 1000])
def test_a_photo_of_20_megapixels_is_as_good_as_a_small_one(
    models: ModelSet, astronaut: Image, box: Box, vector: np.ndarray, face_px: int
):
    photo = jpeg(on_background(WIDTH, HEIGHT, (enlarged(astronaut, face_px / box.width), 900, 300)))
    image, (face, *_) = seen(models, photo)
    sent = face.sent_box

    assert cosine(models, photo, vector) > 0.93
    assert sent.width == pytest.approx(face_px, rel=0.2)
    assert sent.x == pytest.approx(900 + box.x * face_px / box.width, abs=0.2 * face_px)
    # A near face needs no more than a part of the photo, a far one is taken from the whole.
    assert (image.shape[1] < WIDTH) is (face_px > 112 * 2)


def test_a_face_that_only_the_whole_photo_shows_is_found(
    models: ModelSet, astronaut: Image, box: Box, vector: np.ndarray
):
    photo = jpeg(on_background(WIDTH, HEIGHT, (enlarged(astronaut, 70 / box.width), 900, 300)))

    assert cosine(models, photo, vector) > models.embedder.threshold


def _files(astronaut: Image) -> dict[str, tuple[bytes, float]]:
    """Kinds of file, each with the cosine that the astronaut must reach in it."""
    grey = np.asarray(cv2.cvtColor(astronaut, cv2.COLOR_BGR2GRAY), np.uint8)
    # What print shops send: inverted ink, all of the black in the three colours.
    ink = np.dstack([astronaut[:, :, ::-1], np.full(grey.shape, 255, np.uint8)])
    return {
        "grey jpeg": (bytes(simplejpeg.encode_jpeg(grey[:, :, np.newaxis], 95, "GRAY", "Gray")), 0.93),
        "grey png": (pictures.encoded(grey, ".png"), 0.93),
        "cmyk jpeg": (bytes(simplejpeg.encode_jpeg(np.ascontiguousarray(ink), 95, "CMYK", "444")), 0.95),
        "progressive jpeg": (pictures.progressive_jpeg(astronaut), 0.95),
        "16-bit png": (pictures.encoded(astronaut.astype(np.uint16) * 257, ".png"), 0.99),
        "see-through png": (pictures.encoded(np.dstack([astronaut, grey]), ".png"), 0.99),
        "webp": (pictures.encoded(astronaut, ".webp", cv2.IMWRITE_WEBP_QUALITY, 90), 0.95),
        "bmp": (pictures.encoded(astronaut, ".bmp"), 0.99),
    }


@pytest.mark.parametrize(
    "kind",
    ["grey jpeg", "grey png", "cmyk jpeg", "progressive jpeg", "16-bit png", "see-through png", "webp", "bmp"],
)
def test_the_kind_of_file_does_not_matter(models: ModelSet, astronaut: Image, vector: np.ndarray, kind: str):
    picture, least = _files(astronaut)[kind]

    assert cosine(models, picture, vector) > least


@pytest.mark.parametrize(("gain", "least"), [(0.2, 0.75), (0.1, 0.48), (1.5, 0.8)], ids=["dim", "dark", "glaring"])
def test_bad_light_is_borne(models: ModelSet, astronaut: Image, vector: np.ndarray, gain: float, least: float):
    lit = np.clip(astronaut * gain, 0, 255).astype(np.uint8)

    assert cosine(models, jpeg(lit), vector) > least


@pytest.mark.parametrize(("degrees", "least"), [(15, 0.93), (30, 0.9), (45, 0.6), (-45, 0.6)])
def test_a_head_held_askew_is_recognised(
    models: ModelSet, astronaut: Image, box: Box, vector: np.ndarray, degrees: float, least: float
):
    x, y = box.x + box.width / 2, box.y + box.height / 2
    turn = cv2.getRotationMatrix2D((x, y), degrees, 1.0)
    turn[:, 2] += (256 - x, 256 - y)
    picture = np.asarray(cv2.warpAffine(astronaut, turn, (512, 512)), np.uint8)

    assert cosine(models, jpeg(picture), vector) > least


@pytest.mark.parametrize(("face_px", "least"), [(40, 0.85), (30, 0.75), (25, 0.6), (20, 0.48)])
@pytest.mark.parametrize("size", [(640, 480), (1920, 1080)], ids=["VGA", "full HD"])
def test_a_far_face_is_found_and_recognised(
    models: ModelSet, astronaut: Image, vector: np.ndarray, size: tuple[int, int], face_px: int, least: float
):
    picture = jpeg(on_background(*size, (enlarged(astronaut, face_px / FACE_WIDTH), 200, 100)))

    assert cosine(models, picture, vector) > least


@pytest.mark.parametrize(
    ("suffix", "size"),
    [
        *product((".jpg", ".png"), [(1, 1), (1, 5000), (5000, 1), (65_500, 2), (3, 40_000)]),
        (".jpg", (5472, 3648)),
        (".png", (3264, 2448)),
    ],
)
def test_a_picture_of_any_shape_without_a_face_is_answered(models: ModelSet, size: tuple[int, int], suffix: str):
    picture = pictures.encoded(pictures.colours(*size), suffix)
    _, faces = seen(models, picture)

    assert not faces
    refusal = decided(models, picture).refusal
    assert refusal is not None
    assert refusal.status == "NO_FACE"
