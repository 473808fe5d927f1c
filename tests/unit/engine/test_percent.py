"""What answers carry for version 6 beside what version 5 shows: scores on the percent scale, faces, and field names."""

from typing import Any

import pytest

from contract.messages import CompareAnswer, CompareRequest, MatchAnswer, MatchRequest, RefusedAnswer
from engine.calls.compare import CompareCall
from engine.calls.match import MatchCall
from engine.policy import Policy
from engine.vision.networks.standin import draw_face
from tests.support.faces import Enrolled, context, outcome_of, photo, scene


def searched(seed: int, policy: Policy, **fields: Any) -> MatchAnswer:
    enrolled = Enrolled()
    enrolled.enrol("anna", 1, info={"name": "Anna"})
    enrolled.enrol("anna", 5, ignore_exist=True)
    request = MatchRequest(
        request_id="r", device_ip="10.0.0.1", picture=photo(seed), compare_time_s=1.0, received_time_s=1.0, **fields
    )
    answer, _ = outcome_of(MatchCall(), request, enrolled.people.snapshot(), context(policy))
    assert isinstance(answer, MatchAnswer)
    return answer


def compared(face: bytes, card: bytes, policy: Policy, **fields: Any) -> CompareAnswer | RefusedAnswer:
    times = {"compare_time_s": 1.0, "received_time_s": 1.0}
    request = CompareRequest(request_id="c", face_picture=face, card_picture=card, **times, **fields)
    answer, _ = outcome_of(CompareCall(), request, Enrolled().people.snapshot(), context(policy))
    assert isinstance(answer, CompareAnswer | RefusedAnswer)
    return answer


@pytest.mark.parametrize("policy", [Policy(), Policy(score_scale="percent")], ids=["raw", "percent"])
def test_a_search_has_its_score_on_the_percent_scale_whichever_scale_the_site_shows(policy: Policy) -> None:
    assert 95 < searched(1, policy).percent <= 100
    assert 0 <= searched(77, policy).percent < 82
    if policy.score_scale == "percent":
        assert searched(1, policy).percent == searched(1, policy).score


def test_the_percent_scale_is_the_site_s() -> None:
    assert searched(1, Policy(score_range=(0.0, 40.0, 50.0))).percent == pytest.approx(50, abs=1)


def test_the_answer_has_the_faces_of_the_person_whom_it_names() -> None:
    assert searched(1, Policy()).face_numbers == (0, 1)
    assert searched(77, Policy()).face_numbers == ()
    kept = searched(77, Policy(allow_keep_info=True), need_keep_info=True)
    assert (kept.identity_id, kept.face_numbers) == ("anna", (0, 1))


@pytest.mark.parametrize("policy", [Policy(), Policy(score_scale="percent")], ids=["raw", "percent"])
def test_a_comparison_has_its_score_on_the_percent_scale_too(policy: Policy) -> None:
    same, different = (compared(photo(1), photo(seed), policy) for seed in (1, 2))
    assert isinstance(same, CompareAnswer)
    assert isinstance(different, CompareAnswer)
    assert 95 < same.percent <= 100
    assert 0 <= different.percent < 82


@pytest.mark.parametrize("number", [0, 1])
def test_a_refused_comparison_names_the_picture_as_the_request_does(number: int) -> None:
    pictures = [photo(1), photo(1)]
    pictures[number] = scene()
    names = ("image_1_base64", "image_2_base64")
    answer = compared(*pictures, Policy(), fields=names)
    assert isinstance(answer, RefusedAnswer)
    assert answer.message.startswith(f"{names[number]}: ")
    plain = compared(*pictures, Policy())
    assert isinstance(plain, RefusedAnswer)
    assert plain.message.startswith(("face_image_base64: ", "card_image_base64: ")[number])


def test_the_quality_level_is_that_of_the_first_picture() -> None:
    small = scene(draw_face(1, 70))
    assert isinstance(compared(small, photo(1), Policy(), quality_level="high"), RefusedAnswer)
    assert isinstance(compared(photo(1), small, Policy(), quality_level="high"), CompareAnswer)
