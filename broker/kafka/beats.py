"""Signs of life: a member of a group writes beats, and removes silent members from the group.

A beat is a record in the members topic. When a member is silent for too long, the others remove it from the group, so
that its partitions are assigned anew at once.
"""

import asyncio
import contextlib
import logging
import uuid
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Any, Self

from aiokafka.errors import KafkaError

from broker.kafka.clients import start_producer, stop_producer
from broker.kafka.cluster import Cluster
from broker.kafka.config import KafkaConfig
from broker.kafka.contact import Contact
from broker.kafka.presence import BEAT_S, Beat, encode_beat
from broker.kafka.watch import OpenReader, Watch
from broker.outages import OutageLog
from broker.port import BrokerError

_log = logging.getLogger(__name__)

_RETRY_S = 0.5
_GOODBYE_S = 1.0
_STOP_S = 0.5


class Beats:
    """Writes beats and removes silent members; an async context manager, entered before the member joins its group.

    `serves` returns the partitions from which the member takes records.
    """

    def __init__(
        self,
        config: KafkaConfig,
        cluster: Cluster,
        contact: Contact,
        topic: str,
        group: str,
        serves: Callable[[], Iterable[int]],
        open_reader: OpenReader,
    ) -> None:
        self._config, self._cluster, self._contact = config, cluster, contact
        self._topic, self._group, self._serves = topic, group, serves
        self._instance = uuid.uuid4().hex
        self._watch = Watch(group, open_reader, self._instance, self._look)
        self._producer: Any = None
        self._due = asyncio.Event()
        self._beating: asyncio.Task[None] | None = None
        self._evicting: asyncio.Task[None] | None = None
        self._outages, self._beat_outages = OutageLog(_log), OutageLog(_log)

    @property
    def client_id(self) -> str:
        """The client id with which the member joins the group; its ending identifies the member to the others."""
        return f"{self._config.client_id}{_ending(self._instance)}"

    async def __aenter__(self) -> Self:
        await self._watch.__aenter__()
        self._beating = asyncio.create_task(self._run(), name=f"beats-{self._group}")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop watching and beating; write a last beat (`leaves`), so that nobody waits for this member."""
        await self._watch.__aexit__(None, None, None)
        for task in (self._beating, self._evicting):
            if task is not None:
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task
        if self._producer is not None and self._contact.available:
            with contextlib.suppress(KafkaError, TimeoutError):
                async with asyncio.timeout(_GOODBYE_S):
                    await self._send(leaves=True)
        await self._drop_producer()

    def beat_now(self) -> None:
        """Write a beat at once, because the result of `serves` has changed."""
        self._due.set()

    async def _run(self) -> None:
        while True:
            try:
                await self._beat()
            except Exception as error:  # noqa: BLE001 - beating must go on: without beats the member would count as dead
                self._beat_outages.failed(f"group {self._group}: this member cannot write beats now: {error!r}")
                await self._drop_producer()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(BEAT_S):
                    await self._due.wait()
            self._due.clear()

    async def _beat(self) -> None:
        if not self._contact.available:
            return
        if self._producer is None:
            self._producer = await start_producer(self._config.fleeting(), self._config.patience_s)
        async with asyncio.timeout(self._config.patience_s):
            await self._send()
        self._beat_outages.recovered(f"group {self._group}: this member writes beats again")

    async def _send(self, *, leaves: bool = False) -> None:
        beat = Beat(self._group, self._instance, tuple(sorted(self._serves())), leaves)
        await self._producer.send_and_wait(self._topic, encode_beat(beat), partition=0)

    async def _drop_producer(self) -> None:
        producer, self._producer = self._producer, None
        if producer is not None:
            await stop_producer(producer, _STOP_S)

    def _look(self) -> None:
        if self._evicting is None or self._evicting.done():
            silent = self._watch.silent()
            if silent:
                self._evicting = asyncio.create_task(self._evict(silent), name=f"evict-{self._group}")

    async def _evict(self, silent: frozenset[str]) -> None:
        try:
            evicted = await self._cluster.evict(self._group, tuple(map(_ending, silent)))
        except BrokerError as error:
            self._outages.failed(f"group {self._group}: a silent member cannot be removed now: {error}")
            await asyncio.sleep(_RETRY_S)
            return
        self._outages.recovered(f"group {self._group}: silent members can be removed again")
        self._watch.forget(silent)
        if evicted:
            _log.warning(
                "group %s: members without beats were removed: %s; their partitions are assigned anew",
                *(self._group, ", ".join(evicted)),
            )


def _ending(instance: str) -> str:
    """Return the ending of that member's client id; what comes before is a setting, which may differ by process."""
    return f"-{instance}"
