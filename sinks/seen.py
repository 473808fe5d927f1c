"""Follows the evidence topic, so that the faces of past matches can be searched (`contract.seen_faces.SeenFaces`)."""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Mapping, Sequence
from threading import Lock
from types import TracebackType
from typing import Self

import msgspec

from broker.port import Broker, BrokerError, Position, Reader, Record, Start
from contract.addresses import canonical_address
from contract.evidence import decode_evidence
from contract.seen_faces import InTime, Likeness, Nearest, SeenFace, SeenFilter
from contract.vectors import Vector
from sinks.seen_index import NewFace, SeenIndex

_log = logging.getLogger(__name__)

_BATCH = 500
_POLL_S = 1.0
_AGAIN_S = 2.0
_READ_AT_A_TIME = 16


class SeenFacesOfLog:
    """A task that reads the evidence topic into an index, while the context is open.

    Args:
        broker: the open log.
        topic: the evidence topic.
        likeness: the facts about the embedder in use; faces of other embedders are left out.
        most: the most faces in memory, about 1.2 KB each with 512 dimensions.
        kept_s: how long the log keeps evidence, in seconds.
        clock: returns epoch seconds.
    """

    def __init__(
        self, broker: Broker, topic: str, likeness: Likeness, most: int, kept_s: float, clock: Callable[[], float]
    ) -> None:
        self._broker, self._topic, self._likeness = broker, topic, likeness
        self._kept_s, self._clock = kept_s, clock
        self._index = SeenIndex(likeness.dimension, most)
        self._lock = Lock()
        self._complete = False
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._follow(), name="seen-faces")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    @property
    def likeness(self) -> Likeness:
        """The facts about the embedder."""
        return self._likeness

    def complete(self) -> bool:
        """Return whether the evidence was read to the end that it had at the start."""
        return self._complete

    def in_time(self, probe: Vector, wanted: SeenFilter, least: float, *, newest_first: bool) -> InTime:
        """See `contract.seen_faces.SeenFaces.in_time`."""
        with self._lock:
            return self._index.in_time(probe, wanted, least, newest_first=newest_first)

    def nearest(self, probe: Vector, wanted: SeenFilter, most: int) -> Nearest:
        """See `contract.seen_faces.SeenFaces.nearest`."""
        with self._lock:
            return self._index.nearest(probe, wanted, most)

    async def kept(self, found: Sequence[SeenFace]) -> Sequence[SeenFace]:
        """See `contract.seen_faces.SeenFaces.kept`."""
        kept: list[SeenFace] = []
        for first in range(0, len(found), _READ_AT_A_TIME):
            some = found[first : first + _READ_AT_A_TIME]
            there = await asyncio.gather(*map(self._is_kept, some))
            kept += [face for face, is_there in zip(some, there, strict=True) if is_there]
        return kept

    async def _is_kept(self, face: SeenFace) -> bool:
        record = await self._broker.read_at(Position(self._topic, *face.place))
        return record is not None and record.value is not None and not record.damaged

    async def _follow(self) -> None:
        positions: Mapping[int, int] | Start = Start.EARLIEST
        targets: Mapping[int, int] | None = None
        while True:
            try:
                targets = targets or await self._broker.end_offsets(self._topic)
                async with self._broker.reader(self._topic, positions) as reader:
                    while True:
                        await self._read(reader, targets)
                        positions = reader.positions()
            except BrokerError as error:
                _log.warning("the evidence cannot be read now, trying again: %s", error)
                await asyncio.sleep(_AGAIN_S)

    async def _read(self, reader: Reader, targets: Mapping[int, int]) -> None:
        records = await reader.fetch(_BATCH, _POLL_S)
        await asyncio.to_thread(self._take, records)
        if not self._complete:
            positions = reader.positions()
            self._complete = all(positions.get(partition, 0) >= end for partition, end in targets.items())

    def _take(self, records: Sequence[Record]) -> None:
        faces = [face for record in records if (face := self._face(record)) is not None]
        with self._lock:
            self._index.add(faces)
            self._index.leave_out_before(self._clock() - self._kept_s)

    def _face(self, record: Record) -> NewFace | None:
        """Return the face of a record of evidence; None: it is erased, damaged, or of another embedder."""
        try:
            evidence = decode_evidence(record.value or b"")
        except msgspec.DecodeError:
            return None
        if evidence.embedder != self._likeness.embedder or len(evidence.embedding) != 2 * self._likeness.dimension:
            return None
        device = "" if evidence.device_ip is None else canonical_address(evidence.device_ip)
        time_s = evidence.decided_time if evidence.received_time is None else evidence.received_time
        return NewFace(evidence.event_id, time_s, device, (record.partition, record.offset), evidence.embedding)
