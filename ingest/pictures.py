"""Reads the pictures of a call from its fields, and checks them; the bytes stay as the camera wrote them."""

import asyncio
from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass

import pybase64

from contract.calls.declaration import Values
from contract.calls.rules import param_error
from contract.errors import Code, PictureRefused, PictureTooLarge, PictureUnreadable, Refused
from contract.pictures.affordable import Affordable, require_affordable
from contract.pictures.limits import MAX_UNDECIMATED_PIXELS
from ingest.paths import path_refused, read_picture_file

# Generous for "data:image/jpeg;charset=utf-8;base64,".
_MAX_PREFIX_CHARS = 256
_STANDARD_ALPHABET = str.maketrans("-_", "+/")


@dataclass(frozen=True, slots=True)
class PictureField:
    """How a call sends a picture.

    Attributes:
        name: the field of the body with the picture in base64.
        attribute: the field of the request (contract.requests) that becomes the picture.
        path: the field of the body that names a picture file and wins over `name`; None: the call has none.
    """

    name: str
    attribute: str
    path: str | None = None

    def is_in(self, values: Values) -> bool:
        """Return whether the picture was sent, in base64 or as a path."""
        return values[self.name] is not None or self.is_file_in(values)

    def is_file_in(self, values: Values) -> bool:
        """Return whether the picture was sent as a path."""
        return self.path is not None and values[self.path] is not None

    def file_refused(self) -> Refused:
        """Return the refusal 40071 of the path of a caller who may not name files."""
        return param_error(
            f"{self.path} is only for callers from a trusted network or with an API key; send the picture as base64 in"
            f" {self.name}"
        )

    async def fetch(self, values: Values, limits: "PictureLimits", threads: Executor) -> Mapping[str, bytes]:
        """Return the checked bytes of a picture that was sent, as a field of the request; a refusal names the field.

        Raises:
            Refused: the picture cannot be read, or is refused.
        """
        path = None if self.path is None else values[self.path]
        if path is None:
            try:
                return {self.attribute: from_base64(values[self.name], self.name, limits)}
            except PictureRefused as refusal:
                raise refusal.about(self.name) from None
        named_by = self.path or ""
        data = await asyncio.get_running_loop().run_in_executor(
            threads, read_picture_file, path, limits.roots, limits.max_bytes, named_by
        )
        try:
            limits.check(data)
        except PictureUnreadable:
            # Another message would reveal the existence of a file that must not be read.
            raise path_refused(named_by) from None
        except PictureTooLarge as refusal:
            raise refusal.about(named_by) from None
        return {self.attribute: data}


@dataclass(frozen=True, slots=True)
class PictureLimits:
    """The limits of pictures; `roots`: the folders in which picture files may lie."""

    max_bytes: int
    max_pixels: int
    roots: Sequence[str]
    max_pixels_undecimated: int = MAX_UNDECIMATED_PIXELS

    def check(self, data: bytes) -> Affordable:
        """Return what the headers of a picture show of its cost; raise its refusal if the engine would refuse it."""
        return require_affordable(data, self.max_pixels, self.max_pixels_undecimated)


def decode_base64(text: str, field: str, max_bytes: int) -> bytes:
    """Return the bytes of a base64 text: with or without a data-URL prefix, line breaks and padding, in the standard or
    the URL-safe alphabet.

    Raises:
        Refused: 40003; or 41300, before decoding, where the picture is larger than `max_bytes`.
    """
    text = text.lstrip(" \n\r\t")
    if text[:5].lower() == "data:":
        comma = text.find(",", 0, _MAX_PREFIX_CHARS)
        if not text[: max(comma, 0)].lower().endswith(";base64"):
            raise _bad_base64(field)
        text = text[comma + 1 :]
    for line_break in "\n\r\t":
        # Where there is none, searching costs a thirtieth of replacing, which looks at every character by itself.
        if line_break in text:
            text = text.replace(line_break, "")
    if "-" in text or "_" in text:
        text = text.translate(_STANDARD_ALPHABET)
    text = text.strip(" ")
    length = len(text.rstrip("=")) if text.endswith("=") else len(text)
    padding = len(text) - length
    if length * 3 // 4 > max_bytes:
        raise Refused(Code.PAYLOAD_TOO_LARGE, f"the picture in {field} is larger than {max_bytes} bytes")
    missing = -length % 4
    if length == 0 or missing == 3 or padding not in {0, missing}:
        raise _bad_base64(field)
    try:
        return pybase64.b64decode(text if padding == missing else text + "=" * missing, validate=True)
    except ValueError:
        # binascii.Error is a ValueError; a text outside ASCII raises ValueError itself.
        raise _bad_base64(field) from None


def from_base64(text: str, field: str, limits: PictureLimits) -> bytes:
    """Return the checked picture of a base64 field.

    Raises:
        Refused: the text is not valid base64, or the picture is refused.
    """
    data = decode_base64(text, field, limits.max_bytes)
    limits.check(data)
    return data


def to_base64(data: bytes) -> str:
    """Return a picture in base64, as answers contain it."""
    return pybase64.b64encode_as_string(data)


def _bad_base64(field: str) -> Refused:
    return Refused(Code.IMAGE_ERROR, f"{field} is not valid base64")
