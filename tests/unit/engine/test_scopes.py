"""What the calls of groups and permissions decide, and which records they write."""

from collections.abc import Iterator
from itertools import count
from typing import Any, cast

import pytest

from contract.answers import GroupAnswer, PermissionAnswer
from contract.codec import encode
from contract.errors import Code, Refusal, Refused
from contract.people.keys import site_key
from contract.people.records import PersonRecord
from contract.people.site import DeviceRecord, site_key_of
from contract.requests import Request
from contract.site_requests import GroupRequest, MembersRequest, PermissionRequest
from contract.terms import DEFAULT_GROUP, DEFAULT_PERMISSION
from engine.calls import call_of
from engine.calls.people import PEOPLE_UNREADABLE, PeopleNow
from engine.calls.scopes import MAX_RECORD_BYTES, with_this_only
from engine.gallery.port import Scope
from engine.policy import Policy
from tests.support.faces import circumstances, context
from tests.support.town import Town, refusal

# Groups.


def test_a_group_is_created_with_an_id_that_its_request_determines() -> None:
    first, again = Town().group("create", "staff", description="day", info={"floor": 3, "room": None}), Town()
    assert first.answer == again.group("create", "staff", description="day", info={"floor": 3}).answer
    group = again.people.site.group_named("staff")
    assert group is not None
    assert (group.description, group.info) == ("day", {"floor": 3})
    assert first.answer == GroupAnswer(group_id=group.group_id, name="staff", description="day", info={"floor": 3})


def test_two_groups_have_two_ids_and_one_name_cannot_be_given_twice() -> None:
    town = Town()
    town.group("create", "staff")
    town.group("create", "guests")
    assert len(town.people.site.groups) == 3
    assert refusal(town.group("create", "staff")) == (
        Code.GROUP_NAME_ERROR,
        "a group with this group_name exists already",
    )
    assert refusal(town.group("create", DEFAULT_GROUP))[0] is Code.GROUP_NAME_ERROR


def test_a_change_merges_info_and_leaves_what_it_does_not_name() -> None:
    town = Town()
    created = town.group("create", "staff", description="day", info={"floor": 3, "room": {"a": 1}}).answer
    changed = town.group("change", "staff", info={"room": {"b": None}, "floor": None, "new": [1]}).answer
    assert isinstance(created, GroupAnswer)
    assert isinstance(changed, GroupAnswer)
    assert changed.group_id == created.group_id
    assert (changed.description, changed.info) == ("day", {"room": {"b": None}, "new": [1]})
    emptied = town.group("change", "staff", description="").answer
    assert isinstance(emptied, GroupAnswer)
    assert emptied.description == ""


@pytest.mark.parametrize("action", ["change", "delete"])
def test_an_unknown_group_is_neither_changed_nor_deleted(action: str) -> None:
    assert refusal(Town().group(action, "nowhere"))[0] is Code.NOT_FOUND
    assert refusal(Town().permission(action, "nowhere"))[0] is Code.NOT_FOUND
    assert refusal(Town().permission(action, permission_id="nowhere"))[0] is Code.ID_NOT_FOUND
    assert refusal(Town().permission(action))[0] is Code.NOT_FOUND


def test_a_record_has_a_limit_also_where_it_grows_by_changes() -> None:
    town = Town()
    town.group("create", "staff", info={"a": "x" * (MAX_RECORD_BYTES // 2)})
    assert refusal(town.group("change", "staff", info={"b": "x" * (MAX_RECORD_BYTES // 2)}))[0] is Code.PARAM_ERROR
    assert refusal(town.permission("create", "day", info={"a": "x" * MAX_RECORD_BYTES}))[0] is Code.PARAM_ERROR
    town.group("change", "staff", info={"a": None, "b": "x" * (MAX_RECORD_BYTES // 2)})
    group = town.people.site.group_named("staff")
    assert group is not None
    assert len(encode(group)) <= MAX_RECORD_BYTES


def test_the_numbers_of_groups_and_permissions_are_limited() -> None:
    town = Town(policy=Policy(max_groups=2, max_permissions=2))
    assert town.group("create", "a").outcome == "created"
    assert refusal(town.group("create", "b"))[0] is Code.GROUP_LEN_ERROR
    assert town.permission("create", "a").outcome == "created"
    assert refusal(town.permission("create", "b"))[0] is Code.GROUP_LEN_ERROR
    town.group("delete", "a")
    assert town.group("create", "b").outcome == "created"


def test_what_always_exists_can_be_changed_but_not_deleted_or_renamed() -> None:
    town = Town()
    for recursive in (False, True):
        assert refusal(town.group("delete", DEFAULT_GROUP, recursive=recursive))[0] is Code.GROUP_NAME_ERROR
        assert refusal(town.permission("delete", DEFAULT_PERMISSION, recursive=recursive))[0] is Code.GROUP_NAME_ERROR
    assert refusal(town.permission("change", DEFAULT_PERMISSION, new_name="all"))[0] is Code.GROUP_NAME_ERROR
    assert town.group("change", DEFAULT_GROUP, description="everybody").outcome == "changed"
    assert town.permission("change", DEFAULT_PERMISSION, info={"a": 1}).outcome == "changed"
    assert town.people.site.groups[DEFAULT_GROUP].description == "everybody"
    assert town.people.site.permissions[DEFAULT_PERMISSION].info == {"a": 1}


def test_a_deleted_group_is_one_record_and_is_taken_from_people_who_stay_enrolled() -> None:
    town = Town()
    town.group("create", "staff")
    town.enrol("ada", 1, group_names=("staff",))
    town.enrol("bea", 2, group_names=("staff", DEFAULT_GROUP))
    group = town.people.site.group_named("staff")
    assert group is not None
    decision = town.group("delete", "staff")
    assert decision.others == ((site_key(site_key_of(group)), None),)
    assert decision.answer == GroupAnswer(group_id=group.group_id, name="staff")
    assert (town.groups_of("ada"), town.groups_of("bea")) == ((), (DEFAULT_GROUP,))
    town.group("create", "staff")
    assert town.groups_of("ada") == (), "a new group of the same name is another group"


def test_who_is_in_that_group_only_is_deleted_with_it_and_with_photos() -> None:
    town = Town()
    town.group("create", "staff")
    town.group("create", "guests")
    town.enrol("ada", 1, group_names=("staff",))
    town.enrol("bea", 2, group_names=("staff", DEFAULT_GROUP))
    town.enrol("cleo", 3, group_names=("staff", "guests"))
    town.enrol("dan", 4, group_names=(DEFAULT_GROUP,))
    town.group("delete", "guests")
    decision = town.group("delete", "staff", recursive=True)
    assert isinstance(decision.answer, GroupAnswer)
    assert decision.answer.people_deleted == 2, "guests was deleted, so cleo was in no other group"
    assert decision.photos == ((b"photo/ada/0", None), (b"photo/cleo/0", None))
    assert {p.identity_id for p in town.people.everybody()} == {"bea", "dan"}
    assert town.people.faces_count == 2
    assert town.people.snapshot().gallery.count(Scope(None)) == 2


def test_more_people_than_one_call_deletes_are_refused_and_nothing_is_done() -> None:
    town = Town(policy=Policy(max_recursive_delete=2))
    town.group("create", "staff")
    town.permission("create", "day", permission_id="day")
    for number, name in enumerate(("ada", "bea", "cleo")):
        town.enrol(name, number, group_names=("staff",), info={"permission_ids": ["day"]})
    for decision in (
        town.group("delete", "staff", recursive=True),
        town.permission("delete", "day", recursive=True),
    ):
        code, message = refusal(decision)
        assert code is Code.GROUP_LEN_ERROR
        assert "at most 2 people" in message
    assert len(town.people) == 3
    assert town.people.site.group_named("staff") is not None
    town.members("remove", "staff", "ada")
    assert town.group("delete", "staff", recursive=True).outcome == "deleted"
    assert [p.identity_id for p in town.people.everybody()] == ["ada"]


def test_a_refused_deletion_looks_at_no_more_people_than_it_may_delete() -> None:
    looked_at = 0

    class Crowd:
        def everybody(self) -> Iterator[PersonRecord]:
            nonlocal looked_at
            for number in count():
                looked_at += 1
                yield PersonRecord(identity_id=str(number), group_ids=("g",), info={}, faces=(), next_face=0)

    with pytest.raises(Refused):
        with_this_only(cast("PeopleNow", Crowd()), lambda person: person.group_ids, "g", {"g": None}, most=5)
    assert looked_at == 6


# Permissions.


def test_a_permission_is_found_by_its_id_or_else_by_its_name() -> None:
    town = Town()
    town.permission("create", "day", permission_id="p1")
    town.permission("create", "night")
    changed = town.permission("change", "night", permission_id="p1", description="by id").answer
    assert isinstance(changed, PermissionAnswer)
    assert (changed.permission_id, changed.name) == ("p1", "day")
    by_name = town.permission("change", "day", description="by name").answer
    assert isinstance(by_name, PermissionAnswer)
    assert by_name.permission_id == "p1"


def test_a_permission_is_renamed_only_to_a_name_that_is_free() -> None:
    town = Town()
    town.permission("create", "day", permission_id="p1")
    town.permission("create", "night", permission_id="p2")
    assert refusal(town.permission("change", permission_id="p1", new_name="night"))[0] is Code.GROUP_NAME_ERROR
    assert refusal(town.permission("change", permission_id="p1", new_name="0"))[0] is Code.GROUP_NAME_ERROR
    assert town.permission("change", permission_id="p1", new_name="day").outcome == "changed"
    assert town.permission("change", permission_id="p1", new_name="week").outcome == "changed"
    assert town.people.site.permission_named("day") is None
    assert town.people.site.permissions["p1"].name == "week"
    assert town.permission("create", "day").outcome == "created"


def test_the_name_and_the_id_of_a_new_permission_must_be_free() -> None:
    town = Town()
    town.permission("create", "day", permission_id="p1")
    assert refusal(town.permission("create", "day"))[0] is Code.GROUP_NAME_ERROR
    assert refusal(town.permission("create", "night", permission_id="p1"))[0] is Code.GROUP_NAME_ERROR
    assert refusal(town.permission("create", "night", permission_id=DEFAULT_PERMISSION))[0] is Code.GROUP_NAME_ERROR
    assert refusal(town.permission("create", permission_id="p2"))[0] is Code.PARAM_ERROR


def test_a_new_permission_gives_nobody_what_the_deletion_of_another_took() -> None:
    town = Town()
    town.permission("create", "day", permission_id="p1")
    town.enrol("ada", 1, info={"permission_ids": ["p1"]})
    town.permission("delete", permission_id="p1")
    assert refusal(town.permission("create", "day", permission_id="p1"))[0] is Code.GROUP_NAME_ERROR
    assert town.permission("create", "day").outcome == "created"
    town.permission("create", "night", permission_id="p2")
    device = DeviceRecord(
        device_id="d", name="door", address="10.0.0.1", device_type="photo", group_id=DEFAULT_GROUP, permission_id="p2"
    )
    town.write([(site_key(site_key_of(device)), encode(device))])
    town.permission("delete", permission_id="p2")
    assert refusal(town.permission("create", "night", permission_id="p2"))[0] is Code.GROUP_NAME_ERROR


def test_who_has_that_permission_only_is_deleted_with_it() -> None:
    town = Town()
    town.permission("create", "day", permission_id="p1")
    town.permission("create", "night", permission_id="p2")
    town.enrol("ada", 1, info={"permission_ids": ["p1"]})
    town.enrol("bea", 2, info={"permission_ids": ["p1", "p2"]})
    town.enrol("cleo", 3)
    decision = town.permission("delete", "day", recursive=True)
    assert decision.answer == PermissionAnswer(permission_id="p1", name="day", people_deleted=1)
    assert {p.identity_id for p in town.people.everybody()} == {"bea", "cleo"}


# All of them.


def requests() -> list[Request]:
    common: dict[str, Any] = {"request_id": "r", "received_time_s": 1.0}
    return [
        GroupRequest(**common, action="create", name="staff"),
        PermissionRequest(**common, action="create", name="day"),
        MembersRequest(**common, action="add", group_name=DEFAULT_GROUP, identity_ids=("ada",)),
    ]


@pytest.mark.parametrize("request_", requests(), ids=lambda request: type(request).__name__)
def test_nothing_is_decided_while_a_record_of_the_people_cannot_be_read(request_: Request) -> None:
    town = Town()
    town.enrol("ada", 1)
    town.write([(b"group/x", b"damaged")])
    assert town.decide(request_).refusal == PEOPLE_UNREADABLE
    assert town.people.site.group_named("staff") is None


@pytest.mark.parametrize("request_", requests(), ids=lambda request: type(request).__name__)
def test_what_nobody_waits_for_any_more_has_expired(request_: Request) -> None:
    call = call_of(request_)
    decision = call.refuse(request_, Refusal(Code.TIMEOUT, "late"), Town().people.snapshot(), context())
    assert decision.outcome == "expired"
    assert call.event(request_, decision, context(), circumstances(call, request_)).outcome == "expired"


def test_the_event_names_the_object_and_the_people_who_were_changed() -> None:
    town = Town()
    town.group("create", "staff")
    town.enrol("ada", 1, group_names=("staff",))
    request = GroupRequest(request_id="r", received_time_s=1.0, action="delete", name="staff", recursive=True)
    decision, call = town.decide(request), call_of(request)
    event = call.event(request, decision, context(), circumstances(call, request))
    assert (call.event_type, event.kind, event.outcome) == ("picturematch.site.v1", "group", "deleted")
    assert (event.name, event.identity_ids, event.identity_id) == ("staff", ("ada",), "")
    by_id = PermissionRequest(request_id="r", received_time_s=1.0, action="delete", permission_id="p9")
    decision, call = town.decide(by_id), call_of(by_id)
    event = call.event(by_id, decision, context(), circumstances(call, by_id))
    assert (event.outcome, event.name) == ("refused", "p9")
