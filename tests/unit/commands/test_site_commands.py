"""`people`, `groups`, `permissions` and `devices`: what they ask of a server, and what they print of its answers."""

import asyncio
import base64
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import click.testing
import orjson
import pytest

from clients.site import PAGE
from contract.http import (
    DEVICES_PATH,
    GROUP_IDS_PATH,
    GROUP_USERS_PATH,
    GROUPS_PATH,
    HISTORY_EVENT_URL_PATH,
    PERMISSION_IDS_PATH,
    PERMISSIONS_PATH,
    USERS_PATH,
)
from picturematch.__main__ import cli
from tests.support.faces import photo
from tests.support.scripted_server import Answer, refusal
from tests.support.scripted_site import Fields, Script, ScriptedSite, scripted_site
from tests.support.terminal import run_on_terminal

STAFF = {"_id": "g-1", "info": {"name": "staff", "description": "the day shift", "floor": 3}}
DEFAULT = {"_id": "default_group", "info": {"name": "default_group", "description": ""}}
WEEK = [{"days": [1, 2, 3, 4, 5], "from": "08:00", "to": "18:00"}]
DAY = {"_id": "p-1", "info": {"name": "day", "description": "", "pass_times": WEEK}}
ZERO = {"_id": "0", "info": {"name": "0", "description": ""}}
DOOR = {
    "device_id": "d-1",
    "device_name": "Door",
    "device_key": "10.0.0.1",
    "device_type": "photo",
    "group_id": "g-1",
    "permission_id": "gone",
}


def listing(*objects: Fields) -> Callable[[Fields], Answer]:
    """The answer to a list, of which `info.name` selects and skip_num and limit cut a page."""

    def answer(asked: Fields) -> Answer:
        name, exact = asked.get("info.name", ""), asked.get("exact") == "true"
        found = [o for o in objects if (o["info"]["name"] == name if exact else name in o["info"]["name"])]
        skip = int(asked["skip_num"])
        page = found[skip : skip + int(asked["limit"])]
        return 200, {"data": page, "pagination": {"total_count": len(found)}}

    return answer


def person(number: int, **info: Any) -> Fields:
    return {"identity_id": f"{number:05}", "group_name": ["staff"], "reg_photo": "", "info": {"name": "Ada", **info}}


def crowd(count: int) -> Callable[[Fields], Fields]:
    def answer(asked: Fields) -> Fields:
        skip, limit = int(asked["skip_num"]), int(asked["limit"])
        people = [person(n) for n in range(skip, min(count, skip + limit))]
        return {"identities_list": people, "pagination": {"total_count": count}}

    return answer


NAMED = {
    ("GET", GROUP_IDS_PATH): listing(DEFAULT, STAFF),
    ("GET", PERMISSION_IDS_PATH): listing(ZERO, DAY),
}


async def invoke(server: ScriptedSite, *words: str, **given: Any) -> click.testing.Result:
    """The result of a command that calls the server."""
    runner = click.testing.CliRunner()
    return await asyncio.to_thread(runner.invoke, cli, [*words, "--url", server.url], **given)


def lines(result: click.testing.Result) -> list[Any]:
    return [orjson.loads(line) for line in result.stdout.splitlines()]


class TestGroups:
    async def test_groups_are_listed_as_json_lines_where_the_output_is_no_terminal(self) -> None:
        async with scripted_site(NAMED) as server:
            result = await invoke(server, "groups", "list", "--api-key", "secret")
            some = await invoke(server, "groups", "list", "--name", "sta")
        assert (result.exit_code, server.keys) == (0, {"secret", None})
        assert lines(result)[1] == {
            "group_id": "g-1",
            "name": "staff",
            "description": "the day shift",
            "info": STAFF["info"],
        }
        assert [group["name"] for group in lines(some)] == ["staff"]

    async def test_more_groups_than_a_page_are_listed_completely(self) -> None:
        many = [{"_id": f"g{n}", "info": {"name": f"{n:04}"}} for n in range(PAGE + 2)]
        async with scripted_site({("GET", GROUP_IDS_PATH): listing(*many)}) as server:
            result = await invoke(server, "groups", "list")
        assert [group["group_id"] for group in lines(result)] == [f"g{n}" for n in range(PAGE + 2)]
        assert len(server.calls) == 2

    async def test_a_group_is_shown_by_name_or_id_with_the_number_of_its_people(self) -> None:
        async with scripted_site({**NAMED, ("GET", USERS_PATH): crowd(7)}) as server:
            by_name = await invoke(server, "groups", "show", "staff")
            by_id = await invoke(server, "groups", "show", "g-1")
            unknown = await invoke(server, "groups", "show", "nowhere")
        assert lines(by_name) == lines(by_id)
        assert lines(by_name)[0]["people"] == 7
        assert unknown.exit_code == 2
        assert unknown.stderr == (
            "picturematch: no group has the name or the id nowhere; see `picturematch groups list`\n"
        )

    async def test_a_group_is_added_with_description_and_info(self) -> None:
        def added(_: Fields) -> Fields:
            return {"info": STAFF["info"]}

        async with scripted_site({("POST", GROUPS_PATH): added}) as server:
            result = await invoke(
                server, *("groups", "add", "staff", "--description", "the day shift"), *("--info", "floor:=3")
            )
        assert server.calls == [
            ("POST", GROUPS_PATH, {"group_name": "staff", "description": "the day shift", "info": {"floor": 3}})
        ]
        assert lines(result) == [{"info": STAFF["info"]}]

    async def test_a_change_keeps_the_description_that_is_not_given(self) -> None:
        async with scripted_site({**NAMED, ("PUT", GROUPS_PATH): lambda _: {"info": {}}}) as server:
            await invoke(server, "groups", "change", "staff", "--info", "floor:=null")
            nothing = await invoke(server, "groups", "change", "staff")
        assert server.changes() == [
            ("PUT", GROUPS_PATH, {"group_name": "staff", "description": "the day shift", "info": {"floor": None}})
        ]
        assert nothing.exit_code == 2

    async def test_people_are_deleted_with_their_group_only_when_that_is_confirmed(self) -> None:
        def deleted(asked: Fields) -> Fields:
            return {"group_name": "staff", "people_deleted": 3 if asked["user_recursive_delete"] else 0}

        async with scripted_site({**NAMED, ("DELETE", GROUPS_PATH): deleted}) as server:
            refused = await invoke(server, "groups", "delete", "staff", "--with-people", input="n\n")
            assert (refused.exit_code, server.calls) == (1, [])
            confirmed = await invoke(server, "groups", "delete", "staff", "--with-people", input="y\n")
            alone = await invoke(server, "groups", "delete", "g-1")
            by_option = await invoke(server, "groups", "delete", "staff", "--with-people", "--yes")
        assert [call[2]["user_recursive_delete"] for call in server.changes()] == [True, False, True]
        assert [lines(result)[-1]["people_deleted"] for result in (confirmed, alone, by_option)] == [3, 0, 3]

    @pytest.mark.parametrize(("word", "method"), [("add-people", "PUT"), ("remove-people", "DELETE")])
    async def test_members_are_changed_and_unknown_people_are_named(self, word: str, method: str) -> None:
        def changed(_: Fields) -> Fields:
            return {"group_name": "staff", "failed": [{"identity_id": "b\x1b", "error": {}}]}

        async with scripted_site({**NAMED, (method, GROUP_USERS_PATH): changed}) as server:
            result = await invoke(server, "groups", word, "staff", "a", "b")
        assert server.changes() == [(method, GROUP_USERS_PATH, {"group_name": "staff", "identity_id": ["a", "b"]})]
        assert (result.exit_code, result.stderr) == (1, "b\ufffd is not enrolled\n")

    async def test_the_server_s_sentence_is_the_error(self) -> None:
        script = {**NAMED, ("DELETE", GROUPS_PATH): lambda _: refusal(40012, "it always exists")}
        async with scripted_site(script) as server:
            result = await invoke(server, "groups", "delete", "default_group")
        assert (result.exit_code, result.stdout) == (2, "")
        assert result.stderr == "picturematch: 40012 GROUP_NAME_ERROR: it always exists\n"


class TestPermissions:
    async def test_pass_times_are_sent_as_the_call_takes_them(self) -> None:
        async with scripted_site({("POST", PERMISSIONS_PATH): lambda _: {"info": {}}}) as server:
            await invoke(server, "permissions", "add", "day", "--pass-times", "mon-fri 08:00-18:00")
            wrong = await invoke(server, "permissions", "add", "day", "--pass-times", "often")
        assert server.calls == [
            ("POST", PERMISSIONS_PATH, {"permission_name": "day", "description": "", "info": {"pass_times": WEEK}})
        ]
        assert wrong.exit_code == 2
        assert "not a pass time; write days and times" in " ".join(wrong.stderr.split())

    async def test_pass_times_are_replaced_or_removed(self) -> None:
        async with scripted_site({**NAMED, ("PUT", PERMISSIONS_PATH): lambda _: {"info": {}}}) as server:
            await invoke(server, "permissions", "change", "day", "--pass-times", "sat 10:00-12:00")
            await invoke(server, "permissions", "change", "p-1", "--always")
            await invoke(server, "permissions", "change", "day", "--description", "new")
            both = await invoke(server, "permissions", "change", "day", "--always", "--pass-times", "sat 10:00-12:00")
        saturday = {"pass_times": [{"days": [6], "from": "10:00", "to": "12:00"}]}
        assert [call[2] for call in server.changes()] == [
            {"permission_name": "day", "description": "", "info": saturday},
            {"permission_name": "day", "description": "", "info": {"pass_times": None}},
            {"permission_name": "day", "description": "new"},
        ]
        assert both.exit_code == 2

    async def test_the_people_of_a_permission_are_counted_by_its_id(self) -> None:
        async with scripted_site({**NAMED, ("GET", USERS_PATH): crowd(2)}) as server:
            shown = await invoke(server, "permissions", "show", "day")
        assert lines(shown)[0]["people"] == 2
        assert server.calls[-1][2]["permission_id"] == "p-1"


class TestDevices:
    async def test_a_device_is_added_with_the_ids_of_the_names_that_were_given(self) -> None:
        def added(_: Fields) -> Fields:
            return {"success_devices": [{"device_id": "d-1", "device_name": "Door"}], "failed_devices": []}

        async with scripted_site({**NAMED, ("POST", DEVICES_PATH): added}) as server:
            result = await invoke(
                server,
                *("devices", "add", "10.0.0.1", "--name", "Door", "--group", "staff", "--permission", "day"),
                *("--min-face-size", "80"),
            )
        (device,) = server.changes()[0][2]["devices_list"]
        assert device == {
            "device_name": "Door",
            "device_key": "10.0.0.1",
            "device_type": "photo",
            "group_id": "g-1",
            "permission_id": "p-1",
            "min_face_size": 80,
        }
        assert lines(result) == [{"device_id": "d-1", "device_name": "Door"}]

    async def test_the_server_s_reason_for_a_refused_device_is_the_error(self) -> None:
        def failed(_: Fields) -> Fields:
            return {"success_devices": [], "failed_devices": [{"reason": "another device has this address"}]}

        async with scripted_site({**NAMED, ("POST", DEVICES_PATH): failed}) as server:
            result = await invoke(server, "devices", "add", "10.0.0.1")
        assert (result.exit_code, result.stderr) == (2, "picturematch: another device has this address\n")

    async def test_a_device_is_changed_and_deleted_by_its_address(self) -> None:
        done = {"success_devices": [{"device_id": "d-1", "device_name": "Door"}]}
        script = {
            **NAMED,
            ("GET", DEVICES_PATH): lambda _: {"devices_list": [DOOR]},
            ("PUT", DEVICES_PATH): lambda _: done,
            ("DELETE", DEVICES_PATH): lambda _: done,
        }
        async with scripted_site(script) as server:
            await invoke(server, "devices", "change", "10.0.0.1", "--group", "default_group")
            await invoke(server, "devices", "delete", "::ffff:10.0.0.1")
            await invoke(server, "devices", "delete", "--all", "--yes")
            unknown = await invoke(server, "devices", "delete", "10.9.9.9")
            unsure = await invoke(server, "devices", "delete", "--all", input="n\n")
            neither = await invoke(server, "devices", "delete")
        assert server.changes() == [
            ("PUT", DEVICES_PATH, {"devices_list": [{"device_id": "d-1", "group_id": "default_group"}]}),
            ("DELETE", DEVICES_PATH, {"clear_all": False, "devices_list": [{"device_id": "d-1"}]}),
            ("DELETE", DEVICES_PATH, {"clear_all": True, "devices_list": []}),
        ]
        assert [result.exit_code for result in (unknown, unsure, neither)] == [2, 1, 2]


UPLOADS: Script = {
    ("GET", HISTORY_EVENT_URL_PATH): lambda _: {"history_upload_event_url": ["http://desk.example/events?k=secret"]}
}


class Emptied:
    """A site whose people are deleted by lists: `kept` cannot be, and somebody else deletes `gone_meanwhile`.

    After `calls` deletions every further one is refused.
    """

    def __init__(
        self, enrolled: int, kept: Collection[str] = (), gone_meanwhile: Collection[str] = (), calls: int = 9
    ) -> None:
        self.people = [f"{number:05}" for number in range(enrolled)]
        self.kept, self.gone_meanwhile, self.calls = kept, gone_meanwhile, calls
        self.script: Script = {("GET", USERS_PATH): self._list, ("DELETE", USERS_PATH): self._delete, **UPLOADS}

    def _list(self, asked: Fields) -> Fields:
        skip = int(asked["skip_num"])
        page = [person(int(who)) for who in self.people[skip : skip + int(asked["limit"])]]
        return {"identities_list": page, "pagination": {"total_count": len(self.people)}}

    def _delete(self, asked: Fields) -> Answer | Fields:
        if not self.calls:
            return refusal(50380, "try again")
        self.calls -= 1
        ids = asked["identity_ids"]
        failed = [{"identity_id": who, "error": {"code": 40000, "message": "no"}} for who in ids if who in self.kept]
        gone = [who for who in ids if who in self.gone_meanwhile]
        failed += [{"identity_id": who, "error": {"code": 40401, "message": "nobody"}} for who in gone]
        self.people = [who for who in self.people if who not in ids or who in self.kept]
        return {"identity_ids": [who for who in ids if who not in (*self.kept, *gone)], "failed": failed}


class TestPeople:
    async def test_people_are_listed_up_to_a_limit_and_the_rest_is_mentioned(self) -> None:
        async with scripted_site({**NAMED, ("GET", USERS_PATH): crowd(150)}) as server:
            result = await invoke(
                server,
                *("people", "list", "--group", "staff", "--permission", "day", "--name", "A", "--type", "vip"),
            )
        asked = server.calls[-1][2]
        assert (asked["group_name"], asked["permission_id"], asked["name"], asked["type"]) == ("staff", "p-1", "A", "5")
        assert asked["need_bring_pic"] == "false"
        assert len(lines(result)) == 100
        assert "reg_photo" not in lines(result)[0]
        assert result.stderr == "100 of 150 people; --all lists all of them\n"

    async def test_all_people_are_listed_page_by_page(self) -> None:
        async with scripted_site({("GET", USERS_PATH): crowd(2 * PAGE + 1)}) as server:
            result = await invoke(server, "people", "list", "--all")
        assert [found["identity_id"] for found in lines(result)] == [f"{n:05}" for n in range(2 * PAGE + 1)]
        assert len(server.calls) == 3
        assert result.stderr == ""

    async def test_a_person_is_added_with_several_photos(self, tmp_path: Path) -> None:
        files = [tmp_path / "1.jpg", tmp_path / "2.jpg"]
        for number, file in enumerate(files):
            file.write_bytes(photo(number))
        sent = [base64.b64encode(file.read_bytes()).decode() for file in files]
        done = {"identity_id": "a", "group_name": ["staff"], "reg_photo": "xx", "info": {}}
        script = {**NAMED, ("POST", USERS_PATH): lambda _: done, ("PUT", USERS_PATH): lambda _: done}
        async with scripted_site(script) as server:
            result = await invoke(
                server,
                *("people", "add", "a", "--name", "Ada", "--photo", str(files[0]), "--photo", str(files[1])),
                *("--group", "staff", "--group", "default_group", "--permission", "day", "--type", "visitor"),
                *("--valid-from", "1000", "--valid-until", "1970-01-01T01:00Z", "--info", "room=12"),
                *("--fiqa-level", "low"),
            )
        info = {
            "room": "12",
            "name": "Ada",
            "type": 2,
            "permission_ids": ["p-1"],
            "valid_from": 1000.0,
            "valid_until": 3600.0,
        }
        first, second = server.changes()
        assert first[2] == {
            "identity_id": "a",
            "group_name": "staff,default_group",
            "info": info,
            "fiqa_level": "low",
            "need_bring_pic": True,
            "reg_photo": sent[0],
        }
        assert second == (
            "PUT",
            USERS_PATH,
            {"identity_id": "a", "info": {}, "fiqa_level": "low", "reg_photo": sent[1]},
        )
        assert lines(result) == [{"identity_id": "a", "group_name": ["staff"], "info": {}}]

    async def test_a_photo_that_is_refused_after_the_first_leaves_the_person_enrolled_and_says_so(
        self, tmp_path: Path
    ) -> None:
        file = tmp_path / "1.jpg"
        file.write_bytes(photo(1))
        script = {
            ("POST", USERS_PATH): lambda _: {"identity_id": "a"},
            ("PUT", USERS_PATH): lambda _: refusal(40004, "no face found"),
        }
        async with scripted_site(script) as server:
            result = await invoke(server, "people", "add", "a", "--photo", str(file), "--photo", str(file))
        assert result.exit_code == 2
        assert result.stderr == (
            "picturematch: photo 2 of 2 was not added, but those before it were: 40004 NO_FACE: no face found\n"
        )

    async def test_a_person_without_a_photo_is_added_without_a_face(self) -> None:
        async with scripted_site({("POST", USERS_PATH): lambda _: {"identity_id": "a"}}) as server:
            await invoke(server, "people", "add", "a")
        assert server.calls[0][2] == {
            "identity_id": "a",
            "group_name": "default_group",
            "info": {},
            "need_bring_pic": False,
        }

    async def test_a_change_sends_only_what_is_given(self, tmp_path: Path) -> None:
        file = tmp_path / "1.jpg"
        file.write_bytes(photo(1))
        async with scripted_site({("PUT", USERS_PATH): lambda _: {"identity_id": "a"}}) as server:
            await invoke(server, "people", "change", "a", "--type", "vip")
            await invoke(server, "people", "change", "a", "--photo", str(file), "--replace-photos")
            nothing = await invoke(server, "people", "change", "a")
            no_photo = await invoke(server, "people", "change", "a", "--name", "b", "--replace-photos")
        assert server.calls[0][2] == {"identity_id": "a", "info": {"type": 5}}
        assert server.calls[1][2]["support_single_face"] is True
        assert [nothing.exit_code, no_photo.exit_code, len(server.calls)] == [2, 2, 2]

    async def test_a_change_removes_the_limits_of_the_validity_and_other_values(self) -> None:
        async with scripted_site({("PUT", USERS_PATH): lambda _: {"identity_id": "a"}}) as server:
            await invoke(server, "people", "change", "a", "--always-valid")
            await invoke(
                server, "people", "change", "a", "--always-valid", "--valid-until", "1000.5", "--info", "r:=null"
            )
        assert [call[2]["info"] for call in server.calls] == [
            {"valid_from": None, "valid_until": None},
            {"valid_from": None, "valid_until": 1000.5, "r": None},
        ]

    async def test_people_are_deleted_and_those_that_were_not_are_named(self) -> None:
        def deleted(asked: Fields) -> Fields:
            if "identity_id" in asked:
                return {"identity_id": asked["identity_id"]}
            failed = [{"identity_id": "b", "error": {"message": "nobody is enrolled under this identity_id"}}]
            return {"identity_ids": ["a"], "failed": failed}

        async with scripted_site({("DELETE", USERS_PATH): deleted, **UPLOADS}) as server:
            one = await invoke(server, "people", "delete", "a")
            two = await invoke(server, "people", "delete", "a", "b", "a")
        assert [call[2] for call in server.changes()] == [{"identity_id": "a"}, {"identity_ids": ["a", "b"]}]
        (printed,) = lines(one)
        assert (one.exit_code, printed["deleted"], printed["failed"]) == (0, ["a"], [])
        assert any("the log keeps" in each for each in printed["left"])
        assert any(each.startswith("desk.example (HistoryEventUrl) has received") for each in printed["left"])
        assert (two.exit_code, two.stderr) == (1, "b: nobody is enrolled under this identity_id\n")

    async def test_people_are_deleted_though_the_receivers_of_uploads_cannot_be_asked_for(self) -> None:
        refusing = {("GET", HISTORY_EVENT_URL_PATH): lambda _: refusal(50380, "try again")}
        async with scripted_site({("DELETE", USERS_PATH): lambda _: {"identity_id": "a"}, **refusing}) as server:
            result = await invoke(server, "people", "delete", "a")
        assert (result.exit_code, lines(result)[0]["deleted"]) == (0, ["a"])
        assert result.stderr.startswith("the receivers of uploads are not known: ")
        assert "try again" in result.stderr

    async def test_everybody_is_deleted_in_many_calls_except_those_who_cannot_be(self) -> None:
        site = Emptied(enrolled=250, kept={"00000", "00120"}, gone_meanwhile={"00003"})
        async with scripted_site(site.script) as server:
            result = await invoke(server, "people", "delete", "--all", "--yes")
        assert site.people == ["00000", "00120"]
        (printed,) = lines(result)
        assert (len(printed["deleted"]), [each["identity_id"] for each in printed["failed"]]) == (247, site.people)
        assert (result.exit_code, result.stderr) == (1, "00000: no\n00120: no\n")
        assert [len(fields["identity_ids"]) for _, _, fields in server.changes()] == [100, 100, 50]

    async def test_a_deletion_of_everybody_that_was_broken_off_goes_on_when_it_is_run_again(self) -> None:
        site = Emptied(enrolled=250, calls=1)
        async with scripted_site(site.script) as server:
            broken = await invoke(server, "people", "delete", "--all", "--yes")
            site.calls = 9
            again = await invoke(server, "people", "delete", "--all", "--yes")
        assert "100 people deleted; run the command again for the others" in " ".join(broken.stderr.split())
        assert (broken.exit_code, again.exit_code, site.people) == (2, 0, [])
        assert len(lines(again)[0]["deleted"]) == 150

    async def test_everybody_is_deleted_only_when_that_is_confirmed_and_no_id_is_named(self) -> None:
        site = Emptied(enrolled=3)
        async with scripted_site(site.script) as server:
            assert (await invoke(server, "people", "delete", "--all", input="n\n")).exit_code == 1
            for words in (("--all", "--yes", "00001"), ()):
                assert "name the IDs" in (await invoke(server, "people", "delete", *words)).stderr
            assert len(site.people) == 3
            assert (await invoke(server, "people", "delete", "--all", input="y\n")).exit_code == 0
        assert site.people == []


async def test_on_a_terminal_there_are_tables_with_names_instead_of_ids_and_nothing_steers_the_terminal() -> None:
    people = {
        "identities_list": [
            person(1, type=5, permission_ids=["p-1", "gone"], valid_until=3600.5, name="A\x1b[31m[b]da")
        ],
        "pagination": {"total_count": 1},
    }
    script = {
        **NAMED,
        ("GET", USERS_PATH): lambda _: people,
        ("GET", DEVICES_PATH): lambda _: {"devices_list": [DOOR]},
    }
    async with scripted_site(script) as server:
        shown = {
            name: (await run_on_terminal(name, word, "--url", server.url)).out
            for name, word in {"people": "list", "permissions": "list", "devices": "show", "groups": "list"}.items()
        }
    assert "vip" in shown["people"]
    assert "day, gone (deleted)" in shown["people"]
    assert "until 1970-01-01 01:00:00.500000 UTC" in shown["people"]
    assert "A\ufffd[31m[b]da" in shown["people"]
    assert "mon-fri 08:00-18:00" in shown["permissions"]
    assert "always" in shown["permissions"]
    assert "staff" in shown["devices"]
    assert "deleted" in shown["devices"]
    assert "the day shift" in shown["groups"]


async def test_an_answer_of_another_server_is_one_sentence() -> None:
    async with scripted_site({("GET", GROUP_IDS_PATH): lambda _: (200, {"groups": []})}) as server:
        result = await invoke(server, "groups", "list")
    assert result.exit_code == 2
    assert "did not answer as a PictureMatch server does (Object missing required field `data`)" in result.stderr
