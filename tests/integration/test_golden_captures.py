"""The golden captures: a change that alters any decision fails here, with the rows that differ, then and now."""

import json
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from capture.accepting import Accepted, accepting
from capture.folder import CaptureFolder
from capture.reader import CaptureReader
from capture.rows import Difference, Row
from contract.captures.values import CapturedDecision, CaptureError, CaptureLine
from contract.people.keys import MEAN_FACE
from engine.calls.match import MatchCall
from engine.gallery import templates as templates_of_people
from engine.gallery.covered import CoveredTemplates
from tests.golden.make_captures import CAPTURES, DECISIONS, SITES, STAND_IN, put_together
from tests.golden.make_captures import replayed as replayed_here
from tests.support.commands import Finished, run

TOLERANCE = 1e-3
"""Scores of two machines agree within this."""


@pytest.fixture(params=sorted(SITES))
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


async def replayed(capture: Path, *options: object) -> Finished:
    return await run("replay", capture, *options, **STAND_IN)


def lines_of(capture: Path) -> list[CaptureLine]:
    return [line for _, line in CaptureReader(capture).lines()]


def decisions_in(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text().splitlines()]


def test_no_decision_differs_from_the_golden_one(tmp_path, name):
    """If a decision was meant to change, accept it: python -m tests.golden.make_captures --accept NAME."""
    capture = put_together(name, tmp_path / name)
    for options in ((), ("--look",)):
        done = replayed_here(name, capture, *options, "--decisions", tmp_path / DECISIONS)
        assert done.exit_code == 0, f"\n{done.output}"
        if not options:
            now, golden = decisions_in(tmp_path / DECISIONS), decisions_in(CAPTURES / name / DECISIONS)
            for one, other in zip(now, golden, strict=True):
                assert one == {key: approximate(value) for key, value in other.items()}


def test_decisions_by_a_mean_and_by_a_covered_template_are_golden_and_depend_on_these(tmp_path):
    """Of pictures that somebody is recognised in by a mean or a cover, nobody is where these are not compared."""
    pictures: dict[str | None, set[str | None]] = {}
    strangers = set()
    for line in lines_of(put_together("templates", tmp_path / "templates")):
        then = line.decision
        assert then is not None
        if then.outcome == "stranger":
            strangers.add(line.request.picture)
        elif not then.searched:
            by = then.applied.cover or ("mean" if then.candidates[0].number == MEAN_FACE else "face")
            pictures.setdefault(by, set()).add(line.request.picture)
    for by in ("mean", "mouth", "eyes"):
        assert pictures[by] & strangers, by


@pytest.mark.parametrize(
    ("changed", "what", "now", "status", "told"),
    [
        (templates_of_people, "mean_of", lambda vectors: vectors[0], 2, "was the mean of the faces of anna with the"),
        (CoveredTemplates, "nearest", lambda *_: (), 1, "stranger"),
    ],
    ids=["mean", "cover"],
)
def test_another_rule_for_means_or_covers_fails_the_replay(tmp_path, monkeypatch, changed, what, now, status, told):
    capture = put_together("templates", tmp_path / "templates")
    monkeypatch.setattr(changed, what, now)
    done = replayed_here("templates", capture, "--jobs", 1)
    assert done.exit_code == status, done.output
    rows = [line for line in done.output.splitlines() if line.startswith("line ")]
    assert any(told in row for row in rows), done.output


def approximate(value: Any) -> Any:
    return pytest.approx(value, abs=TOLERANCE) if isinstance(value, float) else value


def test_every_outcome_but_that_of_a_late_answer_is_golden():
    outcomes = {line["outcome"] for name in SITES for line in decisions_in(CAPTURES / name / DECISIONS)}
    assert outcomes == set(MatchCall.outcomes) - {"expired"}


async def test_a_changed_decision_fails_with_the_row_of_then_and_now_and_can_be_accepted(tmp_path, monkeypatch):
    """The program of then differed: it took the first person for a stranger, and found a face where there is none."""
    capture = put_together("doors", tmp_path / "doors")
    golden = lines_of(capture)
    place = next(number for number, line in enumerate(golden) if outcome(line) == "no_face")
    change(capture, {0: stranger(golden[0]), place: stranger(golden[0])})
    before = {path.name: path.read_bytes() for path in capture.glob("*.json*")}

    done = await replayed(capture, "--look")
    assert done.status == 1
    first, second = (line for line in done.out.splitlines() if line.startswith(("line 1 ", f"line {place + 1} ")))
    assert "stranger" in first
    assert "matched" in first
    assert "no_face" in second
    assert {path.name: path.read_bytes() for path in capture.glob("*.json*")} == before, "nobody has accepted it"

    accepted = await replayed(capture, "--look", "--accept")
    assert (accepted.status, accepted.err) == (0, f"2 decisions of {capture} replaced\n"), accepted
    assert first in accepted.out, "what is accepted is shown"
    assert [outcome(line) for line in lines_of(capture)] == [outcome(line) for line in golden]
    for options in ((), ("--look",)):
        assert (await replayed(capture, *options)).status == 0
    again = {path.name: path.read_bytes() for path in capture.glob("*.json*")}
    assert (await replayed(capture, "--look", "--accept")).err == f"0 decisions of {capture} replaced\n"
    assert {path.name: path.read_bytes() for path in capture.glob("*.json*")} == again


async def test_a_decision_from_an_embedding_is_accepted_with_its_embedding(tmp_path):
    capture = put_together("thresholds", tmp_path / "thresholds")
    golden = lines_of(capture)
    change(capture, {3: stranger(golden[3], score=12.0)})
    accepted = await replayed(capture, "--accept")
    assert accepted.err == f"1 decision of {capture} replaced\n"
    assert lines_of(capture) == golden


async def test_nothing_is_accepted_where_a_row_could_not_be_decided(tmp_path):
    capture = put_together("doors", tmp_path / "doors")
    golden = lines_of(capture)
    change(capture, {len(golden) - 1: stranger(golden[-1])})
    with CaptureFolder(capture) as folder:
        folder.describe(people_from=max(line.decision.gallery_version for line in golden if line.decision))
    before = {path: path.read_bytes() for path in capture.rglob("*") if path.is_file()}
    done = await replayed(capture, "--accept")
    assert done.status == 2
    assert "line 1 of requests.jsonl: it was decided at gallery version" in done.err
    assert "nothing was accepted" in done.err
    assert {path: path.read_bytes() for path in capture.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("option", [("--threshold", "0.6"), ("--keep-going",), ("--gallery-version", "3")])
async def test_only_what_the_program_decides_by_itself_is_accepted(tmp_path, option):
    capture = put_together("doors", tmp_path / "doors")
    done = await replayed(capture, "--accept", *option)
    assert (done.status, done.out) == (2, "")
    assert f"{option[0]} cannot be used with --accept" in done.err


async def test_an_archive_must_be_unpacked_before_decisions_are_accepted(tmp_path):
    capture = put_together("doors", tmp_path / "doors")
    archive = tmp_path / "doors.tar.zst"
    assert (await run("capture", "pack", capture, archive)).status == 0
    done = await replayed(archive, "--accept")
    assert done.status == 2
    assert "picturematch capture unpack" in done.err


def test_a_replay_that_breaks_off_leaves_the_capture_as_it_was(tmp_path):
    capture = put_together("doors", tmp_path / "doors")
    before = {path: path.read_bytes() for path in capture.rglob("*") if path.is_file()}
    golden = lines_of(capture)
    now = stranger(golden[0])
    rows = accepting(
        capture, [Row(1, golden[0], "decide", now, (Difference("outcome", "matched", "stranger"),))], Accepted()
    )
    with pytest.raises(ValueError, match="argument 2 is longer"):
        list(rows)
    assert {path: path.read_bytes() for path in capture.rglob("*") if path.is_file()} == before


def test_the_decision_of_another_embedder_is_not_accepted(tmp_path):
    capture = put_together("doors", tmp_path / "doors")
    golden = lines_of(capture)
    now = structs.replace(stranger(golden[0]), embedder="another")
    row = Row(1, golden[0], "look", now, (Difference("outcome", "matched", "stranger"),))
    with pytest.raises(CaptureError, match=r"the embedder of then was .* nothing was accepted"):
        list(accepting(capture, [row], Accepted()))


def outcome(line: CaptureLine) -> str:
    assert line.decision is not None
    return line.decision.outcome


def stranger(line: CaptureLine, **changes: Any) -> CapturedDecision:
    """The decision of a line, as if nobody had been recognised."""
    assert line.decision is not None
    as_stranger = {"outcome": "stranger", "retcode": "0", "identity_id": "", **changes}
    return structs.replace(line.decision, **as_stranger)


def change(capture: Path, decisions: dict[int, CapturedDecision]) -> None:
    """Change lines of a capture, and seal it."""
    lines = lines_of(capture)
    for place, decision in decisions.items():
        lines[place] = structs.replace(lines[place], decision=decision)
    with CaptureFolder(capture) as folder, folder.replacing_requests() as new:
        new.append(lines)
