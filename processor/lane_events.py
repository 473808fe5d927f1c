"""The events and instructions of a lane's machine (processor.lane_machine).

A number identifies a record, and is never used twice: a record that is delivered again has another number. `Commit`
and `Rewind` are questions: each is answered by `Done` or `Failed`. Every other instruction is carried out at once.
"""

from dataclasses import dataclass
from enum import Enum, auto

# Events.


@dataclass(frozen=True, slots=True)
class Put:
    """The log delivered a record; records come in offset order. `size`: bytes of its value."""

    number: int
    size: int


@dataclass(frozen=True, slots=True)
class Finished:
    """The record is processed. `wait_s`: how long it may wait for records behind it that share its transaction."""

    number: int
    wait_s: float = 0.0


@dataclass(frozen=True, slots=True)
class TimeOver:
    """The time of the `Wait` with this step has passed."""

    step: int


@dataclass(frozen=True, slots=True)
class Done:
    """The commit is durable, or the log is rewound."""


class Trouble(Enum):
    """The kinds of errors that a machine distinguishes."""

    RETRIABLE = auto()
    """The commit or rewind can be tried again; only after a rewind is it known whether the commit was written."""
    UNWRITABLE = auto()
    """An output of the commit is too large for the log, or could not be made; nothing was written."""
    NO_REPLY_PARTITION = auto()
    """A reply of the commit is for a partition that the replies topic does not have; nothing was written."""
    FINAL = auto()
    """The commit or rewind would fail for ever, or the work on a record has a defect."""


@dataclass(frozen=True, slots=True)
class Failed:
    """The commit, the rewind, or the work on a record failed. `partitions`: the number of the replies topic's."""

    error: BaseException
    trouble: Trouble
    partitions: int = 0


@dataclass(frozen=True, slots=True)
class Dropped:
    """The lane ends: the partition passes to another member, or the processor ends."""


Event = Put | Finished | TimeOver | Done | Failed | Dropped


# Instructions.


@dataclass(frozen=True, slots=True)
class Commit:
    """Write the outputs of these records, and the offset after the last of them, as one transaction.

    `reply_partitions`: leave out replies to other partitions than these first ones (None: leave out none). `instead`:
    write a dead letter instead of the outputs of the only record, because of this error.
    """

    numbers: tuple[int, ...]
    reply_partitions: int | None = None
    instead: BaseException | None = None


@dataclass(frozen=True, slots=True)
class Rewind:
    """Have the log deliver again from the committed offset."""


@dataclass(frozen=True, slots=True)
class Stop:
    """The lane cannot go on: raise this error."""

    error: BaseException


@dataclass(frozen=True, slots=True)
class Wait:
    """Report `TimeOver` with this step after so many seconds."""

    step: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Pause:
    """Have the log deliver nothing, and forget the decisions of former commits: the last one failed, and nobody knows
    whether it was written."""


@dataclass(frozen=True, slots=True)
class Resume:
    """Have the log deliver again."""


@dataclass(frozen=True, slots=True)
class Drop:
    """End the work on these records: they are committed, or will be delivered again."""

    numbers: tuple[int, ...]


Question = Commit | Rewind | Stop
Instruction = Question | Wait | Pause | Resume | Drop
