"""The import of people, decided without a server."""

from collections.abc import Iterable
from typing import Any

import numpy as np
import pytest

from contract.answers import ImportedAnswer
from contract.errors import Code
from contract.imports import ImportedFace, ImportedPerson, ImportedSite
from contract.people.keys import FaceKey, face_key, person_key
from contract.people.site import DeviceRecord, GroupRecord, PermissionRecord
from contract.people.unreadable import read_face
from contract.requests import DeleteRequest, EnrolRequest
from contract.site_requests import ImportRequest
from contract.vectors import Vector
from engine.calls.call import Change
from engine.calls.delete import DeleteCall
from engine.calls.enrol import EnrolCall
from engine.calls.importing import ImportCall
from engine.calls.people import ChangeDecision
from engine.context import Context
from engine.gallery.packed import rounded
from engine.gallery.pending import PendingPeople
from engine.gallery.people import People
from engine.gallery.port import everybody
from engine.policy import Policy
from engine.vision.networks.standin import DIMENSION
from tests.support import faces
from tests.support.faces import MODELS, photo, scene

CONTEXT = faces.context()
OWN, OTHER = MODELS.embedder_identity, "other-r1"


def vector(seed: int, length: int = DIMENSION) -> Vector:
    found = np.random.default_rng(seed).normal(size=length)
    unit: Vector = (found / np.linalg.norm(found)).astype("<f4")
    return unit


def face(seed: int, embedder: str | None = OWN, **fields: Any) -> ImportedFace:
    return ImportedFace(embedder=embedder, templates={"whole": vector(seed).tobytes()}, **fields)


def person(who: str, *sent: ImportedFace, **fields: Any) -> ImportedPerson:
    return ImportedPerson(identity_id=who, faces=sent, **fields)


def context(**policy: Any) -> Context:
    return faces.context(Policy(**policy))


class Town:
    """People to whom requests are applied as the admin lane applies them."""

    def __init__(self, given: Context = CONTEXT) -> None:
        self.context = given
        self.people = People(DIMENSION, OWN)
        self.written: dict[bytes, Any] = {}

    def decide(self, call: Change[Any], request: Any, people: PendingPeople | None = None) -> ChangeDecision:
        prepared = call.prepare(request, self.context)
        return call.decide(request, prepared, people or PendingPeople(self.people), self.context)

    def done(self, call: Change[Any], request: Any) -> ChangeDecision:
        decision = self.decide(call, request)
        records = decision.people_records([(0, n) for n, _ in enumerate(decision.photos)])
        self.people.apply(_Record(key, value, self.people.version + n) for n, (key, value) in enumerate(records))
        self.written.update(records)
        return decision

    def template(self, who: str, number: int) -> Vector:
        """Return the embedding in the record of a face."""
        return read_face(FaceKey(who, number, OWN), self.written[face_key(who, number, OWN)], OWN, DIMENSION)[1]

    def bring(self, *people: ImportedPerson, **fields: Any) -> ImportedAnswer:
        decision = self.done(ImportCall(), request(*people, **fields))
        assert isinstance(decision.answer, ImportedAnswer), decision.refusal
        return decision.answer


class _Record:
    damaged = False

    def __init__(self, key: bytes, value: bytes | None, offset: int) -> None:
        self.key, self.value, self.offset = key, value, offset


def request(*people: ImportedPerson, **fields: Any) -> ImportRequest:
    return ImportRequest(request_id="r", received_time_s=1.0, people=people, **fields)


def failures(answer: ImportedAnswer) -> list[tuple[int, str, int]]:
    return [(one.place, one.identity_id, one.code) for one in answer.failed]


def test_people_are_added_searched_and_present_the_second_time():
    town = Town()
    answer = town.bring(person("a", face(1), face(2)), person("b", face(3)), person("c"))
    assert (answer.added, answer.present, answer.faces, answer.unsearched, answer.failed) == (3, (), 3, 0, ())
    (nearest,) = town.people.snapshot().gallery.best(vector(2), everybody(means=False))
    assert (nearest.person.identity_id, nearest.number) == ("a", 1)
    before = town.people.version
    again = town.bring(person("a", face(1), face(2)), person("b", face(3)), person("c"))
    assert (again.added, again.present, again.failed) == (0, (0, 1, 2), ())
    assert town.people.version == before, "nothing is written"


@pytest.mark.parametrize(
    "other",
    [
        person("a", face(1)),
        person("a", face(1), face(3)),
        person("a", face(1), face(2), info={"name": "B"}),
        person("a", face(1), face(2), face(3)),
        person("a", face(1), face(2, OTHER)),
        person("a", face(1), face(2), group_names=("staff",)),
    ],
    ids=["fewer faces", "another face", "another name", "more faces", "another embedder", "another group"],
)
def test_somebody_who_is_enrolled_otherwise_stays_as_enrolled(other: ImportedPerson):
    town = Town()
    site = ImportedSite(groups=(GroupRecord(group_id="g", name="staff"),))
    town.bring(person("a", face(1), face(2), info={"name": "A"}), site=site)
    before = town.people.version
    answer = town.bring(other)
    assert failures(answer) == [(0, "a", Code.IDENTITY_EXSIT_ERROR)]
    assert town.people.version == before


def test_a_person_is_whole_or_not_at_all_and_the_others_come_in():
    bad = ImportedFace(embedder=OWN, templates={"whole": np.full(DIMENSION, np.inf, "<f4").tobytes()})
    answer = Town().bring(person("a", face(1), bad), person("b", face(2)), person("b", face(3)))
    assert failures(answer) == [(0, "a", Code.BAD_FEATURE_ERROR), (2, "b", Code.IDENTITY_EXSIT_ERROR)]
    assert (answer.added, answer.faces) == (1, 1)


def templates(*arrays: Iterable[float]) -> dict[str, bytes]:
    kinds = ("whole", "covered_mouth")
    return {kind: np.asarray(list(one), "<f4").tobytes() for kind, one in zip(kinds, arrays, strict=False)}


@pytest.mark.parametrize(
    "sent",
    [
        templates([0.0] * DIMENSION),
        templates([np.nan] * DIMENSION),
        templates([1.0] * (DIMENSION - 1)),
        templates([1.0] * (DIMENSION + 1)),
        templates(vector(1), [1.0] * (DIMENSION - 1)),
        templates(vector(1), [np.nan] * DIMENSION),
        {"whole": vector(1).tobytes()[:-1]},
    ],
    ids=["zero", "nan", "short", "long", "lengths differ", "a nan in another template", "cut"],
)
def test_embeddings_that_cannot_be_compared_are_refused(sent: dict[str, bytes]):
    answer = Town().bring(person("a", ImportedFace(embedder=OWN, templates=sent)))
    assert failures(answer) == [(0, "a", Code.BAD_FEATURE_ERROR)]


def test_unit_vectors_are_stored_bit_for_bit_and_others_are_normalised():
    town = Town()
    long = ImportedFace(embedder=OWN, templates={"whole": (vector(2) * 7).tobytes()})
    town.bring(person("a", face(1)), person("b", long))
    assert town.template("a", 0).tobytes() == vector(1).tobytes()
    np.testing.assert_allclose(town.template("b", 0), vector(2), atol=1e-6)
    assert town.people.known("a").vectors[0].tobytes() == rounded(vector(1)).tobytes()


def test_what_is_restored_keeps_its_bytes_or_is_refused():
    near, far = (vector(1) * np.float32(factor) for factor in (1.004, 1.02))
    sent = [ImportedFace(embedder=OWN, number=4, templates={"whole": each.tobytes()}) for each in (near, far)]
    town = Town()
    info = {"type": 2, "zeta": 1}
    answer = town.bring(
        person("a", sent[0], info=info, group_ids=("gone",), next_face=9), person("b", sent[1]), restore=True
    )
    assert failures(answer) == [(1, "b", Code.BAD_FEATURE_ERROR)]
    known = town.people.known("a")
    assert town.template("a", 4).tobytes() == near.tobytes()
    assert known.vectors[4].tobytes() == rounded(near).tobytes()
    assert known.record is not None
    assert (known.record.group_ids, known.record.faces, known.record.next_face) == (("gone",), (4,), 9)


def test_a_feature_without_an_embedder_needs_trust():
    assert failures(Town().bring(person("a", face(1, None)))) == [(0, "a", Code.BAD_FEATURE_ERROR)]
    assert Town(context(trust_unnamed_features=True)).bring(person("a", face(1, None))).added == 1


def test_embeddings_of_other_embedders_are_counted_and_of_one_length():
    town = Town()
    both = person("a", face(1, number=0), face(2, OTHER, number=0))
    answer = town.bring(both, person("b", face(3, OTHER)))
    assert (answer.faces, answer.unsearched) == (2, 1)
    assert (town.people.foreign_faces, town.people.own_faces) == (1, 1)
    short = ImportedFace(embedder=OTHER, templates={"whole": vector(1, DIMENSION - 1).tobytes()})
    first = ImportedFace(embedder="new-r1", templates={"whole": vector(1, 4).tobytes()})
    second = ImportedFace(embedder="new-r1", templates={"whole": vector(1, 5).tobytes()})
    answer = town.bring(person("c", short), person("d", first), person("e", second))
    assert failures(answer) == [(0, "c", Code.BAD_FEATURE_ERROR), (2, "e", Code.BAD_FEATURE_ERROR)]
    assert town.bring(both).present == (0,)


def test_photos_are_embedded_or_only_stored_and_named_where_they_cannot_be_used():
    town = Town()
    looked = person("a", ImportedFace(photo=photo(1)), ImportedFace(photo=photo(2)))
    stored = person("b", ImportedFace(embedder=OWN, templates=face(5).templates, photo=photo(3)))
    empty = person("c", ImportedFace(photo=photo(1)), ImportedFace(photo=scene()))
    broken = person("d", ImportedFace(embedder=OWN, templates=face(6).templates, photo=b"\xff\xd8 nothing"))
    answer = town.bring(looked, stored, empty, broken)
    assert failures(answer) == [(2, "c", Code.NO_FACE), (3, "d", Code.IMAGE_ERROR)]
    assert "face 1" in answer.failed[0].message
    enrolled = Town()
    enrolled.done(EnrolCall(), EnrolRequest(request_id="e", received_time_s=1.0, identity_id="x", photo=photo(1)))
    same = enrolled.people.known("x").vectors[0]
    assert town.people.known("a").vectors[0].tobytes() == same.tobytes(), "as an enrolment embeds the photo"
    assert [len(town.people.known(who).photos) for who in "ab"] == [2, 1]
    assert town.bring(looked, stored).present == (0, 1)


def test_limits_hold_also_within_one_call():
    town = Town(context(max_people=2, max_faces_per_person=2, max_info_bytes=256))
    people = (
        person("many", face(1), face(2), face(3)),
        person("info", info={"x": "x" * 300}),
        person("order", info={"valid_from": 2.0, "valid_until": 1.0}),
        person("a", face(1)),
        person("b", face(2)),
        person("c", face(3)),
        person("twice", face(1, number=0), face(2, number=0)),
        person("next", face(1, number=3), next_face=3),
    )
    answer = town.bring(*people)
    codes = {one.identity_id: one.code for one in answer.failed}
    assert codes == {
        **dict.fromkeys(("many", "info", "order", "twice", "next"), Code.PARAM_ERROR),
        "c": Code.GROUP_LEN_ERROR,
    }
    assert answer.added == 2


def test_groups_and_permissions_come_first_and_those_of_the_site_stay():
    town = Town()
    sent = ImportedSite(
        groups=(GroupRecord(group_id="g1", name="staff", info={"x": 1}),),
        permissions=(PermissionRecord(permission_id="p1", name="day"), PermissionRecord(permission_id="0", name="0")),
    )
    answer = town.bring(person("a", group_names=("staff",), info={"permission_ids": ["p1"]}), site=sent)
    assert (answer.added, answer.groups, answer.permissions) == (1, {"g1": "g1"}, {"p1": "p1", "0": "0"})
    again = ImportedSite(
        groups=(GroupRecord(group_id="other", name="staff"), GroupRecord(group_id="g1", name="renamed")),
        permissions=(PermissionRecord(permission_id="p9", name="day"),),
    )
    before = town.people.site
    answer = town.bring(site=again)
    assert (answer.groups, answer.permissions) == ({"other": "g1", "g1": "g1"}, {"p9": "p1"})
    assert town.people.site == before
    unknown = town.bring(person("b", group_ids=("nowhere",)), person("c", info={"permission_ids": ["never"]}))
    assert failures(unknown) == [(0, "b", Code.NOT_FOUND), (1, "c", Code.PARAM_ERROR)]


def test_an_import_gives_nobody_back_what_the_deletion_of_a_group_took():
    town = Town()
    town.bring(person("a", group_ids=("gone",)), restore=True)
    decision = town.decide(ImportCall(), request(site=ImportedSite(groups=(GroupRecord(group_id="gone", name="x"),))))
    assert decision.refusal is not None
    assert decision.refusal.code is Code.GROUP_NAME_ERROR
    many = tuple(GroupRecord(group_id=f"g{n}", name=f"g{n}") for n in range(Policy().max_groups))
    decision = town.decide(ImportCall(), request(site=ImportedSite(groups=many)))
    assert decision.refusal is not None
    assert decision.refusal.code is Code.GROUP_LEN_ERROR


def test_later_requests_of_the_transaction_know_the_people():
    town = Town()
    pending = PendingPeople(town.people)
    first = town.decide(ImportCall(), request(person("a", face(1))), pending)
    pending.decided(first.people, first.site, first.faces)
    again = town.decide(ImportCall(), request(person("a", face(1)), person("b", face(2))), pending)
    assert isinstance(again.answer, ImportedAnswer)
    assert (again.answer.added, again.answer.present) == (1, (0,))
    deleted = DeleteRequest(request_id="d", received_time_s=1.0, identity_id="a")
    gone = DeleteCall().decide(deleted, DeleteCall().prepare(deleted, CONTEXT), pending, CONTEXT)
    assert (person_key("a"), None) in gone.others


def test_a_device_of_a_deleted_group_stands_in_the_way_as_well():
    town = Town()
    device = DeviceRecord(
        device_id="d", name="door", address="10.0.0.1", device_type="photo", group_id="gone", permission_id="0"
    )
    town.people.site = town.people.site.put(device)
    decision = town.decide(ImportCall(), request(site=ImportedSite(groups=(GroupRecord(group_id="gone", name="x"),))))
    assert decision.refusal is not None
