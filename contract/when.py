"""Parses times and spans of time as people write them: epoch seconds, ISO 8601, or a span before the present."""

import math
import re
from datetime import UTC, datetime

_AGO = re.compile(r"(\d{1,9}(?:\.\d{1,9})?)\s*([smhdw])", re.ASCII)
_SECONDS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
_LATEST_S = 253402300800.0  # the beginning of the year 10000, which datetime cannot represent

WAYS = "epoch seconds, ISO 8601 (UTC where no zone is given), or 30s, 10m, 2h, 1d ago"


def parse_when(text: str, now_s: float | None = None) -> float:
    """Return the time that the text names, in seconds since the epoch.

    A span such as "10m" is subtracted from `now_s`; where `now_s` is None only absolute times are accepted.

    >>> parse_when("1700000000.5")
    1700000000.5
    >>> parse_when("2023-11-14T22:13:20Z")
    1700000000.0
    >>> parse_when("10m", now_s=1000.0)
    400.0

    Raises:
        ValueError: the text is not a time; the message lists the accepted forms.
    """
    text = text.strip()
    if now_s is not None and (ago := _AGO.fullmatch(text.removesuffix("ago").rstrip())):
        return now_s - float(ago[1]) * _SECONDS[ago[2]]
    seconds = _absolute(text)
    if seconds is None or not math.isfinite(seconds) or not 0 <= seconds < _LATEST_S:
        ways = WAYS if now_s is not None else "epoch seconds or ISO 8601 (UTC where no zone is given)"
        raise ValueError(f"not a time; write {ways}")
    return seconds


def parse_span(text: str) -> float:
    """Return a span of time in seconds, from a number of seconds or a number with a unit (s, m, h, d, w).

    >>> parse_span("90"), parse_span("1.5h")
    (90.0, 5400.0)

    Raises:
        ValueError: the text is not a span of time; the message lists the accepted forms.
    """
    span = _AGO.fullmatch(text.strip()) or _AGO.fullmatch(text.strip() + "s")
    if span is None:
        raise ValueError("not a span of time; write seconds, or 30s, 10m, 2h, 1d")
    return float(span[1]) * _SECONDS[span[2]]


def _absolute(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        pass
    try:
        when = datetime.fromisoformat(text)
    except ValueError:
        return None
    return (when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp()
