"""From the bytes of a JSON body to checked fields. Pure.

A JSON null is an absent field. Of a key that comes twice the last value counts. Messages name fields, never values.
"""

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from typing import Any, cast

import orjson

from contract.errors import Code, Refused
from contract.terms import QualityLevel
from contract.text import misleads

BOM = b"\xef\xbb\xbf"
_WHITE_SPACE = b" \t\r\n"

MISLEADING = "control characters, line separators or characters that turn the direction of writing"
QUALITY_LEVELS: tuple[QualityLevel, ...] = ("high", "middle", "low", "custom", "no")
MAX_GROUP_NAME_CHARS = 64
MAX_FREE_OBJECT_BYTES = 64 * 1024
# MessagePack and JSON writers recurse; far below what any of them bears.
MAX_FREE_OBJECT_DEPTH = 16


def bad_request(message: str) -> Refused:
    """40000."""
    return Refused(Code.BAD_REQUEST, message)


def param_error(message: str) -> Refused:
    """40071; the message names the field."""
    return Refused(Code.PARAM_ERROR, message)


def group_error(message: str) -> Refused:
    """40012."""
    return Refused(Code.GROUP_NAME_ERROR, message)


def check_content_type(content_type: str | None, *, typeless_is_json: bool) -> None:
    """It must be JSON in UTF-8. Whether a missing one is taken for that depends on the call: pages of any origin may
    post a body without one, so no call that changes people takes it.

    Raises:
        Refused: 40001.
    """
    if content_type is None or not content_type.strip():
        if typeless_is_json:
            return
        raise Refused(Code.UNSUPPORT_CONTENT_TYPE, "the content type is missing: set Content-Type: application/json")
    media_type, *parameters = (part.strip().lower() for part in content_type.split(";"))
    is_json = media_type in {"application/json", "text/json"} or (
        media_type.startswith("application/") and media_type.endswith("+json")
    )
    if not is_json:
        hint = " (with curl -d, add -H 'Content-Type: application/json')" if "urlencoded" in media_type else ""
        raise Refused(Code.UNSUPPORT_CONTENT_TYPE, f"the body must be JSON: set Content-Type: application/json{hint}")
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip() == "charset" and value.strip().strip("\"'") not in {"utf-8", "utf8", "us-ascii"}:
            raise Refused(Code.UNSUPPORT_CONTENT_TYPE, "the body must be JSON in UTF-8")


def read_object(body: bytes | bytearray, max_values: int) -> dict[str, Any]:
    """The JSON object of a body. A UTF-8 byte order mark before it is skipped.

    Raises:
        Refused: 40002 for an empty body, 40000 for anything that is not a JSON object of at most about
            `max_values` values.
    """
    if body.startswith(BOM):
        body = body[len(BOM) :]
    # A picture of megabytes must not be copied to learn that it is not empty.
    if not body or (not body[:64].strip(_WHITE_SPACE) and not body.strip(_WHITE_SPACE)):
        raise Refused(Code.EMPTY_REQUEST_JSON, "the body is empty; send a JSON object")
    # Each value beyond the first needs a comma (nesting is limited by the parser), and base64 holds none.
    if body.count(b",") > max_values:
        raise bad_request("the body holds more values than any request needs")
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise bad_request("the body is not valid JSON in UTF-8") from None
    if not isinstance(document, dict):
        raise bad_request("the body must be a JSON object")
    return document


class Fields:
    """The fields of one JSON object, each taken out by the rule of its type.

    `place` is the name of the object inside the body ("info"), or empty for the body itself.
    """

    def __init__(self, values: Mapping[str, Any], place: str = "") -> None:
        self._values = values
        self._prefix = f"{place}." if place else ""

    def unknown(self, known: AbstractSet[str]) -> int:
        """How many fields no rule knows."""
        return sum(1 for name in self._values if name not in known)

    def name(self, field: str) -> str:
        """The field's name as messages say it."""
        return self._prefix + field

    def raw(self, field: str) -> Any:
        """The value as it came; None when absent."""
        return self._values.get(field)

    def flag(self, field: str, *, default: bool = False) -> bool:
        """A boolean; absent is `default`.

        Raises:
            Refused: 40005.
        """
        value = self._values.get(field)
        if value is None:
            return default
        if not isinstance(value, bool):
            raise Refused(Code.BOOLEAN_ARGUMENT_ERROR, f"{self.name(field)} must be true or false")
        return value

    def text(self, field: str) -> str | None:
        """A string of any content.

        Raises:
            Refused: 40071.
        """
        value = self._values.get(field)
        if value is not None and not isinstance(value, str):
            raise param_error(f"{self.name(field)} must be a string")
        return value

    def line(self, field: str, max_chars: int, min_chars: int = 0) -> str | None:
        """A string of a bounded length, without the characters that mislead (contract.text).

        Raises:
            Refused: 40071.
        """
        value = self.text(field)
        if value is None:
            return None
        if not min_chars <= len(value) <= max_chars:
            raise param_error(f"{self.name(field)} must have {min_chars} to {max_chars} characters")
        if misleads(value):
            raise param_error(f"{self.name(field)} must not hold {MISLEADING}")
        return value

    def choice(self, field: str, options: tuple[str, ...]) -> str | None:
        """One of the strings.

        Raises:
            Refused: 40071.
        """
        value = self.text(field)
        if value is not None and value not in options:
            raise param_error(f"{self.name(field)} must be one of {', '.join(options)}")
        return value

    def quality_level(self, field: str) -> QualityLevel | None:
        """A quality level.

        Raises:
            Refused: 40071.
        """
        return cast("QualityLevel | None", self.choice(field, QUALITY_LEVELS))

    def whole(self, field: str, low: int, high: int) -> int | None:
        """A whole number within the limits; 80.0 is one.

        Raises:
            Refused: 40071.
        """
        value = self._values.get(field)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int | float) or value != value // 1:
            raise param_error(f"{self.name(field)} must be a whole number")
        if not low <= value <= high:
            raise param_error(f"{self.name(field)} must be from {low} to {high}")
        return int(value)

    def free_object(self, field: str) -> dict[str, Any] | None:
        """An object that is kept as it came, bounded in size and depth.

        Raises:
            Refused: 40071.
        """
        value = self._values.get(field)
        if value is None:
            return None
        if not isinstance(value, dict):
            raise param_error(f"{self.name(field)} must be an object")
        if not _within_depth(value, MAX_FREE_OBJECT_DEPTH):
            raise param_error(f"{self.name(field)} is nested too deeply")
        if len(orjson.dumps(value)) > MAX_FREE_OBJECT_BYTES:
            raise param_error(f"{self.name(field)} is larger than {MAX_FREE_OBJECT_BYTES} bytes")
        return value

    def scope_name(self, field: str) -> str | None:
        """The name of one group or permission, without the blanks around it.

        Raises:
            Refused: 40012 for a malformed one, 40071 when it is not a string.
        """
        value = self.text(field)
        return None if value is None else checked_scope_name(value, self.name(field))

    def scope_names(self, field: str) -> tuple[str, ...] | None:
        """Several names, comma-separated.

        Raises:
            Refused: 40012 for a malformed or repeated one, 40071 when it is not a string.
        """
        value = self.text(field)
        if value is None:
            return None
        names = tuple(checked_scope_name(part, self.name(field)) for part in value.split(","))
        if len(set(names)) != len(names):
            raise group_error(f"{self.name(field)} names a group twice")
        return names


def checked_scope_name(text: str, field: str) -> str:
    """One group or permission name, stripped.

    Raises:
        Refused: 40012.
    """
    name = text.strip()
    if not name:
        raise group_error(f"{field} must not be empty")
    if len(name) > MAX_GROUP_NAME_CHARS or "," in name or misleads(text.strip(_WHITE_SPACE.decode())):
        raise group_error(f"{field} must have at most {MAX_GROUP_NAME_CHARS} characters, no comma and no {MISLEADING}")
    return name


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
