"""Decides whether a capture may be continued with the given options, which must select as before. Pure."""

from datetime import UTC, datetime

from msgspec import structs

from capture.recording.values import Wanted
from contract.captures.values import CaptureError, Manifest, Selection

OTHER_FOLDER = "record into another folder"


def continued(manifest: Manifest, wanted: Wanted, pseudonyms: str | None, *, has_requests: bool) -> Manifest:
    """Return the manifest of a new or continued capture, with what the capture has from now on.

    Options that are not given have the value with which the capture was begun. The end of the recording (`until_s`,
    `limit`) may be another one, since it only ends the capture.

    Args:
        manifest: the manifest of the capture.
        wanted: the given options.
        pseudonyms: the name of the given key of pseudonyms; None: the capture is not to be redacted.
        has_requests: whether the capture has requests already.

    Raises:
        CaptureError: the capture was not recorded from a log, or was begun with another option.
    """
    before = manifest.selection
    if before is None:
        if has_requests:
            raise CaptureError(f"the capture was not recorded from a log by this release; {OTHER_FOLDER}")
        if pseudonyms is not None and wanted.photos == "candidates":
            raise CaptureError(
                "a redacted capture has the photos of everybody or of nobody, because whose photos it will have is not"
                " known when a person is recorded: give --photos all, or leave --photos out"
            )
        outcomes = tuple(sorted(wanted.outcomes))
        selection = Selection(since=wanted.since_s, device=wanted.device_ip, outcomes=outcomes, pseudonyms=pseudonyms)
        return structs.replace(
            manifest,
            selection=selection,
            photos=wanted.photos or ("candidates" if pseudonyms is None else "none"),
            pictures=wanted.pictures is not False,
            redacted=pseudonyms is not None,
        )
    if before.pseudonyms != pseudonyms:
        raise CaptureError(_pseudonyms_differ(before.pseudonyms, pseudonyms))
    _require("--since", _time(before.since), None if wanted.since_s is None else _time(wanted.since_s))
    _require("--device", before.device or "all", wanted.device_ip)
    given = " ".join(sorted(wanted.outcomes)) or None
    _require("--outcome", " ".join(before.outcomes) or "all", given)
    _require("--photos", manifest.photos, wanted.photos)
    if wanted.pictures is not None and wanted.pictures != manifest.pictures:
        raise CaptureError(f"the capture was begun with pictures: leave --without-pictures out, or {OTHER_FOLDER}")
    return manifest


def _require(option: str, before: str, given: str | None) -> None:
    if given is not None and given != before:
        raise CaptureError(
            f"the capture was begun with {option} {before}, and {given} would leave a gap in it: leave {option} out, or"
            f" {OTHER_FOLDER}"
        )


def _time(time_s: float | None) -> str:
    return "the first request" if time_s is None else datetime.fromtimestamp(time_s, UTC).isoformat()


def _pseudonyms_differ(before: str | None, given: str | None) -> str:
    if before is None:
        return f"the capture has ids and names as they are: leave --redact out, or {OTHER_FOLDER}"
    if given is None:
        return f"the capture is redacted: continue it with --redact and the same key, or {OTHER_FOLDER}"
    return f"the pseudonyms of the capture were computed from another key: give that key, or {OTHER_FOLDER}"
