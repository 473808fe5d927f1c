"""An explanation on another machine, whose networks compute slightly other numbers: they are no alarm."""

from dataclasses import replace
from typing import Any

import pytest
from msgspec import structs

from capture.explaining.differing import BETWEEN_MACHINES, differing
from capture.explaining.matches import explain_match
from capture.explaining.values import Explanation, Then
from contract.captures.convert import decision_of
from contract.evidence import EvidenceCandidate
from contract.findings import Attributes, CheckResult, FaceBox
from engine.policy import LivenessLimits, Policy, QualityLimits
from engine.score import to_wire
from tests.support.faces import photo
from tests.support.then import Past, without_evidence


@pytest.fixture
def past() -> Past:
    past = Past()
    for seed in range(1, 8):
        past.enrol(f"p{seed}", seed)
    return past


def recorded(then: Then, *, evidence: dict[str, Any] | None = None, **event: Any) -> Explanation:
    """The explanation where the machine of then computed these values."""
    assert then.event is not None
    assert then.evidence is not None
    changed, kept = structs.replace(then.event, **event), structs.replace(then.evidence, **(evidence or {}))
    return explain_match(replace(then, event=changed, evidence=kept, decision=decision_of(changed, kept)))


def candidate(who: str, cosine: float, number: int = 0) -> EvidenceCandidate:
    return EvidenceCandidate(identity_id=who, number=number, cosine=cosine)


def differences(then: list[EvidenceCandidate], now: list[EvidenceCandidate]) -> tuple[list[str], int]:
    found = differing({"candidates": tuple(then)}, {"candidates": tuple(now)}, BETWEEN_MACHINES)
    return [alarm.what for alarm in found.alarms], found.rounding


FOUR = [candidate("a", 0.9), candidate("b", 0.8), candidate("c", 0.3121), candidate("d", 0.31205)]


def test_candidates_that_are_as_near_may_be_exchanged() -> None:
    now = [*FOUR[:2], candidate("d", 0.3122), candidate("c", 0.31195)]
    assert differences(FOUR, now) == ([], 2)


def test_a_face_of_the_same_person_that_is_as_near_may_be_the_other_one() -> None:
    assert differences(FOUR, [candidate("a", 0.9, 1), *FOUR[1:]]) == ([], 1)


def test_the_last_of_five_candidates_may_be_another_as_near() -> None:
    then, now = [*FOUR, candidate("e", 0.2)], [*FOUR, candidate("f", 0.2005)]
    assert differences(then, now) == ([], 2)
    assert differences(then, [*FOUR, candidate("f", 0.205)])[0] == ["candidates[4].identity_id"]
    assert differences(FOUR, [*FOUR[:3], candidate("f", 0.31205)])[0], "there were no other people"


@pytest.mark.parametrize(
    ("then", "what"),
    [
        ([candidate("a", 0.902), *FOUR[1:]], "candidates[0].cosine"),
        ([candidate("x", 0.9), *FOUR[1:]], "candidates[0].identity_id"),
        (FOUR[:3], "candidates[3].identity_id"),
        ([FOUR[1], FOUR[0], *FOUR[2:]], "candidates[0].place"),
    ],
)
def test_other_candidates_are_an_alarm(then: list[EvidenceCandidate], what: str) -> None:
    assert differences(then, FOUR)[0] == [what]


def test_the_evidence_of_another_machine_is_no_alarm(past: Past) -> None:
    then = past.then(photo(1))
    assert then.evidence is not None
    first, second, *others = then.evidence.candidates
    moved = structs.replace(second, cosine=second.cosine + 4e-4)
    explanation = recorded(then, evidence={"candidates": (first, moved, *others)})
    assert explanation.alarms == ()
    assert explanation.rounding == 1


def test_a_value_at_its_limit_may_pass_on_one_machine_only() -> None:
    def item(value: float, passed: bool) -> Any:
        return {"quality": [CheckResult(name="clarity", value=value, limit=0.22, passed=passed)]}

    at_limit = differing(item(0.2201, True), item(0.2199, False), BETWEEN_MACHINES)
    assert (at_limit.alarms, at_limit.rounding) == ((), 2)
    forged = differing(item(0.5, False), item(0.5, True), BETWEEN_MACHINES)
    assert [alarm.what for alarm in forged.alarms] == ["quality[0].passed"]
    assert differing(item(0.2201, True), item(0.2199, False)).alarms, "without a look nothing may differ"


def test_an_age_at_the_border_of_two_classes_may_be_of_either() -> None:
    def seen(age: float, name: Any) -> Any:
        return {"attributes": Attributes(age_years=age, age_class=name)}

    assert differing(seen(25.0, "adult"), seen(24.9, "youth"), BETWEEN_MACHINES).alarms == ()
    assert differing(seen(25.0, "youth"), seen(25.0, "adult"), BETWEEN_MACHINES).alarms == ()
    assert differing(seen(40.0, "youth"), seen(40.0, "adult"), BETWEEN_MACHINES).alarms
    assert differing(seen(25.0, "senior"), seen(25.0, "adult"), BETWEEN_MACHINES).alarms
    assert differing(seen(25.0, "adult"), seen(None, None), BETWEEN_MACHINES).alarms  # type: ignore[arg-type]


def test_a_rounded_box_may_differ_by_one_step() -> None:
    def seen(x: float) -> Any:
        return {"face": FaceBox(x=x, y=1.0, width=60.0, height=60.0, confidence=0.9)}

    assert differing(seen(20.1), seen(20.0), BETWEEN_MACHINES).alarms == ()
    assert differing(seen(20.3), seen(20.0), BETWEEN_MACHINES).alarms


def test_a_score_on_the_percent_scale_may_differ_by_as_much_as_its_cosine(past: Past) -> None:
    then = past.then(photo(77), Policy(score_scale="percent"))
    assert then.event is not None
    assert then.event.score is not None
    bare = replace(then, evidence=None, decision=decision_of(then.event))
    for moved, wrong in ((0.15, False), (0.5, True)):
        event = structs.replace(then.event, score=then.event.score + moved)
        alarms = explain_match(replace(bare, event=event, decision=decision_of(event))).alarms
        assert bool(alarms) is wrong, (moved, alarms)


def at_threshold(past: Past, *, recognised: bool, scale: Any = "raw", **request: Any) -> tuple[Then, Explanation]:
    """A match whose cosine the machine of then computed on the other side of the threshold; and its explanation."""
    picture = photo(50)
    nearest = past.then(picture).decision.candidates[0].cosine
    moved = 4e-4 if recognised else -4e-4
    limit = round(nearest + moved / 2, 6)
    here = past.then(picture, Policy(threshold=limit, score_scale=scale), **request)
    assert (here.decision.outcome == "matched") is not recognised
    other = past.then(picture, Policy(threshold=limit - moved, score_scale=scale), **request)
    assert other.event is not None
    assert other.evidence is not None
    assert here.event is not None
    assert here.evidence is not None
    assert here.policy is not None
    first, *others = other.evidence.candidates
    first = structs.replace(first, cosine=nearest + moved)
    evidence = structs.replace(
        other.evidence, candidates=(first, *others), threshold=limit, policy=here.evidence.policy
    )
    score = to_wire(first.cosine, limit, scale, here.policy.score_range)
    cosine = round(first.cosine, 6)
    event = structs.replace(other.event, threshold=here.event.threshold, score=score, cosine=cosine)
    then = replace(here, event=event, evidence=evidence, decision=decision_of(event, evidence))
    assert (then.decision.outcome == "matched") is recognised
    return then, explain_match(then)


@pytest.mark.parametrize("scale", ["raw", "percent"])
@pytest.mark.parametrize("recognised", [True, False])
@pytest.mark.parametrize("named", [True, False])
def test_a_cosine_at_the_threshold_may_be_of_either_side(past: Past, scale: str, recognised: bool, named: bool) -> None:
    then, explanation = at_threshold(past, recognised=recognised, scale=scale, need_keep_info=named)
    bare = explain_match(without_evidence(then))
    for each in (explanation, bare):
        assert each.alarms == ()
        assert each.outcome == then.decision.outcome
        assert [sentence for sentence in each.sentences if "as two machines differ" in sentence]
        assert (each.flips, "so near to its limit" in (each.no_flip or "")) == ((), True)


FORGED: dict[str, dict[str, Any]] = {
    "another outcome": {"outcome": "blacklisted", "retcode": "0"},
    "a stranger": {"outcome": "stranger", "retcode": "0", "identity_id": "", "name": "STRANGER", "person_type": None},
    "another person": {"identity_id": "p1", "name": ""},
    "another retcode": {"retcode": "0"},
    "another type": {"person_type": 3},
    "another score": {"score": 0.9},
}


@pytest.mark.parametrize("event", FORGED.values(), ids=FORGED)
@pytest.mark.parametrize("bare", [True, False])
def test_what_does_not_follow_from_the_recorded_cosine_stays_an_alarm_at_the_threshold(
    past: Past, event: dict[str, Any], bare: bool
) -> None:
    then, _ = at_threshold(past, recognised=True)
    assert then.event is not None
    forged = structs.replace(then.event, **event)
    changed = replace(then, event=forged, decision=decision_of(forged, then.evidence))
    assert explain_match(without_evidence(changed) if bare else changed).alarms


def test_a_stranger_at_the_threshold_who_was_made_a_match_is_an_alarm(past: Past) -> None:
    then, _ = at_threshold(past, recognised=False)
    assert then.event is not None
    who = then.decision.candidates[0].identity_id
    forged = structs.replace(then.event, outcome="matched", retcode="1", identity_id=who)
    alarms = explain_match(replace(then, event=forged, decision=decision_of(forged, then.evidence))).alarms
    assert {"outcome", "retcode", "identity_id"} <= {alarm.what for alarm in alarms}


def test_a_cosine_that_differs_by_more_is_an_alarm_at_the_threshold(past: Past) -> None:
    then, _ = at_threshold(past, recognised=True)
    assert then.evidence is not None
    first, *others = then.evidence.candidates
    moved = structs.replace(first, cosine=first.cosine + 2e-3)
    evidence = structs.replace(then.evidence, candidates=(moved, *others))
    alarms = explain_match(replace(then, evidence=evidence, decision=decision_of(then.event, evidence))).alarms  # type: ignore[arg-type]
    assert "candidates[0].cosine" in {alarm.what for alarm in alarms}


def test_the_nearest_of_two_people_may_be_the_other_one(past: Past) -> None:
    past.enrol("twin", 1)
    then = past.then(photo(1, size=90))
    assert then.evidence is not None
    first, second, *others = then.evidence.candidates
    assert (first.identity_id, second.identity_id, first.cosine) == ("p1", "twin", second.cosine)
    candidates = (structs.replace(second, cosine=second.cosine + 4e-4), first, *others)
    score = round(candidates[0].cosine, 6)
    named = {"identity_id": "twin", "score": score, "cosine": score}
    explanation = recorded(then, evidence={"candidates": candidates}, **named)
    assert explanation.alarms == ()
    assert "twin is the nearest person by the record" in " ".join(explanation.sentences)
    assert recorded(then, evidence={"candidates": candidates}, identity_id="p1", score=score).alarms
    assert recorded(then, identity_id="twin").alarms, "by the record p1 is the nearest"


CLARITY = QualityLimits(face_size_px=None, headpose_degrees=None)


def clarity(limit: float) -> Policy:
    return Policy(match_quality="custom", custom_quality=structs.replace(CLARITY, clarity=limit))


def live(limit: float) -> Policy:
    return Policy(liveness_floor="liveness_rgb", liveness_limits=structs.replace(LivenessLimits(), rgb_moire=limit))


def at_limit(past: Past, policy: Any, *, passed: bool, beyond: float = 2e-4) -> Then:
    """A match of which the machine of then measured one item on the other side of its limit, which `passed` there.

    `beyond`: by how much the recorded value is on that side.
    """
    place, least = (1, -1) if policy is live else (0, 1)  # moire has a most, clarity a least value

    def items(decision: Any) -> Any:
        return decision.liveness.checks if policy is live else decision.quality

    measured = items(past.then(photo(1), policy(0.01)).decision)[place].value
    side = least if passed else -least
    limit = measured + side * 2e-4
    here = past.then(photo(1), policy(limit))
    assert items(here.decision)[place].passed is not passed
    other = past.then(photo(1), policy(limit - side * 4e-4))
    assert items(other.decision)[place].passed is passed

    def as_then(record: Any) -> Any:
        checks = list(items(record))
        checks[place] = structs.replace(checks[place], value=limit + side * beyond, limit=limit)
        if policy is live:
            return structs.replace(record, liveness=structs.replace(record.liveness, checks=tuple(checks)))
        return structs.replace(record, quality=tuple(checks))

    event = as_then(other.event)
    evidence = None if other.evidence is None else as_then(other.evidence)
    return replace(here, event=event, evidence=evidence, decision=decision_of(event, evidence))


@pytest.mark.parametrize("policy", [clarity, live])
@pytest.mark.parametrize("passed", [True, False])
def test_what_follows_from_an_item_at_its_limit_may_follow_from_either_side(
    past: Past, policy: Any, passed: bool
) -> None:
    then = at_limit(past, policy, passed=passed)
    refused = "spoof" if policy is live else "low_quality"
    assert then.decision.outcome == ("matched" if passed else refused)
    explanation = explain_match(then)
    assert explanation.alarms == ()
    assert "by the record and" in " ".join(explanation.sentences)
    assert "so near to its limit" in (explanation.no_flip or "")


@pytest.mark.parametrize("policy", [clarity, live])
@pytest.mark.parametrize(("passed", "beyond"), [(True, -1e-4), (False, -1e-4), (True, 0.05), (False, 0.05)])
def test_a_verdict_that_does_not_follow_from_the_recorded_value_stays_an_alarm(
    past: Past, policy: Any, passed: bool, beyond: float
) -> None:
    """The record contradicts itself, or its value is not that of the picture."""
    then = at_limit(past, policy, passed=passed, beyond=beyond)
    assert "outcome" in {alarm.what for alarm in explain_match(then).alarms}


def test_a_match_that_was_forged_behind_an_item_at_its_limit_is_an_alarm(past: Past) -> None:
    then = at_limit(past, clarity, passed=True)
    assert then.event is not None
    forged = structs.replace(then.event, identity_id="p2")
    alarms = explain_match(replace(then, event=forged, decision=decision_of(forged, then.evidence))).alarms
    assert "identity_id" in {alarm.what for alarm in alarms}
