"""Copies the people topic into a capture, and finds from which gallery version on the people can be folded.

The copy begins with everything that can still be read. Each record is kept up to the gallery version of the last
recorded decision, in the order of the offsets. contract.people.history has the rules by which compaction may have
removed records; a capture that is continued must not miss any.
"""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Callable, Container, Mapping, Sequence
from contextlib import AsyncExitStack, aclosing

from msgspec import structs

from broker.ordered import start_offsets
from broker.port import Broker, Reader, Record, Start
from capture.folder import CaptureFolder
from capture.recording.credentials import without_credentials
from capture.recording.people_index import PeopleIndex
from capture.recording.photos import Photos
from capture.recording.redaction import Redaction
from capture.recording.selection import OTHER_FOLDER
from contract.captures.values import CaptureError, PeopleLine
from contract.configs import Checkpoint
from contract.people.history import CLOCKS_APART_MS, History, gone_before_ms
from contract.people.keys import key_of
from contract.people.records import PhotoReference

_BATCH = 1000
_POLL_S = 0.2
_CHANGES_ARE_GONE = f"changes of people that the capture does not have may be gone from the log; {OTHER_FOLDER}"
OTHER_LOG = f"the capture was made from another log, or is damaged; {OTHER_FOLDER}"


class PeopleCopy:
    """The people topic of a log, and what a capture has of it. To be used between `begin` and the end of its stack.

    Args:
        broker: the open log.
        topic: the people topic, which exists.
        folder: the capture.
        history_ms: how long the log keeps records that were replaced.
        clock_ms: returns the milliseconds since the epoch by the log's clock.
        index: gets every record that was read.
        redaction: replaces ids and names; None: the records are kept as they are.
        photos: stores the photos of everybody; None: they are not kept.
    """

    def __init__(
        self,
        broker: Broker,
        topic: str,
        folder: CaptureFolder,
        history_ms: int,
        clock_ms: Callable[[], int],
        index: PeopleIndex,
        redaction: Redaction | None,
        photos: Photos | None,
    ) -> None:
        self._broker, self._topic, self._folder = broker, topic, folder
        self._index, self._redaction, self._photos = index, redaction, photos
        self._clock_ms, self._history_ms = clock_ms, history_ms
        self._read_ms = self._now_ms()
        self._history = History(history_ms, self._read_ms)
        self._reader: Reader
        self._fetched: deque[Record] = deque()
        self._hidden: set[bytes] = set()
        self._certain_from = 0
        self._checkpoints: deque[Checkpoint] = deque()
        self._copied = folder.last_people_offset
        self.first_decided_s = 0.0
        """The time of the first decision (epoch seconds): a redacted capture has no earlier time of people."""

    async def begin(self, stack: AsyncExitStack, checkpoints: Sequence[Checkpoint], read_s: float) -> None:
        """Open the topic, and read what the capture has of it already.

        `checkpoints`: by rising gallery version. `read_s`: a capture that is continued has all changes that were
        written until this time (epoch seconds), or until the time of its last record of people.

        Raises:
            CaptureError: the capture was made from another log, or changes that it does not have are gone.
            BrokerError: the log cannot be read.
        """
        self._reader = await stack.enter_async_context(self._broker.reader(self._topic, Start.EARLIEST, [0]))
        is_checked = self._copied is not None and self._folder.manifest.people_from is not None
        verified = self._copied if self._copied is not None and is_checked else -1
        self._checkpoints.extend(each for each in checkpoints if each.gallery_version > verified + 1)
        if self._copied is None:
            return
        end = await self._end()
        if end <= self._copied:
            raise CaptureError(OTHER_LOG)
        read_s = max(read_s, await self._verify(self._copied))
        # A tombstone stays for at least a day longer than the history; younger changes are checked one by one.
        if read_s * 1000 < gone_before_ms(self._history_ms, self._read_ms) and end > self._copied + 1:
            raise CaptureError(_CHANGES_ARE_GONE)

    async def copy_to(self, version: int) -> None:
        """Append the records below a gallery version to the capture, durably.

        Raises:
            CaptureError: the capture cannot be written, or changes are gone that it does not have.
            BrokerError: the log cannot be read.
        """
        async with aclosing(self._read_below(version)) as batches:
            async for records in batches:
                if self._copied is not None and any(map(self._is_old, records)):
                    raise CaptureError(_CHANGES_ARE_GONE)
                await self._append(records)

    async def copy_all(self) -> None:
        """Append all records that the topic contains now; Raises as `copy_to`."""
        now_ms = self._now_ms()
        await self.copy_to(await self._end())
        self._read_ms = max(self._read_ms, now_ms)

    async def people_from(self, decided_s: float) -> int:
        """Return the first gallery version at which the people of decisions since `decided_s` can be folded.

        Records behind those of the capture are read, as far as they may have replaced others; they are not copied.

        Raises:
            BrokerError: the log cannot be read.
        """
        end = await self._end()
        async with aclosing(self._read_below(end)) as batches:
            async for records in batches:
                self._take(records)
                if not self._is_old(records[-1]) and not self._hidden:
                    break
        known = self._folder.manifest.people_from
        first = self._history.foldable_from(end, int(decided_s * 1000)) if known is None else known
        while self._checkpoints and self._checkpoints[0].gallery_version <= self._reader.positions()[0]:
            self._check(self._checkpoints.popleft())
        return max(first, self._certain_from, end + 1 if self._hidden else 0)

    async def _end(self) -> int:
        return (await self._broker.end_offsets(self._topic)).get(0, 0)

    async def _read_below(self, version: int) -> AsyncGenerator[Sequence[Record]]:
        """Yield the next records below `version`, or below the end of the topic where that is lower."""
        while True:
            records = []
            while self._fetched and self._fetched[0].offset < version:
                records.append(self._fetched.popleft())
            if records:
                yield records
            if self._fetched or self._reader.positions()[0] >= version:
                return
            await self._fetch()
            if not self._fetched and self._reader.positions()[0] >= await self._end():
                return

    async def _fetch(self) -> None:
        self._fetched.extend(await self._reader.fetch(_BATCH, _POLL_S))
        now_ms = self._now_ms()
        is_late = self._read_ms < gone_before_ms(self._history_ms, now_ms)
        if is_late and self._fetched and self._folder.last_people_offset is not None:
            raise CaptureError(_CHANGES_ARE_GONE)  # a tombstone may have come and gone since the last reading
        self._read_ms = now_ms
        self._history.read_at(now_ms)

    def _now_ms(self) -> int:
        """Return the latest time that a clock of the log may show now."""
        return self._clock_ms() + min(CLOCKS_APART_MS, self._history_ms // 10)

    def _is_old(self, record: Record) -> bool:
        """Return whether the record, when it was read, may already have removed what it replaced."""
        return record.timestamp_ms <= self._read_ms - self._history_ms

    async def _verify(self, last: int) -> float:
        """Read the records up to offset `last`, each of which the capture must have; return the time of its last."""
        captured, found = self._folder.people(), -1
        there = next(captured)
        async with aclosing(self._read_below(last + 1)) as batches:
            async for records in batches:
                with_value = set()
                for record in records:
                    while there.offset < record.offset:
                        there = next(captured)
                    line = None if record.damaged else self._line(record)
                    if line is not None and (there.offset, there.key) != (line.offset, line.key):
                        raise CaptureError(OTHER_LOG)
                    if there.offset == record.offset and there.value:
                        with_value.add(record.offset)
                    found = record.offset
                self._take(records, with_value)
        there = deque(captured, maxlen=1).pop() if there.offset < last else there
        if found < last:
            await self._require_removed(there)
        return there.time

    async def _require_removed(self, last: PeopleLine) -> None:
        """Check that the last record of the capture, which the log does not have, was removed from this log."""
        if last.offset < (await retained_from(self._broker, self._topic)).get(0, 0):
            return
        if last.time * 1000 > self._read_ms - self._history_ms:
            raise CaptureError(OTHER_LOG)
        if last.value is not None or last.time * 1000 > gone_before_ms(self._history_ms, self._read_ms):
            raise CaptureError(_CHANGES_ARE_GONE)

    async def _append(self, records: Sequence[Record]) -> None:
        photos = self._take(records)
        if self._photos is not None:
            for key, reference in photos:
                await self._photos.keep(key, reference)
        lines = [line for record in records if (line := self._line(record)) is not None]
        if lines:
            await asyncio.to_thread(self._folder.append_people, lines)

    def _line(self, record: Record) -> PeopleLine | None:
        """Return the line of a record; None: a record that no fold contains, or an API key."""
        key = key_of(record.key, record.offset, damaged=record.damaged)
        if key is None:
            return None
        line = PeopleLine(offset=record.offset, time=record.timestamp_ms / 1000, key=key, value=record.value)
        if self._redaction is None:
            return without_credentials(line)
        photos = () if self._photos is None else self._photos.kept
        return self._redaction.people_line(structs.replace(line, time=max(line.time, self.first_decided_s)), photos)

    def _take(self, records: Sequence[Record], with_value: Container[int] = ()) -> list[tuple[bytes, PhotoReference]]:
        """Note what further records change; return the photos that they name.

        `with_value`: the offsets of those whose value the capture has, even if the log has lost it since.
        """
        self._history.take(records)
        photos = []
        for record in records:
            while self._checkpoints and self._checkpoints[0].gallery_version <= record.offset:
                self._check(self._checkpoints.popleft())
            key = key_of(record.key, record.offset, damaged=record.damaged)
            if key is None:
                continue
            if record.damaged or record.erased:
                if record.offset not in with_value:
                    self._hidden.add(key)
            elif key in self._hidden:
                self._hidden.discard(key)
                self._certain_from = record.offset + 1
            photo = self._index.apply(key, record.value)
            if photo is not None:
                photos.append(photo)
        return photos

    def _check(self, checkpoint: Checkpoint) -> None:
        if self._index.contradicts(checkpoint):
            self._certain_from = max(self._certain_from, checkpoint.gallery_version + 1)


async def retained_from(broker: Broker, topic: str) -> Mapping[int, int]:
    """Return partition -> the offset of the first record that the log still has, or the end where it has none."""
    # The start EARLIEST would not do: it names an offset from which on records may have been removed.
    return await start_offsets(broker, topic, 0.0)
