"""The decision file: one JSON line per row, with the same bytes whenever the same decisions were made."""

import os
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import BinaryIO

import msgspec

from capture.rows import Row, Tier
from contract.captures.values import CaptureError
from contract.files import half_written, sync_folder
from contract.terms import Message

_COSINE_DIGITS = 6


class _Line(Message, frozen=True, kw_only=True):
    """One line: a row without anything that depends on the run, such as times."""

    line: int
    request_id: str
    tier: Tier | None
    outcome: str | None
    error: int | None
    retcode: str | None
    identity_id: str | None
    score: float | None
    threshold: float | None
    cosine: float | None
    gallery_version: int | None
    differs: tuple[str, ...] | None
    trouble: str | None
    remark: str | None


_encoder = msgspec.json.Encoder()


def decision_line(row: Row) -> bytes:
    """Return the line of a row, including the newline."""
    now = row.now
    nearest = now.candidates[0].cosine if now is not None and now.candidates else None
    line = _Line(
        line=row.number,
        request_id=row.line.request_id,
        tier=row.tier,
        outcome=None if now is None else now.outcome,
        error=None if now is None else now.error_code,
        retcode=None if now is None else now.retcode,
        identity_id=None if now is None else now.identity_id,
        score=None if now is None else now.score,
        threshold=None if now is None else now.threshold,
        cosine=None if nearest is None else round(nearest, _COSINE_DIGITS),
        gallery_version=None if now is None else now.gallery_version,
        differs=None if row.differences is None else tuple(found.what for found in row.differences),
        trouble=row.trouble,
        remark=row.remark,
    )
    return _encoder.encode(line) + b"\n"


@contextmanager
def decision_file(path: Path) -> Iterator[BinaryIO]:
    """Yield an open file that replaces the decision file at the end of the `with` block, also after an error.

    Only its owner can read it. After a crash the decision file is as before.

    Raises:
        CaptureError: the file cannot be written.
    """
    with ExitStack() as stack:
        with _named(path):
            half = stack.enter_context(half_written(path, b""))
            file = stack.enter_context(Path(half).open("ab"))
        try:
            yield file
        finally:
            with _named(path):
                file.flush()
                os.fsync(file.fileno())
                Path(half).replace(path)
                sync_folder(path.parent)


@contextmanager
def _named(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise CaptureError(f"{path} cannot be written: {error.strerror}") from error


def writing_decisions(rows: Iterable[Row], file: BinaryIO) -> Iterator[Row]:
    """Yield the rows, and write the line of each."""
    for row in rows:
        file.write(decision_line(row))
        yield row
