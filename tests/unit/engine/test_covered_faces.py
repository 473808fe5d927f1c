"""Covered faces: enrolment makes templates for them, and a search in which nobody is recognised compares them."""

from dataclasses import replace

import msgspec
import numpy as np
import pytest

from contract.codec import decode_with
from contract.errors import PictureUnreadable
from contract.events import encode_event
from contract.people.records import COVERED_FACE, WHOLE_FACE, FaceRecord, PersonRecord
from contract.requests import EnrolRequest, MatchRequest
from engine.calls.enrol import EnrolCall
from engine.calls.match import MatchCall
from engine.calls.matching import MatchDecision
from engine.covered_search import CoveredMatch, better_cover
from engine.gallery.exact import ExactGallery
from engine.gallery.pending import PendingPeople
from engine.gallery.port import Candidate, Scope, Search
from engine.look import Wanted, look
from engine.policy import Policy
from engine.threshold import AppliedThreshold
from engine.vision.ports import Embedding, Face, Image
from tests.support.covered import (
    COVERED,
    COVERED_MODELS,
    UNEVEN_MODELS,
    WHOLE,
    CoveredEmbedder,
    beside,
    covered_photo,
    two_near,
)
from tests.support.faces import MODELS, Enrolled, circumstances, context, photo

OFF = Policy(covered_templates=False)
_decoder = msgspec.msgpack.Decoder(FaceRecord)


@pytest.fixture
def enrolled() -> Enrolled:
    found = Enrolled(models=COVERED_MODELS)
    found.enrol("anna", 1)
    found.enrol("ben", 2)
    return found


def request(picture: bytes, **fields: object) -> MatchRequest:
    times = {"compare_time_s": 0.0, "received_time_s": 0.0}
    return MatchRequest(**{"request_id": "r", "device_ip": "10.0.0.1", "picture": picture, **times, **fields})


def decide(enrolled: Enrolled, picture: bytes, policy: Policy | None = None, **fields: object) -> MatchDecision:
    given = context(policy, enrolled.models)
    return MatchCall().decide(request(picture, **fields), enrolled.people.snapshot(), given)


def records(enrolled: Enrolled, **fields: object) -> FaceRecord:
    call, given = EnrolCall(), context(enrolled.policy, enrolled.models)
    asked = EnrolRequest(**{"request_id": "r", "identity_id": "x", "received_time_s": 0.0, "photo": photo(5), **fields})
    decision = call.decide(asked, call.prepare(asked, given), PendingPeople(enrolled.people), given)
    assert decision.faces
    return decision.faces[0]


@pytest.mark.parametrize("all_faces", [False, True])
@pytest.mark.parametrize(("cover", "seed"), [("mouth", 1), ("mouth", 2), ("eyes", 1), ("eyes", 2)])
def test_a_covered_face_is_recognised_by_its_templates(enrolled, cover, seed, all_faces):
    without = decide(enrolled, covered_photo(seed, cover), OFF)
    assert (without.outcome, without.threshold.cover) == ("stranger", None)
    assert without.candidate.cosine < WHOLE
    found = decide(enrolled, covered_photo(seed, cover), match_all_faces=all_faces)
    assert (found.outcome, found.candidate.person.identity_id) == ("matched", {1: "anna", 2: "ben"}[seed])
    assert [face.outcome for face in found.searched] == (["matched"] if all_faces else [])
    assert (found.threshold.cover, found.candidate.cosine >= COVERED) == (cover, True)
    assert found.threshold.cosine == pytest.approx(COVERED, abs=0.002)


@pytest.mark.parametrize(("seed", "outcome"), [(1, "matched"), (77, "stranger")])
def test_the_gallery_is_compared_once_where_whole_faces_recognise_nobody(enrolled, monkeypatch, seed, outcome):
    searches, once = list[np.ndarray](), ExactGallery.search

    def counted(gallery: ExactGallery, probe: np.ndarray, scope: Scope, floor: float = -1.0) -> Search:
        searches.append(probe)
        return once(gallery, probe, scope, floor)

    monkeypatch.setattr(ExactGallery, "search", counted)
    assert decide(enrolled, covered_photo(seed)).outcome == outcome
    assert len(searches) == 1


def test_event_evidence_and_debug_name_the_cover(enrolled):
    asked, given = request(covered_photo(1), with_debug_info=True), context(models=COVERED_MODELS)
    call, snapshot = MatchCall(), enrolled.people.snapshot()
    decision = call.decide(asked, snapshot, given)
    at = circumstances(call, asked)
    event, evidence = call.event(asked, decision, given, at), call.evidence(asked, decision, given, at)
    assert event.threshold is not None
    assert evidence is not None
    assert (event.threshold.cover, evidence.cover) == ("mouth", "mouth")
    assert evidence.threshold == decision.threshold.cosine
    assert event.score == pytest.approx(evidence.candidates[0].cosine, abs=1e-6)
    assert b'"cover":"mouth"' in encode_event(event)
    debug = call.answer(asked, decision, given, None).debug
    assert debug is not None
    assert debug.cover == "mouth"


def test_a_bare_face_is_decided_by_whole_faces(enrolled):
    found = decide(enrolled, photo(1))
    assert (found.outcome, found.threshold.cover, found.candidate.number) == ("matched", None, 0)
    stranger, without = decide(enrolled, photo(77)), decide(enrolled, photo(77), OFF)
    assert (stranger.outcome, stranger.threshold) == ("stranger", without.threshold)
    assert [c.cosine for c in stranger.candidates] == [c.cosine for c in without.candidates]


def test_a_covered_stranger_stays_a_stranger_with_the_values_of_whole_faces(enrolled):
    found = decide(enrolled, covered_photo(77))
    assert (found.outcome, found.threshold.cover) == ("stranger", None)
    assert found.threshold.cosine == pytest.approx(WHOLE, abs=0.002)


def test_with_a_fixed_threshold_only_whole_faces_count(enrolled):
    found = decide(enrolled, covered_photo(1), Policy(threshold=0.7))
    assert (found.outcome, found.threshold.cover) == ("stranger", None)


def test_a_covered_person_outside_the_scope_is_not_found(enrolled):
    asked = request(covered_photo(1), group_name="unknown")
    given = context(models=COVERED_MODELS)
    assert MatchCall().decide(asked, enrolled.people.snapshot(), given).refusal is not None


def test_who_may_not_pass_may_not_with_a_cover_either():
    found = Enrolled(models=COVERED_MODELS)
    found.enrol("carl", 3, info={"type": 3})
    assert decide(found, covered_photo(3)).outcome == "blacklisted"


def test_the_templates_are_unit_means_of_the_photo_and_of_a_drawing(enrolled):
    face = records(enrolled)
    assert set(face.templates) == {WHOLE_FACE, *COVERED_FACE.values()}
    whole = np.frombuffer(face.templates[WHOLE_FACE], "<f4")
    for cover, kind in COVERED_FACE.items():
        template = np.frombuffer(face.templates[kind], "<f4")
        drawn = look(covered_photo(5, cover), Wanted(), context(models=COVERED_MODELS)).embedding.vector
        mean = (whole + drawn) / np.linalg.norm(whole + drawn)
        assert np.linalg.norm(template) == pytest.approx(1, abs=1e-5)
        assert template @ mean > 0.98, "the drawing of the test was compressed as a JPEG once more"
        assert template @ whole < 0.99


def test_a_photo_is_not_refused_because_the_covered_face_gives_no_embedding():
    class OnlyWhole(CoveredEmbedder):
        def __call__(self, image: Image, face: Face) -> Embedding:
            if image.shape[:2] != (480, 640):  # a copy that is drawn on is smaller than the photo
                raise PictureUnreadable("no usable features")
            return super().__call__(image, face)

    models = replace(COVERED_MODELS, embedder=OnlyWhole())
    assert set(records(Enrolled(models=models)).templates) == {WHOLE_FACE}


def test_the_same_photo_gives_the_same_templates(enrolled):
    assert records(enrolled).templates == records(enrolled).templates


@pytest.mark.parametrize(
    "changed",
    [
        {"policy": OFF},
        {"models": MODELS},  # without curves
    ],
)
def test_without_the_setting_or_a_curve_no_templates_are_made(changed):
    assert set(records(Enrolled(**{"models": COVERED_MODELS, **changed})).templates) == {WHOLE_FACE}


def test_a_face_that_was_enrolled_by_a_feature_has_no_templates_and_is_found_bare(enrolled):
    vector = look(photo(5), Wanted(), context(models=COVERED_MODELS)).embedding.vector
    model = COVERED_MODELS.embedder_identity
    face = records(enrolled, photo=None, feature=tuple(vector.tolist()), feature_model=model)
    assert set(face.templates) == {WHOLE_FACE}


def test_people_without_templates_take_part_in_a_gallery_of_others_with_templates(enrolled):
    enrolled.policy = OFF
    enrolled.enrol("dora", 4)
    assert decide(enrolled, photo(4)).candidate.person.identity_id == "dora"
    assert decide(enrolled, covered_photo(4)).outcome == "stranger"
    assert decide(enrolled, covered_photo(1)).candidate.person.identity_id == "anna"


@pytest.mark.parametrize("again", [{"update": True}, {"ignore_exist": True}])
def test_the_same_photo_sent_again_adds_the_templates_to_a_face_that_has_none(enrolled, again):
    enrolled.policy = OFF
    enrolled.enrol("dora", 4)
    before = enrolled.people.known("dora")
    enrolled.policy = Policy()
    decision = enrolled.enrol("dora", 4, **again)
    after = enrolled.people.known("dora")
    assert (decision.outcome, after.record.faces, after.photos) == ("updated", before.record.faces, before.photos)
    assert np.array_equal(after.vectors[0], before.vectors[0])
    assert (before.covered, after.covered, decision.people["dora"].covered) == (frozenset(), {0}, {0})
    assert decide(enrolled, covered_photo(4)).candidate.person.identity_id == "dora"
    keys = [key for key, _ in enrolled.enrol("dora", 4, **again).people_records()]
    assert not any(key.startswith(b"face/") for key in keys), "templates that are there are not written again"


def test_a_deleted_face_leaves_no_template(enrolled):
    before = enrolled.people.snapshot()
    enrolled.write([(key, None) for key in enrolled.people.keys_of("anna")])
    assert decide(enrolled, covered_photo(1)).outcome == "stranger"
    found = MatchCall().decide(request(covered_photo(1)), before, context(models=COVERED_MODELS))
    assert found.outcome == "matched", "a gallery never changes"


def test_a_record_of_a_face_with_templates_is_readable_by_its_fields():
    found = Enrolled(models=COVERED_MODELS)
    decision = found.enrol("anna", 1)
    (value,) = [v for k, v in decision.people_records([(0, 0)]) if k.startswith(b"face/") and v is not None]
    assert decode_with(_decoder, value).templates.keys() == {WHOLE_FACE, *COVERED_FACE.values()}


@pytest.mark.parametrize("all_faces", [False, True])
@pytest.mark.parametrize("small", [2, 77])
def test_a_small_face_beside_a_covered_one_changes_nothing(enrolled, all_faces, small):
    """The faces beside the chosen one are searched for by the templates of whole faces, under their threshold."""
    policy = Policy(score_scale="percent")
    found = decide(enrolled, beside(1, small), policy, match_all_faces=all_faces)
    assert (found.outcome, found.threshold.cover, found.candidate.person.identity_id) == ("matched", "mouth", "anna")
    if all_faces:
        assert [face.outcome for face in found.searched] == ["matched", "stranger" if small == 77 else "matched"]
        assert [face.threshold.cover for face in found.searched] == ["mouth", None]


def test_of_two_covers_that_reach_their_thresholds_the_one_that_is_further_above_decides():
    enrolled = Enrolled(models=UNEVEN_MODELS)
    enrolled.enrol("anna", 1)
    found = decide(enrolled, covered_photo(1))
    assert (found.outcome, found.threshold.cover) == ("matched", "eyes"), "the mask alone would do as well"
    assert found.candidate.cosine - found.threshold.cosine > 0.02


def by_cover(**found: tuple[float, float]) -> list[CoveredMatch]:
    """Matches by their covers: the threshold, and the cosine of the nearest person."""
    somebody = PersonRecord(identity_id="p", group_ids=(), info={}, faces=(0,), next_face=1)
    return [
        CoveredMatch(AppliedThreshold(limit, "target_fpir", cover=cover), [Candidate(somebody, 0, cosine)])
        for cover, (limit, cosine) in found.items()
    ]


@pytest.mark.parametrize(
    ("found", "cover"),
    [
        ({"mouth": (0.5, 0.625), "eyes": (0.25, 0.5)}, "eyes"),
        ({"mouth": (0.25, 0.5), "eyes": (0.5, 0.625)}, "mouth"),
        ({"mouth": (0.5, 0.75), "eyes": (0.25, 0.5)}, "mouth"),
        ({"eyes": (0.25, 0.5)}, "eyes"),
        ({}, None),
    ],
)
def test_the_margin_chooses_between_covers_and_of_equal_ones_the_first_does(found, cover):
    better = better_cover(by_cover(**found))
    assert (None if better is None else better.threshold.cover) == cover


@pytest.mark.parametrize("all_faces", [False, True])
@pytest.mark.parametrize(("middle", "side"), [(1, 77), (77, 1)])
def test_a_covered_person_beside_a_stranger_who_is_as_near_is_recognised(enrolled, middle, side, all_faces):
    picture = two_near(middle, side, covered=1)
    assert decide(enrolled, picture, OFF, match_all_faces=all_faces).outcome == "stranger"
    found = decide(enrolled, picture, match_all_faces=all_faces)
    assert (found.outcome, found.threshold.cover, found.candidate.person.identity_id) == ("matched", "mouth", "anna")
    assert [face.outcome for face in found.searched] == ["matched", "stranger"][:: 1 if middle == 1 else -1]
    assert [(face.chosen, face.rival) for face in found.searched] == [(True, False), (False, True)]


def test_a_covered_chosen_face_counts_before_a_bare_rival(enrolled):
    found = decide(enrolled, two_near(1, 2, covered=1))
    assert (found.outcome, found.threshold.cover, found.candidate.person.identity_id) == ("matched", "mouth", "anna")
    assert [face.outcome for face in found.searched] == ["matched", "matched"]


def test_two_covered_strangers_side_by_side_stay_strangers(enrolled):
    found = decide(enrolled, two_near(77, 78, covered=78))
    assert [(face.outcome, face.threshold.cover) for face in found.searched] == [("stranger", None)] * 2
