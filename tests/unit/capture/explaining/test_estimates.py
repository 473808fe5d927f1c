"""A match that an index found among candidates is explained by comparing every face, and no estimate is an alarm."""

from dataclasses import replace

import pytest
from msgspec import structs

from capture.explaining.matches import explain_match
from capture.explaining.values import Then
from contract.captures.convert import decision_of
from engine.gallery import two_stage
from engine.gallery.people import People
from engine.gallery.sketch import SketchMaker
from engine.gallery.two_stage import TwoStageIndex
from engine.policy import Policy
from engine.vision.networks.standin import draw_face
from tests.support.faces import MODELS, photo, scene
from tests.support.then import Past, without_evidence, without_picture

POLICY = Policy(threshold=0.7, allow_keep_info=True)
PEOPLE = 60


@pytest.fixture
def past(monkeypatch: pytest.MonkeyPatch) -> Past:
    """People whose index compares few candidates."""
    monkeypatch.setattr(two_stage, "_LEAST_CANDIDATES", 1)
    indexes = list[TwoStageIndex]()

    def sketched(dimension: int) -> TwoStageIndex:
        indexes.append(TwoStageIndex(dimension, lambda: SketchMaker(dimension, 3.0), starts_at=1, tail=2))
        return indexes[-1]

    past = Past(People(MODELS.embedder.dimension, MODELS.embedder_identity, sketched))
    for seed in range(PEOPLE):
        past.enrol(f"p{seed}", seed)
    for _ in range(3):  # the enrolments have begun to build already
        past.people.snapshot()
        for index in indexes:
            index.wait()
    return past


def nearer_than_recorded(then: Then) -> bool:
    """Whether somebody else is nearer than the nearest person whom the search compared."""
    explained = explain_match(replace(without_evidence(then), event=None))
    return explained.candidates[0].identity_id != then.decision.candidates[0].identity_id


def test_what_a_search_only_estimated_is_no_alarm(past: Past) -> None:
    nearer = 0
    for seed in range(PEOPLE - 5, PEOPLE + 25):
        then = past.then(photo(seed), POLICY, need_keep_info=True)
        assert then.event is not None
        assert then.event.index is not None
        for left in (then, without_picture(then), without_evidence(then), replace(then, event=None)):
            assert explain_match(left).alarms == ()
        nearer += nearer_than_recorded(then)
    assert nearer > 2, "of some strangers somebody else is the nearest"


def test_neither_are_the_estimates_of_several_faces(past: Past) -> None:
    for seed in range(PEOPLE, PEOPLE + 8):
        picture = scene(draw_face(3, 160), draw_face(seed, 150))
        then = past.then(picture, POLICY, need_keep_info=True, match_all_faces=True)
        assert explain_match(then).alarms == ()


def changed(then: Then, **fields: object) -> Then:
    assert then.event is not None
    event = structs.replace(then.event, **fields)
    return replace(then, event=event, decision=decision_of(event, then.evidence))


def test_what_is_known_for_certain_still_is_an_alarm(past: Past) -> None:
    recognised, stranger = past.then(photo(3), POLICY), past.then(photo(PEOPLE), POLICY)
    assert recognised.event is not None
    assert recognised.event.index is not None
    assert stranger.event is not None
    assert stranger.event.index is not None
    for forged in (
        changed(recognised, score=0.9),
        changed(recognised, identity_id="p4"),
        changed(recognised, index=structs.replace(recognised.event.index, estimate=True)),
        changed(stranger, index=structs.replace(stranger.event.index, estimate=False)),
        changed(stranger, outcome="matched", retcode="1"),
        changed(stranger, score=0.65),
    ):
        assert explain_match(forged).alarms != ()
