"""What is measured in a picture, and what is told of it."""

from dataclasses import replace
from typing import Any

import jsonschema
import orjson
import pytest

from contract.answers import FiqaAnswer, RefusedAnswer
from contract.errors import Code, PictureUnreadable, Refusal
from contract.events import Event, encode_event
from contract.findings import FaceQuality
from contract.requests import FiqaRequest
from contract.schemas import schema_of
from engine.calls.fiqa import MOST_FACES, FiqaCall
from engine.policy import Policy, QualityLimits
from engine.vision.networks.standin import draw_face
from engine.vision.ports import Embedding, Face, Image
from tests.support.faces import MODELS, Enrolled, context, outcome_of, photo, scene

ITEMS = {"face_size", "headpose", "partial", "brightness", "clarity"}


def told(image: bytes, policy: Policy | None = None, **fields: Any) -> tuple[FiqaAnswer | RefusedAnswer, Event]:
    """The answer and the event of one decision."""
    request = FiqaRequest(request_id="q1", picture=image, received_time_s=2.5, **fields)
    return outcome_of(FiqaCall(), request, Enrolled().people.snapshot(), context(policy))


def measured(image: bytes, policy: Policy | None = None, **fields: Any) -> FaceQuality:
    answer, _ = told(image, policy, **fields)
    assert isinstance(answer, FiqaAnswer)
    return answer.faces[0]


@pytest.mark.parametrize("level", ["high", "middle", "low", "custom", "no"])
def test_at_every_level_every_item_is_measured_once(level: str) -> None:
    answer = measured(photo(1), quality_level=level)
    names = [item.name for item in (*answer.checks, *answer.measured)]
    assert len(names) == len(set(names))
    assert set(names) >= ITEMS


def test_an_item_without_a_limit_is_told_and_neither_passes_nor_fails() -> None:
    answer = measured(photo(1, size=40), quality_level="no")
    assert answer.checks == ()
    assert answer.passed
    assert {item.name: item.value for item in answer.measured}["face_size"] == pytest.approx(40, abs=4)


def test_low_quality_is_an_answer() -> None:
    answer = measured(photo(1, size=70, yaw=60, pitch=50), quality_level="middle")
    assert not answer.passed
    failed = {check.name for check in answer.checks if not check.passed}
    assert failed == {"face_size", "headpose"}


def test_without_a_level_the_high_one_counts() -> None:
    assert measured(photo(1, size=150)).passed
    assert [check.name for check in measured(photo(1, size=100)).checks if not check.passed] == ["face_size"]


def test_the_level_custom_has_the_sites_limits() -> None:
    policy = Policy(custom_quality=QualityLimits(face_size_px=300.0))
    answer = measured(photo(1), policy, quality_level="custom")
    assert [check.name for check in answer.checks if not check.passed] == ["face_size"]


def test_the_largest_face_is_measured() -> None:
    answer = measured(scene(draw_face(1, 80), draw_face(2, 200), draw_face(3, 90)))
    assert answer.face.width == pytest.approx(200, abs=8)
    assert 0.0 <= answer.quality_score <= 1.0


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


class NoFeatures:
    """An embedder that can make nothing of any face."""

    dimension, threshold, fmr_curve = 2, 0.5, ()

    def __call__(self, image: Image, face: Face) -> Embedding:
        raise PictureUnreadable("no usable features")


def test_a_face_without_features_is_refused_and_what_was_found_is_kept() -> None:
    request = FiqaRequest(request_id="q1", picture=photo(1), received_time_s=2.5, quality_level="middle")
    given = context(models=replace(MODELS, embedder=NoFeatures()))
    decision = FiqaCall().decide(request, Enrolled().people.snapshot(), given)
    assert decision.refusal == Refusal(Code.IMAGE_ERROR, "no usable features")
    assert decision.outcome == "image_error"
    (found,) = decision.faces
    assert found.faces == 1
    assert found.face is not None
    assert found.quality_score is None
    names = {item.name for item in (*found.quality, *found.measured)}
    assert names >= ITEMS
    assert "embed" in decision.timings_ms


@pytest.mark.parametrize("picture", [photo(1), scene(), b"x"], ids=["a face", "no face", "no picture"])
def test_every_event_is_as_its_published_schema_says(picture: bytes) -> None:
    _, event = told(picture)
    jsonschema.validate(orjson.loads(encode_event(event)), schema_of("event"), jsonschema.Draft202012Validator)
    assert (event.kind, event.compare_time, event.retcode) == ("fiqa", 2.5, None)


def test_each_face_is_measured_the_largest_first_and_only_so_many() -> None:
    picture = scene(*(draw_face(seed, 60 + 4 * seed) for seed in range(1, 13)), width=1600)
    answer, event = told(picture, quality_level="no")
    assert isinstance(answer, FiqaAnswer)
    assert event.faces == 12
    sizes = [min(face.face.width, face.face.height) for face in answer.faces]
    assert len(sizes) == MOST_FACES
    assert sizes == sorted(sizes, reverse=True)
    assert all(0 <= face.quality_score <= 1 for face in answer.faces)
