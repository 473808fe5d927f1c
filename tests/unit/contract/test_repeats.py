"""What a match repeats, and what its small event keeps."""

import msgspec
import pytest

from contract.events import ErrorInfo, Event, LivenessResult, MatchedFace, PictureSize
from contract.repeats import First, Passage, as_repeat, first_of, passage_of
from tests.support.sinking import NOW_S, event

PASSAGE = Passage("10.0.0.1", "7", "matched")


def other_face(identity_id: str) -> MatchedFace:
    return MatchedFace(face=None, outcome="matched", identity_id=identity_id)


def test_the_passage_of_a_match_is_who_where_and_with_which_outcome() -> None:
    assert passage_of(event(1)) == PASSAGE
    assert passage_of(event(1, outcome="not_valid", retcode="0")) == Passage("10.0.0.1", "7", "not_valid")
    assert passage_of(event(1, searched=(other_face("7"), other_face("")))) == PASSAGE


@pytest.mark.parametrize(
    "changes",
    [
        {"kind": "compare", "outcome": "same"},
        {"outcome": "stranger", "retcode": "0", "identity_id": ""},
        {"outcome": "stranger", "retcode": "0"},
        {"outcome": "expired", "error": ErrorInfo(code=50480, status="TIMEOUT", message="")},
        {"device_ip": None},
        {"retry_of": "event-0"},
        {"replay_of": "event-0"},
        {"searched": (other_face("8"),)},
    ],
    ids=["a comparison", "a stranger", "the nearest", "too late", "no device", "a retry", "a replay", "two people"],
)
def test_what_takes_no_part_in_repeats(changes: dict[str, object]) -> None:
    assert passage_of(event(1, **changes)) is None
    assert first_of(event(1, **changes), {PASSAGE: First("event-0", NOW_S)}, 60.0) is None


@pytest.mark.parametrize(
    ("seconds", "window_s", "repeats"),
    [(1, 5.0, True), (4.9, 5.0, True), (5, 5.0, False), (-3, 5.0, True), (-5, 5.0, False), (1, 0.0, False)],
)
def test_a_repeat_arrives_within_the_window_of_the_first_match(seconds: float, window_s: float, repeats: bool) -> None:
    firsts = {PASSAGE: First("event-0", NOW_S)}
    found = first_of(event(1, received_time=NOW_S + seconds), firsts, window_s)
    assert found == (firsts[PASSAGE] if repeats else None)


def test_an_event_repeats_neither_itself_nor_another_device_person_or_outcome() -> None:
    firsts = {PASSAGE: First("event-0", NOW_S)}
    assert first_of(event(0), firsts, 60.0) is None
    for changes in ({"device_ip": "10.0.0.2"}, {"identity_id": "8"}, {"outcome": "not_valid"}):
        assert first_of(event(1, **changes), firsts, 60.0) is None


def test_the_small_event_keeps_who_where_when_and_how_near() -> None:
    whole = event(
        1,
        name="Anna",
        identity_info={"name": "Anna"},
        picture=PictureSize(bytes=9, width=3, height=3),
        faces=1,
        liveness=LivenessResult(mode="liveness_off", passed=True, checks=()),
        timings_ms={"decode": 3.0},
    )
    small = as_repeat(whole, "event-0")
    assert small.repeat_of == "event-0"
    kept = ("id", "kind", "outcome", "compare_time", "received_time", "request", "device_ip", "retcode", "identity_id")
    for name in (*kept, "name", "score", "cosine", "threshold", "models", "policy"):
        assert getattr(small, name) == getattr(whole, name), name
    left_out = {name for name in Event.__struct_fields__ if getattr(small, name) != getattr(whole, name)}
    assert left_out == {"repeat_of", "identity_info", "picture", "faces", "liveness", "timings_ms"}
    assert len(msgspec.json.encode(small)) < len(msgspec.json.encode(whole))
