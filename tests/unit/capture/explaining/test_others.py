"""The explanation of events that are no matches, where only the event is left."""

from typing import Any

import pytest

from capture.explaining.others import explain_other
from capture.explaining.values import OtherThen
from contract.errors import Code
from contract.events import ErrorInfo, Event, RequestPlace, Threshold
from contract.findings import CardFindings, CheckResult, FaceBox, PictureSize
from contract.kinds import ADMIN_KINDS

SIZE = CheckResult(name="face_size", value=70.0, limit=80.0, passed=False)


def event(kind: str, outcome: str, **fields: Any) -> Event:
    known: dict[str, Any] = {
        "id": "e1",
        "kind": kind,
        "outcome": outcome,
        "compare_time": 1.0,
        "received_time": 1.0,
        "processed_time": 2.0,
        "request": RequestPlace(topic="admin", partition=0, offset=3),
        "gallery_version": 4,
        "models": {"embedder": "e"},
    }
    return Event(**(known | fields))


def test_a_comparison_says_its_score_threshold_and_the_quality_of_both_pictures() -> None:
    compared = event(
        "compare",
        "different",
        retcode="0",
        score=0.3,
        threshold=Threshold(value=0.4, rule="level"),
        quality=(SIZE,),
        card=CardFindings(sha256="0" * 64, quality=(SIZE,)),
    )
    explanation = explain_other(OtherThen(compared))
    assert (explanation.kind, explanation.way, explanation.alarms) == ("compare", "read", ())
    assert [(c.stage, c.name, c.passed) for c in explanation.checks] == [
        ("quality", "face_size", False),
        ("quality of the second picture", "face_size", False),
        ("comparison", "threshold", False),
    ]
    assert "does not reach the threshold, 0.4000" in explanation.checks[-1].sentence


@pytest.mark.parametrize(
    ("kind", "outcome", "fields", "words"),
    [
        ("enrol", "enrolled", {"identity_id": "7", "name": "Ada"}, "enrolled: a request to enrol or change Ada (7)."),
        ("delete", "deleted", {"identity_id": "7"}, "deleted: a request to delete 7."),
        ("erase", "erased", {"identity_id": "7"}, "erased: an operator erased all records of 7."),
        ("unreadable", "error", {}, "error: a record contained no request that could be read; it is a dead letter."),
        (
            "group",
            "deleted",
            {"name": "gate", "identity_ids": ("1", "2")},
            "deleted: a request of the kind group about gate, which changed or deleted 2 people.",
        ),
        ("of-a-later-release", "new", {}, "new: a request of the kind of-a-later-release."),
    ],
)
def test_every_kind_is_explained_in_a_sentence(kind: str, outcome: str, fields: dict[str, Any], words: str) -> None:
    assert explain_other(OtherThen(event(kind, outcome, **fields))).sentences[0] == words


def test_a_refused_enrolment_says_why_and_what_was_seen() -> None:
    refused = event(
        "enrol",
        "refused",
        identity_id="7",
        error=ErrorInfo(code=Code.LOW_QUALITY_ERROR, status="LOW_QUALITY_ERROR", message="the quality is too low"),
        picture=PictureSize(bytes=1000, width=64, height=48),
        faces=1,
        face=FaceBox(x=1, y=2, width=70, height=80, confidence=0.9),
        quality=(SIZE,),
    )
    explanation = explain_other(OtherThen(refused))
    assert "(LOW_QUALITY_ERROR: the quality is too low)" in explanation.sentences[0]
    assert explanation.seen is not None
    assert explanation.seen.used == "a face was used: 70 x 80 px"


@pytest.mark.parametrize(
    ("outcome", "retcode", "score", "wrong"),
    [
        ("same", "1", 0.3, "outcome"),
        ("different", "0", 0.5, "outcome"),
        ("same", "0", 0.5, "retcode"),
        ("different", "1", 0.3, "retcode"),
    ],
)
def test_a_score_an_outcome_and_a_retcode_that_contradict_each_other_are_an_alarm(
    outcome: str, retcode: str, score: float, wrong: str
) -> None:
    threshold = Threshold(value=0.4, rule="level")
    forged = event("compare", outcome, retcode=retcode, score=score, threshold=threshold)
    explanation = explain_other(OtherThen(forged))
    assert [alarm.what for alarm in explanation.alarms] == [wrong]
    equal = event("compare", "same", retcode="1", score=0.4, threshold=threshold)
    assert explain_other(OtherThen(equal)).alarms == (), "both numbers are rounded, so either side is possible"


@pytest.mark.parametrize(
    ("kind", "outcome", "code", "wrong"),
    [
        ("compare", "low_quality", Code.NO_FACE, {"outcome"}),
        ("enrol", "refused", Code.LOW_QUALITY_ERROR, set()),
        ("delete", "deleted", Code.ID_NOT_FOUND, {"outcome"}),
        ("group", "expired", Code.TIMEOUT, set()),
        ("of-a-later-release", "new", Code.TIMEOUT, set()),
    ],
)
def test_an_outcome_that_does_not_follow_from_the_error_is_an_alarm(
    kind: str, outcome: str, code: Code, wrong: set[str]
) -> None:
    error = ErrorInfo(code=int(code), status=code.status, message="x")
    forged = event(kind, outcome, error=error, identity_id="7")
    assert {alarm.what for alarm in explain_other(OtherThen(forged)).alarms} == wrong


def test_an_event_of_another_kind_is_compared_with_the_ids_of_its_networks_and_of_its_policy() -> None:
    forged = event("delete", "deleted", model_set="m9", policy="p1")
    explanation = explain_other(OtherThen(forged, policy_content="p2"))
    assert {alarm.what for alarm in explanation.alarms} == {"model_set", "policy"}


@pytest.mark.parametrize(
    ("outcome", "fields", "words"),
    [
        ("expired", {"error": Code.TIMEOUT}, "nobody waited for the answer any more"),
        ("error", {"error": Code.INTERNAL_ERROR}, "the server could not decide"),
        ("no_face", {"error": Code.NO_FACE}, "one of them could not be used"),
    ],
)
def test_a_comparison_without_a_score_says_truly_why(outcome: str, fields: dict[str, Code], words: str) -> None:
    code = fields["error"]
    refused = event("compare", outcome, error=ErrorInfo(code=int(code), status=code.status, message="x"))
    assert words in explain_other(OtherThen(refused)).sentences[0]


@pytest.mark.parametrize(
    ("outcome", "words"),
    [
        ("enrolled", "the stranger of the match m1 was enrolled as 7"),
        ("known", "the stranger of the match m1 is enrolled already: Anna (7)"),
        ("refused", "the stranger of the match m1 was not enrolled"),
    ],
)
def test_the_event_of_a_stranger_says_what_became_of_the_stranger_of_the_match(outcome: str, words: str) -> None:
    told = explain_other(OtherThen(event("stranger", outcome, match_id="m1", identity_id="7", name="Anna")))
    assert words in told.sentences[0]
    assert told.alarms == ()


@pytest.mark.parametrize("kind", [kind for kind in ADMIN_KINDS if kind != "enrol"])
def test_a_change_that_is_not_made_again_says_on_what_it_depended(kind: str) -> None:
    how = explain_other(OtherThen(event(kind, "changed"))).sentences[1]
    assert how.startswith("The decision depended on the ")
    assert "it was not made again" in how


def test_events_without_a_decision_and_unknown_kinds_claim_nothing() -> None:
    for kind in ("erase", "unreadable"):
        assert "records no decision" in explain_other(OtherThen(event(kind, "x"))).sentences[1]
    assert "does not know on what" in explain_other(OtherThen(event("of-a-later-release", "x"))).sentences[1]
