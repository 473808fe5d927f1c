"""Who is named as a look-alike when a face is enrolled, and when the face is refused."""

from dataclasses import replace
from typing import Any

import msgspec
import numpy as np
import pytest
from msgspec import structs

from contract.audit_details import details_of
from contract.codec import encode
from contract.errors import Code
from contract.people.keys import person_key, site_key
from contract.people.records import PersonRecord
from contract.people.site import GroupRecord, site_key_of
from contract.requests import EnrolRequest
from engine.calls import lookalikes
from engine.calls.enrol import EnrolCall
from engine.calls.lookalikes import MOST_NAMED, lookalikes_of, search_ahead
from engine.calls.people import ChangeDecision, Prepared, PreparedFace
from engine.gallery.pending import PendingPeople
from engine.gallery.port import Scope, everybody
from engine.policy import Policy, recorded_policy
from engine.threshold import search_threshold
from engine.vision.networks.standin import StandInEmbedder
from models.manifest import FmrPoint
from tests.support.faces import MODELS, Enrolled, circumstances, context

DIMENSION = MODELS.embedder.dimension
WARN, REFUSE, OFF = (Policy(threshold=0.6, enrolment_lookalikes=what) for what in ("warn", "refuse", "off"))


def near(cosine: float, other: int = 1) -> np.ndarray:
    """A unit vector with that cosine to the first axis, and its rest along another one."""
    vector = np.zeros(DIMENSION, np.float32)
    vector[0], vector[other] = cosine, np.sqrt(1 - cosine**2)
    return vector


def request(identity_id: str, **fields: Any) -> EnrolRequest:
    return EnrolRequest(request_id="r", identity_id=identity_id, received_time_s=1.0, **fields)


def decide(
    people: PendingPeople, identity_id: str, vector: np.ndarray, policy: Policy = WARN, **fields: Any
) -> ChangeDecision:
    """Decide an enrolment, and leave its result to the next decision of the transaction."""
    face = PreparedFace.of(vector, b"sent", b"sent")
    decision = EnrolCall().decide(request(identity_id, **fields), Prepared(face), people, context(policy))
    if decision.changes:
        people.decided(decision.people, decision.site)
    return decision


def stored(enrolled: Enrolled, identity_id: str, vector: np.ndarray, **fields: Any) -> None:
    decision = decide(PendingPeople(enrolled.people), identity_id, vector, OFF, **fields)
    enrolled.write(decision.people_records([(0, 0)] * len(decision.photos)))


def named(decision: ChangeDecision) -> list[str]:
    return [one.identity_id for one in decision.lookalikes]


@pytest.fixture
def enrolled() -> Enrolled:
    result = Enrolled()
    stored(result, "anna", near(1.0))
    return result


@pytest.mark.parametrize(("cosine", "found"), [(0.61, ["anna"]), (0.59, [])])
def test_the_threshold_of_a_search_decides_who_is_named(enrolled, cosine, found):
    decision = decide(PendingPeople(enrolled.people), "bert", near(cosine))
    assert decision.outcome == "enrolled"
    assert named(decision) == found
    assert [one.identity_id for one in decision.answer.lookalikes] == found
    assert [one.score for one in decision.lookalikes] == pytest.approx([cosine] * len(found), abs=1e-5)


def sides(cosine: float) -> list[np.ndarray]:
    """Two unit vectors with that cosine to the first axis, which is their mean."""
    return [near(cosine), near(cosine) * np.where(np.arange(DIMENSION) == 1, np.float32(-1), np.float32(1))]


@pytest.mark.parametrize("together", [False, True], ids=["stored", "one transaction"])
@pytest.mark.parametrize(("means", "found"), [(True, ["anna"]), (False, [])])
def test_who_could_be_taken_for_a_person_by_the_mean_of_the_faces_is_named_where_matches_compare_it(
    together, means, found
):
    enrolled, policy = Enrolled(), structs.replace(WARN, mean_templates=means)
    people = PendingPeople(enrolled.people)
    for face in sides(0.4):
        if together:
            decide(people, "anna", face, update="anna" in {who.identity_id for who in people.everybody()})
        else:
            stored(enrolled, "anna", face, update=enrolled.people.person("anna") is not None)
    ahead = search_ahead([near(1.0)], enrolled.people.snapshot().gallery, context(policy))
    for pending in (
        [people] if together else [PendingPeople(enrolled.people), PendingPeople(enrolled.people, {}, ahead)]
    ):
        assert pending.templates(everybody(means=False)) == 2
        assert pending.templates(everybody(means=True)) == 3
        decision = decide(pending, "bert", near(1.0), policy)
        assert named(decision) == found
        if found:
            assert decision.lookalikes[0].score == pytest.approx(1.0, abs=1e-5)


class Steep(StandInEmbedder):
    """Thresholds that rise by .08 where a search compares 9 templates instead of 6."""

    fmr_curve = (FmrPoint(fmr=1e-1, threshold=0.0), FmrPoint(fmr=1e-3, threshold=0.9))


@pytest.fixture
def two_groups() -> Enrolled:
    """Twenty people in the default group, anna and carl in the group staff, and dora in both."""
    enrolled = Enrolled()
    staff = GroupRecord(group_id="g", name="staff")
    enrolled.write([(site_key(site_key_of(staff)), encode(staff))])
    stored(enrolled, "anna", near(0.5, 3), group_names=("staff",))
    stored(enrolled, "carl", near(0.0, 4), group_names=("staff",))
    stored(enrolled, "dora", near(0.0, 5), group_names=("staff", "default_group"))
    for number in range(20):
        stored(enrolled, f"p{number}", near(0.0, 20 + number))
    return enrolled


GROUP = Policy(target_fpir=0.06, highest_fmr=0.5, mean_templates=False)
"""With the curve of `Steep`, thresholds of .32 among 3 faces, .707 among 21 and .723 among 23."""


@pytest.mark.parametrize(
    ("groups", "permissions", "cosine", "found"),
    [
        (("staff",), ("0",), 0.5, ["anna"]),
        (("default_group",), ("0",), 0.5, []),  # both are in no search of one group; everybody has the permission
        (("default_group", "staff"), ("0",), 0.5, ["anna"]),
        (("staff",), (), 0.5, []),  # without a permission, nobody is found by any search
        ((), ("0",), 0.5, []),
        ((), (), 0.8, ["anna"]),
    ],
)
@pytest.mark.parametrize("way", ["stored", "one transaction", "ahead"])
def test_people_are_judged_by_the_threshold_of_the_smallest_scope_in_which_both_are_searched(
    two_groups, groups, permissions, cosine, found, way
):
    given = context(GROUP, replace(MODELS, embedder=Steep()))
    vector = np.zeros(DIMENSION, np.float32)
    vector[0], vector[3] = near(0.5, 3)[0], near(0.5, 3)[3]
    probe = np.asarray(cosine * vector + np.sqrt(1 - cosine**2) * np.eye(DIMENSION, dtype=np.float32)[9], np.float32)
    people = PendingPeople(two_groups.people)
    if way == "ahead":
        people = PendingPeople(
            two_groups.people, ahead=search_ahead([probe], two_groups.people.snapshot().gallery, given)
        )
    if way == "one transaction":  # the same people, of whom three are decided again
        people.decided({who: people.known(who) for who in ("anna", "carl", "p1")}, None)
    group_ids = tuple({"staff": "g"}.get(name, name) for name in groups)
    bert = PersonRecord(
        identity_id="bert", group_ids=group_ids, info={"permission_ids": list(permissions)}, faces=(), next_face=0
    )
    assert bert.permission_ids == permissions
    alike = lookalikes_of(probe, bert, people, given)
    assert [one.identity_id for one in alike] == found


def test_the_faces_of_a_scope_are_counted_with_those_of_earlier_decisions(two_groups):
    people = PendingPeople(two_groups.people)
    staff, all_of_them = Scope("g", "0", means=True), everybody(means=True)
    assert (people.templates(staff), people.templates(all_of_them)) == (3, 23)
    for place in (1, 2):
        decide(people, "carl", near(0.1, 40 + place), OFF, update=True, group_names=("staff",))
    assert (people.templates(staff), people.templates(all_of_them)) == (6, 26), "two faces and their mean"
    carl = people.known("carl")
    assert carl.record is not None
    people.decided({"carl": replace(carl, record=structs.replace(carl.record, group_ids=("default_group",)))}, None)
    assert (people.templates(staff), people.templates(Scope("default_group", "0", means=True))) == (2, 25)
    people.decided({"anna": replace(people.known("anna"), record=None, vectors={})}, None)
    assert (people.templates(staff), people.templates(all_of_them)) == (1, 25)


@pytest.mark.parametrize(("means", "found"), [(False, ["anna"]), (True, [])])
def test_the_threshold_is_that_of_a_match_which_counts_the_means_it_compares(means, found):
    enrolled = Enrolled()
    for number, who in enumerate(("anna", "bert", "carl")):
        stored(enrolled, who, near(0.5 if who == "anna" else 0.0, 10 + number))
        stored(enrolled, who, near(0.0, 20 + number), update=True)
    policy = Policy(target_fpir=0.06, highest_fmr=0.5, mean_templates=means)
    given = context(policy, replace(MODELS, embedder=Steep()))
    people = PendingPeople(enrolled.people)
    assert search_threshold(policy, Steep(), people.templates(everybody(means=means))).cosine == pytest.approx(
        {6: 0.450, 9: 0.529}[people.templates(everybody(means=means))], abs=1e-3
    )
    dora = PersonRecord(identity_id="dora", group_ids=(), info={}, faces=(), next_face=0)
    assert [one.identity_id for one in lookalikes_of(near(1.0), dora, people, given)] == found


def test_a_person_of_the_same_transaction_who_is_left_with_one_face_has_no_mean():
    enrolled = Enrolled()
    for face in sides(0.4):
        stored(enrolled, "anna", face, update=enrolled.people.person("anna") is not None)
    people = PendingPeople(enrolled.people)
    decide(people, "anna", near(0.0, 7), update=True, support_single_face=True)
    assert (people.templates(everybody(means=False)), people.templates(everybody(means=True))) == (1, 1)
    assert named(decide(people, "bert", near(1.0))) == []


def test_event_and_audit_record_name_the_look_alikes_and_count_them(enrolled):
    decision, call = decide(PendingPeople(enrolled.people), "bert", near(0.8)), EnrolCall()
    event = call.event(request("bert"), decision, context(WARN), circumstances(call, request("bert")))
    assert event.lookalikes == decision.lookalikes
    assert details_of(request("bert"), decision.answer)["lookalikes"] == 1
    assert "lookalikes" not in details_of(request("bert"), msgspec.structs.replace(decision.answer, lookalikes=()))


def test_two_people_of_one_transaction_are_compared_and_their_faces_counted():
    people = PendingPeople(Enrolled().people)
    assert named(decide(people, "anna", near(1.0))) == []
    assert named(decide(people, "bert", near(0.9))) == ["anna"]
    assert people.templates(everybody(means=False)) == 2
    deleted = replace(people.known("anna"), record=None, vectors={})
    people.decided({"anna": deleted}, None)
    assert people.templates(everybody(means=False)) == 1
    assert named(decide(people, "carl", near(0.9))) == ["bert"]


def test_a_decision_sees_the_faces_that_an_earlier_one_replaced(enrolled):
    people = PendingPeople(enrolled.people)
    decide(people, "anna", near(0.0), update=True, support_single_face=True)
    assert named(decide(people, "bert", near(1.0))) == [], "the face of anna in the fold is replaced"


def test_nobody_is_a_look_alike_of_themselves(enrolled):
    for policy in (WARN, REFUSE):
        decision = decide(PendingPeople(enrolled.people), "anna", near(0.8), policy, update=True)
        assert (decision.outcome, named(decision)) == ("updated", [])


def test_the_nearest_few_are_named_in_order():
    enrolled = Enrolled()
    for number in range(MOST_NAMED + 2):
        stored(enrolled, f"p{number}", near(0.7 + number / 50, 1 + number))
    decision = decide(PendingPeople(enrolled.people), "new", near(1.0))
    assert named(decision) == [f"p{number}" for number in range(MOST_NAMED + 1, 1, -1)]


def test_people_who_are_never_searched_together_are_named_and_marked():
    enrolled = Enrolled()
    staff = GroupRecord(group_id="g", name="staff")
    enrolled.write([(site_key(site_key_of(staff)), encode(staff))])
    stored(enrolled, "anna", near(1.0), group_names=("staff",))
    (one,) = decide(PendingPeople(enrolled.people), "bert", near(0.9)).lookalikes
    assert (one.identity_id, one.shares_scope) == ("anna", False)
    (one,) = decide(PendingPeople(enrolled.people), "bert", near(0.9), group_names=("staff",)).lookalikes
    assert one.shares_scope


def test_the_setting_refuses_a_face_and_changes_nothing(enrolled):
    decisions = [decide(PendingPeople(enrolled.people), "bert", near(0.8), REFUSE) for _ in range(2)]
    for decision in decisions:
        assert decision.refusal.code is Code.PARAM_ERROR
        assert "anna" in decision.refusal.message
        assert (decision.outcome, decision.changes, named(decision)) == ("refused", False, ["anna"])
    assert decisions[0].refusal == decisions[1].refusal


def test_a_repeated_enrolment_is_answered_as_before_and_not_refused(enrolled):
    stored(enrolled, "bert", near(0.8))
    decision = decide(PendingPeople(enrolled.people), "bert", near(0.8), REFUSE)
    assert (decision.refusal, decision.answer.unchanged, named(decision)) == (None, True, ["anna"])


def test_a_face_that_the_person_has_already_is_not_refused(enrolled):
    stored(enrolled, "bert", near(0.8))
    decision = decide(PendingPeople(enrolled.people), "bert", near(0.8), REFUSE, update=True, info={"name": "B"})
    assert (decision.outcome, named(decision)) == ("updated", ["anna"])


def test_nothing_is_searched_where_the_setting_is_off_or_was_unknown(enrolled):
    assert named(decide(PendingPeople(enrolled.people), "bert", near(0.99), OFF)) == []
    settings = msgspec.to_builtins(Policy())
    del settings["enrolment_lookalikes"]
    assert recorded_policy(settings).enrolment_lookalikes == "off"


class NoSearch:
    """A fold whose gallery is counted but never searched."""

    def __init__(self, people: Any) -> None:
        self._people = people

    def __getattr__(self, name: str) -> Any:
        return getattr(self._people, name)

    def __len__(self) -> int:
        return len(self._people)

    def snapshot(self) -> Any:
        return self

    @property
    def gallery(self) -> Any:
        return self

    def count(self, scope: Any) -> int:
        return self._people.snapshot().gallery.count(scope)

    def best(self, *args: Any) -> Any:
        raise AssertionError("the decision searched although that was done ahead")


def test_a_decision_uses_what_was_searched_ahead_and_finds_the_same(enrolled):
    for number in range(30):
        stored(enrolled, f"p{number}", near(0.3 + number / 50, 1 + number))
    vectors = [near(0.9, 50), near(0.5, 51), near(-0.9, 52)]
    ahead = search_ahead(vectors, enrolled.people.snapshot().gallery, context(WARN))
    for vector in vectors:
        searched: Any = NoSearch(enrolled.people)
        one = decide(PendingPeople(searched, ahead=ahead), "new", vector)
        assert one.lookalikes == decide(PendingPeople(enrolled.people), "new", vector).lookalikes
    assert named(decide(PendingPeople(enrolled.people, ahead=ahead), "new", vectors[0]))


def test_what_was_searched_before_the_fold_was_read_further_is_not_used(enrolled):
    ahead = search_ahead([near(0.9)], enrolled.people.snapshot().gallery, context(WARN))
    enrolled.write([(person_key("anna"), None)])
    assert named(decide(PendingPeople(enrolled.people, ahead=ahead), "bert", near(0.9))) == []


def test_a_lower_threshold_than_was_searched_ahead_is_searched_again(enrolled):
    ahead = search_ahead([near(0.5)], enrolled.people.snapshot().gallery, context(WARN))
    lower = Policy(threshold=0.4)
    assert named(decide(PendingPeople(enrolled.people, ahead=ahead), "bert", near(0.5), lower)) == ["anna"]


def test_a_face_that_nearly_every_face_is_near_to_is_not_searched_ahead_and_has_the_same_look_alikes(
    enrolled, monkeypatch
):
    low = structs.replace(WARN, threshold=0.2)
    for number in range(30):
        stored(enrolled, f"p{number:02}", near(0.3 + number / 50, 1 + number))
    vectors = [near(0.9, 50), near(0.1, 51)]
    monkeypatch.setattr(lookalikes, "_MOST_AHEAD", 20)
    ahead = search_ahead(vectors, enrolled.people.snapshot().gallery, context(low))
    assert [vector.tobytes() in ahead.found for vector in vectors] == [False, True]
    people = PendingPeople(enrolled.people, ahead=ahead)
    for number in range(25, 30):
        decide(people, f"p{number}", near(-1.0), low, update=True, support_single_face=True)
    assert named(decide(people, "anna", vectors[0], low, update=True)) == [f"p{n}" for n in range(24, 19, -1)]
