"""Processes request records, many at the same time: decodes them, decides queries, prepares changes of people.

Only the slow part of a change, decoding and embedding, is done here, because the decision about a change is made in the
order of the log (processor.admin_lane).
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, TypeVar, cast

import msgspec

from broker.port import BrokerError, Record
from contract.answers import Effort
from contract.errors import Code, Refusal, Refused
from contract.people.records import PersonRecord
from contract.pictures.digest import picture_digest
from contract.requests import Request, decode_request
from engine.calls import UNREADABLE, Call, Change, Query, call_of
from engine.calls.call import Decision
from engine.calls.people import NOTHING_PREPARED, Prepared
from engine.calls.unreadable import UNREADABLE_DECISION, UnreadableRequest
from engine.context import Context, Contexts
from engine.gallery.port import FaceId
from processor.envelope import Envelope, envelope_of
from processor.people import PeopleAccess
from processor.pool import MatchingPool
from processor.runs import Runs

T = TypeVar("T")

log = logging.getLogger(__name__)

EXPIRED = Refusal(Code.TIMEOUT, "the answer was not ready within the deadline")
"""The answer to a request that nobody waits for any more."""


@dataclass(frozen=True, slots=True)
class Failure:
    """The reason why a record becomes a dead letter: the stage that failed, and the error in words, without data."""

    stage: str
    error: str


@dataclass(frozen=True, slots=True, eq=False)
class Processed:
    """A processed request: everything that does not depend on the decisions about earlier requests.

    Attributes:
        record, envelope: the record of the request, and its decoded headers.
        call, request: the kind of call, and the decoded request.
        context: the context of the decision; before the decision about a change, that of its preparation.
        decision: the decision; None: the request is a change that is still to be decided, from `prepared`.
        prepared: the findings and embeddings of a change.
        gallery_version: the version on which the decision is based.
        photo: the enrolled JPEG for the answer; None: the answer contains none.
        failure: the reason why the record becomes a dead letter; None: it does not.
        digests: the sha256 (hex) of each picture of the request; None: not computed yet.
    """

    record: Record
    envelope: Envelope
    call: Call[Any, Any]
    request: Request | UnreadableRequest
    context: Context
    decision: Decision | None = None
    prepared: Prepared = NOTHING_PREPARED
    gallery_version: int = 0
    photo: bytes | None = None
    failure: Failure | None = None
    digests: tuple[str, ...] | None = None

    @property
    def would_be_lost(self) -> bool:
        """Whether there must be an event even if the caller asked for none.

        That is so after an unexpected error, and for a dead letter that was sent again, whose answer nobody awaits.
        """
        return self.failure is not None or self.envelope.retry_of is not None

    @property
    def leaves_event(self) -> bool:
        """Whether an event of the request is written."""
        return self.call.leaves_event(self.request) or self.would_be_lost


def unreadable(record: Record, envelope: Envelope, context: Context, failure: Failure) -> Processed:
    """Return the processed form of a record that contains no request, or whose request cannot be processed."""
    request = UnreadableRequest(envelope.request_id, record.timestamp_ms / 1000.0)
    return Processed(record, envelope, UNREADABLE, request, context, UNREADABLE_DECISION, failure=failure)


class Processing:
    """Processes the records of one topic on a pool of matching threads; no content of a record makes it raise.

    `administrative`: the topic is the admin topic, whose requests run in the background threads of the pool. `clock`
    returns epoch seconds.
    """

    def __init__(
        self,
        access: PeopleAccess,
        contexts: Contexts,
        pool: MatchingPool,
        clock: Callable[[], float],
        *,
        replies_topic: str,
        gallery_wait_s: float,
        administrative: bool = False,
    ) -> None:
        self._access, self._contexts = access, contexts
        self._pool, self._clock = pool, clock
        self._runs = Runs(pool.workers + 1)  # one waits in the pool, so that no thread waits for the event loop
        self._replies_topic, self._gallery_wait_s = replies_topic, gallery_wait_s
        self._administrative = administrative

    async def __call__(self, record: Record) -> Processed:
        """Process a record as far as that does not depend on the decisions about earlier records."""
        envelope = envelope_of(record, self._replies_topic)
        if record.damaged:
            log.error("request %s is damaged in the log; it becomes a dead letter", envelope.request_id)
            return self._unreadable(record, envelope, "the record is damaged in the file of the log")
        try:
            request = decode_request(record.value or b"")
        except msgspec.DecodeError:
            return self._unreadable(record, envelope, "the record is not a request")
        if request.administrative is not self._administrative:
            return self._unreadable(record, envelope, "the request belongs in another topic")
        call = call_of(request)
        processed = Processed(record, envelope, call, request, self._context)
        return await self._ended(processed, self._prepare if self._administrative else self._query)

    async def prepare_again(self, processed: Processed, context: Context) -> Processed:
        """Prepare a change once more, in another context: the policy has changed since it was prepared."""
        return await self._ended(processed, partial(self._prepare_in, context))

    def expire(self, processed: Processed) -> Processed:
        """Return the query refused as expired, because the ingress has answered TIMEOUT meanwhile.

        A request that becomes a dead letter is returned unchanged.
        """
        return processed if processed.failure is not None else self._refused(processed, EXPIRED)

    async def _ended(self, processed: Processed, work: Callable[[Processed], Awaitable[Processed]]) -> Processed:
        """Return the result of `work`; after an error, the request with its refusal."""
        try:
            return await work(processed)
        except Refused as refused:
            ended = self._refused(processed, refused.refusal)
        except Exception as error:  # noqa: BLE001 - after any error the request still gets its event and answer
            internal, failure = _unexpected(processed.envelope, processed.call.kind, error)
            ended = replace(self._refused(processed, internal), failure=failure)
        if not ended.leaves_event or not processed.call.pictures(processed.request):
            return ended
        # Large pictures take milliseconds, which the event loop's other work must not wait for.
        return replace(ended, digests=await asyncio.to_thread(digests_of, ended))

    async def _query(self, processed: Processed) -> Processed:
        envelope, request = processed.envelope, processed.request
        call = cast("Query[Any, Any]", processed.call)
        if call.searches:
            await self._wait_for_gallery(envelope)
        snapshot, context = self._access.people.snapshot(), self._context
        decision, digests = await self._in_pool(processed, lambda: call.decide(request, snapshot, context))
        shown = call.person(request, decision, context)
        if shown is not None and shown.stored_at is not None:
            decision = call.with_person(decision, await self._whole(envelope, shown))
        photo = await self._photo(envelope, call.photos(request, decision, context))
        return replace(
            processed,
            context=context,
            decision=decision,
            gallery_version=snapshot.version,
            photo=photo,
            digests=digests,
        )

    async def _prepare(self, processed: Processed) -> Processed:
        call = cast("Change[Any]", processed.call)
        if not call.takes_long(processed.request):
            return processed
        await self._wait_for_version(processed.envelope)
        return await self._prepare_in(self._context, processed)

    async def _prepare_in(self, context: Context, processed: Processed) -> Processed:
        call = cast("Change[Any]", processed.call)
        prepared, digests = await self._in_pool(processed, lambda: call.prepare(processed.request, context))
        return replace(processed, context=context, prepared=prepared, digests=digests)

    def _refused(self, processed: Processed, refusal: Refusal) -> Processed:
        snapshot, context = self._access.people.snapshot(), self._context
        decision = processed.call.refuse(processed.request, refusal, snapshot, context)
        return replace(processed, context=context, decision=decision, gallery_version=snapshot.version, photo=None)

    def _unreadable(self, record: Record, envelope: Envelope, error: str) -> Processed:
        return unreadable(record, envelope, self._context, Failure("decode", error))

    async def _in_pool(self, processed: Processed, work: Callable[[], T]) -> tuple[T, tuple[str, ...] | None]:
        """Run `work` in the pool; return its result, and the digests of the pictures if an event is left."""
        asked, envelope = time.perf_counter(), processed.envelope

        def unless_expired() -> tuple[T, tuple[str, ...] | None]:
            # Checked when a thread is free, so that no inference runs for a request that nobody waits for any more.
            if envelope.expired(self._clock()):
                raise Refused.of(EXPIRED)
            began = time.perf_counter()
            try:
                return work(), digests_of(processed) if processed.leaves_event else None
            finally:
                envelope.spent.effort = Effort(waited_s=began - asked, worked_s=time.perf_counter() - began)

        async with self._runs.turn(processed.record.partition):
            done = await self._pool.run(unless_expired, urgent=not self._administrative)
        if envelope.expired(self._clock()):
            # The ingress has answered TIMEOUT meanwhile; the event must have the same result.
            raise Refused.of(EXPIRED)
        return done

    @property
    def _context(self) -> Context:
        """The context of a decision now, with the settings of the site as they were read."""
        return self._contexts.at(self._access.people.site)

    async def _wait_for_version(self, envelope: Envelope) -> None:
        access, wanted = self._access, envelope.gallery_version
        if wanted > access.people.version and not await access.reached(wanted, self._gallery_wait_s):
            raise Refused(Code.OVERLOADED, "the people enrolled last are not loaded yet: try again shortly")

    async def _wait_for_gallery(self, envelope: Envelope) -> None:
        await self._wait_for_version(envelope)
        refusal = await self._access.complete(envelope)
        if refusal is not None:
            raise Refused.of(refusal)

    async def _whole(self, envelope: Envelope, person: PersonRecord) -> PersonRecord:
        try:
            info = await self._access.info(person)
        except BrokerError as error:
            log.warning("request %s: the info of the person could not be read: %s", envelope.request_id, error)
            return person
        return person if info is None else person.whole(info)

    async def _photo(self, envelope: Envelope, faces: Sequence[FaceId]) -> bytes | None:
        for identity_id, number in faces:
            try:
                stored = await self._access.photo(identity_id, number)
            except BrokerError as error:
                log.warning("request %s: the enrolled photo could not be read: %s", envelope.request_id, error)
                return None
            if stored is not None:
                return stored
        return None


def digests_of(processed: Processed) -> tuple[str, ...]:
    """Return the sha256 (hex) of each picture of the request."""
    return tuple(map(picture_digest, processed.call.pictures(processed.request)))


def _unexpected(envelope: Envelope, stage: str, error: Exception) -> tuple[Refusal, Failure]:
    log.error("request %s: unexpected error in stage %s", envelope.request_id, stage, exc_info=error)
    refusal = Refusal(
        Code.INTERNAL_ERROR, f"something went wrong here; ask the operator about request {envelope.request_id}"
    )
    return refusal, Failure(stage, type(error).__name__)
