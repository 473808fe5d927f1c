"""Several faces of one picture: about which of them the answer is, and that each person is recognised once."""

from collections.abc import Sequence
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
from contract.events import encode_event
from contract.people.records import PersonRecord
from contract.requests import CompareRequest, MatchRequest
from contract.schemas import schema_of
from engine.calls.compare import CompareCall
from engine.calls.match import MatchCall
from engine.calls.matching import RECOGNISED
from engine.calls.several import SearchedFace, each_person_once, named_once, with_answer
from engine.gallery.port import Candidate
from engine.look import MOST_LOOKED_AT, NOTHING_FOUND
from engine.policy import Policy
from engine.threshold import AppliedThreshold
from engine.vision.decode import versions
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
    jsonschema.validate(orjson.loads(encode_event(event)), schema_of("event"))
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


@pytest.mark.parametrize("all_faces", [False, True])
def test_a_rival_on_the_blacklist_does_not_stop_a_matched_face_and_the_event_names_the_rival(gallery, all_faces):
    answer, event = told(asked(two((1, 150), (2, 150)), match_all_faces=all_faces), gallery)
    assert (answer.retcode, answer.identity_id, event.outcome) == ("1", "anna", "matched")
    rival = event.searched[1]
    assert (rival.rival, rival.answered, rival.outcome, rival.retcode) == (True, False, "blacklisted", "0")
    assert (rival.identity_id, rival.name) == ("ben", "Ben")
    assert rival.score is not None


def test_a_known_stranger_yields_to_the_rival_as_an_unknown_one_does():
    enrolled = Enrolled()
    enrolled.enrol("anna", 1, info={"name": "Anna"})
    enrolled.enrol("s-1", 3, info={"name": "stranger", "type": 4})
    enrolled.enrol("s-2", 4, info={"name": "stranger", "type": 4})
    gallery = enrolled.people.snapshot()
    answer, event = told(asked(two((3, 150), (1, 150))), gallery)
    assert (answer.retcode, answer.identity_id, event.outcome, event.person_type) == ("1", "anna", "matched", 1)
    assert [(face.outcome, face.identity_id) for face in event.searched] == [
        ("known_stranger", "s-1"),
        ("matched", "anna"),
    ]
    answer, event = told(asked(two((1, 150), (3, 150))), gallery)
    assert (answer.retcode, answer.identity_id) == ("1", "anna")
    for chosen, rival, identity_id in ((3, 4, "s-1"), (3, 77, "s-1"), (77, 3, "")):
        answer, event = told(asked(two((chosen, 150), (rival, 150))), gallery)
        assert (answer.retcode, answer.identity_id) == ("0", identity_id), "no stranger lets another one in"


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


def test_the_infrared_picture_is_decoded_once_for_all_faces(gallery, monkeypatch):
    decoded = []
    plain = versions._as_stored
    monkeypatch.setattr(versions, "_as_stored", lambda data, *rest: decoded.append(data) or plain(data, *rest))
    infrared = scene(
        draw_face(1, 200, infrared=True), draw_face(2, 190, infrared=True), draw_face(9, 180, infrared=True)
    )
    picture = scene(draw_face(1, 200), draw_face(2, 190), draw_face(9, 180))
    _, event = told(asked(picture, ir_picture=infrared, liveness_mode="liveness_rgb_ir", match_all_faces=True), gallery)
    assert [face.liveness is not None for face in event.searched] == [True] * 3
    assert decoded.count(infrared) == 1


def test_a_person_is_recognised_once_in_a_picture(gallery):
    picture = scene(draw_face(1, 200), draw_face(1, 100))
    _, event = told(asked(picture, match_all_faces=True), gallery)
    recognised = [face.identity_id for face in event.searched if face.outcome in RECOGNISED]
    assert recognised == ["anna"]
    (loser,) = (face for face in event.searched if face.outcome not in RECOGNISED)
    assert loser.kept_by_another
    assert (loser.retcode, loser.identity_id) == ("0", "")
    assert loser.score is not None
    assert loser.score >= event.threshold.value, "its score is that of the person whom the other face keeps"


def test_nobody_in_the_scope_is_an_error_also_where_several_faces_are_searched_for():
    empty = Enrolled().people.snapshot()
    answer, event = told(asked(two((77, 150), (1, 150)), match_all_faces=True), empty)
    assert answer.code == Code.EMPTY_GROUP_ERROR
    assert [face.outcome for face in event.searched] == ["empty_group", "empty_group"]
    assert [face.error_code for face in event.searched] == [Code.EMPTY_GROUP_ERROR] * 2
    _, event = told(asked(scene(draw_face(1, 160)), match_all_faces=True), empty)
    assert [(face.outcome, face.error_code) for face in event.searched] == [("empty_group", Code.EMPTY_GROUP_ERROR)]


def test_a_comparison_and_an_enrolment_choose_as_a_match_does():
    picture = two((1, 150), (77, 156))
    alone = scene(draw_face(1, 150))
    request = CompareRequest(
        request_id="c", face_picture=picture, card_picture=alone, compare_time_s=0.0, received_time_s=0.0
    )
    snapshot = Enrolled().people.snapshot()
    assert CompareCall().decide(request, snapshot, context()).outcome == "same"
    assert CompareCall().decide(request, snapshot, context(Policy(face="largest"))).outcome == "different"


KEEPING = Policy(allow_keep_info=True)


@pytest.fixture
def anna_alone():
    enrolled = Enrolled()
    enrolled.enrol("anna", 1, info={"name": "Anna"})
    return enrolled.people.snapshot()


def test_strangers_with_the_nearest_person_name_the_person_once(anna_alone):
    """anna is the nearest person of every stranger."""
    picture = scene(draw_face(77, 200), draw_face(78, 90), draw_face(79, 80))
    answer, event = told(asked(picture, match_all_faces=True, need_keep_info=True), anna_alone, KEEPING)
    assert [face.outcome for face in event.searched] == ["stranger"] * 3
    assert [(face.identity_id, face.name) for face in event.searched] == [("anna", "Anna"), *[("", "stranger")] * 2]
    assert (answer.identity_id, answer.faces) == ("anna", event.searched)
    assert None not in [face.score for face in event.searched], "a face that names nobody has its score"


def test_a_face_that_is_recognised_names_its_person_before_a_stranger_does(anna_alone):
    picture = scene(draw_face(77, 200), draw_face(1, 100))
    plain, _ = told(asked(picture, need_keep_info=True), anna_alone, KEEPING)
    answer, event = told(asked(picture, match_all_faces=True, need_keep_info=True), anna_alone, KEEPING)
    assert [(face.outcome, face.identity_id) for face in event.searched] == [("stranger", ""), ("matched", "anna")]
    assert (answer.retcode, answer.identity_id, answer.score) == (plain.retcode, plain.identity_id, plain.score)


# The rules alone, on made-up candidates.


def person(identity_id: str) -> PersonRecord:
    return PersonRecord(identity_id=identity_id, group_ids=("default_group",), info={}, faces=(0,), next_face=1)


def found(**cosines: float) -> SearchedFace:
    ranked = sorted(cosines.items(), key=lambda pair: -pair[1])
    nearest = tuple(Candidate(person(who), 0, cosine) for who, cosine in ranked)
    return SearchedFace(NOTHING_FOUND, np.zeros(2, np.float32), nearest=nearest)


def recognised_in(faces: Sequence[SearchedFace]) -> list[str | None]:
    return [face.nearest[0].person.identity_id if face.outcome in RECOGNISED else None for face in faces]


def decided(*seen: dict[str, float], threshold: float = 0.5, rivals: int = 0) -> Sequence[SearchedFace]:
    """The faces after both rules; the first is chosen, and as many of the next ones are rivals."""
    faces = [
        replace(
            found(**cosines),
            outcome="matched" if max(cosines.values()) >= threshold else "stranger",
            chosen=place == 0,
            rival=0 < place <= rivals,
        )
        for place, cosines in enumerate(seen)
    ]
    return each_person_once(with_answer(faces, RECOGNISED), RECOGNISED)


def test_the_face_that_the_answer_is_about_keeps_its_person_whatever_the_others_have():
    faces = decided({"p": 0.6, "q": 0.55}, {"p": 0.7})
    assert recognised_in(faces) == ["p", None], "and nobody else is taken for the person in the other face"
    assert [face.kept_by_another for face in faces] == [False, True]
    faces = decided({"x": 0.2}, {"p": 0.6, "q": 0.55}, {"p": 0.9}, rivals=1)
    assert recognised_in(faces) == [None, "p", None]
    assert [face.answered for face in faces] == [False, True, False]


def test_of_the_other_faces_the_one_with_the_highest_cosine_keeps_a_person():
    faces = decided({"x": 0.2}, {"p": 0.6, "q": 0.55}, {"p": 0.8})
    assert recognised_in(faces) == [None, None, "p"]
    assert [face.outcome for face in faces] == ["stranger", "stranger", "matched"]
    assert recognised_in(decided({"x": 0.2}, {"p": 0.6}, {"p": 0.6})) == [None, "p", None], "of equal ones the first"


def test_a_person_below_the_threshold_is_kept_by_nobody():
    faces = decided({"p": 0.4}, {"p": 0.45}, {"p": 0.8})
    assert recognised_in(faces) == [None, None, "p"]
    assert not any(face.kept_by_another for face in faces), "strangers lose nobody"


def test_of_two_faces_with_thresholds_of_their_own_the_one_further_above_its_threshold_keeps_a_person():
    above = [(0.85, 0.8), (0.7, 0.5)]
    faces = [
        found(x=0.1),
        *(replace(found(p=one), threshold=AppliedThreshold(limit, "floor"), outcome="matched") for one, limit in above),
    ]
    faces[0] = replace(faces[0], outcome="stranger", chosen=True)
    kept = each_person_once(with_answer(faces, RECOGNISED), RECOGNISED)
    assert recognised_in(kept) == [None, None, "p"]


def test_of_two_strangers_the_nearer_one_names_the_person_unless_the_answer_is_about_the_other():
    assert named_once(decided({"x": 0.1}, {"p": 0.2}, {"p": 0.3}), RECOGNISED) == [True, False, True]
    assert named_once(decided({"p": 0.1}, {"p": 0.2}, {"p": 0.3}), RECOGNISED) == [True, False, False]
    assert named_once(decided({"p": 0.1}, {"p": 0.2}, {"p": 0.6}), RECOGNISED) == [False, False, True]
    faces = decided({"x": 0.1}, {"p": 0.2})
    refused = replace(faces[1], nearest=(), outcome="spoof")
    assert named_once([faces[0], refused], RECOGNISED) == [True, False]


cosines = st.dictionaries(st.sampled_from("abcd"), st.floats(-1.0, 1.0), min_size=1, max_size=4)


@given(st.lists(cosines, min_size=1, max_size=5), st.floats(-0.5, 0.9), st.integers(0, 1))
def test_no_two_faces_recognise_one_person_and_the_answer_is_as_without_the_others(
    seen: list[dict[str, float]], threshold: float, rivals: int
) -> None:
    faces = decided(*seen, threshold=threshold, rivals=rivals)
    recognised = [who for who in recognised_in(faces) if who is not None]
    assert len(recognised) == len(set(recognised))
    (place,) = (place for place, face in enumerate(faces) if face.answered)
    alone = max(seen[place].values()) >= threshold
    assert (faces[place].outcome in RECOGNISED) == alone
    for face in faces:
        if face.kept_by_another:
            assert face.nearest[0].person.identity_id in recognised


@pytest.mark.parametrize("fields", [{}, {"need_keep_info": True}])
def test_the_answer_is_the_same_with_and_without_all_faces(gallery, fields):
    """Two faces of one person, the smaller one the better: the answer must not be about somebody else."""
    picture = scene(draw_face(1, 200, yaw=20.0), draw_face(1, 90))
    plain, _ = told(asked(picture, **fields), gallery)
    answer, event = told(asked(picture, match_all_faces=True, **fields), gallery)
    assert (answer.retcode, answer.identity_id, answer.score) == (plain.retcode, plain.identity_id, plain.score)
    assert [face.identity_id for face in event.searched].count("anna") == 1


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
