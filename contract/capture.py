"""The capture format: match requests kept as a folder, so that they can be posted again and compared.

A capture is::

    capture.json              {"format": "picturematch-capture", "version": 1}
    requests.jsonl            one JSON object (a CaptureLine) per request, in request order
    pictures/<sha256>.jpg     each picture once, the bytes as they were posted

This module defines the values of a capture and converts them to and from bytes; the caller reads and writes the files.
Unknown fields are ignored, so that an older program can read a capture to which a newer program has added fields; a
field that changes its meaning needs a new format version.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Annotated, Any, Literal

import msgspec

from contract.events import Event, RequestPlace
from contract.operator_error import OperatorError
from contract.pictures.digest import picture_digest
from contract.requests import MatchRequest
from contract.terms import LivenessMode, Message

FORMAT: Literal["picturematch-capture"] = "picturematch-capture"
VERSION = 1

MANIFEST_FILE = "capture.json"
REQUESTS_FILE = "requests.jsonl"
PICTURES_FOLDER = "pictures"

# The pattern ends in \Z, because $ would allow a newline at the end of a file name.
Sha256 = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}\Z")]


class CaptureError(OperatorError):
    """A capture that cannot be read or written; the message is a sentence for the user."""


class CaptureManifest(Message, frozen=True, kw_only=True):
    """The contents of capture.json."""

    format: str
    version: int


class CapturedRequest(Message, frozen=True, kw_only=True, omit_defaults=True):
    """One PictureMatch call: the fields of the device's body, with the sha256 (hex) in place of each picture.

    `compare_time` is in seconds since the epoch; None means the time at which the request is posted.
    """

    picture: Sha256
    ir_picture: Sha256 | None = None
    device_ip: str | None = None
    compare_time: float | None = None
    need_register_photo: bool = False
    min_face_size: int = 0
    liveness_mode: LivenessMode = "liveness_off"
    need_keep_info: bool = False
    group_name: str | None = None
    permission_name: str | None = None
    support_stranger: bool = False
    with_attribute: bool = False
    with_debug_info: bool = False
    grab_fiqa_info: dict[str, Any] | None = None


class CapturedDecision(Message, frozen=True, kw_only=True):
    """The decision that was recorded for a captured request. `score` and `threshold` are on the wire's scale."""

    outcome: str
    gallery_version: int
    models: dict[str, str]
    retcode: Literal["0", "1"] | None = None
    identity_id: str = ""
    score: float | None = None
    threshold: float | None = None
    error_code: int | None = None


class CaptureLine(Message, frozen=True, kw_only=True):
    """One line of requests.jsonl.

    `place` and `received_time` (seconds since the epoch) come from the log; a hand-made capture has neither.
    `decision` is None when the log contained no decision for the request. `expected_identity_id` is the outcome that a
    hand-made capture expects: an identity, or "" for a stranger, or None for no expectation.
    """

    request_id: str
    request: CapturedRequest
    place: RequestPlace | None = None
    received_time: float | None = None
    decision: CapturedDecision | None = None
    expected_identity_id: str | None = None


_encoder = msgspec.json.Encoder()
_line_decoder = msgspec.json.Decoder(CaptureLine)
_manifest_decoder = msgspec.json.Decoder(CaptureManifest)


def picture_file(sha256: str) -> str:
    """Return the path of a picture's file, relative to the capture's folder."""
    return f"{PICTURES_FOLDER}/{sha256}.jpg"


def line_of(request: MatchRequest, place: RequestPlace, decision: CapturedDecision | None) -> CaptureLine:
    """Return the capture line of a request that was read from the log at `place`."""
    return CaptureLine(
        request_id=request.request_id,
        place=place,
        received_time=request.received_time_s,
        decision=decision,
        request=CapturedRequest(
            picture=picture_digest(request.picture),
            ir_picture=None if request.ir_picture is None else picture_digest(request.ir_picture),
            device_ip=request.device_ip,
            compare_time=request.compare_time_s,
            need_register_photo=request.need_register_photo,
            min_face_size=request.min_face_size,
            liveness_mode=request.liveness_mode,
            need_keep_info=request.need_keep_info,
            group_name=request.group_name,
            permission_name=request.permission_name,
            support_stranger=request.support_stranger,
            with_attribute=request.with_attribute,
            with_debug_info=request.with_debug_info,
            grab_fiqa_info=request.grab_fiqa_info,
        ),
    )


def decision_of(event: Event) -> CapturedDecision:
    """Return the decision that an event records."""
    return CapturedDecision(
        outcome=event.outcome,
        gallery_version=event.gallery_version,
        models=event.models,
        retcode=event.retcode,
        identity_id=event.identity_id,
        score=event.score,
        threshold=None if event.threshold is None else event.threshold.value,
        error_code=None if event.error is None else event.error.code,
    )


def body_fields(request: CapturedRequest) -> dict[str, Any]:
    """Return the fields of the device's body except the pictures and except fields that have their default value."""
    fields: dict[str, Any] = msgspec.to_builtins(request)
    del fields["picture"]
    fields.pop("ir_picture", None)
    return fields


def format_manifest() -> bytes:
    """Return the bytes of capture.json."""
    return _encoder.encode(CaptureManifest(format=FORMAT, version=VERSION)) + b"\n"


def check_manifest(data: bytes) -> None:
    """Check that the bytes of a capture.json name the format and the version that this program reads.

    Raises:
        CaptureError: the bytes are no manifest of a capture, or name another format version.
    """
    try:
        manifest = _manifest_decoder.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise CaptureError(f"{MANIFEST_FILE} is not the manifest of a capture: {error}") from error
    if manifest.format != FORMAT:
        raise CaptureError(f"{MANIFEST_FILE} is not the manifest of a capture: its format is not {FORMAT}")
    if manifest.version != VERSION:
        raise CaptureError(
            f"the capture has format version {manifest.version} and this program reads version {VERSION}; "
            "use the release that recorded the capture"
        )


def format_line(line: CaptureLine) -> bytes:
    """Return a capture line as one line of requests.jsonl, including the newline."""
    return _encoder.encode(line) + b"\n"


def parse_lines(lines: Iterable[bytes]) -> Iterator[tuple[int, CaptureLine]]:
    """Yield the lines of a requests.jsonl, each with its number, counted from 1; empty lines are skipped.

    Raises:
        CaptureError: a line is no capture line; the message names the line's number.
    """
    for number, data in enumerate(lines, start=1):
        if not data.strip():
            continue
        try:
            yield number, _line_decoder.decode(data)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise CaptureError(f"line {number} of {REQUESTS_FILE} cannot be read: {error}") from error


def last_lines(lines: Iterable[tuple[int, CaptureLine]]) -> Mapping[int, CaptureLine]:
    """Return, by partition of the requests topic, the last of the numbered lines that names that partition.

    Raises:
        CaptureError: the offsets of a partition do not rise from line to line, so a line is damaged.
    """
    last: dict[int, CaptureLine] = {}
    for number, line in lines:
        if line.place is None:
            continue
        before = last.get(line.place.partition)
        if before is not None and before.place is not None and line.place.offset <= before.place.offset:
            raise CaptureError(
                f"line {number} of {REQUESTS_FILE} or an earlier line is damaged: partition {line.place.partition} has "
                f"offset {line.place.offset} after offset {before.place.offset}"
            )
        last[line.place.partition] = line
    return last
