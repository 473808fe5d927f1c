from typing import Any

import msgspec
import pytest

from capture.differences import decision_differences, differences, is_refusal_to_work
from capture.posted import Scale
from capture.rows import Difference
from clients.answers import ServerAnswer
from contract.captures.values import CapturedDecision, CapturedRequest, CaptureLine
from contract.events import Threshold
from contract.evidence import EvidenceCandidate
from engine.score import to_wire

MATCHED = CapturedDecision(
    outcome="matched", gallery_version=1, models={}, retcode="1", identity_id="7", score=0.75, threshold=0.48
)
NO_FACE = CapturedDecision(outcome="no_face", gallery_version=1, models={}, error_code=40004)


def line(decision: CapturedDecision | None = None, expected: str | None = None) -> CaptureLine:
    return CaptureLine(
        request_id="r",
        request=CapturedRequest(picture="0" * 64),
        decision=decision,
        expected_identity_id=expected,
    )


def answer(**changes: Any) -> ServerAnswer:
    return ServerAnswer(200, {"retcode": "1", "identity_id": "7", "name": "x", "score": 0.7504} | changes)


def error(code: int) -> ServerAnswer:
    return ServerAnswer(code // 100, {"error": {}}, code, "because")


def test_the_same_decision_and_a_score_within_the_tolerance_are_no_difference() -> None:
    assert differences(line(MATCHED), answer(), 1e-3) == ()
    assert differences(line(NO_FACE), error(40004), 1e-3) == ()


@pytest.mark.parametrize(
    ("now", "found"),
    [
        (answer(score=0.7), [Difference("score", 0.75, 0.7)]),
        (answer(score=None), [Difference("score", 0.75, None)]),
        (answer(score="0.75"), [Difference("score", 0.75, None)]),
        (answer(identity_id="8"), [Difference("identity_id", "7", "8")]),
        (
            answer(retcode="0", identity_id="", score=0.3),
            [Difference("retcode", "1", "0"), Difference("identity_id", "7", ""), Difference("score", 0.75, 0.3)],
        ),
        (error(40004), [Difference("error", None, "40004 NO_FACE")]),
        (error(49999), [Difference("error", None, "49999")]),
    ],
)
def test_what_differs_from_the_recorded_decision_is_named(now: ServerAnswer, found: list[Difference]) -> None:
    assert differences(line(MATCHED), now, 1e-3) == tuple(found)


@pytest.mark.parametrize("scale", [None, "percent"])
def test_on_the_percent_scale_scores_may_differ_by_a_hundred_times_the_tolerance(scale: Scale | None) -> None:
    percent = line(msgspec.structs.replace(MATCHED, score=91.0, threshold=82.0))
    assert differences(percent, answer(score=91.05), 1e-3, scale) == ()
    assert differences(percent, answer(score=91.15), 1e-3, scale) == (Difference("score", 91.0, 91.15),)


def test_on_the_raw_scale_the_tolerance_is_the_given_one_also_after_a_conversion() -> None:
    applied = Threshold(value=82.0, cosine=0.48, rule="setting")
    nearest = (EvidenceCandidate(identity_id="7", number=0, cosine=0.75),)
    percent = msgspec.structs.replace(MATCHED, score=91.0, threshold=82.0, applied=applied, candidates=nearest)
    for then in (MATCHED, percent):
        assert differences(line(then), answer(score=0.7504), 1e-3, "raw") == ()
        assert differences(line(then), answer(score=0.752), 1e-3, "raw") == (Difference("score", 0.75, 0.752),)


def test_an_error_that_became_another_or_none_differs() -> None:
    assert differences(line(NO_FACE), error(40003), 1) == (Difference("error", "40004 NO_FACE", "40003 IMAGE_ERROR"),)
    assert differences(line(NO_FACE), answer(), 1) == (Difference("error", "40004 NO_FACE", None),)


def test_the_expected_identity_counts_where_nothing_was_decided() -> None:
    assert differences(line(expected="7"), answer(), 0) == ()
    assert differences(line(expected="9"), answer(), 0) == (Difference("identity_id", "9", "7"),)
    assert differences(line(expected=""), answer(retcode="0", identity_id=""), 0) == ()
    assert differences(line(expected=""), answer(), 0) == (Difference("identity_id", "", "7"),)
    assert differences(line(expected="7"), error(40004), 0) == (Difference("error", None, "40004 NO_FACE"),)
    assert differences(line(MATCHED, expected="9"), answer(), 1e-3) == ()


def test_a_person_of_the_blacklist_is_recognised_although_the_gate_stays_shut() -> None:
    assert differences(line(expected="7"), answer(retcode="0"), 0) == ()


def test_what_was_never_decided_is_not_compared() -> None:
    assert differences(line(), answer(), 0) is None
    expired = msgspec.structs.replace(NO_FACE, outcome="expired", error_code=50480)
    assert differences(line(expired), answer(), 0) is None


def test_a_server_that_did_not_decide_is_told_from_one_that_refused_the_picture() -> None:
    assert is_refusal_to_work(error(50380))
    assert is_refusal_to_work(error(50480))
    assert is_refusal_to_work(ServerAnswer(200, {"hello": 1}))
    assert not is_refusal_to_work(error(40004))
    assert not is_refusal_to_work(answer())


def _on_percent(cosine: float) -> float:
    return to_wire(cosine, 0.38, "percent")


@pytest.mark.parametrize("cosine", [0.1, 0.3, 0.3795, 0.5, 0.9])
@pytest.mark.parametrize("sign", [1, -1])
def test_the_tolerance_is_one_of_cosines_on_the_percent_scale_too(cosine: float, sign: int) -> None:
    limit = Threshold(value=82.0, rule="setting", cosine=0.38)
    then = msgspec.structs.replace(MATCHED, score=_on_percent(cosine), threshold=82.0, applied=limit)
    within, beyond = cosine + sign * 0.9e-3, cosine + sign * 9e-3
    assert differences(line(then), answer(score=_on_percent(within)), 1e-3) == ()
    assert differences(line(then), answer(score=_on_percent(beyond)), 1e-3) != ()
    now = msgspec.structs.replace(then, score=_on_percent(within))
    assert decision_differences(then, now, 1e-3) == ()
    assert decision_differences(then, msgspec.structs.replace(then, score=_on_percent(beyond)), 1e-3) != ()


def test_the_person_nearest_to_a_stranger_is_not_recognised() -> None:
    expects_stranger = line(expected="")
    keeps = msgspec.structs.replace(expects_stranger.request, need_keep_info=True)
    nearest = answer(retcode="0")
    assert differences(msgspec.structs.replace(expects_stranger, request=keeps), nearest, 1e-3) == ()
    assert differences(expects_stranger, nearest, 1e-3) == (Difference("identity_id", "", "7"),)
