"""Explanations of matches in which a person of type 4 (stranger) is nearer than somebody else who is recognised."""

from dataclasses import replace

import pytest
from msgspec import structs

from capture.explaining.matches import explain_match
from tests.support.faces import like_face, person_with, photo
from tests.support.then import Past, without_evidence, without_picture

PICTURE = photo(77, size=100)


@pytest.fixture
def past() -> Past:
    past = Past()
    past.write(person_with("a-stranger", like_face(77, 1.0), name="stranger", type=4))
    past.write(person_with("zoe", like_face(77, 0.9), name="Zoe"))
    past.enrol("carla", 3, info={"name": "Carla"})
    return past


@pytest.mark.parametrize("left", [lambda then: then, without_picture, without_evidence], ids=["all", "half", "seen"])
def test_the_decision_comes_out_again_without_an_alarm(past: Past, left) -> None:
    then = left(past.then(PICTURE))
    assert (then.decision.outcome, then.decision.identity_id) == ("matched", "zoe")
    explanation = explain_match(then)
    assert explanation.alarms == ()
    assert [one.identity_id for one in explanation.candidates[:2]] == ["zoe", "a-stranger"]
    (words,) = [check.sentence for check in explanation.checks if check.name == "threshold"]
    assert words.startswith("the highest cosine of all who are not of the type stranger, 0.9")


def test_another_order_than_that_of_the_decision_is_an_alarm(past: Past) -> None:
    then = past.then(PICTURE)
    zoe, stranger, *others = then.decision.candidates
    turned = replace(then, decision=structs.replace(then.decision, candidates=(zoe, *others, stranger)))
    assert explain_match(turned).alarms != ()
