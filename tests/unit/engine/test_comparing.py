"""What is decided about two pictures, and what is told of it."""

from dataclasses import replace
from hashlib import sha256
from typing import Any

import jsonschema
import numpy as np
import orjson
import pytest

from contract.answers import CompareAnswer, RefusedAnswer
from contract.errors import Code, PictureUnreadable
from contract.events import Event, encode_event
from contract.requests import CompareRequest
from contract.schemas import schema_of
from engine.calls.compare import CompareCall, CompareDecision
from engine.policy import Policy
from engine.threshold import LEVEL_FMR
from engine.vision.networks.standin import draw_face
from engine.vision.ports import Embedding, Face, Image, ModelSet
from models.manifest import FmrPoint
from tests.support.faces import MODELS, Enrolled, context, outcome_of, photo, scene

HIGH, MIDDLE, LOW = LEVEL_FMR["high"], LEVEL_FMR["middle"], LEVEL_FMR["low"]
CURVE = (FmrPoint(fmr=LOW, threshold=0.2), FmrPoint(fmr=MIDDLE, threshold=0.3), FmrPoint(fmr=HIGH, threshold=0.4))


class Apart:
    """An embedder with a curve, to which the faces of narrow pictures (cards) have that cosine with all others."""

    dimension = 2

    def __init__(self, cosine: float) -> None:
        self._cosine = cosine
        self.threshold = 0.9
        self.fmr_curve: tuple[FmrPoint, ...] = CURVE

    def __call__(self, image: Image, face: Face) -> Embedding:
        pair = (self._cosine, (1 - self._cosine**2) ** 0.5) if image.shape[1] < 640 else (1.0, 0.0)
        return Embedding(np.array(pair, np.float32), 1.0)


class NoFeaturesOf:
    """An embedder that can make nothing of the faces of narrow pictures (cards), or of all others."""

    dimension, threshold, fmr_curve = 2, 0.9, CURVE

    def __init__(self, field: str) -> None:
        self._narrow = field == "card_picture"

    def __call__(self, image: Image, face: Face) -> Embedding:
        if (image.shape[1] < 640) is self._narrow:
            raise PictureUnreadable("no usable features")
        return Embedding(np.array((1.0, 0.0), np.float32), 1.0)


def card(seed: int = 1, size: int = 160) -> bytes:
    return scene(draw_face(seed, size), width=400)


def asked(**fields: Any) -> CompareRequest:
    required = {"request_id": "c1", "compare_time_s": 1.5, "received_time_s": 2.5}
    return CompareRequest(**{**required, "face_picture": photo(1), "card_picture": card(), **fields})


def decide(request: CompareRequest, models: ModelSet = MODELS, policy: Policy | None = None) -> CompareDecision:
    return CompareCall().decide(request, Enrolled().people.snapshot(), context(policy, models))


WIRE_NAMES = {"face_picture": "face_image_base64", "card_picture": "card_image_base64"}
"""The field of the request -> the field of the HTTP body."""


def told(
    request: CompareRequest, models: ModelSet = MODELS, policy: Policy | None = None
) -> tuple[CompareAnswer | RefusedAnswer, Event]:
    """The answer and the event of one decision."""
    return outcome_of(CompareCall(), request, Enrolled().people.snapshot(), context(policy, models))


def test_two_faces_of_one_person_are_the_same() -> None:
    answer, event = told(asked())
    assert isinstance(answer, CompareAnswer)
    assert answer.retcode == "1"
    assert answer.score > 0.9
    assert (event.outcome, event.retcode, event.score) == ("same", "1", answer.score)
    assert (event.id, event.kind, event.compare_time, event.gallery_version) == ("c1", "compare", 1.5, 12)


def test_two_people_are_different_and_that_is_no_error() -> None:
    answer, event = told(asked(card_picture=card(2)))
    assert isinstance(answer, CompareAnswer)
    assert answer.retcode == "0"
    assert answer.score < 0.5
    assert (event.outcome, event.retcode, event.error) == ("different", "0", None)


@pytest.mark.parametrize(
    ("cosine", "same_at"),
    [(0.45, {"high", "middle", "low"}), (0.35, {"middle", "low"}), (0.25, {"low"}), (0.1, set())],
)
def test_a_level_takes_its_threshold_from_the_embedders_curve(cosine: float, same_at: set[str]) -> None:
    models = replace(MODELS, embedder=Apart(cosine))
    outcomes = {level: told(asked(level=level), models)[1].outcome for level in LEVEL_FMR}
    assert {level for level, outcome in outcomes.items() if outcome == "same"} == same_at
    assert set(outcomes.values()) <= {"same", "different"}


@pytest.mark.parametrize(("cosine", "outcome"), [(0.25, "same"), (0.2499, "different")])
def test_a_score_that_just_reaches_the_threshold_is_the_same(cosine: float, outcome: str) -> None:
    embedder = Apart(cosine)
    embedder.threshold, embedder.fmr_curve = 0.25, ()
    decision = decide(asked(), replace(MODELS, embedder=embedder))
    assert (decision.outcome, decision.threshold.cosine) == (outcome, 0.25)


def test_the_event_says_which_level_was_applied() -> None:
    _, event = told(asked(level="high"), replace(MODELS, embedder=Apart(0.35)))
    assert event.threshold is not None
    assert (event.threshold.rule, event.threshold.fmr, event.threshold.value) == ("level", HIGH, pytest.approx(0.4))


def test_an_embedder_without_a_curve_lends_its_own_threshold() -> None:
    _, event = told(asked(level="low"))
    assert event.threshold is not None
    assert (event.threshold.rule, event.threshold.value) == ("model", MODELS.embedder.threshold)


@pytest.mark.parametrize("level", ["high", "middle", "low"])
def test_percent_scores_put_the_threshold_of_any_level_at_82(level: str) -> None:
    cosine = {"high": 0.4001, "middle": 0.3001, "low": 0.2001}[level]
    models = replace(MODELS, embedder=Apart(cosine))
    answer, event = told(asked(level=level), models, Policy(score_scale="percent"))
    assert isinstance(answer, CompareAnswer)
    assert answer.retcode == "1"
    assert answer.score == pytest.approx(82, abs=0.1)
    assert event.threshold is not None
    assert event.threshold.value == 82.0


@pytest.mark.parametrize("field", ["face_picture", "card_picture"])
@pytest.mark.parametrize(
    ("picture", "code", "outcome"),
    [
        (scene(), Code.NO_FACE, "no_face"),
        (photo(1)[:3000], Code.IMAGE_ERROR, "image_error"),
        (b"no picture", Code.IMAGE_ERROR, "image_error"),
    ],
    ids=["no face", "cut off", "no picture"],
)
def test_a_refusal_says_which_of_the_two_pictures_it_is_about(
    field: str, picture: bytes, code: Code, outcome: str
) -> None:
    answer, event = told(asked(**{field: picture}))
    assert isinstance(answer, RefusedAnswer)
    assert answer.code == code
    assert answer.message.startswith(f"{WIRE_NAMES[field]}: ")
    assert event.error is not None
    assert (event.outcome, event.error.message, event.retcode, event.score) == (outcome, answer.message, None, None)


@pytest.mark.parametrize("field", ["face_picture", "card_picture"])
def test_a_face_without_features_is_refused_by_name_and_what_was_found_is_kept(field: str) -> None:
    answer, event = told(asked(quality_level="middle"), replace(MODELS, embedder=NoFeaturesOf(field)))
    assert isinstance(answer, RefusedAnswer)
    assert (answer.code, answer.message) == (Code.IMAGE_ERROR, f"{WIRE_NAMES[field]}: no usable features")
    assert event.outcome == "image_error"
    assert event.quality != ()
    assert event.card is not None
    assert (event.card.quality != ()) is (field == "card_picture"), "a card is not looked at once the face is refused"


def test_a_picture_over_the_limit_is_refused_by_name() -> None:
    decision = CompareCall().decide(asked(), Enrolled().people.snapshot(), context(max_pixels=200_000))
    assert decision.refusal is not None
    assert decision.refusal.code is Code.IMAGE_SIZE_TOO_LARGE_ERROR
    assert decision.refusal.message.startswith("face_image_base64: ")


def test_the_largest_face_of_each_picture_counts() -> None:
    crowd = scene(draw_face(9, 80), draw_face(1, 180))
    answer, event = told(asked(face_picture=crowd))
    assert isinstance(answer, CompareAnswer)
    assert answer.retcode == "1"
    assert event.faces == 2
    assert event.card is not None
    assert event.card.faces == 1


def test_the_quality_level_holds_for_the_face_and_not_for_the_card() -> None:
    small = {"face_picture": photo(1, size=70), "card_picture": card(size=70)}
    answer, event = told(asked(quality_level="high", **small))
    assert isinstance(answer, RefusedAnswer)
    assert answer.code == Code.LOW_QUALITY_ERROR
    assert answer.message.startswith("face_image_base64: ")
    assert "face_size" in answer.message
    assert event.outcome == "low_quality"
    answer, event = told(asked(quality_level="high", card_picture=small["card_picture"]))
    assert isinstance(answer, CompareAnswer)
    assert answer.retcode == "1"
    assert event.card is not None
    assert {check.name: check.passed for check in event.card.quality}["face_size"] is False


@pytest.mark.parametrize(("level", "refused"), [(None, True), ("no", False), ("low", False)])
def test_without_a_level_the_sites_own_counts(level: str | None, refused: bool) -> None:
    policy = Policy(match_quality="high")
    answer, _ = told(asked(face_picture=photo(1, size=100), quality_level=level), policy=policy)
    assert isinstance(answer, RefusedAnswer) is refused


def test_the_event_tells_what_was_seen_in_both_pictures() -> None:
    request = asked(quality_level="middle")
    _, event = told(request)
    assert event.face is not None
    assert event.card is not None
    assert event.card.face is not None
    assert event.face.width == pytest.approx(160, abs=8)
    assert {check.name for check in event.quality} == {check.name for check in event.card.quality} != set()
    assert event.quality_score is not None
    assert event.card.quality_score is not None
    assert event.request.sha256 == sha256(request.face_picture).hexdigest()
    assert event.card.sha256 == sha256(request.card_picture).hexdigest()
    assert {"decode", "detect", "quality", "embed"} <= set(event.timings_ms)


def test_who_it_was_about_comes_from_what_the_sender_gave() -> None:
    info = {"identity_id": "4711", "name": "Ada", "number": 7}
    _, event = told(asked(need_save=True, identity_info=info))
    assert (event.identity_id, event.name, event.identity_info) == ("4711", "Ada", info)
    _, event = told(asked(need_save=True, identity_info={"identity_id": 4711, "name": ["Ada"]}))
    assert (event.identity_id, event.name, event.identity_info) == ("", "", {"identity_id": 4711, "name": ["Ada"]})


@pytest.mark.parametrize(
    "fields",
    [{}, {"card_picture": card(2)}, {"card_picture": scene()}, {"face_picture": b"x"}],
    ids=["same", "different", "no face", "no picture"],
)
def test_every_event_is_as_its_published_schema_says(fields: dict[str, Any]) -> None:
    _, event = told(asked(quality_level="high", need_save=True, identity_info={"a": [1, None]}, **fields))
    validator = jsonschema.Draft202012Validator(schema_of("event"))
    assert list(validator.iter_errors(orjson.loads(encode_event(event)))) == []


def test_the_same_request_is_always_decided_the_same() -> None:
    assert decide(asked()).cosine == decide(asked()).cosine is not None
