"""The rules of fields: a rule checks the value of a field, and describes the allowed values as a JSON Schema. Pure.

A rule checks any JSON value except null, since null means that the field is absent. The messages of a rule name the
field and repeat no part of the value.
"""

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from contract.errors import Cause, Code, Refused
from contract.requests import MAX_PICTURES
from contract.terms import CompareLevel
from contract.text import misleads

MISLEADING = "control characters, line separators or characters that turn the direction of writing"
MAX_FREE_OBJECT_BYTES = 64 * 1024
# Writers of MessagePack and JSON recurse; this depth is far below the limits of all of them.
MAX_FREE_OBJECT_DEPTH = 16
# No embedder in use has longer vectors; the processor checks the exact length.
MAX_FEATURE_LENGTH = 8192
# Larger numbers count as milliseconds: epoch seconds reach this number in the year 5138, milliseconds in 1973.
MILLISECONDS_FROM = 1e11
# Larger numbers are refused: as milliseconds this is the year 5138, and no clock is that wrong.
ABSURD_TIME = 1e14
MAX_NUMBER_CHARS = 64
_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")

# The vendor's cosines of these levels, which are valid for the vendor's network only; here they name the levels.
_LEVELS_BY_FIGURE: Mapping[float, CompareLevel] = {0.275: "high", 0.225: "middle", 0.175: "low"}
_LEVELS_BY_WORD: Mapping[str, CompareLevel] = {level: level for level in _LEVELS_BY_FIGURE.values()}

Schema = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """The type and the allowed values of a field.

    Attributes:
        word: the name of the type in documents.
        check: `check(value, field)` returns the value in the form that the system uses, or raises Refused with one of
            `codes`.
        schema: the allowed values as a JSON Schema.
        codes: the codes with which `check`, or a later check of the value in the ingress, refuses.
        empty_is_absent: whether the empty string means that the field is absent.
        of_query: converts the text in a URL's query to a value for `check`.
        several_in_query: whether a query may have the name several times; the texts are then passed as a JSON array.
    """

    word: str
    check: Callable[[Any, str], Any]
    schema: Schema
    codes: tuple[Code, ...] = (Code.PARAM_ERROR,)
    empty_is_absent: bool = True
    of_query: Callable[[str], Any] = str
    several_in_query: bool = False


def param_error(message: str, cause: Cause | None = None) -> Refused:
    """Return the refusal 40071 with a message that names the field."""
    return Refused(Code.PARAM_ERROR, message, cause)


def string(value: Any, field: str) -> str:
    """Return the value if it is a string.

    Raises:
        Refused: 40071: the value is not a string.
    """
    if not isinstance(value, str):
        raise param_error(f"{field} must be a string")
    return value


def whole(low: int, high: int) -> Rule:
    """Return the rule of a whole number from `low` to `high`; 80.0 counts as a whole number."""

    def check(value: Any, field: str) -> int:
        if isinstance(value, bool) or not isinstance(value, int | float) or value != value // 1:
            raise param_error(f"{field} must be a whole number")
        if not low <= value <= high:
            raise param_error(f"{field} must be from {low} to {high}")
        return int(value)

    def of_query(text: str) -> Any:
        return int(text) if text.isascii() and text.isdecimal() and len(text) <= len(str(high)) else text

    schema = {"type": "integer", "minimum": low, "maximum": high}
    return Rule(word="int", check=check, schema=schema, of_query=of_query)


def seconds() -> Rule:
    """Return the rule of a time in epoch seconds; a number of milliseconds is refused."""

    def check(value: Any, field: str) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < MILLISECONDS_FROM:
            raise param_error(
                f"{field} must be seconds since the epoch, a number from 0 to below {MILLISECONDS_FROM:.0e}"
            )
        return value

    schema = {"type": "number", "minimum": 0, "exclusiveMaximum": MILLISECONDS_FROM}
    return Rule(word="number", check=check, schema=schema)


def line(max_chars: int) -> Rule:
    """Return the rule of a string of at most `max_chars` characters without misleading ones (contract.text)."""

    def check(value: Any, field: str) -> str:
        text = string(value, field)
        if len(text) > max_chars:
            raise param_error(f"{field} must have at most {max_chars} characters")
        if misleads(text):
            raise param_error(f"{field} must not contain {MISLEADING}")
        return text

    return Rule(word="string", check=check, schema={"type": "string", "maxLength": max_chars})


def choice(*options: str) -> Rule:
    """Return the rule of a string that is one of the options."""

    def check(value: Any, field: str) -> str:
        if string(value, field) not in options:
            raise param_error(f"{field} must be one of {', '.join(options)}")
        return str(value)

    return Rule(word="string", check=check, schema={"type": "string", "enum": list(options)})


def free_object(**known: Rule) -> Rule:
    """Return the rule of an object that is stored unchanged, bounded in size and depth.

    `known`: the rules of those fields of the object that have one.
    """

    def check(value: Any, field: str) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise param_error(f"{field} must be an object")
        if not _within_depth(value, MAX_FREE_OBJECT_DEPTH):
            raise param_error(f"{field} is nested too deeply")
        if len(orjson.dumps(value)) > MAX_FREE_OBJECT_BYTES:
            raise param_error(f"{field} is larger than {MAX_FREE_OBJECT_BYTES} bytes")
        checked = {
            name: rule.check(value[name], f"{field}.{name}")
            for name, rule in known.items()
            if value.get(name) is not None
        }
        return {**checked, **{name: item for name, item in value.items() if name not in known}}

    codes = dict.fromkeys(code for rule in known.values() for code in rule.codes)
    properties = {name: rule.schema for name, rule in known.items()}
    return Rule(
        word="object",
        check=check,
        schema={"type": "object", **({"properties": properties} if properties else {})},
        codes=tuple({Code.PARAM_ERROR: None, **codes}),
        empty_is_absent=False,
    )


def _flag(value: Any, field: str) -> bool:
    if not isinstance(value, bool):
        raise Refused(Code.BOOLEAN_ARGUMENT_ERROR, f"{field} must be true or false")
    return value


def _picture(value: Any, field: str) -> str:
    if value == "":
        raise Refused(Code.IMAGE_ERROR, f"{field} is empty")
    return string(value, field)


def _pictures(value: Any, field: str) -> list[str]:
    if not isinstance(value, list) or not 1 <= len(value) <= MAX_PICTURES:
        raise param_error(f"{field} must be a list of 1 to {MAX_PICTURES} pictures in base64")
    return [_picture(item, f"{field}[{number}]") for number, item in enumerate(value)]


def _moment(value: Any, field: str) -> tuple[float, str | None]:
    number = number_in(value)
    if number is None or not 0 <= number < ABSURD_TIME:
        raise param_error(
            f"{field} must be seconds since the epoch, a number from 0 to below {MILLISECONDS_FROM:.0e}"
            f" (or milliseconds, below {ABSURD_TIME:.0e})"
        )
    raw = value.strip() if isinstance(value, str) else None
    if number >= MILLISECONDS_FROM:
        return number / 1000, raw or repr(value)
    # Adding zero converts minus zero to zero.
    return number + 0.0, raw


def _comparison_level(value: Any, field: str) -> CompareLevel:
    level = _LEVELS_BY_WORD.get(value) if isinstance(value, str) else None
    level = level or _LEVELS_BY_FIGURE.get(number_in(value) or 0.0)
    if level is None:
        figures = ", ".join(f"{name} ({figure})" for figure, name in _LEVELS_BY_FIGURE.items())
        raise param_error(f"{field} must be one of {figures}: the word or its figure")
    return level


def _feature(value: Any, field: str) -> tuple[float, ...]:
    error = Refused(Code.BAD_FEATURE_ERROR, f"{field} must be a list of 1 to {MAX_FEATURE_LENGTH} finite numbers")
    if not isinstance(value, list) or not 1 <= len(value) <= MAX_FEATURE_LENGTH:
        raise error
    if any(isinstance(item, bool) or not isinstance(item, int | float) for item in value):
        raise error
    feature = tuple(map(float, value))
    if not all(map(math.isfinite, feature)):
        raise error
    return feature


def _plain(value: Any, field: str) -> Any:
    if isinstance(value, str) and misleads(value):
        raise param_error(f"{field} must not contain {MISLEADING}")
    return value


def number_in(value: Any) -> float | None:
    """Return a number, or the number in a decimal text; None for any other value, including booleans."""
    if isinstance(value, str):
        text = value.strip()
        return float(text) if len(text) <= MAX_NUMBER_CHARS and _NUMBER.fullmatch(text) else None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value)


def _within_depth(value: Any, depth: int) -> bool:
    level = [value]
    for _ in range(depth):
        level = [
            child
            for parent in level
            for child in (parent.values() if isinstance(parent, dict) else parent)
            if isinstance(child, dict | list)
        ]
        if not level:
            return True
    return False


def texts(most: int, max_chars: int) -> Rule:
    """Return the rule of a list of 1 to `most` strings; in a query the name is repeated, or the text is JSON."""
    item = line(max_chars)

    def check(value: Any, field: str) -> tuple[str, ...]:
        if not isinstance(value, list) or not 1 <= len(value) <= most:
            raise param_error(f"{field} must be a list of 1 to {most} strings")
        return tuple(dict.fromkeys(item.check(entry, field) for entry in value))

    def of_query(text: str) -> Any:
        if not text.startswith("["):
            return [text]
        try:
            return orjson.loads(text)
        except orjson.JSONDecodeError:
            return text

    schema = {"type": "array", "items": item.schema, "minItems": 1, "maxItems": most}
    return Rule(word="list of string", check=check, schema=schema, of_query=of_query, several_in_query=True)


FLAG = Rule(
    word="boolean",
    check=_flag,
    schema={"type": "boolean"},
    codes=(Code.BOOLEAN_ARGUMENT_ERROR,),
    empty_is_absent=False,
    of_query=lambda text: {"true": True, "false": False}.get(text.lower(), text),
)
PICTURE = Rule(
    word="string",
    check=_picture,
    schema={"type": "string", "contentEncoding": "base64", "contentMediaType": "image/jpeg"},
    codes=(Code.PARAM_ERROR, Code.IMAGE_ERROR, Code.IMAGE_SIZE_TOO_LARGE_ERROR, Code.PAYLOAD_TOO_LARGE),
)
"""A picture as base64; the ingress decodes the text and checks the picture later."""
PICTURES = Rule(
    word="list of string",
    check=_pictures,
    schema={"type": "array", "items": PICTURE.schema, "minItems": 1, "maxItems": MAX_PICTURES},
    codes=PICTURE.codes,
    empty_is_absent=False,
)
"""Several pictures of one passage, each as base64."""
PICTURE_PATH = Rule(word="string", check=string, schema={"type": "string"}, codes=PICTURE.codes)
"""The path of a picture under one of `ingest.image_roots`; the ingress reads and checks the file later."""
MOMENT = Rule(word="number", check=_moment, schema={"type": ["number", "string"], "minimum": 0})
"""A time in seconds since the epoch; numeric strings and milliseconds are normalised. The checked value is a pair: the
seconds, and the value as it was sent where it was normalised, else None."""
COMPARISON_LEVEL = Rule(
    word="string or number", check=_comparison_level, schema={"enum": [*_LEVELS_BY_WORD, *_LEVELS_BY_FIGURE]}
)
"""A level of a comparison, by its word or by the vendor's figure for the level."""
FEATURE = Rule(
    word="list of number",
    check=_feature,
    schema={"type": "array", "items": {"type": "number"}, "minItems": 1, "maxItems": MAX_FEATURE_LENGTH},
    codes=(Code.BAD_FEATURE_ERROR,),
    empty_is_absent=False,
)
"""An embedding that is imported instead of computed from a photo."""
PLAIN = Rule(word="any", check=_plain, schema={}, empty_is_absent=False)
"""Any value; a string must not contain misleading characters (contract.text)."""
