"""The calls of groups, members and permissions (docs/interface.md)."""

from typing import Any

import pytest

from contract.answers import Answer, RefusedAnswer
from contract.http import GROUP_IDS_PATH, GROUP_USERS_PATH, GROUPS_PATH, PERMISSION_IDS_PATH, PERMISSIONS_PATH
from contract.people.site import GroupRecord, PermissionRecord
from contract.requests import Request
from contract.site_requests import GroupRequest, MembersRequest, PermissionRequest
from tests.wire.harness import Serving, Site, add_person, answer_well

PASS_TIMES = [{"days": [1, 2], "from": "08:00", "to": "18:00"}]
FAMILIES = [(GROUPS_PATH, "group_name"), (PERMISSIONS_PATH, "permission_name")]


def put_groups(site: Site, *names: str) -> None:
    for number, name in enumerate(names):
        site.people.site = site.people.site.put(
            GroupRecord(group_id=f"g{number}", name=name, description=f"about {name}", info={"floor": number})
        )


def put_permissions(site: Site, *names: str) -> None:
    for number, name in enumerate(names):
        site.people.site = site.people.site.put(PermissionRecord(permission_id=f"p{number}", name=name))


# Changes.


@pytest.mark.parametrize(("method", "action"), [("POST", "create"), ("PUT", "change")])
async def test_a_group_is_created_or_changed_and_answered_as_the_vendor_answers(
    site: Site, method: str, action: Any
) -> None:
    body = {"group_name": " 研发 ", "description": "", "info": {"floor": 3, "room": None}}
    reply = await site.call(method, GROUPS_PATH, json=body)
    assert reply.code == 200
    assert reply.json == {"data": {"info": {"floor": 3, "room": None, "name": "研发", "description": ""}}}
    assert reply.headers["x-gallery-version"] == "7"
    (request,) = site.requests
    assert request == GroupRequest(
        request_id=reply.headers["x-request-id"],
        received_time_s=request.received_time_s,
        action=action,
        name="研发",
        description="",
        info={"floor": 3, "room": None},
    )


@pytest.mark.parametrize(("method", "action"), [("POST", "create"), ("PUT", "change")])
async def test_a_permission_is_created_or_changed_with_its_pass_times(site: Site, method: str, action: Any) -> None:
    body = {"permission_name": "day", "description": "the day", "info": {"pass_times": PASS_TIMES}}
    reply = await site.call(method, PERMISSIONS_PATH, json=body)
    assert reply.json == {"data": {"info": {"pass_times": PASS_TIMES, "name": "day", "description": "the day"}}}
    (request,) = site.requests
    assert isinstance(request, PermissionRequest)
    assert (request.action, request.name, request.permission_id) == (action, "day", None)
    assert (request.description, request.info) == ("the day", {"pass_times": PASS_TIMES})


async def test_null_removes_the_pass_times_of_a_permission(site: Site) -> None:
    body = {"permission_name": "day", "description": "", "info": {"pass_times": None}}
    assert (await site.call("PUT", PERMISSIONS_PATH, json=body)).code == 200
    (request,) = site.requests
    assert isinstance(request, PermissionRequest)
    assert request.info == {"pass_times": None}


async def test_an_absent_info_changes_no_info(site: Site) -> None:
    for body in ({"group_name": "staff", "description": ""}, {"group_name": "staff", "description": "", "info": None}):
        assert (await site.call("PUT", GROUPS_PATH, json=body)).code == 200
    for request in site.requests:
        assert isinstance(request, GroupRequest)
        assert request.info is None


@pytest.mark.parametrize(("path", "field"), FAMILIES)
@pytest.mark.parametrize(
    ("recursive", "message"),
    [
        (False, "just delete the {} info,the user already exists"),
        (True, "delete the {} info and the user in the {}"),
    ],
)
async def test_a_deletion_says_how_many_people_it_deleted(
    site: Site, path: str, field: str, recursive: bool, message: str
) -> None:
    body = {field: "staff", "user_recursive_delete": recursive}
    reply = await site.call("DELETE", path, json=body)
    kind = field.removesuffix("_name")
    data = {field: "staff", "people_deleted": 3 if recursive else 0, "message": message.format(kind, kind)}
    assert reply.json == {"data": data}
    (request,) = site.requests
    assert isinstance(request, GroupRequest | PermissionRequest)
    assert (request.action, request.name, request.recursive) == ("delete", "staff", recursive)


@pytest.mark.parametrize(("method", "action"), [("PUT", "add"), ("DELETE", "remove")])
async def test_members_are_changed_and_the_unknown_are_named(site: Site, method: str, action: Any) -> None:
    body = {"group_name": "staff", "identity_id": ["ada", "nobody", "ada"]}
    reply = await site.call(method, GROUP_USERS_PATH, json=body)
    assert reply.code == 200
    assert set(reply.json["data"]) == {"group_name", "failed", "message"}
    (failed,) = reply.json["data"]["failed"]
    assert (failed["identity_id"], failed["error"]["code"], failed["error"]["status"]) == (
        "nobody",
        40401,
        "ID_NOT_FOUND",
    )
    (request,) = site.requests
    assert isinstance(request, MembersRequest)
    assert (request.action, request.group_name, request.identity_ids) == (action, "staff", ("ada", "nobody"))


async def test_everybody_in_the_group_is_listed_only_on_demand_and_after_the_change(site: Site) -> None:
    async def processor(request: Request) -> Answer | None:
        answer = await answer_well(request)
        site.people.site = site.people.site.put(GroupRecord(group_id="g-1", name="staff"))
        for who in ("cleo", "ada", "bea"):
            await add_person(site, who)
        for who in ("cleo", "ada"):
            person = site.people.persons[who]
            site.people.persons[who] = type(person)(
                identity_id=who, group_ids=("default_group", "g-1"), info={}, faces=(), next_face=0
            )
        site.people.version = site.gallery_version
        return answer

    site.script = processor
    body = {"group_name": "staff", "identity_id": ["ada"], "with_identity_id": True}
    for method in ("PUT", "DELETE"):
        reply = await site.call(method, GROUP_USERS_PATH, json=body)
        assert reply.json["data"]["identity_id"] == ["ada", "cleo"]


async def test_one_call_names_no_more_members_than_allowed(serving: Serving) -> None:
    async with serving(max_members=2) as site:
        body = {"group_name": "staff", "identity_id": ["a", "b", "a"]}
        assert (await site.call("PUT", GROUP_USERS_PATH, json=body)).code == 200
        reply = await site.call("PUT", GROUP_USERS_PATH, json={**body, "identity_id": ["a", "b", "c"]})
        assert reply.code == 40091
        assert "at most 2" in reply.json["error"]["message"]
        assert len(site.requests) == 1


@pytest.mark.parametrize("path", [GROUPS_PATH, PERMISSIONS_PATH])
async def test_a_refusal_of_the_processor_has_the_number_of_the_family(site: Site, path: str) -> None:
    async def refusing(request: Request) -> Answer | None:
        return RefusedAnswer(code=40400, message="no such thing exists")

    site.script = refusing
    name = "group_name" if path == GROUPS_PATH else "permission_name"
    reply = await site.call("DELETE", path, json={name: "nowhere"})
    assert (reply.code, reply.json["error"]["status"]) == (40491, "NOT_FOUND")


# Refusals.


@pytest.mark.parametrize(
    ("times", "words"),
    [
        ([], "info.pass_times must be a list"),
        ([{**PASS_TIMES[0], "days": [8]}], "info.pass_times[0].days"),
        ([PASS_TIMES[0], {**PASS_TIMES[0], "from": "8"}], "info.pass_times[1].from"),
    ],
)
async def test_bad_pass_times_are_refused_and_name_the_part(site: Site, times: Any, words: str) -> None:
    body = {"permission_name": "day", "description": "", "info": {"pass_times": times}}
    for method in ("POST", "PUT"):
        reply = await site.call(method, PERMISSIONS_PATH, json=body)
        assert reply.code == 40091
        assert reply.json["error"]["message"].startswith(words)
    assert site.requests == []


# Lists.


async def test_groups_are_listed_by_name_in_pages_of_ten_with_the_fields_of_all_versions(site: Site) -> None:
    put_groups(site, *(f"group {number:02}" for number in range(12, 0, -1)))
    site.people.version = 9
    reply = await site.call("GET", f"{GROUPS_PATH}?")
    data = reply.json["data"]
    assert [group["name"] for group in data["groups_list"]] == [
        "default_group",
        *(f"group {number:02}" for number in range(1, 10)),
    ]
    assert data["groups_list"][1] == {
        "group_id": "g11",
        "groupname": "group 01",
        "name": "group 01",
        "description": "about group 01",
        "version": "V2",
    }
    assert data["pagination"] == {"skip_num": 0, "limit": 10, "num_pages": 2, "total_count": 13}
    assert reply.headers["x-gallery-version"] == "9"
    rest = (await site.call("GET", f"{GROUPS_PATH}?skip_num=11&limit=5")).json["data"]
    assert [group["name"] for group in rest["groups_list"]] == ["group 11", "group 12"]
    assert rest["pagination"] == {"skip_num": 11, "limit": 5, "num_pages": 3, "total_count": 13}
    beyond = (await site.call("GET", f"{GROUPS_PATH}?skip_num=13")).json["data"]
    assert (beyond["groups_list"], beyond["pagination"]["total_count"]) == ([], 13)


async def test_one_group_or_permission_is_listed_by_its_name(site: Site) -> None:
    put_groups(site, "staff", "staff 2")
    put_permissions(site, "day", "day 2")
    groups = (await site.call("GET", GROUPS_PATH, params={"group_name": "staff"})).json["data"]
    assert [group["group_id"] for group in groups["groups_list"]] == ["g0"]
    assert groups["pagination"] == {"skip_num": 0, "limit": 10, "num_pages": 1, "total_count": 1}
    found = (await site.call("GET", PERMISSIONS_PATH, params={"permission_name": "day"})).json["data"]
    assert found["permissions_list"] == [{"permission_id": "p0", "name": "day", "description": ""}]


async def test_all_permissions_are_listed_where_no_page_is_asked_for(site: Site) -> None:
    put_permissions(site, *(f"p {number:02}" for number in range(30)))
    data = (await site.call("GET", PERMISSIONS_PATH)).json["data"]
    assert [each["name"] for each in data["permissions_list"]] == ["0", *(f"p {number:02}" for number in range(30))]
    assert data["pagination"]["total_count"] == 31


async def test_the_id_of_a_name_is_found_as_the_walk_through_looks_it_up(site: Site) -> None:
    put_permissions(site, "测试组", "测试组 2")
    reply = await site.call("GET", PERMISSION_IDS_PATH, params={"info.name": "测试组", "exact": "true"})
    assert reply.json["data"] == [{"_id": "p0", "info": {"name": "测试组", "description": ""}}]
    default = await site.call("GET", GROUP_IDS_PATH, params={"info.name": "default_group", "exact": "True"})
    assert default.json["data"] == [{"_id": "default_group", "info": {"name": "default_group", "description": ""}}]


async def test_an_unknown_name_is_a_success_without_entries(site: Site) -> None:
    for path in (GROUP_IDS_PATH, PERMISSION_IDS_PATH):
        for exact in ("true", "false"):
            reply = await site.call("GET", path, params={"info.name": "nowhere", "exact": exact})
            assert (reply.code, reply.json["data"], reply.json["pagination"]["total_count"]) == (200, [], 0)
            assert reply.json["pagination"]["num_pages"] == 0


async def test_without_exact_every_name_that_contains_the_text_is_found_with_its_info(site: Site) -> None:
    put_groups(site, "night staff", "guests", "staff")
    reply = await site.call("GET", GROUP_IDS_PATH, params={"info.name": "staff"})
    assert [found["_id"] for found in reply.json["data"]] == ["g0", "g2"]
    assert reply.json["data"][1]["info"] == {"name": "staff", "description": "about staff", "floor": 2}
    everything = (await site.call("GET", f"{GROUP_IDS_PATH}?limit=2&skip_num=1")).json
    assert [found["info"]["name"] for found in everything["data"]] == ["guests", "night staff"]
    assert everything["pagination"] == {"skip_num": 1, "limit": 2, "num_pages": 2, "total_count": 4}


async def test_a_list_waits_for_what_was_changed_through_this_server(serving: Serving) -> None:
    async with serving(deadline_ms=300) as site:
        body = {"group_name": "staff", "description": ""}
        assert (await site.call("POST", GROUPS_PATH, json=body)).code == 200
        for path in (GROUPS_PATH, PERMISSIONS_PATH, GROUP_IDS_PATH, PERMISSION_IDS_PATH):
            assert (await site.call("GET", path)).code == 50480
        site.people.version = site.gallery_version
        assert (await site.call("GET", GROUPS_PATH)).code == 200
