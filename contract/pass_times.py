"""The weekly schedule of a permission: the times at which its people may pass. Pure.

A schedule is a list of spans, as in `info.pass_times` of a permission: `{"days": [1, 2], "from": "08:00",
"to": "18:00"}`. Days are numbered from 1 (Monday) to 7 (Sunday); times are local times of the site.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from contract.errors import Code, Refused

MAX_SPANS = 100
DAYS = 7
_DAY_MINUTES = 24 * 60
_TIME = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9])")
_KEYS = {"days", "from", "to"}


@dataclass(frozen=True, slots=True)
class PassSpan:
    """A span of time on some days of the week.

    `begin` is the first minute of the day that belongs to the span, `end` the first that does not. If `end` is not
    after `begin`, the span ends on the next day; it belongs to the day on which it begins.
    """

    days: frozenset[int]
    begin: int
    end: int

    def contains(self, weekday: int, minute: int) -> bool:
        """Return whether the span contains a minute (0..1439) of a weekday (1..7)."""
        if self.begin < self.end:
            return weekday in self.days and self.begin <= minute < self.end
        if minute >= self.begin:
            return weekday in self.days
        return minute < self.end and (weekday - 2) % DAYS + 1 in self.days


PassTimes = tuple[PassSpan, ...]


def permits(pass_times: PassTimes | None, weekday: int, minute: int) -> bool:
    """Return whether a schedule contains a minute (0..1439) of a weekday (1 is Monday); None is no schedule, and
    contains every minute."""
    return pass_times is None or any(span.contains(weekday, minute) for span in pass_times)


def pass_times_of(info: Mapping[str, Any]) -> PassTimes | None:
    """Return the schedule in the stored `info` of a permission; None: the permission has none.

    A schedule that cannot be read contains no minute.
    """
    value = info.get("pass_times")
    if value is None:
        return None
    try:
        return read_pass_times(value)
    except Refused:
        return ()


def read_pass_times(value: Any, field: str = "pass_times") -> PassTimes:
    """Return the schedule that a JSON value describes.

    Raises:
        Refused: 40071: the value is not a schedule; the message names the part of `field` that is wrong.
    """
    if not isinstance(value, list) or not 1 <= len(value) <= MAX_SPANS:
        raise _refused(field, f"must be a list of 1 to {MAX_SPANS} spans; null removes the schedule")
    return tuple(_span(span, f"{field}[{number}]") for number, span in enumerate(value))


def _span(value: Any, field: str) -> PassSpan:
    if not isinstance(value, dict) or value.keys() != _KEYS:
        raise _refused(field, "must be an object with days, from and to")
    span = PassSpan(
        _days(value["days"], f"{field}.days"),
        _minute(value["from"], f"{field}.from", 'from "00:00" to "23:59"'),
        _DAY_MINUTES if value["to"] == "24:00" else _minute(value["to"], f"{field}.to", 'from "00:00" to "24:00"'),
    )
    if span.begin == span.end:
        raise _refused(field, 'begins and ends at the same time; a whole day is from "00:00" to "24:00"')
    return span


def _days(value: Any, field: str) -> frozenset[int]:
    if not isinstance(value, list) or not 1 <= len(value) <= DAYS or not all(map(_is_day, value)):
        raise _refused(field, "must be a list of days from 1 (Monday) to 7 (Sunday)")
    return frozenset(map(int, value))


def _is_day(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value in range(1, DAYS + 1)


def _minute(value: Any, field: str, allowed: str) -> int:
    found = _TIME.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        raise _refused(field, f"must be a time {allowed}")
    return 60 * int(found[1]) + int(found[2])


def _refused(field: str, message: str) -> Refused:
    return Refused(Code.PARAM_ERROR, f"{field} {message}")
