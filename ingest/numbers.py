"""Numbers that clients send as numbers or as text, and the time of a comparison. Pure."""

import re
from typing import Any

from ingest.fields import param_error

# Epoch seconds reach this in the year 5138, epoch milliseconds did in 1973.
MILLISECONDS_FROM = 1e11
# As milliseconds the year 5138 again: no clock is that wrong.
ABSURD_TIME = 1e14
MAX_NUMBER_CHARS = 64

_TIMES = f"a number from 0 to below {MILLISECONDS_FROM:.0e} (or milliseconds, below {ABSURD_TIME:.0e})"

_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")


def number_of(value: Any) -> float | None:
    """A number, or a decimal number as text; None for anything else, booleans included."""
    if isinstance(value, str):
        text = value.strip()
        return float(text) if len(text) <= MAX_NUMBER_CHARS and _NUMBER.fullmatch(text) else None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value)


def compare_time(value: Any, received_time_s: float) -> tuple[float, str | None]:
    """Seconds since the epoch, and the value as it was sent where it had to be normalised.

    Raises:
        Refused: 40071.
    """
    if value is None:
        return received_time_s, None
    number = number_of(value)
    if number is None or not 0 <= number < ABSURD_TIME:
        raise param_error(f"compare_time must be seconds since the epoch, {_TIMES}")
    raw = value.strip() if isinstance(value, str) else None
    if number >= MILLISECONDS_FROM:
        return number / 1000, raw or repr(value)
    # Adding zero turns a minus zero into zero.
    return number + 0.0, raw
