"""The order in which people are listed: the ids of everybody, of each group, permission and type, sorted. Pure."""

from bisect import bisect_left, insort
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol

from contract.people.records import PersonRecord

_FEW = 64
"""So few changes are made in the sorted list one by one; after more changes the whole list is sorted."""
_MOST_UNSORTED = 1024
"""The fewest changes that are remembered before they are made, so that enrolling many people sorts seldom."""
_UNSORTED_SHARE = 16
"""More changes than one id in so many are made: a remembered change takes several times the memory of an id."""
_REMEMBERED = 8
"""The number of filters whose people are remembered until somebody is changed."""


@dataclass(frozen=True, slots=True)
class PeopleFilter:
    """The people whom a list contains: those who meet every condition that is not None.

    `group_id` and `permission_id`: in that group, with that permission. `person_type`: of that type (info.type).
    `name`: the name contains that text; upper and lower case are equal.
    """

    group_id: str | None = None
    permission_id: str | None = None
    person_type: int | None = None
    name: str | None = None


@dataclass(frozen=True, slots=True)
class ListedPage:
    """A page of a list, and the number of people in the whole list."""

    people: Sequence[PersonRecord]
    total: int


class SortedIds:
    """Distinct ids in order; adding and removing are cheap, because ids are sorted only when they are read."""

    def __init__(self, ids: Iterable[str] = ()) -> None:
        self._ids: list[str] = sorted(ids)
        self._added: set[str] = set()
        self._removed: set[str] = set()
        self._most = max(_MOST_UNSORTED, len(self._ids) // _UNSORTED_SHARE)

    def __len__(self) -> int:
        return len(self._ids) + len(self._added) - len(self._removed)

    def add(self, identity_id: str) -> None:
        """Add an id that is not contained."""
        if identity_id in self._removed:
            self._removed.discard(identity_id)
        else:
            self._added.add(identity_id)
            self._sort_if_many()

    def remove(self, identity_id: str) -> None:
        """Remove an id that is contained."""
        if identity_id in self._added:
            self._added.discard(identity_id)
        else:
            self._removed.add(identity_id)
            self._sort_if_many()

    def in_order(self) -> Sequence[str]:
        """Return the ids in order; the sequence is valid until the next change."""
        if len(self._added) + len(self._removed) > _FEW:
            if self._removed:
                self._ids = [i for i in self._ids if i not in self._removed]
            self._ids += sorted(self._added)
            self._ids.sort()  # two sorted runs, which are merged
        else:
            for identity_id in self._removed:
                del self._ids[bisect_left(self._ids, identity_id)]
            for identity_id in self._added:
                insort(self._ids, identity_id)
        self._added.clear()
        self._removed.clear()
        # The limit grows with the list, so that adding n ids one after the other sorts about log n times.
        self._most = max(_MOST_UNSORTED, len(self._ids) // _UNSORTED_SHARE)
        return self._ids

    def _sort_if_many(self) -> None:
        if len(self._added) + len(self._removed) > self._most:
            self.in_order()


class Listed(Protocol):
    """What of a person says in which sets the person is."""

    @property
    def person_type(self) -> int:
        """The type."""
        ...

    @property
    def group_ids(self) -> tuple[str, ...]:
        """The groups, by id."""
        ...

    @property
    def permission_ids(self) -> tuple[str, ...]:
        """The permissions, by id."""
        ...


class ListedPerson(Listed, Protocol):
    """The same, with the id and the numbers of the person's faces."""

    @property
    def identity_id(self) -> str:
        """The id."""
        ...

    @property
    def faces(self) -> tuple[int, ...]:
        """The numbers of the faces."""
        ...


class Listing:
    """The sorted ids of all sets of people that a filter can name."""

    def __init__(self, person: Callable[[str], PersonRecord | None]) -> None:
        """`person` returns the record of the person with an id."""
        self._person = person
        self._sets: defaultdict[Hashable, SortedIds] = defaultdict(SortedIds)
        self._filtered: dict[PeopleFilter, Sequence[str]] = {}
        self._names: dict[str, str] = {}  # id -> name without the difference of cases; filled by searches for names

    def put(self, identity_id: str, before: Listed | None, after: Listed | None) -> None:
        """Record that the record of a person has changed; None: there is no record."""
        old = _sets_of(before) if before else frozenset()
        new = _sets_of(after) if after else frozenset()
        self._filtered.clear()
        self._names.pop(identity_id, None)
        for name in old - new:
            self._sets[name].remove(identity_id)
            if not len(self._sets[name]):
                del self._sets[name]
        for name in new - old:
            self._sets[name].add(identity_id)

    def fill(self, people: Sequence[ListedPerson]) -> None:
        """Record the people of an empty list, each once; in the order of their ids, much quicker than one by one."""
        found: defaultdict[frozenset[Hashable], list[str]] = defaultdict(list)
        for person in people:
            found[_sets_of(person)].append(person.identity_id)
        together: defaultdict[Hashable, list[str]] = defaultdict(list)
        for names, ids in found.items():
            for name in names:
                together[name] += ids
        for name, ids in together.items():
            self._sets[name] = SortedIds(ids)

    def members(self, group_id: str) -> int:
        """Return the number of people in a group."""
        return len(self._sets.get(("group_id", group_id), ()))

    def page(self, wanted: PeopleFilter, skip: int, limit: int) -> ListedPage:
        """Return at most `limit` people, by identity_id, without the first `skip` people."""
        ids = self._ids(wanted)
        people = (self._person(identity_id) for identity_id in ids[skip : skip + limit])
        return ListedPage([person for person in people if person is not None], len(ids))

    def _ids(self, wanted: PeopleFilter) -> Sequence[str]:
        sets = [self._sets.get(name) for name in _conditions(wanted) or [_EVERYBODY]]
        present = sorted((ids for ids in sets if ids is not None), key=len)
        if len(present) < len(sets):
            return ()
        if len(present) == 1 and wanted.name is None:
            return present[0].in_order()
        if wanted not in self._filtered:
            if len(self._filtered) >= _REMEMBERED:
                self._filtered.pop(next(iter(self._filtered)))
            self._filtered[wanted] = self._in_all(present, wanted.name)
        return self._filtered[wanted]

    def _in_all(self, sets: Sequence[SortedIds], name: str | None) -> Sequence[str]:
        """Return the ids that all sets contain, the smallest set first, of people whose name contains a text."""
        ids = sets[0].in_order()
        for other in sets[1:]:
            contained = frozenset(other.in_order())
            ids = [identity_id for identity_id in ids if identity_id in contained]
        if name is None:
            return ids
        for identity_id in ids:
            if identity_id not in self._names and (person := self._person(identity_id)) is not None:
                self._names[identity_id] = person.name.casefold()
        names, text = self._names, name.casefold()
        return [identity_id for identity_id in ids if text in names[identity_id]]


_EVERYBODY: Hashable = ("everybody",)


def _conditions(wanted: PeopleFilter) -> list[Hashable]:
    names = ("group_id", "permission_id", "person_type")
    return [(name, value) for name in names if (value := getattr(wanted, name)) is not None]


def _sets_of(person: Listed) -> frozenset[Hashable]:
    return _sets(person.person_type, person.group_ids, person.permission_ids)


@lru_cache(maxsize=1024)
def _sets(person_type: int, group_ids: tuple[str, ...], permission_ids: tuple[str, ...]) -> frozenset[Hashable]:
    return frozenset(
        [
            _EVERYBODY,
            ("person_type", person_type),
            *(("group_id", group_id) for group_id in group_ids),
            *(("permission_id", permission_id) for permission_id in permission_ids),
        ]
    )
