"""Where the faces of a picture are, and what is measured of each."""

from dataclasses import replace
from typing import Any

import jsonschema
import numpy as np
import orjson
import pytest

from contract.answers import DetectAnswer, RefusedAnswer
from contract.codec import encode
from contract.errors import Code, PictureUnreadable
from contract.events import Event, encode_event
from contract.findings import DetectedFace
from contract.requests import DetectRequest, decode_request
from contract.schemas import schema_of
from engine.calls.detect import DetectCall
from engine.context import Context
from engine.vision.decode.jpeg import encode_jpeg
from engine.vision.networks.standin import draw_face, draw_scene
from engine.vision.ports import Embedding, Face, Image
from tests.support.faces import MODELS, Enrolled, context, outcome_of, photo, scene


def told(picture: bytes, given: Context | None = None, **fields: Any) -> tuple[DetectAnswer | RefusedAnswer, Event]:
    """The answer and the event of one decision."""
    request = DetectRequest(request_id="d1", picture=picture, received_time_s=2.5, **fields)
    return outcome_of(DetectCall(), request, Enrolled().people.snapshot(), given or context())


def found(picture: bytes, **fields: Any) -> tuple[DetectedFace, ...]:
    answer, _ = told(picture, **fields)
    assert isinstance(answer, DetectAnswer)
    return answer.faces


def test_every_face_is_found_the_largest_first_and_only_so_many() -> None:
    picture = scene(draw_face(1, 80), draw_face(2, 200), draw_face(3, 120))
    assert [face.face.width for face in found(picture)] == pytest.approx([200, 120, 80], abs=8)
    assert [face.face.width for face in found(picture, most_faces=2)] == pytest.approx([200, 120], abs=8)
    answer, event = told(picture, most_faces=1)
    assert len(answer.faces) == 1
    assert event.faces == 3
    assert event.face == answer.faces[0].face


def test_of_each_face_comes_what_is_asked_for_and_nothing_else() -> None:
    plain = found(photo(1))[0]
    assert (plain.attributes, plain.angles, plain.landmarks, plain.feature) == (None, None, None, None)
    asked = {"with_attribute": "attributes", "with_headpose": "angles", "with_landmark": "landmarks"}
    for flag, member in {**asked, "with_feature": "feature"}.items():
        face = found(photo(1), **{flag: True})[0]
        present = {name for name in (*asked.values(), "feature") if getattr(face, name) is not None}
        assert present == {member}


def test_the_angles_are_those_of_the_head() -> None:
    angles = found(photo(1, size=200, yaw=40, pitch=-30), with_headpose=True)[0].angles
    assert angles is not None
    assert (angles.yaw, angles.pitch, angles.roll) == pytest.approx((40, -30, 0), abs=10)


def test_the_feature_is_the_embedding_with_which_a_person_is_enrolled() -> None:
    enrolled = Enrolled()
    enrolled.enrol("1", 1)
    feature = found(photo(1), with_feature=True)[0].feature
    assert feature is not None
    vector = np.frombuffer(feature, "<f4")
    assert np.linalg.norm(vector) == pytest.approx(1, abs=1e-5)
    assert float(vector @ enrolled.people.known("1").vectors[0]) > 0.99


def test_box_and_landmarks_are_in_pixels_of_the_picture_as_sent() -> None:
    large = encode_jpeg(draw_scene(4000, 3000, [(draw_face(1, 800), 400, 600)]), quality=95)
    face = found(large, with_landmark=True)[0]
    assert (face.face.x, face.face.y, face.face.width) == pytest.approx((400, 600, 800), abs=30)
    assert face.landmarks is not None
    assert len(face.landmarks) == 5
    assert all(400 < across < 1200 and 600 < down < 1400 for across, down in face.landmarks)


class NoFeatures:
    """An embedder that can make nothing of any face."""

    dimension, threshold, fmr_curve = 2, 0.5, ()

    def __call__(self, image: Image, face: Face) -> Embedding:
        raise PictureUnreadable("no usable features")


def test_a_face_that_a_network_cannot_use_is_refused_only_where_its_result_is_asked_for() -> None:
    given = context(models=replace(MODELS, embedder=NoFeatures()))
    assert isinstance(told(photo(1), given)[0], DetectAnswer)
    answer, event = told(photo(1), given, with_feature=True)
    assert answer == RefusedAnswer(code=int(Code.IMAGE_ERROR), message="no usable features")
    assert (event.outcome, event.faces) == ("image_error", 1)


def test_without_networks_for_them_attributes_are_null() -> None:
    given = context(models=replace(MODELS, age=None, sex=None))
    answer, _ = told(photo(1), given, with_attribute=True)
    attributes = answer.faces[0].attributes
    assert (attributes.age_years, attributes.sex) == (None, None)


@pytest.mark.parametrize(
    ("picture", "code", "outcome"),
    [
        (scene(), Code.NO_FACE, "no_face"),
        (photo(1)[:3000], Code.IMAGE_ERROR, "image_error"),
        (b"no picture", Code.IMAGE_ERROR, "image_error"),
    ],
    ids=["no face", "cut off", "no picture"],
)
def test_a_picture_without_a_face_gets_its_row_of_the_table(picture: bytes, code: Code, outcome: str) -> None:
    answer, event = told(picture)
    assert isinstance(answer, RefusedAnswer)
    assert answer.code == code
    assert event.outcome == outcome


@pytest.mark.parametrize("picture", [photo(1), scene(), b"x"], ids=["a face", "no face", "no picture"])
def test_an_event_is_written_for_a_dead_letter_only_and_is_as_its_published_schema_says(picture: bytes) -> None:
    _, event = told(picture, with_attribute=True)
    jsonschema.validate(orjson.loads(encode_event(event)), schema_of("event"), jsonschema.Draft202012Validator)
    assert (event.kind, event.compare_time, event.retcode) == ("detect", 2.5, None)
    assert not DetectCall().leaves_event(DetectRequest(request_id="d", picture=b"", received_time_s=1.0))


def test_a_request_survives_the_log() -> None:
    request = DetectRequest(request_id="d", picture=b"p", received_time_s=1.0, most_faces=3, with_feature=True)
    assert decode_request(encode(request)) == request
    assert request.key == b"d"
