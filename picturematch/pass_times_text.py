"""Pass times as people write them, such as "mon-fri 08:00-18:00", and as the calls contain them. Pure."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from contract.errors import Refused
from contract.pass_times import read_pass_times

DAY_NAMES = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_EVERY_DAY = "daily"
_TEXT = re.compile(r"(\S+)\s+(\d\d:\d\d)\s*-\s*(\d\d:\d\d)")

WAYS = 'write days and times, such as "mon-fri 08:00-18:00", "sat,sun 10:00-14:00" or "daily 22:00-06:00"'


def parse_pass_time(text: str) -> Mapping[str, Any]:
    """Return the span of a weekly schedule that the text describes, as the calls contain it.

    >>> parse_pass_time("fri-sat 22:00-06:00")
    {'days': [5, 6], 'from': '22:00', 'to': '06:00'}

    Raises:
        ValueError: the text is not a span; the message gives the accepted forms.
    """
    found = _TEXT.fullmatch(text.strip().lower())
    days = _days(found[1]) if found else []
    if found is None or not days:
        raise ValueError(f"not a pass time; {WAYS}")
    span = {"days": days, "from": found[2], "to": found[3]}
    try:
        read_pass_times([span], "the pass time")
    except Refused as refused:
        raise ValueError(refused.message.replace("[0]", "", 1)) from refused
    return span


def pass_times_text(pass_times: Sequence[Mapping[str, Any]] | None) -> str:
    """Return a weekly schedule as text; "always" for no schedule."""
    if pass_times is None:
        return "always"
    return "; ".join(f"{_day_text(span['days'])} {span['from']}-{span['to']}" for span in pass_times)


def _days(text: str) -> list[int]:
    """Return the days that a text names, 1..7 in order; an empty list where it names something else."""
    if text == _EVERY_DAY:
        return list(range(1, 8))
    days: set[int] = set()
    for part in text.split(","):
        first, dash, last = part.partition("-")
        if first not in DAY_NAMES or (last or first) not in DAY_NAMES or bool(dash) != bool(last):
            return []
        begin, end = DAY_NAMES.index(first), DAY_NAMES.index(last or first)
        days.update(day % 7 + 1 for day in range(begin, end + (7 if end < begin else 0) + 1))
    return sorted(days)


def _day_text(days: Sequence[int]) -> str:
    """Return days as text: runs of three or more as first-last."""
    if len(set(days)) == len(DAY_NAMES):
        return _EVERY_DAY
    runs: list[list[int]] = []
    for day in sorted({int(day) for day in days}):
        if runs and runs[-1][-1] == day - 1:
            runs[-1].append(day)
        else:
            runs.append([day])
    return ",".join(_run(run) for run in runs)


def _run(days: Sequence[int]) -> str:
    names = [DAY_NAMES[day - 1] for day in days]
    return f"{names[0]}-{names[-1]}" if len(names) > 2 else ",".join(names)
