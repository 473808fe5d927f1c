"""Parses the bytes of a multipart/form-data body (RFC 7578) as texts. Pure.

The parser of Python's email package is not used, because its time grows with the square of a header's parameters.
"""

import re
from collections import defaultdict

from ingest.json_body import bad_request

MAX_FORM_BYTES = 256 * 1024
_MOST_PARTS = 100
_LONGEST_HEAD = 1024
_MEDIA_TYPE = "multipart/form-data"
_BOUNDARY = re.compile(r';\s*boundary=(?:"([^"\r\n]{1,70})"|([^\s;",]{1,70}))\s*(?:;|$)', re.IGNORECASE)
_NAME = re.compile(rb'^content-disposition:[ \t]*form-data;[ \t]*name="([^"]*)"', re.IGNORECASE | re.MULTILINE)


def is_form(content_type: str) -> bool:
    """Return whether a content type is multipart/form-data."""
    return content_type.partition(";")[0].strip().lower() == _MEDIA_TYPE


def read_form(body: bytes | bytearray, content_type: str) -> dict[str, str]:
    """Return the fields of a form; the values of a field that occurs several times are joined by commas.

    Raises:
        Refused: 40000: the body is not a form of at most `MAX_FORM_BYTES`, or a field is not a text in UTF-8.
    """
    if len(body) > MAX_FORM_BYTES:
        raise bad_request(f"the form is larger than {MAX_FORM_BYTES} bytes")
    boundary = _BOUNDARY.search(content_type)
    delimiter = b"\r\n--" + (boundary[1] or boundary[2]).encode("utf-8", "replace") if boundary else b""
    _, *parts = (b"\r\n" + body).split(delimiter, _MOST_PARTS + 2) if delimiter else [b""]
    if not parts or len(parts) > _MOST_PARTS + 1 or not parts[-1].startswith(b"--"):
        raise bad_request(
            f"the body is not a form of at most {_MOST_PARTS} fields; send the fields with a boundary, or a JSON object"
        )
    texts: defaultdict[str, list[str]] = defaultdict(list)
    for part in parts[:-1]:
        name, value = _field(part)
        texts[name].append(value)
    return {name: ",".join(values) for name, values in texts.items()}


def _field(part: bytes) -> tuple[str, str]:
    head, separator, value = part.partition(b"\r\n\r\n")
    name = _NAME.search(head) if len(head) <= _LONGEST_HEAD else None
    if not separator or name is None:
        raise bad_request("each part of the form must have a name")
    try:
        return name[1].decode(), value.decode()
    except UnicodeDecodeError:
        raise bad_request("the fields of a form must be text in UTF-8") from None
