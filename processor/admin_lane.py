"""The lane of the admin topic: requests about people, decided in one order, committed many together.

A face is made ready in parallel, ahead of its turn. The decision is made in the order of the log, against the fold of
the people topic plus what was decided before in the same transaction, whoever had the partition before. So no two
decisions about people can contradict each other, and limits such as the number of people cannot be passed in a race.

A transaction has three steps: photos; records of the people topic, which name the positions of the photos; events and
replies, which name the gallery version that has the records.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from broker.port import NewRecord, Position
from contract.errors import Refusal, Refused
from contract.messages import EnrolRequest, PersonRequest
from engine.enrolment import EnrolmentDecision, PreparedFace, decide_deletion, decide_enrolment
from engine.gallery.people import KnownPerson, People
from processor.examine import EXPIRED, Examined, ExaminedPerson, Failure
from processor.lane import Lane, NotMade
from processor.outputs import Emission, version_after
from processor.people import UNREADABLE


class _TooLate(Exception):
    """A deadline passed while the records were being written; nothing of them is in the log."""


class PendingPeople:
    """The fold of the people topic plus decisions that are not committed yet."""

    def __init__(self, people: People) -> None:
        self._people = people
        self._decided: dict[str, KnownPerson] = {}
        self._count = len(people)

    def known(self, identity_id: str) -> KnownPerson:
        """Everything that a decision about this person needs to know."""
        return self._decided.get(identity_id) or self._people.known(identity_id)

    def __len__(self) -> int:
        return self._count

    def hidden_keys(self, identity_id: str) -> Sequence[bytes]:
        """All keys about a person of whom a record cannot be read; none where every record can be read, or where a
        decision before this one has replaced them."""
        if identity_id in self._decided or not self._people.hides(identity_id):
            return ()
        return self._people.keys_of(identity_id)

    def decided(self, identity_id: str, after: KnownPerson) -> None:
        """The person is as `after` now."""
        before = self.known(identity_id)
        self._count += (after.record is not None) - (before.record is not None)
        self._decided[identity_id] = after


@dataclass(frozen=True, slots=True, eq=False)
class _Decided:
    """One record of a transaction, and the decision about it; None of a record that is no request about people."""

    examined: Examined
    decision: EnrolmentDecision | Refusal | None = None

    @property
    def change(self) -> EnrolmentDecision | None:
        """The decision, where it writes records about people."""
        decision = self.decision
        return decision if isinstance(decision, EnrolmentDecision) and decision.changes else None


class AdminLane(Lane):
    """The records of the admin topic's partition on their way from fetch to commit."""

    _read_first: int | None = None
    """The gallery version to be read before a decision; None: not known, since another member may have decided last."""

    def _forget_decisions(self) -> None:
        self._read_first = None

    async def _commit_together(self, batch: Sequence[Examined]) -> list[Emission]:
        if self._read_first is None:
            self._read_first = await self._access.end()
        await self._access.read_up_to(self._read_first)
        while True:
            decided = self._decide_all(batch)
            try:
                return await self._write(decided)
            except _TooLate:
                continue  # what came too late is decided as expired now

    def _decide_all(self, batch: Sequence[Examined]) -> list[_Decided]:
        pending = PendingPeople(self._people)
        decided = []
        for examined in batch:
            if isinstance(examined, ExaminedPerson):
                decided.append(self._decide(examined, pending))
                if (change := decided[-1].change) is not None:
                    pending.decided(examined.request.identity_id, change.after)
            else:
                decided.append(_Decided(examined))
        return decided

    async def _write(self, decided: Sequence[_Decided]) -> list[Emission]:
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
            # The log may have been slow to take the records; whoever waited has been told TIMEOUT then.
            if any(one.change is not None and self._expired(one.examined) for one in decided):
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

        next_offset = decided[-1].examined.record.offset + 1
        if changes:
            await self._member.commit(self._partition, next_offset, photos, people, outcomes)
            self._read_first = written
        else:
            await self._member.commit(self._partition, next_offset, outcomes(()))
        return emissions

    def _decide(self, examined: ExaminedPerson, pending: PendingPeople) -> _Decided:
        if examined.failure is None and self._expired(examined):
            return _Decided(examined, EXPIRED)
        if examined.refusal is not None:
            return _Decided(examined, examined.refusal)
        request = examined.request
        hidden = () if isinstance(request, EnrolRequest) else pending.hidden_keys(request.identity_id)
        if self._people.unreadable and not hidden:
            if examined.envelope.deadline_s is None:
                stage = "enrol" if isinstance(request, EnrolRequest) else "delete"
                examined = replace(examined, failure=Failure(stage, "a record of the people cannot be read"))
            return _Decided(examined, UNREADABLE)
        return _Decided(examined, self._decision(request, examined.face, pending, hidden))

    def _decision(
        self, request: PersonRequest, face: PreparedFace | None, pending: PendingPeople, hidden: Sequence[bytes]
    ) -> EnrolmentDecision | Refusal:
        known = pending.known(request.identity_id)
        try:
            if not isinstance(request, EnrolRequest):
                return decide_deletion(request, known, hidden)
            embedder, policy = self._emitter.models["embedder"], self._emitter.policy
            return decide_enrolment(request, face, known, len(pending), embedder, policy)
        except Refused as refused:
            return refused.refusal
        except Exception as error:
            raise NotMade(type(error).__name__) from error

    def _emission_of(self, one: _Decided, version: int) -> Emission:
        if one.decision is None or not isinstance(one.examined, ExaminedPerson):
            return self._emission(one.examined)
        try:
            return self._sendable(self._emitter.of_person(one.examined, one.decision, version))
        except Exception as error:
            raise NotMade(type(error).__name__) from error


def _split(positions: Sequence[Position], counts: Sequence[int]) -> Iterator[Sequence[Position]]:
    """The positions in runs of these lengths."""
    start = 0
    for count in counts:
        yield positions[start : start + count]
        start += count
