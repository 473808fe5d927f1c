"""What is an alarm: everything that differs from what was recorded, in whatever way the decision is made again."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from msgspec import structs

from capture.explaining.matches import explain_match
from capture.explaining.values import Explanation, Gone, Then
from contract.captures.convert import decision_of
from contract.errors import Code, Refusal
from contract.events import ErrorInfo, Event
from contract.evidence import Evidence
from engine.policy import Policy
from engine.vision.ports import ModelSet
from models.manifest import FmrPoint
from tests.support.faces import MODELS, photo
from tests.support.then import DECIDED_S, Past, without_evidence, without_picture

OTHER_EMBEDDER: ModelSet = replace(
    MODELS, identities=tuple((role, f"{name}-new" if role == "embedder" else name) for role, name in MODELS.identities)
)
OTHER_DETECTOR: ModelSet = replace(
    MODELS, identities=tuple((role, f"{name}-new" if role == "detector" else name) for role, name in MODELS.identities)
)


@pytest.fixture
def past() -> Past:
    past = Past()
    past.enrol("anna", 1, info={"name": "Anna"})
    past.enrol("ben", 2, info={"name": "Ben"})
    return past


def changed(then: Then, *, evidence: dict[str, Any] | None = None, **event: Any) -> Then:
    """The same match, of which the event or the evidence was changed later."""
    assert then.event is not None
    altered: Event = structs.replace(then.event, **event)
    kept: Evidence | None = then.evidence
    if kept is not None and evidence is not None:
        kept = structs.replace(kept, **evidence)
    return replace(then, event=altered, evidence=kept, decision=decision_of(altered, kept))


def alarms(explanation: Explanation) -> set[str]:
    return {alarm.what for alarm in explanation.alarms}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("outcome", "stranger"),
        ("retcode", "0"),
        ("identity_id", "ben"),
        ("name", "Ben"),
        ("person_type", 5),
        ("score", 0.9),
        ("faces", 2),
        ("gallery_version", 1),
    ],
)
def test_each_changed_field_of_an_event_is_an_alarm_with_and_without_picture_or_evidence(
    past: Past, field: str, value: Any
) -> None:
    then = changed(past.then(photo(1)), **{field: value})
    assert field in alarms(explain_match(then))
    if field != "gallery_version":
        assert field in alarms(explain_match(without_evidence(then)))
    assert field in alarms(explain_match(without_picture(then)))


def test_the_info_in_an_event_is_compared_with_the_whole_record_of_the_person(past: Past) -> None:
    policy = Policy(event_identity_info=True)
    then = past.then(photo(1), policy)
    assert then.people is not None
    anna = then.people.person("anna")
    assert anna is not None
    assert explain_match(replace(then, whole=anna)).alarms == ()
    more = structs.replace(anna, info={**anna.info, "colour": "red"})
    assert alarms(explain_match(replace(then, whole=more))) == {"identity_info.colour"}
    assert explain_match(then).alarms == (), "the whole record is gone, so nothing is known about the info"


def test_a_changed_threshold_is_an_alarm_even_without_evidence(past: Past) -> None:
    then = past.then(photo(1))
    assert then.event is not None
    assert then.event.threshold is not None
    forged = changed(then, threshold=structs.replace(then.event.threshold, cosine=0.4, value=0.4))
    for left in (forged, without_evidence(forged), without_picture(forged)):
        assert {"threshold.cosine"} <= alarms(explain_match(left)) or {"applied.cosine"} <= alarms(explain_match(left))


def test_a_changed_quality_is_an_alarm(past: Past) -> None:
    then = past.then(photo(1), Policy(match_quality="low"))
    assert then.event is not None
    first, *others = then.event.quality
    forged = changed(then, quality=(structs.replace(first, value=first.value + 5), *others))
    assert "quality[0].value" in alarms(explain_match(forged))


def test_numbers_that_differ_as_between_two_machines_are_counted_and_are_no_alarm(past: Past) -> None:
    then = past.then(photo(1))
    assert then.event is not None
    assert then.event.quality_score is not None
    near = changed(without_evidence(then), quality_score=then.event.quality_score + 5e-4)
    explanation = explain_match(near)
    assert (explanation.alarms, explanation.rounding) == ((), 1)
    assert "1 numbers differ as between two machines" in explanation.sentences[1]


def test_a_changed_candidate_of_the_evidence_is_an_alarm(past: Past) -> None:
    then = past.then(photo(1))
    assert then.evidence is not None
    first, second = then.evidence.candidates
    forged = changed(then, evidence={"candidates": (first, structs.replace(second, cosine=second.cosine + 0.01))})
    for left in (forged, without_picture(forged)):
        assert alarms(explain_match(left)) & {"candidates", "candidates[1].cosine"}


def test_another_embedding_in_the_evidence_is_an_alarm(past: Past) -> None:
    then, other = past.then(photo(1)), past.then(photo(2))
    assert other.evidence is not None
    forged = changed(then, evidence={"embedding": other.evidence.embedding})
    assert "embedding (cosine to the recorded one)" in alarms(explain_match(forged))
    assert alarms(explain_match(without_picture(forged)))


def test_an_embedding_of_another_length_is_an_alarm(past: Past) -> None:
    forged = changed(past.then(photo(1)), evidence={"embedding": b"\x00\x3c"})
    assert alarms(explain_match(forged)) == {"embedding"}
    explanation = explain_match(without_picture(forged))
    assert (explanation.way, alarms(explanation)) == ("read", {"embedding"})


@pytest.mark.parametrize("damaged", [b"", b"\x00", b"\x00\x3c\x00", b"\x00\x7e" * MODELS.embedder.dimension])
@pytest.mark.parametrize("picture", [photo(1), photo(77)])
@pytest.mark.parametrize("models", [MODELS, None])
def test_a_damaged_embedding_is_an_alarm_in_words(
    past: Past, damaged: bytes, picture: bytes, models: ModelSet | None
) -> None:
    forged = replace(changed(past.then(picture), evidence={"embedding": damaged}), models=models)
    for left in (forged, without_picture(forged)):
        (alarm,) = [each for each in explain_match(left).alarms if each.what == "embedding"]
        assert isinstance(alarm.now, str)


@pytest.mark.parametrize(
    ("outcome", "code"),
    [
        ("expired", Code.TIMEOUT),
        ("error", Code.INTERNAL_ERROR),
        ("error", Code.OVERLOADED),
        ("spoof", Code.LIVENESS_DETECT_FAIL),
        ("no_face", Code.NO_FACE),
    ],
)
def test_an_event_that_was_changed_to_a_refusal_contradicts_its_evidence(past: Past, outcome: str, code: Code) -> None:
    error = ErrorInfo(code=int(code), status=code.name, message="x")
    forged = changed(
        past.then(photo(1)), outcome=outcome, error=error, retcode=None, identity_id="", name="", score=None
    )
    for left in (forged, without_picture(forged), replace(forged, people=None), replace(forged, event=None)):
        assert "evidence" in alarms(explain_match(left))


def test_an_event_that_expired_before_its_deadline_is_an_alarm(past: Past) -> None:
    refused = past.then(photo(1), refusal=Refusal(Code.TIMEOUT, "the answer was not ready within the deadline"))
    assert alarms(explain_match(refused)) == {"outcome"}
    assert alarms(explain_match(replace(refused, deadline_s=DECIDED_S))) == set()
    assert alarms(explain_match(replace(refused, deadline_s=None))) == set()


def test_an_expired_event_that_names_somebody_is_an_alarm(past: Past) -> None:
    expired = past.then(photo(1), refusal=Refusal(Code.TIMEOUT, "late"))
    forged = changed(replace(expired, deadline_s=DECIDED_S), identity_id="anna", retcode="1", faces=1)
    assert alarms(explain_match(forged)) == {"identity_id", "retcode", "faces"}


def test_a_model_set_that_is_not_that_of_the_models_is_an_alarm(past: Past) -> None:
    forged = changed(past.then(photo(1)), evidence={"model_set": "m9"}, model_set="m9")
    for left in (forged, without_picture(forged), without_evidence(forged)):
        assert alarms(explain_match(left)) == {"model_set"}


def test_a_policy_whose_content_is_not_that_of_its_id_is_an_alarm(past: Past) -> None:
    then = past.then(photo(1))
    assert alarms(explain_match(replace(then, policy_content="p1"))) == set()
    for left in (then, without_picture(then), replace(then, people=None, policy=None)):
        assert alarms(explain_match(replace(left, policy_content="p2"))) == {"policy"}


@pytest.mark.parametrize(
    ("fields", "wrong"),
    [({"score": 0.2}, "outcome"), ({"retcode": "0"}, "retcode"), ({"outcome": "stranger"}, "outcome")],
)
def test_a_verdict_that_contradicts_itself_is_an_alarm_where_nothing_else_is_left(
    past: Past, fields: dict[str, Any], wrong: str
) -> None:
    then = without_evidence(replace(past.then(photo(1, size=90)), request=None, people=None, policy=None, models=None))
    assert explain_match(then).alarms == ()
    assert wrong in alarms(explain_match(changed(then, **fields)))


def test_an_outcome_that_does_not_follow_from_the_error_is_an_alarm(past: Past) -> None:
    then = past.then(photo(1), refusal=Refusal(Code.INTERNAL_ERROR, "a fault"))
    assert alarms(explain_match(changed(then, outcome="spoof"))) == {"outcome"}


def test_an_explanation_says_what_it_could_not_check(past: Past) -> None:
    then = past.then(photo(1))
    assert explain_match(then).sentences[1:] == (
        "The decision was made again from the picture, and everything came out as recorded.",
    )
    assert explain_match(without_picture(then)).sentences[1:] == (
        (
            "The decision was made again from the recorded embedding, without a look at the picture, and outcome, "
            "person, score and threshold came out as recorded."
        ),
        (
            "Not checked: what was measured in the picture (faces, quality, liveness), the picture, the device, the "
            "scope and the times of the request, which only the event records, the min_face_size of the request, "
            "which no record has."
        ),
    )
    refused = without_picture(past.then(photo(1), group_name="nowhere"))
    assert explain_match(refused).sentences[1:] == (
        (
            "The decision was made again from the scope of the request, without a look at the picture, and the refusal "
            "came out as recorded."
        ),
        (
            "Not checked: the picture, the device, the scope and the times of the request, which only the event "
            "records, the min_face_size of the request, which no record has."
        ),
    )


def test_another_picture_at_the_place_of_the_request_is_an_alarm(past: Past) -> None:
    then = past.then(photo(1))
    assert then.request is not None
    forged = replace(then, request=structs.replace(then.request, picture=photo(2)))
    assert {"request.sha256", "identity_id"} <= alarms(explain_match(forged))


def test_a_person_who_was_added_to_the_past_is_an_alarm(past: Past) -> None:
    then = past.then(photo(77))
    past.enrol("forged", 77)
    forged = replace(then, people=past.then(photo(77)).people)
    assert "outcome" in alarms(explain_match(forged))
    assert "outcome" in alarms(explain_match(without_picture(forged)))


def test_no_explanation_contains_an_embedding(past: Past) -> None:
    then = changed(past.then(photo(1)), evidence={"embedding": b"\x00" * 512})
    assert not any(
        isinstance(value, bytes) for alarm in explain_match(then).alarms for value in (alarm.then, alarm.now)
    )
    assert "embedding" not in alarms(explain_match(then))


@pytest.mark.parametrize("models", [OTHER_EMBEDDER, OTHER_DETECTOR, None])
def test_with_other_networks_the_evidence_is_enough(past: Past, models: ModelSet | None) -> None:
    gone = Gone("networks", "The picture cannot be looked at again.")
    then = replace(past.then(photo(1, size=90)), models=models, gone=(gone,))
    explanation = explain_match(then)
    assert (explanation.way, explanation.alarms, explanation.gone) == ("decide", (), (gone,))
    assert [each.outcome for each in explanation.flips if "cosine of Anna (anna) lower" in each.change] == ["stranger"]
    assert [each.outcome for each in explanation.flips if "a threshold higher" in each.change] == ["stranger"]
    forged = changed(then, identity_id="ben")
    assert "identity_id" in alarms(explain_match(forged))


def test_with_other_networks_and_without_evidence_only_the_event_is_left(past: Past) -> None:
    then = without_evidence(replace(past.then(photo(1)), models=OTHER_EMBEDDER))
    explanation = explain_match(then)
    assert (explanation.way, explanation.flips) == ("read", ())
    assert explanation.no_flip is not None
    assert explanation.checks


def test_without_the_people_of_then_event_and_evidence_are_compared(past: Past) -> None:
    then = replace(past.then(photo(1)), people=None, gone=(Gone("gallery", "The people of then are gone.", 1.0),))
    explanation = explain_match(then)
    assert (explanation.way, explanation.alarms) == ("read", ())
    assert explanation.no_flip == (
        "No change could be tried, because the decision cannot be made again without: gallery."
    )
    assert [c.identity_id for c in explanation.candidates] == ["anna", "ben"]
    forged = changed(then, evidence={"outcome": "stranger"})
    assert alarms(explain_match(forged)) == {"outcome"}


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("target_fpir", "matching.target_fpir: false positive rate 1e-05 among 2 templates"),
        ("highest_fmr", "matching.highest_fmr: false match rate 1e-05 of each comparison among 2 templates"),
    ],
)
def test_the_rate_is_named_at_which_the_threshold_would_have_been_another(past: Past, setting: str, words: str) -> None:
    points = ((0.1, 0.1), (1e-5, 0.5), (1e-6, 0.9))

    class Calibrated(type(MODELS.embedder)):  # type: ignore[misc]  # the class of a Protocol's value
        fmr_curve = tuple(FmrPoint(fmr=fmr, threshold=threshold) for fmr, threshold in points)

    models, picture = replace(MODELS, embedder=Calibrated()), photo(1, infrared=True)
    then = past.then(picture, Policy(**{setting: 1e-5}), models=models)
    explanation = explain_match(then)
    found = [each for each in explanation.flips if each.setting == f"matching.{setting}"]
    assert explanation.alarms == ()
    assert words in next(check.sentence for check in explanation.checks if check.name == "threshold")
    assert [each.outcome for each in found] == ["stranger"]
    assert isinstance(found[0].value, float)
    again = past.then(picture, Policy(**{setting: found[0].value}), models=models)
    assert again.decision.outcome == "stranger"
    less = past.then(picture, Policy(**{setting: found[0].value * 1.2}), models=models)
    assert less.decision.outcome == "matched"
    far = past.then(picture, Policy(**{setting: 1e-7}), models=models)
    words_far = next(check.sentence for check in explain_match(far).checks if check.name == "threshold")
    assert words_far.endswith("not between two points of the embedder's curve)")


def test_half_precision_is_no_alarm(past: Past) -> None:
    for seed in range(20, 60):
        past.enrol(f"p{seed}", seed)
    for seed in (1, 2, 77, *range(20, 30)):
        then = without_picture(past.then(photo(seed, size=100)))
        explanation = explain_match(then)
        assert (explanation.way, explanation.alarms) == ("decide", ())
        vector = np.frombuffer(then.decision.embedding or b"", "<f2")
        assert len(vector) == MODELS.embedder.dimension
