"""Matches with covers and several faces: what would change them, and curves that were measured anew since."""

from dataclasses import replace

import pytest
from msgspec import structs

from capture.explaining.matches import explain_match
from capture.explaining.values import Explanation
from contract.people.site import DeviceRecord
from engine.vision.decode.jpeg import encode_jpeg
from engine.vision.networks.standin import draw_face, draw_scene
from engine.vision.ports import ModelSet
from tests.support.covered import (
    COVERED,
    COVERED_MODELS,
    UNEVEN_MODELS,
    WHOLE,
    CoveredEmbedder,
    beside,
    covered_photo,
    curve,
    two_near,
)
from tests.support.faces import photo
from tests.support.then import Past, without_evidence, without_picture


@pytest.fixture
def past() -> Past:
    past = Past(models=COVERED_MODELS)
    past.enrol("anna", 1, info={"name": "Anna"})
    past.enrol("ben", 2, info={"name": "Ben"})
    return past


def calibrated(whole: float = WHOLE, covered: float = COVERED, near: float | None = None) -> ModelSet:
    embedder = CoveredEmbedder()
    first, *rest = curve(whole)
    embedder.fmr_curve = (first if near is None else structs.replace(first, threshold=near), *rest)
    embedder.covered_curves = {"mouth": curve(covered), "eyes": curve(covered)}
    return replace(COVERED_MODELS, embedder=embedder)


def words(explanation: Explanation) -> list[tuple[str, float | str | None, float | str | None]]:
    return [(alarm.what, alarm.then, alarm.now) for alarm in explanation.alarms]


def test_another_device_leaves_the_templates_of_covered_faces_in_place(past: Past) -> None:
    """The device asks for an infrared picture, which the request does not have."""
    past.put(
        DeviceRecord(
            device_id="d1",
            name="gate",
            address="10.0.0.1",
            device_type="photo",
            group_id="default_group",
            permission_id="0",
            liveness_floor="liveness_rgb_ir",
        )
    )
    explanation = explain_match(past.then(covered_photo(1), models=COVERED_MODELS))
    assert explanation.alarms == ()
    flips = [flip for flip in explanation.flips if "asked for by the device" in flip.change]
    assert {(flip.outcome, flip.identity_id) for flip in flips} == {("matched", "anna")}


@pytest.mark.parametrize("near", [None, 0.7, 0.999])
def test_a_decision_by_a_cover_comes_out_again_though_the_curve_was_measured_anew(
    past: Past, near: float | None
) -> None:
    then = past.then(covered_photo(1), models=COVERED_MODELS)
    assert words(explain_match(replace(then, models=calibrated(near=near)))) == []


def test_a_match_by_the_whole_face_comes_out_again_though_only_a_cover_would_be_recognised_now(past: Past) -> None:
    then = past.then(covered_photo(1), models=calibrated(0.5))
    assert (then.decision.outcome, then.decision.applied.cover) == ("matched", None)
    assert words(explain_match(replace(then, models=COVERED_MODELS))) == []


def test_the_faces_beside_a_refused_one_are_explained_as_they_were_decided(past: Past) -> None:
    placed = [(draw_face(77, 150, live=False), 240, 160), (draw_face(1, 150), 0, 0)]
    picture = encode_jpeg(draw_scene(640, 480, placed), quality=95)
    then = past.then(picture, models=COVERED_MODELS, liveness_mode="liveness_rgb", match_all_faces=True)
    assert [face.outcome for face in then.decision.searched] == ["spoof", "matched"]
    found = explain_match(replace(then, models=calibrated(0.99)))
    assert {alarm.what.partition("[")[0] for alarm in found.alarms} <= {"threshold.cosine", "threshold.value"}


@pytest.mark.parametrize(
    "fields", [{"match_all_faces": True}, {"further_pictures": (photo(1),)}, {"further_pictures": (covered_photo(1),)}]
)
def test_a_cover_decides_also_about_the_only_face_and_about_several_pictures(past: Past, fields: dict) -> None:
    then = past.then(covered_photo(1, "eyes"), models=COVERED_MODELS, **fields)
    explanation = explain_match(then)
    assert words(explanation) == []
    assert explanation.flips


@pytest.mark.parametrize("small", [2, 77])
@pytest.mark.parametrize("less", [lambda then: then, without_picture, without_evidence])
def test_a_covered_face_beside_a_small_one_comes_out_again(past: Past, small: int, less) -> None:
    then = less(past.then(beside(1, small), models=COVERED_MODELS, match_all_faces=True))
    assert (then.decision.applied.cover, len(then.decision.searched)) == ("mouth", 2)
    explanation = explain_match(then)
    assert words(explanation) == []
    assert explanation.flips
    if then.evidence is not None:
        assert words(explain_match(replace(then, models=calibrated(0.9)))) == [], "the limits of then decide"


LESS = pytest.mark.parametrize("less", [lambda then: then, without_picture, without_evidence])


@LESS
def test_the_cover_with_the_larger_margin_comes_out_again(less) -> None:
    past = Past(models=UNEVEN_MODELS)
    past.enrol("anna", 1)
    then = less(past.then(covered_photo(1), models=UNEVEN_MODELS))
    assert then.decision.applied.cover == "eyes"
    assert words(explain_match(then)) == []


@LESS
@pytest.mark.parametrize("all_faces", [False, True])
@pytest.mark.parametrize(("middle", "side"), [(1, 77), (77, 1), (1, 2), (2, 1)])
def test_a_covered_person_beside_somebody_as_near_comes_out_again(
    past: Past, middle: int, side: int, all_faces: bool, less
) -> None:
    then = less(past.then(two_near(middle, side, covered=1), models=COVERED_MODELS, match_all_faces=all_faces))
    assert (then.decision.outcome, len(then.decision.searched)) == ("matched", 2)
    assert words(explain_match(then)) == []


def test_the_cover_by_which_another_face_was_recognised_is_named(past: Past) -> None:
    """Ben's face is whole and chosen, Anna's is covered and beside it."""
    then = past.then(two_near(2, 1, covered=1), models=COVERED_MODELS, match_all_faces=True)
    explanation = explain_match(then)
    (sentence,) = [sentence for sentence in explanation.sentences if "were searched for" in sentence]
    chosen, rival = sentence.split(";")
    assert "is matched, ben" in chosen
    assert "covered" not in chosen
    assert "is matched, anna" in rival
    assert "by templates of faces with covered mouth" in rival
    assert explanation.alarms == ()
