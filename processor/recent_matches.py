"""The first matches of the last moments of one partition, by which repeats are recognised (contract.repeats).

They are in memory, and are read from the events topic where another process may have written the last events: when the
partition begins here, and after a failed commit. The events of a partition of the requests are in the partition of the
events with the same number, because both topics have the same keys and the same number of partitions.
"""

from collections import ChainMap

import msgspec

from broker.port import Broker
from contract.events import Event, decode_event
from contract.repeats import First, Passage, as_repeat, first_of, passage_of

MOST_PASSAGES = 100_000
"""The most passages that are kept; beyond, the oldest are forgotten, and a repeat of those leaves a whole event."""

_CLOCKS_APART_S = 60.0
"""By how much the clocks of machines may differ: so much more than the window is read and kept."""
_BATCH = 1000
_POLL_S = 0.2


class Draft:
    """Marks the repeats of one transaction; nothing of it counts before `RecentMatches.committed`."""

    def __init__(self, firsts: dict[Passage, First]) -> None:
        self.added: dict[Passage, First] = {}
        self._firsts = ChainMap(self.added, firsts)

    def marked(self, event: Event, window_s: float) -> Event:
        """Return the event, or the small event of a repeat. Call it in the order of the log.

        `window_s`: the length of the window in seconds, 0: no match is a repeat.
        """
        first = first_of(event, self._firsts, window_s)
        if first is not None:
            return as_repeat(event, first.event_id)
        passage = passage_of(event)
        if passage is not None and window_s > 0:
            self.added[passage] = First(event.id, event.received_time)
        return event


class RecentMatches:
    """The first matches of one partition. `topic`: the events topic."""

    def __init__(self, broker: Broker, topic: str, partition: int) -> None:
        self._broker, self._topic, self._partition = broker, topic, partition
        self._firsts: dict[Passage, First] = {}
        self._window_s = 0.0
        """The firsts of this window are known; 0: none."""

    def forget(self) -> None:
        """Forget all: the last commit failed, and nobody knows whether it was written."""
        self._firsts, self._window_s = {}, 0.0

    async def draft(self, oldest_s: float, window_s: float) -> Draft:
        """Return a draft for a transaction, after the events that are needed were read.

        Args:
            oldest_s: the earliest time of arrival in the transaction (epoch seconds).
            window_s: the longest window in the transaction.

        Raises:
            BrokerError: the log cannot be read now.
        """
        if window_s > self._window_s:
            await self._read(oldest_s - window_s - _CLOCKS_APART_S)
            self._window_s = window_s
        return Draft(self._firsts)

    def committed(self, draft: Draft) -> None:
        """Take over the first matches of a draft whose transaction was written, and forget those of an older window."""
        if not draft.added:
            return
        for passage, first in draft.added.items():
            self._put(passage, first)
        horizon_s = max(first.received_time for first in draft.added.values()) - self._window_s - _CLOCKS_APART_S
        while self._firsts and next(iter(self._firsts.values())).received_time < horizon_s:
            del self._firsts[next(iter(self._firsts))]

    async def _read(self, since_s: float) -> None:
        """Read the events since a time (epoch seconds)."""
        self._firsts = {}
        end = (await self._broker.end_offsets(self._topic)).get(self._partition, 0)
        async with self._broker.reader(self._topic, max(0.0, since_s), [self._partition]) as reader:
            while reader.positions()[self._partition] < end:
                for record in await reader.fetch(_BATCH, _POLL_S):
                    try:
                        event = decode_event(record.value or b"")
                    except msgspec.DecodeError:
                        continue
                    self._take(event)

    def _take(self, event: Event) -> None:
        passage = passage_of(event)
        if passage is not None and event.repeat_of is None:
            self._put(passage, First(event.id, event.received_time))

    def _put(self, passage: Passage, first: First) -> None:
        """Add the newest first match, behind all others, and forget the oldest one where there are too many."""
        self._firsts.pop(passage, None)
        self._firsts[passage] = first
        if len(self._firsts) > MOST_PASSAGES:
            del self._firsts[next(iter(self._firsts))]
