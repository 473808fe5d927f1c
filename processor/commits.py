"""The commits of a lane: each is one transaction with the outputs of some processed records."""

import logging
from collections.abc import Sequence
from typing import Protocol

from broker.port import GroupMember
from contract.events import Event
from engine.calls.unreadable import UNREADABLE_DECISION
from engine.context import Context
from processor.lane_events import Commit
from processor.outputs import Emission, Emitter
from processor.people import PeopleAccess
from processor.processing import Failure, Processed, unreadable
from processor.recent_matches import Draft, RecentMatches

_MOST_LONGER_S = 0.5
"""The longest wait that follows from the time that a request has taken, whatever the clocks of ingress and processor
say."""

log = logging.getLogger(__name__)


class NotMade(Exception):
    """The outputs of a request could not be made; none of them is in the log."""


def shared_wait_s(processed: Processed, now_s: float, usual_s: float) -> float:
    """Return for how many seconds a processed request may wait for later ones that share its transaction.

    That is `usual_s`, or a quarter of the time that the request has taken if that is longer: under load it has waited
    longer for its turn. It is never more than a quarter of the time that is left until its deadline.
    """
    if usual_s <= 0:
        return 0.0
    taken_s = now_s - processed.request.received_time_s
    wait_s = max(usual_s, min(taken_s / 4, _MOST_LONGER_S))
    deadline_s = processed.envelope.deadline_s
    return wait_s if deadline_s is None else max(0.0, min(wait_s, (deadline_s - now_s) / 4))


class Processes(Protocol):
    """What commits need of the processing of requests (processor.processing.Processing)."""

    def expire(self, processed: Processed) -> Processed:
        """Return a request with the refusal of a request whose deadline has passed."""
        ...

    async def prepare_again(self, processed: Processed, context: Context) -> Processed:
        """Prepare a change once more, in another context."""
        ...


class Commits:
    """The commits of one partition, whose requests were decided while they were processed.

    A request whose deadline has passed is written as expired. `recent`: by what repeated matches are recognised; None:
    there are no matches in the topic.
    """

    def __init__(
        self,
        partition: int,
        member: GroupMember,
        processing: Processes,
        emitter: Emitter,
        access: PeopleAccess,
        recent: RecentMatches | None = None,
    ) -> None:
        self._recent = recent
        self._partition, self._member = partition, member
        self._processing, self._emitter = processing, emitter
        self._access, self._people = access, access.people
        self._reply_partitions: int | None = None  # of the commit under way; None: no reply is left out

    @property
    def replies_topic(self) -> str:
        """The name of the topic of the replies."""
        return self._emitter.topics.replies

    async def write(self, commit: Commit, batch: Sequence[Processed]) -> Sequence[Emission]:
        """Write the outputs of `batch`, the processed records of the commit, and return those of each record.

        Raises:
            RecordTooLarge, NotMade: an output cannot be written or made; nothing was written.
            UnknownPartition: the replies topic does not have the partition of a reply; nothing was written.
            BrokerError: the log cannot be written.
        """
        self._reply_partitions = commit.reply_partitions
        if commit.instead is None:
            return await self._write_together(batch)
        (only,) = batch
        error, request_id = commit.instead, only.envelope.request_id
        log.error("request %s: its event could not be committed: %s", request_id, error, exc_info=error.__cause__)
        instead = self._instead(only, "an output is larger than the log takes, or could not be made")
        return await self._write_emissions(batch, [instead])

    def forget(self) -> None:
        """Forget the decisions of former commits: the last one failed, and nobody knows whether it was written."""
        if self._recent is not None:
            self._recent.forget()

    async def _write_together(self, batch: Sequence[Processed]) -> Sequence[Emission]:
        draft = await self._draft(batch)
        done = [self._processing.expire(one) if self._expired(one) else one for one in batch]
        emissions = await self._write_emissions(batch, [self._emission(one, draft) for one in done])
        if draft is not None and self._recent is not None:
            self._recent.committed(draft)
        return emissions

    async def _draft(self, batch: Sequence[Processed]) -> Draft | None:
        """Return what marks the repeats of a transaction; None: no match is a repeat."""
        window_s = max(one.context.policy.repeat_window_s for one in batch)
        if self._recent is None:
            return None
        if not window_s:
            self._recent.forget()  # matches without a window are not noted; a later window reads them from the log
            return None
        return await self._recent.draft(min(one.request.received_time_s for one in batch), window_s)

    async def _write_emissions(self, batch: Sequence[Processed], emissions: Sequence[Emission]) -> Sequence[Emission]:
        records = [record for emission in emissions for record in emission.records]
        await self._member.commit(self._partition, batch[-1].record.offset + 1, records)
        self._emitter.committed(emissions)
        return emissions

    def _expired(self, processed: Processed) -> bool:
        return processed.envelope.expired(self._emitter.clock())

    def _emission(self, processed: Processed, draft: Draft | None = None) -> Emission:
        def marked(event: Event) -> Event:
            return event if draft is None else draft.marked(event, processed.context.policy.repeat_window_s)

        if processed.decision is not None:
            try:
                return self._sendable(
                    self._emitter.of(processed, processed.decision, processed.gallery_version, marked)
                )
            except Exception:
                log.exception("request %s: its event could not be made", processed.envelope.request_id)
        return self._instead(processed, "the event could not be made")

    def _instead(self, processed: Processed, reason: str) -> Emission:
        """Return the event, the error and the dead letter of a request whose own outputs cannot be written."""
        failure = processed.failure or Failure("emit", reason)
        dead = unreadable(processed.record, processed.envelope, processed.context, failure)
        return self._sendable(self._emitter.of(dead, UNREADABLE_DECISION, self._people.version))

    def _sendable(self, emission: Emission) -> Emission:
        if self._reply_partitions is None:
            return emission
        return emission.without_replies(self._emitter.topics.replies, self._reply_partitions)
