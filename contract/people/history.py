"""From which gallery version on the people topic still contains the people of that version. Pure.

The people of a version are the fold of all records below it. Compaction spoils that fold: it removes a record that a
later record of the same key has replaced, once the later one is older than the history (`log.people_history_ms`), and
the later one too, if it is a tombstone, at least `TOMBSTONE_MS` after that. Three rules follow:

1. Of the records from a version on, each that is older than the history may have removed what it replaced. So the
   people can be folded from the version behind the last record that is older than the history.
2. A tombstone that is gone has left no trace except a gap between offsets, and a gap may also be the end of a
   transaction. But a tombstone stays for at least `history + TOMBSTONE_MS`. So behind a decision younger than that no
   tombstone can be gone, and rule 1 suffices; for an older decision no gap may lie between its version and the next
   record.
3. A tombstone whose key has no earlier record is the trace of an erasure: an operator erased the person's records after
   the deletion. So the people can be folded from the version behind that tombstone.

Whether the record of a version was the last one that a processor had read does not matter: a decision names the version
that it was based on.
"""

from collections.abc import Iterable
from typing import Protocol

TOMBSTONE_MS = 24 * 60 * 60 * 1000
"""For how much longer than the history every log has kept a tombstone, at least.

The log keeps tombstones for longer now (broker.port), but earlier versions removed them after a day, and the topic of a
Kafka cluster keeps its delete.retention.ms until `topics create` changes it.
"""

CLOCKS_APART_MS = 60 * 60 * 1000
"""More than the clocks of the machines differ that write records and decide."""


def gone_before_ms(history_ms: int, now_ms: int) -> int:
    """Return the time (epoch milliseconds) before which a tombstone may be gone without a trace at `now_ms`."""
    return now_ms - history_ms - TOMBSTONE_MS + CLOCKS_APART_MS


class PastRecord(Protocol):
    """A record of the people topic, as either adapter of the log returns it."""

    @property
    def offset(self) -> int:
        """The record's offset in the topic's only partition."""
        ...

    @property
    def timestamp_ms(self) -> int:
        """When the record was written (epoch milliseconds)."""
        ...

    @property
    def key(self) -> bytes | None:
        """The key; None: the record is damaged, or has none."""
        ...

    @property
    def value(self) -> bytes | None:
        """The value; None: the record is a tombstone, or its value was erased."""
        ...


class History:
    """Reads the records of the people topic in the order of their offsets, and computes `foldable_from`.

    Only keys are kept in memory. `history_ms`: for how long replaced records are kept. `now_ms`: the time (epoch
    milliseconds) at which the topic is read; where reading takes long, `read_at` names the time of what is taken next.
    """

    def __init__(self, history_ms: int, now_ms: int) -> None:
        self._history_ms, self._now_ms = history_ms, now_ms
        self._gone_ms = gone_before_ms(history_ms, now_ms)
        self._live: set[bytes] = set()
        self._behind_old = 0
        self._first_young: int | None = None
        self.behind_erased = 0
        """The version behind the last tombstone whose person's records were erased; 0: there is none."""
        self.erased_ms: int | None = None
        """The time of that tombstone (epoch milliseconds)."""
        self.spoilt_ms: int | None = None
        """The time of the last record that may have removed what it replaced; None: there is no such record."""

    def read_at(self, now_ms: int) -> None:
        """Note the time (epoch milliseconds) until which the records that are taken next were read."""
        self._now_ms = max(self._now_ms, now_ms)
        if self._first_young is None:
            self._gone_ms = gone_before_ms(self._history_ms, self._now_ms)

    def take(self, records: Iterable[PastRecord]) -> None:
        """Take the next records."""
        for record in records:
            if record.timestamp_ms <= self._now_ms - self._history_ms:
                self._behind_old, self._first_young = record.offset + 1, None
                self._gone_ms = gone_before_ms(self._history_ms, self._now_ms)
                self.spoilt_ms = record.timestamp_ms
            elif self._first_young is None:
                self._first_young = record.offset
            if record.key is None:
                continue
            if record.value is not None:
                self._live.add(record.key)
            elif record.key in self._live:
                self._live.discard(record.key)
            else:
                self.behind_erased, self.erased_ms = record.offset + 1, record.timestamp_ms

    def foldable_from(self, end: int, decided_ms: int) -> int:
        """Return the first gallery version at which the people of decisions since `decided_ms` can be folded.

        `end`: the end offset of the topic. `decided_ms`: the time of the oldest of the decisions (epoch milliseconds).
        """
        first = self._behind_old
        if decided_ms < self._gone_ms:
            first = end if self._first_young is None else self._first_young
        return max(first, self.behind_erased)
