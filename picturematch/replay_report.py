"""The report of a replay as a command gives it: options, text or JSON lines, HTML and JUnit files, and exit status."""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import Any, TypeVar, cast

import click
import msgspec

from capture.reader import CaptureReader
from capture.replaying.galleries import GalleryChoice
from capture.reporting.junit import JunitFile
from capture.reporting.kinds import KINDS, FailOn
from capture.reporting.lines import row_line
from capture.reporting.page import MOST_PICTURE_BYTES, html_page
from capture.reporting.people import Enrolled, photos_of
from capture.reporting.report import Report
from capture.reporting.sums import Known, SummingUp, Sums
from capture.reporting.thumbnails import Album, Thumbnails
from capture.reporting.truth import join_badges, passages_of, read_badges
from capture.reporting.values import Findings, ReportedRow
from capture.rows import Row, SameRows
from clients.enrol_list import Entry, find_entries
from clients.picture_file import UnusablePicture, read_picture
from contract.captures.values import CaptureError, CaptureLine
from contract.files import half_written, sync_folder
from contract.operator_error import OperatorError
from contract.pictures.digest import picture_digest
from contract.text import printable, printable_json
from picturematch.options import UserError
from picturematch.report_text import print_findings
from picturematch.shell import Span, Steps, progress

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class ReportOptions:
    """The options of a report. `fail_on`: the differences that give exit status 1; None: all kinds."""

    as_json: bool = False
    html: Path | None = None
    junit: Path | None = None
    truth: Path | None = None
    truth_window_s: float = 10.0
    fail_on: frozenset[FailOn] | None = None


REPORT_OPTIONS = tuple(ReportOptions.__dataclass_fields__)
"""The names of the options of a report."""


@dataclass(frozen=True, slots=True)
class PeopleNow:
    """The people that a replay searches, where they may be others than those of then.

    Attributes:
        choice: the people.
        reader: the capture that they are from, and that has their photos.
        added: the folder or list of the people who were added; None: nobody was.
    """

    choice: GalleryChoice
    reader: CaptureReader
    added: Path | None = None

    def enrolled(self) -> tuple[Enrolled | None, Enrolled]:
        """Return who is enrolled among the people of then, None where they are not known, and among those of now."""
        then, now = self.choice.then, self.choice.now
        before = None if then is None else Enrolled(then.records, then.first)
        return before, before if before is not None and now is then else Enrolled(now.records, now.first)

    def album(self, shown: Sequence[ReportedRow]) -> Album:
        """Return the photos of the candidates in rows, those of added people from their files."""
        added = _added_photos(self.added)

        def picture(sha256: str) -> bytes:
            return read_picture(added[sha256]) if sha256 in added else self.reader.picture(sha256)

        has_photos = self.reader.manifest.photos != "none" or added
        return Album(picture, photos_of(self.choice.now.records if has_photos else (), shown, added))


def _added_photos(source: Path | None) -> dict[str, Path]:
    """Return the files of the photos of added people by their sha256; files that cannot be read are left out."""
    found: dict[str, Path] = {}
    for entry in () if source is None else find_entries(source):
        if isinstance(entry, Entry) and entry.photo is not None:
            with suppress(UnusablePicture, OSError):
                found[picture_digest(read_picture(entry.photo))] = entry.photo
    return found


_FAIL_ON: tuple[FailOn, ...] = ("opens", *KINDS)


class _Kinds(click.ParamType[frozenset[FailOn]]):
    """An option's kinds of differences, or `opens`, separated by commas."""

    name = "kinds"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> frozenset[FailOn]:
        """Return the kinds that the text of an option names."""
        if isinstance(value, frozenset):
            return value
        named = {name.strip() for name in value.split(",")}
        unknown = sorted(named.difference(_FAIL_ON))
        if unknown:
            self.fail(f"{', '.join(unknown)}: no such kind of difference; there are {', '.join(_FAIL_ON)}", param, ctx)
        return frozenset(kind for kind in _FAIL_ON if kind in named)


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
        help="Only these kinds give exit status 1. `opens` means every row in which a door would open that stayed "
        "closed.",
    )
    @wraps(function)
    def with_report(*arguments: Any, **options: Any) -> Any:
        report = ReportOptions(**{name: options.pop(name) for name in REPORT_OPTIONS})
        return function(*arguments, report=report, **options)

    return cast("F", with_report)


class Reporting:
    """A report that rows are added to while the replay runs; `reporting` yields it and writes it at the end."""

    def __init__(
        self, options: ReportOptions, report: Report, junit: JunitFile | None, steps: Steps, *, prints_rows: bool
    ) -> None:
        self._options, self._report, self._junit, self._steps = options, report, junit, steps
        self._prints_rows = prints_rows

    @property
    def exit_status(self) -> int:
        """0: as recorded or expected. 1: differs, in a kind that fails. 2: a row, or all, could not be decided."""
        return self._report.exit_status(self._options.fail_on)

    @property
    def summing(self) -> SummingUp | None:
        """Adds rows up for `add`; None: every row must be added alone."""
        return self._report.summing if self._junit is None else None

    def add(self, row: Row | SameRows[Sums]) -> None:
        """Add the next row, and print it if it is of interest; or add rows that are the same."""
        if isinstance(row, SameRows):
            self._report.add_same(row)
            self._steps.step(row.count)
            return
        reported = self._report.add(row)
        if self._junit is not None:
            self._junit.add(row, reported)
        as_json = self._options.as_json
        if self._prints_rows and reported is not None and _is_printed(reported, as_json=as_json):
            if as_json:
                self._steps.print_line(_json(reported))
            else:
                self._steps.print_line(row_line(reported), problem=reported.status == "could_not_run")
        self._steps.step()


@contextmanager
def reporting(
    options: ReportOptions,
    reader: CaptureReader,
    title: str = "capture",
    now: PeopleNow | None = None,
    *,
    prints_rows: bool = True,
) -> Iterator[Reporting]:
    """Yield the report of a replay; at the end, also after an error, print its summary and write its files.

    Args:
        options: the options of the report.
        reader: the capture that is replayed.
        title: the name of the capture.
        now: the people that are searched; None: a server searches its own.
        prints_rows: whether rows of interest are printed one by one, before the summary.

    Raises:
        UserError: the capture or the badge log cannot be read, or a file cannot be written.
    """
    with ExitStack() as stack:
        report = _empty_report(options, reader, now)
        junit = None if options.junit is None else stack.enter_context(JunitFile(options.fail_on))
        stopped: str | None = "the program failed"
        try:
            with _as_user_errors(), progress("replaying", reader.count) as steps:
                yield Reporting(options, report, junit, steps, prints_rows=prints_rows)
            stopped = None
        except KeyboardInterrupt:
            stopped = "it was interrupted"
            raise
        except UserError as error:
            stopped = error.message
            raise
        finally:
            if stopped is None or report.rows:
                findings = report.findings(stopped, reader.damage)
                _print(options, findings)
                with _as_user_errors():
                    if options.junit is not None and junit is not None:
                        _write_file(options.junit, junit.parts(title, findings))
                    if options.html is not None:
                        _write_file(options.html, _page(title, findings, report, reader, now))


def _print(options: ReportOptions, findings: Findings) -> None:
    if options.as_json:
        click.echo(_json({"summary": findings}))
    else:
        print_findings(findings)


def _page(
    title: str, findings: Findings, report: Report, reader: CaptureReader, now: PeopleNow | None
) -> Iterator[str]:
    shown = report.shown()
    then = _album(reader, shown)
    searched = then if now is None else now.album(shown)
    return html_page(title, findings, shown, report.troubles(), Thumbnails(then, searched, MOST_PICTURE_BYTES))


def _album(reader: CaptureReader, shown: Sequence[ReportedRow]) -> Album:
    people = () if reader.manifest.photos == "none" else (line for _, line in reader.people())
    return Album(reader.picture, photos_of(people, shown))


def _is_printed(row: ReportedRow, *, as_json: bool) -> bool:
    """Return whether a row is of interest: it differs, could not be decided, or was decided only now.

    The text counts rows with a remark, which can be all rows; the JSON has every one of them.
    """
    if as_json and row.remark is not None:
        return True
    if row.status == "not_compared":
        return row.then is not None and row.now is not None
    return row.status != "same"


def _json(value: Any) -> str:
    return printable_json(msgspec.json.encode(value)).decode()


def _empty_report(options: ReportOptions, reader: CaptureReader, now: PeopleNow | None) -> Report:
    """Return a report without rows that knows the truth.

    Raises:
        UserError: the badge log or the capture cannot be read, or a file of the report could not be written.
    """
    with _as_user_errors():
        for file in (options.html, options.junit):
            _require_writable(file)
        truth = None
        if options.truth is not None:
            badges, lines = read_badges(options.truth), _up_to_damage(reader.lines())
            truth = join_badges(badges, passages_of(lines), options.truth_window_s)
        enrolled, enrolled_now = (_enrolled(reader),) * 2 if now is None else now.enrolled()
    known = Known({} if truth is None else truth.passages, enrolled, enrolled_now)
    return Report(known, None if truth is None else truth.counts)


def _up_to_damage(lines: Iterable[tuple[int, CaptureLine]]) -> Iterator[tuple[int, CaptureLine]]:
    """Yield the lines before the first damaged one, which the replay itself reports."""
    with suppress(CaptureError):
        yield from lines


def _enrolled(reader: CaptureReader) -> Enrolled | None:
    first = reader.manifest.people_from
    return None if first is None else Enrolled((line for _, line in reader.people()), first)


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
