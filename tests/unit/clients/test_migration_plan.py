"""What a migration makes of a box's answers: the calls that enrol here, or the reason why there is none."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clients.migration.answers import (
    BadAnswer,
    BoxDevice,
    BoxPerson,
    devices_of,
    groups_of,
    identified_of,
    people_of,
    permissions_of,
)
from clients.migration.plan import Scopes, is_enrolled, is_registered, plan_device, plan_person
from clients.migration.report import LeftOut

FIELDS = ("identity_id", "info", "name", "groupname", "_id", "group_name", "reg_photo", "description", "device_key")
values = st.sampled_from([None, True, 0, 1.5, "", "a", "a,b", [], ["a", 1], {}, {"name": "a"}, {"permission_ids": 3}])
entry = values | st.dictionaries(st.sampled_from(FIELDS), values, max_size=4)
answer = values | st.lists(entry, max_size=3)
READERS = {
    "groups_list": groups_of,
    "permissions_list": permissions_of,
    "identities_list": people_of,
    "devices_list": devices_of,
}


@given(st.sampled_from(sorted(READERS)), answer)
def test_every_entry_of_any_answer_is_read_or_left_out(name: str, listed: Any) -> None:
    for given_answer in ({"data": {name: listed}}, {"data": listed}, {name: listed}, {}):
        try:
            good, bad = READERS[name](given_answer)
        except BadAnswer:
            assert not isinstance(listed, list) or given_answer != {"data": {name: listed}}
        else:
            assert len(good) + len(bad) == len(listed)


@given(answer)
def test_the_ids_of_any_answer_are_texts(listed: Any) -> None:
    try:
        found = identified_of({"data": listed}, "a")
        assert all(isinstance(one.box_id, str) and one.box_id and "name" not in one.info for one in found)
    except BadAnswer:
        assert not isinstance(listed, list)


def entries(name: str, *listed: Any) -> dict[str, Any]:
    return {"data": {name: list(listed)}}


def test_the_groups_of_old_and_new_boxes_are_read() -> None:
    groups, bad = groups_of(
        entries(
            "groups_list", {"name": "a", "description": "x"}, {"groupname": "b", "group_id": "7"}, {"group_id": "8"}
        )
    )
    assert [(group.name, group.description, group.box_id) for group in groups] == [("a", "x", None), ("b", "", "7")]
    assert bad == [LeftOut("group", "entry 3 of a page", "the box's entry has no name")]


def test_the_groups_of_a_person_may_be_a_list_or_a_text() -> None:
    people, _ = people_of(
        entries(
            "identities_list",
            {"identity_id": "1", "group_name": ["a", 5, "b", "a"], "info": {}},
            {"identity_id": "2", "group_name": "a,b", "info": {"permission_ids": [3, "", None, "4"]}},
            {"identity_id": "3", "info": {"permission_ids": []}},
            {"identity_id": "4", "group_name": "", "info": {"permission_ids": None}},
        )
    )
    assert [person.group_names for person in people] == [("a", "b"), ("a", "b"), (), ()]
    assert [person.in_no_group for person in people] == [False, False, False, True]
    assert [person.permission_ids for person in people] == [None, ("3", "4"), (), None]


def test_a_person_whose_permissions_are_no_list_is_left_out() -> None:
    _, bad = people_of(entries("identities_list", {"identity_id": "1", "info": {"permission_ids": "4"}}))
    assert bad == [LeftOut("person", "1", "the box's entry has an info.permission_ids that is no list")]


def test_the_info_of_a_group_or_permission_is_read_with_its_id() -> None:
    info = {"name": "day", "description": "x", "colour": "red", "nothing": None, "pass_times": []}
    (found,) = identified_of({"data": [{"_id": "7", "info": info}, {"_id": "8", "info": {"name": "days"}}]}, "day")
    assert (found.box_id, found.description, found.info) == ("7", "x", {"colour": "red", "pass_times": []})


def known() -> Scopes:
    """Group a and permissions day and night, which have other ids here than at the box."""
    return Scopes(
        groups={"a": "here-a", "default_group": "default_group"},
        group_names={"box-a": "a", "box-lost": "lost"},
        permissions={"day": "here-day", "night": "here-night"},
        permission_names={"box-day": "day", "box-night": "night", "box-lost": "lost"},
    )


def person(*groups: str, photo: str = "cGhvdG8=", **info: Any) -> BoxPerson:
    return BoxPerson("ann", groups or ("a",), info, photo)


def body(*groups: str, **info: Any) -> Any:
    return plan_person(person(*groups, **info), known(), None, update=False).body


@pytest.mark.parametrize(
    ("at_the_box", "here"),
    [
        (["box-day", "box-night"], ["here-day", "here-night"]),
        (["box-day", "day"], ["here-day"]),
        (["0"], ["0"]),
        (["0", "box-lost"], ["0"]),
        ([], []),
        ([""], []),
        (None, ["0"]),
    ],
)
def test_the_permissions_of_a_person_are_those_of_the_same_names(at_the_box: Any, here: list[str]) -> None:
    assert body(permission_ids=at_the_box)["info"]["permission_ids"] == here


def test_a_person_whose_only_permission_is_lost_gets_no_other_one() -> None:
    planned = plan_person(person(permission_ids=["box-lost"]), known(), None, update=False)
    assert planned.body is None
    assert planned.left_out == (LeftOut("person", "ann", "nothing remains without permission lost"),)


def test_fields_that_a_box_adds_to_the_info_are_not_sent_and_all_others_are() -> None:
    sent = body(name="Ann", user_id="ann", image_id="7", face_ids=["1"], room="12", ext_info={"title": "x"})["info"]
    assert sent == {"name": "Ann", "room": "12", "ext_info": {"title": "x"}, "permission_ids": ["0"]}


def test_the_options_are_sent() -> None:
    plain = body()
    assert (plain["ignore_exist"], plain["support_single_face"], "fiqa_level" in plain) == (False, False, False)
    sent = plan_person(person(), known(), "no", update=True).body
    assert sent is not None
    assert (sent["ignore_exist"], sent["support_single_face"], sent["fiqa_level"]) == (True, True, "no")


@pytest.mark.parametrize(
    ("here", "same"),
    [
        (BoxPerson("ann", ("b", "a"), {"name": "Ann", "permission_ids": ["2", "1"], "more": 1}, "cGhvdG8"), True),
        (BoxPerson("ann", ("a",), {"name": "Ann", "permission_ids": ["1", "2"]}, "cGhv\ndG8=\n"), True),
        (BoxPerson("ann", ("b",), {"name": "Ann", "permission_ids": ["1", "2"]}, "cGhvdG8="), False),
        (BoxPerson("ann", ("a",), {"name": "Anne", "permission_ids": ["1", "2"]}, "cGhvdG8="), False),
        (BoxPerson("ann", ("a",), {"name": "Ann", "permission_ids": ["1"]}, "cGhvdG8="), False),
        (BoxPerson("ann", ("a",), {"name": "Ann", "permission_ids": ["1", "2"]}, "other"), False),
        (BoxPerson("ann", ("a",), {"permission_ids": ["1", "2"]}, "cGhvdG8="), False),
    ],
)
def test_a_person_is_enrolled_where_groups_info_and_photo_are_as_they_would_be(here: BoxPerson, same: bool) -> None:
    wanted = {"group_name": "a", "info": {"name": "Ann", "permission_ids": ["1", "2"]}}
    assert is_enrolled({**wanted, "reg_photo": "data:image/jpeg;base64,cGhvdG8="}, here) is same


@pytest.mark.parametrize(
    ("ids", "same"), [({}, True), ({"permission_ids": ["0"]}, True), ({"permission_ids": []}, False)]
)
def test_a_person_without_permissions_is_not_one_with_the_default_permission(ids: Any, same: bool) -> None:
    wanted = {"group_name": "a", "info": {"permission_ids": ["0"]}, "reg_photo": "cGhvdG8="}
    assert is_enrolled(wanted, BoxPerson("ann", ("a",), ids, "cGhvdG8=")) is same


@pytest.mark.parametrize(
    ("faces", "left"), [(None, None), ([], None), (["1"], None), (["1", "2", "3"], "2 further faces")]
)
def test_the_faces_that_are_left_behind_are_counted(faces: Any, left: str | None) -> None:
    left_out = plan_person(person(face_ids=faces), known(), None, update=False).left_out
    assert [(one.kind, one.name) for one in left_out] == ([] if left is None else [("face", "ann")])
    assert left is None or left_out[0].reason.startswith(left)


def device(**fields: Any) -> BoxDevice:
    whole = {"device_key": "10.0.0.1", "device_ip": "10.0.0.1", "group_id": "box-a", "permission_id": "box-day"}
    return BoxDevice("gate", "10.0.0.1", {**whole, "netRelay": {"ip": "10.0.0.7"}, **fields})


def test_a_device_is_registered_with_the_ids_of_this_server_and_its_other_fields() -> None:
    assert plan_device(device(), known()) == {
        "device_type": "photo",
        "device_name": "gate",
        "device_key": "10.0.0.1",
        "group_id": "here-a",
        "permission_id": "here-day",
        "netRelay": {"ip": "10.0.0.7"},
    }


def test_a_device_of_the_box_is_compared_in_the_spelling_that_this_server_answers() -> None:
    listed = {"device_name": "gate", "device_key": "Gate-1", "group_id": "box-a", "permission_id": "box-day"}
    video = {**listed, "device_type": "rtsp", "device_key": "rtsp://Gate-1/S"}
    (read, film), bad = devices_of({"data": {"devices_list": [listed, video]}})
    assert (read.address, read.fields["device_key"], film.address, bad) == ("gate-1", "gate-1", "rtsp://Gate-1/S", [])
    entry = plan_device(read, known())
    assert not isinstance(entry, LeftOut)
    assert is_registered(entry, BoxDevice("gate", "gate-1", {**entry, "device_key": "gate-1"}))


@pytest.mark.parametrize(
    ("fields", "scope"),
    [
        ({"permission_id": "night"}, ("here-a", "here-night")),
        ({"permission_id": ""}, ("here-a", "0")),
        ({"group_id": "default_group"}, ("default_group", "here-day")),
    ],
)
def test_a_device_may_name_its_scope_by_id_or_by_name(fields: dict[str, Any], scope: tuple[str, str]) -> None:
    entry = plan_device(device(**fields), known())
    assert not isinstance(entry, LeftOut)
    assert (entry["group_id"], entry["permission_id"]) == scope


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"group_id": "box-lost"}, "its group box-lost could not be taken"),
        ({"group_id": None}, "its group (none) could not be taken"),
        ({"permission_id": "box-lost"}, "its permission lost could not be taken"),
    ],
)
def test_a_device_whose_scope_was_not_taken_is_left_out(fields: dict[str, Any], reason: str) -> None:
    assert plan_device(device(**fields), known()) == LeftOut("device", "10.0.0.1", reason)


@pytest.mark.parametrize(
    ("other", "same"),
    [
        ({"device_id": "7", "device_ip": "x", "is_start_rtmp": False, "rtmp_address": "", "device_attr": {}}, True),
        ({"liveness_floor": "liveness_rgb", "min_face_size": 80}, True),
        ({"device_name": "other"}, False),
        ({"device_type": "rtsp"}, False),
        ({"group_id": "default_group"}, False),
        ({"permission_id": "0"}, False),
        ({"netRelay": {"ip": "10.0.0.8"}}, False),
        ({"netRelay": {}}, False),
        ({"device_attr": {"actions": {}}}, False),
        ({"is_start_rtmp": True}, False),
        ({"rtmp_address": "rtmp://x"}, False),
        ({"quality_level": "low"}, False),
    ],
)
def test_a_device_is_registered_already_where_every_field_that_would_be_sent_is_equal(other: Any, same: bool) -> None:
    entry = plan_device(device(quality_level="high", is_start_rtmp=None), known())
    assert not isinstance(entry, LeftOut)
    assert is_registered(entry, BoxDevice("gate", "10.0.0.1", {**entry, **other})) is same
