"""Decisions by the templates of covered faces are explained as they were made."""

from dataclasses import replace

import pytest
from msgspec import structs

from capture.explaining.matches import explain_match
from contract.captures.convert import decision_of
from tests.support.covered import COVERED_MODELS, covered_photo
from tests.support.faces import photo
from tests.support.then import Past, without_evidence, without_picture


@pytest.fixture
def past() -> Past:
    past = Past(models=COVERED_MODELS)
    past.enrol("anna", 1, info={"name": "Anna"})
    past.enrol("ben", 2, info={"name": "Ben"})
    return past


@pytest.mark.parametrize("cover", ["mouth", "eyes"])
@pytest.mark.parametrize("less", [lambda then: then, without_picture, without_evidence])
def test_nothing_contradicts_a_decision_by_a_cover(past, cover, less):
    found = explain_match(less(past.then(covered_photo(1, cover), models=COVERED_MODELS)))
    assert found.alarms == ()
    (check,) = [check for check in found.checks if check.name == "threshold"]
    assert check.passed
    assert f"for templates of faces with covered {cover}" in check.sentence
    assert found.candidates[0].identity_id == "anna"


@pytest.mark.parametrize("less", [lambda then: then, without_picture])
@pytest.mark.parametrize("picture", [photo(1), photo(77), covered_photo(77)])
def test_nothing_contradicts_a_decision_by_whole_faces(past, picture, less):
    assert explain_match(less(past.then(picture, models=COVERED_MODELS))).alarms == ()


def test_an_event_and_an_evidence_of_different_covers_are_an_alarm(past):
    then = past.then(covered_photo(1), models=COVERED_MODELS)
    evidence = structs.replace(then.evidence, cover="eyes")
    forged = replace(then, evidence=evidence, decision=decision_of(then.event, evidence))
    assert "threshold.cover" in {alarm.what for alarm in explain_match(forged).alarms}


def test_a_threshold_of_a_cover_that_whole_faces_had_is_an_alarm(past):
    then = past.then(covered_photo(1), models=COVERED_MODELS)
    event = structs.replace(then.event, threshold=structs.replace(then.event.threshold, cover=None))
    evidence = structs.replace(then.evidence, cover=None)
    forged = replace(then, event=event, evidence=evidence, decision=decision_of(event, evidence))
    assert explain_match(forged).alarms
