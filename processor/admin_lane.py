"""The commits of the admin lane: requests about people are decided in one order, many in one transaction.

Faces are prepared (decoded and embedded) in parallel, ahead of the decisions. The decisions are made in the order of
the log, against the fold of the people topic plus the earlier decisions of the same transaction, whichever member had
the partition before. So no two decisions about people can contradict each other, and limits such as the number of
people cannot be exceeded in a race.

The fold keeps the records of people in brief. A decision that needs the whole info of a person gets it from the topic,
and a record that was decided in brief is completed from the topic before it is written.

A transaction has three steps: photos; records of the people topic, which name the positions of the photos; events and
replies, which name the gallery version that contains the records.
"""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

from broker.port import BrokerUnavailable, NewRecord, Position
from contract.codec import encode
from contract.people.keys import person_key
from contract.people.records import PersonRecord
from engine.calls import Change
from engine.calls.call import Decision
from engine.calls.people import PEOPLE_UNREADABLE, ChangeDecision
from engine.gallery.pending import PendingPeople
from processor.commits import Commits, NotMade
from processor.outputs import Emission, version_after
from processor.processing import Failure, Processed


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
        infos = await self._infos(batch)
        while True:
            decided = [await self._completed(one) for one in self._decide_all(batch, infos)]
            try:
                return await self._write_decided(decided)
            except _TooLate:
                continue  # the requests whose deadline has passed are decided as expired now

    async def _infos(self, batch: Sequence[Processed]) -> dict[str, Mapping[str, Any]]:
        """Return the stored info of the people whose whole records the decisions need, by identity_id.

        An expired request needs none, so that an info that cannot be found holds the lane up until the deadline only.
        """
        live = [one for one in batch if one.decision is None and not self._expired(one)]
        changes = [(one.call, one.request) for one in live if isinstance(one.call, Change)]
        ids = dict.fromkeys(identity_id for call, request in changes for identity_id in call.whole_people(request))
        people = [person for identity_id in ids if (person := self._people.person(identity_id)) is not None]
        brief = [person for person in people if person.stored_at is not None]
        infos = await asyncio.gather(*map(self._info, brief))
        return {person.identity_id: info for person, info in zip(brief, infos, strict=True)}

    async def _completed(self, one: _Decided) -> _Decided:
        """Return a decision whose records of people are whole, because the topic must contain no record in brief."""
        if one.change is None:
            return one
        after = [known.record for known in one.change.people.values() if known.record is not None]
        brief = [person for person in after if person.stored_at is not None]
        if not brief:
            return one
        infos = await asyncio.gather(*map(self._info, brief))
        whole = {
            person_key(person.identity_id): encode(person.whole(info))
            for person, info in zip(brief, infos, strict=True)
        }
        others = tuple((key, whole.get(key, value)) for key, value in one.change.others)
        change = replace(one.change, others=others)
        return replace(one, decision=change, change=change)

    async def _info(self, person: PersonRecord) -> Mapping[str, Any]:
        info = await self._access.info(person)
        if info is None:
            raise BrokerUnavailable("the info of a person could not be found in time")
        return info

    def _decide_all(self, batch: Sequence[Processed], infos: Mapping[str, Mapping[str, Any]]) -> list[_Decided]:
        pending = PendingPeople(self._people, infos)
        return [self._decide(processed, pending) for processed in batch]

    def _decide(self, processed: Processed, pending: PendingPeople) -> _Decided:
        if processed.failure is None and self._expired(processed):
            processed = self._expire(processed)
        if processed.decision is not None:
            return _Decided(processed, processed.decision)
        call, context = cast("Change[Any]", processed.call), self._emitter.contexts.at(pending.site)
        processed = replace(processed, context=context)
        try:
            decision = call.decide(processed.request, processed.prepared, pending, context)
        except Exception as error:
            raise NotMade(type(error).__name__) from error
        if decision.refusal == PEOPLE_UNREADABLE and processed.envelope.deadline_s is None:
            failure = Failure(call.kind, "a record of the people cannot be read")
            return _Decided(replace(processed, failure=failure), decision)
        if not decision.changes:
            return _Decided(processed, decision)
        pending.decided(decision.people, decision.site)
        return _Decided(processed, decision, decision)

    async def _write_decided(self, decided: Sequence[_Decided]) -> list[Emission]:
        changes = [one.change for one in decided if one.change is not None]
        photos = [record for change in changes for record in self._emitter.photos(change)]
        read, written = self._people.version, 0
        emissions: list[Emission] = []
        counts: list[int] = []

        def people(positions: Sequence[Position]) -> Sequence[NewRecord]:
            per_change = _split(positions, [len(change.photos) for change in changes])
            records = [self._emitter.people(change, places) for change, places in zip(changes, per_change, strict=True)]
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


def _split(positions: Sequence[Position], counts: Sequence[int]) -> Iterator[Sequence[Position]]:
    """Yield the positions in consecutive runs of these lengths."""
    start = 0
    for count in counts:
        yield positions[start : start + count]
        start += count
