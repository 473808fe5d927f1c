"""with_attribute: guesses that are told, and decide nothing."""

from dataclasses import replace

import pytest

from contract.errors import PictureUnreadable
from contract.requests import MatchRequest
from engine.calls.match import MatchCall
from engine.calls.matching import MatchDecision
from engine.vision.ports import Face, Image, ModelSet
from models.errors import DamagedModel
from tests.support.faces import MODELS, Enrolled, circumstances, context, photo


@pytest.fixture
def gallery():
    enrolled = Enrolled()
    enrolled.enrol("anna", 1)
    return enrolled.people.snapshot()


def request(**fields: bool) -> MatchRequest:
    return MatchRequest(
        request_id="r", device_ip="10.0.0.1", compare_time_s=1.0, received_time_s=1.0, picture=photo(1), **fields
    )


def decide(asked: MatchRequest, gallery, models: ModelSet = MODELS) -> MatchDecision:
    return MatchCall().decide(asked, gallery, context(models=models))


def never(image: Image, face: Face) -> float:
    raise AssertionError("nobody asked for it")


def test_attributes_are_told_in_the_event_when_they_are_asked_for(gallery):
    asked = request(with_attribute=True)
    decision = decide(asked, gallery)
    event = MatchCall().event(asked, decision, context(), circumstances(MatchCall(), asked))

    assert event.attributes == decision.findings.attributes
    assert event.attributes is not None
    assert event.attributes.sex in ("male", "female")
    assert event.attributes.age_class in ("child", "youth", "adult", "senior")
    assert event.attributes.glasses is None
    assert {"age", "sex"} <= event.models.keys()


def test_attributes_are_not_even_measured_when_nobody_asks(gallery):
    decision = decide(request(), gallery, replace(MODELS, age=never, sex=never))

    assert decision.findings.attributes is None
    assert decision.outcome == "matched"


def test_attributes_are_never_part_of_the_decision(gallery):
    plain = decide(request(), gallery)
    for years, male in ((3.0, 0.0), (99.0, 1.0)):
        models = replace(MODELS, age=lambda *_, y=years: y, sex=lambda *_, m=male: m)
        decision = decide(request(with_attribute=True), gallery, models)
        assert (decision.outcome, decision.candidate) == (plain.outcome, plain.candidate)


def test_without_the_networks_the_attributes_are_empty_and_the_match_goes_on(gallery):
    decision = decide(request(with_attribute=True), gallery, replace(MODELS, age=None, sex=None))

    assert decision.outcome == "matched"
    assert decision.findings.attributes is not None
    assert (decision.findings.attributes.age_years, decision.findings.attributes.sex) == (None, None)


@pytest.mark.parametrize(
    "error",
    [PictureUnreadable(), ZeroDivisionError("a"), ValueError("a"), DamagedModel("a")],
    ids=lambda error: type(error).__name__,
)
def test_an_attribute_that_cannot_be_told_of_a_face_is_empty_and_the_match_goes_on(gallery, error: Exception):
    def broken(image: Image, face: Face) -> float:
        raise error

    decision = decide(request(with_attribute=True), gallery, replace(MODELS, age=broken))

    assert (decision.outcome, decision.refusal) == ("matched", None)
    attributes = decision.findings.attributes
    assert attributes is not None
    assert (attributes.age_years, attributes.age_class) == (None, None)
    assert attributes.sex in ("male", "female")


def test_attributes_are_guessed_when_the_face_is_embedded(gallery):
    decision = decide(request(with_attribute=True), gallery)

    stages = list(decision.timings_ms)
    assert stages.index("embed") < stages.index("attributes")
