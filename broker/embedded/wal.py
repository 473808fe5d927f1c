"""Finds the transactions in a database's write-ahead log that SQLite will drop, before SQLite opens the database.

SQLite reads a WAL up to the first frame whose checksum does not fit, and drops everything behind it without a message.
At the end of a WAL that is right: a power cut leaves the last transaction half written, and no caller was answered. In
the middle it means that the disk has changed a durable transaction.

The format is that of https://www.sqlite.org/fileformat2.html, section 4.
"""

import logging
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

_log = logging.getLogger(__name__)

_MAGIC = 0x377F0682  # the lowest bit of the header's number is the byte order of the checksums
_HEADER = struct.Struct(">8I")  # magic, format, page size, checkpoint number, two salts, two checksums
_FRAME = struct.Struct(">6I")  # page number, pages after a commit (0 in other frames), two salts, two checksums
_PAGE_SIZES = {1 << bits for bits in range(9, 17)}
_MASK = 0xFFFFFFFF


@dataclass(frozen=True, slots=True)
class Lost:
    """What SQLite drops of a WAL.

    Attributes:
        frames: the number of frames behind the last whole transaction.
        transactions: the greatest possible number of transactions that end in those frames.
        certain: at least one of the transactions was durable, so that its caller may have been answered.
    """

    frames: int = 0
    transactions: int = 0
    certain: bool = False


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame of a WAL: whether it belongs to this WAL (`ours`), ends a transaction (`commits`), and is `whole`."""

    ours: bool
    commits: bool
    whole: bool


def what_is_lost(database: Path) -> Lost:
    """Return what SQLite will drop of the database's WAL when it opens the database; nothing if there is no WAL.

    Nobody may have the database open for writing. For a WAL that cannot be read, the result is empty too: SQLite
    reports that error.
    """
    try:
        with database.with_name(f"{database.name}-wal").open("rb") as file:
            return judge(frames(file))
    except OSError:
        return Lost()


def judge(found: Iterator[Frame]) -> Lost:
    """Return what SQLite drops of a WAL with these frames.

    Every transaction is synced before the next one begins, so at most one can be half written: if two or more end
    behind the damage, the first of them was durable. Frames without a commit behind them were never a transaction.
    Frames that are not `ours` are left from an earlier WAL; if ours follow them, they are ours with damaged salts.
    """
    kept = last = transactions = strange = strange_before = 0
    for number, frame in enumerate(found, 1):
        if not frame.ours:
            strange += 1
        elif frame.whole and frame.commits:
            kept = number
        elif frame.commits:
            last = number
            transactions += 1
            strange_before = strange
    if not transactions:
        return Lost()
    return Lost(last - kept, transactions + strange_before, transactions > 1)


def frames(file: BinaryIO) -> Iterator[Frame]:
    """Yield the frames of a WAL, from first to last."""
    raw = file.read(_HEADER.size)
    if len(raw) < _HEADER.size:
        return
    magic, _, page_bytes, _, salt_1, salt_2, *stored = _HEADER.unpack(raw)
    order = ">" if magic & 1 else "<"
    checksum = _checksum(raw[:24], (0, 0), order)
    header_is_whole = magic & ~1 == _MAGIC and page_bytes in _PAGE_SIZES and checksum == tuple(stored)
    if page_bytes not in _PAGE_SIZES:
        page_bytes = 4096
    salts = (salt_1, salt_2) if header_is_whole else None
    chain = header_is_whole
    while len(raw := file.read(_FRAME.size + page_bytes)) == _FRAME.size + page_bytes:
        _, pages, frame_salt_1, frame_salt_2, *stored = _FRAME.unpack_from(raw)
        salts = salts or (frame_salt_1, frame_salt_2)  # if the header is damaged, the salts of the first frame
        ours = salts == (frame_salt_1, frame_salt_2)
        if chain:
            checksum = _checksum(raw[_FRAME.size :], _checksum(raw[:8], checksum, order), order)
            chain = ours and checksum == tuple(stored)
        yield Frame(ours, pages != 0, chain)


def _checksum(content: bytes, before: tuple[int, int], order: str) -> tuple[int, int]:
    """Return SQLite's running checksum over the 32-bit words of `content`, continued from `before`."""
    first, second = before
    words = iter(struct.unpack(f"{order}{len(content) // 4}I", content))
    for word in words:
        first = (first + word + second) & _MASK
        second = (second + next(words) + first) & _MASK
    return first, second


def log_lost(lost: Lost, folder: Path) -> None:
    """Log one line if transactions were dropped."""
    if not lost.transactions:
        return
    if lost.certain:
        _log.error(
            "the log in %s lost at most %d transactions (%d frames): its WAL was damaged in the middle, so events and"
            " enrolments that were answered may be lost; run `picturematch log check`, and check the disk",
            folder,
            lost.transactions,
            lost.frames,
        )
    else:
        _log.error(
            "the log in %s dropped one transaction (%d frames) that was not whole in its WAL: after a power cut or a"
            " kill no caller was answered; otherwise the disk has damaged a transaction that was answered",
            folder,
            lost.frames,
        )
