"""Reads the members topic: whether a group's members take records, and which members are silent."""

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

from broker.kafka.presence import Presence, decode_beat
from broker.kafka.reader import KafkaReader
from broker.outages import OutageLog
from broker.port import BrokerError

_log = logging.getLogger(__name__)

_HISTORY_S = 30.0
_SLICE_S = 0.1
_RETRY_S = 0.5
_SERVED_WITHIN_S = 2.0
"""A member takes no records if its last beat is older than this: several beats, and the time to read them."""

OpenReader = Callable[[float], KafkaReader]
"""A function that returns a reader of the members topic from a time on, in epoch seconds."""


class Watch:
    """Reads the beats of one group from the members topic; an async context manager. See `broker.port.Watch`.

    `own` is the instance of an observer that writes beats itself; `on_read` is called after every fetch.
    """

    def __init__(
        self,
        group: str,
        open_reader: OpenReader,
        own: str | None = None,
        on_read: Callable[[], None] | None = None,
    ) -> None:
        self._group, self._open_reader, self._on_read = group, open_reader, on_read
        self._presence = Presence(own)
        self._opened_s = 0.0
        self._read_s: float | None = None
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._run(), name=f"watch-{self._group}")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    def served(self) -> bool | None:
        """Return whether a member takes records of a partition.

        None: not known, because the topic cannot be read now, or was not read for long enough yet.
        """
        if self._read_s is None:
            return None
        if self._presence.served(self._group, self._read_s, _SERVED_WITHIN_S):
            return True
        return None if self._read_s - self._opened_s < _SERVED_WITHIN_S else False

    def silent(self) -> frozenset[str]:
        """Return the instances that are silent for too long."""
        return frozenset() if self._read_s is None else self._presence.silent(self._group, self._read_s)

    def forget(self, instances: frozenset[str]) -> None:
        """Forget instances that were removed from the group; a new beat makes an instance a member again."""
        self._presence.forget(self._group, instances)

    async def _run(self) -> None:
        outages = OutageLog(_log)
        while True:
            try:
                async with self._open_reader(time.time() - _HISTORY_S) as reader:
                    outages.recovered("the members topic can be read again")
                    self._opened_s = asyncio.get_running_loop().time()
                    self._presence.excuse(self._opened_s)
                    await self._read(reader)
            except Exception as error:  # noqa: BLE001 - whatever error ends this reader, the next one may succeed
                self._read_s = None
                reason = error if isinstance(error, BrokerError) else repr(error)
                outages.failed(f"the members topic cannot be read: {reason}; trying again")
                await asyncio.sleep(_RETRY_S)

    async def _read(self, reader: KafkaReader) -> None:
        loop = asyncio.get_running_loop()
        while True:
            for record in await reader.fetch(timeout_s=_SLICE_S):
                beat = decode_beat(record.value)
                if beat is not None:
                    self._presence.note(beat, loop.time(), record.timestamp_ms / 1000)
            self._read_s = loop.time()
            if self._on_read is not None:
                self._on_read()
