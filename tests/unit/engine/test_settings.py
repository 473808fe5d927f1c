"""Settings of the site: which a request may set, and which policy is then in force."""

from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract.answers import SettingsAnswer
from contract.errors import Code
from contract.people.site import SettingRecord, Site
from contract.requests import MatchRequest
from contract.site_requests import SettingsRequest
from contract.site_settings import SITE_SETTINGS, with_values
from engine.calls.match import MatchCall
from engine.calls.people import NOTHING_PREPARED, PEOPLE_UNREADABLE, ChangeDecision
from engine.calls.settings import SettingsCall
from engine.context import Context, Contexts
from engine.gallery.pending import PendingPeople
from engine.policy import Policy, policy_of
from tests.support.faces import Enrolled, circumstances, context, outcome_of, photo

CALL = SettingsCall()


class Set:
    """A site whose settings are set one request after the other."""

    def __init__(self, policy: Policy | None = None, pinned: frozenset[str] = frozenset()) -> None:
        self.enrolled = Enrolled(policy=policy or Policy())
        base = context(self.enrolled.policy)
        self.contexts = Contexts(Context(base.models, base.policy, base.max_pixels, base.clock, pinned))

    @property
    def site(self) -> Site:
        return self.enrolled.people.site

    @property
    def policy(self) -> Policy:
        return self.contexts.at(self.site).policy

    def decide(self, all_or_none: bool = False, **values: Any) -> ChangeDecision:
        request = SettingsRequest(request_id="r", received_time_s=1.0, values=values, all_or_none=all_or_none)
        pending = PendingPeople(self.enrolled.people)
        decision = CALL.decide(request, NOTHING_PREPARED, pending, self.contexts.at(pending.site))
        self.enrolled.write(decision.people_records())
        if decision.site is not None:
            assert policy_of(self.contexts.base.policy, decision.site, frozenset()) == policy_of(
                self.contexts.base.policy, self.site, frozenset()
            ), "the next decision is based on what the records say"
        return decision

    def set(self, **values: Any) -> dict[str, str]:
        """The reasons why some could not be set."""
        answer = self.decide(**values).answer
        assert isinstance(answer, SettingsAnswer)
        assert answer.values.keys() | answer.failed.keys() == values.keys()
        return answer.failed


def test_each_value_reaches_the_policy_in_its_own_place() -> None:
    here = Set()
    failed = here.set(
        THRESHOLD=90, THRESHOLD_RANGE="0,80,100", REG_MIN_FACE=44, FIQA_LEVEL="high", DEFAULT_GROUP_SIZE=12
    )
    assert failed == {}
    assert here.policy == Policy(
        accepted_score=90.0,
        score_range=(0.0, 80.0, 100.0),
        min_face_size=44,
        enrolment_quality="high",
        max_people=12,
    )
    assert here.contexts.at(here.site).operators_policy == Policy()


@pytest.mark.parametrize(
    "bad", [{"DEFAULT_GROUP_SIZE": 5}, {"PASSMODE": "allpass"}, {"REG_MIN_FACE": -1}, {"THRESHOLD": 10}], ids=str
)
def test_of_settings_that_are_set_all_or_none_one_that_cannot_be_set_leaves_every_one_as_it_was(
    bad: dict[str, Any],
) -> None:
    here = Set(pinned=frozenset({"matching.max_people"}))
    assert here.set(THRESHOLD_RANGE="20,80,100", REPORTED_PEROID=7) == {}
    before = here.site
    decision = here.decide(all_or_none=True, **{"FIQA_LEVEL": "middle", "REPORTED_PEROID": 9, **bad})
    assert isinstance(decision.answer, SettingsAnswer)
    assert (decision.outcome, decision.changes, here.site) == ("refused", False, before)
    assert (decision.answer.values, list(decision.answer.failed)) == ({}, list(bad))
    good = here.decide(all_or_none=True, FIQA_LEVEL="middle", REPORTED_PEROID=9)
    assert (good.outcome, here.policy.enrolment_quality) == ("changed", "middle")


def test_what_cannot_be_set_is_named_with_the_reason_and_the_rest_is_set() -> None:
    here = Set(pinned=frozenset({"matching.max_people"}))
    decision = here.decide(DEFAULT_GROUP_SIZE=5, PASSMODE="allpass", REG_MIN_FACE=-1, FIQA_LEVEL="middle")
    answer = decision.answer
    assert isinstance(answer, SettingsAnswer)
    assert answer.values == {"FIQA_LEVEL": "middle"}
    assert set(answer.failed) == {"DEFAULT_GROUP_SIZE", "PASSMODE", "REG_MIN_FACE"}
    assert "matching.max_people" in answer.failed["DEFAULT_GROUP_SIZE"]
    assert (here.policy.max_people, here.policy.enrolment_quality) == (100_000, "middle")
    event = CALL.event(
        SettingsRequest(request_id="r", received_time_s=1.0, values={}), decision, context(), circumstances(CALL, None)
    )
    assert (event.kind, event.outcome, event.name) == ("settings", "changed", "FIQA_LEVEL")


def test_where_nothing_can_be_set_nothing_is_written() -> None:
    decision = Set().decide(PASSMODE="allpass")
    assert (decision.outcome, decision.changes, decision.refusal) == ("refused", False, None)


def test_a_value_that_is_in_force_already_writes_nothing() -> None:
    here = Set()
    assert here.decide(THRESHOLD=90).changes
    again = here.decide(THRESHOLD=90)
    assert (again.outcome, again.changes, again.site) == ("changed", False, None)


def test_null_gives_the_setting_back_to_the_operator() -> None:
    here = Set(Policy(max_people=77))
    here.set(DEFAULT_GROUP_SIZE=5)
    assert here.policy.max_people == 5
    assert here.set(DEFAULT_GROUP_SIZE=None) == {}
    assert here.policy.max_people == 77


@pytest.mark.parametrize(
    ("before", "values", "failed"),
    [
        ({}, {"THRESHOLD": 90, "THRESHOLD_RANGE": [0, 50, 85]}, {"THRESHOLD", "THRESHOLD_RANGE"}),
        ({"THRESHOLD": 90}, {"THRESHOLD_RANGE": [0, 50, 85]}, {"THRESHOLD_RANGE"}),
        ({"THRESHOLD_RANGE": [0, 50, 85]}, {"THRESHOLD": 90}, {"THRESHOLD"}),
        ({"THRESHOLD_RANGE": [0, 50, 85]}, {"THRESHOLD": 85}, {"THRESHOLD"}),
        ({"THRESHOLD_RANGE": [0, 50, 85]}, {"THRESHOLD": 84.9}, set()),
        ({"THRESHOLD_RANGE": [0, 50, 85]}, {"THRESHOLD": 90, "THRESHOLD_RANGE": None}, set()),
        ({"THRESHOLD": 90}, {"THRESHOLD": None, "THRESHOLD_RANGE": [0, 50, 85]}, set()),
    ],
)
def test_scores_never_contradict_each_other(before: dict[str, Any], values: dict[str, Any], failed: set[str]) -> None:
    here = Set()
    assert here.set(**before) == {}
    assert set(here.set(**values)) == failed


def test_two_requests_of_one_transaction_see_each_other() -> None:
    here = Set()
    pending = PendingPeople(here.enrolled.people)

    def decide(**values: Any) -> ChangeDecision:
        request = SettingsRequest(request_id="r", received_time_s=1.0, values=values)
        decision = CALL.decide(request, NOTHING_PREPARED, pending, here.contexts.at(pending.site))
        pending.decided(decision.people, decision.site)
        return decision

    assert decide(THRESHOLD=90).outcome == "changed"
    assert decide(THRESHOLD_RANGE=[0, 50, 85]).outcome == "refused"
    assert here.contexts.at(pending.site).policy.accepted_score == 90.0


def test_a_threshold_that_the_operator_has_fixed_is_moved_by_nobody() -> None:
    here = Set(Policy(threshold=0.5), frozenset({"matching.threshold"}))
    assert "matching.threshold" in here.set(THRESHOLD=90)["THRESHOLD"]
    assert here.policy == Policy(threshold=0.5)


def test_what_was_set_before_the_operator_pinned_it_has_no_effect() -> None:
    site, _ = with_values(Site(), {"THRESHOLD": 20.0, "DEFAULT_GROUP_SIZE": 3})
    policy = Policy(score_range=(50.0, 82.0, 100.0), max_people=9)
    pinned = frozenset({"matching.score_range", "matching.max_people"})
    assert policy_of(policy, site, pinned) == policy, "a score of 20 is not on the operator's scale"


def test_records_of_another_version_leave_the_policy_as_it_is() -> None:
    site = Site().put(SettingRecord(name="scores", value={"THRESHOLD": "high", "THRESHOLD_RANGE": [9, 1, 2]}))
    assert policy_of(Policy(), site, frozenset()) == Policy()


def test_while_a_record_cannot_be_read_nothing_is_set() -> None:
    here = Set()
    here.enrolled.write([(b"setting/scores", b"?")])
    assert here.decide(THRESHOLD=90).refusal == PEOPLE_UNREADABLE


def any_value() -> st.SearchStrategy[Any]:
    plausible = st.sampled_from([None, 1, 30, 82, 90.5, "low", "0,50,85", [0, 82, 100], True, "http://10.0.0.1/"])
    return plausible | st.integers() | st.floats() | st.text(max_size=5) | st.lists(st.floats(0, 100), max_size=4)


@given(st.lists(st.dictionaries(st.sampled_from([*SITE_SETTINGS, "PASSMODE"]), any_value(), max_size=4), max_size=6))
def test_whatever_is_set_the_policy_in_force_is_one_that_an_operator_could_have(asked: list[dict[str, Any]]) -> None:
    here = Set()
    for values in asked:
        here.set(**values)
        assert msgspec.convert(msgspec.to_builtins(here.policy), Policy) == here.policy


def matched(policy: Policy, seed: int, cosine_of: int = 1) -> Iterator[Any]:
    enrolled = Enrolled(policy=policy)
    enrolled.enrol("anna", cosine_of)
    request = MatchRequest(
        request_id="m", device_ip="10.0.0.1", picture=photo(seed), compare_time_s=1.0, received_time_s=1.0
    )
    answer, event = outcome_of(MatchCall(), request, enrolled.people.snapshot(), context(policy))
    yield from (answer, event)


def test_the_accepted_score_moves_the_decision_and_not_the_scale() -> None:
    plain, moved = Policy(score_scale="percent"), Policy(score_scale="percent", accepted_score=99.9)
    (answer, event), (later, later_event) = matched(plain, 1), matched(moved, 1)
    assert answer.score == later.score, "the same face has the same score"
    assert event.threshold.value == 82.0
    assert later_event.threshold.value == pytest.approx(99.9)
    assert (later_event.threshold.rule, later_event.threshold.fmr) == ("accepted_score", None)
    assert later_event.threshold.cosine > event.threshold.cosine
    stranger = next(matched(Policy(score_scale="percent"), 50))
    assert 0.0 < stranger.score < 82.0
    (_, low_event) = matched(Policy(score_scale="percent", accepted_score=stranger.score / 2), 50)
    assert (low_event.outcome, low_event.score) == ("matched", stranger.score), "so low a score takes anybody"


def test_the_least_size_of_a_face_is_the_larger_of_the_sites_and_the_requests() -> None:
    answer, event = matched(Policy(min_face_size=300), 1)
    assert (answer.code, event.outcome) == (Code.NO_FACE, "no_face")
    assert next(matched(Policy(min_face_size=20), 1)).identity_id == "anna"
