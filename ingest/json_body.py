"""Parses the bytes of a body as a JSON object. Pure.

Where a key occurs twice, its last value counts.
"""

from typing import Any

import orjson

from contract.errors import Code, Refused

BOM = b"\xef\xbb\xbf"
_WHITE_SPACE = b" \t\r\n"


def bad_request(message: str) -> Refused:
    """Return the refusal 40000."""
    return Refused(Code.BAD_REQUEST, message)


def check_content_type(content_type: str | None, *, typeless_is_json: bool) -> None:
    """Check that a content type is JSON in UTF-8; with `typeless_is_json` a missing content type counts as JSON.

    Raises:
        Refused: 40001: the content type is not JSON in UTF-8.
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
    """Return the JSON object of a body; a UTF-8 byte order mark at its beginning is skipped.

    Raises:
        Refused: 40002 for an empty body, 40000 for anything that is not a JSON object of at most about
            `max_values` values.
    """
    if body.startswith(BOM):
        body = body[len(BOM) :]
    # Most bodies are decided by their first bytes, so that a body of megabytes is not copied by strip().
    if not body or (not body[:64].strip(_WHITE_SPACE) and not body.strip(_WHITE_SPACE)):
        raise Refused(Code.EMPTY_REQUEST_JSON, "the body is empty; send a JSON object")
    # Each value beyond the first needs a comma (nesting is limited by the parser), and base64 contains none.
    if body.count(b",") > max_values:
        raise bad_request("the body contains more values than any request needs")
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise bad_request("the body is not valid JSON in UTF-8") from None
    if not isinstance(document, dict):
        raise bad_request("the body must be a JSON object")
    return document
