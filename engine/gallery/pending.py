"""The fold of the people topic plus the decisions that are not committed yet."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from heapq import merge
from itertools import islice
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from contract.people.keys import MEAN_FACE
from contract.people.listing import ListedPerson
from contract.people.records import WHOLE_FACE, FaceRecord, PersonRecord
from contract.people.site import Site
from contract.vectors import Vector
from engine.gallery.cosine import deciding_cosines
from engine.gallery.packed import rounded
from engine.gallery.people import KnownPerson, People
from engine.gallery.port import Candidate, Scope, everybody
from engine.gallery.searched_ahead import NOTHING_SEARCHED, SearchedAhead
from engine.gallery.templates import mean_of_faces

_BYTES_OF_NUMBER = 4


class _Templates(NamedTuple):
    """The number of faces of a person, and whether they have a mean; `person` None: nobody is enrolled."""

    person: PersonRecord | None
    faces: int
    has_mean: bool

    def count(self, scope: Scope) -> int:
        """Return the number of templates of the person that a search in that scope compares."""
        if self.person is None or not scope.has_group(self.person) or not scope.has_permission(self.person):
            return 0
        return self.faces + (self.has_mean and scope.means)


class PendingPeople:
    """The people after each decision of one transaction; implements engine.calls.people.PeopleNow."""

    def __init__(
        self,
        people: People,
        infos: Mapping[str, Mapping[str, Any] | None] = MappingProxyType({}),
        ahead: SearchedAhead = NOTHING_SEARCHED,
    ) -> None:
        """`infos`: the stored info of the people whose whole records the decisions need, by identity_id.

        The info None is one that cannot be read any more. `ahead`: what was searched in the people already.
        """
        self._people, self._infos, self._ahead = people, infos, ahead
        self._decided: dict[str, KnownPerson] = {}
        self._means: dict[str, Vector] = {}  # of the people in `_decided` who have one
        self._counted: dict[str, tuple[_Templates, _Templates]] = {}  # of these people, stored and now
        self._count = len(people)
        self._joined: Counter[str] = Counter()  # group -> people who joined, less those who left; without strangers
        self._strangers = 0  # who were enrolled, less those who left
        self._site = people.site
        self._lengths: dict[str, int] = {}  # embedder -> the length of its embeddings, of faces that joined

    @property
    def count(self) -> int:
        """The number of enrolled people."""
        return self._count

    @property
    def site(self) -> Site:
        """The groups, permissions, devices, settings and API keys."""
        return self._site

    @property
    def unreadable(self) -> bool:
        """Whether a record of the people topic cannot be read, so that a person may be missing."""
        return bool(self._people.unreadable)

    def members(self, group_id: str) -> int:
        """Return the number of people in a group, without those whom matches have enrolled as strangers."""
        return self._people.members(group_id) - self._people.strangers.members(group_id) + self._joined[group_id]

    @property
    def strangers(self) -> int:
        """The number of people whom matches have enrolled as strangers."""
        return len(self._people.strangers) + self._strangers

    def oldest_strangers(self, most: int) -> Sequence[str]:
        """Return the ids of at most `most` people whom matches have enrolled as strangers, the oldest first."""
        undecided = (place for place in self._people.strangers.oldest_first() if place[1] not in self._decided)
        # Ids that this transaction has decided about are in no order of time, and are few.
        decided = [
            (person.enrolled_time or 0.0, identity_id)
            for identity_id, known in self._decided.items()
            if (person := known.record) is not None and person.was_passing_by
        ]
        return [identity_id for _, identity_id in islice(merge(undecided, sorted(decided)), most)]

    def known(self, identity_id: str) -> KnownPerson:
        """Return everything that a decision about this person needs."""
        known = self._decided.get(identity_id) or self._people.known(identity_id)
        if known.record is None or known.record.stored_at is None or identity_id not in self._infos:
            return known
        info = self._infos[identity_id]
        return replace(known, info_lost=True) if info is None else replace(known, record=known.record.whole(info))

    def everybody(self) -> Iterator[ListedPerson]:
        """Yield every person, in no particular order."""
        for person in self._people.everybody():
            if person.identity_id not in self._decided:
                yield person
        yield from (known.record for known in self._decided.values() if known.record is not None)

    def templates(self, scope: Scope) -> int:
        """Return the number of templates that a search in that scope compares: faces, and means if it has them."""
        stored = self._people.snapshot().gallery.count(scope)
        return stored + sum(now.count(scope) - before.count(scope) for before, now in self._counted.values())

    def alike(self, vector: Vector, cosine: float, *, means: bool, most: int) -> Sequence[Candidate]:
        """Return the `most` nearest people who have a face with at least that cosine to a unit vector.

        They are in the order of the port. `means`: the mean of a person's faces counts like a face.
        """
        scope = everybody(means=means)
        found = self._ahead.above(self._people.version, scope, vector, cosine)
        if found is None:
            # Those whom an earlier decision has changed are left out below, so as many more are asked for.
            found = self._people.snapshot().gallery.best(vector, scope, most + len(self._decided), cosine)
        stored = (candidate for candidate in found if candidate.person.identity_id not in self._decided)
        decided = (nearest for who in self._decided if (nearest := self._nearest(who, vector, means)) is not None)
        candidates = [candidate for candidate in (*stored, *decided) if candidate.cosine >= cosine]
        return sorted(candidates, key=lambda c: (-c.cosine, c.person.identity_id))[:most]

    def hidden_keys(self, identity_id: str) -> Sequence[bytes]:
        """Return all keys of a person of whom a record cannot be read.

        Empty: every record of the person can be read, or an earlier decision of this transaction has replaced them.
        """
        if identity_id in self._decided or not self._people.hides(identity_id):
            return ()
        return self._people.keys_of(identity_id)

    def embedding_length(self, embedder: str) -> int | None:
        """Return the length of the embeddings of an embedder, by its identity; None: no face has one."""
        return self._people.embedding_length(embedder) or self._lengths.get(embedder)

    def decided(self, people: Mapping[str, KnownPerson], site: Site | None, faces: Sequence[FaceRecord] = ()) -> None:
        """Record that a decision leaves these people, by identity_id, and the site as given (None: unchanged).

        `faces`: the records of faces that it writes.
        """
        for face in faces:
            self._lengths.setdefault(face.embedder, len(face.templates[WHOLE_FACE]) // _BYTES_OF_NUMBER)
        for identity_id, given in people.items():
            after = replace(given, vectors={number: rounded(vector) for number, vector in given.vectors.items()})
            decided = self._decided.get(identity_id)
            before = self._people.person(identity_id) if decided is None else decided.record
            self._count += (after.record is not None) - (before is not None)
            self._joined.subtract(_groups(before))
            self._joined.update(_groups(after.record))
            self._strangers += _is_stranger(after.record) - _is_stranger(before)
            mean = mean_of_faces(after.vectors)
            if decided is None:
                known = self._people.known(identity_id)
                stored = _Templates(known.record, len(known.vectors), mean_of_faces(known.vectors) is not None)
            else:
                stored, _ = self._counted[identity_id]
            self._counted[identity_id] = stored, _Templates(after.record, len(after.vectors), mean is not None)
            self._decided[identity_id] = after
            self._means.pop(identity_id, None)
            if mean is not None:
                self._means[identity_id] = mean
        if site is not None:
            self._site = site

    def _nearest(self, identity_id: str, vector: Vector, means: bool) -> Candidate | None:
        """Return a person of an earlier decision with the template nearest to a unit vector.

        None: the person is not enrolled or has no face.
        """
        known, mean = self._decided[identity_id], self._means.get(identity_id)
        if known.record is None or not known.vectors:
            return None
        templates = known.vectors if mean is None or not means else {MEAN_FACE: mean, **known.vectors}
        found = deciding_cosines(np.stack(list(templates.values())), vector)
        cosines = dict(zip(templates, found.tolist(), strict=True))
        number = min(cosines, key=lambda n: (-cosines[n], n))
        return Candidate(known.record, number, cosines[number])


def _groups(person: PersonRecord | None) -> Sequence[str]:
    """Return the groups among whose members a person counts."""
    return () if person is None or person.was_passing_by else person.group_ids


def _is_stranger(person: PersonRecord | None) -> bool:
    return person is not None and person.was_passing_by
