"""The infrared picture of one call: it costs as much as one picture, however many faces and pictures are compared."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pytest

from contract.errors import Code
from contract.requests import MatchRequest
from engine.burst import look_at_burst
from engine.calls.match import MatchCall
from engine.look import Wanted
from engine.timing import StageTimer
from engine.vision.decode import versions
from engine.vision.decode.jpeg import encode_jpeg
from engine.vision.liveness import InfraredPicture
from engine.vision.networks.standin import draw_face, draw_scene
from engine.vision.ports import Face, Image
from tests.support.faces import MODELS, Enrolled, context, outcome_of, photo, scene

HEIGHT = 470
"""The height of infrared pictures, by which they are told apart from colour pictures."""
CUT = b"\xff\xd8\xff\xe0 no picture"


@dataclass
class Counted:
    """Networks that count their calls with infrared pictures."""

    calls: Counter[str] = field(default_factory=Counter)

    def detector(self, image: Image) -> Sequence[Face]:
        self._count("detector", image)
        return MODELS.detector(image)

    def embed(self, image: Image, face: Face) -> Any:
        self._count("embedder", image)
        return MODELS.embedder(image, face)

    def _count(self, name: str, image: Image) -> None:
        if HEIGHT in image.shape[:2]:
            self.calls[name] += 1


class _Embedder:
    """The stand-in embedder, which counts."""

    def __init__(self, counted: Counted) -> None:
        self._counted = counted

    def __getattr__(self, name: str) -> Any:
        return getattr(MODELS.embedder, name)

    def __call__(self, image: Image, face: Face) -> Any:
        return self._counted.embed(image, face)


@pytest.fixture
def decoded(monkeypatch) -> list[bytes]:
    """The pictures that were decoded."""
    found, plain = list[bytes](), versions._as_stored
    monkeypatch.setattr(versions, "_as_stored", lambda data, *rest: found.append(data) or plain(data, *rest))
    return found


@pytest.fixture
def counted() -> Counted:
    return Counted()


@pytest.fixture
def gallery():
    enrolled = Enrolled()
    enrolled.enrol("anna", 1)
    return enrolled.people.snapshot()


def asked(first: bytes, *further: bytes, **fields: Any) -> MatchRequest:
    required = {"request_id": "r1", "device_ip": "10.0.0.1", "compare_time_s": 1.5, "received_time_s": 2.5}
    return MatchRequest(**{**required, "picture": first, "further_pictures": further, **fields})


def told(request: MatchRequest, gallery, counted: Counted):
    models = replace(MODELS, detector=counted.detector, embedder=_Embedder(counted))
    return outcome_of(MatchCall(), request, gallery, context(models=models))


def infrared(*faces: tuple[int, int]) -> bytes:
    return scene(*(draw_face(*face, infrared=True) for face in faces), height=HEIGHT)


def test_all_faces_of_a_picture_are_compared_with_one_detection(gallery, counted, decoded):
    drawn = [(1, 140), (2, 130), (9, 110), (7, 90)]
    picture, other = scene(*(draw_face(*face) for face in drawn)), infrared(*drawn)
    _, event = told(asked(picture, ir_picture=other, match_all_faces=True), gallery, counted)
    assert all(any(check.name == "ir_same_person" for check in face.liveness.checks) for face in event.searched)
    assert counted.calls == {"detector": 1, "embedder": 4}
    assert decoded.count(other) == 1


def test_all_pictures_of_a_passage_are_compared_with_one_detection(gallery, counted, decoded):
    pictures, other = [photo(1, size) for size in (160, 158, 156, 154, 152)], infrared((1, 160))
    answer, event = told(asked(*pictures, ir_picture=other), gallery, counted)
    assert (answer.retcode, [picture.left_out for picture in event.pictures]) == ("1", [None] * 5)
    assert counted.calls == {"detector": 1, "embedder": 1}
    assert decoded.count(other) == 1


def test_faces_of_several_sizes_are_compared_with_one_decoded_version(gallery, counted, decoded):
    """A small face alone would need a larger version of the infrared picture than the largest one does."""
    size = (2624, 1968)
    drawn = [(draw_face(1, 700), 200, 200), (draw_face(9, 150), 1500, 300)]
    seen = [(draw_face(1, 700, infrared=True), 200, 200), (draw_face(9, 150, infrared=True), 1500, 300)]
    picture, other = (encode_jpeg(draw_scene(*size, faces), quality=90) for faces in (drawn, seen))
    _, event = told(asked(picture, ir_picture=other, match_all_faces=True), gallery, counted)
    assert len(event.searched) == 2
    assert decoded.count(other) == 1
    assert decoded.count(picture) == 2, "once for its faces, and once at full size for the checks of all faces"


def test_the_infrared_picture_is_turned_as_the_colour_picture_is(counted):
    """Its faces are detected once for each angle, and the picture is decoded once for all angles."""
    picture = InfraredPicture(infrared((1, 160)), 10**7, counted.detector)
    upright, turned = (picture.turned(turns, 0.3, StageTimer(lambda: 0.0)) for turns in (0, 1))
    assert np.array_equal(turned.image, np.rot90(upright.image))
    assert picture.turned(5, 0.3, StageTimer(lambda: 0.0)) is turned
    assert (len(upright.faces), len(upright.faces)) == (1, 1)
    assert counted.calls == {"detector": 1}


@pytest.mark.parametrize("many", [0, 1, 4])
def test_an_infrared_picture_that_cannot_be_read_refuses_a_passage_once(gallery, counted, decoded, many):
    pictures = [photo(1, size) for size in (160, 150, 140, 130, 120)[: many + 1]]
    whole = infrared((1, 160))
    damaged = whole[: len(whole) // 2]
    answer, event = told(asked(*pictures, ir_picture=damaged), gallery, counted)
    assert answer.code == Code.IMAGE_ERROR
    assert answer.message.startswith("ir_image_base64: ")
    assert [one.left_out for one in event.pictures] == (["refused"] + ["not_looked_at"] * many if many else [])
    assert decoded.count(damaged) == 1
    answer, _ = told(asked(*pictures, ir_picture=CUT), gallery, counted)
    assert answer.code == Code.IMAGE_ERROR


def test_an_unreadable_infrared_picture_is_decoded_once_for_all_faces(gallery, counted, decoded):
    picture = scene(draw_face(1, 200), draw_face(2, 190), draw_face(9, 180))
    damaged = infrared((1, 200))[:-2000]
    answer, event = told(asked(picture, ir_picture=damaged, match_all_faces=True), gallery, counted)
    assert answer.code == Code.IMAGE_ERROR
    assert {face.error_code for face in event.searched} == {Code.IMAGE_ERROR}
    assert decoded.count(damaged) == 1


def test_a_picture_that_cannot_be_used_is_left_out_beside_a_good_infrared_one(gallery):
    burst = look_at_burst(
        [scene(), photo(1)], Wanted(infrared=infrared((1, 160)), liveness="liveness_rgb_ir"), context()
    )
    assert [one.left_out for one in burst.pictures] == ["no_face", None]
