import msgspec
import pytest

from capture.reporting.report import Report
from capture.reporting.sums import Known
from capture.reporting.truth import Badge
from capture.reporting.values import Shown, TruthCounts
from capture.rows import Difference, Row
from tests.support.rows import candidates, findings, of, refusal, row, search

A, STRANGER = search(("a", 0.6)), search(("a", 0.2))


def test_every_row_has_one_result_which_is_counted_by_tier_device_and_kind():
    found = findings(
        row(A, A, number=1, tier="decide"),
        row(A, STRANGER, number=2, tier="look", device="10.0.0.2"),
        row(refusal("expired"), None, number=3, tier=None),
        row(None, A, number=4, tier="look"),
        row(A, None, number=5, tier=None, trouble="the evidence is gone"),
    )
    assert (found.same, found.different, found.not_compared, found.could_not_run, found.rows) == (1, 1, 2, 1, 5)
    assert found.kinds == {"matched_to_stranger": 1}
    assert {tier: (c.same, c.different, c.not_compared) for tier, c in found.tiers.items()} == {
        "decide": (1, 0, 0),
        "look": (0, 1, 1),
    }
    assert found.not_compared_because == {"expired": 1, "undecided": 1}
    assert [(part.name, part.counts.different) for part in found.devices] == [("10.0.0.2", 1), ("10.0.0.1", 0)]
    assert {c.outcome: (c.then, c.now) for c in found.outcomes} == {
        "matched": (3, 2),
        "stranger": (0, 1),
        "expired": (1, 0),
    }


def test_a_differing_row_has_both_scores_both_thresholds_and_both_margins():
    report = Report()
    shown = report.add(row(search(("a", 0.461)), search(("b", 0.52), ("a", 0.46), threshold=0.5), number=7))
    assert shown is not None
    assert report.shown() == [shown]
    assert (shown.line, shown.kind, shown.status) == (7, "another_person", "different")
    assert shown.then == Shown(
        outcome="matched",
        identity_id="a",
        score=0.461,
        threshold=0.45,
        margin=pytest.approx(0.011),
        cosine=0.461,
        cosine_threshold=0.45,
        candidate="a",
        candidate_face=0,
        gallery_version=10,
    )
    assert shown.now is not None
    assert (shown.now.threshold, shown.now.margin, shown.now.candidate) == (0.5, pytest.approx(0.02), "b")


def test_a_row_that_is_the_same_is_not_shown():
    report = Report()
    assert report.add(row(A, A)) is None
    assert report.shown() == []


def test_a_remark_is_shown_with_its_row_and_counted_also_where_nothing_differs():
    report = Report()
    same = report.add(row(A, A, remark="its decision is within rounding"))
    different = report.add(row(A, STRANGER, number=2, remark="its decision is within rounding"))
    report.add(row(A, STRANGER, number=3, remark="the present settings were used"))
    assert same is not None
    assert different is not None
    assert (same.status, same.kind, same.remark) == ("same", None, "its decision is within rounding")
    assert (different.status, different.remark) == ("different", "its decision is within rounding")
    assert [one.line for one in report.shown()] == [2, 3], "only differing rows are among those of the HTML file"
    assert report.findings().remarks == {"its decision is within rounding": 2, "the present settings were used": 1}
    assert (report.findings().same, report.troubles()) == (1, [])


@pytest.mark.parametrize(
    ("rows", "status"),
    [
        ([row(A, A)], 0),
        ([row(A, STRANGER)], 1),
        ([row(A, A), row(A, None, trouble="no picture")], 2),
        ([row(A, STRANGER), row(A, None, trouble="no picture")], 2),
        ([row(A, A), row(refusal("expired"))], 0),
        ([row(refusal("expired"))], 2),
        ([], 2),
    ],
)
def test_the_exit_status_is_0_as_recorded_1_differs_2_could_not_run(rows: list[Row], status: int):
    report = Report()
    for one in rows:
        report.add(one)
    assert report.exit_status() == status


def test_only_the_kinds_that_fail_give_status_1():
    report = Report()
    report.add(row(A, STRANGER))
    assert report.exit_status(frozenset({"another_person"})) == 0
    assert report.exit_status(frozenset({"another_person", "matched_to_stranger"})) == 1
    report.add(row(A, None, trouble="no picture"))
    assert report.exit_status(frozenset({"another_person"})) == 2, "a row that could not be decided always fails"


def test_doors_that_would_open_fail_whatever_their_kind_is():
    for then, now, status in (
        (refusal("low_quality"), A, 1),
        (search(("a", 0.6), outcome="blacklisted", retcode="0"), A, 1),
        (refusal("low_quality"), STRANGER, 0),
        (A, STRANGER, 0),
    ):
        report = Report()
        report.add(row(then, now))
        assert report.exit_status(frozenset({"opens"})) == status
        assert report.findings().opens == status


def test_the_error_rates_count_searches_at_the_thresholds_in_force():
    whole = findings(
        row(A, A, expected="a"),
        row(A, STRANGER, expected="a"),  # misses the person now
        row(A, search(("b", 0.7), ("a", 0.6)), expected="a"),  # recognises another person now
        row(A, refusal("low_quality"), expected="a"),  # refused now
        row(search(("x", 0.2)), search(("x", 0.5)), expected=""),  # lets a stranger in now
        row(search(("x", 0.2)), search(("x", 0.2)), expected=""),
        row(A, STRANGER),  # nobody knows who it is
    ).whole
    assert (of(whole.then.fnir), of(whole.now.fnir)) == ((0, 4), (2, 3))
    assert (of(whole.then.fnir_with_refusals), of(whole.now.fnir_with_refusals)) == ((0, 4), (3, 4))
    assert (of(whole.then.fpir), of(whole.now.fpir)) == ((0, 2), (1, 2))
    assert (of(whole.then.another_person), of(whole.now.another_person)) == ((0, 4), (1, 3))
    assert (of(whole.then.failure_to_acquire), of(whole.now.failure_to_acquire)) == ((0, 7), (1, 7))
    assert whole.now.fpir.rate == 0.5
    assert whole.now.fpir.low == pytest.approx(0.0945, abs=1e-3)
    assert whole.now.fpir.high == pytest.approx(0.9055, abs=1e-3)


def test_a_person_who_is_barred_was_recognised():
    barred = search(("a", 0.6), outcome="blacklisted", retcode="0")
    assert of(findings(row(barred, barred, expected="a")).whole.now.fnir) == (0, 1)


def test_what_was_no_decision_about_the_picture_is_no_trial():
    whole = findings(
        row(refusal("expired"), A, expected="a"),
        row(refusal("error", 40480), A, expected="a"),
        row(refusal("error", 50080), A, expected="a"),
    ).whole
    assert (whole.then.failure_to_acquire.rate, whole.then.fnir_with_refusals.rate) == (None, None)
    assert of(whole.now.fnir) == (0, 3)


def test_a_spoofed_face_of_a_stranger_is_no_false_positive_and_no_failure_to_acquire():
    whole = findings(row(refusal("spoof"), refusal("spoof"), expected="")).whole
    assert of(whole.now.failure_to_acquire) == (0, 1)
    assert of(whole.now.fpir) == (0, 0)


def test_a_decision_in_whose_scope_nobody_is_enrolled_is_no_search():
    empty = refusal("empty_group")
    stranger = search(("x", 0.5))
    found = findings(*[row(empty, empty, expected="")] * 5, row(stranger, stranger, expected=""))
    assert of(found.whole.now.fpir) == (1, 1)
    assert of(found.whole.now.failure_to_acquire) == (0, 6)


def test_paired_errors_are_those_that_came_and_went_on_the_same_rows():
    rows = [row(A, STRANGER, expected="a")] * 9 + [row(STRANGER, A, expected="a")] + [row(A, A, expected="a")] * 5
    rows += [row(search(("x", 0.2)), search(("x", 0.5)), expected="")] * 2
    rows += [row(refusal("expired"), A, expected="a")] * 50
    paired = {one.of: one for one in findings(*rows).paired}
    enrolled = paired["enrolled"]
    assert (enrolled.trials, enrolled.errors_then, enrolled.errors_now) == (15, 1, 9)
    assert (enrolled.came, enrolled.went) == (9, 1)
    assert enrolled.p_value == pytest.approx(2 * (1 + 10) / 2**10)
    assert (paired["strangers"].came, paired["strangers"].p_value) == (2, 0.5)
    assert (paired["everybody"].trials, paired["everybody"].came) == (17, 11)


def searches_of(mated: list[float], strangers: list[float]) -> list[Row]:
    rows = []
    for cosine in mated:
        one = search(("a", cosine), ("b", 0.1))
        rows.append(row(one, one, expected="a"))
    for cosine in strangers:
        one = search(("x", cosine))
        rows.append(row(one, one, expected=""))
    return rows


def test_the_figures_by_threshold_have_the_names_evaluators_look_for():
    strangers = [i / 1000 for i in range(400)]
    found = findings(*searches_of([0.395, 0.3965, 0.3985] + [0.6] * 97, strangers)).now
    assert found is not None
    assert found.scale == "cosine"
    at = {one.fpir: one for one in found.fnir_at}
    assert set(at) == {0.003, 0.01, 0.03, 0.1}
    assert (at[0.003].false_positives, at[0.003].threshold, of(at[0.003].fnir)) == (
        1,
        pytest.approx(0.3981),
        (2, 100),
    )
    assert (at[0.01].false_positives, of(at[0.01].fnir)) == (4, (1, 100))
    assert found.fmr100 is not None
    assert of(found.fmr100.fnmr) == (0, 100)
    assert found.fmr1000 is None, "500 comparisons cannot show a rate of 1/1000"
    assert found.eer is not None
    assert 0 <= found.eer.rate < 0.02
    fpirs = [point.fpir.rate for point in found.det]
    assert fpirs == sorted(fpirs, reverse=True)
    assert (fpirs[0], fpirs[-1]) == (1.0, 0.0)


def test_few_searches_show_no_low_rate():
    found = findings(*searches_of([0.6], [0.2] * 30)).now
    assert found is not None
    assert [one.fpir for one in found.fnir_at] == [0.1]


def test_a_search_that_ranks_another_person_first_misses_the_person_at_every_threshold():
    wrong = search(("b", 0.3), ("a", 0.29))
    found = findings(row(wrong, wrong, expected="a"), *searches_of([], [0.1] * 20)).now
    assert found is not None
    assert [of(point.fnir) for point in found.det] == [(1, 1)] * len(found.det)


def test_the_rates_of_comparisons_count_the_person_at_any_rank():
    wrong = search(("b", 0.3), ("a", 0.29))
    found = findings(*[row(wrong, wrong, expected="a")] * 2, *searches_of([], [0.1] * 200)).now
    assert found is not None
    assert found.fmr100 is not None
    assert of(found.fmr100.fnmr) == (0, 2)
    assert found.fmr100.threshold == pytest.approx(0.1001)


def test_a_server_without_candidates_is_measured_by_its_scores():
    def answered(who: str, score: float) -> Row:
        now = search((who, 0.5), candidates=(), applied=None, threshold=0.45, score=score)
        return row(A, msgspec.structs.replace(now, threshold=None), expected=who, tier="url", latency_ms=12.0)

    strangers = [
        row(
            STRANGER,
            search(("x", 0.2), candidates=(), applied=None, score=float(score), threshold=0.45),
            expected="",
            tier="url",
        )
        for score in range(40)
    ]
    found = findings(*(answered("a", 90.0) for _ in range(10)), *strangers)
    assert found.now is not None
    assert found.now.scale == "score"
    assert found.now.det[-1].threshold == pytest.approx(90.0001)
    histogram = next(h for h in found.histograms if h.side == "now" and h.of == "mated")
    assert (histogram.low, histogram.high, histogram.counts[90]) == (0.0, 100.0, 10)
    assert found.latency[-1].of == "server"
    assert found.latency[-1].p50 == pytest.approx(12.0, rel=0.01)


def test_a_raw_score_without_evidence_is_a_cosine():
    without = search(("a", 0.6), candidates=())
    assert [h.scale for h in findings(row(without, without)).histograms] == ["cosine", "cosine"]
    percent = search(("a", 0.6), candidates=(), score=88.0, threshold=0.45)
    percent = msgspec.structs.replace(percent, threshold=82.0)
    assert [h.scale for h in findings(row(percent, percent)).histograms] == ["score", "score"]


def test_the_scores_of_a_server_on_the_raw_scale_are_cosines_beside_those_of_then():
    answer = search(("a", 0.6), candidates=(), applied=None, score=0.6)
    for scale, of_now in (("raw", "cosine"), ("percent", "score")):
        histograms = findings(row(A, answer, tier="url", scale=scale)).histograms
        assert [(h.side, h.scale) for h in histograms] == [("then", "cosine"), ("now", of_now)]


def test_histograms_count_every_search_then_and_now_and_mated_and_non_mated_ones_apart():
    found = findings(*searches_of([0.61, 0.61, 0.63], [0.2, 0.2]))
    counts = {(h.side, h.of): {i: n for i, n in enumerate(h.counts) if n} for h in found.histograms}
    assert counts["now", "all"] == {60: 2, 80: 2, 81: 1}
    assert counts["then", "mated"] == {80: 2, 81: 1}
    assert counts["now", "non_mated"] == {60: 2}


def test_the_lowest_and_the_highest_threshold_in_force_are_reported():
    found = findings(row(A, search(("a", 0.6), threshold=0.4)), row(A, search(("a", 0.6), threshold=0.5)))
    assert [(t.side, t.low, t.high) for t in found.thresholds] == [("then", 0.45, 0.45), ("now", 0.4, 0.5)]


def test_latency_is_the_time_from_arrival_to_decision_and_the_work_of_the_engine():
    rows = []
    for ms in range(1, 101):
        then = search(("a", 0.6), decided_time=1000.0 + ms / 1000, timings_ms={"decode": ms / 4, "embed": ms / 4})
        now = search(("a", 0.6), timings_ms={"embed": 2.0})
        rows.append(row(then, now, received=1000.0, tier="look"))
    rows.append(row(search(("a", 0.6), decided_time=10.0), A, received=1000.0))  # a clock was set back
    latency = {one.of: one for one in findings(*rows).latency}
    recorded = latency["recorded"]
    assert (recorded.count, recorded.longest) == (100, pytest.approx(100))
    assert recorded.p50 == pytest.approx(50, rel=0.011)
    assert recorded.p95 == pytest.approx(95, rel=0.011)
    assert recorded.p99 == pytest.approx(99, rel=0.011)
    assert sum(count for _, count in recorded.bins) == 100
    assert latency["recorded_engine"].p50 == pytest.approx(25, rel=0.011)
    assert latency["replayed_engine"].p99 == pytest.approx(2, rel=0.011)


def test_a_badge_log_gives_the_truth_and_the_group_and_comes_before_an_expectation():
    counts = TruthCounts(
        badges=2,
        matched_badges=2,
        ambiguous_badges=0,
        unmatched_badges=0,
        passages=3,
        matched_passages=2,
        ambiguous_passages=0,
        unmatched_passages=1,
    )
    known = Known({1: Badge("gate", 1, "a", "women"), 2: Badge("gate", 2, "", "men")})
    found = findings(
        row(A, A, number=1, expected="b"),
        row(A, A, number=2),
        row(A, A, number=3),
        known=known,
        truth=counts,
    )
    assert found.truth == counts
    assert [(part.name, of(part.now.fnir), of(part.now.fpir)) for part in found.groups] == [
        ("men", (0, 0), (1, 1)),
        ("women", (0, 1), (0, 0)),
    ]
    assert (of(found.whole.now.fnir), of(found.whole.now.fpir)) == ((0, 1), (1, 1))


def test_rows_compared_with_an_expectation_have_a_kind_too():
    report = Report()
    differing = (Difference("identity_id", "a", ""),)
    expected = row(None, STRANGER, expected_identity_id="a", differences=differing)
    again = row(refusal("expired"), STRANGER, number=2, expected_identity_id="a", differences=differing)
    assert [shown.kind for one in (expected, again) if (shown := report.add(one))] == ["matched_to_stranger"] * 2


def test_a_row_without_a_decision_of_now_is_reported_with_the_values_that_differ():
    report = Report()
    shown = report.add(row(A, None, differences=(Difference("score", 0.6, None),)))
    assert shown is not None
    assert (shown.kind, shown.now) == ("other_value", None)


def test_hostile_numbers_break_no_figure():
    now = search(("a", 0.6), candidates=(), score=float("inf"))
    found = findings(row(A, now, latency_ms=float("nan")), row(A, search(("a", 0.6), score=1e308, candidates=())))
    assert found.different == 2
    assert msgspec.json.encode(found)


def test_candidates_are_read_in_their_order():
    one = search(("a", 0.6), candidates=candidates(("a", 0.6), ("b", 0.5)))
    assert findings(row(one, one, expected="a")).histograms[0].counts[80] == 1
