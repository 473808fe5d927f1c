"""Carries out the erasures that are filed in the folder, until nothing of the erased values is in any file of the log.

Steps: the records are erased, the WAL is emptied, the file is written anew, the WAL is emptied again, and the filed
erasures are deleted. A filed erasure contains all its places and stays until the end, so after a crash the steps begin
again. While another program reads the log and so keeps the WAL, the file is not written anew, since that would make the
WAL longer by the whole file each time; only the emptying of the WAL is tried again, at growing intervals.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from pathlib import Path

from broker.embedded import upkeep
from broker.embedded.erasures import Erasure, erase_records, filed_erasures, has_erased
from broker.embedded.transaction import Transaction
from broker.embedded.writer import Writer
from broker.port import Position

_AT_ONCE = 20  # records that are erased in one transaction; each may contain a picture
_FIRST_WAIT_S = 0.5
_LONGEST_WAIT_S = 60.0

_log = logging.getLogger(__name__)


class Eraser:
    """Erases for the owner of a folder. `checkpoint` copies the WAL into the file; the caller has the turn to do so."""

    def __init__(
        self,
        folder: Path,
        writer: Writer,
        checkpoint: Callable[[], Awaitable[None]],
        clock_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._folder, self._writer, self._checkpoint, self._clock_s = folder, writer, checkpoint, clock_s
        self._erased: set[Path] = set()
        self._rewritten = False
        self._wait_s = 0.0
        self._next_s = -1.0

    async def carry_out(self) -> None:
        """Carry out what is filed, as far as it is possible now; the WAL is emptied when it is time to try again.

        Raises:
            BrokerError: the log cannot be written now.
        """
        filed = await asyncio.to_thread(filed_erasures, self._folder)
        if not filed:
            return
        for path, erasure in filed:
            if path not in self._erased:
                await self._erase(erasure)
                self._erased.add(path)
                self._rewritten = False
        if self._clock_s() < self._next_s:
            return
        if not (await self._rewritten_after_readers() and await self._wal_emptied()):
            return
        for path, _ in filed:
            await asyncio.to_thread(path.unlink, missing_ok=True)
        self._erased.clear()
        self._wait_s, self._next_s = 0.0, -1.0

    async def _erase(self, erasure: Erasure) -> None:
        """Erase the records; the erasure's own record is written with the first of them, once, also after a crash."""
        noted = await self._writer.submit(partial(has_erased, erasure=erasure))
        for first in range(0, len(erasure.places), _AT_ONCE):
            some = erasure.places[first : first + _AT_ONCE]
            noted |= await self._writer.submit(partial(_erase, erasure=erasure, places=some, noted=noted))

    async def _rewritten_after_readers(self) -> bool:
        """Return whether the file was written anew (or is too large for it); not while a reader keeps the WAL."""
        if self._rewritten:
            return True
        if not await self._wal_emptied():
            return False
        if not await self._writer.submit_alone(upkeep.rewrite):
            _log.warning(
                "the log in %s is too large to be written anew beside a running server: unused parts of its pages may"
                " contain pieces of erased values; stop the server, run `picturematch log rewrite`, and start it again",
                self._folder,
            )
        self._rewritten = True
        return True

    async def _wal_emptied(self) -> bool:
        """Return whether the WAL is empty now; otherwise schedule the next attempt, and log the first one."""
        await self._checkpoint()
        if await self._writer.submit_alone(upkeep.truncate_wal):
            return True
        if not self._wait_s:
            _log.warning(
                "erased records of the log in %s are still in its WAL, because another program reads the log: end that"
                " program; emptying the WAL is tried again",
                self._folder,
            )
        self._wait_s = min(_LONGEST_WAIT_S, 2 * self._wait_s or _FIRST_WAIT_S)
        self._next_s = self._clock_s() + self._wait_s
        return False


def _erase(transaction: Transaction, erasure: Erasure, places: Sequence[Position], noted: bool) -> bool:
    """Erase some records; append the erasure's own record with the first; return whether any was erased."""
    erased = erase_records(transaction, places, erasure.mark) > 0
    if erased and not noted:
        transaction.append((erasure.record, *erasure.others))
    return erased
