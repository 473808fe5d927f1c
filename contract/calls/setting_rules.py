"""The rules of the values of the site's settings. Pure.

Clients of the vendor send some values as text where the type is another: a number, or a list with commas.
"""

import re
from typing import Any
from urllib.parse import urlsplit

import orjson

from contract.calls.rules import Rule, number_in, param_error

MAX_EVENT_URLS = 10
MAX_URL_CHARS = 2048
HIGHEST_SCORE = 100.0
_URL = re.compile(r"[!-\[\]-~]+")
"""Printable ASCII without blanks and backslashes, which parsers of URLs read differently."""
_HOST = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_.-]*[A-Za-z0-9_])?|[0-9A-Fa-f:.]+")


def _score(value: Any, field: str) -> float:
    number = number_in(value)
    if number is None or not 0.0 < number < HIGHEST_SCORE:
        raise param_error(f"{field} must be a number above 0 and below {HIGHEST_SCORE:g}")
    return number


def _score_range(value: Any, field: str) -> tuple[float, ...]:
    items = value.split(",") if isinstance(value, str) else value
    numbers = tuple(map(number_in, items)) if isinstance(items, list | tuple) and len(items) == 3 else ()
    known = tuple(number for number in numbers if number is not None)
    if len(known) != 3 or not 0.0 <= known[0] < known[1] < known[2] <= HIGHEST_SCORE:
        raise param_error(f"{field} must be three rising numbers from 0 to {HIGHEST_SCORE:g}")
    return known


def _event_urls(value: Any, field: str) -> tuple[str, ...]:
    items = [item for item in value.split(",") if item] if isinstance(value, str) else value
    if not isinstance(items, list | tuple) or len(items) > MAX_EVENT_URLS:
        raise param_error(f"{field} must be a list of at most {MAX_EVENT_URLS} URLs")
    for item in items:
        if not isinstance(item, str) or not _is_event_url(item):
            raise param_error(
                f"{field} must contain URLs such as http://192.168.1.100:9828/path, each without a user name and"
                f" without a comma, of at most {MAX_URL_CHARS} characters"
            )
    return tuple(dict.fromkeys(items))


def _is_event_url(text: str) -> bool:
    if len(text) > MAX_URL_CHARS or "," in text or not _URL.fullmatch(text):
        return False
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        return False
    return (
        parts.scheme in {"http", "https"}
        and _HOST.fullmatch(parts.hostname or "") is not None
        and "@" not in parts.netloc
        and port != 0
        and not parts.fragment
    )


def _urls_of_text(text: str) -> Any:
    """Return the list in a text that is a JSON list, and any other text unchanged."""
    try:
        return orjson.loads(text) if text.startswith("[") else text
    except orjson.JSONDecodeError:
        return text


def one_of(*numbers: int) -> Rule:
    """Return the rule of a whole number that is one of these; a numeric string is accepted."""

    def check(value: Any, field: str) -> int:
        number = number_in(value)
        if number is None or number not in numbers:
            raise param_error(f"{field} must be one of {', '.join(map(str, numbers))}")
        return int(number)

    return Rule(word="int", check=check, schema={"type": "integer", "enum": list(numbers)})


SCORE = Rule(
    word="number",
    check=_score,
    schema={"type": ["number", "string"], "exclusiveMinimum": 0, "exclusiveMaximum": HIGHEST_SCORE},
)
"""A score on the percent scale; a numeric string is accepted."""
SCORE_RANGE = Rule(
    word="list of number",
    check=_score_range,
    schema={"type": "array", "items": {"type": "number"}, "minItems": 3, "maxItems": 3},
    empty_is_absent=False,
)
"""The three scores that the cosines 0, the threshold and 1 get; a text with commas is accepted."""
EVENT_URLS = Rule(
    word="list of string",
    check=_event_urls,
    schema={"type": "array", "items": {"type": "string", "maxLength": MAX_URL_CHARS}, "maxItems": MAX_EVENT_URLS},
    empty_is_absent=False,
    of_query=_urls_of_text,
)
"""The URLs that events are sent to; a text with commas is accepted. An equal URL counts once."""
