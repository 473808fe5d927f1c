"""Lists of people: sorted, filtered, paged, and the same as a sort of everybody whatever has changed."""

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract.people.listing import ListedPage, Listing, PeopleFilter, SortedIds
from contract.people.records import PersonRecord

GROUPS, PERMISSIONS, TYPES, NAMES = ("g1", "g2"), ("0", "p1"), (1, 3), ("Ada", "Bea", "")


def person(identity_id: str, groups: tuple[str, ...], permission: str, kind: int, name: str) -> PersonRecord:
    info = {"name": name, "type": kind, "permission_ids": [permission]}
    return PersonRecord(identity_id=identity_id, group_ids=groups, info=info, faces=(), next_face=0)


class People:
    """The listing of some people, and these people in no order."""

    def __init__(self) -> None:
        self.persons: dict[str, PersonRecord] = {}
        self.listing = Listing(self.persons.get)

    def put(self, identity_id: str, after: PersonRecord | None) -> None:
        self.listing.put(identity_id, self.persons.pop(identity_id, None), after)
        if after is not None:
            self.persons[identity_id] = after

    def expected(self, wanted: PeopleFilter) -> list[str]:
        return sorted(
            one.identity_id
            for one in self.persons.values()
            if wanted.group_id in (None, *one.group_ids)
            and wanted.permission_id in (None, *one.permission_ids)
            and wanted.person_type in (None, one.person_type)
            and (wanted.name or "").lower() in one.name.lower()
        )


changes = st.lists(
    st.tuples(
        st.integers(0, 30).map(str),
        st.none()
        | st.tuples(
            st.sets(st.sampled_from(GROUPS)).map(tuple),
            st.sampled_from(PERMISSIONS),
            st.sampled_from(TYPES),
            st.sampled_from(NAMES),
        ),
    ),
    max_size=120,
)


@given(st.lists(changes, max_size=4))
def test_every_filter_lists_the_same_people_as_a_sort_of_everybody(rounds):
    people = People()
    for some in rounds:
        for identity_id, facts in some:
            people.put(identity_id, person(identity_id, *facts) if facts else None)
        for conditions in product((None, *GROUPS, "g3"), (None, *PERMISSIONS), (None, *TYPES), (None, "a", "BE")):
            wanted = PeopleFilter(*conditions)
            page = people.listing.page(wanted, 0, 1000)
            assert [one.identity_id for one in page.people] == people.expected(wanted)
            assert page.total == len(page.people)
        assert all(people.listing.members(g) == len(people.expected(PeopleFilter(g))) for g in GROUPS)


def test_pages_skip_and_are_limited():
    people = People()
    for number in range(25):
        people.put(f"{number:02}", person(f"{number:02}", ("g1",), "0", 1, "Ada"))
    page = people.listing.page(PeopleFilter("g1"), 20, 10)
    assert ([one.identity_id for one in page.people], page.total) == (["20", "21", "22", "23", "24"], 25)
    assert people.listing.page(PeopleFilter(name="ad"), 30, 10) == ListedPage([], 25)


def test_a_remembered_list_is_forgotten_with_the_next_change():
    people = People()
    people.put("1", person("1", (), "0", 1, "Ada"))
    assert people.listing.page(PeopleFilter(name="ada"), 0, 10).total == 1
    people.put("1", person("1", (), "0", 1, "Bea"))
    assert people.listing.page(PeopleFilter(name="ada"), 0, 10).total == 0


@pytest.mark.parametrize("count", [10, 5000])
def test_ids_are_sorted_whether_few_or_many_have_changed(count):
    ids = SortedIds()
    contained = [f"{(number * 7919) % count:05}" for number in range(count)]
    for identity_id in contained:
        ids.add(identity_id)
    assert len(ids) == count
    assert list(ids.in_order()) == sorted(contained)
    for identity_id in contained[::2]:
        ids.remove(identity_id)
    ids.add("x")
    ids.remove("x")
    ids.remove(contained[1])
    ids.add(contained[1])
    assert list(ids.in_order()) == sorted(set(contained) - set(contained[::2]))
    assert len(ids) == count // 2


def test_enrolling_in_any_order_sorts_seldom(monkeypatch):
    sorts, sort = [], SortedIds.in_order
    monkeypatch.setattr(SortedIds, "in_order", lambda self: sorts.append(len(self)) or sort(self))
    ids = SortedIds()
    for number in range(100_000):
        ids.add(f"{(number * 7919) % 100_000:06}")
    assert len(sorts) < 100
