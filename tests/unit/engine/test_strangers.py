"""Which strangers a match has enrolled, and what becomes of the request."""

from dataclasses import replace
from itertools import count
from typing import Any

import pytest
from msgspec import structs

from contract.answers import PersonAnswer
from contract.errors import Code
from contract.events import Event
from contract.people.records import PersonRecord, info_of
from contract.requests import EnrolRequest, MatchRequest, StrangerRequest
from contract.site_requests import MembersRequest
from engine.calls.enrol import EnrolCall
from engine.calls.match import MatchCall
from engine.calls.matching import MatchDecision
from engine.calls.members import MembersCall
from engine.calls.people import ChangeDecision
from engine.calls.stranger import MOST_LEAVING, StrangerCall
from engine.gallery.pending import PendingPeople
from engine.policy import Policy, QualityLimits
from engine.strangers import stranger_request
from engine.vision.networks.standin import draw_face
from tests.support.faces import Enrolled, circumstances, context, photo, scene

ON = Policy(enrol_strangers=True)
NUMBERS = count()


def crowd(*seeds: int, policy: Policy = ON) -> Enrolled:
    """A gallery with Anna, who has the face 1, and people with these faces."""
    found = Enrolled(policy=policy)
    for seed in (1, *seeds):
        found.enrol(f"p{seed}", seed, info={"name": f"Person {seed}"}, ignore_exist=True)
    return found


def asked(picture: bytes, **fields: Any) -> MatchRequest:
    required = {"request_id": f"m{next(NUMBERS)}", "device_ip": "10.0.0.1", "compare_time_s": 1.5}
    return MatchRequest(**{**required, "received_time_s": 2.5, "support_stranger": True, "picture": picture, **fields})


def matched(request: MatchRequest, enrolled: Enrolled, policy: Policy = ON) -> MatchDecision:
    return MatchCall().decide(request, enrolled.people.snapshot(), context(policy))


def follows(request: MatchRequest, enrolled: Enrolled, policy: Policy = ON) -> StrangerRequest | None:
    return stranger_request(request, matched(request, enrolled, policy), policy, 3, 7)


def required(request: StrangerRequest | None) -> StrangerRequest:
    assert request is not None
    return request


def decided(
    request: StrangerRequest, enrolled: Enrolled, policy: Policy = ON, pending: PendingPeople | None = None
) -> ChangeDecision:
    call, given = StrangerCall(), context(policy)
    now = PendingPeople(enrolled.people) if pending is None else pending
    decision = call.decide(request, call.prepare(request, given), now, given)
    if decision.changes:
        now.decided(decision.people, decision.site, decision.faces)
    return decision


def written(decision: ChangeDecision, enrolled: Enrolled) -> None:
    enrolled.write(decision.people_records([(0, 5)] * len(decision.photos)))


def event_of(request: StrangerRequest, decision: ChangeDecision, policy: Policy = ON) -> Event:
    return StrangerCall().event(request, decision, context(policy), circumstances(StrangerCall(), request))


def passes(seed: int, enrolled: Enrolled, at_s: float = 2.5, policy: Policy = ON) -> str:
    """A stranger passes and is enrolled; return the identity_id."""
    request = required(follows(asked(photo(seed), received_time_s=at_s), enrolled, policy))
    decision = decided(request, enrolled, policy)
    assert decision.outcome == "enrolled"
    written(decision, enrolled)
    return request.identity_id


def test_a_stranger_is_to_be_enrolled_in_the_scope_of_the_match_with_ids_of_the_match() -> None:
    enrolled, match = crowd(), asked(photo(77), compare_time_raw="1500")
    request = required(follows(match, enrolled))
    assert request == follows(match, enrolled), "the same match makes the same request"
    assert len({request.request_id, request.identity_id, match.request_id}) == 3
    assert (request.match_id, request.match_partition, request.match_offset) == (match.request_id, 3, 7)
    assert (request.picture, request.device_ip, request.key) == (match.picture, "10.0.0.1", match.key)
    assert (request.group_id, request.permission_id) == ("default_group", "0")
    assert (request.received_time_s, request.compare_time_s, request.compare_time_raw) == (2.5, 1.5, "1500")


@pytest.mark.parametrize(
    ("match", "policy"),
    [
        (asked(photo(77)), Policy()),
        (asked(photo(77), support_stranger=False), ON),
        (asked(photo(1)), ON),
        (asked(scene()), ON),
        (asked(photo(77)[:3000]), ON),
        (asked(scene(draw_face(77, 200), draw_face(78, 80))), ON),
        (asked(scene(draw_face(77, 200), draw_face(78, 190))), ON),
        (asked(scene(draw_face(77, 200), draw_face(78, 80)), match_all_faces=True), ON),
        (asked(scene(draw_face(77, 200), draw_face(78, 30)), min_face_size=100), ON),
        (asked(photo(77), group_name="nowhere"), ON),
        (asked(photo(77), permission_name="0", group_name=None, by_permission=True), ON),
        (asked(photo(77, live=False), liveness_mode="liveness_rgb"), ON),
        (asked(photo(77)), structs.replace(ON, stranger_margin=0.9)),
        (asked(photo(77, size=70)), structs.replace(ON, stranger_quality="high")),
        (asked(photo(77)), structs.replace(ON, custom_quality=QualityLimits(face_size_px=400.0))),
        (asked(photo(77)), structs.replace(ON, stranger_liveness="liveness_rgb")),
        (
            asked(photo(77), liveness_mode="liveness_rgb"),
            structs.replace(ON, stranger_liveness="liveness_rgb_ir"),
        ),
        (asked(photo(77), further_pictures=(scene(draw_face(77, 150), draw_face(78, 60)),)), ON),
        (asked(photo(77), further_pictures=(photo(78),)), ON),
    ],
    ids=[
        *("the operator does not allow it", "the call does not ask", "somebody is recognised", "no face", "no picture"),
        *("another face", "a rival", "another face that is searched for", "another face that is ignored"),
        *("an unknown group", "no group is searched", "not live", "near to somebody", "a small face for the level"),
        *("a small face for the custom level", "liveness was not checked", "liveness was checked too weakly"),
        *("somebody else in another picture", "somebody else's picture"),
    ],
)
def test_nobody_is_to_be_enrolled_where(match: MatchRequest, policy: Policy) -> None:
    assert follows(match, crowd(), policy) is None


@pytest.mark.parametrize(
    ("match", "policy"),
    [
        (asked(photo(77), liveness_mode="liveness_rgb"), structs.replace(ON, stranger_liveness="liveness_rgb")),
        (asked(photo(77), match_all_faces=True), ON),
        (asked(photo(77, size=70)), structs.replace(ON, stranger_quality="no")),
        (asked(photo(77, size=120), further_pictures=(photo(77, size=170), scene())), ON),
        (asked(photo(77), device_ip=None, group_name="default_group"), ON),
    ],
    ids=["live as demanded", "all faces", "no level", "several pictures", "a group instead of a device"],
)
def test_a_stranger_is_to_be_enrolled_where(match: MatchRequest, policy: Policy) -> None:
    request = required(follows(match, crowd(), policy))
    assert request.picture in match.pictures
    assert request.key == match.key
    assert decided(request, crowd(), policy).outcome == "enrolled"


def test_in_an_empty_group_the_call_is_refused_and_nobody_is_enrolled() -> None:
    assert matched(asked(photo(77)), Enrolled()).outcome == "empty_group"
    assert follows(asked(photo(77)), Enrolled()) is None


def test_an_enrolled_stranger_is_a_person_of_type_4_with_face_and_photo() -> None:
    enrolled = crowd()
    request = required(follows(asked(photo(77)), enrolled))
    decision = decided(request, enrolled)
    assert [key.decode() for key, _ in decision.photos] == [f"photo/{request.identity_id}/0"]
    event = event_of(request, decision)
    assert (event.kind, event.outcome, event.want_action) == ("stranger", "enrolled", "1001")
    assert (event.id, event.match_id, event.identity_id) == (request.request_id, request.match_id, request.identity_id)
    assert (event.name, event.person_type, event.retcode) == ("stranger", 4, None)
    assert (event.device_ip, event.compare_time, event.received_time) == ("10.0.0.1", 1.5, 2.5)
    assert event.scope is not None
    assert (event.scope.group_name, event.scope.permission_name) == ("default_group", "0")
    assert event.face is not None
    assert event.cosine == round(request.cosine, 6)
    written(decision, enrolled)
    person = enrolled.people.person(request.identity_id)
    assert person is not None
    assert (person.info, person.faces) == ({"name": "stranger", "type": 4, "permission_ids": ["0"]}, (0,))
    assert (person.group_ids, person.enrolled_time, person.was_passing_by) == (("default_group",), 2.5, True)
    answer, shown = decision.answer, enrolled.people.photo(request.identity_id, 0)
    assert isinstance(answer, PersonAnswer)
    assert answer.image_id == person.image_id
    assert shown is not None


def test_a_stranger_who_comes_again_is_recognised_and_stays_outside() -> None:
    enrolled = crowd()
    identity_id = passes(77, enrolled)
    again = asked(photo(77, size=150))
    decision = matched(again, enrolled)
    answer = MatchCall().answer(again, decision, context(ON), None)
    assert decision.outcome == "known_stranger"
    assert (answer.retcode, answer.identity_id, answer.name) == ("0", identity_id, "stranger")
    assert follows(again, enrolled) is None


def test_an_enrolled_person_is_recognised_although_the_stranger_of_an_earlier_match_is_as_near() -> None:
    enrolled = crowd()
    stranger = passes(77, enrolled)
    enrolled.enrol("zz", 77, info={"name": "Zoe"}, ignore_exist=True)
    decision = matched(asked(photo(77, size=150)), enrolled)
    assert [one.person.identity_id for one in decision.candidates[:2]] == ["zz", stranger]
    answer = MatchCall().answer(asked(photo(77)), decision, context(ON), None)
    assert (decision.outcome, answer.retcode, answer.identity_id) == ("matched", "1", "zz")


def test_somebody_below_the_threshold_is_not_recognised_in_place_of_a_stranger() -> None:
    enrolled = crowd()
    stranger = passes(77, enrolled)
    decision = matched(asked(photo(77, size=150)), enrolled)
    assert [one.person.identity_id for one in decision.candidates] == [stranger, "p1"]
    assert decision.outcome == "known_stranger"


def test_a_stranger_hides_no_blacklisted_person() -> None:
    enrolled = crowd()
    passes(77, enrolled)
    enrolled.enrol("zz", 77, info={"name": "Zoe", "type": 3}, ignore_exist=True)
    assert matched(asked(photo(77, size=150)), enrolled).outcome == "blacklisted"


def test_a_stranger_who_is_seen_twice_at_once_is_enrolled_once() -> None:
    enrolled = crowd()
    first, second = (required(follows(asked(photo(77, size=size)), enrolled)) for size in (160, 150))
    assert first.identity_id != second.identity_id
    pending = PendingPeople(enrolled.people)
    one, other = decided(first, enrolled, pending=pending), decided(second, enrolled, pending=pending)
    assert (one.outcome, other.outcome, other.changes) == ("enrolled", "known", False)
    event = event_of(second, other)
    assert (event.identity_id, event.person_type, event.want_action) == (first.identity_id, 4, "0")
    assert event.cosine is not None
    assert event.cosine > 0.9
    written(one, enrolled)
    assert decided(second, enrolled).outcome == "known", "also in a later transaction"


def test_a_request_that_comes_again_enrols_nobody_again() -> None:
    enrolled = crowd()
    request = required(follows(asked(photo(77)), enrolled))
    written(decided(request, enrolled), enrolled)
    again = decided(request, enrolled)
    assert (again.outcome, again.changes, event_of(request, again).want_action) == ("known", False, "0")


def test_somebody_who_was_enrolled_meanwhile_is_known() -> None:
    enrolled = crowd()
    request = required(follows(asked(photo(77)), enrolled))
    enrolled.enrol("carla", 77, info={"name": "Carla"})
    event = event_of(request, decided(request, enrolled))
    assert (event.outcome, event.identity_id, event.name, event.person_type) == ("known", "carla", "Carla", 1)


def test_somebody_in_another_scope_is_not_known() -> None:
    enrolled = crowd()
    enrolled.enrol("carla", 77, info={"name": "Carla", "permission_ids": ["other"]}, create_no_exit_permission=True)
    assert decided(required(follows(asked(photo(77)), enrolled)), enrolled).outcome == "enrolled"


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"policy": Policy()}, Code.PARAM_ERROR),
        ({"policy": structs.replace(ON, stranger_margin=1.0)}, Code.PARAM_ERROR),
        ({"policy": structs.replace(ON, stranger_quality="high")}, Code.ENROLL_FACE_SIZE_NOT_ENOUGH_ERROR),
        ({"request": {"group_id": "gone"}}, Code.NOT_FOUND),
        ({"request": {"permission_id": "gone"}}, Code.NOT_FOUND),
        ({"request": {"picture": scene()}}, Code.NO_FACE),
        ({"request": {"picture": scene(draw_face(77, 160), draw_face(78, 60))}}, Code.PARAM_ERROR),
    ],
    ids=[
        "not allowed any more",
        "near to somebody",
        "low quality",
        "no group",
        "no permission",
        "no face",
        "two faces",
    ],
)
def test_a_stranger_is_refused(change: dict[str, Any], code: Code) -> None:
    enrolled = crowd()
    request = required(follows(asked(photo(77, size=100)), enrolled))
    decision = decided(structs.replace(request, **change.get("request", {})), enrolled, change.get("policy", ON))
    event = event_of(request, decision)
    assert (decision.outcome, decision.changes, event.want_action, event.identity_id) == ("refused", False, "0", "")
    assert event.error is not None
    assert event.error.code == code
    assert event.match_id == request.match_id


def test_beyond_the_bound_those_leave_who_were_enrolled_first() -> None:
    policy = structs.replace(ON, max_strangers=3)
    enrolled = crowd(policy=policy)
    ids = [passes(seed, enrolled, at_s, policy) for seed, at_s in ((80, 30.0), (81, 10.0), (82, 20.0))]
    request = required(follows(asked(photo(83), received_time_s=40.0), enrolled, policy))
    decision = decided(request, enrolled, policy)
    oldest = ids[1]
    assert event_of(request, decision, policy).identity_ids == (oldest,)
    assert (f"photo/{oldest}/0".encode(), None) in decision.photos
    written(decision, enrolled)
    left = {person.identity_id for person in enrolled.people.everybody()}
    assert left == {"p1", ids[0], ids[2], request.identity_id}
    assert matched(asked(photo(81)), enrolled, policy).outcome == "stranger"


def test_the_bound_holds_within_a_transaction_too() -> None:
    policy = structs.replace(ON, max_strangers=2)
    enrolled = crowd(policy=policy)
    first = passes(80, enrolled, 0.5, policy)
    pending = PendingPeople(enrolled.people)
    requests = [required(follows(asked(photo(80 + n), received_time_s=n), enrolled, policy)) for n in (1, 2, 3)]
    decisions = [decided(request, enrolled, policy, pending) for request in requests]
    gone = [event_of(*pair, policy).identity_ids for pair in zip(requests, decisions, strict=True)]
    assert gone == [(), (first,), (requests[0].identity_id,)]
    assert pending.strangers == 2
    for decision in decisions:
        written(decision, enrolled)
    assert len(enrolled.people.strangers) == 2
    assert [i for _, i in enrolled.people.strangers.oldest_first()] == [r.identity_id for r in requests[1:]]


def test_a_lower_bound_is_reached_step_by_step() -> None:
    enrolled = crowd()
    pending = PendingPeople(enrolled.people)
    request = required(follows(asked(photo(77)), enrolled))
    decision = decided(request, enrolled, pending=pending)
    known = decision.people[request.identity_id]
    assert known.record is not None
    many = {
        f"s{n}": replace(known, record=structs.replace(known.record, identity_id=f"s{n}", enrolled_time=float(n)))
        for n in range(3, MOST_LEAVING + 50)
    }
    pending.decided(many, None)
    other = required(follows(asked(photo(78)), enrolled))
    event = event_of(other, decided(other, enrolled, structs.replace(ON, max_strangers=10), pending))
    assert event.identity_ids == (request.identity_id, *(f"s{n}" for n in range(3, MOST_LEAVING + 2)))


def test_who_was_enrolled_by_a_call_or_is_no_stranger_any_more_does_not_leave() -> None:
    policy = structs.replace(ON, max_strangers=1)
    enrolled = crowd(policy=policy)
    enrolled.enrol("by-hand", 79, info={"name": "By hand", "type": 4})
    promoted = passes(80, enrolled, 1.0, policy)
    changed(enrolled, promoted, {"type": 2, "name": "Visitor"})
    assert len(enrolled.people.strangers) == 0
    passes(81, enrolled, 2.0, policy)
    newest = passes(82, enrolled, 3.0, policy)
    assert {p.identity_id for p in enrolled.people.everybody()} == {"p1", "by-hand", promoted, newest}
    assert matched(asked(photo(80)), enrolled, policy).outcome == "matched", "an operator has made a visitor of them"


def test_a_changed_stranger_keeps_the_time_of_the_enrolment() -> None:
    enrolled = crowd()
    identity_id = passes(80, enrolled, 1.0)
    changed(enrolled, identity_id, {"name": "Postman", "note": "comes at nine"})
    person = enrolled.people.person(identity_id)
    assert person is not None
    assert (person.enrolled_time, person.name, person.was_passing_by) == (1.0, "Postman", True)
    assert matched(asked(photo(80)), enrolled).outcome == "known_stranger"


def changed(enrolled: Enrolled, identity_id: str, info: dict[str, Any]) -> None:
    request = EnrolRequest(request_id="r", identity_id=identity_id, received_time_s=5.0, update=True, info=info)
    call, given = EnrolCall(), context(enrolled.policy)
    decision = call.decide(request, call.prepare(request, given), PendingPeople(enrolled.people), given)
    assert decision.outcome == "updated"
    written(decision, enrolled)


def test_strangers_are_counted_by_the_threshold_and_not_among_the_members_of_a_group() -> None:
    enrolled = crowd()
    scope = matched(asked(photo(1)), enrolled).threshold
    passes(80, enrolled)
    pending = PendingPeople(enrolled.people)
    assert (pending.members("default_group"), pending.strangers) == (1, 1)
    decided(required(follows(asked(photo(81)), enrolled)), enrolled, pending=pending)
    assert (pending.members("default_group"), pending.strangers) == (1, 2)
    assert matched(asked(photo(1)), enrolled).threshold.faces == (None if scope.faces is None else scope.faces + 1)
    full = structs.replace(ON, max_people=2)
    enrolled.policy = full
    assert enrolled.enrol("p2", 2).outcome == "enrolled"
    assert enrolled.enrol("p3", 3).refusal is not None


def test_a_stranger_can_be_moved_to_a_group_that_is_full() -> None:
    enrolled = crowd()
    identity_id = passes(80, enrolled)
    request = MembersRequest(
        request_id="r", received_time_s=5.0, action="remove", group_name="default_group", identity_ids=(identity_id,)
    )
    given = context(structs.replace(ON, max_people=1))
    decision = MembersCall().decide(
        request, MembersCall().prepare(request, given), PendingPeople(enrolled.people), given
    )
    written(decision, enrolled)
    assert enrolled.people.strangers.members("default_group") == 0
    assert len(enrolled.people.strangers) == 1


def test_a_stranger_is_nobodys_lookalike() -> None:
    enrolled = crowd(policy=structs.replace(ON, enrolment_lookalikes="refuse"))
    passes(80, enrolled)
    decision = enrolled.enrol("anna", 80)
    assert (decision.outcome, decision.lookalikes) == ("enrolled", ())


def test_a_record_without_the_time_of_enrolment_is_written_as_before() -> None:
    enrolled = crowd()
    records = dict(enrolled.enrol("p2", 2).people_records([(0, 0)]))
    assert b"enrolled_time" not in (records[b"person/p2"] or b"")
    assert info_of(records[b"person/p2"] or b"") == {"type": 1, "permission_ids": ["0"]}
    assert PersonRecord(identity_id="a", group_ids=(), info={"type": 4}, faces=(), next_face=0).was_passing_by is False
