"""Records of the people topic that cannot be read: remembered until a later record of their key replaces them."""

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contract.people.directory import Directory
from contract.people.inventory import Inventory
from contract.people.keys import face_key, person_key, printable_key
from contract.people.unreadable import UnreadableRecord
from engine.gallery.people import People
from engine.gallery.port import Scope
from tests.support.faces import MODELS, Enrolled, Entry
from tests.support.unreadable import ANNA, MODEL, UNREADABLE


def unreadable(enrolled: Enrolled) -> Mapping[bytes, UnreadableRecord]:
    return enrolled.people.unreadable


@pytest.mark.parametrize(("key", "value"), UNREADABLE.values(), ids=UNREADABLE)
def test_what_cannot_be_read_is_remembered_until_its_key_is_written_again(key: bytes, value: bytes) -> None:
    enrolled = Enrolled()
    enrolled.enrol("bert", 2)
    offset = enrolled.people.version
    enrolled.write([(key, value)])
    assert {k: r.offset for k, r in unreadable(enrolled).items()} == {key: offset}
    assert enrolled.people.version == offset + 1
    assert enrolled.people.person("bert") is not None
    enrolled.enrol("carla", 3)  # a record of another key replaces nothing
    assert list(unreadable(enrolled)) == [key]
    enrolled.write([(key, value)])
    assert unreadable(enrolled)[key].offset == enrolled.people.version - 1
    enrolled.write([(key, None)])
    assert not unreadable(enrolled)


@pytest.mark.parametrize(("key", "value"), UNREADABLE.values(), ids=UNREADABLE)
def test_a_fold_without_faces_and_the_inventory_find_the_same_but_for_the_embedders_length(
    key: bytes, value: bytes
) -> None:
    people, inventory = Directory(), Inventory()
    people.apply([Entry(key, value, 7)])
    inventory.take([Entry(key, value, 7)])
    told = [str(record) for record in people.unreadable.values()]
    assert [str(record) for record in inventory.unreadable()] == told
    full = People(MODELS.embedder.dimension, MODELS.embedder_identity)
    full.apply([Entry(key, value, 7)])
    expected = [str(record) for record in full.unreadable.values()]
    assert told == expected or (not told and "wrong number of values" in expected[0])


def test_a_record_that_can_be_read_replaces_one_that_cannot() -> None:
    enrolled = Enrolled()
    enrolled.write([(ANNA, b"\xc1"), (face_key("anna", 0, MODEL), b"\xc1")])
    assert enrolled.people.hides("anna")
    assert not enrolled.people.hides("ann")
    enrolled.write(Enrolled().enrol("anna", 1).people_records([(0, 0)]))
    assert not unreadable(enrolled)
    assert enrolled.people.snapshot().gallery.count(Scope()) == 1


def test_a_record_without_a_key_is_told_and_holds_nothing_up() -> None:
    people = People(4, "model")
    (found,) = people.apply([Entry(None, b"\xc1", 3)])
    assert (found.key, found.offset, found.identity_id) == (None, 3, None)
    assert "no key" in str(found)
    assert not people.unreadable
    assert people.version == 4


def test_a_damaged_record_that_lost_its_key_hides_somebody_until_a_tombstone_names_its_place() -> None:
    damaged = Entry(None, b"", 3, damaged=True)
    people, inventory = People(4, "model"), Inventory()
    people.apply([damaged])
    inventory.take([damaged])
    (found,) = inventory.unreadable()
    assert list(people.unreadable) == [b"damaged/3"] == [found.key]
    assert not inventory.keyless
    people.apply([Entry(b"person/bert", None, 4)])
    assert people.unreadable
    people.apply([Entry(found.key, None, 5)])
    inventory.take([Entry(found.key, None, 5)])
    assert not people.unreadable
    assert not inventory.unreadable()


@given(key=st.binary(max_size=300), value=st.one_of(st.none(), st.binary(max_size=60)))
@settings(max_examples=300)
def test_no_record_whatever_stops_the_fold(key: bytes, value: bytes | None) -> None:
    people = People(4, "model")
    people.apply(
        [Entry(key, value, 0), Entry(b"person/" + key, value, 1), Entry(b"face/" + key + b"/0/model", value, 2)]
    )
    assert people.version == 3
    for record in people.unreadable.values():
        assert str(record).isprintable()
    people.apply([Entry(k, None, 9) for k in list(people.unreadable)])
    assert not people.unreadable


@pytest.mark.parametrize(
    ("key", "shown"),
    [
        (b"person/42", "person/42"),
        ("person/Zoë".encode(), "person/Zoë"),
        (b"person/\xff", "person/\\xff"),
        (b"a\x1b[2J\n", "a\\x1b[2J\\n"),
        ("\u202e\u2028\x9b".encode(), "\\u202e\\u2028\\x9b"),
        (b"k" * 1000, "k" * 200 + "..."),
    ],
)
def test_a_key_is_shown_without_what_would_steer_a_terminal(key: bytes, shown: str) -> None:
    assert printable_key(key) == shown


def test_with_a_person_go_the_faces_and_nobody_elses() -> None:
    enrolled, inventory = Enrolled(), Inventory()

    def write(*records: tuple[bytes, Any]) -> None:
        first = enrolled.people.version
        enrolled.write(records)
        inventory.take([Entry(key, value, first + n) for n, (key, value) in enumerate(records)])

    for identity_id in ("anna", "anna/0", "ann"):
        write(*enrolled.enrol(identity_id, 1).people_records([(0, 0)]))
    write((ANNA, b"\xc1"), (face_key("anna", 5, MODEL), b"\xc1"))
    wanted = {ANNA, face_key("anna", 0, MODEL), face_key("anna", 5, MODEL)}
    assert set(enrolled.people.keys_of("anna")) == wanted
    assert set(inventory.keys_to_remove(ANNA)) == wanted
    assert inventory.keys_to_remove(ANNA)[0] == ANNA
    assert inventory.keys_to_remove(face_key("anna", 5, MODEL)) == [face_key("anna", 5, MODEL)]
    assert inventory.keys_to_remove(b"\xff") == [b"\xff"]
    assert inventory.key_at(enrolled.people.version - 2) == person_key("anna")
    assert inventory.key_at(2) == face_key("anna", 0, MODEL)
    assert inventory.key_at(3) is None  # a later record of its key replaced it
    assert inventory.key_at(10_000) is None
