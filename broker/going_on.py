"""The offset from which a consumer group goes on in a partition that it takes over, and the records that it skips."""

import logging
from dataclasses import dataclass

from broker.port import OnSkipped, Skip, Skipped

CLOCKS_APART_MS = 3_600_000
"""A time that is further ahead of the local clock than this was written by a wrong clock, and is not used."""


@dataclass(frozen=True, slots=True)
class Committed:
    """A group's last commit in a partition.

    Attributes:
        offset: the offset of the next record to be delivered; None: there is no commit (any more).
        time_ms: the time of the commit in epoch milliseconds; None: the time was not recorded.
    """

    offset: int | None = None
    time_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Span:
    """The offsets of a partition.

    Attributes:
        first: the offset of the first record that is kept.
        end: the offset after the last record.
        newer: the offset of the first record that was written after the group's last commit (`end`: no record was);
            None: the time of that commit is not known.
    """

    first: int
    end: int
    newer: int | None = None


@dataclass(frozen=True, slots=True)
class GoingOn:
    """The offset of the next record to be delivered; the reason and offsets of skipped records, if there are any."""

    offset: int
    skip: Skip | None = None
    skipped: range = range(0)

    def report(self, topic: str, partition: int) -> Skipped | None:
        """Return the skipped records as the port reports them; None: no record was skipped."""
        if self.skip is None:
            return None
        return Skipped(topic, partition, self.skip, self.skipped.start, self.skipped.stop)


def belongs_to_another_log(committed: Committed, span: Span) -> bool:
    """Whether the group's offset was committed for another log: the topic was created anew, or lost its last records.

    That is so where the offset lies beyond the end, or a record below the offset was written after the commit.
    """
    if committed.offset is None:
        return False
    return committed.offset > span.end or (span.newer is not None and span.newer < committed.offset)


def needs_worked_on(committed: Committed, span: Span) -> bool:
    """Whether `going_on` needs `worked_on`: there are records, and the group's offset is lost or another log's."""
    return span.first < span.end and (committed.offset is None or belongs_to_another_log(committed, span))


def going_on(committed: Committed, span: Span, worked_on: int | None = None) -> GoingOn:
    """Return the offset from which the group goes on, and the skipped records.

    Args:
        committed: the group's last commit.
        span: the offsets of the partition.
        worked_on: the offset after the last record that was verifiably worked on; None: not searched, or not found.
    """
    offset = committed.offset
    if belongs_to_another_log(committed, span):
        time_known = span.first if span.newer is None else max(span.first, span.newer)
        place = _within(span, time_known if worked_on is None else worked_on)
        return GoingOn(place, Skip.OTHER_LOG, range(span.first, place))
    if offset is None:
        place = _within(span, span.first if worked_on is None else worked_on)
        return GoingOn(place) if place == span.first else GoingOn(place, Skip.WORKED_ON, range(span.first, place))
    if offset < span.first:
        return GoingOn(span.first, Skip.REMOVED, range(offset, span.first))
    return GoingOn(offset)


def time_of_commit(now_ms: int, newest_ms: int | None, former_ms: int | None) -> int:
    """Return the time (epoch milliseconds) to be recorded with a commit.

    No record that the commit covers is newer than that time, even if clocks differ.

    Args:
        now_ms: the local clock.
        newest_ms: the newest time of the delivered records; None: no record was delivered.
        former_ms: the time of the commit before this one; None: there is none.
    """
    return max(now_ms, *(time for time in (newest_ms, former_ms) if time is not None), 0)


def without_wrong_time(committed: Committed, now_ms: int) -> Committed:
    """Return the commit, without its time if that lies further ahead of the local clock than `CLOCKS_APART_MS`."""
    if committed.time_ms is None or committed.time_ms <= now_ms + CLOCKS_APART_MS:
        return committed
    return Committed(committed.offset)


def log_skipped(
    log: logging.Logger,
    group: str,
    skipped: Skipped | None,
    committed: Committed,
    span: Span,
    on_skipped: OnSkipped | None,
) -> None:
    """Log the records that a group skips, and call `on_skipped` with them."""
    if skipped is None:
        return
    level = logging.WARNING if skipped.reason is Skip.WORKED_ON else logging.ERROR
    log.log(level, "group %s: %s", group, sentence_of(skipped, committed, span))
    if on_skipped is not None:
        on_skipped(skipped)


def sentence_of(skipped: Skipped, committed: Committed, span: Span) -> str:
    """Return one sentence that names the skipped records and the reason."""
    where = f"partition {skipped.partition} of {skipped.topic}"
    match skipped.reason:
        case Skip.REMOVED:
            return (
                f"{where}: {skipped.count} records (offsets {skipped.first} to {skipped.end - 1}) were removed before"
                " this group read them: set a retention that is longer than the group is away"
            )
        case Skip.WORKED_ON:
            return (
                f"{where}: the group's offset is lost; {skipped.count} records have been worked on and are skipped,"
                f" {span.end - skipped.end} records from offset {skipped.end} on are delivered"
            )
        case Skip.OTHER_LOG:
            return (
                f"{where}: the group's offset {committed.offset} is not of this log, which has the offsets"
                f" {span.first} to {span.end} (the topic was created anew, or lost records): {skipped.count} records"
                " are older than the group's last commit or have been worked on and are skipped,"
                f" {span.end - skipped.end} records from offset {skipped.end} on are delivered"
            )


def _within(span: Span, offset: int) -> int:
    return min(max(offset, span.first), span.end)
