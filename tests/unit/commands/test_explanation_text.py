"""How `picturematch explain` prints an explanation."""

from dataclasses import replace

import pytest
from click.testing import CliRunner
from msgspec import structs

from capture.explaining.matches import explain_match
from capture.explaining.values import Explanation
from contract.captures.convert import decision_of
from picturematch.__main__ import cli
from picturematch.explanation_text import as_builtins, print_explanation
from tests.support.faces import photo
from tests.support.then import Past, without_picture


@pytest.fixture
def past() -> Past:
    past = Past()
    past.enrol("anna", 1, info={"name": "An\x1b[31mna\u202e"})
    past.enrol("ben", 2)
    return past


def printed(explanation: Explanation, capsys: pytest.CaptureFixture[str]) -> list[str]:
    print_explanation(explanation)
    return capsys.readouterr().out.splitlines()


def test_the_text_has_the_decision_the_checks_the_people_and_the_changes_in_this_order(
    past: Past, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = printed(explain_match(past.then(photo(77))), capsys)
    assert lines[0] == "match r1, decided 2025-11-24 12:00:00 UTC, device 10.0.0.1, gallery version 4"
    assert lines[2].startswith("stranger: nobody was recognised")
    titles = ["Checks", "Nearest people"]
    last = next(line for line in lines if line.startswith("Single changes"))
    assert [lines.index(title) for title in [*titles, last]] == sorted(lines.index(title) for title in [*titles, last])
    assert any("threshold" in line and "NO" in line for line in lines)
    assert any(line.endswith(": matched, An\ufffd[31mna\ufffd (anna)") for line in lines)


def test_names_cannot_steer_the_terminal(past: Past, capsys: pytest.CaptureFixture[str]) -> None:
    text = "\n".join(printed(explain_match(past.then(photo(1))), capsys))
    assert "\x1b" not in text
    assert "\u202e" not in text


def test_an_alarm_is_printed_before_anything_else(past: Past, capsys: pytest.CaptureFixture[str]) -> None:
    then = past.then(photo(1))
    assert then.event is not None
    forged = structs.replace(then.event, identity_id="ben")
    explanation = explain_match(replace(then, event=forged, decision=decision_of(forged, then.evidence)))
    lines = printed(explanation, capsys)
    assert lines[0].startswith("ALARM: the decision comes out differently than it was recorded.")
    assert "  identity_id: ben was recorded, and now it is anna" in lines
    assert as_builtins(explanation)["alarm"] is True


def test_what_is_gone_is_printed_with_the_time_since_when(past: Past, capsys: pytest.CaptureFixture[str]) -> None:
    lines = printed(explain_match(without_picture(past.then(photo(1)))), capsys)
    assert "The picture is gone. Since 2025-11-24 12:00:00 UTC." in lines


def test_since_and_a_capture_exclude_each_other(tmp_path: str) -> None:
    refused = CliRunner().invoke(cli, ["explain", "r1", "--since", "1d", "--capture", str(tmp_path)])
    assert (refused.exit_code, "--since cannot be used with --capture" in refused.output) == (2, True)
