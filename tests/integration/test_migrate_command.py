"""`picturematch migrate` from a scripted box to another one that stands in for the server."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

import clients.http
from clients.errors import CannotRun
from clients.http import Client
from clients.migration.report import Report
from clients.migration.run import MigrateOptions, migrate
from clients.migration.state import State
from tests.support.box import Box, running_box
from tests.support.commands import Finished, run


async def no_sleep(_: float) -> None:
    return


async def migrated(box: Box, here: Box, folder: Path, **options: Any) -> Report:
    """Migrate within this process; the state file stays, as after an end that was not the last step."""
    async with running_box(box), running_box(here), Client(box.url) as source, Client(here.url) as client:
        with State(folder / "state.jsonl", "box", "here") as state:
            return await migrate(source, client, state, MigrateOptions(**options), lambda: None, no_sleep)


async def command(box: Box, here: Box, folder: Path, *options: object) -> Finished:
    where = ("--state", folder / "state.jsonl", "--report", folder / "report.json")
    return await run("migrate", "--from", box.url, "--to", here.url, *where, *options)


def reasons(report: Report) -> dict[tuple[str, str], str]:
    return {key: one.reason for key, one in report.left_out.items()}


def site() -> Box:
    """Two groups, two permissions, five people, two devices."""
    box = Box()
    box.group("staff", "g-staff", description="who works here")
    box.permission("day", "p-day")
    box.permission("night", "p-night")
    box.person("ann", "default_group", "staff", permission_ids=["p-day", "p-night"], room="12", user_id="ann")
    box.person("bo", "staff", permission_ids=["p-night"])
    box.person("cy", type=3)
    box.device("10.0.0.1", "g-staff", "p-night", device_name="gate")
    box.device("10.0.0.2", "default_group", "p-day", device_type="rtsp")
    return box


async def test_everything_is_taken_and_a_second_run_changes_nothing(tmp_path: Path) -> None:
    async with running_box(site()) as box, running_box(Box()) as here:
        here.permission("night", "here-night")
        first = await command(box, here, tmp_path)
        assert (first.status, first.err) == (0, "")
        assert here.groups["staff"]["description"] == "who works here"
        ids = {one["name"]: one["_id"] for one in here.permissions}
        assert set(ids) == {"day", "night"}
        assert {who: person["group_name"] for who, person in here.people.items()} == {
            "ann": ["default_group", "staff"],
            "bo": ["staff"],
            "cy": ["default_group"],
        }
        ann = here.people["ann"]
        info = {"name": "ANN", "type": 1, "permission_ids": [ids["day"], ids["night"]], "room": "12"}
        assert (ann["info"], ann["reg_photo"]) == (info, "cGhvdG8=")
        assert here.people["cy"]["info"]["permission_ids"] == ["0"]
        assert here.people["cy"]["info"]["type"] == 3
        gate, camera = here.devices
        assert (gate["device_name"], gate["permission_id"]) == ("gate", ids["night"])
        assert (gate["group_id"], camera["group_id"]) == (here.groups["staff"]["_id"], "default_group")
        assert "sends video" in first.out
        report = json.loads((tmp_path / "report.json").read_bytes())
        assert report["counts"]["person"] == {"taken": 3, "changed": 0, "there already": 0, "left out": 0}
        assert report["counts"]["permission"]["there already"] == 1

        made = len(here.changes)
        before = json.dumps([here.groups, here.permissions, here.people, here.devices])
        second = await command(box, here, tmp_path)
        assert (second.status, second.err) == (0, "")
        assert json.dumps([here.groups, here.permissions, here.people, here.devices]) == before
        offered = {(method, path) for method, path, _ in here.changes[made:]}
        assert offered == {("POST", "/SophonFogSys/api/users")}, "people are offered, and refused since they are here"
        report = json.loads((tmp_path / "report.json").read_bytes())
        assert report["counts"]["person"]["there already"] == 3
        assert report["counts"]["device"]["there already"] == 2
        assert box.changes == [], "the box is only read"
        assert not (tmp_path / "state.jsonl").exists()


@pytest.mark.parametrize("skip_num", ["entries", "pages", "ignored"])
@pytest.mark.parametrize("count", [0, 3, 4, 5, 8, 23])
async def test_all_people_of_a_large_group_are_taken_however_the_box_pages(
    tmp_path: Path, skip_num: Any, count: int
) -> None:
    box, here = Box(skip_num=skip_num), Box()
    for number in range(count):
        box.person(f"p{number}")
    report = await migrated(box, here, tmp_path, page=4)
    assert (len(here.people), report.left_out) == (count, {})


async def test_a_box_without_ids_in_its_lists_and_without_devices_is_read_too(tmp_path: Path) -> None:
    box, here = site(), Box()
    box.lists_ids, box.has_devices, box.skip_num = False, False, "ignored"
    report = await migrated(box, here, tmp_path)
    assert set(here.people) == {"ann", "bo", "cy"}
    assert report.left_out == {}
    assert list(report.remarks) == ["the box has no call that lists devices, so none was taken"]


async def test_a_person_who_is_listed_with_one_group_at_a_time_gets_all_of_them(tmp_path: Path) -> None:
    box, here = site(), Box()
    box.lists_one_group = True
    report = await migrated(box, here, tmp_path)
    assert here.people["ann"]["group_name"] == ["default_group", "staff"]
    assert report.counts["membership", "taken"] == 1
    assert report.counts["person", "taken"] == 3


async def test_what_cannot_be_taken_is_named_with_its_reason_and_the_rest_is_taken(tmp_path: Path) -> None:
    async with running_box(site()) as box, running_box(Box(refuses={"blurred": 40006, "faceless": 40004})) as here:
        box.group("a,b", "g-comma")
        box.permission("x,y", "p-comma")
        box.person("blurred", "staff")
        box.person("faceless")
        box.person("featured", photo="")
        box.person("lost", "a,b")
        box.person("locked", permission_ids=["p-comma"])
        box.person("half", "default_group", "a,b", permission_ids=["p-comma", "p-day"])
        box.device("10.0.0.3", "g-comma", "p-day")
        box.device("10.0.0.4", "g-staff", "p-comma")
        box.device("10.0.0.5", "g-staff", "p-day", device_name="refused")
        box.device("", "g-staff", "p-day", device_name="nowhere")
        done = await command(box, here, tmp_path)
    assert done.status == 1
    left_out = {
        (one["kind"], one["name"]): one["reason"]
        for one in json.loads((tmp_path / "report.json").read_bytes())["left_out"]
    }
    assert set(left_out) == {
        ("group", "a,b"),
        ("permission", "x,y"),
        ("person", "blurred"),
        ("person", "faceless"),
        ("person", "featured"),
        ("person", "locked"),
        ("membership", "half in group a,b"),
        ("membership", "half in permission x,y"),
        ("device", "10.0.0.3"),
        ("device", "10.0.0.4"),
        ("device", "10.0.0.5"),
        ("device", "nowhere"),
    }
    assert left_out["person", "blurred"] == "40006 LOW_QUALITY_ERROR: because of 40006"
    assert "40004 NO_FACE" in left_out["person", "faceless"]
    assert "cannot be compared" in left_out["person", "featured"]
    assert "nothing remains without permission x,y" in left_out["person", "locked"]
    assert left_out["device", "10.0.0.5"] == "the name is taken"
    assert set(here.people) == {"ann", "bo", "cy", "half"}
    (day,) = (one["_id"] for one in here.permissions if one["name"] == "day")
    assert here.people["half"]["info"]["permission_ids"] == [day], "nobody gets the default permission instead"
    assert "person faceless: 40004 NO_FACE" in done.err


async def test_two_permissions_of_one_name_are_reported_since_they_are_one_here(tmp_path: Path) -> None:
    box, here = site(), Box()
    box.permission("day", "p-other-day")
    box.person("dee", permission_ids=["p-other-day"])
    report = await migrated(box, here, tmp_path)
    assert reasons(report) == {
        ("permission", "day"): "the box has 2 permissions of this name, which are one permission here"
    }
    ids = [one["_id"] for one in here.permissions if one["name"] == "day"]
    assert here.people["dee"]["info"]["permission_ids"] == ids


async def test_a_permission_that_the_box_does_not_list_is_made_under_its_id(tmp_path: Path) -> None:
    box, here = site(), Box()
    here.permission("p-day", "here-unused")
    box.person("eve", permission_ids=["p-unlisted", "p-unlisted"])
    report = await migrated(box, here, tmp_path)
    assert report.left_out == {}
    (made,) = (one["_id"] for one in here.permissions if one["name"] == "p-unlisted")
    assert here.people["eve"]["info"]["permission_ids"] == [made]


async def test_the_photo_of_a_list_without_photos_is_read_by_its_own_call(tmp_path: Path) -> None:
    box, here = Box(), Box()
    box.person("ann", photo="", image_id="77")
    box.person("bo", photo="", image_id="../../people?x=1#2")
    await migrated(box, here, tmp_path)
    assert here.people["ann"]["reg_photo"] == here.people["bo"]["reg_photo"] == "cGhvdG8="
    assert ("GET", "/SophonFace/api/images/77", {}) in box.calls
    assert ("GET", "/SophonFace/api/images/../../people?x=1#2", {}) in box.calls, "the name is one segment of the path"


async def test_people_and_devices_that_are_here_with_other_values_are_replaced_only_on_demand(tmp_path: Path) -> None:
    box, here = site(), Box()
    here.person("ann", name="Another")
    here.device("10.0.0.1", "default_group", "0")
    report = await migrated(box, here, tmp_path)
    assert set(reasons(report)) == {("person", "ann"), ("device", "10.0.0.1")}
    assert "--update" in reasons(report)["person", "ann"]
    assert here.people["ann"]["info"]["name"] == "Another"
    (tmp_path / "state.jsonl").unlink()

    report = await migrated(box, here, tmp_path, update=True)
    assert report.left_out == {}
    assert (report.counts["person", "changed"], report.counts["device", "changed"]) == (1, 1)
    assert here.people["ann"]["info"]["name"] == "ANN"
    assert [one["device_name"] for one in here.devices if one["device_key"] == "10.0.0.1"] == ["gate"]
    (tmp_path / "state.jsonl").unlink()

    made = len(here.changes)
    report = await migrated(box, here, tmp_path, update=True)
    assert (report.counts["person", "there already"], len(here.changes)) == (3, made)


async def test_a_person_without_any_permission_at_the_box_has_none_here(tmp_path: Path) -> None:
    box, here = Box(), Box()
    box.person("nowhere", permission_ids=[])
    assert (await migrated(box, here, tmp_path)).left_out == {}
    assert here.people["nowhere"]["info"]["permission_ids"] == []


TIMES = [{"days": [1], "from": "08:00", "to": "18:00"}]


async def test_the_info_of_groups_and_permissions_is_taken_with_their_pass_times(tmp_path: Path) -> None:
    box, here = Box(), Box()
    box.group("staff", "g-staff", floor="2")
    box.permission("day", "p-day", pass_times=TIMES, colour="red")
    here.permission("night", "here-night", colour="black", mine=1)
    box.permission("night", "p-night", colour="blue")
    report = await migrated(box, here, tmp_path)
    infos = {one["name"]: one["info"] for one in here.permissions}
    assert here.groups["staff"]["info"] == {"floor": "2"}
    assert infos == {"day": {"pass_times": TIMES, "colour": "red"}, "night": {"colour": "black", "mine": 1}}
    assert "--update" in reasons(report)["info", "permission night: colour"]

    report = await migrated(box, here, tmp_path, update=True)
    infos = {one["name"]: one["info"] for one in here.permissions}
    assert (infos["night"], report.left_out) == ({"colour": "blue", "mine": 1}, {})
    assert report.counts["permission", "changed"] == 1


async def test_an_info_that_is_refused_is_left_out_and_a_permission_whose_times_are_refused_too(tmp_path: Path) -> None:
    box, here = Box(), Box()
    box.group("staff", "g-staff", unwanted=1)
    box.permission("day", "p-day", pass_times=TIMES, unwanted=1)
    box.permission("night", "p-night", pass_times=[])
    report = await migrated(box, here, tmp_path)
    assert set(reasons(report)) == {
        ("info", "group staff: unwanted"),
        ("info", "permission day: unwanted"),
        ("permission", "night"),
    }
    assert "staff" in here.groups
    assert [(one["name"], one["info"]) for one in here.permissions] == [("day", {"pass_times": TIMES})]


async def test_people_in_no_group_and_further_faces_are_named(tmp_path: Path) -> None:
    box, here = site(), Box()
    box.person("ungrouped")
    box.people["ungrouped"]["group_name"] = []
    box.people["ann"]["info"]["face_ids"] = ["1", "2"]
    report = await migrated(box, here, tmp_path, page=4)
    assert set(reasons(report)) == {("person", "ungrouped"), ("face", "ann")}
    assert "is in no group of the box" in reasons(report)["person", "ungrouped"]
    assert set(here.people) == {"ann", "bo", "cy"}


async def test_a_box_that_does_not_list_everybody_is_read_without_those_in_no_group(tmp_path: Path) -> None:
    box, here = site(), Box()
    box.lists_everybody = False
    report = await migrated(box, here, tmp_path)
    assert report.left_out == {}
    assert [one for one in report.remarks if "does not list everybody" in one]


@pytest.mark.parametrize("one_group", [False, True])
async def test_a_person_who_left_a_group_of_the_box_leaves_it_here_only_on_demand(
    tmp_path: Path, one_group: bool
) -> None:
    box, here = site(), Box()
    box.lists_one_group = one_group
    here.group("only here")
    await migrated(box, here, tmp_path)
    (tmp_path / "state.jsonl").unlink()
    here.people["ann"]["group_name"].append("only here")
    here.people["bo"]["group_name"].append("default_group")
    box.people["ann"]["group_name"] = ["staff"]
    box.people["cy"]["group_name"] = []

    report = await migrated(box, here, tmp_path)
    assert {key for key in reasons(report) if key[0] == "membership"} == {
        ("membership", "ann in group default_group"),
        ("membership", "bo in group default_group"),
        ("membership", "cy in group default_group"),
    }
    assert "differs" in reasons(report)["membership", "ann in group default_group"]
    assert here.people["ann"]["group_name"] == ["default_group", "staff", "only here"]
    (tmp_path / "state.jsonl").unlink()

    report = await migrated(box, here, tmp_path, update=True)
    assert {who: one["group_name"] for who, one in here.people.items()} == {
        "ann": ["staff", "only here"],
        "bo": ["staff"],
        "cy": [],
    }
    assert report.counts["membership", "changed"] == 3
    assert set(reasons(report)) == {("person", "cy")}


async def test_nobody_leaves_a_group_that_the_box_did_not_list_whole(tmp_path: Path) -> None:
    box, here = site(), Box()
    await migrated(box, here, tmp_path)
    (tmp_path / "state.jsonl").unlink()
    box.people["ann"]["group_name"] = ["default_group"]
    box.fault = lambda request: 400 if request.query.get("group_name") == "staff" else None
    report = await migrated(box, here, tmp_path, update=True)
    assert here.people["ann"]["group_name"] == ["default_group", "staff"]
    assert [one for one in report.remarks if one.endswith("are not compared: staff")]


async def test_a_device_that_is_here_under_another_id_keeps_it_and_is_replaced_on_demand(tmp_path: Path) -> None:
    box, here = Box(), Box()
    box.device("10.0.0.1", "default_group", "0", netRelay={"ip": "10.0.0.7"})
    here.device("10.0.0.1", "default_group", "0", device_id="mine")
    assert set(reasons(await migrated(box, here, tmp_path))) == {("device", "10.0.0.1")}
    (tmp_path / "state.jsonl").unlink()
    report = await migrated(box, here, tmp_path, update=True)
    assert (report.left_out, report.counts["device", "changed"]) == ({}, 1)
    assert here.devices[0]["netRelay"] == {"ip": "10.0.0.7"}
    assert "device_id" not in here.changes[-1][2]["devices_list"][0]


def after(calls: int, fault: object, path: str = "") -> Callable[[web.Request], object]:
    """From that call on, counted from 1, and for ever, the box has the fault."""
    seen = 0

    def judge(request: web.Request) -> object:
        nonlocal seen
        seen += path in request.path
        return fault if seen >= calls and path in request.path else None

    return judge


@pytest.mark.parametrize("calls", range(1, 12))
async def test_a_migration_whose_box_dies_goes_on_where_it_was(tmp_path: Path, calls: int) -> None:
    whole, here = site(), Box()
    for number in range(12):
        whole.person(f"p{number:02}", "staff", permission_ids=["p-day"])
    whole.fault = after(calls, "die")
    with pytest.raises(CannotRun, match=r"the box at http.* does not answer .*; run the same command again to go on"):
        await migrated(whole, here, tmp_path, page=4, concurrency=1)
    offered = [body["identity_id"] for method, _, body in here.changes if "identity_id" in body and method == "POST"]
    whole.fault = lambda _: None
    report = await migrated(whole, here, tmp_path, page=4, concurrency=1)
    assert len(here.people) == 15
    assert report.left_out == {}
    assert report.counts["person", "taken"] == 15
    assert [report.counts[kind, "taken"] for kind in ("group", "permission", "device")] == [1, 2, 2]
    again = [body["identity_id"] for method, _, body in here.changes if "identity_id" in body and method == "POST"]
    assert len(again) == len(set(again)), f"after {offered}"


async def test_a_state_whose_last_line_was_cut_off_reads_its_page_again(tmp_path: Path) -> None:
    box, here = site(), Box()
    await migrated(box, here, tmp_path)
    path = tmp_path / "state.jsonl"
    whole = path.read_bytes()
    path.write_bytes(whole[:-9])
    report = await migrated(box, here, tmp_path)
    assert set(here.people) == {"ann", "bo", "cy"}
    assert report.left_out == {}


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"hello\n", "is not the state of a migration"),
        (b"hello", "is not the state of a migration"),
        (b'{"format":1,"from":"http://other","to":"here"}\n', "is not the state of a migration"),
        (b'{"format":1,"from":"box","to":"here"}\n{"group":1}\n', "is damaged"),
        (b'{"format":1,"from":"box","to":"here"}\nnonsense\n', "is damaged"),
    ],
)
async def test_a_foreign_or_damaged_state_file_is_refused_and_left_alone(
    tmp_path: Path, content: bytes, sentence: str
) -> None:
    path = tmp_path / "state.jsonl"
    path.write_bytes(content)
    with pytest.raises(CannotRun, match=sentence), State(path, "box", "here"):
        pass
    assert path.read_bytes() == content


async def test_two_migrations_with_one_state_file_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "state.jsonl"
    with (
        State(path, "box", "here"),
        pytest.raises(CannotRun, match="another migration uses"),
        State(path, "box", "here"),
    ):
        pass


async def test_an_answer_without_end_is_not_read_to_its_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clients.http, "MAX_ANSWER_BYTES", 100_000)
    box, here = site(), Box()
    box.person("large", photo="A" * 200_000)
    with pytest.raises(CannotRun, match="the answer is larger than 100000 bytes"):
        await migrated(box, here, tmp_path)


@pytest.mark.parametrize("fault", ["not JSON", [], {"data": []}, {"data": {"groups_list": {}}}, {"list": 1}, 400])
async def test_an_answer_that_no_box_gives_ends_the_command_with_a_sentence(tmp_path: Path, fault: Any) -> None:
    async with running_box(site()) as box, running_box(Box()) as here:
        box.fault = after(1, fault)
        done = await command(box, here, tmp_path)
    assert done.status == 2
    assert "Traceback" not in done.err
    assert "did not answer" in done.err


@pytest.mark.parametrize("fault", [{"data": {}}, {"data": {"identities_list": "x"}}, {"data": None}, 400])
async def test_a_group_whose_people_cannot_be_read_is_left_out_and_the_others_are_taken(
    tmp_path: Path, fault: Any
) -> None:
    box, here = site(), Box()
    box.fault = after(2, fault, "/users")
    report = await migrated(box, here, tmp_path)
    assert set(reasons(report)) == {("group", "staff")}
    assert set(here.people) == {"ann", "cy"}
    assert len(here.devices) == 2


async def test_malformed_entries_are_left_out_one_by_one(tmp_path: Path) -> None:
    box, here = site(), Box()
    good = {"identity_id": "ok", "group_name": "default_group", "reg_photo": "cGhvdG8=", "info": {}}
    bad: list[Any] = [3, {}, {"identity_id": 5, "info": {}}, {"identity_id": "no info"}]
    bad.append({"identity_id": "7", "info": {"permission_ids": 7}})
    box.fault = lambda request: (
        {"data": {"identities_list": [*bad, good]}} if request.query.get("group_name") == "default_group" else None
    )
    report = await migrated(box, here, tmp_path)
    assert here.people["ok"]["info"] == {"name": "ok", "type": 1, "permission_ids": ["0"]}
    where = "group default_group, skip_num 0"
    assert set(reasons(report)) == {
        ("person", f"entry 1 of a page, {where}"),
        ("person", f"entry 2 of a page, {where}"),
        ("person", f"entry 3 of a page, {where}"),
        ("person", f"no info, {where}"),
        ("person", f"7, {where}"),
    }


async def test_a_slow_box_is_waited_for_and_an_overloaded_server_is_asked_again(tmp_path: Path) -> None:
    box, here = site(), Box()
    faults = iter([503, "die", None, 504, None])
    box.fault = lambda _: next(faults, None)
    busy = iter([None] * 8 + [503, "die"])
    here.fault = lambda _: next(busy, None)
    report = await migrated(box, here, tmp_path)
    assert report.left_out == {}
    assert len(here.people) == 3
