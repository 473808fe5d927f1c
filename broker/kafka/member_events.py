"""What happens to a member of a consumer group, and what it asks for: the events and instructions of its machine.

The machine is in broker.kafka.member_machine. A question is an instruction that is answered by one event with the same
`step`; every other instruction is carried out at once. A `ticket` identifies what the user of the member asked for, in
the event and in its answer, `Succeed` or `Fail`.
"""

from dataclasses import dataclass

from broker.going_on import Committed, GoingOn


@dataclass(frozen=True, slots=True)
class Ownership:
    """A partition from its assignment to this member until it is released; `number` distinguishes it from others."""

    partition: int
    number: int


@dataclass(frozen=True, slots=True)
class Run:
    """Records that were fetched of one partition: offsets from `first` to before `end`, and their newest timestamp."""

    partition: int
    first: int
    end: int
    newest_ms: int


# Events.


@dataclass(frozen=True, slots=True)
class OfPartition:
    """An event that concerns one partition."""

    partition: int


class Assigned(OfPartition):
    """The group gave the partition to the member."""


class Leaving(OfPartition):
    """The group takes the partition away: what is being worked on may be committed, and nothing more is begun."""


class Left(OfPartition):
    """The partition passes to another member now."""


class PauseAsked(OfPartition):
    """The user wants no records of the partition."""


class ResumeAsked(OfPartition):
    """The user wants records of the partition again."""


@dataclass(frozen=True, slots=True)
class RewindAsked(OfPartition):
    """The user wants the partition delivered again from the committed offset."""

    ticket: int


@dataclass(frozen=True, slots=True)
class CommitAsked(OfPartition):
    """The user wants a commit of this offset."""

    ticket: int
    next_offset: int


@dataclass(frozen=True, slots=True)
class OutOfRange(OfPartition):
    """The log does not contain the offset that was to be read next, `position`. `turn`: as in `Fetched`."""

    turn: int
    position: int


@dataclass(frozen=True, slots=True)
class Fetched:
    """The library returned records. `turn`: the machine's `turn` when they were asked for."""

    turn: int
    runs: tuple[Run, ...]


@dataclass(frozen=True, slots=True)
class Answer:
    """An event that answers the question with this step."""

    step: int


class Done(Answer):
    """The writer has started, the transaction is written, or the time has passed."""


@dataclass(frozen=True, slots=True)
class Confirmed(Answer):
    """What was asked is so, or not."""

    yes: bool


@dataclass(frozen=True, slots=True)
class CommittedFound(Answer):
    """The group's last commit in the partition."""

    committed: Committed


@dataclass(frozen=True, slots=True)
class PlaceFound(Answer):
    """Where the group goes on in the partition."""

    found: GoingOn


@dataclass(frozen=True, slots=True)
class Failed(Answer):
    """The question has no answer now. `usable`: after a transaction, whether it was aborted so cleanly that its writer
    can write the next one."""

    error: Exception
    usable: bool = False


Request = CommitAsked | RewindAsked
Event = OfPartition | Fetched | Answer


# Instructions that are questions.


@dataclass(frozen=True, slots=True)
class Question:
    """An instruction that is answered by an event with this step."""

    step: int
    ownership: Ownership


class StartWriter(Question):
    """Start a writer for the partition, which fences the former one; `step` is its epoch from then on."""


class AskCommitted(Question):
    """What was committed last in the partition?"""


class AskMembership(Question):
    """Does the group still know this member?"""


@dataclass(frozen=True, slots=True)
class FindPlace(Question):
    """Where does the group go on after this commit? The search may take long; `StopSearch` ends it."""

    committed: Committed


@dataclass(frozen=True, slots=True)
class CheckWriter(Question):
    """Was every request of the writer of that epoch answered?"""

    epoch: int


@dataclass(frozen=True, slots=True)
class Write(Question):
    """Write one transaction with the writer of that epoch: the offset, and the outputs of the commit with that ticket;
    None: no outputs."""

    epoch: int
    committed: Committed
    ticket: int | None


@dataclass(frozen=True, slots=True)
class Wait(Question):
    """Let so many seconds pass."""

    seconds: float


# Instructions that are carried out at once.


@dataclass(frozen=True, slots=True)
class StopSearch:
    """The answer to the question with that step is not needed: end the search, and answer that it failed."""

    step: int


@dataclass(frozen=True, slots=True)
class CloseWriter:
    """The writer of that epoch is not used any more."""

    epoch: int


@dataclass(frozen=True, slots=True)
class Release:
    """The ownership has ended: no instruction follows for it."""

    ownership: Ownership


@dataclass(frozen=True, slots=True)
class Seek:
    """Have the library read the partition from this offset on."""

    partition: int
    offset: int


@dataclass(frozen=True, slots=True)
class Pause:
    """Have the library return nothing of the partition."""

    partition: int


@dataclass(frozen=True, slots=True)
class Resume:
    """Have the library return records of the partition."""

    partition: int


@dataclass(frozen=True, slots=True)
class Deliver:
    """The fetched records of the partition go to the user; those of other partitions are dropped."""

    partition: int


@dataclass(frozen=True, slots=True)
class Succeed:
    """What was asked for with this ticket is done."""

    ticket: int


@dataclass(frozen=True, slots=True)
class Fail:
    """What was asked for with this ticket cannot be done."""

    ticket: int
    error: Exception


@dataclass(frozen=True, slots=True)
class ReportTrouble:
    """The partition cannot be delivered yet, which is tried again. `lost`: for want of a place in the log; otherwise it
    could not be taken over."""

    partition: int
    error: Exception
    lost: bool


@dataclass(frozen=True, slots=True)
class ReportPlaced:
    """The partition has a place from which it is delivered."""

    partition: int


Order = (
    StopSearch | CloseWriter | Release | Seek | Pause | Resume | Deliver | Succeed | Fail | ReportTrouble | ReportPlaced
)
Instruction = Question | Order
