"""Who passed: joins a badge log with the requests of a capture, by door and time. Pure, except for `read_badges`.

A badge is one line of the log: somebody showed a badge, or another means, at a door. A passage is one request of a
capture that names a door and a time. The rules:

1. Every badge belongs to the nearest passage at its door, if both times differ by at most the window; of two passages
   that are equally near, to the one whose line comes first.
2. A passage to which badges of one identity belong shows that identity.
3. A passage to which badges of several identities belong is ambiguous, and its truth remains unknown.

So a badge counts for one passage: of several pictures of one person only the nearest has a known truth, and nothing is
known about people who showed no badge.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path

from capture.reporting.values import TruthCounts
from clients.csv_rows import csv_rows
from clients.errors import CannotRun
from contract.addresses import canonical_address
from contract.captures.values import STRANGER_MARK, CaptureError, CaptureLine
from contract.when import parse_when

COLUMNS = ("device_ip", "time", "identity_id", "group")
"""The columns of a badge log, in any order; the last one may be missing, and others are ignored. The identity `-` means
a stranger: somebody who is known not to be enrolled, such as a visitor whom a guard let in."""


@dataclass(frozen=True, slots=True)
class Badge:
    """One line of a badge log. `time`: epoch seconds. `identity_id`: "" for a stranger."""

    device_ip: str
    time: float
    identity_id: str
    group: str | None = None


@dataclass(frozen=True, slots=True)
class Passage:
    """One request of a capture: the number of its line, its door, and its time in epoch seconds."""

    number: int
    device_ip: str
    time: float


@dataclass(frozen=True, slots=True)
class Truth:
    """The badges by the number of the line whose passage they belong to, and the counts of the join."""

    passages: Mapping[int, Badge]
    counts: TruthCounts


def passages_of(lines: Iterable[tuple[int, CaptureLine]]) -> Iterator[Passage]:
    """Yield the requests of a capture that name a door and a time."""
    for number, line in lines:
        time = line.request.compare_time if line.received_time is None else line.received_time
        if line.request.device_ip is not None and time is not None:
            yield Passage(number, canonical_address(line.request.device_ip), time)


def join_badges(badges: Iterable[Badge], passages: Iterable[Passage], window_s: float) -> Truth:
    """Return which badges belong to which passages. The memory grows with the badges, not with the passages."""
    ordered = sorted(badges, key=attrgetter("device_ip", "time"))
    keys = [(badge.device_ip, badge.time) for badge in ordered]
    nearest: list[tuple[float, int] | None] = [None] * len(ordered)  # distance in seconds, and number of the passage
    count = 0
    for passage in passages:
        count += 1
        first = bisect_left(keys, (passage.device_ip, passage.time - window_s))
        behind = bisect_right(keys, (passage.device_ip, passage.time + window_s))
        for place in range(first, behind):
            found = (abs(ordered[place].time - passage.time), passage.number)
            best = nearest[place]
            if best is None or found < best:
                nearest[place] = found
    return _joined(ordered, [None if found is None else found[1] for found in nearest], count)


def _joined(badges: list[Badge], belongs_to: list[int | None], passages: int) -> Truth:
    by_passage: dict[int, list[Badge]] = {}
    for badge, number in zip(badges, belongs_to, strict=True):
        if number is not None:
            by_passage.setdefault(number, []).append(badge)
    known = {n: found[0] for n, found in by_passage.items() if len({badge.identity_id for badge in found}) == 1}
    clear, near = (sum(len(by_passage[n]) for n in numbers) for numbers in (known, by_passage))
    return Truth(
        known,
        TruthCounts(
            badges=len(badges),
            matched_badges=clear,
            ambiguous_badges=near - clear,
            unmatched_badges=len(badges) - near,
            passages=passages,
            matched_passages=len(known),
            ambiguous_passages=len(by_passage) - len(known),
            unmatched_passages=passages - len(by_passage),
        ),
    )


def read_badges(path: Path) -> list[Badge]:
    """Return the badges of a CSV file in UTF-8, whose first line names `COLUMNS`.

    Times are epoch seconds or ISO 8601.

    Raises:
        CaptureError: the file is no such list; the message names the line and the reason.
    """
    try:
        return [_badge(f"line {row.line} of {path}", row.cells) for row in csv_rows(path, COLUMNS[:3], COLUMNS[3:])]
    except CannotRun as error:
        raise CaptureError(str(error)) from error


def _badge(where: str, row: Mapping[str, str]) -> Badge:
    door, time, identity, group = (row.get(column, "") for column in COLUMNS)
    if not door or not identity:
        raise CaptureError(f"{where}: device_ip or identity_id is empty; write - as the identity_id of a stranger")
    try:
        seconds = parse_when(time)
    except ValueError as error:
        raise CaptureError(f"{where}: time is {error}") from error
    return Badge(canonical_address(door), seconds, "" if identity == STRANGER_MARK else identity, group or None)
