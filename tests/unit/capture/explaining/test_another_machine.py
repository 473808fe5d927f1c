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
from engine.policy import Policy
from tests.support.faces import photo
from tests.support.then import Past


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
    found = differing({"candidates": then}, {"candidates": now}, BETWEEN_MACHINES)
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
