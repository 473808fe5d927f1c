"""Who may be enrolled, changed and removed, and what the people topic gets for it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from hashlib import sha256
from typing import Any

import msgspec
import numpy as np
import pytest

from contract.errors import Code, Refusal, Refused
from contract.people.records import FaceRecord, PersonRecord, PhotoReference, photo_of
from contract.people.site import GroupRecord, PermissionRecord, Site
from contract.requests import DeleteRequest, EnrolRequest
from engine.calls.delete import DeleteCall
from engine.calls.enrol import EnrolCall
from engine.calls.people import ChangeDecision, Prepared, PreparedFace
from engine.calls.permission import require_new_permissions
from engine.gallery.people import KnownPerson
from engine.gallery.port import Candidate
from engine.policy import Policy
from tests.support.faces import MODELS, circumstances, context, photo

DIMENSION = MODELS.embedder.dimension


def unit(seed: int) -> np.ndarray:
    vector = np.random.default_rng(seed).normal(size=DIMENSION).astype(np.float32)
    return vector / np.linalg.norm(vector)


def request(**fields: Any) -> EnrolRequest:
    return EnrolRequest(**{"request_id": "r", "identity_id": "p", "received_time_s": 1.0, **fields})


def prepared(seed: int, jpeg: bytes | None = b"jpeg") -> PreparedFace:
    return PreparedFace.of(unit(seed), jpeg, jpeg)


def enrolled(*faces: int, **info: Any) -> PersonRecord:
    return PersonRecord(
        identity_id="p",
        group_ids=("default_group",),
        info={"type": 1, "permission_ids": ["0"], **info},
        faces=faces,
        next_face=max(faces, default=-1) + 1,
    )


def known(person: PersonRecord | None, vectors: dict[int, np.ndarray] | None = None) -> KnownPerson:
    numbers = person.faces if person else ()
    photos = {n: PhotoReference(sha256=b"%d" % n, partition=0, offset=n) for n in numbers}
    return KnownPerson(person, vectors or {}, dict.fromkeys(numbers, ("model+1",)), photos)


@dataclass(frozen=True)
class One:
    """The people, of whom one is known."""

    person: KnownPerson
    unreadable: bool = False
    site: Site = field(default_factory=Site)
    groups: Mapping[str, int] = field(default_factory=dict)

    def members(self, group_id: str) -> int:
        return self.groups.get(group_id, 0)

    def known(self, identity_id: str) -> KnownPerson:
        return self.person

    def everybody(self) -> Iterator[PersonRecord]:
        yield from () if self.person.record is None else (self.person.record,)

    def templates(self, *, means: bool) -> int:
        return len(self.person.vectors)

    def alike(self, vector: np.ndarray, cosine: float, *, means: bool, most: int) -> tuple[Candidate, ...]:
        return ()

    def hidden_keys(self, identity_id: str) -> tuple[bytes, ...]:
        return ()


def decide(asked, face=None, person=None, vectors=None, policy=None, **now: Any) -> ChangeDecision:
    given = context(policy, replace(MODELS, identities=(("embedder", "model+1"),)))
    return EnrolCall().decide(asked, Prepared(face), One(known(person, vectors), **now), given)


def refusal_of(*args: Any, **kwargs: Any) -> Refusal:
    decision = decide(*args, **kwargs)
    assert not decision.changes
    assert decision.refusal is not None
    return decision.refusal


def keys(decision) -> list[tuple[str, bool]]:
    places = [(0, 5)] * len(decision.photos)
    return [(key.decode(), value is None) for key, value in (*decision.photos, *decision.people_records(places))]


def person_of(decision) -> PersonRecord:
    records = dict(decision.people_records([(0, 5)] * len(decision.photos)))
    return msgspec.msgpack.decode(records[b"person/p"], type=PersonRecord)


def test_a_new_person_gets_photo_face_and_person_in_that_order():
    decision = decide(request(info={"name": "N"}), prepared(1))
    assert keys(decision) == [("photo/p/0", False), ("face/p/0/model%2B1", False), ("person/p", False)]
    assert decision.outcome == "enrolled"
    assert decision.answer.info == {"type": 1, "permission_ids": ["0"], "name": "N"}
    assert decision.answer.image_id == "p-0"


def test_a_face_record_holds_the_unit_vector_and_its_model():
    decision = decide(request(), prepared(1, jpeg=None))
    record = msgspec.msgpack.decode(decision.people_records()[0][1], type=FaceRecord)
    assert record.embedder == "model+1"
    assert record.photo is None
    np.testing.assert_array_equal(np.frombuffer(record.templates["whole"], "<f4"), unit(1))


def test_a_face_record_names_its_photo_by_digest_and_by_the_place_where_it_was_written():
    decision = decide(request(photo=b"png"), PreparedFace.of(unit(1), b"png", b"jpeg"))
    ((key, value),) = decision.photos
    assert key == b"photo/p/0"
    record = msgspec.msgpack.decode(decision.people_records([(3, 17)])[0][1], type=FaceRecord)
    assert (record.photo.partition, record.photo.offset) == (3, 17)
    assert record.photo.digest == sha256(b"png").digest()
    assert photo_of(value, record.photo) == b"jpeg"
    other = decide(request(photo=b"x"), PreparedFace.of(unit(1), b"x", b"x")).photos[0][1]
    assert photo_of(other, record.photo) is None, "the photo of another hash"
    assert photo_of(b"\xc1", record.photo) is None


def test_an_identity_that_exists_is_refused_unless_it_may_be_changed():
    assert refusal_of(request(), prepared(1), enrolled(0)).code is Code.IDENTITY_EXSIT_ERROR
    assert decide(request(ignore_exist=True), prepared(1), enrolled(0)).outcome == "updated"


def test_changing_somebody_unknown_is_refused():
    assert refusal_of(request(update=True), prepared(1)).code is Code.ID_NOT_FOUND


def test_a_second_photo_adds_a_face():
    decision = decide(request(ignore_exist=True), prepared(2), enrolled(0), {0: unit(1)})
    assert keys(decision) == [("photo/p/1", False), ("face/p/1/model%2B1", False), ("person/p", False)]
    assert person_of(decision).faces == (0, 1)


def test_the_same_face_sent_again_is_not_added_twice():
    decision = decide(request(ignore_exist=True), prepared(1), enrolled(0), {0: unit(1)})
    assert keys(decision) == [("person/p", False)]
    assert decision.answer.image_id == "p-0"


def test_support_single_face_drops_the_older_ones():
    decision = decide(request(ignore_exist=True, support_single_face=True), prepared(3), enrolled(0, 1))
    assert keys(decision) == [
        ("photo/p/2", False),
        ("photo/p/0", True),
        ("photo/p/1", True),
        ("face/p/2/model%2B1", False),
        ("person/p", False),
        ("face/p/0/model%2B1", True),
        ("face/p/1/model%2B1", True),
    ]
    assert person_of(decision).faces == (2,)
    assert set(decision.people["p"].vectors) == {2}


def test_a_face_number_is_never_used_again():
    person = PersonRecord(identity_id="p", group_ids=("default_group",), info={}, faces=(1,), next_face=7)
    decision = decide(request(ignore_exist=True), prepared(3), person)
    assert keys(decision)[0] == ("photo/p/7", False)


def test_a_change_without_a_photo_keeps_the_faces_and_merges_the_info():
    decision = decide(request(update=True, info={"name": "new"}), None, enrolled(0, name="old", floor=3))
    assert keys(decision) == [("person/p", False)]
    changed = person_of(decision)
    assert changed.faces == (0,)
    assert changed.info == {"type": 1, "permission_ids": ["0"], "name": "new", "floor": 3}


def info_of(size: int) -> dict[str, Any]:
    """The info of a new person that has that many bytes of JSON."""
    rest = len(msgspec.json.encode({"type": 1, "permission_ids": ["0"], "a": ""}))
    return {"a": "x" * (size - rest)}


def test_the_info_of_a_person_has_a_bounded_size_however_many_calls_add_to_it():
    policy = Policy(max_info_bytes=4096)
    assert decide(request(info=info_of(4096)), prepared(1), policy=policy).outcome == "enrolled"
    refusal = refusal_of(request(info=info_of(4097)), prepared(1), policy=policy)
    assert refusal.code is Code.PARAM_ERROR
    assert refusal.message == "info would have 4097 bytes as JSON; at most 4096 are allowed"
    more = request(update=True, info={"b": 1})
    assert refusal_of(more, None, enrolled(0, **info_of(4096)), policy=policy).code is Code.PARAM_ERROR


def test_a_person_with_a_larger_info_than_the_limit_may_be_changed_as_long_as_it_does_not_grow():
    policy, large = Policy(max_info_bytes=4096), enrolled(0, **info_of(5000))
    assert decide(request(update=True, info={"a": "x" * 4500}), None, large, policy=policy).outcome == "updated"
    assert decide(request(update=True), prepared(2), large, policy=policy).outcome == "updated"


SITE = Site().put(GroupRecord(group_id="g1", name="staff")).put(GroupRecord(group_id="g2", name="guests"))


def test_somebody_new_is_in_the_groups_of_the_request_by_id():
    decision = decide(request(group_names=("staff", "default_group")), prepared(1), site=SITE)
    assert person_of(decision).group_ids == ("g1", "default_group")
    assert decision.answer.group_names == ("staff", "default_group")


def test_a_post_for_somebody_who_exists_adds_groups_and_a_put_keeps_them():
    again = request(ignore_exist=True, group_names=("guests", "staff"))
    person = msgspec.structs.replace(enrolled(0), group_ids=("g1", "gone"))
    decision = decide(again, None, person, site=SITE)
    assert person_of(decision).group_ids == ("g1", "gone", "g2")
    assert decision.answer.group_names == ("staff", "guests"), "a group that was deleted is not named"
    assert person_of(decide(request(update=True), None, person, site=SITE)).group_ids == ("g1", "gone")


def test_a_full_group_takes_nobody_new_but_still_changes_those_it_has():
    now: dict[str, Any] = {"policy": Policy(max_people=2), "groups": {"default_group": 2, "g1": 1}, "site": SITE}
    assert refusal_of(request(), prepared(1), **now).code is Code.GROUP_LEN_ERROR
    assert decide(request(update=True), prepared(1), enrolled(0), **now).outcome == "updated"
    assert decide(request(group_names=("staff",)), prepared(1), **now).outcome == "enrolled"
    both = request(group_names=("staff", "default_group"))
    assert refusal_of(both, prepared(1), **now).code is Code.GROUP_LEN_ERROR
    joins = request(ignore_exist=True, group_names=("guests",))
    assert decide(joins, None, enrolled(0), **now).outcome == "updated"
    assert refusal_of(joins, None, enrolled(0), **{**now, "groups": {"g2": 2}}).code is Code.GROUP_LEN_ERROR


def test_unknown_permissions_are_refused_by_name_or_created_with_the_person():
    info = {"permission_ids": ["0", "day", "night"]}
    refusal = refusal_of(request(info=info), prepared(1))
    assert (refusal.code, refusal.cause) == (Code.PARAM_ERROR, "permission")
    assert "day, night" in refusal.message

    decision = decide(request(info=info, create_no_exit_permission=True), prepared(1))
    assert keys(decision)[2:] == [("permission/day", False), ("permission/night", False), ("person/p", False)]
    created = decision.site.permissions["day"]
    assert (created.permission_id, created.name) == ("day", "day")
    again = decide(request(info=info), prepared(1), site=decision.site)
    assert (again.outcome, again.site) == ("enrolled", None)


@pytest.mark.parametrize("create", [False, True])
def test_a_client_may_send_back_the_deleted_permissions_that_it_has_read_but_add_none(create):
    person = enrolled(0, permission_ids=["gone"])
    for info in ({"room": 1}, {"permission_ids": ["gone"], "type": 3}):
        decision = decide(request(update=True, info=info, create_no_exit_permission=create), None, person)
        assert (decision.outcome, decision.site) == ("updated", None)
    added = request(update=True, info={"permission_ids": ["gone", "new"]})
    refusal = refusal_of(added, None, person)
    assert refusal.code is Code.PARAM_ERROR
    assert "new" in refusal.message
    assert "gone" not in refusal.message


def test_an_answer_names_only_permissions_that_exist_and_may_be_sent_back():
    site, person = (
        Site().put(PermissionRecord(permission_id="day", name="day")),
        enrolled(0, permission_ids=["gone", "day"]),
    )
    decision = decide(request(update=True, info={"room": 1}), None, person, site=site)
    assert decision.answer.info["permission_ids"] == ["day"]
    assert person_of(decision).info["permission_ids"] == ["gone", "day"], "the record is not written anew for this"
    back = decide(request(update=True, info=decision.answer.info), None, person_of(decision), site=site)
    assert (back.outcome, person_of(back).info["permission_ids"]) == ("updated", ["day"])
    none_left = decide(request(update=True, info={"room": 1}), None, enrolled(0, permission_ids=["gone"]))
    assert none_left.answer.info["permission_ids"] == []


def test_a_member_of_the_info_that_is_null_is_removed():
    person = enrolled(0, name="N", valid_from=1000, valid_until=2000, room="12", dress=None)
    decision = decide(request(update=True, info={"valid_until": None, "room": None, "floor": None}), None, person)
    after = person_of(decision).info
    assert after == {name: value for name, value in person.info.items() if name in {*after}}
    assert {"valid_from", "name"} <= after.keys()
    assert not {"valid_until", "room", "floor", "dress"} & after.keys()
    assert decision.answer.info == after
    again = request(ignore_exist=True, need_bring_pic=False, info={"valid_from": None, "valid_until": 500})
    assert person_of(decide(again, None, person_of(decision))).info["valid_until"] == 500


def test_a_new_person_has_no_members_that_are_null():
    info = person_of(decide(request(info={"name": "N", "valid_until": None, "room": None}), prepared(1))).info
    assert info == {"type": 1, "permission_ids": ["0"], "name": "N"}


def test_an_unknown_id_that_is_the_name_of_a_permission_is_refused_instead_of_created():
    site = Site().put(PermissionRecord(permission_id="p1", name="day"))
    wanted = request(info={"permission_ids": ["day"]}, create_no_exit_permission=True)
    assert refusal_of(wanted, prepared(1), site=site).code is Code.GROUP_NAME_ERROR


def test_no_more_permissions_are_created_than_allowed_and_none_that_a_deletion_took_from_people():
    wanted = request(info={"permission_ids": ["day", "night"]}, create_no_exit_permission=True)
    assert refusal_of(wanted, prepared(1), policy=Policy(max_permissions=2)).code is Code.GROUP_LEN_ERROR
    assert decide(wanted, prepared(1), policy=Policy(max_permissions=3)).outcome == "enrolled"
    somebody_else = One(known(enrolled(0, permission_ids=["gone"])))
    with pytest.raises(Refused) as refused:
        require_new_permissions({"gone": "gone"}, somebody_else, Policy())
    assert refused.value.code is Code.GROUP_NAME_ERROR


def test_a_validity_that_a_change_would_turn_round_is_refused():
    person = enrolled(0, valid_from=1000)
    assert refusal_of(request(update=True, info={"valid_until": 999}), None, person).code is Code.PARAM_ERROR
    assert decide(request(update=True, info={"valid_until": 1000}), None, person).outcome == "updated"


def test_a_person_has_a_bounded_number_of_faces():
    refusal = refusal_of(request(ignore_exist=True), prepared(5), enrolled(0), policy=Policy(max_faces_per_person=1))
    assert refusal.code is Code.PARAM_ERROR


@pytest.mark.parametrize("person", [None, enrolled(0)], ids=["somebody new", "somebody known"])
@pytest.mark.parametrize("update", [False, True])
def test_an_unknown_group_is_told_before_anything_about_the_person(person, update):
    refusal = refusal_of(request(group_names=("default_group", "nowhere"), update=update), prepared(1), person)
    assert refusal.code is Code.NOT_FOUND
    assert "does not exist" in refusal.message


def test_an_enrolment_brings_the_photo_back_and_a_change_does_not():
    assert decide(request(), prepared(1)).answer.photo == b"jpeg"
    assert decide(request(update=True), prepared(2), enrolled(0)).answer.photo is None


def test_somebody_is_enrolled_without_a_photo_only_where_the_request_says_so():
    assert refusal_of(request()).code is Code.PARAM_ERROR
    decision = decide(request(need_bring_pic=False, info={"name": "N"}))
    assert (decision.outcome, decision.answer.image_id) == ("enrolled", None)
    assert person_of(decision).faces == ()


def test_a_change_without_a_photo_names_the_face_that_was_added_last():
    assert decide(request(update=True), None, enrolled(0, 3)).answer.image_id == "p-3"


def test_people_of_whom_a_record_cannot_be_read_are_not_changed():
    decision = EnrolCall().decide(request(), Prepared(prepared(1)), One(KnownPerson(), unreadable=True), context())
    assert decision.refusal.code is Code.OVERLOADED
    assert decision.outcome == "refused"


def test_a_deletion_removes_person_faces_and_photos():
    asked = DeleteRequest(request_id="r", identity_id="p", received_time_s=1.0)
    decision = DeleteCall().decide(asked, Prepared(), One(known(enrolled(0, 2))), context())
    assert decision.answer.group_names == ("default_group",)
    assert keys(decision) == [
        ("photo/p/0", True),
        ("photo/p/2", True),
        ("person/p", True),
        ("face/p/0/model%2B1", True),
        ("face/p/2/model%2B1", True),
    ]
    assert decision.people["p"].record is None
    nobody = DeleteCall().decide(asked, Prepared(), One(KnownPerson()), context())
    assert nobody.refusal.code is Code.ID_NOT_FOUND


def imported(feature: tuple[float, ...], policy: Policy | None = None, **fields: Any) -> Prepared:
    named = {"feature_model": MODELS.embedder_identity, **fields}
    return EnrolCall().prepare(request(feature=feature, **named), context(policy))


def test_an_imported_feature_is_brought_to_unit_length():
    np.testing.assert_allclose(imported(tuple(7.0 * unit(1))).face.vector, unit(1), atol=1e-6)


@pytest.mark.parametrize(
    "feature",
    [(), (0.0,) * DIMENSION, (1.0,) * (DIMENSION + 1), (1e300,) * DIMENSION, (5e-324,) * DIMENSION],
    ids=["empty", "all zero", "too long", "overflowing", "vanishing"],
)
def test_a_feature_that_is_no_direction_is_refused(feature):
    refusal = imported(feature).refusal
    assert refusal.code is Code.BAD_FEATURE_ERROR
    assert "feature_model" not in refusal.message


@pytest.mark.parametrize("feature_model", [None, "another network"])
def test_a_feature_of_no_named_or_another_network_is_refused_with_the_name_of_ours(feature_model):
    refusal = imported(tuple(unit(1)), feature_model=feature_model).refusal
    assert refusal.code is Code.BAD_FEATURE_ERROR
    assert MODELS.embedder_identity in refusal.message
    trusting = Policy(trust_unnamed_features=True)
    ready = imported(tuple(unit(1)), trusting, feature_model=feature_model)
    assert (ready.refusal is None) is (feature_model is None), "a name is never ignored"


def test_the_event_of_an_enrolment_tells_how_good_the_photo_is():
    asked, call, given = request(photo=photo(1)), EnrolCall(), context()
    ready = call.prepare(asked, given)
    decision = call.decide(asked, ready, One(KnownPerson()), given)

    event = call.event(asked, decision, given, circumstances(call, asked, 3))

    assert 0 < ready.findings.quality_score == event.quality_score <= 1
    assert [check.name for check in event.quality] == ["face_size", "headpose"]
    assert (event.request.sha256, event.gallery_version) == (sha256(asked.photo).hexdigest(), 3)


def test_the_event_of_a_refused_photo_says_what_was_measured():
    asked, call, given = request(photo=photo(1, size=40)), EnrolCall(), context()
    decision = call.decide(asked, call.prepare(asked, given), One(KnownPerson()), given)
    event = call.event(asked, decision, given, circumstances(call, asked))
    assert event.error.status == "ENROLL_FACE_SIZE_NOT_ENOUGH_ERROR"
    assert {check.name: check.passed for check in event.quality}["face_size"] is False
