"""The explanation of a match in which several faces were searched for."""

from typing import Any

import pytest

from capture.explaining.matches import explain_match
from capture.explaining.requests import request_of_event
from capture.explaining.values import Explanation
from engine.policy import Policy
from engine.vision.decode.jpeg import encode_jpeg
from engine.vision.networks.standin import draw_face, draw_scene
from tests.support.faces import scene
from tests.support.then import Past, without_evidence, without_picture


@pytest.fixture
def past() -> Past:
    past = Past()
    past.enrol("anna", 1, info={"name": "Anna"})
    past.enrol("ben", 2, info={"name": "Ben"})
    return past


def two(middle: tuple[int, int], side: tuple[int, int], **at_side: Any) -> bytes:
    placed = [(draw_face(*middle), 240, 160), (draw_face(*side, **at_side), 0, 0)]
    return encode_jpeg(draw_scene(640, 480, placed), quality=95)


def words(explanation: Explanation) -> str:
    return " ".join(explanation.sentences)


@pytest.mark.parametrize(
    ("picture", "fields"),
    [
        (two((1, 150), (77, 156)), {}),
        (two((77, 150), (1, 156)), {}),
        (two((77, 150), (78, 156)), {}),
        (two((77, 150), (1, 156), live=False), {"liveness_mode": "liveness_rgb"}),
        (scene(draw_face(1, 200), draw_face(2, 100), draw_face(9, 90)), {"match_all_faces": True}),
        (scene(draw_face(1, 200), draw_face(1, 100)), {"match_all_faces": True}),
        (scene(draw_face(1, 200)), {"match_all_faces": True}),
    ],
    ids=["chosen", "rival", "strangers", "picture held", "all", "twice", "one"],
)
def test_the_explanation_has_no_alarm_in_any_way_that_is_left(past: Past, picture: bytes, fields: Any) -> None:
    then = past.then(picture, **fields)
    for left in (then, without_evidence(then), without_picture(then)):
        explanation = explain_match(left)
        assert explanation.alarms == ()
        assert explanation.flips or explanation.no_flip


def test_the_rival_that_is_answered_is_named_and_why(past: Past) -> None:
    explanation = explain_match(past.then(two((77, 150), (1, 156))))
    assert "2 faces of the picture were searched for: the chosen one, 150 x 150 px" in words(explanation)
    assert "its rival, 156 x 156 px" in words(explanation)
    assert "is matched, anna" in words(explanation)
    assert "the answer is about its rival" in words(explanation)
    assert explanation.seen is not None
    assert explanation.seen.used.startswith("the rival of the chosen one of 2 faces was used: 156 x 156 px")


def test_the_chosen_face_is_named(past: Past) -> None:
    explanation = explain_match(past.then(two((1, 150), (77, 156))))
    assert "The answer is about the chosen face." in words(explanation)
    assert explanation.seen is not None
    assert explanation.seen.used.startswith("the chosen one of 2 faces was used")
    explanation = explain_match(past.then(two((1, 150), (77, 156)), Policy(face="largest")))
    assert explanation.seen is not None
    assert explanation.seen.used.startswith("the largest of 2 faces was used")
    assert "searched for" not in words(explanation)


def test_a_person_whom_another_face_keeps_is_explained(past: Past) -> None:
    then = past.then(scene(draw_face(1, 200), draw_face(1, 100)), match_all_faces=True)
    assert "because another face keeps the nearest person" in words(explain_match(then))


def test_a_lower_cosine_of_the_answered_face_leaves_the_other_face_as_it_is(past: Past) -> None:
    """Both faces are recognised, so the change leads to the other one's person instead of a stranger."""
    explanation = explain_match(past.then(two((1, 150), (2, 150))))
    (lower,) = [flip for flip in explanation.flips if "a cosine of Anna (anna) lower by" in flip.change]
    assert (lower.outcome, lower.identity_id) == ("matched", "ben")


def test_the_inferred_request_asks_for_all_faces_where_only_that_explains_them(past: Past) -> None:
    picture = scene(draw_face(1, 200), draw_face(2, 100), draw_face(9, 90))
    for fields, asked in (({"match_all_faces": True}, True), ({}, False)):
        event = past.then(picture, **fields).event
        assert event is not None
        request = request_of_event(event, past.people.site, Policy())
        assert request is not None
        assert request.match_all_faces is asked
