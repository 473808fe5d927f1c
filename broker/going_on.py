"""Where a group goes on in a partition that it takes over, and what it is not given by that."""

import logging
from dataclasses import dataclass

from broker.port import OnSkipped, Skip, Skipped

CLOCKS_APART_MS = 3_600_000
"""A time that is further ahead than this was written by a wrong clock, and tells nothing."""


@dataclass(frozen=True, slots=True)
class Committed:
    """What is known of a group's last commit: the offset it goes on from, and when (epoch milliseconds) it was made.

    None: there is no commit (any more); the time of the commit was not written down.
    """

    offset: int | None = None
    time_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Span:
    """A partition's offsets: the `first` that is kept, and the `end` behind the last.

    `newer` is the first offset that was written after the group's last commit (`end`: none was), or None where the time
    of that commit is not known.
    """

    first: int
    end: int
    newer: int | None = None


@dataclass(frozen=True, slots=True)
class GoingOn:
    """The offset that is delivered next, and what the group is not given by that, if anything."""

    offset: int
    skip: Skip | None = None
    skipped: range = range(0)

    def told(self, topic: str, partition: int) -> Skipped | None:
        """What was skipped, for whoever counts."""
        if self.skip is None:
            return None
        return Skipped(topic, partition, self.skip, self.skipped.start, self.skipped.stop)


def belongs_to_another_log(committed: Committed, span: Span) -> bool:
    """Whether the group's offset is not one of this log: the topic was made again, or lost its last records.

    The offset lies beyond the end; or there are records below it that were written after it was committed.
    """
    if committed.offset is None:
        return False
    return committed.offset > span.end or (span.newer is not None and span.newer < committed.offset)


def asks_for_work(committed: Committed, span: Span) -> bool:
    """Whether it matters how far the records of this log have been worked on: the group's offset does not tell."""
    return span.first < span.end and (committed.offset is None or belongs_to_another_log(committed, span))


def going_on(committed: Committed, span: Span, worked_on: int | None = None) -> GoingOn:
    """Where the group goes on.

    Args:
        committed: Its last commit.
        span: The partition as it is.
        worked_on: The offset behind the last record that was verifiably worked on, where that was asked and found.
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
    """The time that is written down with a commit: no record that it covers is newer, whatever the clocks.

    `newest_ms` is the newest time of the records that were delivered, `former_ms` the time of the commit before.
    """
    return max(now_ms, *(time for time in (newest_ms, former_ms) if time is not None), 0)


def with_time_that_tells(committed: Committed, now_ms: int) -> Committed:
    """The commit, without its time where that lies so far ahead that it is a wrong clock's."""
    if committed.time_ms is None or committed.time_ms <= now_ms + CLOCKS_APART_MS:
        return committed
    return Committed(committed.offset)


def tell(
    log: logging.Logger,
    group: str,
    skipped: Skipped | None,
    committed: Committed,
    span: Span,
    on_skipped: OnSkipped | None,
) -> None:
    """Log what a group is not given, and have it counted."""
    if skipped is None:
        return
    level = logging.WARNING if skipped.reason is Skip.WORKED_ON else logging.ERROR
    log.log(level, "group %s: %s", group, in_words(skipped, committed, span))
    if on_skipped is not None:
        on_skipped(skipped)


def in_words(skipped: Skipped, committed: Committed, span: Span) -> str:
    """What is skipped and why, as one sentence."""
    where = f"partition {skipped.partition} of {skipped.topic}"
    match skipped.reason:
        case Skip.REMOVED:
            return (
                f"{where}: {skipped.count} records (offsets {skipped.first} to {skipped.end - 1}) were removed before"
                " this group read them: keep them for longer than the group is away"
            )
        case Skip.WORKED_ON:
            return (
                f"{where}: the group's offset is lost; {skipped.count} records have been worked on and are passed over,"
                f" {span.end - skipped.end} records from offset {skipped.end} on follow"
            )
        case Skip.OTHER_LOG:
            return (
                f"{where}: the group's offset {committed.offset} is not of this log, which holds {span.first} to"
                f" {span.end} (the topic was made again, or lost records): {skipped.count} records are older than the"
                f" group's last commit or have been worked on and are passed over, {span.end - skipped.end} records"
                f" from offset {skipped.end} on follow"
            )


def _within(span: Span, offset: int) -> int:
    return min(max(offset, span.first), span.end)
