"""Prints the explanation of a decision: as tables on a terminal, and as plain aligned lines elsewhere."""

import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import click
import msgspec

from capture.explaining.values import Check, Explanation, Flip, Nearest, Seen
from capture.reporting.tables import Table
from contract.people.keys import MEAN_FACE
from contract.text import printable
from picturematch.report_text import print_table

_NONE = "-"


def as_builtins(explanation: Explanation) -> dict[str, Any]:
    """Return an explanation as values of JSON; `alarm` is whether the decision comes out differently."""
    values: dict[str, Any] = msgspec.to_builtins(explanation)
    return {"alarm": bool(explanation.alarms), **values}


def print_explanation(explanation: Explanation) -> None:
    """Print an explanation; an alarm comes first."""
    for line in _alarm_lines(explanation):
        click.secho(printable(line), fg="red" if sys.stdout.isatty() else None)
    for line in _lines(explanation):
        click.echo(printable(line))
    for table in _tables(explanation):
        print_table(table)
    for line in _flip_lines(explanation):
        click.echo(printable(line))


def _alarm_lines(explanation: Explanation) -> Iterator[str]:
    if not explanation.alarms:
        return
    yield "ALARM: the decision comes out differently than it was recorded. Either the log was changed after the"
    yield "decision, or this release, its networks or its settings decide differently."
    for alarm in explanation.alarms:
        yield f"  {alarm.what}: {_value(alarm.then)} was recorded, and now it is {_value(alarm.now)}"
    yield ""


def _lines(explanation: Explanation) -> Iterator[str]:
    at = "" if explanation.decided_time is None else f", decided {_moment(explanation.decided_time)}"
    device = "" if explanation.device_ip is None else f", device {explanation.device_ip}"
    version = "" if explanation.gallery_version is None else f", gallery version {explanation.gallery_version}"
    yield f"{explanation.kind} {explanation.event_id}{at}{device}{version}"
    yield ""
    yield from explanation.sentences
    for gone in explanation.gone:
        since = "" if gone.since_s is None else f" Since {_moment(gone.since_s)}."
        yield f"{gone.sentence}{since}"
    if explanation.seen is not None:
        yield _seen_line(explanation.seen)
    yield ""


def _seen_line(seen: Seen) -> str:
    picture = ""
    if seen.picture is not None:
        size = seen.picture
        pixels = "" if size.width is None else f", {size.width} x {size.height} px"
        picture = f"the picture has {size.bytes} bytes{pixels}; "
    return f"Seen: {picture}{seen.used}."


def _tables(explanation: Explanation) -> Iterator[Table]:
    if explanation.checks:
        rows = tuple(map(_check_row, explanation.checks))
        words = "in the order in which they are made; a vote does not decide alone"
        yield Table("Checks", words, ("check", "passed", "at", "why"), rows, 0)
    if explanation.candidates:
        rows = tuple(map(_candidate_row, explanation.candidates))
        words = "the most similar people of the scope; the margin is the cosine less the threshold"
        columns = ("person", "face", "cosine", "score", "margin", "name")
        yield Table("Nearest people", words, columns, rows, 4)


def _check_row(check: Check) -> tuple[str, ...]:
    return check.name, "yes" if check.passed else "NO", check.stage, check.sentence


def _candidate_row(nearest: Nearest) -> tuple[str, ...]:
    return (
        nearest.identity_id,
        _face(nearest),
        f"{nearest.cosine:.4f}",
        _NONE if nearest.score is None else f"{nearest.score:.4f}",
        _NONE if nearest.margin is None else f"{nearest.margin:+.4f}",
        nearest.name or _NONE,
    )


def _face(nearest: Nearest) -> str:
    if nearest.number != MEAN_FACE:
        return str(nearest.number)
    return "mean" if nearest.mean_of is None else f"mean of {nearest.mean_of}"


def _flip_lines(explanation: Explanation) -> Iterator[str]:
    if explanation.flips:
        yield "Single changes that lead to another outcome (each was tried by deciding again):"
        for flip in explanation.flips:
            yield f"  {flip.change}: {flip.outcome}{_who(flip)}"
    if explanation.no_flip is not None:
        yield explanation.no_flip


def _who(flip: Flip) -> str:
    if not flip.identity_id:
        return ""
    return f", {flip.name} ({flip.identity_id})" if flip.name else f", {flip.identity_id}"


def _value(value: str | float | None) -> str:
    return "nothing" if value is None else str(value)


def _moment(time_s: float) -> str:
    try:
        return f"{datetime.fromtimestamp(time_s, UTC):%Y-%m-%d %H:%M:%S} UTC"
    except (OverflowError, ValueError, OSError):
        return f"{time_s:g} s since 1970"
