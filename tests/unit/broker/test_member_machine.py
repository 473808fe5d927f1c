"""The machine of a Kafka group's member, in every order of events.

Hypothesis plays the group, the brokers, the user and other members; after each step is checked what is never to happen.

The brokers here do what real ones do: only the writer that was started last can commit, and a request that was not
answered may still arrive. So "no record is committed twice" is checked where it counts, in the log.
"""

from collections import Counter
from dataclasses import dataclass, field
from itertools import product

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from broker.going_on import Committed, Span, going_on
from broker.kafka import member_events as ev
from broker.kafka.member_machine import MemberMachine
from broker.port import BrokerUnavailable, CommitFailed

TOPIC = "requests"
PARTITIONS = (0, 1)
FOREIGN = -1
"""The epoch of a writer of another member."""
MEANWHILE = (
    "the group gives this member up",
    "another member starts a writer",
    "another member commits",
    "records are removed",
    "the offset expires",
    "an answer is lost",
    "the partition leaves",
    "the partition has left",
    "the user rewinds",
    "records come late",
    "a former place is out of range",
    "nothing",
)
REQUESTS = ("a rewind", "a commit", "a commit and another commit", "an assignment")
HOW = ("well", "well", "unknown", "unanswered", "failed")
"""How a question is answered; a commit is written, or written without anybody knowing, or written with a request that
was lost, or aborted."""
NO_ANSWER = BrokerUnavailable("no answer")


@dataclass
class Log:
    """One partition as the brokers have it."""

    first: int = 0
    end: int = 6
    committed: Committed = field(default_factory=Committed)
    done: int = 0
    """Every record below this was committed once or removed, and none above it."""
    epoch: int = 0
    """Of the writer that was started last."""


@dataclass
class Library:
    """One partition in the client library."""

    position: int = 0
    paused: bool = False


@dataclass
class Stint:
    """An ownership as the tests know it."""

    key: ev.Ownership
    leaving: bool = False
    left: bool = False
    released: int = 0
    open_epochs: set[int] = field(default_factory=set)
    epoch: int = 0
    spent: bool = False
    known_with: int = 0
    """The epoch whose writer had been started when the committed offset was asked for."""
    known: Committed = field(default_factory=Committed)
    place: int = 0
    """Where a take-over found that the group goes on."""
    confirmed: bool = False
    takes_over: bool = False
    to_move: bool = False
    """A take-over passed records over, which is to be committed."""
    placed: bool = False
    lost_found: int | None = None
    expected: int = 0
    paused: bool = False
    newest_ms: int = 0
    delivered: list[int] = field(default_factory=list)
    """What the user was given and has not asked to commit."""
    broken: bool = False
    """The user has to rewind."""

    @property
    def partition(self) -> int:
        return self.key.partition

    @property
    def start(self) -> int:
        """Where it is delivered from after a take-over or a rewind."""
        return self.place if self.known.offset is None else self.known.offset


@dataclass
class Asked:
    """What the user asked for, and what became of it. `covers`: the first and the last record of a commit."""

    event: ev.Request
    stint: Stint | None
    covers: tuple[int, int] = (0, 0)
    written: bool = False
    unknown: bool = False


class Member(RuleBasedStateMachine):
    """The machine and everything around it."""

    def __init__(self) -> None:
        super().__init__()
        self.machine = MemberMachine(TOPIC)
        self.now_ms = 1000
        self.log = {partition: Log() for partition in PARTITIONS}
        self.library = {partition: Library() for partition in PARTITIONS}
        self.is_member = True
        self.stints: list[Stint] = []
        self.owned: dict[int, Stint] = {}
        self.questions: dict[int, ev.Question] = {}
        self.stopped: set[int] = set()
        self.unanswered: set[int] = set()
        self.asked: dict[int, Asked] = {}
        self.tickets = 0
        self.event: ev.Event
        self.asked_for: tuple[int, dict[int, int]] = (0, {})
        self.runs: dict[int, ev.Run] = {}

    def stint_of(self, key: ev.Ownership) -> Stint:
        (stint,) = [stint for stint in self.stints if stint.key == key]
        return stint

    def report(self, event: ev.Event) -> None:
        self.now_ms += 1
        self.event = event
        for instruction in self.machine.handle(event, self.now_ms):
            self.follow(instruction)

    # What the machine asks for.

    def follow(self, instruction: ev.Instruction) -> None:
        match instruction:
            case ev.Question():
                self.take_question(instruction)
            case ev.StopSearch():
                assert isinstance(self.questions[instruction.step], ev.FindPlace)
                self.stopped.add(instruction.step)
            case ev.CloseWriter():
                (stint,) = [stint for stint in self.stints if instruction.epoch in stint.open_epochs]
                assert not stint.released, "an instruction for a released ownership"
                stint.open_epochs.remove(instruction.epoch)
            case ev.Release():
                self.release(self.stint_of(instruction.ownership))
            case ev.Seek() | ev.Pause() | ev.Resume() | ev.Deliver():
                self.place(instruction)
            case ev.Succeed():
                self.succeed(self.asked.pop(instruction.ticket))
            case ev.Fail():
                self.fail(self.asked.pop(instruction.ticket))

    def take_question(self, question: ev.Question) -> None:
        if isinstance(question, ev.StartWriter) and question.ownership not in [stint.key for stint in self.stints]:
            self.stints.append(Stint(question.ownership))
            self.owned[question.ownership.partition] = self.stints[-1]
        stint = self.stint_of(question.ownership)
        assert not stint.left, "a question for a partition that was handed over"
        assert not self.under_way(stint), "two questions at a time"
        self.questions[question.step] = question
        match question:
            case ev.StartWriter():
                for_commit = self.commits(stint)
                assert for_commit or not stint.leaving, "a take-over of a partition that leaves"
                assert stint.confirmed or not stint.placed, "a take-over by a member that its group may have given up"
                stint.confirmed, stint.takes_over = False, not for_commit
            case ev.AskCommitted():
                assert stint.epoch in stint.open_epochs, "the committed offset is asked for before a writer fences"
            case ev.Write():
                self.check_write(stint, question)
            case ev.AskMembership():
                stint.spent |= not self.commits(stint)  # for a rewind, which nothing is delivered before
            case ev.Wait():
                assert not stint.leaving, "another try for a partition that leaves"

    def asked_in(self, stint: Stint) -> list[Asked]:
        return [asked for asked in self.asked.values() if asked.stint is stint]

    def check_write(self, stint: Stint, question: ev.Write) -> None:
        assert question.epoch == stint.epoch, "a commit of another epoch"
        assert question.epoch in stint.open_epochs, "a commit with a closed writer"
        assert not stint.spent, "a commit with a spent writer"
        assert stint.known_with == question.epoch, "a commit before the committed offset is known"
        time_ms = question.committed.time_ms
        assert time_ms is not None
        assert time_ms >= max(stint.newest_ms, stint.known.time_ms or 0), "a record is newer than its commit"
        if question.ticket is None:
            assert question.committed.offset == stint.place
        else:
            just_started = isinstance(self.event, ev.CommittedFound)
            assert just_started or question.epoch not in self.unanswered, "a late request may be taken for this one"
            asked = self.asked[question.ticket]
            assert isinstance(asked.event, ev.CommitAsked)
            assert asked.stint is stint, "a commit of a former ownership"
            assert asked.event.next_offset == question.committed.offset

    def release(self, stint: Stint) -> None:
        assert stint.left, "released before it was handed over"
        assert not stint.open_epochs, "released with a writer that is open"
        assert not self.asked_in(stint), "released with requests that are not answered"
        stint.released += 1

    def place(self, instruction: ev.Seek | ev.Pause | ev.Resume | ev.Deliver) -> None:
        partition = instruction.partition
        stint, library = self.owned.get(partition), self.library[partition]
        match instruction:
            case ev.Pause():
                library.paused = True
                return
            case ev.Resume():
                library.paused = False
        assert stint is not None, "an instruction for a partition that is not owned"
        assert not stint.leaving, "delivery of a partition that leaves"
        if isinstance(instruction, ev.Seek):
            self.seek(stint, instruction.offset)
            library.position = instruction.offset
        elif isinstance(instruction, ev.Deliver):
            self.deliver(stint, self.runs[partition])

    def seek(self, stint: Stint, offset: int) -> None:
        if isinstance(self.event, ev.Fetched):
            assert offset == stint.expected, "what was dropped is not read again"
        elif stint.lost_found is not None:
            assert offset == stint.lost_found
            stint.lost_found = None
        else:
            assert self.rewinds(stint) or not stint.placed, "delivery goes back unasked"
            assert stint.known_with == stint.epoch, "delivery before the committed offset is known"
            assert not stint.spent, "delivery of what cannot be committed"
            assert stint.takes_over or stint.epoch not in self.unanswered, "it is not asked again how far the group is"
            assert not stint.to_move, "records are passed over without a commit"
            assert offset == stint.start
            stint.delivered.clear()
        stint.expected, stint.placed, stint.takes_over = offset, True, False

    def rewinds(self, stint: Stint) -> bool:
        return any(isinstance(asked.event, ev.RewindAsked) for asked in self.asked_in(stint))

    def commits(self, stint: Stint) -> bool:
        return any(isinstance(asked.event, ev.CommitAsked) for asked in self.asked_in(stint))

    def deliver(self, stint: Stint, run: ev.Run) -> None:
        assert stint.placed, "a record is delivered before the committed offset is known"
        assert not stint.spent, "a record is delivered that cannot be committed"
        assert not stint.paused, "a record of a paused partition is delivered"
        assert run.first == stint.expected, "a record is delivered twice, or passed over"
        stint.expected = run.end
        stint.newest_ms = max(stint.newest_ms, run.newest_ms)
        stint.delivered += range(run.first, run.end)

    def succeed(self, asked: Asked) -> None:
        stint = asked.stint
        if isinstance(asked.event, ev.CommitAsked):
            assert asked.written, "a commit succeeds that was not written"
        elif stint is not None and not stint.leaving and self.is_member:
            assert stint.expected == stint.start
            stint.broken = False

    def fail(self, asked: Asked) -> None:
        if isinstance(asked.event, ev.CommitAsked):
            assert not asked.written or asked.unknown, "a commit fails that was written"
            if asked.stint is not None:
                asked.stint.broken = True

    # The group.

    @initialize(served=st.booleans(), history=st.sampled_from(["new", "committed", "expired", "removed"]))
    def begin(self, served: bool, history: str) -> None:
        """Half of the runs begin with a partition that is delivered."""
        for log in self.log.values():
            log.done, log.end = (0, 6) if history == "new" else (3, 9)
            log.committed = Committed(3, 500) if history in ("committed", "removed") else Committed()
            log.first = 5 if history == "removed" else 0
        if served:
            self.report(ev.Assigned(0))
            self.answer_everything_well()
            self.fetch_at_once(3)
        self.asked_for = self.ask_for_records()

    @rule(partition=st.sampled_from(PARTITIONS))
    def deal(self, partition: int) -> None:
        """The group assigns the partition, begins to take it away, or has it pass on."""
        if partition not in self.owned:
            self.is_member = True
            self.report(ev.Assigned(partition))
        elif not self.owned[partition].leaving:
            self.begin_to_leave(partition)
        else:
            self.leave(partition)

    def begin_to_leave(self, partition: int) -> None:
        stint = self.owned[partition]
        stint.leaving = True
        self.report(ev.Leaving(partition))
        searches = {q.step for q in self.under_way(stint) if isinstance(q, ev.FindPlace)}
        assert searches <= self.stopped, "a search goes on for a partition that leaves"

    def leave(self, partition: int) -> None:
        stint = self.owned[partition]
        stint.leaving = stint.left = True
        self.report(ev.Left(partition))
        del self.owned[partition]
        assert bool(stint.released) is not bool(self.under_way(stint)), "it is released when nothing is under way"

    def under_way(self, stint: Stint) -> list[ev.Question]:
        """The questions about it, but for waits, whose answers are not waited for."""
        about = [question for question in self.questions.values() if question.ownership == stint.key]
        return [question for question in about if not isinstance(question, ev.Wait)]

    # Other members, and time.

    @rule(partition=st.sampled_from(PARTITIONS), count=st.integers(1, 3), what=st.sampled_from(MEANWHILE))
    def meanwhile(self, partition: int, count: int, what: str) -> None:
        log, stint = self.log[partition], self.owned.get(partition)
        match what:
            case "another member starts a writer":
                log.epoch = FOREIGN
            case "another member commits":
                log.epoch = FOREIGN
                log.done = max(log.done, log.first) + count
                log.end = max(log.end, log.done)
                log.committed = Committed(log.done, self.now_ms)
            case "records are removed":
                log.first = max(log.first, self.library[partition].position) + count
                log.end = max(log.end, log.first)
            case "the offset expires" if all(each.released for each in self.stints if each.partition == partition):
                log.committed = Committed()
            case "an answer is lost" if stint is not None:
                self.unanswered |= stint.open_epochs
            case _:
                self.done_to_the_member(partition, what)

    def done_to_the_member(self, partition: int, what: str) -> None:
        stint = self.owned.get(partition)
        match what:
            case "the group gives this member up":
                self.is_member = False
            case "the partition leaves" if stint is not None and not stint.leaving:
                self.begin_to_leave(partition)
            case "the partition has left" if stint is not None:
                self.leave(partition)
            case "the user rewinds":
                self.rewind(partition)
            case "records come late":
                self.fetch(1, late=True)
            case "a former place is out of range":
                turn, places = self.asked_for
                for former, position in places.items():
                    self.report(ev.OutOfRange(former, turn, position))

    # Answers.

    @precondition(lambda self: self.questions)
    @rule(data=st.data())
    def answer(self, data: st.DataObject) -> None:
        step = data.draw(st.sampled_from(sorted(self.questions)))
        self.answer_to(step, data.draw(st.sampled_from(HOW)))

    @precondition(lambda self: self.questions)
    @rule(how=st.sampled_from(HOW))
    def answer_the_last(self, how: str) -> None:
        self.answer_to(max(self.questions), how)

    @rule()
    def answer_everything_well(self) -> None:
        for _ in range(8):
            for step in sorted(self.questions):
                self.answer_to(step, "well")

    def answer_to(self, step: int, how: str) -> None:
        question = self.questions.pop(step)
        stint, log = self.stint_of(question.ownership), self.log[question.ownership.partition]
        failed = how == "failed" or step in self.stopped
        match question:
            case ev.Write():
                self.report(self.write(stint, log, question, how))
            case ev.Wait():
                self.report(ev.Done(step))
            case ev.CheckWriter():
                self.report(ev.Confirmed(step, question.epoch not in self.unanswered))
            case _ if failed:
                stint.spent |= isinstance(question, ev.AskCommitted)
                self.report(ev.Failed(step, NO_ANSWER))
            case ev.StartWriter():
                log.epoch = stint.epoch = step
                stint.spent = False
                stint.open_epochs.add(step)
                self.report(ev.Done(step))
            case ev.AskCommitted():
                if stint.takes_over or log.committed.offset == stint.known.offset:
                    stint.known_with, stint.known = stint.epoch, log.committed
                else:
                    stint.spent = True
                self.report(ev.CommittedFound(step, log.committed))
            case ev.FindPlace():
                self.find(stint, log, question)
            case ev.AskMembership():
                stint.confirmed = self.is_member
                self.report(ev.Confirmed(step, self.is_member))

    def find(self, stint: Stint, log: Log, question: ev.FindPlace) -> None:
        found = going_on(question.committed, Span(log.first, log.end), log.done)
        if stint.takes_over:
            stint.place, stint.to_move = found.offset, found.skip is not None
        elif not stint.leaving:
            assert question.committed.offset == stint.expected, "a place is searched for that was not lost"
            stint.lost_found = found.offset
        self.report(ev.PlaceFound(question.step, found))

    def write(self, stint: Stint, log: Log, question: ev.Write, how: str) -> ev.Answer:
        if question.epoch in self.unanswered:
            return ev.Failed(question.step, NO_ANSWER, usable=True)  # the writer itself refuses
        fenced = log.epoch != question.epoch
        asked = None if question.ticket is None else self.asked[question.ticket]
        if not fenced and how in ("well", "unanswered", "unknown"):
            self.commit_in(log, stint, question, asked)
            if how == "unanswered":
                self.unanswered.add(question.epoch)
        if not fenced and how in ("well", "unanswered"):
            stint.known, stint.to_move = question.committed, False
            return ev.Done(question.step)
        usable = how == "failed" and not fenced
        stint.spent = not usable
        if asked is not None and how == "unknown":
            asked.unknown = True
        return ev.Failed(question.step, CommitFailed("aborted") if usable else NO_ANSWER, usable)

    def commit_in(self, log: Log, stint: Stint, question: ev.Write, asked: Asked | None) -> None:
        assert log.committed.offset == stint.known.offset, "a commit over one that this member does not know"
        offset = question.committed.offset
        assert offset is not None
        assert offset >= (log.committed.offset or 0), "the committed offset goes back"
        if asked is None:
            assert offset >= log.done, "records that were worked on are committed as if they were not"
        else:
            first, last = asked.covers
            assert first >= log.done, "a record is committed twice"
            assert first == log.done or first <= log.first, "a record is passed over"
            assert last + 1 == offset
            asked.written = True
        log.done, log.committed = offset, question.committed

    # The user.

    def ask(self, event: ev.Request, stint: Stint | None, covers: tuple[int, int] = (0, 0)) -> None:
        self.asked[event.ticket] = Asked(event, stint, covers)
        self.report(event)

    def ticket(self) -> int:
        self.tickets += 1
        return self.tickets

    @precondition(lambda self: any(stint.delivered and not stint.broken for stint in self.owned.values()))
    @rule(data=st.data(), count=st.integers(1, 3))
    def commit(self, data: st.DataObject, count: int) -> None:
        able = [partition for partition, stint in self.owned.items() if stint.delivered and not stint.broken]
        self.commit_first(self.owned[data.draw(st.sampled_from(sorted(able)))], count)

    def commit_first(self, stint: Stint, count: int) -> None:
        taken, stint.delivered = stint.delivered[:count], stint.delivered[count:]
        event = ev.CommitAsked(stint.partition, self.ticket(), taken[-1] + 1)
        self.ask(event, stint, (taken[0], taken[-1]))

    @rule(partition=st.sampled_from(PARTITIONS), offset=st.integers(0, 9))
    def commit_what_was_forgotten(self, partition: int, offset: int) -> None:
        stint = self.owned.get(partition)
        if stint is None or not stint.placed or stint.spent or self.rewinds(stint):
            ticket = self.ticket()
            self.ask(ev.CommitAsked(partition, ticket, offset), stint)
            assert ticket not in self.asked, "it is refused at once"

    @rule(partition=st.sampled_from(PARTITIONS))
    def rewind(self, partition: int) -> None:
        stint = self.owned.get(partition)
        if stint is not None:
            stint.broken = True  # whoever rewinds commits nothing of what came before
        ticket = self.ticket()
        self.ask(ev.RewindAsked(partition, ticket), stint)
        assert ticket not in self.asked or (stint and self.under_way(stint)), "a request waits for nothing"

    @rule(
        asked=st.sampled_from(REQUESTS),
        lost=st.booleans(),
        how=st.lists(st.sampled_from(HOW), max_size=5),
        what=st.sampled_from(MEANWHILE),
    )
    def something_happens_during_a_request(self, asked: str, lost: bool, how: list[str], what: str) -> None:
        """After so many answers to the questions that a request, or an assignment, leads to."""
        if asked == "an assignment":
            if 0 in self.owned:
                self.leave(0)
            self.is_member = True
            self.report(ev.Assigned(0))
            stint = self.owned[0]
        else:
            stint = self.serve(0)
            self.asked_for = self.ask_for_records()
            self.unanswered |= stint.open_epochs if lost else set()
            for _ in range(asked.count("commit")):
                self.commit_first(stint, 1)
            if asked == "a rewind":
                self.rewind(0)
        self.answer_about(stint, how)
        self.meanwhile(0, 1, what)

    def serve(self, partition: int) -> Stint:
        """See to it that the partition is this member's, and that the user has records of it."""
        self.is_member = True
        if partition in self.owned and self.owned[partition].leaving:
            self.leave(partition)
        if partition not in self.owned:
            self.report(ev.Assigned(partition))
        stint = self.owned[partition]
        self.answer_everything_well()
        if stint.spent or stint.broken or not stint.open_epochs:
            self.rewind(partition)
            self.answer_everything_well()
        self.pause_or_resume(partition, pause=False)
        self.fetch_at_once(3)
        self.answer_everything_well()
        self.fetch_at_once(3)
        assert len(stint.delivered) >= 3, "a partition is forgotten"
        return stint

    def answer_about(self, stint: Stint, how: list[str]) -> None:
        for each in how:
            for question in self.under_way(stint):
                self.answer_to(question.step, each)

    @rule(partition=st.sampled_from(PARTITIONS), pause=st.booleans())
    def pause_or_resume(self, partition: int, pause: bool) -> None:
        if partition in self.owned:
            self.owned[partition].paused = pause
        self.report(ev.PauseAsked(partition) if pause else ev.ResumeAsked(partition))

    # The feed.

    @rule(count=st.integers(1, 3), late=st.booleans())
    def fetch(self, count: int, late: bool) -> None:
        """What was asked for long ago comes: from the place of now or, late, from that of then."""
        self.come(*self.asked_for, count, late=late)
        self.asked_for = self.ask_for_records()

    @rule(count=st.integers(1, 3))
    def fetch_at_once(self, count: int) -> None:
        self.come(*self.ask_for_records(), count)

    def ask_for_records(self) -> tuple[int, dict[int, int]]:
        return self.machine.turn, {p: self.library[p].position for p in self.machine.delivered}

    def come(self, turn: int, places: dict[int, int], count: int, late: bool = False) -> None:
        """The clock of the brokers is ahead of ours."""
        self.runs = {}
        for partition, place in places.items():
            log, library = self.log[partition], self.library[partition]
            first = place if late else library.position
            if first < log.first:
                self.report(ev.OutOfRange(partition, turn, first))
                continue
            log.end = max(log.end, first + count)
            self.runs[partition] = ev.Run(partition, first, first + count, self.now_ms + 20)
            if first == library.position:
                library.position = first + count
        self.report(ev.Fetched(turn, tuple(self.runs.values())))

    # What always holds.

    @invariant()
    def all_holds(self) -> None:
        self.what_is_delivered_is_what_the_library_reads()
        self.what_it_reports_is_true()

    def what_is_delivered_is_what_the_library_reads(self) -> None:
        for partition, stint in self.owned.items():
            delivers = partition in self.machine.delivered
            assert self.library[partition].paused is not delivers
            if delivers:
                assert (stint.leaving, stint.paused, stint.spent) == (False, False, False)
                assert self.library[partition].position == stint.expected

    def what_it_reports_is_true(self) -> None:
        assert self.machine.assignment == set(self.owned)
        for partition, stint in self.owned.items():
            known, offset = self.machine.committed(partition)
            writes = any(isinstance(q, ev.Write) and q.ownership == stint.key for q in self.questions.values())
            if known and not writes and self.log[partition].epoch == stint.epoch == stint.known_with:
                assert offset == self.log[partition].committed.offset

    def teardown(self) -> None:
        """Everything is answered well: what is owned is delivered or waits for a rewind; then it is released, once."""
        self.answer_all()
        for partition, stint in self.owned.items():
            rests = stint.leaving or stint.paused or stint.spent or not stint.open_epochs
            assert rests or partition in self.machine.delivered, "a partition is forgotten"
        for partition in list(self.owned):
            self.leave(partition)
        self.answer_all()
        assert not self.asked, "a request is not answered"
        assert Counter(stint.released for stint in self.stints) in (Counter(), Counter({1: len(self.stints)}))

    def answer_all(self) -> None:
        for _ in range(200):
            if not self.questions:
                return
            self.answer_to(min(self.questions), "well")
        raise AssertionError("questions without end")


@pytest.mark.parametrize("asked", REQUESTS)
def test_whatever_happens_while_something_is_asked(asked: str) -> None:
    """Every event after every answer to every question; thereafter the partition is served as ever."""
    answers = [["well"] * count + [last] for count in range(5) for last in HOW[1:]]
    for lost, how, what, then in product([False, True], answers, MEANWHILE, ["well", "failed"]):
        member = Member()
        member.begin(served=True, history="committed")
        member.something_happens_during_a_request(asked, lost, how, what)
        for stint in member.stints:
            member.answer_about(stint, [then])
        member.all_holds()
        stint = member.serve(0)
        assert not stint.spent, "the partition is served as ever"
        member.commit_first(stint, 1)
        member.teardown()  # compares everything with the model


TestMember = Member.TestCase
TestMember.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)
