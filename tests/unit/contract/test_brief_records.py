"""A person's record in memory: what decisions need, and the place of the rest."""

from contract.messages import encode
from contract.people.directory import Directory
from contract.people.keys import person_key
from contract.people.records import PersonRecord, info_of
from engine.gallery.pending import PendingPeople
from tests.support.faces import Enrolled, Entry

HELD = {"name": "Anna", "type": 5, "permission_ids": ["a"], "valid_from": 1, "valid_until": 2.5}


def person(**info: object) -> PersonRecord:
    return PersonRecord(identity_id="p", group_ids=("default_group",), info=info, faces=(), next_face=0)


def test_a_brief_record_has_what_decisions_need_and_the_offset_of_the_rest():
    brief = person(room=7, **HELD).brief(12)
    assert (brief.info, brief.stored_at) == (HELD, 12)
    assert (brief.name, brief.person_type, brief.permission_ids) == ("Anna", 5, ("a",))
    assert brief.whole({"room": 7, **HELD}) == person(room=7, **HELD)


def test_a_record_with_nothing_else_is_whole_in_memory():
    assert person(**HELD).brief(12) == person(**HELD)


def test_members_that_a_brief_record_has_win_over_the_stored_ones():
    brief = person(name="new", room=7).brief(12)
    assert brief.whole({"name": "old", "room": 7}).info == {"name": "new", "room": 7}


def test_the_fold_holds_brief_records_and_the_topic_whole_ones():
    value, people = encode(person(room=7, **HELD)), Directory()
    assert b"stored_at" not in value
    people.apply([Entry(person_key("p"), value, 3)])
    assert people.person("p") == person(room=7, **HELD).brief(3)
    assert info_of(value) == {"room": 7, **HELD}
    assert info_of(b"\xc1") is None
    people.apply([Entry(person_key("p"), encode(person(room=8)), 9)])
    assert people.person("p").stored_at == 9


def test_a_decision_gets_the_whole_record_of_those_whose_info_was_read():
    enrolled = Enrolled()
    enrolled.enrol("p", 1, info={"name": "Anna", "room": 7})
    record = enrolled.people.person("p")
    assert PendingPeople(enrolled.people).known("p").record == record
    stored = {"room": 7, "name": "Anna", "type": 1, "permission_ids": ["0"]}
    pending = PendingPeople(enrolled.people, {"p": stored})
    assert pending.known("p").record == record.whole(stored)
    assert pending.known("p").vectors.keys() == {0}


def test_groups_are_counted_after_each_decision_of_a_transaction():
    enrolled = Enrolled()
    enrolled.enrol("p", 1)
    pending = PendingPeople(enrolled.people)
    known = pending.known("p")
    assert pending.members("default_group") == 1
    moved = type(known)(person(**HELD).whole({}))
    pending.decided({"p": moved, "q": known}, None)
    assert pending.members("default_group") == 2
    pending.decided({"p": type(known)(), "q": type(known)()}, None)
    assert (pending.members("default_group"), pending.members("other")) == (0, 0)
