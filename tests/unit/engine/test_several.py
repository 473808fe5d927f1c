"""Several faces of one picture: about which of them the answer is, and that each person is recognised once."""

from dataclasses import replace
from typing import Any

import jsonschema
import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract.answers import MatchAnswer, RefusedAnswer
from contract.errors import Code
from contract.events import encode_event, event_schema
from contract.people.records import PersonRecord
from contract.requests import CompareRequest, MatchRequest
from engine.calls.compare import CompareCall
from engine.calls.match import MatchCall
from engine.calls.matching import RECOGNISED
from engine.calls.several import SearchedFace, with_answer, with_candidates
from engine.gallery.port import Candidate
from engine.look import MOST_LOOKED_AT, NOTHING_FOUND
from engine.policy import Policy
from engine.vision.decode.jpeg import encode_jpeg
from engine.vision.networks.standin import draw_face, draw_scene
from tests.support.faces import Enrolled, context, outcome_of, scene

MIDDLE, SIDE = (240, 160), (0, 0)


@pytest.fixture
def gallery():
    enrolled = Enrolled()
    enrolled.enrol("anna", 1, info={"name": "Anna"})
    enrolled.enrol("ben", 2, info={"name": "Ben", "type": 3})
    return enrolled.people.snapshot()


def two(middle: tuple[int, int], side: tuple[int, int], **at_side: Any) -> bytes:
    """A picture of two faces, each a seed and a size: one in the middle, one at the side."""
    placed = [(draw_face(*middle), *MIDDLE), (draw_face(*side, **at_side), *SIDE)]
    return encode_jpeg(draw_scene(640, 480, placed), quality=95)


def asked(image: bytes, **fields: Any) -> MatchRequest:
    required = {"request_id": "r1", "device_ip": "10.0.0.1", "compare_time_s": 1.5, "received_time_s": 2.5}
    return MatchRequest(**{**required, "picture": image, **fields})


def told(request: MatchRequest, gallery, policy: Policy | None = None):
    answer, event = outcome_of(MatchCall(), request, gallery, context(policy))
    jsonschema.validate(orjson.loads(encode_event(event)), event_schema())
    return answer, event


def test_a_bystander_at_the_side_who_is_slightly_larger_is_not_taken_for_the_person(gallery):
    picture = two((1, 150), (77, 156))
    answer, event = told(asked(picture), gallery)
    assert (answer.retcode, answer.identity_id, answer.faces) == ("1", "anna", None)
    assert [(f.outcome, f.identity_id, f.chosen, f.rival, f.answered) for f in event.searched] == [
        ("matched", "anna", True, False, True),
        ("stranger", "", False, True, False),
    ]
    answer, event = told(asked(picture), gallery, Policy(face="largest"))
    assert (answer.retcode, event.searched) == ("0", ())


def test_a_stranger_who_is_as_near_does_not_keep_a_recognised_person_out(gallery):
    answer, event = told(asked(two((77, 150), (1, 156))), gallery)
    assert (answer.retcode, answer.identity_id, answer.name) == ("1", "anna", "Anna")
    assert (event.outcome, event.identity_id, event.score) == ("matched", "anna", answer.score)
    assert [(f.outcome, f.chosen, f.answered) for f in event.searched] == [
        ("stranger", True, False),
        ("matched", False, True),
    ]
    assert event.face == event.searched[1].face
    assert event.searched[1].name == "Anna"


@pytest.mark.parametrize("larger", [1.15, 1.25, 2.0])
def test_a_door_never_opens_for_somebody_behind_a_stranger(gallery, larger):
    answer, event = told(asked(two((77, round(100 * larger)), (1, 100))), gallery)
    assert (answer.retcode, event.outcome) == ("0", "stranger")
    assert all(not face.rival for face in event.searched)


def test_the_face_for_which_a_door_opens_must_be_live(gallery):
    """Somebody holds a picture of an enrolled person beside the own face."""
    picture = two((77, 150), (1, 156), live=False)
    answer, event = told(asked(picture, liveness_mode="liveness_rgb"), gallery)
    assert (answer.retcode, event.outcome) == ("0", "stranger")
    rival = event.searched[1]
    assert (rival.outcome, rival.error_code, rival.retcode) == ("spoof", Code.LIVENESS_DETECT_FAIL, None)
    assert rival.liveness is not None
    assert not rival.liveness.passed


def test_a_picture_as_the_chosen_face_ends_in_its_refusal_whoever_stands_beside(gallery):
    middle, side = draw_face(77, 150, live=False), draw_face(1, 150)
    picture = encode_jpeg(draw_scene(640, 480, [(middle, *MIDDLE), (side, *SIDE)]), quality=95)
    answer, event = told(asked(picture, liveness_mode="liveness_rgb"), gallery)
    assert isinstance(answer, RefusedAnswer)
    assert (answer.code, event.outcome) == (Code.LIVENESS_DETECT_FAIL, "spoof")
    assert [face.outcome for face in event.searched] == ["spoof", "matched"]


def test_quality_is_demanded_of_the_rival_too(gallery):
    picture = two((77, 150), (1, 156), yaw=60.0)
    _, event = told(asked(picture), gallery, Policy(match_quality="high"))
    assert event.outcome == "stranger"
    assert event.searched[1].outcome == "low_quality"


def test_a_rival_on_the_blacklist_is_named_and_does_not_pass(gallery):
    answer, event = told(asked(two((77, 150), (2, 150))), gallery)
    assert (answer.retcode, answer.identity_id, event.outcome) == ("0", "ben", "blacklisted")
    answer, event = told(asked(two((2, 150), (1, 150))), gallery)
    assert (answer.retcode, event.outcome) == ("0", "blacklisted"), "the chosen face is recognised, so it counts"


def test_faces_below_the_asked_size_are_no_rivals(gallery):
    _, event = told(asked(two((77, 150), (1, 143)), min_face_size=147), gallery)
    assert (event.outcome, event.faces, event.searched) == ("stranger", 2, ())


def test_all_faces_are_answered_where_they_are_asked_for(gallery):
    picture = scene(draw_face(2, 80), draw_face(1, 200), draw_face(9, 90))
    answer, event = told(asked(picture, match_all_faces=True), gallery)
    assert isinstance(answer, MatchAnswer)
    assert (answer.identity_id, answer.score) == ("anna", event.score)
    assert answer.faces == event.searched
    assert [(f.outcome, f.identity_id, f.name, f.retcode, f.answered) for f in event.searched] == [
        ("matched", "anna", "Anna", "1", True),
        ("stranger", "", "stranger", "0", False),
        ("blacklisted", "ben", "Ben", "0", False),
    ]
    assert answer.faces is not None
    assert answer.faces[0].score == answer.score


def test_the_only_face_is_a_list_of_one(gallery):
    answer, event = told(asked(scene(draw_face(1, 160)), match_all_faces=True), gallery)
    assert answer.faces == event.searched
    assert [face.identity_id for face in answer.faces] == ["anna"]
    answer, event = told(asked(scene(), match_all_faces=True), gallery)
    assert (answer.code, event.searched) == (Code.NO_FACE, ())


def test_no_more_faces_than_promised_are_looked_at(gallery):
    drawn = [(draw_face(seed, 70), 10 + 100 * (seed % 6), 10 + 100 * (seed // 6)) for seed in range(12)]
    picture = encode_jpeg(draw_scene(640, 480, drawn), quality=95)
    _, event = told(asked(picture, match_all_faces=True), gallery)
    assert (event.faces, len(event.searched)) == (12, MOST_LOOKED_AT)


def test_a_person_is_recognised_once_in_a_picture(gallery):
    picture = scene(draw_face(1, 200), draw_face(1, 100))
    _, event = told(asked(picture, match_all_faces=True), gallery)
    recognised = [face.identity_id for face in event.searched if face.outcome in RECOGNISED]
    assert recognised == ["anna"]
    (loser,) = (face for face in event.searched if face.outcome not in RECOGNISED)
    assert loser.kept_by_another
    assert loser.score is not None
    assert loser.score < event.threshold.value, "its score is that of its next person"


def test_nobody_in_the_scope_is_an_error_also_where_several_faces_are_searched_for():
    empty = Enrolled().people.snapshot()
    answer, event = told(asked(two((77, 150), (1, 150)), match_all_faces=True), empty)
    assert answer.code == Code.EMPTY_GROUP_ERROR
    assert [face.outcome for face in event.searched] == ["empty_group", "empty_group"]


def test_a_comparison_and_an_enrolment_choose_as_a_match_does():
    picture = two((1, 150), (77, 156))
    alone = scene(draw_face(1, 150))
    request = CompareRequest(
        request_id="c", face_picture=picture, card_picture=alone, compare_time_s=0.0, received_time_s=0.0
    )
    snapshot = Enrolled().people.snapshot()
    assert CompareCall().decide(request, snapshot, context()).outcome == "same"
    assert CompareCall().decide(request, snapshot, context(Policy(face="largest"))).outcome == "different"


# The rules alone, on made-up candidates.


def person(identity_id: str) -> PersonRecord:
    return PersonRecord(identity_id=identity_id, group_ids=("default_group",), info={}, faces=(0,), next_face=1)


def found(**cosines: float) -> SearchedFace:
    ranked = sorted(cosines.items(), key=lambda pair: -pair[1])
    nearest = tuple(Candidate(person(who), 0, cosine) for who, cosine in ranked)
    return SearchedFace(NOTHING_FOUND, np.zeros(2, np.float32), nearest=nearest)


def names(face: SearchedFace) -> list[str]:
    return [candidate.person.identity_id for candidate in face.candidates]


def test_the_face_with_the_highest_cosine_keeps_a_person_and_the_other_gets_the_next_one():
    first, second = with_candidates([found(a=0.6, b=0.55), found(a=0.8, c=0.7)], 0.5, 5, each_once=True)
    assert (names(first), names(second)) == (["b"], ["a", "c"])
    assert first.lost
    assert not second.lost
    first, second = with_candidates([found(a=0.6, b=0.55), found(a=0.8, c=0.7)], 0.5, 5, each_once=False)
    assert (names(first), names(second)) == (["a", "b"], ["a", "c"])


def test_a_person_below_the_threshold_is_kept_by_nobody():
    first, second = with_candidates([found(a=0.4), found(a=0.45)], 0.5, 5, each_once=True)
    assert (names(first), names(second)) == (["a"], ["a"])
    first, second = with_candidates([found(a=0.4, b=0.3), found(a=0.8)], 0.5, 5, each_once=True)
    assert names(first) == ["a", "b"], "a stranger's score is that of the nearest person, whoever has been recognised"
    assert not first.lost


def test_a_face_whose_people_are_all_kept_by_others_has_lost_everybody():
    first, second = with_candidates([found(a=0.6), found(a=0.8)], 0.5, 5, each_once=True)
    assert (first.has_lost_everybody, second.has_lost_everybody) == (True, False)


cosines = st.dictionaries(st.sampled_from("abcd"), st.floats(-1.0, 1.0), max_size=4)


@given(st.lists(cosines, min_size=1, max_size=5), st.floats(-0.5, 0.9))
def test_no_two_faces_recognise_one_person(seen: list[dict[str, float]], threshold: float) -> None:
    faces = with_candidates([found(**each) for each in seen], threshold, 5, each_once=True)
    recognised = [
        face.candidates[0].person.identity_id
        for face in faces
        if face.candidates and face.candidates[0].cosine >= threshold
    ]
    assert len(recognised) == len(set(recognised))


@pytest.mark.parametrize(
    ("chosen", "rival", "is_rival", "about"),
    [
        ("matched", "matched", True, 0),
        ("stranger", "matched", True, 1),
        ("stranger", "matched", False, 0),
        ("stranger", "stranger", True, 0),
        ("stranger", "spoof", True, 0),
        ("blacklisted", "matched", True, 0),
        ("low_quality", "matched", True, 0),
        ("spoof", "matched", True, 0),
    ],
)
def test_about_which_face_the_answer_is(chosen: str, rival: str, is_rival: bool, about: int) -> None:
    faces = [replace(found(), outcome=chosen, chosen=True), replace(found(), outcome=rival, rival=is_rival)]
    assert [face.answered for face in with_answer(faces, RECOGNISED)] == [about == 0, about == 1]
