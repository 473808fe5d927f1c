"""A copy of the people in a file of this machine, so that a processor with many people starts quickly.

The people topic stays the only store of people; the copy saves reading what is older than the copy. It is used only if
nothing could have been missed: it must be of this log, this embedder and this version of the program, younger than half
of the time for which the topic keeps deletions, and no deletion may be removed that is newer than the copy. Otherwise
one line tells why, the file is removed, and the topic is read from its start.
"""

import asyncio
import hashlib
import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path

from broker.port import Broker, BrokerError, Position, Record
from contract.files import HALF, remove_overwritten, replaced_file
from contract.people.keys import REMOVE_COPIES_KEY
from engine.gallery.parts_file import About, UnusableCopy, form_of_copies, read_about, read_parts, write_parts
from engine.gallery.people import People
from picturematch.memory import without_collecting

COPY_FILE = "people.copy"
"""The name of the file in its folder."""

LEAST_FACES = 10_000
"""A log with fewer faces is read within a second."""
_LOOK_S = 60.0
_MANY_CHANGES = 5_000
_CHANGES_SHARE = 50
"""One record for so many faces is many changes, too."""
_SOON_S, _LATER_S = 600.0, 3600.0
"""How long ago the last copy must be after many changes, and after a few."""
_CLOCK_SLACK_S = 60.0
_PAUSE_S = 0.002
"""How long the writing thread rests after each piece of work, so that matches go on."""

_log = logging.getLogger(__name__)


class _Outdated(Exception):
    """The copy that is being written must not be kept."""


class LocalCopy:
    """The copy of `people`, the fold of the people topic, in the file `path`; one process at a time may use it.

    All methods are called on one event loop. `people` is empty until `restore` has returned. `clock`: epoch seconds.
    `kept`: whether a copy is kept; otherwise a file that is there from before is removed.
    """

    def __init__(
        self, people: People, topic: str, path: Path, clock: Callable[[], float] = time.time, *, kept: bool = True
    ) -> None:
        self._people, self._topic, self._path, self._clock, self._kept = people, topic, path, clock, kept
        self._last: tuple[int, str] | None = None  # offset and digest of the last record that the people contain
        self._written: About | None = None
        self._erased = False  # somebody was erased, so no copy of before may stay
        self._outdated = threading.Event()  # tells the writing thread to stop
        self._look = asyncio.Event()
        self._broker: Broker | None = None
        self._failed_s: float | None = None

    async def restore(self, broker: Broker) -> Mapping[int, int]:
        """Fill the people from the file if it can be trusted; return from which offset the topic is to be read.

        Raises:
            BrokerError: the log cannot be read now.
        """
        self._broker = broker
        try:
            about = await asyncio.to_thread(self._about)
            reason = await self._doubt(broker, about) if self._kept else "gallery.local_copy is off"
            if reason is None:
                await asyncio.to_thread(self._fill, about)
                self._written, self._last = about, (about.last_offset, about.last_sha256)
                _log.info("%d faces come from the local copy %s", self._people.faces_count, self._path)
                return {0: self._people.version}
        except FileNotFoundError:
            return {}
        except UnusableCopy as error:
            reason = str(error)
        except OSError as error:
            reason = f"it cannot be read ({error.strerror})"
        _log.warning("the local copy %s is removed, and all people are read from the log: %s", self._path, reason)
        await self._remove()
        return {}

    def take(self, records: Sequence[Record]) -> None:
        """Note records of the people topic that were applied to the people."""
        if records:
            self._last = records[-1].offset, _digest(records[-1])
        if any(record.key == REMOVE_COPIES_KEY for record in records):
            self._erased = True
            self._outdated.set()
            self._look.set()

    async def keep(self) -> None:
        """Write the copy anew whenever it is due, for ever; call this once the people are read."""
        try:
            while True:
                self._look.clear()
                try:
                    await self._tend()
                except BrokerError as error:
                    _log.warning("the local copy %s is written later: %s", self._path, error)
                except Exception:  # noqa: BLE001 - without a copy the process does its work, and the next try may succeed
                    self._failed_s = self._clock()
                    _log.exception("the local copy %s cannot be kept; the next try is in an hour", self._path)
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._look.wait(), _LOOK_S)
        finally:
            self._outdated.set()

    async def _tend(self) -> None:
        allowed = self._kept and self._people.faces_count >= LEAST_FACES and not self._people.unreadable
        if self._erased or (self._written is not None and not allowed):
            self._erased = False
            await self._remove()
        if allowed and self._broker is not None and self._is_due():
            await self._write(self._broker)

    def _is_due(self) -> bool:
        now_s, written = self._clock(), self._written
        if self._failed_s is not None and now_s - self._failed_s < _LATER_S:
            return False
        if written is None:
            return True
        since_s, changes = now_s - written.written_s, self._people.version - written.last_offset - 1
        many = changes >= max(_MANY_CHANGES, self._people.faces_count // _CHANGES_SHARE)
        return (many and since_s >= _SOON_S) or (changes > 0 and since_s >= _LATER_S) or since_s >= written.kept_s / 4

    async def _write(self, broker: Broker) -> None:
        kept_ms = (await broker.deletions_kept(self._topic)).kept_ms
        people, last = self._people, self._last
        if last is None or last[0] + 1 != people.version or people.unreadable:
            return
        about = About(
            form=_form(),
            embedder=people.embedder or "",
            dimension=people.dimension,
            written_s=self._clock(),
            kept_s=kept_ms / 1000,
            last_offset=last[0],
            last_sha256=last[1],
        )
        parts = people.parts()
        self._outdated.clear()

        def write() -> None:
            with replaced_file(self._path) as file:
                write_parts(file, about, parts, self._pause)

        try:
            await asyncio.to_thread(write)
        except _Outdated:
            return
        except OSError as error:
            self._failed_s = about.written_s
            _log.warning(
                "the local copy %s cannot be written (%s); the next try is in an hour", self._path, error.strerror
            )
        else:
            self._failed_s, self._written = None, about
            _log.info("the local copy %s has %d faces", self._path, sum(parts.directory.embedders.values()))

    def _pause(self) -> None:
        if self._outdated.is_set():
            raise _Outdated
        time.sleep(_PAUSE_S)

    def _about(self) -> About:
        remove_overwritten(Path(f"{self._path}{HALF}"))
        return read_about(self._path)

    def _fill(self, about: About) -> None:
        with without_collecting():
            parts = read_parts(self._path)
            if parts.directory.version != about.last_offset + 1:
                raise UnusableCopy("it is damaged")
            self._people.fill(parts)

    async def _remove(self) -> None:
        self._written = None
        try:
            await asyncio.to_thread(remove_overwritten, self._path)
        except OSError as error:
            _log.error(
                "the local copy %s cannot be removed (%s): remove the file; it contains embeddings of people",
                *(self._path, error.strerror),
            )

    async def _doubt(self, broker: Broker, about: About) -> str | None:
        """Return why a copy cannot be trusted; None: it can."""
        people, age_s = self._people, self._clock() - about.written_s
        if about.form != _form():
            return "another version of the program has written it"
        if (about.embedder, about.dimension) != (people.embedder, people.dimension):
            return "it was made with another embedder"
        kept, end = await broker.deletions_kept(self._topic), (await broker.end_offsets(self._topic))[0]
        if age_s < -_CLOCK_SLACK_S:
            return "it was written in the future, by the clock of this machine"
        if age_s > min(about.kept_s, kept.kept_ms / 1000) / 2:
            return f"it is older than half of the time for which the topic {self._topic} keeps deletions"
        if about.last_offset < kept.complete_from.get(0, 0):
            return "the log has removed deletions that are newer"
        record = None
        if about.last_offset < end:
            record = await broker.read_at(Position(self._topic, 0, about.last_offset))
        if record is None or _digest(record) != about.last_sha256:
            return f"the topic {self._topic} does not have its last record any more, or is another log's"
        return None


def _form() -> str:
    return f"{version('picturematch')} {form_of_copies()}"


def _digest(record: Record) -> str:
    hashed = hashlib.sha256(record.key or b"")
    hashed.update(b"\0" if record.value is None else b"\1" + record.value)
    return hashed.hexdigest()
