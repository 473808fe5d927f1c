"""The decision file: one JSON line per row, with the same bytes whenever the same decisions were made."""

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

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
def decision_file(path: Path) -> Iterator[Callable[[Row], None]]:
    """Yield a function that writes the line of a row to a file, which replaces the decision file at the end of the
    `with` block, also after an error.

    Only its owner can read it. After a crash, or where it cannot be written, the decision file is as before.

    Raises:
        CaptureError: the file cannot be written; the function raises it too.
    """
    with ExitStack() as stack:
        with _named(path):
            half = stack.enter_context(half_written(path, b""))
            file = stack.enter_context(Path(half).open("ab"))

        def write(row: Row) -> None:
            try:
                file.write(decision_line(row))
            except OSError as error:
                raise _unwritable(path, error) from error

        try:
            yield write
        finally:
            # Closing writes what is left, too, and fails again where the disk is full.
            with _named(path), file:
                file.flush()
                os.fsync(file.fileno())
                Path(half).replace(path)
                sync_folder(path.parent)


@contextmanager
def _named(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise _unwritable(path, error) from error


def _unwritable(path: Path, error: OSError) -> CaptureError:
    return CaptureError(f"{path} cannot be written: {error.strerror}")


def writing_decisions(rows: Iterable[Row], write: Callable[[Row], None]) -> Iterator[Row]:
    """Yield the rows, and write each with the function of `decision_file`."""
    for row in rows:
        write(row)
        yield row
