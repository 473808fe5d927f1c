"""The port of the log: the promises of every adapter, and the values that callers and adapters exchange.

Invariants, checked for every adapter by the same contract tests:

- A topic has a fixed number of partitions; a record with a key goes to the partition of that key, always the same.
- Offsets grow within a partition and are never reused. They may have gaps.
- Records are durable when `append` or `commit` returns, and readable within moments. Where the call fails or is
  cancelled, either all of its records are written or none.
- Readers return committed records only, in offset order.
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

ERASED = "erased"
"""The header of a record whose value an operator has erased, so that the value is None."""


class BrokerError(OperatorError):
    """An operation of the log failed; the message is a sentence for the user."""

    retriable: ClassVar[bool] = False


class BrokerUnavailable(BrokerError):
    """The log cannot be reached, or cannot be written now (a full disk)."""

    retriable = True


class CommitFailed(BrokerError):
    """The transaction wrote nothing; `GroupMember.rewind` delivers the partition again from the committed offset."""

    retriable = True


class BrokerInUse(BrokerError):
    """Another process owns the data folder, or is the member of the group."""


class RecordTooLarge(BrokerError):
    """The record is over the limit of its topic."""


class UnknownTopic(BrokerError):
    """No topic of the name `topic` exists; `partitions` is 0."""

    def __init__(self, message: str, topic: str = "", partitions: int = 0) -> None:
        super().__init__(message)
        self.topic = topic
        self.partitions = partitions


class UnknownPartition(UnknownTopic):
    """The topic has `partitions` partitions, and the requested partition is not one of them."""


DELETIONS_KEPT_MS = 30 * 24 * 60 * 60 * 1000
"""For how long a compacted topic keeps the deletion of a key (a tombstone) once it may be compacted.

A copy of the table that is younger learns of every deletion from the topic, so nothing that was deleted can come back.
"""


@dataclass(frozen=True, slots=True)
class DeletionsKept:
    """How far back a compacted topic tells of deletions (tombstones).

    `kept_ms`: every deletion stays readable for at least so long. `complete_from`: partition -> the offset from which
    on no deletion has been removed yet; a log that does not know it has no entry.
    """

    kept_ms: int
    complete_from: Mapping[int, int]


@dataclass(frozen=True, slots=True)
class TopicSpec:
    """The specification of a topic.

    `retention_ms` and `retention_bytes` (per partition) of None mean that records are kept for ever.
    `min_compaction_lag_ms` is for compacted topics: a record that a newer record of its key has replaced stays readable
    until the newer record is older than this (0: until the next compaction). A tombstone, which has a key and no value,
    stays for `DELETIONS_KEPT_MS` longer; what it deletes does not.
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
    """A record to be written. A `value` of None deletes the key in a compacted topic (a tombstone).

    `partition` of None means the partition of the key; a record without a key then goes to partition 0.
    """

    topic: str
    key: bytes | None
    value: bytes | None
    headers: Headers = ()
    partition: int | None = None


@dataclass(frozen=True, slots=True, order=True)
class Position:
    """The position of one record."""

    topic: str
    partition: int
    offset: int


@dataclass(frozen=True, slots=True)
class Record:
    """A committed record as it was read.

    `damaged`: the file of the log no longer contains what was written. A damaged record has an empty `value` (never
    None), which no decoder accepts, no headers, and the key as it was read, which may be wrong.
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
        """The position of the record."""
        return Position(self.topic, self.partition, self.offset)

    @property
    def erased(self) -> bool:
        """Whether an operator has erased the value, which is None."""
        return self.value is None and self.header(ERASED) is not None

    def header(self, name: str) -> bytes | None:
        """Return the value of the last header of that name, or None."""
        return next((value for key, value in reversed(self.headers) if key == name), None)


class Start(Enum):
    """The offset at which a reader begins: the first, or the end."""

    EARLIEST = "earliest"
    LATEST = "latest"


class Skip(Enum):
    """The reason why a group skips records of a partition that it has not committed."""

    REMOVED = "removed"
    """Retention, or an administrator, removed the records before they were read."""
    WORKED_ON = "worked_on"
    """The group's offset is lost, and the records have been worked on."""
    OTHER_LOG = "other_log"
    """The group's offset is another log's: the topic was created anew, or lost its last records. The records are older
    than the group's last commit, or have been worked on."""


@dataclass(frozen=True, slots=True)
class Skipped:
    """Records that a group skips: those from offset `first` to before `end`."""

    topic: str
    partition: int
    reason: Skip
    first: int
    end: int

    @property
    def count(self) -> int:
        """The number of skipped offsets. On Kafka it includes offsets that mark the end of a transaction."""
        return self.end - self.first


WorkedOn = Callable[[int, int, int], Awaitable[int | None]]
"""A function (partition, first offset, end offset) that returns the offset after the last record that was worked on.

None: no record was worked on. It is called only where the group's offset is lost or another log's. It may take long,
and may be cancelled."""

OnSkipped = Callable[[Skipped], None]
"""Called once each time that a group skips records. It must be quick."""

FollowUp = Callable[[Sequence[Position]], Sequence[NewRecord]]
"""A function of the positions of the records of one step of a transaction; it returns the records of the next step,
which may name those positions. It must be quick and pure: it is called again when a transaction is tried again."""

OnRevoked = Callable[[frozenset[int]], Awaitable[None]]
"""Called with partitions that pass to another member; it finishes or forgets all work on them within a few seconds."""


class _Owner(Protocol):
    async def __aenter__(self) -> Self: ...

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class Reader(_Owner, Protocol):
    """Reads partitions of one topic without a consumer group; it commits nothing.

    The reader is positioned when its context is entered; it returns every record that is appended after that.
    """

    async def fetch(self, max_records: int = 100, timeout_s: float | None = None) -> Sequence[Record]:
        """Wait for at least one record, and return the next records, per partition in offset order.

        An empty result means that `timeout_s` passed; the positions are then the last known ends of the partitions.
        """
        ...

    def positions(self) -> Mapping[int, int]:
        """Return partition -> the offset that is read next (every record below it was delivered or is removed)."""
        ...


class GroupMember(_Owner, Protocol):
    """A member of a consumer group: it delivers the records of its assigned partitions and commits offsets.

    A member goes on from the committed offset. Without a committed offset it begins after the last record that was
    worked on, if it has a `WorkedOn` that finds one, and otherwise at the earliest record. Where records from the
    committed offset on have been removed, the member goes on at the earliest record. Where the offset is another log's
    (it lies beyond the end, or records below it were written after the commit), the member goes on after the last
    record that was worked on, or else at the first record that was written after the commit. Skipped records are
    logged and reported to `OnSkipped`, with their number.
    """

    async def fetch(self, max_records: int = 100, timeout_s: float | None = None) -> Sequence[Record]:
        """Return the next records of the assigned partitions that are not paused; see `Reader.fetch`."""
        ...

    def assignment(self) -> frozenset[int]:
        """Return the partitions that this member owns now."""
        ...

    def on_revoked(self, forget: OnRevoked) -> None:
        """Await `forget` whenever partitions are taken away, while they can still be committed.

        From then on no record of these partitions is delivered until they are assigned again, perhaps to this member;
        delivery then begins at the committed offset. Once `forget` has returned, records that were delivered before
        must not be committed any more.
        """
        ...

    def pause(self, partition: int) -> None:
        """Deliver no record of this partition until `resume`; no effect if the partition was taken away."""
        ...

    def resume(self, partition: int) -> None:
        """Deliver this partition again."""
        ...

    async def committed(self, partition: int) -> int | None:
        """Return the offset from which the group goes on, or None before the first commit."""
        ...

    async def commit(
        self,
        partition: int,
        next_offset: int,
        outputs: Sequence[NewRecord] = (),
        *then: FollowUp,
    ) -> Sequence[Position]:
        """Write one transaction of several steps: `outputs`, the records of each of `then`, and the group's new offset.

        Each of `then` gets the positions of the records of the step before it. The call returns the positions of all
        written records, in order, once they are durable. One commit per partition may run at a time.

        Raises:
            CommitFailed: nothing was written; delivery stays where it is until `rewind`.
            BrokerUnavailable: the log is out of reach. Whether the transaction was written is not known until `rewind`
                has succeeded; then `committed` returns the offset in force.
        """
        ...

    async def rewind(self, partition: int) -> None:
        """Deliver the partition again from the committed offset; no effect if the partition was taken away.

        The caller rewinds, not the member, because a caller that works ahead must forget that work first: pause,
        rewind, forget, resume.

        Raises:
            BrokerUnavailable: the log is out of reach; try again.
        """
        ...


class Watch(_Owner, Protocol):
    """Observes whether the members of a group are alive."""

    def served(self) -> bool | None:
        """Return whether a member gave a sign of life lately and takes records; None: not known now."""
        ...


class Broker(_Owner, Protocol):
    """One open log."""

    async def ensure_topics(self, specs: Sequence[TopicSpec]) -> None:
        """Create the topics that are missing and change the retention of the others; idempotent.

        Raises:
            BrokerError: a topic exists with another number of partitions or another kind of clean-up.
        """
        ...

    async def partitions(self, topic: str) -> int:
        """Return the number of partitions of the topic; an adapter may remember a number that it looked up before."""
        ...

    async def append(self, records: Sequence[NewRecord]) -> Sequence[Position]:
        """Write the records outside any group, all or none; return their positions once they are durable."""
        ...

    async def end_offsets(self, topic: str) -> Mapping[int, int]:
        """Return partition -> an offset above every record that was committed before the call.

        The offset may lie further behind the last record, where a transaction is under way or was aborted. Readers
        reach the offset at once, or when the transactions below it have ended, at the latest by their time limit.
        """
        ...

    async def read_at(self, position: Position) -> Record | None:
        """Return the record at the position, or None where there is none (any more)."""
        ...

    async def deletions_kept(self, topic: str) -> DeletionsKept:
        """Return how far back the compacted topic tells of deletions, as the log has it now."""
        ...

    def reader(
        self,
        topic: str,
        start: Start | Mapping[int, int] | float = Start.EARLIEST,
        partitions: Sequence[int] | None = None,
    ) -> Reader:
        """Return a reader of these (default: all) partitions.

        `start` is a `Start`, a mapping partition -> offset, or a time in epoch seconds: the reader then begins at the
        first record that was written at that time or later.
        """
        ...

    def member(
        self, topic: str, group: str, worked_on: WorkedOn | None = None, on_skipped: OnSkipped | None = None
    ) -> GroupMember:
        """Return a member of `group` on `topic`; see `WorkedOn` and `OnSkipped`."""
        ...

    def watch(self, group: str) -> Watch:
        """Return a watch of the members of `group` in all processes."""
        ...

    def available(self) -> bool:
        """Return whether the last attempt to reach and write the log succeeded."""
        ...
