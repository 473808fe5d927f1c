"""A report is bounded, and is the same in whatever parts and order its rows are added."""

import pickle
import tracemalloc

import pytest
from msgspec import structs

from capture.reporting.report import MOST_SHOWN, Report
from capture.reporting.sums import MOST_DEVICES, MOST_GROUPS, MOST_OUTCOMES, Known
from capture.reporting.tallies import OTHERS
from capture.reporting.truth import Badge
from capture.rows import SameRows
from tests.support.rows import enrolled, findings, refusal, row, search, week

A, STRANGER = search(("a", 0.6)), search(("a", 0.2))


@pytest.mark.parametrize("at_once", [1, 7, 300, 3000])
def test_rows_that_were_added_up_elsewhere_give_the_same_report(at_once: int):
    # More devices, groups and outcomes than are counted apart come in no order, in rows that differ and that do not.
    scattered = [
        row(
            search(("a", 0.6), outcome=f"odd{n * 7 % (2 * MOST_OUTCOMES)}"),
            STRANGER if n % 3 else search(("a", 0.6), outcome=f"odd{n * 7 % (2 * MOST_OUTCOMES)}"),
            number=5000 + n,
            device=f"gate{n * 7919 % 2003}",
            tier="look",
        )
        for n in range(2003)
    ]
    rows = [*week(3000), *scattered]
    badges = {n: Badge("gate", n, f"p{n % 45}", f"group{n % 7}") for n in range(1, 3000, 3)}
    badges |= {5000 + n: Badge("gate", n, "p1", f"group{n * 7919 % (2 * MOST_GROUPS)}") for n in range(2003)}
    known = Known(badges, enrolled("p1", "p2"), enrolled("p2", "p3"))
    alone, together = Report(known), Report(known)
    for at in range(0, len(rows), at_once):
        some = rows[at : at + at_once]
        same = [one for one in some if one.differences == ()]
        sums = pickle.loads(pickle.dumps(together.summing(same)))  # noqa: S301 - it was pickled here
        together.add_same(SameRows(len(same), sums))
        for one in some:
            alone.add(one)
            if one.differences != ():
                together.add(one)
    found = alone.findings()
    assert found.same > 1000
    assert [parts[-1].name for parts in (found.devices, found.groups)] == [OTHERS, OTHERS]
    assert found.outcomes[-1].outcome == OTHERS
    assert together.findings() == found
    assert (together.rows, together.shown(), together.exit_status()) == (alone.rows, alone.shown(), alone.exit_status())


def test_of_many_differing_rows_the_gravest_kinds_are_kept_in_the_order_of_lines():
    report = Report()
    for number in range(1, 700):
        report.add(row(A, search(("a", 0.61)), number=number))
    for number in range(700, 1000):
        report.add(row(A, search(("b", 0.7)), number=number))
    shown = report.shown()
    assert len(shown) == MOST_SHOWN
    assert [one.line for one in shown] == [*range(700, 1000), *range(1, 201)]
    assert report.findings().kinds == {"another_person": 300, "score_only": 699}


def test_the_memory_of_a_report_does_not_grow_with_the_rows():
    report = Report()
    rows = list(week(1000))

    def add(times: int) -> int:
        for again in range(times):
            for one in rows:
                report.add(structs.replace(one, number=one.number + again))
        return tracemalloc.get_traced_memory()[0]

    tracemalloc.start()
    try:
        before = add(12)
        after = add(12)
    finally:
        tracemalloc.stop()
    assert after - before < 1_500_000
    assert report.rows == 24_000


def test_names_of_devices_beyond_the_most_share_one_part():
    report = Report()
    for number in range(MOST_DEVICES + 5):
        report.add(row(A, A, device=f"gate{number}"))
    devices = report.findings().devices
    assert len(devices) == MOST_DEVICES + 1
    assert (devices[-1].name, devices[-1].counts.same) == ("(all others)", 5)


def test_the_names_that_are_counted_apart_come_first_in_their_order_whatever_the_order_of_the_rows():
    rows = [row(A, A if n % 2 else STRANGER, device=f"gate{n:05}") for n in range(MOST_DEVICES + 100)]
    forwards, backwards = findings(*rows).devices, findings(*reversed(rows)).devices
    assert forwards == backwards
    assert {part.name for part in forwards} == {*(f"gate{n:05}" for n in range(MOST_DEVICES)), OTHERS}
    assert (forwards[-1].counts.same, forwards[-1].counts.different) == (50, 50)


def test_outcomes_that_nobody_knows_are_bounded_and_those_of_matches_are_always_counted_apart():
    odd = [search(("a", 0.6), outcome=f"{n:04}") for n in range(500)]
    rows = [row(one, one, number=n) for n, one in enumerate(odd)]
    rows += [row(STRANGER, STRANGER), *(row(refusal(f"{n:04}", 50380), A, differences=None) for n in range(500))]
    found = findings(*rows)
    assert len(found.outcomes) == MOST_OUTCOMES + 3, "and matched, stranger, and all others"
    assert sum(count.then for count in found.outcomes) == len(rows)
    assert (found.outcomes[-1].outcome, found.outcomes[-1].then) == (OTHERS, 2 * (500 - MOST_OUTCOMES))
    assert {"matched", "stranger"} <= {count.outcome for count in found.outcomes}
    assert len(found.not_compared_because) == MOST_OUTCOMES + 1
    assert sum(found.not_compared_because.values()) == 500
