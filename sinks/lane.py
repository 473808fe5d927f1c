"""The lane of a partition: delivers one event after the other to a receiver, and commits what is delivered.

An event that has failed `max_tries` times becomes a dead letter if it fails once more after the receiver has taken
another event: one of another lane, or a later one of this lane, which is tried for that purpose. As long as the
receiver takes none, it is down, and the lane waits.
"""

import asyncio
import logging
import random
import time
import traceback
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from broker.port import BrokerError, GroupMember, Record
from contract.operator_error import OperatorError
from sinks.acting import Acting, WhyNot, why_not
from sinks.letters import Letters
from sinks.meter import Meter
from sinks.outgoing import Outgoing, Unusable, outgoing
from sinks.pacing import Pacing
from sinks.port import SinkError
from sinks.receiver import Delivered, Delivery, Failed, NeverTakes, Receiver, SwitchedOff
from sinks.retrying import Retrying
from sinks.standing import Standing
from sinks.waiting import pause, rewind
from sinks.wanted import Wanted

_log = logging.getLogger(__name__)

COMMIT_EVERY_S = 1.0
_COMMIT_EVERY = 200
_LANE_RECORDS = 400
_LAST_DELIVERY_S = 15.0
"""How long the delivery under way may take when the sink stops."""
_HAND_OVER_S = 3.0
"""How long the last commit of a partition may take that passes to another process."""
_AFTER_FAILED_COMMIT_S = 1.0
_LOOK_AGAIN_S = 1.0
"""How long a lane waits for an upload at a time, because the period of the uploads may change."""
_UNACTED = "sink %s did not act on event %s: %s"
_UNSURE = "sink %s does not know whether its receiver has acted on event %s, and does not try again: %s"


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How events are delivered to one receiver.

    Attributes:
        wanted: the events that are delivered.
        retrying: when a failed delivery is tried again.
        acting: the rule of a receiver that acts; None: the receiver does not act.
        from_now: a new group begins at the end of the topic; otherwise at its first record.
        retention_ms: how long the topic keeps events; None: for ever.
        pacing: when uploads begin; None: each event is delivered at once.
        from_s: epoch seconds at which a new group begins, at the first record that was written then or later; None:
            `from_now` decides.
        clock: returns epoch seconds.
        chance: returns a random number, 0 to 1.
    """

    wanted: Wanted = field(default_factory=Wanted)
    retrying: Retrying = field(default_factory=Retrying)
    acting: Acting | None = None
    from_now: bool = True
    retention_ms: int | None = None
    pacing: Pacing | None = None
    from_s: float | None = None
    clock: Callable[[], float] = time.time
    chance: Callable[[], float] = random.random


class ReceiverOff(SinkError):
    """The receiver has switched itself off; the sink must not be started again by itself."""


@dataclass(slots=True)
class LaneContext:
    """What all lanes of a receiver share.

    `delivered` counts their deliveries, and `standing` is what their tries show. `logged`: the failure that was logged
    last, and `told` whether the log says that the receiver is down; both only until the receiver takes an event.
    `told_backlog`: whether the log says that a receiver that acts gets no event from before the start.
    """

    receiver: Receiver
    member: GroupMember
    plan: Plan
    letters: Letters
    meter: Meter
    stop: asyncio.Event
    delivered: int = 0
    standing: Standing = field(default_factory=Standing)
    logged: str | None = None
    told: bool = False
    told_backlog: bool = False


class Lane:
    """The deliveries of one partition.

    Records below `first` are ignored. A receiver that acts gets no record below `backlog_end`.
    """

    def __init__(self, context: LaneContext, partition: int, first: int, backlog_end: int) -> None:
        self._all, self._partition, self._first, self._backlog_end = context, partition, first, backlog_end
        self._records: deque[Record] = deque()
        self._arrived = asyncio.Event()
        self._ending = False
        self._next: int | None = None
        self._uncommitted = 0
        self._committing = False
        self._early: set[int] = set()
        """The offsets of records that were delivered while an earlier one was failing."""
        self.task = asyncio.create_task(self._run(), name=f"sink-{context.meter.name}-{partition}")

    @property
    def busy(self) -> bool:
        """Whether the lane has records that are not delivered, or deliveries that are not committed."""
        return bool(self._records) or self._uncommitted > 0

    def take(self, record: Record) -> None:
        """Add a record; pause the partition where the lane is full."""
        if record.offset < self._first:
            return
        self._records.append(record)
        self._arrived.set()
        if len(self._records) >= _LANE_RECORDS:
            self._all.member.pause(self._partition)

    async def cancel(self) -> None:
        """End at once; a delivery under way may have reached the receiver."""
        self.task.cancel()
        await asyncio.wait({self.task})

    async def hand_over(self) -> None:
        """End at once, and commit what is delivered, so that the next owner of the partition does not deliver it again.

        A delivery under way may have reached the receiver. An event for a receiver that acts is never committed here.
        """
        await self.cancel()
        if self._committing or self._all.plan.acting is not None or self._next is None:
            return
        try:
            async with asyncio.timeout(_HAND_OVER_S):
                await self._all.member.commit(self._partition, self._next, self._all.letters.take(self._partition))
        except (BrokerError, TimeoutError) as error:
            _log.warning(
                "sink %s delivers the last events again: %s", self._all.meter.name, error or "no commit in time"
            )

    async def finish(self) -> None:
        """End after the delivery under way and a last commit."""
        self._ending = True
        self._arrived.set()
        _, late = await asyncio.wait({self.task}, timeout=_LAST_DELIVERY_S)
        if late:
            await self.cancel()

    async def _run(self) -> None:
        while not (self._ending or self._all.stop.is_set()):
            if self._records:
                await self._next_record()
            elif self._uncommitted:
                await self._wait_for_more()
                if not self._records:
                    await self._commit()
            else:
                self._arrived.clear()
                await self._arrived.wait()
        await self._commit()

    async def _wait_for_more(self) -> None:
        self._arrived.clear()
        try:
            async with asyncio.timeout(COMMIT_EVERY_S):
                await self._arrived.wait()
        except TimeoutError:
            return

    async def _next_record(self) -> None:
        record = self._records[0]
        found = outgoing(record)
        self._all.meter.trying(self._partition, record.timestamp_ms)
        if not await self._passed_on(record, found):
            return
        self._records.popleft()
        self._next = record.offset + 1
        self._uncommitted += 1
        self._all.meter.reached(self._partition, self._next)
        if len(self._records) == _LANE_RECORDS // 2:
            self._all.member.resume(self._partition)
        if self._uncommitted >= _COMMIT_EVERY or self._all.letters.has(self._partition):
            await self._commit()

    async def _passed_on(self, record: Record, found: Outgoing | Unusable | None) -> bool:
        """Pass a record on, or decide that it is not passed on; return whether the lane goes on behind the record."""
        if found is None:
            self._all.meter.passed_over.inc()
            return True
        if isinstance(found, Unusable):
            self._letter(record, found.reason)
            return True
        if not self._all.plan.wanted.contains(found.event):
            self._all.meter.passed_over.inc()
            return True
        if record.offset in self._early:
            self._early.discard(record.offset)
            return True
        if await self._stopped_before_upload(record):
            return False
        return await (
            self._deliver(found) if self._all.plan.acting is None else self._act(found, self._all.plan.acting)
        )

    async def _stopped_before_upload(self, record: Record) -> bool:
        """Wait for the upload that a record is part of; return whether the sink stopped meanwhile."""
        pacing, clock = self._all.plan.pacing, self._all.plan.clock
        while pacing is not None and (wait_s := pacing.wait_s(record.timestamp_ms / 1000, clock())) > 0:
            if await pause(min(wait_s, _LOOK_AGAIN_S), self._all.stop) or self._ending:
                return True
        return False

    async def _deliver(self, event: Outgoing) -> bool:
        """Deliver an event, again while the receiver fails; return False where the sink stopped meanwhile."""
        retrying, chance, standing = self._all.plan.retrying, self._all.plan.chance, self._all.standing
        failed, probes, before_s = 0, 0, time.monotonic()
        while True:
            takes_others, before_s = standing.has_taken_since(before_s), time.monotonic()
            result = await self._try(event)
            match result:
                case Delivered():
                    self._succeeded()
                    return True
                case SwitchedOff():
                    await self._switched_off(result)
                case NeverTakes(reason):
                    self._all.meter.failed.inc()
                    self._letter(event.record, reason, failed + 1)
                    return True
                case Failed(reason, asked_s):
                    failed += 1
                    self._failed(reason)
                    wait_s = retrying.wait_s(failed, chance(), asked_s)
                    if wait_s is None:
                        if takes_others or standing.down_s(time.monotonic()) >= retrying.patience_s:
                            self._letter(event.record, reason, failed)
                            return True
                        wait_s = 0.0 if await self._takes_another(probes) else retrying.probe_s(chance())
                        probes += 1
                    if await pause(wait_s, self._all.stop) or self._ending:
                        return False

    async def _takes_another(self, probes: int) -> bool:
        """Return whether the receiver takes a later event of this lane, which is tried: another one at each call.

        `probes`: how often this function was called before because of the same event.
        """
        if not probes:
            self._log_patience()
        later = [found for record in list(self._records)[1:] if (found := self._deliverable(record)) is not None]
        if not later:
            return False
        probe = later[probes % len(later)]
        result = await self._try(probe)
        match result:
            case Delivered():
                self._early.add(probe.record.offset)
                self._succeeded()
                return True
            case SwitchedOff():
                await self._switched_off(result)
            case Failed(reason) | NeverTakes(reason):
                self._failed(reason)
        return False

    def _deliverable(self, record: Record) -> Outgoing | None:
        """Return the event of a record that has still to be delivered."""
        found = outgoing(record)
        if not isinstance(found, Outgoing) or record.offset in self._early:
            return None
        return found if self._all.plan.wanted.contains(found.event) else None

    async def _try(self, event: Outgoing) -> Delivery:
        """Try to deliver an event once; an event that the receiver's program cannot express must not end the sink."""
        try:
            return await self._all.receiver.deliver(event)
        except (OperatorError, BrokerError):
            raise
        except Exception as failure:  # noqa: BLE001 - the fault of one event, which becomes a dead letter in the end
            reason = f"an unexpected error of the sink, {type(failure).__name__}, whose trace is in the sink's log"
            if reason != self._all.logged:
                # Without the message of the error, which may quote the event.
                _log.error("sink %s: %s", self._all.meter.name, "".join(traceback.format_tb(failure.__traceback__)))
            return Failed(reason)

    async def _switched_off(self, result: SwitchedOff) -> None:
        """Keep the offset, and end the sink."""
        await self._commit()
        raise ReceiverOff(f"sink {self._all.meter.name} ends: {result.reason}")

    async def _act(self, event: Outgoing, acting: Acting) -> bool:
        """Deliver an event to a receiver that acts, at most once; return False where its offset cannot be committed."""
        plan, record = self._all.plan, event.record
        reason = why_not(event.event, acting, plan.clock())
        if reason != "not_matched" and record.offset < self._backlog_end:
            reason = "backlog"
        if reason is not None:
            self._all.meter.passed_over.inc()
            self._log_why_not(event, reason)
            return True
        self._next = record.offset + 1
        if not await self._commit():
            return False
        if why_not(event.event, acting, plan.clock()) is not None:
            _log.warning("sink %s does not act on event %s: late", self._all.meter.name, event.id)
            self._all.meter.passed_over.inc()
            return True
        result = await self._try(event)
        if isinstance(result, Delivered):
            self._succeeded()
            return True
        self._all.meter.failed.inc()
        unsure = isinstance(result, Failed) and result.sent
        _log.error(_UNSURE if unsure else _UNACTED, self._all.meter.name, event.id, result.reason)
        if isinstance(result, SwitchedOff):
            await self._switched_off(result)
        return True

    def _log_why_not(self, event: Outgoing, reason: WhyNot) -> None:
        """Log why the receiver does not act; of events from before the start, which may be many, only the first one."""
        if reason != "not_matched" and not (reason == "backlog" and self._all.told_backlog):
            _log.warning("sink %s does not act on event %s: %s", self._all.meter.name, event.id, reason)
            self._all.told_backlog |= reason == "backlog"

    def _succeeded(self) -> None:
        self._all.standing.taken(time.monotonic())
        self._all.told = False
        self._all.delivered += 1
        self._all.meter.delivered.inc()
        if self._all.logged is not None:
            self._all.logged = None
            _log.warning("sink %s delivers again", self._all.meter.name)

    def _failed(self, reason: str) -> None:
        self._all.meter.failed.inc()
        self._all.standing.failed(time.monotonic())
        if reason != self._all.logged:
            self._all.logged = reason
            _log.warning(
                "sink %s: an event could not be delivered and is tried again: %s", self._all.meter.name, reason
            )

    def _log_patience(self) -> None:
        if self._all.told:
            return
        self._all.told, retrying = True, self._all.plan.retrying
        _log.error(
            "sink %s: the receiver has not taken an event in %d tries: mend the receiver, or the event becomes a dead"
            " letter as soon as the receiver takes another one, and all of them after %.0f s without one",
            *(self._all.meter.name, retrying.max_tries, retrying.patience_s),
        )

    def _letter(self, record: Record, reason: str, tries: int = 1) -> None:
        self._all.meter.dead_letters.inc()
        self._all.letters.add(record, reason, tries)
        _log.error(
            "sink %s: the record at partition %d, offset %d becomes a dead letter: %s",
            *(self._all.meter.name, record.partition, record.offset, reason),
        )

    async def _commit(self) -> bool:
        """Commit what is passed on; return False where that failed, so that the records are delivered again."""
        if self._next is None:
            return True
        self._committing = True
        try:
            await self._all.member.commit(self._partition, self._next, self._all.letters.take(self._partition))
        except BrokerError as error:
            if not error.retriable:
                raise
            _log.warning("%s", error)
            await self._again()
            self._committing = False
            return False
        self._committing = False
        self._uncommitted = 0
        return True

    async def _again(self) -> None:
        """Forget the records that are waiting, and deliver the partition again from the committed offset."""
        member, partition = self._all.member, self._partition
        member.pause(partition)
        await pause(_AFTER_FAILED_COMMIT_S, self._all.stop)
        await rewind(member, partition, self._all.stop)
        self._records.clear()
        self._next, self._uncommitted = None, 0
        member.resume(partition)
