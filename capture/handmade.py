"""Hand-made captures: a CSV list of pictures and of the person whom the server should recognise in each."""

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from clients.picture_file import UnusablePicture, read_picture
from contract.captures.values import CapturedRequest, CaptureError, CaptureLine
from contract.errors import PictureRefused
from contract.pictures.digest import picture_digest
from contract.pictures.headers import picture_header
from contract.when import parse_when

COLUMNS = ("path", "device_ip", "compare_time", "expected_identity_id")
"""The columns of the list; the last two may be missing. The expected identity `-` means a stranger, an empty one no
expectation."""

STRANGER_MARK = "-"


@dataclass(frozen=True, slots=True)
class HandmadeRequest:
    """A line for the capture, and the bytes of the line's picture."""

    line: CaptureLine
    picture: bytes


def read_list(path: Path, pictures: Path) -> Iterator[HandmadeRequest]:
    """Yield the requests that a CSV file lists, in the file's order.

    Args:
        path: The CSV file in UTF-8, with a first line that names COLUMNS. Times are epoch seconds or ISO 8601.
        pictures: The folder to which the paths in the list are relative; no path may lead out of it.

    Raises:
        CaptureError: a row cannot be used; the message names the row and the reason. The caller discards all requests.
    """
    root = pictures.resolve()
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = csv.DictReader(file, strict=True)
            missing = [column for column in COLUMNS[:2] if column not in (rows.fieldnames or ())]
            if missing:
                raise CaptureError(f"{path} needs a first line with the columns {', '.join(COLUMNS)}")
            for number, row in enumerate(rows, start=1):
                where = f"line {rows.line_num} of {path}"
                yield _request(where, number, {k: (v or "").strip() for k, v in row.items() if k in COLUMNS}, root)
    except (csv.Error, UnicodeDecodeError) as error:
        raise CaptureError(f"{path} is not a CSV file in UTF-8: {error}") from error


def _request(where: str, number: int, row: dict[str, str], root: Path) -> HandmadeRequest:
    picture = _picture(where, row["path"], root)
    if not row["device_ip"]:
        raise CaptureError(f"{where}: device_ip is empty")
    compare_time = None
    if row.get("compare_time"):
        try:
            compare_time = parse_when(row["compare_time"])
        except ValueError as error:
            raise CaptureError(f"{where}: compare_time is {error}") from error
    expected = row.get("expected_identity_id") or None
    return HandmadeRequest(
        CaptureLine(
            request_id=f"handmade-{number}",
            request=CapturedRequest(
                picture=picture_digest(picture), device_ip=row["device_ip"], compare_time=compare_time
            ),
            received_time=compare_time,
            expected_identity_id="" if expected == STRANGER_MARK else expected,
        ),
        picture,
    )


def _picture(where: str, name: str, root: Path) -> bytes:
    path = (root / name).resolve()
    if not name or not path.is_relative_to(root) or not path.is_file():
        raise CaptureError(f"{where}: the path names no file inside {root}")
    try:
        data = read_picture(path)
        picture_header(data)
    except UnusablePicture as error:
        raise CaptureError(f"{where}: {error}") from error
    except PictureRefused as error:
        raise CaptureError(f"{where}: {error.message}") from error
    return data
