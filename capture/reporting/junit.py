"""Writes a report as JUnit XML, as CI systems read it: one test case per line of the capture.

A differing row is a failure, unless its kind is not among those that fail; a row that could not be decided is an error;
a row that was not compared is skipped; a row with a remark has it in its output. A damaged capture, and a replay that
ended early, are one more test case with an error each. The counts come first in the file, so the test cases wait in a
temporary file.
"""

import tempfile
from collections.abc import Iterator
from types import TracebackType
from typing import Self
from xml.sax.saxutils import escape, quoteattr

from capture.reporting.kinds import KIND_WORDS, FailOn
from capture.reporting.lines import row_line
from capture.reporting.values import Findings, ReportedRow
from capture.rows import Row
from contract.text import printable

_IN_MEMORY = 4_000_000
_CHUNK = 1 << 20


class JunitFile:
    """The test cases of one report; it must be entered. `fail_on`: what fails, None for all kinds."""

    def __init__(self, fail_on: frozenset[FailOn] | None) -> None:
        self._fail_on = fail_on
        self._cases = tempfile.SpooledTemporaryFile(_IN_MEMORY, "w+", encoding="utf-8")  # noqa: SIM115 - see __exit__
        self._failures = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._cases.close()

    def add(self, row: Row, reported: ReportedRow | None) -> None:
        """Add the next row. `reported`: the row as the report shows it; None: nothing differs, nothing is to remark."""
        name = f"line {row.number} ({row.line.request_id})"
        device = row.line.request.device_ip or "no device"
        seconds = "" if row.latency_ms is None else f' time="{row.latency_ms / 1000:.3f}"'
        inside = "" if reported is None else self._result(reported)
        self._cases.write(
            f"<testcase classname={_attribute(device)} name={_attribute(name)}{seconds}>{inside}</testcase>\n"
        )

    def parts(self, title: str, findings: Findings) -> Iterator[str]:
        """Yield the parts of the file."""
        faults = [*_case("the replay reached the last line", "stopped", findings.stopped)]
        faults += _case("the capture is whole", "damage", "; ".join(findings.damage) or None)
        counts = (
            f'tests="{findings.rows + len(faults)}" failures="{self._failures}" '
            f'errors="{findings.could_not_run + len(faults)}" skipped="{findings.not_compared}"'
        )
        yield f'<?xml version="1.0" encoding="UTF-8"?>\n<testsuites {counts}>\n'
        yield f"<testsuite name={_attribute(title)} {counts}>\n"
        yield from faults
        self._cases.seek(0)
        while part := self._cases.read(_CHUNK):
            yield part
        yield "</testsuite>\n</testsuites>\n"

    def _result(self, row: ReportedRow) -> str:
        line = row_line(row)
        if row.status == "same":
            return _output(line)
        if row.kind is None:
            element, kind = ("error", "could_not_run") if row.status == "could_not_run" else ("skipped", row.status)
            return f"<{element} type={_attribute(kind)} message={_attribute(line)}/>"
        if not (self._fail_on is None or row.kind in self._fail_on or (row.opens and "opens" in self._fail_on)):
            return _output(line)
        self._failures += 1
        message = _attribute(f"{row.kind}: {KIND_WORDS[row.kind]}")
        return f"<failure type={_attribute(row.kind)} message={message}>{escape(printable(line))}</failure>"


def _case(name: str, kind: str, message: str | None) -> Iterator[str]:
    """Yield the test case of the whole replay that failed with a message; None: it did not fail."""
    if message is not None:
        error = f"<error type={_attribute(kind)} message={_attribute(message)}/>"
        yield f'<testcase classname="replay" name={_attribute(name)}>{error}</testcase>\n'


def _output(line: str) -> str:
    return f"<system-out>{escape(printable(line))}</system-out>"


def _attribute(text: str) -> str:
    return quoteattr(printable(text))
