"""Who counts as enrolled in a decision of which the truth is known."""

from capture.reporting.sums import Known
from capture.reporting.truth import Badge
from tests.support.rows import enrolled, findings, of, refusal, row, search

A = search(("a", 0.6))


def test_a_person_who_is_not_enrolled_counts_as_a_stranger_and_as_a_failure_to_enrol():
    short = search(("b", 0.2), fill=3)
    found = findings(
        row(A, A, expected="a"),
        row(short, short, expected="newcomer"),  # the list of candidates is short, and the newcomer is not in it
        row(refusal("empty_group"), refusal("empty_group"), expected="visitor"),
        row(search(("b", 0.2)), search(("b", 0.2)), number=4),
        known=Known({4: Badge("gate", 4, "unlisted")}, enrolled(), enrolled()),
    )
    assert of(found.failure_to_enrol.then) == of(found.failure_to_enrol.now) == (3, 4)
    assert (of(found.whole.now.fnir), of(found.whole.now.fpir)) == ((0, 1), (0, 2))


def test_an_expectation_of_the_capture_is_of_somebody_enrolled_only_if_the_people_have_a_face():
    missed = search(("b", 0.2))
    for people, fnir, fpir in ((enrolled("a"), (1, 1), (0, 0)), (enrolled("b"), (0, 0), (0, 1))):
        found = findings(row(missed, missed, expected_identity_id="a"), known=Known({}, people, people))
        assert (of(found.whole.now.fnir), of(found.whole.now.fpir)) == (fnir, fpir)
        assert of(found.failure_to_enrol.now) == (fpir[1], 1)


def test_a_person_is_a_stranger_before_the_first_face_was_enrolled():
    monday, friday = search(("b", 0.2), gallery_version=10), search(("b", 0.2), gallery_version=30)
    people = enrolled("a", offset=20)
    found = findings(
        row(monday, monday, number=1, expected="a"),
        row(friday, friday, number=2, expected="a"),
        known=Known({}, people, people),
    )
    for side in (found.whole.then, found.whole.now):
        assert (of(side.fnir), of(side.fpir)) == ((1, 1), (0, 1))
    assert of(found.failure_to_enrol.then) == (0, 1), "one decision had the person enrolled"


def test_a_server_is_taken_to_search_the_people_of_the_time_of_then():
    then = search(("b", 0.2), gallery_version=10)
    answer = search(("b", 0.2), candidates=(), applied=None, threshold=0.45, gallery_version=0)
    for offset, fnir in ((5, (1, 1)), (20, (0, 0))):
        people = enrolled("a", offset=offset)
        one = row(then, answer, expected="a", tier="url")
        assert of(findings(one, known=Known({}, people, people)).whole.now.fnir) == fnir
    late = row(refusal("expired", gallery_version=0), answer, expected="a", tier="url")
    assert of(findings(late, known=Known({}, people, people)).whole.now.fnir) == (1, 1)


def test_failures_to_enrol_are_counted_for_then_and_for_now():
    missed = search(("b", 0.2))
    found = findings(row(missed, missed, expected="a"), known=Known({}, enrolled(), enrolled("a")))
    assert (of(found.failure_to_enrol.then), of(found.failure_to_enrol.now)) == ((1, 1), (0, 1))


def test_without_a_list_of_people_a_person_missing_among_five_candidates_counts_as_enrolled():
    found = findings(row(search(("b", 0.2)), search(("b", 0.2)), expected="a"))
    assert of(found.failure_to_enrol.now) == (0, 1)
    assert of(found.whole.now.fnir) == (1, 1)
