"""Records match requests from the log into a capture, each with its pictures, its decision and its evidence.

Requests are read in batches, and what belongs to a batch is read before the next batch. So the lines are in the order
of the requests, and few requests are in memory. Requests that were not written when recording ends are recorded when
the same capture is continued.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack, aclosing
from dataclasses import dataclass, replace
from itertools import takewhile

from msgspec import structs

from broker.patient import PatientBroker
from broker.port import Broker, Record, UnknownTopic
from capture.folder import CaptureFolder
from capture.recording.configs import ConfigsReader
from capture.recording.decisions import Decisions
from capture.recording.evidence import EvidenceReader
from capture.recording.join import Decided, Join, Pending
from capture.recording.people import PeopleCopy
from capture.recording.people_index import PeopleIndex
from capture.recording.photos import Photos
from capture.recording.redaction import Redaction
from capture.recording.repair import repair_pictures
from capture.recording.requests import RequestReader, first_offsets, is_replay, pending_of
from capture.recording.selection import continued
from capture.recording.values import Tally, Wanted
from contract.captures.convert import decision_of, line_of
from contract.captures.values import CapturedDecision, CaptureError, CaptureLine, Selection
from contract.evidence import Evidence
from contract.topics import Topics

_CLOCK_SLACK_S = 60.0  # after a clock was set back, an event may have an earlier timestamp than its request
_WITHOUT_FACE = "empty_group"
"""The outcome of an error that may come after a comparison of faces."""


@dataclass(frozen=True, slots=True)
class LogToRecord:
    """An open log.

    Attributes:
        broker: the log.
        topics: its topics.
        clock_s: returns the seconds since the epoch by the log's clock.
        history_ms: how long the log keeps records of people that were replaced (log.people_history_ms).
    """

    broker: Broker
    topics: Topics
    clock_s: Callable[[], float]
    history_ms: int


async def record(
    log: LogToRecord,
    folder: CaptureFolder,
    stop: asyncio.Event,
    *,
    wanted: Wanted | None = None,
    redaction: Redaction | None = None,
    follow: bool = False,
    wait_s: float = 10.0,
    all_people: bool = False,
) -> Tally:
    """Record the requests that the log contains now; with `follow`, continue until `stop` or `wanted.until_s`.

    Args:
        log: The open log. While following, an outage of the log is waited for.
        folder: The entered capture; a capture that has requests of this log is continued after the last of them.
        stop: The event that ends recording at the next batch.
        wanted: The requests to record; None means all match requests.
        redaction: Replaces ids and names by pseudonyms; None: the capture has them as they are.
        follow: Whether to record the requests that are written later, too.
        wait_s: The age in seconds from which on a request is recorded without a decision.
        all_people: Whether to record the changes of people after the last decision, too.

    Raises:
        CaptureError: the capture was made from another log or with other options, or the log has lost changes of people
            that it would need.
        BrokerError: the log cannot be read.
    """
    async with AsyncExitStack() as stack:
        recorder = Recorder(log, folder, stop, wanted or Wanted(), redaction, follow=follow, wait_s=wait_s)
        await recorder.begin(stack)
        await recorder.run()
        if all_people:
            await recorder.copy_people()
        await recorder.end()
    return recorder.tally


class Recorder:
    """One recording; the arguments are those of `record`."""

    def __init__(
        self,
        log: LogToRecord,
        folder: CaptureFolder,
        stop: asyncio.Event,
        wanted: Wanted,
        redaction: Redaction | None,
        *,
        follow: bool,
        wait_s: float,
    ) -> None:
        self.tally = Tally()
        # A log that is lost for a moment must not end a recording that follows it for days.
        self._log = replace(log, broker=PatientBroker(log.broker, stop)) if follow else log
        self._folder, self._stop = folder, stop
        self._wanted, self._redaction, self._follow, self._wait_s = wanted, redaction, follow, wait_s
        self._selection = Selection()
        self._join = Join()
        self._oldest_s: float | None = None
        self._index: PeopleIndex
        self._photos: Photos | None = None
        self._people: PeopleCopy | None = None
        self._configs: ConfigsReader | None = None
        self._decisions: Decisions
        self._evidence: EvidenceReader

    async def begin(self, stack: AsyncExitStack) -> None:
        """Open the topics, and check that the capture can be continued; Raises as `record`."""
        broker, topics = self._log.broker, self._log.topics
        pseudonyms = None if self._redaction is None else self._redaction.name
        manifest = continued(
            *(self._folder.manifest, replace(self._wanted, device_ip=self._named(self._wanted.device_ip)), pseudonyms),
            has_requests=self._folder.count > 0,
        )
        if manifest != self._folder.manifest:
            self._folder.describe(**structs.asdict(manifest))
        self._selection, photos = manifest.selection or Selection(), manifest.photos
        self._requests = RequestReader(
            *(broker, topics.requests, self._stop, self._log.clock_s),
            until_s=self._wanted.until_s,
            follow=self._follow,
        )
        await self._requests.begin()
        self._first = await first_offsets(
            broker, topics.requests, self._folder.last_lines, self._selection.since, self._requests.ends
        )
        self.tally.lost_pictures = await repair_pictures(broker, self._folder)
        self._oldest_s = await asyncio.to_thread(_oldest_decision, self._folder.lines())
        self._index = PeopleIndex(photos=photos != "none")
        if photos != "none" and await self._count(topics.photos):
            self._photos = Photos(broker, topics.photos, self._folder)
        if await self._count(topics.configs):
            self._configs = ConfigsReader(broker, topics.configs)
            await self._configs.begin(stack)
        if await self._count(topics.people):
            self._people = self._people_copy(self._photos if photos == "all" else None)
            self._people.first_decided_s = self._oldest_s or 0.0
            checkpoints = () if self._configs is None else self._configs.checkpoints
            await self._people.begin(stack, checkpoints, self._read_s())
        elif self._folder.last_people_offset is not None:
            raise CaptureError("the capture has people, and the log has none; record into another folder")
        self._stack = stack

    def _people_copy(self, photos_of_all: Photos | None) -> PeopleCopy:
        log = self._log
        return PeopleCopy(
            *(log.broker, log.topics.people, self._folder, log.history_ms, lambda: int(log.clock_s() * 1000)),
            *(self._index, self._redaction, photos_of_all),
        )

    def _read_s(self) -> float:
        """Return until when (epoch seconds) the capture has all changes of people, because decisions needed them."""
        decided = (line.decision for line in self._folder.last_lines.values() if line.decision is not None)
        return max((decision.decided_time or 0.0 for decision in decided), default=0.0)

    async def _count(self, topic: str) -> int:
        """Return the number of partitions of a topic; 0: an older version made the log, without that topic."""
        try:
            return await self._log.broker.partitions(topic)
        except UnknownTopic:
            return 0

    async def run(self) -> None:
        """Record until the end; Raises as `record`."""
        opened = False
        async with aclosing(self._requests.batches(self._first)) as batches:
            async for batch in batches:
                pending = await asyncio.to_thread(self._pending, batch.records) if batch.records else []
                for one in pending:
                    self._join.take(one)
                for r in batch.records:
                    self._join.pass_by(r.partition, r.offset)
                if pending and not opened:
                    await self._open_events(pending[0].written_s - _CLOCK_SLACK_S)
                    opened = True
                if pending:
                    await self._decisions.begin(together=batch.is_live)
                    await self._settle()
                if self._follow and self._people is not None and self._oldest_s is not None:
                    await self._people.copy_all()
                if self._stop.is_set() or self._left() == 0:
                    break

    async def copy_people(self) -> None:
        """Record all changes of people that the log has now, if a request was recorded; Raises as `record`."""
        if self._people is not None and self._oldest_s is not None:
            await self._people.copy_all()

    async def end(self) -> None:
        """Note in the manifest from which gallery version on the people can be folded; Raises as `record`."""
        if self._people is None or not self._folder.count:
            return
        oldest_s = self._log.clock_s() if self._oldest_s is None else self._oldest_s
        self.tally.people_from = await self._people.people_from(oldest_s)
        self.tally.missing_photos = 0 if self._photos is None else self._photos.missing
        await asyncio.to_thread(self._folder.describe, people_from=self.tally.people_from)

    def _pending(self, records: Sequence[Record]) -> list[Pending]:
        """Decode the wanted requests of records."""
        found, device = [], self._selection.device
        for record in records:
            pending = pending_of(record, self._wait_s)
            if pending is None or (device is not None and self._named(pending.request.device_ip) != device):
                continue
            if is_replay(record):
                self.tally.replays += 1
            else:
                found.append(pending)
        return found

    def _named(self, device_ip: str | None) -> str | None:
        """Return the address of a device as the capture has it."""
        return device_ip if self._redaction is None or device_ip is None else self._redaction.address(device_ip)

    async def _open_events(self, since_s: float) -> None:
        broker, topics = self._log.broker, self._log.topics
        counts = [await broker.partitions(topic) for topic in (topics.requests, topics.events)]
        if counts[0] != counts[1]:
            raise CaptureError(
                f"topic {topics.requests} has {counts[0]} partitions and topic {topics.events} {counts[1]}: events and"
                " requests can be joined only where both topics have the same number"
            )
        since_s = max(0.0, since_s)
        decisions = Decisions(broker, topics.events, since_s, self._log.clock_s)
        evidence = EvidenceReader(broker, topics.evidence, await self._count(topics.evidence), since_s, self._stop)
        self._decisions = await self._stack.enter_async_context(decisions)
        self._evidence = await self._stack.enter_async_context(evidence)

    def _left(self) -> int | None:
        limit = self._wanted.limit
        return None if limit is None else limit - self.tally.recorded

    async def _settle(self) -> None:
        """Read events until no request waits for its event any more, and append the lines to the capture."""
        ready = self._join.ready(None)
        while self._join and not self._stop.is_set():
            searched_s = await self._decisions.read(self._join, self._join.open_partitions())
            # A request is recorded without a decision only after all events were read that were there at its time.
            further = self._join.ready(None if self._stop.is_set() else searched_s)
            if not further:  # what is ready need not wait for an event that may be long in coming
                await self._append(ready)
                if self._left() == 0:
                    return
                ready = []
            ready += further
        await self._append(ready)

    async def _append(self, ready: Sequence[tuple[Pending, Decided | None]]) -> None:
        if not ready:
            return
        outcomes = self._selection.outcomes
        chosen = [
            (pending, decided)
            for pending, decided in ready
            if not outcomes or (decided is not None and decided.event.outcome in outcomes)
        ][: self._left()]
        evidence = await self._evidence.of(
            (pending, decided) for pending, decided in chosen if decided is not None and _compared_a_face(decided)
        )
        self._evidence.forget(min(pending.written_s for pending, _ in ready) * 1000)
        # Where recording was stopped meanwhile, the next one begins at the first request whose evidence is not known.
        chosen = list(takewhile(lambda one: _is_searched(one[1], evidence), chosen))
        decisions = [None if decided is None else _decision(decided, evidence) for _, decided in chosen]
        await self._keep_what_decisions_need([decision for decision in decisions if decision is not None])
        requests = [pending for pending, _ in chosen]
        await asyncio.to_thread(self._append_lines, requests, decisions)
        self._count_lines(chosen, decisions)

    async def _keep_what_decisions_need(self, decisions: Sequence[CapturedDecision]) -> None:
        if not decisions:
            return
        oldest_s = min(decision.decided_time or 0.0 for decision in decisions)
        self._oldest_s = oldest_s if self._oldest_s is None else min(self._oldest_s, oldest_s)
        if self._people is not None:
            self._people.first_decided_s = self._oldest_s
            await self._people.copy_to(max(decision.gallery_version for decision in decisions))
        if self._photos is not None:
            await self._photos.keep_of(decisions, self._index)
        if self._configs is not None:
            configs = await self._configs.keep(self._folder, decisions)
            if configs:
                await asyncio.to_thread(self._folder.append_configs, configs)

    def _append_lines(self, requests: Sequence[Pending], decisions: Sequence[CapturedDecision | None]) -> None:
        """Store the pictures, and then the lines that name them."""
        lines: list[CaptureLine] = []
        places = [pending.place for pending in requests]
        if self._folder.manifest.pictures:
            names = self._folder.keep_pictures([pending.request.picture for pending in requests])
            places = [structs.replace(place, sha256=name) for place, name in zip(places, names, strict=True)]
            others = [(*pending.request.further_pictures, pending.request.ir_picture) for pending in requests]
            self._folder.keep_pictures([each for row in others for each in row if each is not None])
        for pending, place, decision in zip(requests, places, decisions, strict=True):
            line = line_of(pending.request, place, decision)
            lines.append(line if self._redaction is None else self._redaction.request_line(line))
        if lines:
            self._folder.append(lines)

    def _count_lines(
        self, chosen: Sequence[tuple[Pending, Decided | None]], decisions: Sequence[CapturedDecision | None]
    ) -> None:
        tally = self.tally
        tally.recorded += len(chosen)
        for (_, decided), decision in zip(chosen, decisions, strict=True):
            if decided is None or decision is None:
                tally.undecided += 1
                continue
            tally.versions[decision.gallery_version] += 1
            tally.without_evidence += decision.embedding is None and decided.event.error is None


def _compared_a_face(decided: Decided) -> bool:
    """Return whether a face may have been compared, so that there may be evidence."""
    return decided.event.error is None or decided.event.outcome == _WITHOUT_FACE


def _is_searched(decided: Decided | None, evidence: Mapping[Decided, Evidence | None]) -> bool:
    """Return whether the evidence of a decision was found, or searched to the end."""
    return decided is None or not _compared_a_face(decided) or decided in evidence


def _oldest_decision(lines: Iterable[CaptureLine]) -> float | None:
    """Return the time of the oldest decision (epoch seconds); None: there is none."""
    decisions = (line.decision for line in lines if line.decision is not None)
    return min((decision.decided_time or 0.0 for decision in decisions), default=None)


def _decision(decided: Decided, evidence: Mapping[Decided, Evidence | None]) -> CapturedDecision:
    return decision_of(decided.event, evidence.get(decided))
