"""Several pictures of one passage: which of them are used, what the probe is, and what the event names."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract.answers import RefusedAnswer
from contract.codec import encode
from contract.errors import Code
from contract.events import decode_event, encode_event
from contract.pictures.digest import picture_digest
from contract.requests import MAX_PICTURES, MatchRequest, decode_request
from engine.burst import look_at_burst, same_person, weighted_mean
from engine.calls.match import MatchCall
from engine.look import Wanted, look
from engine.policy import Policy
from tests.support.faces import Enrolled, circumstances, context, outcome_of, photo, scene

ANNA = (photo(1), photo(1, size=120), photo(1, size=90))


@pytest.fixture
def gallery():
    enrolled = Enrolled()
    enrolled.enrol("anna", 1)
    enrolled.enrol("ben", 2)
    return enrolled.people.snapshot()


def asked(first: bytes, *further: bytes, **fields: Any) -> MatchRequest:
    required = {"request_id": "r1", "device_ip": "10.0.0.1", "compare_time_s": 1.5, "received_time_s": 2.5}
    return MatchRequest(**{**required, "picture": first, "further_pictures": further, **fields})


def told(request: MatchRequest, gallery, policy: Policy | None = None):
    return outcome_of(MatchCall(), request, gallery, context(policy))


def left_out(event) -> list[str | None]:
    return [picture.left_out for picture in event.pictures]


def vector_of(picture: bytes):
    return look(picture, Wanted(), context()).embedding.vector


def score_of(picture: bytes) -> float:
    return look(picture, Wanted(), context()).findings.quality_score


def test_one_picture_is_looked_at_as_ever(gallery):
    burst = look_at_burst([ANNA[0]], Wanted(), context())
    alone = look(ANNA[0], Wanted(), context())
    assert np.array_equal(burst.look.embedding.vector, alone.embedding.vector)
    assert burst.look.findings.quality_score == alone.findings.quality_score
    assert burst.pictures == ()
    _, event = told(asked(ANNA[0]), gallery)
    assert event.pictures == ()


def test_the_probe_is_the_normalised_mean_weighted_by_quality(gallery):
    decision = MatchCall().decide(asked(*ANNA), gallery, context())
    wanted = sum(score_of(picture) * vector_of(picture).astype(np.float64) for picture in ANNA)
    assert np.allclose(decision.probe, wanted / np.linalg.norm(wanted), atol=1e-6)
    assert decision.outcome == "matched"
    evidence = MatchCall().evidence(asked(*ANNA), decision, context(), circumstances(MatchCall(), asked(*ANNA)))
    assert np.frombuffer(evidence.embedding, "<f2") == pytest.approx(decision.probe, abs=1e-3)
    assert [picture.sha256 for picture in evidence.pictures] == [picture_digest(picture) for picture in ANNA]


def test_one_event_names_every_picture_and_describes_the_best_one(gallery):
    sent = (ANNA[2], scene(), ANNA[0], ANNA[2])
    answer, event = told(asked(*sent), gallery)
    assert (answer.retcode, answer.identity_id, event.outcome) == ("1", "anna", "matched")
    assert left_out(event) == [None, "no_face", None, "repeated"]
    assert [picture.number for picture in event.pictures] == [0, 1, 2, 3]
    assert [picture.sha256 for picture in event.pictures] == list(map(picture_digest, sent))
    assert [picture.bytes for picture in event.pictures] == list(map(len, sent))
    scores = {0: score_of(ANNA[2]), 2: score_of(ANNA[0])}
    (best,) = [picture for picture in event.pictures if picture.best]
    assert best.number == max(scores, key=lambda number: (scores[number], -number))
    assert event.request.sha256 == best.sha256
    assert event.quality_score == best.quality_score == scores[best.number]
    assert (event.picture.bytes, event.picture.width) == (best.bytes, best.width)
    assert decode_event(encode_event(event)) == event


def test_the_order_of_the_pictures_does_not_matter_to_the_decision(gallery):
    forwards, backwards = (
        MatchCall().decide(asked(*pictures), gallery, context()) for pictures in (ANNA, tuple(reversed(ANNA)))
    )
    assert np.allclose(forwards.probe, backwards.probe, atol=1e-6)


def test_people_are_not_averaged(gallery):
    anna, ben = photo(1), photo(2)
    _, event = told(asked(anna, ben), gallery)
    first = score_of(anna) >= score_of(ben)
    assert event.identity_id == ("anna" if first else "ben")
    assert left_out(event) == ([None, "other_person"] if first else ["other_person", None])
    decision = MatchCall().decide(asked(anna, ben), gallery, context())
    assert np.array_equal(decision.probe, vector_of(anna if first else ben))


@pytest.mark.parametrize(
    ("pictures", "code", "best"),
    [
        ((scene(), photo(1)[:3000]), Code.NO_FACE, 0),
        ((photo(1)[:3000], scene()), Code.NO_FACE, 1),
        ((b"no picture", photo(1)[:3000]), Code.IMAGE_ERROR, 0),
        ((scene(), photo(1, size=70, yaw=60, pitch=50)), Code.LOW_QUALITY_ERROR, 1),
    ],
    ids=["first", "further", "unreadable", "low quality"],
)
def test_where_no_picture_can_be_used_the_answer_is_that_of_the_one_that_came_furthest(gallery, pictures, code, best):
    answer, event = told(asked(*pictures), gallery, Policy(match_quality="middle"))
    assert isinstance(answer, RefusedAnswer)
    assert (answer.code, event.error.code) == (code, code)
    assert [picture.best for picture in event.pictures] == [number == best for number in range(2)]
    assert event.request.sha256 == picture_digest(pictures[best])
    assert None not in left_out(event)


def test_low_quality_is_left_out_as_long_as_another_picture_remains(gallery):
    turned = photo(1, size=70, yaw=60, pitch=50)
    answer, event = told(asked(turned, ANNA[0]), gallery, Policy(match_quality="middle"))
    assert (answer.identity_id, left_out(event)) == ("anna", ["low_quality", None])


@pytest.mark.parametrize("place", [0, 1, 2])
def test_one_face_that_is_not_live_refuses_them_all(gallery, place):
    pictures = [ANNA[0], ANNA[1]]
    copy = photo(1, size=130, live=False)
    pictures.insert(place, copy)
    answer, event = told(asked(*pictures, liveness_mode="liveness_rgb"), gallery)
    assert (answer.code, event.outcome) == (Code.LIVENESS_DETECT_FAIL, "spoof")
    assert left_out(event)[:place] == ["refused"] * place
    assert left_out(event)[place:] == ["spoof", *["not_looked_at"] * (2 - place)]
    assert event.request.sha256 == picture_digest(copy)
    assert event.liveness.passed is False
    pictures.remove(copy)
    assert told(asked(*pictures, liveness_mode="liveness_rgb"), gallery)[0].retcode == "1"


def test_a_live_face_does_not_carry_the_picture_of_somebody_else(gallery):
    answer, _ = told(asked(photo(7), photo(1, live=False), liveness_mode="liveness_rgb"), gallery)
    assert answer.code == Code.LIVENESS_DETECT_FAIL


def test_every_picture_is_compared_with_the_infrared_one(gallery):
    infrared = photo(1, infrared=True)
    answer, event = told(asked(photo(1), photo(1, size=150), ir_picture=infrared), gallery)
    assert (answer.retcode, left_out(event)) == ("1", [None, None])
    answer, event = told(asked(photo(1), photo(2), ir_picture=infrared), gallery)
    assert (answer.code, left_out(event)) == (Code.LIVENESS_DETECT_FAIL, ["refused", "spoof"])


def test_a_request_that_is_refused_before_the_look_names_its_pictures_too(gallery):
    answer, event = told(asked(*ANNA, group_name="unknown"), gallery)
    assert isinstance(answer, RefusedAnswer)
    assert left_out(event) == ["not_looked_at"] * 3
    assert event.request.sha256 == picture_digest(ANNA[0])


def test_all_pictures_together_may_have_as_many_pixels_as_one(gallery):
    pixels = 640 * 480
    request = asked(*ANNA, ANNA[0])
    fits, _ = outcome_of(MatchCall(), request, gallery, context(max_pixels=3 * pixels))
    refused, event = outcome_of(MatchCall(), request, gallery, context(max_pixels=3 * pixels - 1))
    assert fits.retcode == "1", "equal pictures count once"
    assert refused.code == Code.IMAGE_SIZE_TOO_LARGE_ERROR
    assert left_out(event) == ["not_looked_at"] * 4


def test_a_request_with_further_pictures_is_read_as_it_was_written_and_an_old_one_has_none():
    assert decode_request(encode(asked(*ANNA))) == asked(*ANNA)
    assert decode_request(encode(asked(ANNA[0]))).pictures == (ANNA[0],)


def unit(numbers: list[float]):
    vector = np.array(numbers, np.float64)
    length = float(np.linalg.norm(vector))
    return np.asarray(vector / length if length > 1e-3 else np.eye(4)[0], np.float32)


vectors = st.lists(
    st.tuples(st.lists(st.floats(-1, 1), min_size=4, max_size=4).map(unit), st.floats(0, 1)),
    min_size=1,
    max_size=MAX_PICTURES,
)


@given(vectors, st.floats(0, 1))
def test_the_mean_is_a_unit_vector_of_faces_that_resemble_it(drawn, threshold):
    units, scores = [one for one, _ in drawn], [score for _, score in drawn]
    used = same_person(units, scores, threshold)
    assert used[0] == max(range(len(units)), key=lambda place: (scores[place], -place))
    assert len(set(used)) == len(used)

    def mean_of(places):
        return weighted_mean([units[one] for one in places], [scores[one] for one in places])

    for count in range(1, len(used)):
        assert float(units[used[count]] @ mean_of(used[:count])) >= threshold
    mean = mean_of(used)
    assert mean.dtype == np.float32
    assert float(np.linalg.norm(mean)) == pytest.approx(1.0, abs=1e-5)
    assert [place for place in range(len(units)) if place not in used and float(units[place] @ mean) >= threshold] == []


def test_faces_without_any_quality_still_have_a_mean():
    east, north = np.eye(4, dtype=np.float32)[:2]
    assert weighted_mean([east, north], [0.0, 0.0]) == pytest.approx((east + north) / np.sqrt(2))
    assert np.array_equal(weighted_mean([east, -east], [0.5, 0.5]), east)
