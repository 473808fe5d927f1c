"""The port of the log: what every make of it promises, and the values that cross it.

Invariants, checked for every make by the same contract tests:

- A topic has a fixed number of partitions; a record with a key goes to the partition of that key, always the same.
- Offsets grow within a partition and are never reused. They may have gaps.
- What `append` or `commit` has returned for is durable, and readable within moments; anything else is either wholly
  there or not at all.
- Readers see committed records only, in offset order.
- A record's timestamp is the time of its writing.
- In a compacted topic the latest value of each key stays readable, whatever its age.

Errors::

    BrokerError                 facts: retriable
    ├── BrokerUnavailable       the log cannot be reached or written now            (retriable)
    ├── CommitFailed            a transaction was aborted; `rewind`, then try again  (retriable)
    ├── BrokerInUse             another process owns the data folder or the group
    ├── RecordTooLarge          a record is over the topic's limit
    └── UnknownTopic            the topic does not exist
        └── UnknownPartition    the topic does not have this partition (any more)
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from types import TracebackType
from typing import ClassVar, Protocol, Self

from contract.operator_error import OperatorError

Headers = tuple[tuple[str, bytes], ...]


class BrokerError(OperatorError):
    """Something the log could not do; the message is a sentence for the user."""

    retriable: ClassVar[bool] = False


class BrokerUnavailable(BrokerError):
    """The log cannot be reached, or cannot be written now (a full disk)."""

    retriable = True


class CommitFailed(BrokerError):
    """The transaction left nothing behind; `GroupMember.rewind` has its records delivered again."""

    retriable = True


class BrokerInUse(BrokerError):
    """Somebody else owns what was to be opened."""


class RecordTooLarge(BrokerError):
    """The record is over the limit of its topic."""


class UnknownTopic(BrokerError):
    """No topic of this name exists. `topic` is its name, `partitions` how many partitions there are: none."""

    def __init__(self, message: str, topic: str = "", partitions: int = 0) -> None:
        super().__init__(message)
        self.topic = topic
        self.partitions = partitions


class UnknownPartition(UnknownTopic):
    """The topic has `partitions` partitions, and not the one that was named."""


@dataclass(frozen=True, slots=True)
class TopicSpec:
    """How a topic is kept. `retention_ms` and `retention_bytes` (per partition) of None mean for ever.

    `min_compaction_lag_ms` is for compacted topics: a record that a newer one of its key replaced stays readable until
    the newer one is older than this (0: until the next compaction). A tombstone stays for a day longer than that.
    """

    name: str
    partitions: int
    retention_ms: int | None = None
    retention_bytes: int | None = None
    compacted: bool = False
    max_record_bytes: int = 32 * 1024 * 1024
    min_compaction_lag_ms: int = 0


@dataclass(frozen=True, slots=True)
class NewRecord:
    """A record to be written. A `value` of None deletes its key in a compacted topic (a tombstone).

    `partition` None lets the key choose; without a key the record goes to partition 0.
    """

    topic: str
    key: bytes | None
    value: bytes | None
    headers: Headers = ()
    partition: int | None = None


@dataclass(frozen=True, slots=True, order=True)
class Position:
    """The place of one record."""

    topic: str
    partition: int
    offset: int


@dataclass(frozen=True, slots=True)
class Record:
    """A committed record as it was read.

    `damaged`: the log's file no longer says what was written there. Such a record has a `value` that nothing decodes
    from (empty, never None), no headers, and the key as it was read, which may be wrong.
    """

    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None
    headers: Headers = ()
    damaged: bool = False

    @property
    def position(self) -> Position:
        """Where the record stands."""
        return Position(self.topic, self.partition, self.offset)

    def header(self, name: str) -> bytes | None:
        """The last header of that name, or None."""
        return next((value for key, value in reversed(self.headers) if key == name), None)


class Start(Enum):
    """Where a reader without committed offsets begins."""

    EARLIEST = "earliest"
    LATEST = "latest"


class Skip(Enum):
    """Why a group is not given records of a partition that it has not committed."""

    REMOVED = "removed"
    """Retention, or an administrator, removed them before they were read."""
    WORKED_ON = "worked_on"
    """The group's offset is lost, and the records have been worked on."""
    OTHER_LOG = "other_log"
    """The group's offset is another log's: the topic was made again, or lost its last records. The records are older
    than the group's last commit, or have been worked on."""


@dataclass(frozen=True, slots=True)
class Skipped:
    """Records that a group is not given: those from offset `first` to before `end`."""

    topic: str
    partition: int
    reason: Skip
    first: int
    end: int

    @property
    def count(self) -> int:
        """How many records that are. Offsets that hold the end of a transaction are counted with them."""
        return self.end - self.first


WorkedOn = Callable[[int, int, int], Awaitable[int | None]]
"""Given a partition and its first and end offset: the offset behind the last record that was worked on, or None where
none of them was. Asked only where the group's own offset does not tell. It may take long, and may be cancelled."""

OnSkipped = Callable[[Skipped], None]
"""Told, once each time, that a group is not given some records. Must be quick."""

FollowUp = Callable[[Sequence[Position]], Sequence[NewRecord]]
"""Given the positions of the records of one step of a transaction, the records of the next step, which may name those
positions. Must be quick and pure: it may be called again when a transaction is tried again."""

OnRevoked = Callable[[frozenset[int]], Awaitable[None]]
"""Given partitions that pass to another member, finish or forget all work on them, within a few seconds."""


class _Owner(Protocol):
    async def __aenter__(self) -> Self: ...

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class Reader(_Owner, Protocol):
    """Reads partitions of one topic by itself: no group, nothing is committed.

    Entering the context positions it; from then on nothing appended later can be missed.
    """

    async def fetch(self, max_records: int = 100, timeout_s: float | None = None) -> Sequence[Record]:
        """The next records, per partition in offset order; waits for at least one.

        An empty answer means that `timeout_s` passed; the positions then stand at the ends seen last.
        """
        ...

    def positions(self) -> Mapping[int, int]:
        """Partition -> the offset that is read next (every record below it was delivered or is gone)."""
        ...


class GroupMember(_Owner, Protocol):
    """A member of a consumer group: gets records of the partitions assigned to it and commits how far it is.

    It goes on at the committed offset. Without one it begins behind the last record that was worked on, where the
    member was given a way to ask, and at the earliest record otherwise. Where records from the committed offset on have
    been removed, it goes on at the earliest one. Where the offset is not of this log (it lies beyond the end, or
    records below it were written after its commit) it goes on behind the last record that was worked on, else at the
    first one that was written after the commit. What is skipped by that is logged and told, with the number of records.
    """

    async def fetch(self, max_records: int = 100, timeout_s: float | None = None) -> Sequence[Record]:
        """The next records of the assigned partitions that are not paused; see `Reader.fetch`."""
        ...

    def assignment(self) -> frozenset[int]:
        """The partitions this member owns now."""
        ...

    def on_revoked(self, forget: OnRevoked) -> None:
        """Have `forget` awaited whenever partitions are taken away, while commits of them are still possible.

        Nothing of them is delivered from then on, until they are assigned again: then from the committed offset, which
        may be to this member. When `forget` has returned, what was delivered before must not be committed any more.
        """
        ...

    def pause(self, partition: int) -> None:
        """Deliver nothing of this partition until `resume`. Of a partition that was taken away: nothing happens."""
        ...

    def resume(self, partition: int) -> None:
        """Deliver this partition again."""
        ...

    async def committed(self, partition: int) -> int | None:
        """The offset that the group goes on from, or None before the first commit."""
        ...

    async def commit(
        self,
        partition: int,
        next_offset: int,
        outputs: Sequence[NewRecord] = (),
        *then: FollowUp,
    ) -> Sequence[Position]:
        """One transaction of several steps: `outputs`, then what each of `then` returns, and the group's new offset.

        Each of `then` gets the positions of the records of the step before it. Returns the positions of everything that
        was written, in order, once it is durable. One commit per partition at a time.

        Raises:
            CommitFailed: nothing was written; delivery stands where it stood until `rewind`.
            BrokerUnavailable: the log is out of reach. Whether it was written is not known until `rewind` has
                succeeded: `committed` tells then.
        """
        ...

    async def rewind(self, partition: int) -> None:
        """Have the partition delivered again from the offset that `committed` tells.

        Explicit, because whoever works ahead has to forget that work first: pause, rewind, forget, resume.
        Of a partition that was taken away: nothing happens.

        Raises:
            BrokerUnavailable: not now; try again.
        """
        ...


class Watch(_Owner, Protocol):
    """Watches over the members of a group."""

    def served(self) -> bool | None:
        """Whether a member gave a sign of life lately and takes records; None where nobody can tell now."""
        ...


class Broker(_Owner, Protocol):
    """One open log."""

    async def ensure_topics(self, specs: Sequence[TopicSpec]) -> None:
        """Create the topics that are missing and take over changed retention; idempotent.

        Raises:
            BrokerError: a topic exists with another number of partitions or another kind of clean-up.
        """
        ...

    async def partitions(self, topic: str) -> int:
        """How many partitions the topic has; a number that was asked for before may be remembered."""
        ...

    async def append(self, records: Sequence[NewRecord]) -> Sequence[Position]:
        """Write the records outside any group, all or none; returns once they are durable."""
        ...

    async def end_offsets(self, topic: str) -> Mapping[int, int]:
        """Partition -> an offset above every record that was committed before the call.

        It may lie beyond the last of them, where a transaction is under way or left nothing. Readers reach it: at once,
        or when the transactions below it have ended, which their time limit makes sure of.
        """
        ...

    async def read_at(self, position: Position) -> Record | None:
        """The record at that place, or None where there is none (any more)."""
        ...

    def reader(
        self,
        topic: str,
        start: Start | Mapping[int, int] | float = Start.EARLIEST,
        partitions: Sequence[int] | None = None,
    ) -> Reader:
        """A reader of these (default: all) partitions.

        `start` is one of Start, partition -> offset, or a time in epoch seconds (records written then or later).
        """
        ...

    def member(
        self, topic: str, group: str, worked_on: WorkedOn | None = None, on_skipped: OnSkipped | None = None
    ) -> GroupMember:
        """A member of `group` on `topic`; `worked_on` and `on_skipped` as their types say."""
        ...

    def watch(self, group: str) -> Watch:
        """Watches over the members of `group`, in whichever process they are."""
        ...

    def available(self) -> bool:
        """Whether the log could be reached and written when last tried."""
        ...
