"""Converts values of a capture: from the log, to the call of a device, and to and from the bytes of files."""

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import msgspec
from msgspec import structs

from contract.captures.sealed import checksum_in, checksum_of, sealed
from contract.captures.values import (
    EARLIEST_S,
    FORMAT,
    LATEST_S,
    OLDEST_VERSION,
    VERSION,
    CapturedDecision,
    CapturedRequest,
    CaptureError,
    CaptureLine,
    Manifest,
)
from contract.events import Event, RequestPlace
from contract.evidence import Evidence
from contract.pictures.digest import picture_digest
from contract.requests import MatchRequest

MANIFEST_FILE = "capture.json"
REQUESTS_FILE = "requests.jsonl"
PEOPLE_FILE = "people.jsonl"
CONFIGS_FILE = "configs.jsonl"
PICTURES_FOLDER = "pictures"
LOOKS_FOLDER = "looks"
LINE_FILES = (CONFIGS_FILE, PEOPLE_FILE, REQUESTS_FILE)
"""The files of lines whose seals the manifest contains."""
ACCEPTED_FOLDER = "accepted"
"""The folder of new files that count in place of those of the same names beside it, until they are moved there."""
REPLACEABLE_FILES = (CONFIGS_FILE, REQUESTS_FILE, MANIFEST_FILE)
"""The files that may be in `ACCEPTED_FOLDER`."""

_MODEL_SET = re.compile(r"[0-9A-Za-z_-]{1,64}")
_FILE_IN_FOLDER = re.compile(rf"{PICTURES_FOLDER}/[0-9a-f]{{64}}\.jpg|{LOOKS_FOLDER}/{_MODEL_SET.pattern}\.jsonl")

_PICTURES = ("picture", "further_pictures", "ir_picture")
_SENT_FIELDS = tuple(name for name in CapturedRequest.__struct_fields__ if name not in (*_PICTURES, "compare_time"))
"""The fields that a captured request and a MatchRequest share."""
_NOT_POSTED = (*_PICTURES, "compare_time_raw", "by_permission")

_manifest_decoder = msgspec.json.Decoder(Manifest)


def picture_file(sha256: str) -> str:
    """Return the path of a picture's file, relative to the capture's folder."""
    return f"{PICTURES_FOLDER}/{sha256}.jpg"


def looks_file(model_set: str) -> str:
    """Return the path of the file of a model set's looks, relative to the capture's folder.

    Raises:
        CaptureError: the text is not the id of a model set.
    """
    if not _MODEL_SET.fullmatch(model_set):
        raise CaptureError(f"{model_set!r} is not the id of a model set")
    return f"{LOOKS_FOLDER}/{model_set}.jsonl"


def is_capture_file(name: str) -> bool:
    """Return whether a path, relative to the capture's folder, is that of a file which a capture may have."""
    return name in LINE_FILES or name == MANIFEST_FILE or _FILE_IN_FOLDER.fullmatch(name) is not None


def line_of(request: MatchRequest, place: RequestPlace, decision: CapturedDecision | None) -> CaptureLine:
    """Return the capture line of a request that was read from the log at `place`, which may contain the sha256 of the
    request's picture."""
    return CaptureLine(
        request_id=request.request_id,
        place=place,
        received_time=request.received_time_s,
        decision=decision,
        request=CapturedRequest(
            picture=place.sha256 or picture_digest(request.picture),
            further_pictures=tuple(map(picture_digest, request.further_pictures)),
            ir_picture=None if request.ir_picture is None else picture_digest(request.ir_picture),
            compare_time=request.compare_time_s,
            **{name: getattr(request, name) for name in _SENT_FIELDS},
        ),
    )


def request_with_pictures(line: CaptureLine, picture: Callable[[str], bytes]) -> MatchRequest:
    """Return the request of a line with its pictures; `picture` returns the bytes of one by its sha256 (hex)."""
    sent = line.request
    infrared = None if sent.ir_picture is None else picture(sent.ir_picture)
    return request_of(line, picture(sent.picture), infrared, tuple(map(picture, sent.further_pictures)))


def request_without_pictures(line: CaptureLine) -> MatchRequest:
    """Return the request of a line with an empty picture in place of each; a decision from an embedding needs none."""
    sent = line.request
    return request_of(line, b"", None if sent.ir_picture is None else b"", (b"",) * len(sent.further_pictures))


def request_of(
    line: CaptureLine, picture: bytes = b"", ir_picture: bytes | None = None, further: tuple[bytes, ...] = ()
) -> MatchRequest:
    """Return the request of a line, as the log contained it.

    A hand-made line has no time of arrival; its compare_time is used, within the times that clocks show, and where that
    is absent too, 0.
    """
    sent = line.request
    received = line.received_time
    if received is None:
        received = min(max(sent.compare_time or 0.0, EARLIEST_S), LATEST_S)
    return MatchRequest(
        request_id=line.request_id,
        picture=picture,
        further_pictures=further,
        ir_picture=ir_picture,
        compare_time_s=received if sent.compare_time is None else sent.compare_time,
        received_time_s=received,
        # Each field by its name: a replay makes one request for every line.
        device_ip=sent.device_ip,
        compare_time_raw=sent.compare_time_raw,
        need_register_photo=sent.need_register_photo,
        min_face_size=sent.min_face_size,
        liveness_mode=sent.liveness_mode,
        need_keep_info=sent.need_keep_info,
        group_name=sent.group_name,
        permission_name=sent.permission_name,
        support_stranger=sent.support_stranger,
        with_attribute=sent.with_attribute,
        with_debug_info=sent.with_debug_info,
        grab_fiqa_info=sent.grab_fiqa_info,
        by_permission=sent.by_permission,
        match_all_faces=sent.match_all_faces,
    )


def decision_of(event: Event, evidence: Evidence | None = None) -> CapturedDecision:
    """Return the decision that an event records, with the embedding and the candidates of its evidence."""
    # The event of a repeat has no measurements; its evidence has them.
    seen = event if event.repeat_of is None or evidence is None else evidence
    decision = CapturedDecision(
        outcome=event.outcome,
        gallery_version=event.gallery_version,
        models=event.models,
        retcode=event.retcode,
        identity_id=event.identity_id,
        score=event.score,
        threshold=None if event.threshold is None else event.threshold.value,
        error_code=None if event.error is None else event.error.code,
        applied=event.threshold,
        scope=event.scope,
        policy=event.policy or None,
        model_set=event.model_set or None,
        decided_time=event.processed_time,
        pictures=seen.pictures,
        faces=seen.faces,
        face=seen.face,
        searched=tuple(structs.replace(face, name="") for face in event.searched),
        quality=seen.quality,
        quality_score=seen.quality_score,
        liveness=seen.liveness,
        timings_ms=event.timings_ms,
    )
    if evidence is None:
        return decision
    # The evidence has the threshold unrounded, as it was applied.
    applied = None if event.threshold is None else structs.replace(event.threshold, cosine=evidence.threshold)
    return structs.replace(
        decision,
        applied=applied,
        candidates=evidence.candidates,
        complete_to=evidence.complete_to,
        embedder=evidence.embedder,
        embedding=evidence.embedding,
        policy=evidence.policy,
        model_set=evidence.model_set,
    )


def body_fields(request: CapturedRequest) -> dict[str, Any]:
    """Return the fields of the device's body except the pictures and except fields that have their default value."""
    fields: dict[str, Any] = msgspec.to_builtins(request)
    return {name: value for name, value in fields.items() if name not in _NOT_POSTED}


def format_manifest(manifest: Manifest) -> bytes:
    """Return the bytes of capture.json: one sealed line."""
    return sealed(manifest, 0)[0]


def new_manifest(**fields: Any) -> Manifest:
    """Return the manifest of a capture in the format version that this program writes."""
    return Manifest(format=FORMAT, version=VERSION, **fields)


def parse_manifest(data: bytes) -> Manifest:
    """Return the manifest in the bytes of a capture.json, of a format version that this program reads.

    Raises:
        CaptureError: the bytes are no manifest of a capture, are damaged, or name another format version.
    """
    sum_in_it = checksum_in(data)
    if sum_in_it is not None and sum_in_it != checksum_of(data, 0):
        raise CaptureError(f"line 1 of {MANIFEST_FILE} is damaged: its checksum is not that of its contents")
    try:
        manifest = _manifest_decoder.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise CaptureError(f"{MANIFEST_FILE} is not the manifest of a capture: {error}") from error
    if manifest.format != FORMAT:
        raise CaptureError(f"{MANIFEST_FILE} is not the manifest of a capture: its format is not {FORMAT}")
    if not OLDEST_VERSION <= manifest.version <= VERSION:
        raise CaptureError(
            f"the capture has format version {manifest.version} and this program reads the versions "
            f"{OLDEST_VERSION} to {VERSION}; use the release that recorded the capture"
        )
    if manifest.version > 1 and sum_in_it is None:
        raise CaptureError(f"line 1 of {MANIFEST_FILE} is damaged: it does not end with a checksum")
    return manifest


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
