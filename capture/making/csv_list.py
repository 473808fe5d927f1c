"""Requests from a CSV list of pictures and of the person whom the server should recognise in each."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import get_args

from capture.making.values import MadeRequest, picture_at
from clients.csv_rows import csv_rows
from clients.errors import CannotRun
from contract.captures.values import STRANGER_MARK, CapturedRequest, CaptureError, CaptureLine
from contract.pictures.digest import picture_digest
from contract.terms import LivenessMode
from contract.when import parse_when

NEEDED = ("path", "device_ip")
OPTIONAL = ("compare_time", "expected_identity_id", "ir_path", "group_name", "permission_name", "liveness_mode")
"""The columns of the list; those of `OPTIONAL` may be missing or empty. The expected identity `-` means a stranger, an
empty one no expectation."""


def read_list(path: Path, pictures: Path) -> Iterator[MadeRequest]:
    """Yield the requests that a CSV file lists, in the file's order.

    Args:
        path: The CSV file in UTF-8; its first line names columns of NEEDED and OPTIONAL. Times are epoch seconds or
            ISO 8601.
        pictures: The folder to which the paths in the list are relative; no path may lead out of it.

    Raises:
        CaptureError: a row cannot be used; the message names the row and the reason. The caller discards all requests.
    """
    root = pictures.resolve()
    try:
        for number, row in enumerate(csv_rows(path, NEEDED, OPTIONAL, others=False), start=1):
            where = f"line {row.line} of {path}"
            if row.too_long:
                raise CaptureError(f"{where} has more cells than the first line")
            yield _request(where, number, row.cells, root)
    except CannotRun as error:
        raise CaptureError(str(error)) from error


def _request(where: str, number: int, row: Mapping[str, str], root: Path) -> MadeRequest:
    if not row["device_ip"]:
        raise CaptureError(f"{where}: device_ip is empty")
    picture = _picture(where, row["path"], root)
    ir_picture = _picture(where, row["ir_path"], root) if row.get("ir_path") else None
    compare_time = _time(where, row.get("compare_time"))
    request = CapturedRequest(
        picture=picture_digest(picture),
        ir_picture=None if ir_picture is None else picture_digest(ir_picture),
        device_ip=row["device_ip"],
        compare_time=compare_time,
        group_name=row.get("group_name") or None,
        permission_name=row.get("permission_name") or None,
        liveness_mode=_liveness_mode(where, row.get("liveness_mode")),
    )
    if request.permission_name is not None and request.group_name is None:
        raise CaptureError(f"{where}: permission_name needs a group_name too")
    expected = row.get("expected_identity_id") or None
    line = CaptureLine(
        request_id=f"handmade-{number}",
        request=request,
        received_time=compare_time,
        expected_identity_id="" if expected == STRANGER_MARK else expected,
    )
    return MadeRequest(line, (picture,) if ir_picture is None else (picture, ir_picture))


def _time(where: str, cell: str | None) -> float | None:
    if not cell:
        return None
    try:
        return parse_when(cell)
    except ValueError as error:
        raise CaptureError(f"{where}: compare_time is {error}") from error


def _liveness_mode(where: str, cell: str | None) -> LivenessMode:
    modes: tuple[LivenessMode, ...] = get_args(LivenessMode)
    if not cell:
        return modes[0]
    for mode in modes:
        if mode == cell:
            return mode
    raise CaptureError(f"{where}: liveness_mode is none of {', '.join(modes)}")


def _picture(where: str, name: str, root: Path) -> bytes:
    try:
        path = (root / name).resolve()
        if not name or not path.is_relative_to(root) or not path.is_file():
            raise CaptureError(f"{where}: the path names no file inside {root}")
        return picture_at(path)
    except ValueError as error:
        reason = "the path names no file" if "\0" in name else str(error)
        raise CaptureError(f"{where}: {reason}") from error
    except OSError as error:
        raise CaptureError(f"{where}: the picture cannot be read: {error.strerror or error}") from error
