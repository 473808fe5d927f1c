"""The options and the output of a report, in a command that reports made-up rows."""

import json
import stat
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from xml.etree import ElementTree

import click
import jsonschema
import pytest
from click.testing import CliRunner, Result

from capture.folder import CaptureFolder
from capture.reader import CaptureReader
from capture.reporting.kinds import KINDS
from capture.reporting.tables import Table
from capture.reporting.values import report_schema
from capture.rows import Row
from contract.captures.values import CaptureError, PeopleLine
from contract.codec import encode
from contract.people.keys import face_key
from contract.people.records import FaceRecord, PhotoReference
from picturematch.replay_report import ReportOptions, report_options, reporting
from picturematch.report_text import plain_lines
from tests.support.rows import face_picture, refusal, row, search
from tests.support.terminal import HOSTILE, hostile_characters

A, B, STRANGER = search(("a", 0.6)), search(("b", 0.7)), search(("a", 0.2))
ROWS = [
    row(A, A, number=1),
    row(A, B, number=2),
    row(A, search(("a", 0.61)), number=3),
    row(refusal("expired"), A, number=4, differences=None),
    row(None, A, number=5),
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A capture of five requests, with a person and her photo."""
    made = tmp_path / "monday"
    with CaptureFolder(made) as out:
        sha256 = out.keep_picture(face_picture(1)[0])
        photo = out.keep_picture(face_picture(2)[0])
        reference = PhotoReference(sha256=bytes.fromhex(photo), partition=0, offset=0)
        face = FaceRecord(identity_id="a", number=0, embedder="e", templates={}, photo=reference)
        out.append_people([PeopleLine(offset=1, time=0.0, key=face_key("a", 0, "e"), value=encode(face))])
        out.append([row(A, number=n, picture=sha256, received=1000.0 + 100 * n).line for n in range(1, 6)])
        out.describe(people_from=0, photos="candidates")
    return made


def with_pictures(folder: Path, rows: list[Row]) -> Iterator[Row]:
    """The rows with the lines' pictures."""
    lines = dict(CaptureReader(folder).lines())
    for one in rows:
        picture = lines[one.number].request.picture
        yield row(
            one.line.decision,
            one.now,
            number=one.number,
            picture=picture,
            differences=one.differences,
            trouble=one.trouble,
            remark=one.remark,
        )


def report_rows(rows: Iterable[Row], options: ReportOptions, reader: CaptureReader, title: str = "capture") -> int:
    """Report rows as a command does, and return its exit status."""
    with reporting(options, reader, title) as report:
        for one in rows:
            report.add(one)
    return report.exit_status


def run(folder: Path, *options: str, rows: Callable[[Path], Iterator[Row]] | None = None) -> Result:
    @click.command()
    @report_options
    @click.pass_context
    def command(ctx: click.Context, report: ReportOptions) -> None:
        chosen = with_pictures(folder, ROWS) if rows is None else rows(folder)
        ctx.exit(report_rows(chosen, report, CaptureReader(folder, check=False), "monday"))

    return CliRunner().invoke(command, options)


def test_text_has_a_line_per_differing_row_the_tables_and_the_counts_last(folder: Path):
    ended = run(folder)
    assert ended.exit_code == 1
    lines = ended.stdout.splitlines()
    assert lines[0].startswith('line 2 (r2): another_person: matched "a", score 0.6000, threshold 0.4500')
    assert lines[1].startswith("line 3 (r3): score_only: ")
    assert lines[2].startswith("line 4 (r4): not compared: expired, 50480 TIMEOUT; now matched")
    assert "Differences by kind" in lines
    assert lines[-1] == "1 same, 2 different, 2 not compared, 0 could not run"


def test_plain_tables_are_aligned_for_reading():
    table = Table(
        "Outcomes", "How many.", ("outcome", "then", "now"), (("matched", "7", "12"), ("x\x1b[2J", "100", "1")), 2
    )
    assert plain_lines(table) == [
        "Outcomes",
        "How many.",
        "  outcome  then  now",
        "  matched     7   12",
        "  x\ufffd[2J     100    1",
        "",
    ]


def test_a_terminal_gets_the_same_tables_without_characters_that_steer_it(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setenv("TERM", "dumb")  # no colours
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    report_rows([row(A, B, device=HOSTILE)], ReportOptions(), CaptureReader(folder))
    shown = capsys.readouterr().out
    assert not hostile_characters(shown)
    assert [title for title in ("Differences by kind", "Outcomes", "By device") if title not in shown] == []
    assert "another_person     1" in shown


def test_json_is_a_line_per_row_that_is_not_the_same_and_the_summary_last_as_the_schema_says(folder: Path):
    ended = run(folder, "--json")
    *rows, summary = map(json.loads, ended.stdout.splitlines())
    assert [(one["line"], one["status"], one.get("kind")) for one in rows] == [
        (2, "different", "another_person"),
        (3, "different", "score_only"),
        (4, "not_compared", None),
    ]
    assert rows[0]["then"]["margin"] == pytest.approx(0.15)
    assert rows[0]["now"]["candidate"] == "b"
    assert {"what": "identity_id", "then": "a", "now": "b"} in rows[0]["differences"]
    assert {name: summary["summary"][name] for name in ("same", "different", "not_compared", "could_not_run")} == {
        "same": 1,
        "different": 2,
        "not_compared": 2,
        "could_not_run": 0,
    }
    schema = report_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    for line in (*rows, summary):
        jsonschema.validate(line, schema)
    for wrong in ({"summary": {}}, {**rows[0], "status": "odd"}, {"line": 1}):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(wrong, schema)


def test_a_row_that_could_not_be_decided_is_a_line_on_standard_error_and_status_2(folder: Path):
    troubled = [row(A, A, number=1), row(A, None, number=2, trouble="the \x1b[2J evidence is gone")]
    ended = run(folder, rows=lambda f: with_pictures(f, troubled))
    assert ended.exit_code == 2
    assert ended.stderr == "line 2 (r2): the \ufffd[2J evidence is gone\n"
    assert ended.stdout.endswith("1 same, 0 different, 0 not compared, 1 could not run\n")


def test_a_remark_about_a_row_that_is_the_same_is_a_line_of_json_and_counted_in_the_text(folder: Path):
    remarked = [row(A, A, number=1, remark="within rounding"), row(A, A, number=2)]
    ended = run(folder, rows=lambda f: with_pictures(f, remarked))
    assert ended.exit_code == 0
    table = ended.stdout.index("Remarks\n")
    assert "  within rounding     1\n" in ended.stdout[table:]
    assert not ended.stdout.startswith("line 1"), "all rows of a capture can have a remark"
    *rows, summary = map(
        json.loads, run(folder, "--json", rows=lambda f: with_pictures(f, remarked)).stdout.splitlines()
    )
    assert [(one["line"], one["status"], one["remark"]) for one in rows] == [(1, "same", "within rounding")]
    assert summary["summary"]["remarks"] == {"within rounding": 1}
    for line in (*rows, summary):
        jsonschema.validate(line, report_schema())


def test_a_capture_that_is_read_up_to_its_damage_is_named_in_every_file(folder: Path, tmp_path: Path):
    with (folder / "requests.jsonl").open("ab") as file:
        file.write(b"damaged")
    html, junit = tmp_path / "report.html", tmp_path / "report.xml"
    reader = CaptureReader(folder, keep_going=True)
    options = ReportOptions(as_json=True, html=html, junit=junit)
    report_rows((row(A, A, number=number) for number, _ in reader.lines()), options, reader)
    (damage,) = reader.damage
    assert damage in html.read_text("utf-8")
    assert ElementTree.parse(junit).getroot().get("errors") == "1"  # noqa: S314 - the test's own file


def test_fail_on_narrows_status_1_to_its_kinds(folder: Path):
    assert run(folder, "--fail-on", "matched_to_stranger").exit_code == 0
    assert run(folder, "--fail-on", "matched_to_stranger, another_person").exit_code == 1


def test_an_unknown_kind_is_refused_with_all_kinds(folder: Path):
    ended = run(folder, "--fail-on", "another_person,anything")
    assert ended.exit_code == 2
    words = " ".join(ended.stderr.split())
    assert "anything: no such kind of difference; there are " + ", ".join(("opens", *KINDS)) in words


def test_html_and_junit_files_are_written_for_their_owner_alone(folder: Path, tmp_path: Path):
    html, junit = tmp_path / "report.html", tmp_path / "report.xml"
    html.write_text("an older report")
    ended = run(folder, "--html", str(html), "--junit", str(junit), "--fail-on", "another_person")
    assert ended.exit_code == 1
    text = html.read_text("utf-8")
    assert text.startswith("<!doctype html>")
    assert text.count('src="data:image/jpeg;base64,') == 4, "two requests, and twice candidate a; b has no photo"
    suite = ElementTree.parse(junit).getroot()[0]  # noqa: S314 - the test's own file
    assert (suite.get("tests"), suite.get("failures"), suite.get("skipped")) == ("5", "1", "2")
    for file in (html, junit):
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert not list(tmp_path.glob("*.half"))


def test_a_file_that_cannot_be_written_is_noticed_before_the_replay(folder: Path, tmp_path: Path):
    def no_rows(_: Path) -> Iterator[Row]:
        raise AssertionError("the replay began")
        yield

    ended = run(folder, "--html", str(tmp_path / "nowhere" / "report.html"), rows=no_rows)
    assert ended.exit_code == 2
    assert "cannot be written: there is no folder" in ended.stderr


def test_a_badge_log_gives_figures_by_group(folder: Path, tmp_path: Path):
    badges = tmp_path / "badges.csv"
    badges.write_text(
        "device_ip,time,identity_id,group\n"
        "10.0.0.1,1103,a,early\n10.0.0.1,1196,b,late\n10.0.0.1,1290,a,late\n10.0.0.1,1431,a,late\n"
    )
    ended = run(folder, "--json", "--truth", str(badges))
    summary = json.loads(ended.stdout.splitlines()[-1])["summary"]
    assert summary["truth"]["matched_badges"] == 3
    assert summary["truth"]["unmatched_badges"] == 1
    groups = {part["name"]: part["now"] for part in summary["groups"]}
    assert groups["early"]["fnir"]["trials"] == 1
    assert groups["late"]["fnir"]["errors"] == 0
    assert summary["failure_to_enrol"]["now"]["trials"] == 2
    wide = run(folder, "--json", "--truth", str(badges), "--truth-window", "40s")
    assert json.loads(wide.stdout.splitlines()[-1])["summary"]["truth"]["unmatched_badges"] == 0


def test_a_badge_log_that_cannot_be_read_is_one_sentence_and_status_2(folder: Path, tmp_path: Path):
    badges = tmp_path / "badges.csv"
    badges.write_text("who,when\n")
    ended = run(folder, "--truth", str(badges))
    assert (ended.exit_code, ended.stdout) == (2, "")
    columns = "device_ip, time, identity_id, group"
    assert ended.stderr == f"picturematch: {badges} needs a first line with the columns {columns}\n"


def test_a_replay_that_ends_early_reports_what_it_has_and_that_it_ended(folder: Path, tmp_path: Path):
    def damaged(at: Path) -> Iterator[Row]:
        yield next(with_pictures(at, ROWS))
        raise CaptureError("line 2 of requests.jsonl is damaged")

    html, junit = tmp_path / "report.html", tmp_path / "report.xml"
    ended = run(folder, "--html", str(html), "--junit", str(junit), rows=damaged)
    assert ended.exit_code == 2
    assert ended.stdout.endswith("1 same, 0 different, 0 not compared, 0 could not run\n")
    sentence = "The replay ended before the last line: line 2 of requests.jsonl is damaged"
    assert sentence in ended.stderr
    assert sentence in html.read_text("utf-8")
    assert ElementTree.parse(junit).getroot().get("errors") == "1"  # noqa: S314 - the test's own file


def test_an_interrupted_replay_reports_what_it_has(folder: Path, capsys: pytest.CaptureFixture[str]):
    def interrupted() -> Iterator[Row]:
        yield ROWS[0]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        report_rows(interrupted(), ReportOptions(), CaptureReader(folder))
    shown = capsys.readouterr()
    assert shown.out.endswith("1 same, 0 different, 0 not compared, 0 could not run\n")
    assert "it was interrupted" in shown.err


def test_a_replay_that_fails_at_once_reports_nothing_but_the_error(folder: Path):
    def failing(_: Path) -> Iterator[Row]:
        raise CaptureError("the networks are missing")
        yield

    ended = run(folder, rows=failing)
    assert (ended.exit_code, ended.stdout) == (2, "")


def test_a_badge_log_is_joined_up_to_the_damage_which_the_replay_reports(folder: Path, tmp_path: Path):
    badges = tmp_path / "badges.csv"
    badges.write_text("device_ip,time,identity_id\n10.0.0.1,1103,a\n10.0.0.1,1500,a\n")
    requests = folder / "requests.jsonl"
    lines = requests.read_bytes().splitlines(keepends=True)
    requests.write_bytes(b"".join([*lines[:4], lines[4].replace(b"1500", b"1501")]))

    def damaged(_: Path) -> Iterator[Row]:
        yield from ROWS[:4]
        raise CaptureError("line 5 of requests.jsonl is damaged")

    ended = run(folder, "--json", "--truth", str(badges), rows=damaged)
    assert ended.exit_code == 2
    truth = json.loads(ended.stdout.splitlines()[-1])["summary"]["truth"]
    assert (truth["matched_badges"], truth["unmatched_badges"]) == (1, 1)
