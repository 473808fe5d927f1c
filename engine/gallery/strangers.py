"""The people whom matches have enrolled as strangers (`PersonRecord.was_passing_by`), in the order of enrolment."""

from bisect import bisect_left, insort
from collections import Counter
from collections.abc import Iterable, Iterator

from contract.people.held import HeldPerson
from contract.people.records import PersonRecord


class Strangers:
    """The order of the strangers by time of enrolment, then by identity_id, and their number in each group.

    A change costs a search in a sorted list of all strangers and a shift of the later ones.
    """

    def __init__(self) -> None:
        self._order: list[tuple[float, str]] = []
        self._members: Counter[str] = Counter()

    def __len__(self) -> int:
        return len(self._order)

    def put(self, before: PersonRecord | None, after: PersonRecord | None) -> None:
        """Note that the record of a person was replaced; None: nobody was, or is, enrolled."""
        if before is not None and (place := _place(before)) is not None:
            del self._order[bisect_left(self._order, place)]
            self._members.subtract(before.group_ids)
        if after is not None and (place := _place(after)) is not None:
            insort(self._order, place)
            self._members.update(after.group_ids)

    def fill(self, people: Iterable[HeldPerson]) -> None:
        """Note everybody, where nobody was noted before."""
        records = (person.record() for person in people if person.frame.by_match)
        found = {place: person for person in records if (place := _place(person)) is not None}
        self._order = sorted(found)
        self._members = Counter(group_id for person in found.values() for group_id in person.group_ids)

    def members(self, group_id: str) -> int:
        """Return the number of strangers in a group."""
        return self._members[group_id]

    def oldest_first(self) -> Iterator[tuple[float, str]]:
        """Yield time of enrolment (epoch seconds) and identity_id of each stranger; nobody may change meanwhile."""
        yield from self._order


def _place(person: PersonRecord) -> tuple[float, str] | None:
    """Return the place of a person in the order; None: the person is no such stranger."""
    if not person.was_passing_by or person.enrolled_time is None:
        return None
    return person.enrolled_time, person.identity_id
