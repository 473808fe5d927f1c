"""The lane of one partition as a pure state machine: events in, instructions out; no asyncio, no clock, no logging.

Records are processed in parallel, and committed in the log's order. At most one of these is under way: a moment of
waiting for results that can share a transaction, a commit, or a new start.

- A commit takes finished records from the front, as many as one transaction may have.
- If the outputs of a commit cannot be written, the first record is committed alone. If its outputs cannot be written
  either, a dead letter is written instead: the record would fail for ever, and would block all records behind it.
- Replies whose partition does not exist are left out, until a commit has succeeded.
- After a commit that failed otherwise (it may have been written all the same) the lane starts over: pause the
  partition; wait, longer each time; rewind; forget every record; resume. Meanwhile no record is taken.
"""

from dataclasses import dataclass, replace
from enum import Enum, auto
from itertools import accumulate, islice, takewhile

from processor import lane_events as ev

_COMMITTED_TOGETHER = 64
"""Results in one transaction: enough that the commits of a long queue cost little, few enough to stay small."""

ENOUGH = 8
"""So many finished records wait for no others: their transaction already saves seven of eight."""

_COMMITTED_BYTES = 16 * 1024 * 1024
"""Of the requests whose results are in one transaction; a single one may be larger."""

_RETRY_FIRST_S, _RETRY_MOST_S = 0.05, 2.0


class _Phase(Enum):
    """The step that is under way."""

    NOTHING = auto()
    GATHERING = auto()
    COMMITTING = auto()
    PAUSING = auto()
    REWINDING = auto()
    ENDED = auto()


@dataclass(slots=True)
class _Entry:
    """A record in the lane. `size`: bytes of its value. `wait_s`: as in `Finished`."""

    size: int
    finished: bool = False
    wait_s: float = 0.0


class LaneMachine:
    """See the module. A transaction takes about as long with several records as with one, so finished records wait a
    moment for those behind them that are not finished."""

    def __init__(self) -> None:
        self._entries: dict[int, _Entry] = {}  # by number, in offset order
        self._phase = _Phase.NOTHING
        self._last = ev.Commit(())  # the commit under way, if there is one
        self._step = 0
        self._retry_s = _RETRY_FIRST_S
        self._given: list[ev.Instruction] = []

    @property
    def idle(self) -> bool:
        """Whether every record that was put is committed or forgotten."""
        return not self._entries

    def handle(self, event: ev.Event) -> list[ev.Instruction]:
        """Return the instructions that follow from the event."""
        match event:
            case ev.Put() if self._phase in (_Phase.PAUSING, _Phase.REWINDING, _Phase.ENDED):
                self._give(ev.Drop((event.number,)))
            case _ if self._phase is _Phase.ENDED:
                pass
            case ev.Put():
                self._entries[event.number] = _Entry(event.size)
            case ev.Finished() if event.number in self._entries:
                entry = self._entries[event.number]
                entry.finished, entry.wait_s = True, event.wait_s
            case ev.TimeOver() if event.step == self._step:
                self._time_over()
            case ev.Done():
                self._done()
            case ev.Failed():
                self._failed(event)
            case ev.Dropped():
                self._end()
        self._commit_more()
        given, self._given = self._given, []
        return given

    def _commit_more(self) -> None:
        if self._phase not in (_Phase.NOTHING, _Phase.GATHERING):
            return
        ready, more = self._ready()
        if not ready:
            return
        wait_s = self._entries[ready[0]].wait_s if more and len(ready) < ENOUGH else 0.0
        if wait_s <= 0:
            self._commit(ev.Commit(ready))
        elif self._phase is _Phase.NOTHING:
            self._wait(_Phase.GATHERING, wait_s)

    def _ready(self) -> tuple[tuple[int, ...], bool]:
        """Return the finished records from the front that one transaction takes; and whether it would also take the
        next record, which is not finished."""
        front = tuple(islice(self._entries, _COMMITTED_TOGETHER))
        finished = tuple(takewhile(lambda number: self._entries[number].finished, front))
        sizes = accumulate(self._entries[number].size for number in front[: len(finished) + 1])
        fits = max(1, sum(size <= _COMMITTED_BYTES for size in sizes))
        return finished[:fits], len(finished) < fits

    def _time_over(self) -> None:
        if self._phase is _Phase.GATHERING:
            self._commit(ev.Commit(self._ready()[0]))
        elif self._phase is _Phase.PAUSING:
            self._phase = _Phase.REWINDING
            self._give(ev.Rewind())

    def _done(self) -> None:
        if self._phase is _Phase.COMMITTING:
            self._drop(self._last.numbers)
            self._retry_s = _RETRY_FIRST_S
        else:
            self._drop(tuple(self._entries))
            self._give(ev.Resume())
        self._phase = _Phase.NOTHING

    def _failed(self, event: ev.Failed) -> None:
        match self._phase, event.trouble:
            case _Phase.COMMITTING, ev.Trouble.RETRIABLE:
                self._give(ev.Pause())
                self._wait(_Phase.PAUSING, self._retry_s)
                self._retry_s = min(2 * self._retry_s, _RETRY_MOST_S)
            case _Phase.REWINDING, ev.Trouble.RETRIABLE:
                self._wait(_Phase.PAUSING, _RETRY_MOST_S)
            case _Phase.COMMITTING, _ if (other := self._otherwise(self._last, event)) is not None:
                self._commit(other)
            case _:
                self._end()
                self._give(ev.Stop(event.error))

    @staticmethod
    def _otherwise(failed: ev.Commit, event: ev.Failed) -> ev.Commit | None:
        """Return the commit that is tried instead of the failed one; None: the lane cannot go on."""
        known = failed.reply_partitions
        match event.trouble:
            case ev.Trouble.UNWRITABLE if len(failed.numbers) > 1:
                return replace(failed, numbers=failed.numbers[:1])
            case ev.Trouble.UNWRITABLE if failed.instead is None:
                return replace(failed, instead=event.error)
            case ev.Trouble.NO_REPLY_PARTITION if known is None or event.partitions < known:
                return replace(failed, reply_partitions=event.partitions)
        return None

    def _end(self) -> None:
        self._drop(tuple(self._entries))
        self._phase = _Phase.ENDED

    def _drop(self, numbers: tuple[int, ...]) -> None:
        for number in numbers:
            del self._entries[number]
        self._give(ev.Drop(numbers))

    def _commit(self, commit: ev.Commit) -> None:
        self._phase, self._last = _Phase.COMMITTING, commit
        self._give(commit)

    def _wait(self, phase: _Phase, seconds: float) -> None:
        self._phase = phase
        self._step += 1
        self._give(ev.Wait(self._step, seconds))

    def _give(self, instruction: ev.Instruction) -> None:
        self._given.append(instruction)
