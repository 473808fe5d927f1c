"""A member of a consumer group as a pure state machine: events in, instructions out; no clock, no asyncio, no Kafka.

The member commits with transactions, and is fenced from what it does not own any more. It decides for each partition
(broker.kafka.ownership) what may be delivered and committed. The life of a partition:

1. Assigned: nothing is delivered. A writer is started, which fences the former owner and settles what it left open;
   the committed offset is asked for; where it is lost or does not fit the log, another place is found
   (broker.going_on) and committed; the library seeks; delivery begins. What fails of that is tried again.
2. Delivered: commits go through that writer, one at a time, in the order in which they were asked for. After one that
   failed otherwise than by a clean abort the writer is spent, and commits are refused until a rewind, which repeats
   the steps of 1 if the group still knows this member. After one that succeeded, but with a request that was not
   answered, the next commit needs another writer. It is started if the group still knows this member, and used if the
   committed offset, asked for afterwards, is still this member's.
3. Leaving: delivery ends at once, and no take-over goes on; the user finishes and forgets, with commits if need be.
4. Left: the ownership is released, after the commit that is under way if there is one.

Why no record can be committed twice: only the writer that was started last can commit, and whoever started it asked for
the committed offset afterwards. Whether the group's own view is up to date does not matter for that.
"""

from broker.kafka import member_events as ev
from broker.kafka.ownership import Numbers, Owned, Phase
from broker.port import CommitFailed


class MemberMachine:
    """See the module. `handle` takes the time as an argument, in epoch milliseconds."""

    def __init__(self, topic: str) -> None:
        self._topic = topic
        self._numbers = Numbers()
        self._owned: dict[int, Owned] = {}
        self._left: list[Owned] = []  # their last question is under way
        self._given: list[ev.Instruction] = []

    @property
    def assignment(self) -> frozenset[int]:
        """The partitions that are this member's, those that are leaving included."""
        return frozenset(self._owned)

    @property
    def delivered(self) -> frozenset[int]:
        """The partitions whose records may be delivered now."""
        return frozenset(partition for partition, owned in self._owned.items() if owned.delivers)

    @property
    def served(self) -> frozenset[int]:
        """The partitions that were taken over and stay."""
        return frozenset(partition for partition, owned in self._owned.items() if owned.serves)

    @property
    def takes_over(self) -> bool:
        """Whether a take-over is under way, or is to be tried again."""
        return any(owned.phase is Phase.TAKING_OVER and not owned.leaving for owned in self._owned.values())

    @property
    def turn(self) -> int:
        """Grows with every seek: records that were asked for in an earlier turn are not delivered after one."""
        return self._numbers.last

    def committed(self, partition: int) -> tuple[bool, int | None]:
        """Whether this member is sure of the group's offset in that partition; and the offset (None: no commit yet)."""
        owned = self._owned.get(partition)
        return (False, None) if owned is None or not owned.commits else (True, owned.committed.offset)

    def handle(self, event: ev.Event, now_ms: int) -> list[ev.Instruction]:
        """What is to be done now that this has happened."""
        match event:
            case ev.Fetched():
                for run in event.runs:
                    if run.partition in self._owned:
                        self._owned[run.partition].fetched(event.turn, run)
            case ev.Answer():
                self._answered(event, now_ms)
            case ev.Assigned():
                self._assign(event.partition)
            case ev.Left():
                self._end(event.partition)
            case ev.OfPartition() if event.partition in self._owned:
                self._of_owned(self._owned[event.partition], event, now_ms)
            case ev.CommitAsked():
                refused = CommitFailed(f"partition {event.partition} of {self._topic} belongs to another member now")
                self._given.append(ev.Fail(event.ticket, refused))
            case ev.RewindAsked():
                self._given.append(ev.Succeed(event.ticket))
        given, self._given = self._given, []
        return given

    def _assign(self, partition: int) -> None:
        self._end(partition)
        owned = Owned(ev.Ownership(partition, self._numbers.next()), self._topic, self._numbers, self._give)
        self._owned[partition] = owned
        owned.begin()

    def _of_owned(self, owned: Owned, event: ev.OfPartition, now_ms: int) -> None:
        match event:
            case ev.CommitAsked() | ev.RewindAsked():
                owned.request(event, now_ms)
            case ev.Leaving():
                owned.leave()
            case ev.PauseAsked():
                owned.pause()
            case ev.ResumeAsked():
                owned.resume()
            case ev.OutOfRange():
                owned.out_of_range(event.turn, event.position, now_ms)

    def _end(self, partition: int) -> None:
        owned = self._owned.pop(partition, None)
        if owned is not None:
            owned.end()
            if owned.phase is Phase.LEFT:
                self._left.append(owned)

    def _answered(self, event: ev.Answer, now_ms: int) -> None:
        """Nothing happens where that question is not under way any more: a wait that was cut short."""
        for owned in (*self._owned.values(), *self._left):
            if owned.asked is not None and owned.asked.step == event.step:
                owned.answer(event, now_ms)
                if owned.phase is Phase.RELEASED:
                    self._left.remove(owned)
                return

    def _give(self, instruction: ev.Instruction) -> None:
        self._given.append(instruction)
