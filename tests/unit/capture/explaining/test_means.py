"""Explanations of matches in which the mean of a person's faces was nearest."""

from dataclasses import replace

import pytest
from msgspec import structs

from capture.explaining.matches import explain_match
from capture.explaining.values import Explanation, Then
from contract.codec import encode
from contract.people.keys import MEAN_FACE
from contract.people.site import GroupRecord
from engine.policy import Policy
from picturematch.explanation_text import print_explanation
from tests.support.faces import photo, several_faces
from tests.support.then import Past, without_evidence, without_picture

PICTURE = photo(1, size=100)


@pytest.fixture
def past() -> Past:
    past = Past()
    past.write(several_faces("anna", 1, 3))
    past.write(several_faces("ben", 2, 2))
    past.enrol("carla", 3, info={"name": "Carla"})
    return past


def sentence(explanation: Explanation, name: str) -> str:
    (found,) = [check.sentence for check in explanation.checks if check.name == name]
    return found


@pytest.mark.parametrize("left", [lambda then: then, without_picture, without_evidence], ids=["all", "half", "seen"])
def test_the_decision_comes_out_again_and_the_words_name_the_mean(past: Past, left) -> None:
    explanation = explain_match(left(past.then(PICTURE)))
    assert explanation.alarms == ()
    nearest = explanation.candidates[0]
    assert (nearest.identity_id, nearest.number, nearest.mean_of) == ("anna", MEAN_FACE, 3)
    carla = next(each for each in explanation.candidates if each.identity_id == "carla")
    assert (carla.number, carla.mean_of) == (0, None)
    assert (
        sentence(explanation, "people") == "6 faces of the scope were compared, and the means of the faces of 2 people"
    )


def test_the_highest_cosine_is_that_of_the_mean(past: Past) -> None:
    then = past.then(PICTURE)
    words = sentence(explain_match(then), "threshold")
    assert f"{then.decision.candidates[0].cosine:.4f} of the mean of a person's 3 faces, reaches" in words
    gone: Then = replace(then, people=None)
    assert "of the mean of a person's faces, reaches" in sentence(explain_match(gone), "threshold")
    assert explain_match(gone).candidates[0].mean_of is None


def test_a_search_without_means_names_faces_alone(past: Past) -> None:
    explanation = explain_match(past.then(PICTURE, Policy(mean_templates=False)))
    assert explanation.alarms == ()
    assert sentence(explanation, "people") == "6 faces of the scope were compared"
    assert explanation.candidates[0].number in (0, 1, 2)
    assert "mean" not in sentence(explanation, "threshold")


def test_another_setting_than_that_of_then_is_an_alarm(past: Past) -> None:
    then = past.then(PICTURE)
    assert explain_match(replace(then, policy=Policy(mean_templates=False))).alarms


def test_a_person_outside_the_scope_who_is_nearest_by_the_mean_is_named_with_the_change(past: Past) -> None:
    past.put(GroupRecord(group_id="g", name="gate"))
    faces = several_faces("dora", 4, 3)
    past.write(faces)
    person = past.people.person("dora")
    assert person is not None
    past.write([(faces[-1][0], encode(structs.replace(person, group_ids=("g",))))])
    mean = past.then(photo(4, size=100), group_name="gate").decision.candidates[0]
    assert mean.number == MEAN_FACE
    then = past.then(photo(4, size=100), Policy(threshold=mean.cosine - 1e-6))
    assert then.decision.outcome == "stranger"
    flips = {flip.change: flip.outcome for flip in explain_match(then).flips}
    assert flips["dora (dora) in the group default_group"] == "matched"


def test_the_printed_table_says_of_how_many_faces_the_mean_is(past: Past, capsys: pytest.CaptureFixture[str]) -> None:
    print_explanation(explain_match(past.then(PICTURE)))
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:4] for line in lines if line.startswith("  anna ")] == [["anna", "mean", "of", "3"]]
    assert "  the cosines of anna (anna) lower by 0.4840: stranger" in lines, "each face of hers is as near"
