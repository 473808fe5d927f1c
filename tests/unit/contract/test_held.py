"""People in the form in which the fold keeps them: the same records, shared parts, one object of each id."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from contract.codec import encode
from contract.people.directory import Directory
from contract.people.held import HeldPerson
from contract.people.held_faces import HeldFace, faces_in, stored_faces_of
from contract.people.keys import face_key, person_key
from contract.people.records import FaceRecord, PersonRecord, PhotoReference
from tests.support.faces import Entry

VALUES = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**40), 2**40), st.floats(allow_nan=False), st.text(max_size=5),
    st.lists(st.one_of(st.text(max_size=3), st.integers(0, 3)), max_size=3),
    st.dictionaries(st.text(max_size=2), st.integers(0, 9), max_size=2),
)  # fmt: skip
INFOS = st.dictionaries(
    st.one_of(st.sampled_from(["name", "type", "permission_ids", "valid_from", "valid_until"]), st.text(max_size=3)),
    st.one_of(VALUES, st.integers(1, 5), st.just(["0"]), st.just(["0", "7"])),
    max_size=6,
)
RECORDS = st.builds(
    PersonRecord,
    identity_id=st.text(min_size=1, max_size=5),
    group_ids=st.lists(st.sampled_from("abc")).map(tuple),
    info=INFOS,
    faces=st.lists(st.integers(0, 2**40), max_size=4).map(tuple),
    next_face=st.integers(0, 2**40),
    stored_at=st.none() | st.integers(0, 2**40),
    enrolled_time=st.none() | st.floats(0.0, 1e10),
)


@given(RECORDS)
def test_a_record_comes_out_as_it_went_in(record: PersonRecord) -> None:
    held = HeldPerson.of(record)
    found = held.record()
    assert encode(found) == encode(record), "with the types of values and the order of members"
    assert (held.identity_id, held.faces, held.group_ids) == (record.identity_id, record.faces, record.group_ids)
    assert (held.permission_ids, held.person_type) == (record.permission_ids, record.person_type)
    assert held.frame.by_match == (record.enrolled_time is not None)


def person(who: str, faces: tuple[int, ...] = (0,), **info: Any) -> PersonRecord:
    return PersonRecord(identity_id=who, group_ids=("staff",), info=info, faces=faces, next_face=9)


def test_a_made_record_may_be_changed_without_changing_anybody() -> None:
    held = HeldPerson.of(person("p", name="Ada", permission_ids=["7"]))
    held.record().info["permission_ids"].append("8")
    assert held.record().info == {"name": "Ada", "permission_ids": ["7"]}


def test_people_who_are_alike_share_a_frame() -> None:
    one, other = (HeldPerson.of(person(who, name=who, type=1, permission_ids=["0"])) for who in "ab")
    assert one.frame is other.frame
    assert HeldPerson.of(person("c", name="c", type=2, permission_ids=["0"])).frame is not one.frame
    assert len(one.own) < 20


def photo(seed: int, sent: bytes | None = None) -> PhotoReference:
    return PhotoReference(sha256=bytes([seed]) * 32, partition=3, offset=2**35 + seed, sent_sha256=sent)


def test_records_of_faces_come_out_by_number_and_embedder() -> None:
    faces = [HeldFace.of(7, 1, photo(1)), HeldFace.of(7, 0, None), HeldFace.of(2, 1, photo(2, b"sent"))]
    found = faces_in(stored_faces_of(faces))
    assert [(face.number, face.embedder, face.photo) for face in found] == [
        (2, 1, photo(2, b"sent")), (7, 0, None), (7, 1, photo(1)),
    ]  # fmt: skip
    assert stored_faces_of([]) == b""
    assert faces_in(b"") == ()
    assert stored_faces_of([HeldFace.of(0, 0, None)]) is stored_faces_of([HeldFace.of(0, 0, None)])


def face(who: str, number: int, embedder: str) -> tuple[bytes, bytes]:
    unit = b"\0\0\x80?" + bytes(12)
    record = FaceRecord(
        identity_id=who, number=number, embedder=embedder, templates={"whole": unit}, photo=photo(number)
    )
    return face_key(who, number, embedder), encode(record)


def test_faces_outlive_their_person_and_come_back_with_the_person() -> None:
    people = Directory("own", 4)

    def write(*records: tuple[bytes, bytes | None]) -> None:
        people.apply([Entry(key, value, people.version + place) for place, (key, value) in enumerate(records)])

    write(face("p", 0, "own"), face("p", 1, "other"), face("q", 0, "own"))
    assert (len(people), people.faces_count, people.foreign_faces) == (0, 3, 1)
    write((person_key("p"), encode(person("p", (0, 1)))))
    assert people.photo("p", 1) == photo(1)
    write((person_key("p"), None))
    assert people.person("p") is None
    assert list(people.everybody()) == []
    assert people.embedders("p", 0) == ("own",)
    assert people.keys_of("p") == [face("p", 0, "own")[0], face("p", 1, "other")[0], person_key("p")]
    write((person_key("p"), encode(person("p", (1,), name="again"))), (face("p", 0, "own")[0], None))
    assert [one.identity_id for one in people.everybody()] == ["p"]
    assert (again := people.person("p")) is not None
    assert again.name == "again"
    assert (people.embedders("p", 0), people.embedders("p", 1), people.faces_count) == ((), ("other",), 2)
    write(face("p", 1, "own"))
    assert (people.embedders("p", 1), people.foreign_faces) == (("own", "other"), 0)
    write((face("p", 1, "own")[0], None), (face("p", 1, "other")[0], None), (face("q", 0, "own")[0], None))
    assert (people.faces_count, people.foreign_faces, people.embedding_length("own")) == (0, 0, None)


def test_all_tables_have_one_object_of_an_id() -> None:
    people = Directory("own", 4)
    records = [face("person", 0, "own"), (person_key("person"), encode(person("person"))), face("person", 1, "own")]
    people.apply([Entry(key, value, place) for place, (key, value) in enumerate(records)])
    ((key, held),) = people._persons.items()
    assert key is held.identity_id
    (listed,) = people._listing._sets["group_id", "staff"].in_order()
    assert listed is key
