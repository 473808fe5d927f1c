"""Which people a match searches: those in the group and with the permission of the request or of its device."""

from dataclasses import replace
from types import MappingProxyType
from typing import Any

import msgspec
import pytest

from contract.errors import Code, Refused
from contract.events import Threshold
from contract.people.keys import SiteKey
from contract.people.site import DeviceRecord, GroupRecord, PermissionRecord, Site
from contract.requests import MatchRequest
from engine.calls.match import MatchCall
from engine.gallery.port import Scope
from engine.gallery.scope import resolve_scope
from engine.policy import Policy
from engine.vision.ports import Embedding, Face, Image
from models.manifest import FmrPoint
from tests.support.faces import MODELS, Enrolled, context, outcome_of, photo, scene

DOOR = DeviceRecord(
    device_id="d1", name="door", address="10.0.0.1", device_type="photo", group_id="g1", permission_id="p1"
)
SITE = (
    Site().put(GroupRecord(group_id="g1", name="staff")).put(PermissionRecord(permission_id="p1", name="day")).put(DOOR)
)
ANY_GROUP = Scope(None, "p1", frozenset(SITE.groups))


def asked(picture: bytes = b"", **fields: Any) -> MatchRequest:
    given = {"request_id": "r", "device_ip": "10.0.0.1", "compare_time_s": 1.0, "received_time_s": 1.0, **fields}
    return MatchRequest(picture=picture, **given)


def people_of(scope: Scope) -> Scope:
    """The same people, without the means of their faces."""
    return replace(scope, means=False)


@pytest.mark.parametrize(
    ("request_", "scope", "names"),
    [
        (asked(), Scope("g1", "p1"), ("staff", "day")),
        (asked(device_ip="10.9.9.9"), Scope("default_group", "0"), ("default_group", "0")),
        (asked(group_name="default_group"), Scope("default_group", "p1"), ("default_group", "day")),
        (asked(group_name="staff", permission_name="0"), Scope("g1", "0"), ("staff", "0")),
        (
            asked(group_name="default_group", permission_name="day"),
            Scope("default_group", "p1"),
            ("default_group", "day"),
        ),
        (asked(device_ip=None, group_name="staff"), Scope("g1", "0"), ("staff", "0")),
        (asked(device_ip="10.9.9.9", group_name="staff"), Scope("g1", "0"), ("staff", "0")),
        (asked(device_ip="10.9.9.9", group_name="staff", permission_name="day"), Scope("g1", "p1"), ("staff", "day")),
    ],
)
def test_the_group_and_the_permission_are_each_that_of_the_request_or_else_of_the_device_or_else_the_default(
    request_, scope, names
):
    found = resolve_scope(request_, SITE, Policy())
    assert people_of(found.scope) == scope
    assert (found.group_name, found.permission_name) == names
    assert found.device == (DOOR if request_.device_ip == "10.0.0.1" else None)


@pytest.mark.parametrize(
    ("fields", "policy", "code"),
    [
        ({"group_name": "nowhere"}, Policy(), Code.GROUP_NAME_ERROR),
        ({"group_name": "staff", "permission_name": "night"}, Policy(), Code.GROUP_NAME_ERROR),
        ({"group_name": "staff"}, Policy(device_names_scope=False), Code.GROUP_NAME_ERROR),
        ({"device_ip": "10.9.9.9"}, Policy(unknown_device="reject"), Code.DEVICE_ID_NOT_FOUND),
    ],
)
def test_a_scope_that_does_not_exist_or_must_not_be_named_is_refused(fields, policy, code):
    with pytest.raises(Refused) as refused:
        resolve_scope(asked(**fields), SITE, policy)
    assert refused.value.code is code


def test_a_device_that_sends_no_pictures_has_no_matches():
    video = msgspec.structs.replace(DOOR, device_type="file")
    found = resolve_scope(asked(), SITE.put(video), Policy())
    assert (people_of(found.scope), found.device) == (Scope("default_group", "0"), None)
    with pytest.raises(Refused) as refused:
        resolve_scope(asked(), SITE.put(video), Policy(unknown_device="reject"))
    assert refused.value.code is Code.DEVICE_ID_NOT_FOUND


UNTRUSTED = Policy(device_names_scope=False)


@pytest.mark.parametrize(
    ("fields", "policy", "scope", "names"),
    [
        ({}, Policy(), ANY_GROUP, ("", "day")),
        ({}, UNTRUSTED, Scope("g1", "p1"), ("staff", "day")),
        ({"device_ip": "10.9.9.9"}, Policy(), Scope("default_group", "0"), ("default_group", "0")),
        ({"device_ip": None}, Policy(), Scope("default_group", "0"), ("default_group", "0")),
        (
            {"device_ip": None, "permission_name": "day"},
            Policy(),
            Scope(None, "p1", frozenset(SITE.groups)),
            ("", "day"),
        ),
        ({"permission_name": "0"}, Policy(), Scope(None, "0", frozenset(SITE.groups)), ("", "0")),
        ({"group_name": "default_group"}, Policy(), Scope("default_group", "p1"), ("default_group", "day")),
        (
            {"group_name": "default_group", "permission_name": "0"},
            Policy(),
            Scope("default_group", "0"),
            ("default_group", "0"),
        ),
    ],
)
def test_a_search_by_permission_has_the_named_permission_or_that_of_its_device(fields, policy, scope, names):
    found = resolve_scope(asked(by_permission=True, **fields), SITE, policy)
    assert people_of(found.scope) == scope
    assert (found.group_name, found.permission_name) == names


@pytest.mark.parametrize(
    ("fields", "policy", "code"),
    [
        ({"permission_name": "night"}, Policy(), Code.GROUP_NAME_ERROR),
        ({"group_name": "nowhere"}, Policy(), Code.GROUP_NAME_ERROR),
        ({"permission_name": "day"}, UNTRUSTED, Code.PARAM_ERROR),
        ({"group_name": "default_group"}, UNTRUSTED, Code.PARAM_ERROR),
        ({"device_ip": "10.9.9.9"}, Policy(unknown_device="reject"), Code.DEVICE_ID_NOT_FOUND),
        ({"device_ip": None}, Policy(unknown_device="reject"), Code.DEVICE_ID_NOT_FOUND),
    ],
)
def test_a_search_by_permission_never_falls_back_to_a_wider_scope(fields, policy, code):
    with pytest.raises(Refused) as refused:
        resolve_scope(asked(by_permission=True, **fields), SITE, policy)
    assert refused.value.code is code


def test_a_search_by_permission_finds_people_of_every_group_and_of_none():
    enrolled = Enrolled()
    enrolled.people.site = SITE
    enrolled.enrol("staff", 1, group_names=("staff",), info={"permission_ids": ["p1"]})
    enrolled.enrol("default", 2, info={"permission_ids": ["p1"]})
    enrolled.enrol("without", 3, group_names=("staff",))
    snapshot, given = enrolled.people.snapshot(), context(Policy(threshold=0.9))

    def found(seed: int, **fields: Any) -> tuple[str, str]:
        answer, event = outcome_of(MatchCall(), asked(photo(seed), by_permission=True, **fields), snapshot, given)
        return answer.identity_id, event.scope.group_name

    assert [found(seed) for seed in (1, 2, 3)] == [("staff", ""), ("default", ""), ("", "")]
    assert found(1, group_name="default_group") == ("", "default_group")


@pytest.mark.parametrize("gone", [SiteKey("group", "g1"), SiteKey("permission", "p1")], ids=lambda key: key.kind)
def test_a_device_whose_group_or_permission_was_deleted_finds_nobody(gone):
    with pytest.raises(Refused) as refused:
        resolve_scope(asked(), SITE.without(gone), Policy())
    assert refused.value.code is Code.EMPTY_GROUP_ERROR


def test_a_request_may_name_another_group_than_the_deleted_one_of_its_device_but_keeps_its_deleted_permission():
    named = asked(group_name="default_group")
    found = resolve_scope(named, SITE.without(SiteKey("group", "g1")), Policy())
    assert people_of(found.scope) == Scope("default_group", "p1")
    with pytest.raises(Refused) as refused:
        resolve_scope(named, SITE.without(SiteKey("permission", "p1")), Policy())
    assert refused.value.code is Code.EMPTY_GROUP_ERROR
    both = asked(group_name="default_group", permission_name="0")
    found = resolve_scope(both, SITE.without(SiteKey("permission", "p1")), Policy())
    assert people_of(found.scope) == Scope("default_group", "0")


@pytest.mark.parametrize("fields", [{}, {"group_name": "staff"}, {"by_permission": True, "permission_name": "day"}])
def test_the_setting_decides_whether_means_are_compared(fields):
    for means in (True, False):
        assert resolve_scope(asked(**fields), SITE, Policy(mean_templates=means)).scope.means is means
    assert Policy().mean_templates


def test_a_match_finds_only_those_who_are_in_the_group_and_have_the_permission():
    enrolled = Enrolled()
    enrolled.people.site = SITE
    enrolled.enrol("in", 1, group_names=("staff", "default_group"), info={"permission_ids": ["p1", "0"]})
    enrolled.enrol("other group", 2, info={"permission_ids": ["p1"]})
    enrolled.enrol("other permission", 3, group_names=("staff",))
    snapshot, given = enrolled.people.snapshot(), context(Policy(threshold=0.9))

    def found(seed: int, **fields: Any) -> tuple[str, str]:
        answer, event = outcome_of(MatchCall(), asked(photo(seed), **fields), snapshot, given)
        assert event.threshold.faces in (None, 1, 2)
        return answer.identity_id, event.outcome

    assert found(1) == ("in", "matched")
    assert found(2) == ("", "stranger")
    assert found(3) == ("", "stranger")
    assert found(3, group_name="staff") == ("", "stranger"), "the permission is still that of the device"
    assert found(3, group_name="staff", permission_name="0") == ("other permission", "matched")
    assert found(3, group_name="staff", device_ip="10.9.9.9") == ("other permission", "matched")
    assert found(2, group_name="default_group") == ("other group", "matched")
    assert found(2, group_name="default_group", permission_name="day") == ("other group", "matched")
    assert found(1, device_ip="10.9.9.9") == ("in", "matched"), "a person of several groups is found in each"


class Curved:
    """The stand-in embedder with a curve of false match rates."""

    dimension, threshold = MODELS.embedder.dimension, 0.9
    fmr_curve = (
        FmrPoint(fmr=1e-5, threshold=0.3),
        FmrPoint(fmr=1e-6, threshold=0.4),
        FmrPoint(fmr=1e-7, threshold=0.5),
    )
    covered_curves = MappingProxyType({})

    def __call__(self, image: Image, face: Face) -> Embedding:
        return MODELS.embedder(image, face)


@pytest.mark.parametrize("by_permission", [False, True])
@pytest.mark.parametrize(("refused", "outcome"), [(False, "matched"), (True, "no_face")])
def test_the_threshold_follows_the_size_of_the_scope_and_not_of_the_gallery(by_permission, refused, outcome):
    enrolled = Enrolled()
    enrolled.people.site = SITE
    for seed in (1, 2):
        enrolled.enrol(f"day {seed}", seed, group_names=("staff",), info={"permission_ids": ["p1"]})
    for seed in range(3, 8):
        enrolled.enrol(f"other {seed}", seed)
    snapshot, policy = enrolled.people.snapshot(), Policy(target_fpir=1e-5)
    given = context(policy, models=replace(MODELS, embedder=Curved()))

    def threshold(seed: int, name: str) -> Threshold:
        named = (
            {"permission_name": name} if by_permission else {"device_ip": "10.0.0.1" if name == "day" else "10.9.9.9"}
        )
        request = asked(scene() if refused else photo(seed), by_permission=by_permission, **named)
        event = outcome_of(MatchCall(), request, snapshot, given)[1]
        assert event.outcome == outcome
        return event.threshold

    small, large = threshold(1, "day"), threshold(3, "0")
    assert (small.faces, large.faces) == (2, 5)
    assert (small.fmr, large.fmr) == pytest.approx((1e-5 / 2, 1e-5 / 5))
    assert small.value < large.value


def test_a_search_of_every_group_finds_nobody_who_is_in_no_group_or_only_in_a_deleted_one():
    enrolled = Enrolled()
    enrolled.people.site = SITE
    enrolled.enrol("in", 1, group_names=("staff",), info={"permission_ids": ["p1"]})
    enrolled.enrol("other", 2, info={"permission_ids": ["p1"]})
    request = asked(by_permission=True)

    def found(site: Site) -> set[str]:
        scope = resolve_scope(request, site, Policy()).scope
        assert all(scope.has_group(enrolled.people.person(who)) == bool(who) for who in ("other",))
        probe = enrolled.people.known("in").vectors[0]
        candidates = enrolled.people.snapshot().gallery.best(probe, scope, 5)
        assert enrolled.people.snapshot().gallery.count(scope) == len(candidates)
        return {candidate.person.identity_id for candidate in candidates}

    assert found(SITE) == {"in", "other"}
    moved = SITE.without(SiteKey("group", "g1")).put(GroupRecord(group_id="g2", name="new"))
    device = moved.put(msgspec.structs.replace(DOOR, group_id="g2"))
    assert found(device) == {"other"}, "the only group of the first person was deleted"


@pytest.mark.parametrize("address", ["10.9.9.9", None])
@pytest.mark.parametrize("fields", [{"group_name": "staff"}, {"by_permission": True, "permission_name": "day"}])
def test_a_device_that_must_be_registered_gets_no_scope_by_naming_one_nor_by_leaving_its_address_out(address, fields):
    with pytest.raises(Refused) as refused:
        resolve_scope(asked(device_ip=address, **fields), SITE, Policy(unknown_device="reject"))
    assert refused.value.code is Code.DEVICE_ID_NOT_FOUND
