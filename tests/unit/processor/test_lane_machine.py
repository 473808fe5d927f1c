"""The machine of a lane, in every order of events.

Hypothesis plays the log, the work on records and the time; after each step is checked what is never to happen. Whether
a record is committed twice or passed over is checked where it counts, in the log.
"""

from collections.abc import Sequence
from itertools import pairwise

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from processor import lane_events as ev
from processor.lane_machine import LaneMachine

MIB = 1024 * 1024
TOGETHER, ENOUGH, TOGETHER_BYTES = 64, 8, 16 * MIB
SIZES = (1, 1, 1, 1, 5 * MIB, 8 * MIB, TOGETHER_BYTES, TOGETHER_BYTES + 1)
GATHER_S = 0.004
ANSWERS = (*["well"] * 4, "lost", "aborted", "unwritable", "no reply partition", "final")
"""How a commit is answered; one that is lost is written without anybody knowing."""


class World(RuleBasedStateMachine):
    """One partition, and the lane that has it."""

    @initialize(gather_s=st.sampled_from([0.0, GATHER_S]))
    def begin(self, gather_s: float = 0.0) -> None:
        self.gather_s = gather_s
        self.done = 0  # every record below was committed once, and none above
        self.next = 0  # delivered next
        self.dead: set[int] = set()  # offsets whose results can never be written
        self.sizes: dict[int, int] = {}
        self.numbers = 0
        self.dropped: list[int] = []
        self.new_owner()

    def new_owner(self) -> None:
        self.machine = LaneMachine()
        self.lane: dict[int, int] = {}  # number -> offset
        self.finished: set[int] = set()
        self.asked: ev.Commit | ev.Rewind | None = None
        self.answered: ev.Commit | ev.Rewind | None = None
        self.timer: ev.Wait | None = None
        self.timers: dict[int, ev.Wait] = {}
        self.last_step = 0
        self.pauses: list[float] = []  # since the last commit that succeeded
        self.paused = self.ended = self.stopped = self.unsure = False
        self.next = self.done

    def report(self, event: ev.Event) -> list[ev.Instruction]:
        self.event = event
        given = self.machine.handle(event)
        for instruction in given:
            self.follow(instruction)
        return given

    # What the machine asks for.

    def follow(self, instruction: ev.Instruction) -> None:
        match instruction:
            case ev.Commit():
                self.check_commit(instruction)
                self.asked, self.timer = instruction, None
            case ev.Rewind():
                assert self.asked is None
                assert self.paused
                assert isinstance(self.event, ev.TimeOver), "a rewind before the pause is over"
                self.asked, self.timer = instruction, None
            case ev.Wait():
                self.check_wait(instruction)
                self.timer = self.timers[instruction.step] = instruction
            case ev.Pause():
                assert isinstance(self.answered, ev.Commit), "a pause without a commit that failed"
                assert not self.paused
                self.paused = True
            case ev.Resume():
                assert isinstance(self.answered, ev.Rewind), "delivery before the rewind"
                assert not self.lane, "delivery before what was taken is forgotten"
                assert self.paused
                self.paused = self.unsure = False
                self.next = self.done
            case ev.Drop():
                self.check_drop(instruction.numbers)
            case ev.Stop():
                assert isinstance(self.event, ev.Failed)
                assert instruction.error is self.event.error
                assert not self.stopped
                assert not self.lane, "a lane stops that has records"
                self.stopped = self.ended = True

    def check_commit(self, commit: ev.Commit) -> None:
        assert self.asked is None, "two commits at a time"
        assert not self.ended, "a commit of a lane that has ended"
        assert not self.unsure, "a commit after one that failed, before a rewind"
        front = list(self.lane)
        assert list(commit.numbers) == front[: len(commit.numbers)], "a commit that is not a run from the front"
        assert commit.numbers
        assert self.finished.issuperset(commit.numbers), "a commit of what is not finished"
        assert self.lane[front[0]] == self.done, "a record is committed twice, or passed over"
        assert len(commit.numbers) <= TOGETHER
        assert len(commit.numbers) == 1 or self.bytes_of(commit.numbers) <= TOGETHER_BYTES
        if isinstance(self.event, ev.Failed):
            assert commit == self.to_try_instead(self.event)
        else:
            assert (commit.reply_partitions, commit.instead) == (None, None)
            self.check_is_full(commit, front)

    def check_is_full(self, commit: ev.Commit, front: Sequence[int]) -> None:
        """It has every result that it can have; and a moment has passed if it could have more."""
        behind = front[len(commit.numbers) : TOGETHER]
        fits = behind and self.bytes_of([*commit.numbers, behind[0]]) <= TOGETHER_BYTES
        assert not (fits and behind[0] in self.finished), "a finished result is left behind"
        if fits and self.wait_s(front[0]) and len(commit.numbers) < ENOUGH:
            assert isinstance(self.event, ev.TimeOver), "no moment was waited for results that can come along"

    def wait_s(self, number: int) -> float:
        """How long this record may wait for others: every fifth may not."""
        return self.gather_s if number % 5 else 0.0

    def bytes_of(self, numbers: Sequence[int]) -> int:
        return sum(self.sizes[self.lane[number]] for number in numbers)

    def to_try_instead(self, event: ev.Failed) -> ev.Commit:
        failed = self.answered
        assert isinstance(failed, ev.Commit)
        if event.trouble is ev.Trouble.NO_REPLY_PARTITION:
            assert failed.reply_partitions is None or event.partitions < failed.reply_partitions
            return ev.Commit(failed.numbers, event.partitions, failed.instead)
        assert event.trouble is ev.Trouble.UNWRITABLE
        if len(failed.numbers) > 1:
            return ev.Commit(failed.numbers[:1], failed.reply_partitions)
        assert failed.instead is None
        return ev.Commit(failed.numbers, failed.reply_partitions, event.error)

    def check_wait(self, wait: ev.Wait) -> None:
        assert (self.asked, self.timer) == (None, None)
        assert not self.ended
        assert wait.step > self.last_step, "a step is used twice"
        self.last_step = wait.step
        if isinstance(self.answered, ev.Rewind) and isinstance(self.event, ev.Failed):
            assert wait.seconds == 2.0
        elif self.paused:
            assert wait.seconds == min(0.05 * 2 ** len(self.pauses), 2.0)
            self.pauses.append(wait.seconds)
        else:
            assert wait.seconds == self.wait_s(next(iter(self.lane))) > 0
            assert next(iter(self.lane)) in self.finished, "a moment is waited though nothing is finished"

    def check_drop(self, numbers: tuple[int, ...]) -> None:
        match self.event, self.answered:
            case ev.Put(), _:
                assert numbers == (self.event.number,)
                assert self.paused or self.ended, "a record is not taken"
            case ev.Done(), ev.Commit() as commit:
                assert numbers == commit.numbers, "results leave that were not committed"
            case ev.Done(), ev.Rewind():
                assert numbers == tuple(self.lane), "something is remembered after a commit that failed"
            case _:
                assert numbers == tuple(self.lane), "something is remembered by a lane that ends"
                self.ended = True
        for number in numbers:
            del self.lane[number]
        self.dropped += numbers

    # Records, and the work on them.

    @rule(count=st.sampled_from([1, 1, 2, 3, 40, 65]), size=st.sampled_from(SIZES), dead=st.booleans())
    def put(self, count: int = 1, size: int = 1, dead: bool = False) -> None:
        """The last of several can never be written. While the partition is paused, these were on their way."""
        for index in range(count):
            offset, self.numbers = self.next, self.numbers + 1
            self.next += 1
            self.sizes.setdefault(offset, size)
            if dead and index == count - 1 and offset >= self.done:
                self.dead.add(offset)
            taken = not (self.paused or self.ended)
            self.lane[self.numbers] = offset
            self.report(ev.Put(self.numbers, self.sizes[offset]))
            assert (self.numbers in self.lane) is taken, "what is delivered again is taken before the rewind"

    def unfinished(self) -> list[int]:
        return [number for number in self.lane if number not in self.finished]

    @precondition(lambda self: self.unfinished())
    @rule(data=st.data())
    def finish_one(self, data: st.DataObject) -> None:
        self.finish(data.draw(st.sampled_from(self.unfinished()[:5])))

    @precondition(lambda self: self.unfinished())
    @rule(count=st.sampled_from([1, 2, 63, 70]), backwards=st.booleans())
    def finish_some(self, count: int, backwards: bool) -> None:
        some = self.unfinished()[:count]
        for number in reversed(some) if backwards else some:
            self.finish(number)

    def finish(self, number: int) -> None:
        self.finished.add(number)
        self.report(ev.Finished(number, self.wait_s(number)))

    @precondition(lambda self: self.dropped)
    @rule(data=st.data())
    def work_ends_that_was_given_up(self, data: st.DataObject) -> None:
        number = data.draw(st.sampled_from(self.dropped[-70:]))
        assert not self.report(ev.Finished(number, self.wait_s(number))), "a result that was dropped has a consequence"

    @rule(rare=st.integers(0, 30))
    def work_fails_unexpectedly(self, rare: int) -> None:
        if rare == 7 and not self.ended:
            self.answered = None
            self.report(ev.Failed(RuntimeError("a defect"), ev.Trouble.FINAL))
            assert self.stopped

    # The time and the log.

    @precondition(lambda self: self.timers)
    @rule(data=st.data())
    def time_passes(self, data: st.DataObject) -> None:
        self.pass_time(data.draw(st.sampled_from(sorted(self.timers))))

    def pass_time(self, step: int) -> None:
        wait = self.timers.pop(step)
        in_force = wait is self.timer
        self.timer = None if in_force else self.timer
        had_ended, given = self.ended, self.report(ev.TimeOver(step))
        assert bool(given) is (in_force and not had_ended), "a wait ends that is not in force, or does not end"

    def end_moment(self) -> None:
        if self.timer is not None:
            self.pass_time(self.timer.step)

    @precondition(lambda self: self.asked)
    @rule(how=st.sampled_from(ANSWERS), partitions=st.integers(0, 3))
    def answer(self, how: str = "well", partitions: int = 0) -> None:
        self.answered, self.asked = self.asked, None
        if isinstance(self.answered, ev.Commit):
            event = self.write(self.answered, how, partitions)
        elif how in ("lost", "aborted", "final"):
            event = failed(ev.Trouble.FINAL if how == "final" else ev.Trouble.RETRIABLE)
        else:
            event = ev.Done()
        had_ended, given = self.ended, self.report(event)
        assert bool(given) is not had_ended, "a lane that has ended asks for something, or nothing follows"
        assert self.ended or not isinstance(event, ev.Failed) or event.trouble is not ev.Trouble.FINAL

    @rule(how=st.lists(st.sampled_from(ANSWERS), min_size=2, max_size=8), partitions=st.integers(0, 3))
    def answers_follow_one_another(self, how: list[str], partitions: int) -> None:
        """To whatever is asked for a few records; each names one reply partition fewer than the one before."""
        self.put(2)
        for fewer, each in enumerate(how):
            for number in self.unfinished()[:2]:
                self.finish(number)
            if self.asked is None:
                self.end_moment()
            if self.asked is not None:
                self.answer(each, max(0, partitions - fewer))

    def write(self, commit: ev.Commit, how: str, partitions: int) -> ev.Event:
        offsets = list(range(self.done, self.done + len(commit.numbers)))
        if commit.instead is None and self.dead.intersection(offsets) and how in ("well", "lost"):
            return failed(ev.Trouble.UNWRITABLE)
        match how:
            case "aborted":
                self.unsure = True
                return failed(ev.Trouble.RETRIABLE)
            case "unwritable":
                return failed(ev.Trouble.UNWRITABLE)
            case "no reply partition":
                return failed(ev.Trouble.NO_REPLY_PARTITION, partitions)
            case "final":
                return failed(ev.Trouble.FINAL)
        self.done += len(offsets)
        if how == "lost":
            self.unsure = True
            return failed(ev.Trouble.RETRIABLE)
        self.pauses.clear()
        return ev.Done()

    @rule(rare=st.integers(0, 15))
    def the_partition_passes_on(self, rare: int) -> None:
        """Its commit is broken off, perhaps after it was written."""
        if rare == 7 and not self.ended:
            self.answered = None
            self.report(ev.Dropped())
            assert self.ended

    @precondition(lambda self: self.ended and self.asked is None)
    @rule()
    def the_partition_comes_back(self) -> None:
        self.new_owner()

    # What always holds.

    @invariant()
    def records_are_in_offset_order_from_the_committed_one(self) -> None:
        offsets = list(self.lane.values())
        assert all(after == before + 1 for before, after in pairwise(offsets))
        assert self.unsure or self.ended or not offsets or offsets[0] == self.done

    @invariant()
    def nothing_is_left_lying(self) -> None:
        under_way = self.asked is not None or self.timer is not None
        waits = bool(self.lane) and next(iter(self.lane)) in self.finished
        assert self.ended or under_way is (waits or self.paused)

    @invariant()
    def it_is_idle_without_records_only(self) -> None:
        assert self.machine.idle is not bool(self.lane)

    def teardown(self) -> None:
        """Everything is finished and answered well: every record is committed, and nothing is left."""
        if not hasattr(self, "machine"):
            return
        if self.ended:
            self.asked = None
            self.new_owner()
        end = max(self.sizes, default=-1) + 1
        # A record takes three steps (put, finish, commit); one that cannot be written takes two commits more.
        for _ in range(5 * end + 20):
            if self.asked is not None:
                self.answer("well")
            elif self.timer is not None:
                self.end_moment()
            elif self.unfinished():
                self.finish(self.unfinished()[0])
            elif self.next < end:
                self.put()
            self.nothing_is_left_lying()
        assert self.done == end, "a record is never committed"
        assert self.machine.idle
        assert not self.lane
        assert not self.paused


def failed(trouble: ev.Trouble, partitions: int = 0) -> ev.Failed:
    return ev.Failed(RuntimeError(trouble.name), trouble, partitions)


TestLane = World.TestCase
TestLane.settings = settings(max_examples=150, stateful_step_count=50, deadline=None)
