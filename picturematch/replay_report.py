"""The report of a replay as a command gives it: options, text or JSON lines, HTML and JUnit files, and exit status."""

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import Any, TypeVar, cast

import click
import msgspec

from capture.reader import CaptureReader
from capture.reporting.junit import JunitFile
from capture.reporting.kinds import KINDS, Kind
from capture.reporting.lines import row_line
from capture.reporting.page import MOST_PICTURE_BYTES, html_page
from capture.reporting.people import enrolled_among, photos_of
from capture.reporting.report import Report
from capture.reporting.thumbnails import Thumbnails
from capture.reporting.truth import Truth, join_badges, passages_of, read_badges
from capture.reporting.values import Findings, ReportedRow
from capture.rows import Row
from contract.files import half_written, sync_folder
from contract.operator_error import OperatorError
from contract.text import printable, printable_json
from picturematch.options import UserError
from picturematch.report_text import print_findings
from picturematch.shell import Span, Steps, progress

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class ReportOptions:
    """The options of a report. `fail_on`: the kinds of differences that give exit status 1; None: all kinds."""

    as_json: bool = False
    html: Path | None = None
    junit: Path | None = None
    truth: Path | None = None
    truth_window_s: float = 10.0
    fail_on: frozenset[Kind] | None = None


class _Kinds(click.ParamType[frozenset[Kind]]):
    """An option's kinds of differences, separated by commas."""

    name = "kinds"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> frozenset[Kind]:
        """Return the kinds that the text of an option names."""
        if isinstance(value, frozenset):
            return value
        named = {name.strip() for name in value.split(",")}
        unknown = sorted(named.difference(KINDS))
        if unknown:
            self.fail(f"{', '.join(unknown)}: no such kind of difference; there are {', '.join(KINDS)}", param, ctx)
        return frozenset(kind for kind in KINDS if kind in named)


_FILE = click.Path(dir_okay=False, path_type=Path)


def report_options(function: F) -> F:
    """The options of a report, which the command gets as the argument `report`, a `ReportOptions`."""

    @click.option("--json", "as_json", is_flag=True, help="One JSON object per line: the rows, then the summary.")
    @click.option(
        "--html", type=_FILE, help="Write the report as one HTML file with pictures, which opens from a mail."
    )
    @click.option("--junit", type=_FILE, help="Write the report as JUnit XML, one test case per line of the capture.")
    @click.option(
        "--truth",
        type=click.Path(exists=True, dir_okay=False, path_type=Path),
        help="Badge log (CSV: device_ip,time,identity_id,group): who passed, for the figures of recognition.",
    )
    @click.option(
        "--truth-window",
        "truth_window_s",
        type=Span(),
        default="10s",
        show_default=True,
        help="The longest time between a badge and its passage.",
    )
    @click.option(
        "--fail-on",
        type=_Kinds(),
        metavar="KIND,...",
        show_default="all kinds",
        help="The kinds of differences that give exit status 1, such as another_person,stranger_to_matched.",
    )
    @wraps(function)
    def with_report(*arguments: Any, **options: Any) -> Any:
        names = ("as_json", "html", "junit", "truth", "truth_window_s", "fail_on")
        report = ReportOptions(**{name: options.pop(name) for name in names})
        return function(*arguments, report=report, **options)

    return cast("F", with_report)


def report_rows(rows: Iterable[Row], options: ReportOptions, reader: CaptureReader, title: str = "capture") -> int:
    """Report the rows of a replay and return the exit status (docs/replay.md).

    Args:
        rows: the rows, in the order of lines.
        options: the options of the report.
        reader: the capture that is replayed.
        title: the name of the capture.

    Raises:
        UserError: the capture or the badge log cannot be read, or a file cannot be written.
    """
    with reporting(options, reader, title) as run:
        for row in rows:
            run.add(row)
    return run.exit_status


class Reporting:
    """A report that rows are added to while the replay runs; `reporting` yields it and writes it at the end."""

    def __init__(self, options: ReportOptions, report: Report, junit: JunitFile | None, steps: Steps) -> None:
        self._options, self._report, self._junit, self._steps = options, report, junit, steps

    @property
    def exit_status(self) -> int:
        """0: as recorded or expected. 1: differs, in a kind that fails. 2: a row, or all, could not be decided."""
        return self._report.exit_status(self._options.fail_on)

    def add(self, row: Row) -> None:
        """Add the next row, and print it if it is not the same."""
        reported = self._report.add(row)
        if self._junit is not None:
            self._junit.add(row, reported)
        if reported is not None and _is_printed(reported):
            if self._options.as_json:
                self._steps.print_line(_json(reported))
            else:
                self._steps.print_line(row_line(reported), problem=reported.status == "could_not_run")
        self._steps.step()


@contextmanager
def reporting(options: ReportOptions, reader: CaptureReader, title: str = "capture") -> Iterator[Reporting]:
    """Yield the report of a replay; at the end, also after an error, print its summary and write its files.

    Raises:
        UserError: as `report_rows`.
    """
    with ExitStack() as stack:
        with _as_user_errors():
            for file in (options.html, options.junit):
                _require_writable(file)
            truth = _truth(options, reader)
            listed = None if truth is None else _enrolled(reader, truth)
        report = Report(truth, None if listed is None else listed.__contains__)
        junit = None if options.junit is None else stack.enter_context(JunitFile(options.fail_on))
        stopped: str | None = "the program failed"
        try:
            with _as_user_errors(), progress("replaying", reader.count) as steps:
                yield Reporting(options, report, junit, steps)
            stopped = None
        except KeyboardInterrupt:
            stopped = "it was interrupted"
            raise
        except UserError as error:
            stopped = error.message
            raise
        finally:
            if stopped is None or report.rows:
                with _as_user_errors():
                    _write(options, reader, title, report, junit, report.findings(stopped))


def _write(
    options: ReportOptions,
    reader: CaptureReader,
    title: str,
    report: Report,
    junit: JunitFile | None,
    findings: Findings,
) -> None:
    if options.as_json:
        click.echo(_json({"summary": findings}))
    else:
        print_findings(findings)
    if options.junit is not None and junit is not None:
        _write_file(options.junit, junit.parts(title, findings))
    if options.html is not None:
        shown = report.shown()
        photos = {} if reader.manifest.photos == "none" else photos_of((line for _, line in reader.people()), shown)
        thumbnails = Thumbnails(reader.picture, photos, MOST_PICTURE_BYTES)
        _write_file(options.html, html_page(title, findings, shown, report.troubles(), thumbnails))


def _is_printed(row: ReportedRow) -> bool:
    """Return whether a row is of interest: it differs, could not be decided, or was decided only now."""
    return row.status != "not_compared" or (row.then is not None and row.now is not None)


def _json(value: Any) -> str:
    return printable_json(msgspec.json.encode(value)).decode()


def _truth(options: ReportOptions, reader: CaptureReader) -> Truth | None:
    if options.truth is None:
        return None
    return join_badges(read_badges(options.truth), passages_of(reader.lines()), options.truth_window_s)


def _enrolled(reader: CaptureReader, truth: Truth) -> frozenset[str] | None:
    """Return those people of the truth who are enrolled in the capture; None: the capture has no people."""
    if reader.manifest.people_from is None:
        return None
    wanted = frozenset(badge.identity_id for badge in truth.passages.values())
    return enrolled_among((line for _, line in reader.people()), wanted)


def _require_writable(file: Path | None) -> None:
    if file is not None and not (file.parent.is_dir() and os.access(file.parent, os.W_OK)):
        raise UserError(printable(f"{file} cannot be written: there is no folder {file.parent} that you may write to"))


def _write_file(file: Path, parts: Iterable[str]) -> None:
    """Write a file that only its owner can read, atomically: it may contain faces."""
    with half_written(file, b"") as half:
        with open(half, "a", encoding="utf-8") as out:  # noqa: PTH123 - half is the name of a file
            out.writelines(parts)
        Path(half).replace(file)
        sync_folder(file.parent)


@contextmanager
def _as_user_errors() -> Iterator[None]:
    try:
        yield
    except OperatorError as error:
        raise UserError(printable(str(error))) from error
    except OSError as error:
        raise UserError(printable(f"{error.filename or 'the report'}: {error.strerror or error}")) from error
