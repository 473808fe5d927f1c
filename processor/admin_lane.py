"""The commits of the admin lane: requests about people are decided in one order, many in one transaction.

Faces are prepared (decoded and embedded) in parallel, ahead of the decisions. The decisions are made in the order of
the log, against the fold of the people topic plus the earlier decisions of the same transaction, whichever member had
the partition before. So no two decisions about people can contradict each other, and limits such as the number of
people cannot be exceeded in a race.

The fold keeps the records of people in brief. A decision that needs the whole info of a person gets it from the topic,
and where a decision leaves a record in brief, that info is read and the requests are decided again. While the log
cannot be read, the lane tries again, as after every failure of the log. Where the log can be read, but a record is lost
or damaged, waiting would not help: changes that keep the person's info are refused, all other changes are made.

Where the policy has changed since a face was prepared, because a request before it has set a setting of the site, the
face is prepared again with the policy of the decision, and the requests are decided again.

A transaction has three steps: photos; records of the people topic, which name the positions of the photos; events and
replies, which name the gallery version that contains the records.
"""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

from broker.port import NewRecord, Position
from contract.errors import Code
from contract.people.keys import person_key, printable_key
from contract.people.records import PersonRecord
from engine.calls import Change
from engine.calls.call import Decision
from engine.calls.lookalikes import search_ahead
from engine.calls.people import ChangeDecision, info_lost, refuse_change
from engine.gallery.pending import PendingPeople
from engine.gallery.searched_ahead import NOTHING_SEARCHED, SearchedAhead
from processor.commits import Commits, NotMade, log
from processor.outputs import Emission, version_after
from processor.processing import Failure, Processed

Infos = dict[str, Mapping[str, Any] | None]
"""The stored info of people, by identity_id; None: it cannot be read any more."""


class _TooLate(Exception):
    """A deadline passed while the transaction was being written; the transaction is aborted."""


@dataclass(frozen=True, slots=True, eq=False)
class _Decided:
    """One request of a transaction and its decision.

    `change` is the decision, if it writes records of the people topic; else None.
    """

    processed: Processed
    decision: Decision
    change: ChangeDecision | None = None


class AdminCommits(Commits):
    """The commits of the admin topic's one partition, whose requests are decided when they are written."""

    _read_first: int | None = None
    """The gallery version that must be read before a decision; None: unknown; another member may have decided."""

    def forget(self) -> None:
        """Have the people topic read to its end before the next decision."""
        self._read_first = None

    async def _write_together(self, batch: Sequence[Processed]) -> Sequence[Emission]:
        if self._read_first is None:
            self._read_first = await self._access.end()
        await self._access.read_up_to(self._read_first)
        infos = await self._infos(self._needed(batch))
        ahead = NOTHING_SEARCHED
        while True:
            if ahead.version != self._people.version:
                ahead = await self._searched_ahead(batch)
            decided = self._decide_all(batch, infos, ahead)
            in_brief = [person for one in decided for person in _in_brief(one.change)]
            if in_brief:
                infos |= await self._infos(in_brief)
                continue
            if any(map(_is_outdated, batch, decided)):
                batch = await asyncio.gather(*map(self._up_to_date, batch, decided))
                continue
            try:
                return await self._write_decided(decided)
            except _TooLate:
                continue  # the requests whose deadline has passed are decided as expired now

    def _needed(self, batch: Sequence[Processed]) -> Sequence[PersonRecord]:
        """Return the people whose whole records the decisions need; an expired request needs none."""
        live = [one for one in batch if one.decision is None and not self._expired(one)]
        changes = [(one.call, one.request) for one in live if isinstance(one.call, Change)]
        ids = dict.fromkeys(identity_id for call, request in changes for identity_id in call.whole_people(request))
        people = [person for identity_id in ids if (person := self._people.person(identity_id)) is not None]
        return [person for person in people if person.stored_at is not None]

    async def _infos(self, in_brief: Sequence[PersonRecord]) -> Infos:
        """Return the stored info of people by identity_id; None for an info whose record is lost or damaged.

        Raises:
            BrokerError: the log cannot be read now.
        """
        infos = await asyncio.gather(*map(self._access.info, in_brief))
        for person, info in zip(in_brief, infos, strict=True):
            if info is None:
                log.error(
                    "topic %s, partition 0, offset %d, key %s: the record is lost or damaged, and with it the info of"
                    " the person; PUT the person's whole info again",
                    *(self._access.topic, person.stored_at, printable_key(person_key(person.identity_id))),
                )
        return {person.identity_id: info for person, info in zip(in_brief, infos, strict=True)}

    async def _searched_ahead(self, batch: Sequence[Processed]) -> SearchedAhead:
        """Search the look-alikes of the prepared faces in a thread, because that takes milliseconds among many people.

        If the fold is read further meanwhile, the decisions search again.
        """
        vectors = [one.prepared.face.vector for one in batch if one.decision is None and one.prepared.face is not None]
        snapshot = self._people.snapshot()
        context = self._emitter.contexts.at(snapshot.site)
        return await asyncio.to_thread(search_ahead, vectors, snapshot.gallery, context)

    async def _up_to_date(self, processed: Processed, decided: _Decided) -> Processed:
        """Return a request as it is, or prepared with the policy with which it was decided."""
        if not _is_outdated(processed, decided):
            return processed
        return await self._processing.prepare_again(processed, decided.processed.context)

    def _decide_all(self, batch: Sequence[Processed], infos: Infos, ahead: SearchedAhead) -> list[_Decided]:
        pending = PendingPeople(self._people, infos, ahead)
        return [self._decide(processed, pending, infos) for processed in batch]

    def _decide(self, processed: Processed, pending: PendingPeople, infos: Infos) -> _Decided:
        if processed.failure is None and self._expired(processed):
            processed = self._processing.expire(processed)
        if processed.decision is not None:
            return _Decided(processed, processed.decision)
        call, context = cast("Change[Any]", processed.call), self._emitter.contexts.at(pending.site)
        processed = replace(processed, context=context)
        try:
            decision = call.decide(processed.request, processed.prepared, pending, context)
        except Exception as error:
            raise NotMade(type(error).__name__) from error
        lost = next((person for person in _in_brief(decision) if person.identity_id in infos), None)
        if lost is not None:
            decision = refuse_change(info_lost(lost.identity_id), processed.prepared)
        unreadable = decision.refusal is not None and decision.refusal.code is Code.OVERLOADED
        if unreadable and processed.envelope.deadline_s is None:
            failure = Failure(call.kind, "a record of the people cannot be read")
            return _Decided(replace(processed, failure=failure), decision)
        if not decision.changes:
            return _Decided(processed, decision)
        pending.decided(decision.people, decision.site, decision.faces)
        return _Decided(processed, decision, decision)

    async def _write_decided(self, decided: Sequence[_Decided]) -> list[Emission]:
        changes = [one.change for one in decided if one.change is not None]
        photos = [record for change in changes for record in self._emitter.photos(change)]
        read, written = self._people.version, 0
        emissions: list[Emission] = []
        counts: list[int] = []

        def people(positions: Sequence[Position]) -> Sequence[NewRecord]:
            records = self._emitter.people(changes, positions)
            counts[:] = map(len, records)
            return [record for some in records for record in some]

        def outcomes(positions: Sequence[Position]) -> Sequence[NewRecord]:
            # If the log wrote the records slowly, the ingress may have answered TIMEOUT meanwhile.
            if any(one.change is not None and self._expired(one.processed) for one in decided):
                raise _TooLate
            nonlocal written
            per_change = _split(positions, counts)
            emissions.clear()
            version = read
            for one in decided:
                if one.change is not None:
                    version = written = version_after(next(per_change))
                emissions.append(self._emission_of(one, version))
            return [record for emission in emissions for record in emission.records]

        next_offset = decided[-1].processed.record.offset + 1
        if changes:
            await self._member.commit(self._partition, next_offset, photos, people, outcomes)
            self._read_first = written
        else:
            await self._member.commit(self._partition, next_offset, outcomes(()))
        return emissions

    def _emission_of(self, one: _Decided, version: int) -> Emission:
        try:
            return self._sendable(self._emitter.of(one.processed, one.decision, version))
        except Exception as error:
            raise NotMade(type(error).__name__) from error


def _is_outdated(processed: Processed, decided: _Decided) -> bool:
    """Return whether a request was decided with another policy than it was prepared with.

    Its event names one policy, with which the request is made again in an explanation.
    """
    if processed.decision is not None or decided.processed.decision is not None:
        return False
    call = cast("Change[Any]", processed.call)
    return call.takes_long(processed.request) and decided.processed.context.policy != processed.context.policy


def _in_brief(change: ChangeDecision | None) -> list[PersonRecord]:
    """Return the people whose records a decision writes in brief; the topic must contain no such record."""
    if change is None:
        return []
    written = {key for key, _ in change.others}
    after = (known.record for known in change.people.values())
    in_brief = [person for person in after if person is not None and person.stored_at is not None]
    return [person for person in in_brief if person_key(person.identity_id) in written]


def _split(positions: Sequence[Position], counts: Sequence[int]) -> Iterator[Sequence[Position]]:
    """Yield the positions in consecutive runs of these lengths."""
    start = 0
    for count in counts:
        yield positions[start : start + count]
        start += count
