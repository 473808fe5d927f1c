"""One partition of a member, from its assignment to its release, as a pure state machine: no clock, no client library.

What it decides is described in broker.kafka.member_machine, which is its only user.
"""

from collections import deque
from collections.abc import Callable
from enum import Enum, auto

from broker.going_on import Committed, GoingOn, time_of_commit
from broker.kafka import member_events as ev
from broker.port import CommitFailed

RETRY_S = 0.2


class Phase(Enum):
    """What can be done with a partition. The question under way is the finer state."""

    TAKING_OVER = auto()
    """A writer is started, then the committed offset asked for, then a place found and, if need be, committed."""
    DELIVERING = auto()
    """Records are delivered, unless the user has paused them; commits are written."""
    LOST = auto()
    """The log does not contain what is to be read next, and a place is searched for; commits are written."""
    SPENT = auto()
    """There is no writer that can commit: nothing is delivered or committed until a rewind."""
    LEFT = auto()
    """The partition is another member's; one question is still to be answered."""
    RELEASED = auto()
    """The ownership has ended."""


class Numbers:
    """Numbers that grow and are never used twice; `last` is the one that was given last."""

    def __init__(self) -> None:
        self.last = 0

    def next(self) -> int:
        """A new number."""
        self.last += 1
        return self.last


class Owned:
    """The state of one ownership. Its methods pass instructions to `give`; at most one question is under way."""

    def __init__(self, key: ev.Ownership, topic: str, numbers: Numbers, give: Callable[[ev.Instruction], None]) -> None:
        self.key = key
        self.phase = Phase.TAKING_OVER
        self.committed = Committed()
        self.asked: ev.Question | None = None
        self.leaving = False
        self._name = f"partition {key.partition} of {topic}"
        self._numbers, self._give = numbers, give
        self._epoch = 0  # of the writer; 0: there is none
        self._paused = False
        self._first = True  # it was never delivered, so that a take-over which fails is tried again unasked
        self._going_on = 0  # where delivery begins as long as nothing is committed
        self._next = 0  # the offset that is delivered next
        self._placed_at = 0  # the number that was given at the last seek
        self._newest_ms: int | None = None  # of the records that were delivered
        self._lost_at = 0
        self._request: ev.Request | None = None  # the question under way is for it
        self._waiting: deque[ev.Request] = deque()

    @property
    def delivers(self) -> bool:
        """Whether records may be delivered now."""
        return self.phase is Phase.DELIVERING and not self._paused and not self.leaving

    @property
    def serves(self) -> bool:
        """Whether the partition is taken over and remains with this member."""
        return self._epoch != 0 and self.phase is not Phase.TAKING_OVER and not self.leaving

    @property
    def commits(self) -> bool:
        """Whether this member alone can commit, so that `committed` is what the group has."""
        return self.phase in (Phase.DELIVERING, Phase.LOST)

    # What the group and the user ask for.

    def begin(self) -> None:
        """The partition was assigned."""
        self._give(ev.Pause(self.key.partition))
        self._take_over()

    def leave(self) -> None:
        """The group takes the partition away: begin nothing more, except commits of what was delivered."""
        if self.leaving:
            return
        self.leaving = True
        self._give(ev.Pause(self.key.partition))
        if isinstance(self.asked, ev.FindPlace):
            self._give(ev.StopSearch(self.asked.step))
        elif isinstance(self.asked, ev.Wait):
            self.asked = None
        for request in [request for request in self._waiting if isinstance(request, ev.RewindAsked)]:
            self._waiting.remove(request)
            self._give(ev.Succeed(request.ticket))

    def end(self) -> None:
        """The partition is another member's: release it, after the answer to the question that is under way."""
        self.leave()
        self.phase = Phase.LEFT
        for request in self._waiting:
            self._give(ev.Fail(request.ticket, self._passed_on()))
        self._waiting.clear()
        if self.asked is None:
            self._release()

    def request(self, request: ev.Request, now_ms: int) -> None:
        """Commit, or deliver again from the committed offset."""
        if isinstance(request, ev.RewindAsked) and self.leaving:
            self._give(ev.Succeed(request.ticket))
        elif isinstance(request, ev.CommitAsked) and (not self.commits or self._rewinds()):
            self._give(ev.Fail(request.ticket, self._to_be_rewound()))
        else:
            self._waiting.append(request)
            self._go_on(now_ms)

    def pause(self) -> None:
        """Deliver nothing until `resume`."""
        self._paused = True
        self._give(ev.Pause(self.key.partition))

    def resume(self) -> None:
        """Deliver again, once that is possible."""
        self._paused = False
        self._deliver()

    def fetched(self, turn: int, run: ev.Run) -> None:
        """Records came: deliver them, unless they were asked for before the last seek or are not wanted now."""
        if self.phase is not Phase.DELIVERING or self.leaving:
            return
        if self._paused or turn < self._placed_at or run.first < self._next:
            self._seek(self._next)
            return
        self._next = run.end
        self._newest_ms = run.newest_ms if self._newest_ms is None else max(self._newest_ms, run.newest_ms)
        self._give(ev.Deliver(self.key.partition))

    def out_of_range(self, turn: int, position: int, now_ms: int) -> None:
        """The log does not contain what is to be read next: deliver nothing before another place is found."""
        if self.delivers and turn >= self._placed_at and position >= self._next:
            self.phase, self._lost_at = Phase.LOST, position
            self._give(ev.Pause(self.key.partition))
            self._go_on(now_ms)

    # Answers, and what is done next.

    def answer(self, event: ev.Answer, now_ms: int) -> None:
        """The question under way is answered."""
        asked, self.asked = self.asked, None
        if self.phase is Phase.LEFT:
            self._answer_last(asked, event)
            return
        match asked, event:
            case ev.Question(), ev.Failed():
                self._failed(asked, event)
            case ev.StartWriter(), ev.Done():
                self._writer_started(asked.step)
            case ev.AskCommitted(), ev.CommittedFound():
                self._committed_found(event.committed, now_ms)
            case ev.FindPlace(), ev.PlaceFound():
                self._place_found(event.found, now_ms)
            case ev.Write(), ev.Done():
                self._written(asked)
            case ev.Question(), ev.Confirmed():
                self._confirmed(asked, event.yes, now_ms)
        self._go_on(now_ms)

    def _answer_last(self, asked: ev.Question | None, event: ev.Answer) -> None:
        request, self._request = self._request, None
        if isinstance(asked, ev.StartWriter) and isinstance(event, ev.Done):
            self._give(ev.CloseWriter(asked.step))
        if isinstance(request, ev.RewindAsked) or (isinstance(asked, ev.Write) and isinstance(event, ev.Done)):
            self._end_request(request, None)
        else:
            self._end_request(request, event.error if isinstance(event, ev.Failed) else self._passed_on())
        self._release()

    def _release(self) -> None:
        self.phase = Phase.RELEASED
        self._close_writer()
        self._give(ev.Release(self.key))

    def _go_on(self, now_ms: int) -> None:
        """Begin what is to be done next, if no question is under way. No request waits for the end of a wait."""
        if isinstance(self.asked, ev.Wait) and self._waiting:
            self.asked = None
        while self.asked is None and self._waiting:
            self._begin(self._waiting.popleft())
        if self.asked is not None or self.leaving:
            return
        if self.phase is Phase.TAKING_OVER:
            self._take_over()
        elif self.phase is Phase.LOST:
            newest_ms = self.committed.time_ms if self._newest_ms is None else self._newest_ms
            self._ask(ev.FindPlace, Committed(self._lost_at, newest_ms))

    def _begin(self, request: ev.Request) -> None:
        if self.commits:
            self._request = request
            self._ask(ev.CheckWriter, self._epoch)
        elif isinstance(request, ev.CommitAsked):
            self._end_request(request, self._to_be_rewound())
        elif self.phase is Phase.TAKING_OVER:
            self._request = request
            self._take_over()
        else:
            # Whoever was given up by the group must not take partitions from their new owners.
            self._request = request
            self._ask(ev.AskMembership)

    # Taking over.

    def _take_over(self) -> None:
        self.phase = Phase.TAKING_OVER
        self._close_writer()  # which may take long; the next one of its name fences it
        self._ask(ev.StartWriter)

    def _writer_started(self, epoch: int) -> None:
        self._close_writer()
        self._epoch = epoch
        if self.phase is Phase.TAKING_OVER and self.leaving:
            self._abandon()
        else:
            # Asked only now that nobody else can commit any more, and what others committed is readable.
            self._ask(ev.AskCommitted)

    def _committed_found(self, committed: Committed, now_ms: int) -> None:
        if self.phase is not Phase.TAKING_OVER:
            self._compare(committed, now_ms)
        elif self.leaving:
            self._abandon()
        else:
            self.committed = committed
            self._ask(ev.FindPlace, committed)

    def _place_found(self, found: GoingOn, now_ms: int) -> None:
        if self.phase is Phase.LOST:
            # Not committed: what was delivered before is still being worked on.
            self._deliver_from(found.offset)
            return
        self._going_on = found.offset
        if found.skip is None or self.leaving:
            self._taken_over()
        else:
            self._write(found.offset, None, now_ms)  # so that it is not searched for, and counted, again

    def _taken_over(self) -> None:
        if self.leaving:
            self._abandon()
            return
        self._first = False
        self._deliver_from(self._going_on if self.committed.offset is None else self.committed.offset)
        self._end_rewinds(None)

    def _abandon(self) -> None:
        """End a take-over without a result: the partition leaves."""
        self._close_writer()
        self.phase = Phase.SPENT
        self._end_rewinds(None)

    def _take_over_failed(self, error: Exception) -> None:
        if self.leaving:
            self._abandon()
            return
        self._close_writer()
        if self._first:
            self._give(ev.ReportTrouble(self.key.partition, error, lost=False))
            self._ask(ev.Wait, RETRY_S)
        else:
            self.phase = Phase.SPENT
        self._end_rewinds(error)

    def _end_rewinds(self, error: Exception | None) -> None:
        """The take-over that all of them waited for has ended."""
        requests = [self._request, *self._waiting]
        self._request = None
        self._waiting.clear()
        for request in requests:
            self._end_request(request, error)

    # Commits and rewinds.

    def _confirmed(self, asked: ev.Question, yes: bool, now_ms: int) -> None:
        request = self._request
        match request, asked:
            case ev.CommitAsked(), ev.CheckWriter() if yes:
                self._write(request.next_offset, request.ticket, now_ms)
            case ev.CommitAsked(), ev.CheckWriter():
                self._ask(ev.AskMembership)
            case ev.CommitAsked(), ev.AskMembership() if yes:
                # Another writer: a request of the former one may still arrive, and has no effect once there is another.
                self._ask(ev.StartWriter)
            case ev.CommitAsked(), ev.AskMembership():
                self._fail(CommitFailed(f"{self._name} may belong to another member now"))
            case ev.RewindAsked(), ev.CheckWriter() if yes and not self.leaving:
                self._taken_over()
            case ev.RewindAsked(), ev.CheckWriter() if not self.leaving:
                self._spend()
                self._ask(ev.AskMembership)
            case ev.RewindAsked(), ev.AskMembership() if yes and not self.leaving:
                self._take_over()
            case _:
                self._end_rewinds(None)

    def _compare(self, committed: Committed, now_ms: int) -> None:
        """The writer was replaced: it may commit if nobody else did before it."""
        request = self._request
        if committed.offset != self.committed.offset:
            self._spend()
            self._fail(CommitFailed(f"another member has committed {self._name} meanwhile"))
        elif isinstance(request, ev.CommitAsked):
            self._write(request.next_offset, request.ticket, now_ms)

    def _write(self, next_offset: int, ticket: int | None, now_ms: int) -> None:
        committed = Committed(next_offset, time_of_commit(now_ms, self._newest_ms, self.committed.time_ms))
        self._ask(ev.Write, self._epoch, committed, ticket)

    def _written(self, asked: ev.Write) -> None:
        self.committed = asked.committed
        if self.phase is Phase.TAKING_OVER:
            self._taken_over()
        else:
            request, self._request = self._request, None
            self._end_request(request, None)

    def _failed(self, asked: ev.Question, event: ev.Failed) -> None:
        if self.phase is Phase.TAKING_OVER:
            self._take_over_failed(event.error)
        elif isinstance(asked, ev.FindPlace):
            if not self.leaving:
                self._give(ev.ReportTrouble(self.key.partition, event.error, lost=True))
                self._ask(ev.Wait, RETRY_S)
        else:
            if isinstance(asked, ev.AskCommitted) or (isinstance(asked, ev.Write) and not event.usable):
                self._spend()
            self._fail(event.error)

    def _spend(self) -> None:
        self.phase = Phase.SPENT
        self._give(ev.Pause(self.key.partition))

    def _fail(self, error: Exception) -> None:
        """What was asked for failed; so do the commits that wait behind it, which would pass over its records."""
        request, self._request = self._request, None
        self._end_request(request, error)
        for behind in [behind for behind in self._waiting if isinstance(behind, ev.CommitAsked)]:
            self._waiting.remove(behind)
            self._end_request(behind, self._to_be_rewound())

    def _end_request(self, request: ev.Request | None, error: Exception | None) -> None:
        if request is not None:
            self._give(ev.Succeed(request.ticket) if error is None else ev.Fail(request.ticket, error))

    def _rewinds(self) -> bool:
        return any(isinstance(request, ev.RewindAsked) for request in (self._request, *self._waiting))

    # Delivery, questions and words.

    def _deliver_from(self, offset: int) -> None:
        self.phase = Phase.DELIVERING
        if not self.leaving:
            self._seek(offset)
            self._deliver()
            self._give(ev.ReportPlaced(self.key.partition))

    def _seek(self, offset: int) -> None:
        self._next, self._placed_at = offset, self._numbers.next()
        self._give(ev.Seek(self.key.partition, offset))

    def _deliver(self) -> None:
        if self.delivers:
            self._give(ev.Resume(self.key.partition))

    def _ask(self, question: Callable[..., ev.Question], *details: object) -> None:
        self.asked = question(self._numbers.next(), self.key, *details)
        self._give(self.asked)

    def _close_writer(self) -> None:
        epoch, self._epoch = self._epoch, 0
        if epoch:
            self._give(ev.CloseWriter(epoch))

    def _passed_on(self) -> CommitFailed:
        return CommitFailed(f"{self._name} belongs to another member now")

    def _to_be_rewound(self) -> CommitFailed:
        return CommitFailed(f"{self._name} has to be rewound before it is committed")
