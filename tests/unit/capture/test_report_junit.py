"""A report as JUnit XML."""

from collections.abc import Sequence
from xml.etree import ElementTree

from capture.reporting.junit import JunitFile
from capture.reporting.kinds import Kind
from capture.reporting.report import Report
from capture.rows import Row
from tests.support.rows import refusal, row, search
from tests.support.terminal import HOSTILE, hostile_characters

A, B, STRANGER = search(("a", 0.6)), search(("b", 0.7)), search(("a", 0.2))
ATTACK = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>{{ 7*7 }}&amp;]]>"


def junit(
    rows: list[Row], fail_on: frozenset[Kind] | None = None, stopped: str | None = None, damage: Sequence[str] = ()
) -> ElementTree.Element:
    report = Report()
    with JunitFile(fail_on) as file:
        for one in rows:
            file.add(one, report.add(one))
        text = "".join(file.parts("monday <1>", report.findings(stopped, damage)))
    return ElementTree.fromstring(text)  # noqa: S314 - the test's own document


def test_junit_has_a_test_case_per_line_with_failures_errors_and_skipped_ones():
    suites = junit(
        [
            row(A, A, number=1, device="gate"),
            row(A, B, number=2),
            row(A, None, number=3, trouble="the evidence is gone"),
            row(refusal("expired"), number=4),
            row(A, A, number=5, device=None, latency_ms=12.5),
        ]
    )
    suite = suites[0]
    assert suite.attrib == {"name": "monday <1>", "tests": "5", "failures": "1", "errors": "1", "skipped": "1"}
    assert suites.attrib == {"tests": "5", "failures": "1", "errors": "1", "skipped": "1"}
    cases = [(case.get("classname"), case.get("name"), [child.tag for child in case]) for case in suite]
    assert cases == [
        ("gate", "line 1 (r1)", []),
        ("10.0.0.1", "line 2 (r2)", ["failure"]),
        ("10.0.0.1", "line 3 (r3)", ["error"]),
        ("10.0.0.1", "line 4 (r4)", ["skipped"]),
        ("no device", "line 5 (r5)", []),
    ]
    failure = suite[1][0]
    assert failure.get("type") == "another_person"
    assert failure.text is not None
    assert failure.text.startswith('line 2 (r2): another_person: matched "a", score 0.6000, threshold 0.4500')
    assert suite[2][0].get("message") == "line 3 (r3): the evidence is gone"
    assert suite[4].get("time") == "0.013"


def test_junit_fails_only_for_the_kinds_that_fail():
    suite = junit([row(A, STRANGER), row(A, B)], frozenset({"another_person"}))[0]
    assert suite.get("failures") == "1"
    assert [[child.tag for child in case] for case in suite] == [["system-out"], ["failure"]]


def test_junit_fails_for_doors_that_would_open_whatever_their_kind_is():
    suite = junit([row(refusal("no_face"), STRANGER), row(refusal("no_face"), A)], frozenset({"opens"}))[0]
    assert [[child.tag for child in case] for case in suite] == [["system-out"], ["failure"]]


def test_junit_has_an_error_where_the_replay_ended_early():
    suite = junit([row(A, A)], stopped="it was interrupted")[0]
    assert (suite.get("tests"), suite.get("errors")) == ("2", "1")
    assert suite[0][0].get("message") == "it was interrupted"


def test_junit_has_an_error_where_the_capture_is_damaged():
    suite = junit([row(A, A)], damage=["line 2 is damaged", "line 3 is missing"])[0]
    assert (suite.get("tests"), suite.get("errors")) == ("2", "1")
    assert suite[0][0].get("message") == "line 2 is damaged; line 3 is missing"


def test_junit_has_a_remark_in_the_output_of_a_passed_test_case():
    suite = junit([row(A, A, remark="within rounding"), row(A, A)])[0]
    assert [[child.tag for child in case] for case in suite] == [["system-out"], []]
    assert suite.get("failures") == "0"
    assert (suite[0][0].text or "").endswith("margin +0.1500 (remark: within rounding)")


def test_junit_is_xml_whatever_the_names_are():
    hostile = f"{HOSTILE}{ATTACK}\ud800\uffff"
    differing = row(A, search((hostile, 0.7)), device=hostile)
    case = junit([differing])[0][0]
    name = case.get("classname") or ""
    assert name.endswith(f"{ATTACK}\ufffd\ufffd")
    assert not hostile_characters(name)
