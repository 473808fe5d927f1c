"""The people calls (docs/interface.md)."""

import asyncio
import base64
from typing import Any

import pytest
from msgspec import structs

from contract.answers import Answer, RefusedAnswer
from contract.http import USERS_PATH
from contract.people.site import GroupRecord, PermissionRecord
from contract.pictures.limits import PictureSettings
from contract.requests import DeleteRequest, EnrolRequest, Request
from tests.support.waiting import until
from tests.wire.harness import HttpReply, Serving, Site, add_person, answer_well


def enrolment(site: Site, **fields: Any) -> dict[str, Any]:
    whole = {"identity_id": "666666", "reg_photo": site.picture_base64, "info": {"name": "Ada"}, **fields}
    return {name: value for name, value in whole.items() if value is not ...}


async def test_a_post_enrols_and_answers_the_golden_json(site: Site) -> None:
    site.people.version = 7
    reply = await site.users(
        "POST", enrolment(site, group_name="default_group, staff", info={"name": "Ada", "room": 7})
    )
    assert reply.code == 200
    assert reply.json == {
        "data": {
            "identity_id": "666666",
            "group_name": "default_group,staff",
            "reg_photo": site.picture_base64,
            "info": {"user_id": "666666", "name": "Ada", "room": 7},
        }
    }
    assert reply.headers["x-gallery-version"] == "7"
    (request,) = site.requests
    assert request == EnrolRequest(
        request_id=reply.headers["x-request-id"],
        identity_id="666666",
        received_time_s=request.received_time_s,
        group_names=("default_group", "staff"),
        photo=site.picture,
        info={"name": "Ada", "room": 7},
    )
    assert site.records[0].key == b"666666"


async def test_a_post_that_brings_no_picture_enrols_without_a_face(site: Site) -> None:
    reply = await site.users("POST", enrolment(site, reg_photo=..., need_bring_pic=False))
    assert (reply.code, reply.json["data"]["reg_photo"]) == (200, "")
    (request,) = site.requests
    assert isinstance(request, EnrolRequest)
    assert (request.photo, request.need_bring_pic) == (None, False)


async def test_an_empty_group_is_an_absent_one_and_a_feature_without_import_is_not_looked_at(site: Site) -> None:
    assert (await site.users("POST", enrolment(site, group_name="", fiqa_level="", feature="none"))).code == 200
    (request,) = site.requests
    assert isinstance(request, EnrolRequest)
    assert (request.group_names, request.quality_level, request.feature) == (None, None, None)


async def test_a_user_id_of_the_back_end_s_own_is_kept(site: Site) -> None:
    reply = await site.users("POST", enrolment(site, info={"user_id": "emp-4"}))
    assert reply.json["data"]["info"] == {"user_id": "emp-4"}


async def test_everything_that_a_post_says_reaches_the_log(site: Site) -> None:
    reply = await site.users(
        "POST",
        enrolment(
            site,
            group_name=None,
            import_mode=True,
            feature=[1, -0.5],
            feature_model="network+1",
            ignore_exist=True,
            support_single_face=True,
            create_no_exit_permission=True,
            fiqa_level="high",
            info={"name": "阿达", "type": 5, "permission_ids": ["a", "b"], "valid_from": 5, "valid_until": 5.5},
        ),
    )
    assert reply.code == 200
    (request,) = site.requests
    assert isinstance(request, EnrolRequest)
    assert request.group_names is None, "the processor knows what it is when absent"
    assert (request.feature, request.feature_model) == ((1.0, -0.5), "network+1")
    assert request.photo == site.picture
    assert (request.ignore_exist, request.support_single_face, request.create_no_exit_permission) == (True,) * 3
    assert request.quality_level == "high"
    validity = {"valid_from": 5, "valid_until": 5.5}
    assert request.info == {"name": "阿达", "type": 5, "permission_ids": ["a", "b"], **validity}


async def test_null_reaches_the_log_for_members_that_can_be_removed_and_is_absent_for_the_others(site: Site) -> None:
    removed = {"valid_from": None, "valid_until": None, "room": None}
    kept = {"name": None, "type": None, "permission_ids": None}
    for method, more in (("PUT", {"identity_id": "7"}), ("POST", enrolment(site, ignore_exist=True))):
        assert (await site.users(method, {**more, "info": {**removed, **kept, "floor": 2}})).code == 200
    assert [getattr(request, "info", None) for request in site.requests] == [{**removed, "floor": 2}] * 2


async def test_a_feature_alone_enrols(site: Site) -> None:
    reply = await site.users("POST", enrolment(site, reg_photo="", import_mode=True, feature=[0.5] * 512))
    assert reply.code == 200


async def test_a_put_changes_only_what_it_names(site: Site) -> None:
    reply = await site.users("PUT", {"identity_id": "666666", "reg_photo": "", "info": {"room": 8}})
    assert reply.code == 200
    assert reply.json == {
        "data": {
            "identity_id": "666666",
            "image_id": "",
            "group_name": ["default_group"],
            "info": {"user_id": "666666", "room": 8, "image_id": ""},
        }
    }
    (request,) = site.requests
    assert isinstance(request, EnrolRequest)
    assert (request.update, request.photo, request.group_names, request.info) == (True, None, None, {"room": 8})


async def test_a_put_with_a_photo_names_the_new_face(site: Site) -> None:
    reply = await site.users("PUT", enrolment(site))
    assert (reply.json["data"]["image_id"], reply.json["data"]["info"]["image_id"]) == ("666666-1",) * 2


async def test_a_photo_with_too_many_pixels_is_refused(serving: Serving) -> None:
    async with serving(pictures=PictureSettings(max_pixels=1000)) as site:
        assert (await site.users("POST", enrolment(site))).code == 40007


async def test_a_delete_of_one_person(site: Site) -> None:
    reply = await site.users("DELETE", {"identity_id": "7"})
    assert reply.code == 200
    assert reply.json == {
        "data": {"identity_id": "7", "group_name": ["default_group"], "message": "have remove from group success"}
    }
    assert reply.headers["x-gallery-version"] == "7"
    (request,) = site.requests
    assert isinstance(request, DeleteRequest)
    assert (request.request_id, request.identity_id) == (reply.headers["x-request-id"], "7")


async def test_a_delete_of_a_list_is_one_request_each_and_goes_as_far_as_it_can(serving: Serving) -> None:
    async def some(request: Request) -> Answer | None:
        if isinstance(request, DeleteRequest) and request.identity_id == "8":
            return RefusedAnswer(code=40401, message="nobody")
        return await answer_well(request)

    async with serving(some) as site:
        reply = await site.users("DELETE", {"identity_ids": ["7", "8", "9", "7"]})
        assert reply.code == 200
        assert reply.json == {
            "data": {
                "identity_ids": ["7", "9"],
                "failed": [
                    {"identity_id": "8", "error": {"code": 40401, "message": "nobody", "status": "ID_NOT_FOUND"}}
                ],
                "message": "have remove from group success",
            }
        }
        assert [request.request_id for request in site.requests] == [
            f"{reply.headers['x-request-id']}-{number}" for number in (1, 2, 3)
        ]
        assert (await site.users("DELETE", {"identity_ids": ["8"]})).code == 40401


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"identity_id": "7", "identity_ids": ["8"]},
        {"identity_ids": []},
        {"identity_ids": "7"},
        {"identity_ids": [7]},
        {"identity_ids": ["a/b"]},
        {"identity_ids": [str(number) for number in range(1001)]},
    ],
    ids=range(7),
)
async def test_a_delete_that_names_nobody_is_refused(site: Site, body: Any) -> None:
    assert (await site.users("DELETE", body)).code == 40091
    assert site.requests == []


async def get(site: Site, query: str = "") -> HttpReply:
    return await site.call("GET", f"{USERS_PATH}{query}")


async def test_a_get_lists_people_with_their_photos(site: Site) -> None:
    await add_person(site, "7", site.picture)
    await add_person(site, "8")
    reply = await get(site)
    assert reply.code == 200
    assert reply.headers["x-gallery-version"] == "0"
    info = {"type": 1, "permission_ids": ["0"]}
    assert reply.json == {
        "data": {
            "identities_list": [
                {
                    "identity_id": "7",
                    "group_name": ["default_group"],
                    "reg_photo": base64.b64encode(site.picture).decode(),
                    "info": {"user_id": "7", "name": "7", **info, "image_id": "7-0"},
                },
                {
                    "identity_id": "8",
                    "group_name": ["default_group"],
                    "reg_photo": "",
                    "info": {"user_id": "8", "name": "8", **info, "image_id": "8-0"},
                },
            ],
            "pagination": {"skip_num": 0, "limit": 10, "num_pages": 1, "total_count": 2},
        }
    }


async def test_a_get_shows_only_permissions_that_exist(site: Site) -> None:
    await add_person(site, "7")
    site.people.persons["7"].info["permission_ids"] = ["gone", "0"]
    (person,) = (await get(site)).json["data"]["identities_list"]
    assert person["info"]["permission_ids"] == ["0"]
    (person,) = (await get(site, "?identity_id=7")).json["data"]["identities_list"]
    assert person["info"]["permission_ids"] == ["0"]
    assert site.people.persons["7"].info["permission_ids"] == ["gone", "0"]


async def test_a_get_is_paged_and_scoped(site: Site) -> None:
    for number in range(30):
        await add_person(site, f"{number:02}")

    async def ids(query: str) -> list[str]:
        return [person["identity_id"] for person in (await get(site, query)).json["data"]["identities_list"]]

    assert await ids("") == [f"{number:02}" for number in range(10)]
    assert await ids("?limit=3&skip_num=28&group_name=default_group") == ["28", "29"]
    assert await ids("?identity_id=05") == ["05"]
    assert await ids("?limit=&skip_num=&group_name=") == await ids("?")


async def test_a_get_lists_those_who_meet_every_condition_of_the_query(site: Site) -> None:
    staff, day = GroupRecord(group_id="g1", name="staff"), PermissionRecord(permission_id="p1", name="day")
    site.people.site = site.people.site.put(staff).put(day)
    for name, group, kind, permission in [
        ("Ada", "g1", 1, "p1"),
        ("adam", "g1", 3, "0"),
        ("Bea", "g1", 3, "p1"),
        ("ADA", "default_group", 1, "p1"),
    ]:
        await add_person(site, name)
        info = {"name": name, "type": kind, "permission_ids": [permission]}
        site.people.persons[name] = structs.replace(site.people.persons[name], group_ids=(group,), info=info)

    async def found(query: str) -> tuple[list[str], int]:
        data = (await get(site, query)).json["data"]
        return [one["identity_id"] for one in data["identities_list"]], data["pagination"]["total_count"]

    assert await found("?name=ada") == (["ADA", "Ada", "adam"], 3)
    assert await found("?name=ada&limit=1&skip_num=1") == (["Ada"], 3)
    assert await found("?group_name=staff&name=ada") == (["Ada", "adam"], 2)
    assert await found("?permission_id=p1&group_name=staff") == (["Ada", "Bea"], 2)
    assert await found("?type=3&permission_id=p1&group_name=staff&name=e") == (["Bea"], 1)
    assert await found("?type=2") == ([], 0)
    assert await found("?name=&type=&permission_id=") == (["ADA", "Ada", "Bea", "adam"], 4)


async def test_a_page_names_its_place_in_the_whole_list(site: Site) -> None:
    for number in range(21):
        await add_person(site, f"{number:02}")

    async def place(query: str) -> Any:
        return (await get(site, query)).json["data"]["pagination"]

    assert await place("") == {"skip_num": 0, "limit": 10, "num_pages": 3, "total_count": 21}
    assert await place("?skip_num=40&limit=7") == {"skip_num": 40, "limit": 7, "num_pages": 3, "total_count": 21}
    assert await place("?identity_id=07") == {"skip_num": 0, "limit": 10, "num_pages": 1, "total_count": 1}


async def test_unknown_names_in_a_query_are_counted(site: Site) -> None:
    assert (await get(site, "?identity=7&page=1")).code == 200
    assert site.metric("picturematch_http_unknown_fields_total") == 2


async def test_a_query_that_is_no_utf_8_finds_nobody(site: Site) -> None:
    assert (await get(site, "?%ff=%ff&identity_id=%ed%a0%80")).code == 40401


async def test_photos_are_listed_up_to_a_bound_of_bytes(serving: Serving) -> None:
    async with serving(max_listed_photo_bytes=10_000) as site:
        for name in "abc":
            await add_person(site, name, b"\xff" * 4_000)
        photos = [person["reg_photo"] for person in (await get(site)).json["data"]["identities_list"]]
        assert [len(photo) for photo in photos] == [5336, 5336, 0]
        without = (await get(site, "?need_bring_pic=false")).json["data"]["identities_list"]
        assert {person["reg_photo"] for person in without} == {""}


async def test_a_get_waits_for_what_was_written_through_this_server(site: Site) -> None:
    await site.users("POST", enrolment(site))
    call = asyncio.create_task(get(site))
    await asyncio.sleep(0.05)
    assert not call.done()
    site.people.version = 7
    assert (await call).headers["x-gallery-version"] == "7"


async def test_a_get_that_cannot_catch_up_is_a_timeout(serving: Serving) -> None:
    async with serving(deadline_ms=150) as site:
        await site.users("POST", enrolment(site))
        assert (await get(site)).code == 50480


async def test_what_the_gallery_said_travels_with_later_requests(site: Site) -> None:
    site.gallery_version = 42
    await site.users("POST", enrolment(site))
    await site.match()
    await until(lambda: len(site.records) == 2)
    assert [record.header("gallery_version") for record in site.records] == [b"0", b"42"]
