"""The explanation of events that are no matches, from the event alone."""

from typing import Any

import pytest

from capture.explaining.others import explain_other
from contract.errors import Code
from contract.events import ErrorInfo, Event, RequestPlace, Threshold
from contract.findings import CardFindings, CheckResult, FaceBox, PictureSize

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
        score=0.3,
        threshold=Threshold(value=0.4, rule="level"),
        quality=(SIZE,),
        card=CardFindings(sha256="0" * 64, quality=(SIZE,)),
    )
    explanation = explain_other(compared)
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
    assert explain_other(event(kind, outcome, **fields)).sentences[0] == words


def test_a_refused_enrolment_says_why_and_what_was_seen() -> None:
    refused = event(
        "enrol",
        "low_quality",
        identity_id="7",
        error=ErrorInfo(code=Code.LOW_QUALITY_ERROR, status="LOW_QUALITY_ERROR", message="the quality is too low"),
        picture=PictureSize(bytes=1000, width=64, height=48),
        faces=1,
        face=FaceBox(x=1, y=2, width=70, height=80, confidence=0.9),
        quality=(SIZE,),
    )
    explanation = explain_other(refused)
    assert "(LOW_QUALITY_ERROR: the quality is too low)" in explanation.sentences[0]
    assert explanation.seen is not None
    assert explanation.seen.used == "the largest face was used: 70 x 80 px"
