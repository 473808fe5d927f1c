from itertools import product

import pytest

from capture.reporting.kinds import KIND_WORDS, KINDS, expectation, kind_of, opens
from engine.calls.match import MatchCall
from tests.support.rows import refusal, search

A, B = search(("a", 0.6)), search(("b", 0.7))
STRANGER = search(("a", 0.2))
BARRED = search(("a", 0.6), outcome="blacklisted", retcode="0")
EXPIRED_VISITOR = search(("a", 0.6), outcome="not_valid", retcode="0")


def every_decision():
    for outcome in (*MatchCall.outcomes, "a word of a later version"):
        for identity, code in product(("", "a", "b"), (None, 40004, 50080)):
            yield search(("a", 0.5), outcome=outcome, identity_id=identity, error_code=code)


def test_every_pair_of_decisions_has_one_kind_and_every_kind_occurs():
    decisions = list(every_decision())
    found = {kind_of(then, now) for then, now in product(decisions, decisions)}
    found |= {kind_of(then, now, ["faces"]) for then, now in product(decisions, decisions)}
    assert found == set(KINDS)
    assert list(KIND_WORDS) == list(KINDS)


@pytest.mark.parametrize(
    ("then", "now", "kind"),
    [
        (A, STRANGER, "matched_to_stranger"),
        (BARRED, STRANGER, "matched_to_stranger"),
        (STRANGER, A, "stranger_to_matched"),
        (STRANGER, BARRED, "stranger_to_barred"),
        (A, B, "another_person"),
        (BARRED, B, "another_person"),
        (A, BARRED, "matched_to_barred"),
        (BARRED, A, "barred_to_matched"),
        (BARRED, EXPIRED_VISITOR, "other_barrier"),
        (refusal("spoof"), A, "from_spoof"),
        (refusal("spoof"), refusal("no_face"), "from_spoof"),
        (refusal("no_face"), refusal("spoof"), "to_spoof"),
        (A, refusal("spoof"), "to_spoof"),
        (refusal("low_quality"), STRANGER, "from_low_quality"),
        (A, refusal("no_face"), "to_no_face"),
        (STRANGER, refusal("empty_group"), "to_empty_group"),
        (refusal("low_quality"), refusal("no_face"), "another_refusal"),
        (refusal("image_error"), refusal("image_error", 40007), "error_code"),
        (refusal("error"), A, "from_error"),
        (refusal("expired"), STRANGER, "from_error"),
        (A, refusal("a word of a later version"), "to_error"),
    ],
)
def test_the_kind_follows_from_both_outcomes(then, now, kind):
    assert kind_of(then, now, ["retcode"]) == kind


@pytest.mark.parametrize(
    ("what", "kind"),
    [
        (["score"], "score_only"),
        (["score", "threshold"], "score_only"),
        (["score", "quality_score"], "other_value"),
    ],
)
def test_the_same_outcome_and_person_differ_in_the_score_only_or_in_another_value(what, kind):
    assert kind_of(A, search(("a", 0.61)), what) == kind
    assert kind_of(STRANGER, search(("b", 0.21)), what) == kind


def test_an_expected_identity_is_compared_like_a_decision_of_then():
    assert kind_of(expectation("a"), STRANGER, ["identity_id"]) == "matched_to_stranger"
    assert kind_of(expectation(""), A, ["identity_id"]) == "stranger_to_matched"
    assert kind_of(expectation("b"), A, ["identity_id"]) == "another_person"
    assert kind_of(expectation("a"), refusal("no_face"), ["error"]) == "to_no_face"


@pytest.mark.parametrize(
    ("then", "now", "opened"),
    [
        (STRANGER, A, True),
        (BARRED, A, True),
        (BARRED, B, True),
        (refusal("low_quality"), A, True),
        (refusal("spoof"), A, True),
        (refusal("error"), A, True),
        (expectation(""), A, True),
        (STRANGER, BARRED, False),
        (refusal("low_quality"), STRANGER, False),
        (A, B, False),
        (A, BARRED, False),
        (expectation("b"), A, False),
        (A, search(("a", 0.61)), False),
    ],
)
def test_a_door_opens_where_it_stayed_closed_then_whatever_the_kind(then, now, opened):
    assert opens(then, now) is opened
