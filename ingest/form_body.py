"""Parses the bytes of a multipart/form-data body as texts. Pure.

Only calls with a few short fields take such a body, so a long one is refused before it is parsed.
"""

from collections import defaultdict
from email import message_from_bytes
from email.errors import MultipartInvariantViolationDefect, StartBoundaryNotFoundDefect
from email.message import Message

from ingest.json_body import bad_request

MAX_FORM_BYTES = 256 * 1024
_MEDIA_TYPE = "multipart/form-data"


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
    form = message_from_bytes(b"Content-Type: %s\r\n\r\n%s" % (content_type.encode("ascii", "replace"), body))
    broken = (MultipartInvariantViolationDefect, StartBoundaryNotFoundDefect)
    parts = [part for part in form.get_payload() if isinstance(part, Message)]
    if not form.is_multipart() or any(isinstance(defect, broken) for defect in form.defects):
        raise bad_request("the body is not a valid form; send the fields with a boundary, or a JSON object")
    texts: defaultdict[str, list[str]] = defaultdict(list)
    for part in parts:
        name = part.get_param("name", header="content-disposition")
        value = part.get_payload(decode=True)
        if not isinstance(name, str) or not isinstance(value, bytes):
            raise bad_request("each part of the form must be a named text")
        try:
            texts[name].append(value.decode())
        except UnicodeDecodeError:
            raise bad_request("the fields of a form must be text in UTF-8") from None
    return {name: ",".join(values) for name, values in texts.items()}
