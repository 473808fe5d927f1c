"""A match names the index that searched, and decides as a comparison of all faces does."""

from functools import cache

import pytest

from contract.requests import MatchRequest
from engine.calls.match import MatchCall
from engine.calls.matching import MatchDecision
from engine.gallery import two_stage
from engine.gallery.exact import ExactIndex
from engine.gallery.people import People, Snapshot
from engine.gallery.port import FaceIndex
from engine.gallery.sketch import SketchMaker
from engine.gallery.two_stage import TwoStageIndex
from engine.policy import Policy
from engine.vision.networks.standin import draw_face
from engine.vision.ports import ModelSet
from tests.support.covered import COVERED_MODELS
from tests.support.faces import MODELS, Enrolled, circumstances, context, photo, scene

POLICY = Policy(threshold=0.7)
PEOPLE = 30


@cache
def snapshots(models: ModelSet = MODELS) -> tuple[Snapshot, Snapshot]:
    """The same people, in an exact index and in one with a sketch."""
    indexes = list[TwoStageIndex]()

    def sketched(dimension: int) -> FaceIndex:
        indexes.append(TwoStageIndex(dimension, lambda: SketchMaker(dimension), starts_at=1, tail=2))
        return indexes[-1]

    both = []
    for new_index in (ExactIndex, sketched):
        people = People(models.embedder.dimension, models.embedder_identity, new_index)
        enrolled = Enrolled(people, models=models)
        for seed in range(PEOPLE):
            enrolled.enrol(f"p{seed}", seed)
        for _ in range(3):  # the enrolments have begun to build already
            people.snapshot()
            for index in indexes:
                index.wait()
        both.append(people.snapshot())
    return both[0], both[1]


@pytest.fixture
def few_candidates(monkeypatch):
    monkeypatch.setattr(two_stage, "_LEAST_CANDIDATES", 6)


def request(picture: bytes, **fields: object) -> MatchRequest:
    times = {"compare_time_s": 0.0, "received_time_s": 0.0}
    return MatchRequest(**{"request_id": "r", "device_ip": "10.0.0.1", "picture": picture, **times, **fields})


def decide(asked: MatchRequest, snapshot: Snapshot, policy: Policy = POLICY) -> MatchDecision:
    return MatchCall().decide(asked, snapshot, context(policy))


def test_a_match_by_a_sketch_names_make_cut_candidates_and_the_bound_on_a_miss(few_candidates):
    exact, sketched = snapshots()
    asked = request(photo(3))
    decision, call = decide(asked, sketched), MatchCall()
    event = call.event(asked, decision, context(POLICY), circumstances(call, asked))
    assert (event.outcome, event.identity_id) == ("matched", "p3")
    assert event.index is not None
    assert (event.index.make, event.index.estimate) == ("sketch", False)
    assert 1 <= event.index.candidates < PEOPLE
    assert event.index.cut is not None
    assert event.index.cut < 0.7
    assert event.index.miss == pytest.approx(2.87e-7, rel=0.01)
    evidence = call.evidence(asked, decision, context(POLICY), circumstances(call, asked))
    assert evidence is not None
    assert evidence.complete_to == 0.7
    reference = decide(asked, exact)
    assert call.event(asked, reference, context(POLICY), circumstances(call, asked)).index is None
    assert reference.candidate == decision.candidate, "the same bits"


def test_a_stranger_who_is_named_all_the_same_is_marked_as_an_estimate(few_candidates):
    _, sketched = snapshots()
    policy = Policy(threshold=0.7, allow_keep_info=True)
    asked, given = request(photo(500), need_keep_info=True), context(policy)
    decision, call = decide(asked, sketched, policy), MatchCall()
    event = call.event(asked, decision, given, circumstances(call, asked))
    assert event.outcome == "stranger"
    assert event.identity_id != ""
    assert event.cosine is not None
    assert event.index is not None
    assert event.index.estimate
    answer = call.answer(asked, decision, given, None)
    assert (answer.retcode, answer.identity_id, answer.score) == ("0", event.identity_id, event.score)


def test_every_enrolled_face_is_decided_as_by_exact_search(few_candidates):
    exact, sketched = snapshots()
    for seed in range(PEOPLE + 5):
        one, other = (decide(request(photo(seed)), snapshot) for snapshot in (exact, sketched))
        assert one.outcome == other.outcome
        assert one.outcome == "stranger" or one.candidate == other.candidate


def test_the_event_has_the_search_of_the_face_that_the_answer_is_about(few_candidates):
    _, sketched = snapshots()
    asked = request(scene(draw_face(500, 160), draw_face(4, 160)), match_all_faces=True)
    decision, call = decide(asked, sketched), MatchCall()
    about = next(face for face in decision.searched if face.answered)
    assert decision.index is not None
    assert decision.index == about.index
    event = call.event(asked, decision, context(POLICY), circumstances(call, asked))
    assert event.index is not None
    assert event.index.estimate == (decision.outcome == "stranger")


def test_a_stranger_who_was_compared_with_covered_templates_too_has_the_candidates_of_the_lower_floor(few_candidates):
    """The search among templates of covered faces goes below the threshold, and the evidence says how far."""
    exact, sketched = snapshots(COVERED_MODELS)
    given, lowered = context(models=COVERED_MODELS), 0
    for seed in range(500, 520):
        asked, call = request(photo(seed)), MatchCall()
        one, other = (call.decide(asked, snapshot, given) for snapshot in (exact, sketched))
        assert one.outcome == other.outcome
        complete_to = -1.0 if other.index is None else other.index.complete_to
        lowered += complete_to < one.threshold.cosine
        complete = [candidate for candidate in one.candidates if candidate.cosine >= complete_to]
        assert list(other.candidates[: len(complete)]) == complete
    assert lowered == 20
