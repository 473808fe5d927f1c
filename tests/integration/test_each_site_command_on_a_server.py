"""Each command about devices, groups, permissions and people, and each of its options, once against a running server.

tests/unit/commands/test_site_commands.py has the same commands against a scripted server, whose answers are what a test
writes; here the answers and the sentences of errors are those of the server.
"""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click.testing
import orjson
import pytest

from picturematch.__main__ import cli
from tests.faults.test_serve import serving
from tests.support.faces import photo, scene
from tests.support.terminal import run_on_terminal


@dataclass
class Operator:
    """Calls a server from the command line."""

    url: str

    async def ask(self, *words: object, status: int = 0, answer: str = "") -> click.testing.Result:
        """The result of a command that ends with this status; `answer` is typed in."""
        runner = click.testing.CliRunner()
        command = [*map(str, words), "--url", self.url]
        result = await asyncio.to_thread(runner.invoke, cli, command, input=answer)
        assert result.exit_code == status, (command, result.output)
        return result

    async def do(self, *words: object) -> list[Any]:
        """What a command prints that succeeds: JSON lines."""
        return [orjson.loads(line) for line in (await self.ask(*words)).stdout.splitlines()]

    async def refused(self, *words: object) -> str:
        """The error of a command that fails, in one line and without anything else printed."""
        result = await self.ask(*words, status=2)
        assert result.stdout == ""
        assert "Traceback" not in result.stderr
        return " ".join(result.stderr.split())


@pytest.fixture
async def operator(tmp_path: Path) -> AsyncIterator[Operator]:
    async with serving(tmp_path / "data") as server:
        yield Operator(server.url)


async def test_devices(operator: Operator) -> None:
    await operator.do("groups", "add", "staff")
    await operator.do("permissions", "add", "day")
    (group,), (permission,) = (
        await operator.do("groups", "show", "staff"),
        await operator.do("permissions", "show", "day"),
    )
    scope = ("--group", "staff", "--permission", permission["permission_id"])
    demands = ("--liveness-floor", "liveness_rgb", "--quality-level", "low", "--min-face-size", "80")
    added = await operator.do("devices", "add", "192.168.1.63", "--name", "Door", "--id", "d1", *scope, *demands)
    assert added == [{"device_id": "d1", "device_name": "Door"}]
    (door,) = await operator.do("devices", "show", "192.168.1.63", "--json")
    assert door == door | {
        "device_key": "192.168.1.63",
        "device_type": "photo",
        "group_id": group["group_id"],
        "permission_id": permission["permission_id"],
        "liveness_floor": "liveness_rgb",
        "quality_level": "low",
        "min_face_size": 80,
    }
    (camera,) = await operator.do("devices", "add", "rtsp://10.0.0.9/1", "--type", "rtsp")
    assert camera["device_name"] == "rtsp://10.0.0.9/1"
    assert "no video is read here" in camera["note"]
    assert len(await operator.do("devices", "show")) == 2
    shown = (await run_on_terminal("devices", "show", "192.168.1.63", "--url", operator.url)).out
    assert all(word in shown for word in ("192.168.1.63", "Door", "photo", "staff", "day", "d1"))

    (replaced,) = await operator.do("devices", "add", "192.168.1.63", "--group", group["group_id"])
    assert replaced == {"device_id": "d1", "device_name": "192.168.1.63"}
    (again,) = await operator.do("devices", "show", "192.168.1.63")
    assert (again["permission_id"], again["liveness_floor"]) == ("0", "liveness_rgb")
    stored = ("--net-relay", "ip=10.0.0.7", "--net-relay", "net_port:=5000", "--device-attr", "actions:={}")
    await operator.do("devices", "add", "10.0.0.4", *stored, "--rtmp-address", "rtmp://x", "--start-rtmp")
    (relay,) = await operator.do("devices", "show", "10.0.0.4")
    assert (relay["netRelay"], relay["device_attr"]) == ({"ip": "10.0.0.7", "net_port": 5000}, {"actions": {}})
    assert (relay["rtmp_address"], relay["is_start_rtmp"]) == ("rtmp://x", True)
    await operator.do("devices", "delete", "10.0.0.4")

    assert "device_key must be an IP address" in await operator.refused("devices", "add", "two words")
    nowhere = "no group has the name or the id nowhere; see `picturematch groups list`"
    assert nowhere in await operator.refused("devices", "add", "10.0.0.2", "--group", "nowhere")
    assert "no permission has the name" in await operator.refused("devices", "add", "10.0.0.2", "--permission", "never")
    assert "another device_key exists" in await operator.refused("devices", "add", "10.0.0.2", "--id", "d1")
    assert "device_id must have 1 to 64" in await operator.refused("devices", "add", "10.0.0.2", "--id", "a/b")
    assert "custom" in await operator.refused("devices", "add", "10.0.0.2", "--quality-level", "custom")
    assert "device_name" in await operator.refused("devices", "add", "10.0.0.2", "--name", " ")
    assert len(await operator.do("devices", "show")) == 2


async def test_devices_are_changed_and_deleted_by_their_address(operator: Operator) -> None:
    for address in ("10.0.0.1", "10.0.0.2", "10.0.0.3"):
        await operator.do("devices", "add", address)
    await operator.do("groups", "add", "staff")
    await operator.do("permissions", "add", "day")
    changed = ("--new-address", "10.0.0.7", "--name", "Gate", "--group", "staff", "--permission", "day")
    demands = ("--liveness-floor", "liveness_rgb", "--quality-level", "high", "--min-face-size", "0")
    (gate,) = await operator.do("devices", "change", "10.0.0.1", *changed, *demands)
    assert gate["device_name"] == "Gate"
    (shown,) = await operator.do("devices", "show", "10.0.0.7")
    assert (shown["device_type"], shown["netRelay"]) == ("photo", {})
    await operator.do("devices", "change", "10.0.0.2", "--type", "file")
    await operator.do("devices", "change", "10.0.0.2", "--net-relay", "ip=10.0.0.7", "--no-start-rtmp")
    (other,) = await operator.do("devices", "show", "10.0.0.2")
    assert (other["device_type"], other["netRelay"], other["is_start_rtmp"]) == ("file", {"ip": "10.0.0.7"}, False)
    await operator.do("devices", "change", "10.0.0.2", "--type", "photo")
    assert (shown["device_id"], shown["quality_level"], shown["min_face_size"]) == (gate["device_id"], "high", 0)
    assert "another device has this device_key" in await operator.refused(
        "devices", "change", "10.0.0.2", "--new-address", "10.0.0.7"
    )
    unknown = "no device has the address 10.0.0.1; `picturematch devices add` registers one"
    assert unknown in await operator.refused("devices", "change", "10.0.0.1", "--name", "x")
    assert unknown in await operator.refused("devices", "show", "10.0.0.1")
    assert unknown in await operator.refused("devices", "delete", "10.0.0.7", "10.0.0.1")
    assert "at least one option" in await operator.refused("devices", "change", "10.0.0.7")
    assert "name the ADDRESSes" in await operator.refused("devices", "delete")
    assert "name the ADDRESSes" in await operator.refused("devices", "delete", "10.0.0.7", "--all")

    (deleted,) = await operator.do("devices", "delete", "10.0.0.7", "10.0.0.7")
    assert [one["device_name"] for one in deleted["success_devices"]] == ["Gate"]
    assert deleted["failed_devices"] == []
    await operator.ask("devices", "delete", "--all", status=1, answer="n\n")
    assert len(await operator.do("devices", "show")) == 2
    await operator.ask("devices", "delete", "--all", answer="y\n")
    assert await operator.do("devices", "delete", "--all", "--yes") == [{"success_devices": [], "failed_devices": []}]
    assert await operator.do("devices", "show") == []


async def test_groups(operator: Operator) -> None:
    await operator.do("groups", "add", "staff", "--description", "the day shift", "--info", "floor:=3", "--info", "a=1")
    taken = "picturematch: 40012 GROUP_NAME_ERROR: a group with this group_name exists already"
    assert await operator.refused("groups", "add", "staff") == taken
    assert "no comma" in await operator.refused("groups", "add", "a,b")
    assert "is not JSON" in await operator.refused("groups", "add", "x", "--info", "floor:=x")
    (staff,) = await operator.do("groups", "list", "--name", "taf", "--json")
    assert (staff["description"], staff["info"]["floor"], staff["info"]["a"]) == ("the day shift", 3, "1")
    await operator.do("groups", "change", staff["group_id"], "--description", "two shifts", "--info", "floor:=null")
    (staff,) = await operator.do("groups", "show", staff["group_id"])
    assert (staff["description"], staff["people"], "floor" in staff["info"]) == ("two shifts", 0, False)
    assert len(await operator.do("groups", "list")) == 2
    assert "give --description or --info" in await operator.refused("groups", "change", "staff")

    for who in ("ada", "bo"):
        await operator.do("people", "add", who)
    for word in ("show", "change", "delete", "add-people", "remove-people"):
        more = {"change": ("--description", "x"), "add-people": ("ada",), "remove-people": ("ada",)}.get(word, ())
        assert "no group has the name or the id nowhere" in await operator.refused("groups", word, "nowhere", *more)
    assert "ID_NOT_FOUND" in await operator.refused("groups", "add-people", "staff", "nobody")
    partly = await operator.ask("groups", "add-people", staff["group_id"], "ada", "nobody", status=1)
    assert partly.stderr == "nobody is not enrolled\n"
    assert [p["identity_id"] for p in await operator.do("people", "list", "--group", staff["group_id"])] == ["ada"]
    await operator.do("groups", "remove-people", "staff", "ada", "bo")
    assert await operator.do("people", "list", "--group", "staff") == []

    always = "picturematch: 40012 GROUP_NAME_ERROR: this group always exists and cannot be deleted"
    assert await operator.refused("groups", "delete", "default_group") == always
    await operator.do("groups", "add-people", "staff", "ada")
    await operator.do("groups", "remove-people", "default_group", "ada")
    await operator.ask("groups", "delete", "staff", "--with-people", status=1, answer="n\n")
    (gone,) = await operator.do("groups", "delete", staff["group_id"], "--with-people", "--yes")
    assert (gone["group_name"], gone["people_deleted"]) == ("staff", 1)
    assert [p["identity_id"] for p in await operator.do("people", "list")] == ["bo"]


async def test_permissions(operator: Operator) -> None:
    times = ("--pass-times", "mon-fri 08:00-18:00", "--pass-times", "sat 10:00-12:00")
    await operator.do("permissions", "add", "day", "--description", "office", *times, "--info", "a:=[1]")
    assert "exists already" in await operator.refused("permissions", "add", "day")
    assert "not a pass time" in await operator.refused("permissions", "add", "x", "--pass-times", "often")
    (day,) = await operator.do("permissions", "list", "--name", "da", "--json")
    assert [span["days"] for span in day["info"]["pass_times"]] == [[1, 2, 3, 4, 5], [6]]
    await operator.do(
        "permissions", "change", day["permission_id"], "--pass-times", "sun 00:00-24:00", "--info", "a:=null"
    )
    (day,) = await operator.do("permissions", "show", "day")
    assert (day["info"].get("a"), day["info"]["pass_times"][0]["days"], day["people"]) == (None, [7], 0)
    await operator.do("permissions", "change", "day", "--always", "--description", "any time")
    (day,) = await operator.do("permissions", "show", day["permission_id"])
    assert ("pass_times" in day["info"], day["description"]) == (False, "any time")
    both = ("--always", "--pass-times", "sun 00:00-24:00")
    assert "either --pass-times or --always" in await operator.refused("permissions", "change", "day", *both)
    assert "give --description" in await operator.refused("permissions", "change", "day")
    for word in ("show", "change", "delete"):
        more = ("--always",) if word == "change" else ()
        assert "no permission has the name" in await operator.refused("permissions", word, "never", *more)

    await operator.do("people", "add", "ada", "--permission", "day")
    await operator.do("people", "add", "bo", "--permission", "day", "--permission", "0")
    assert "always exists" in await operator.refused("permissions", "delete", "0")
    await operator.ask("permissions", "delete", "day", "--with-people", status=1, answer="n\n")
    (gone,) = await operator.do("permissions", "delete", day["permission_id"], "--with-people", "--yes")
    assert (gone["permission_name"], gone["people_deleted"]) == ("day", 1)
    assert [p["identity_id"] for p in await operator.do("people", "list")] == ["bo"]


async def test_people(operator: Operator, tmp_path: Path) -> None:
    files = {"ada": photo(1), "ada-2": photo(1, 200), "bo": photo(2), "nobody": scene(), "text": b"no picture"}
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    ada = tmp_path / "ada"
    await operator.do("groups", "add", "staff")
    await operator.do("permissions", "add", "day")
    (staff,), (day,) = await operator.do("groups", "show", "staff"), await operator.do("permissions", "show", "day")
    (added,) = await operator.do(
        *(
            "people",
            "add",
            "ada",
            "--name",
            "Ada",
            "--photo",
            ada,
            "--photo",
            tmp_path / "ada-2",
            "--fiqa-level",
            "low",
        ),
        *("--group", staff["group_id"], "--group", "default_group", "--permission", "day", "--type", "vip"),
        *("--valid-from", "2026-01-01T00:00Z", "--valid-until", "1798675200", "--info", "room=12", "--info", "n:=1"),
    )
    info = {"name": "Ada", "type": 5, "permission_ids": [day["permission_id"]], "room": "12", "n": 1}
    assert added["info"] == added["info"] | info | {"valid_from": 1767225600.0, "valid_until": 1798675200.0}
    assert added["group_name"] == ["staff", "default_group"]
    assert "IDENTITY_EXSIT_ERROR" in await operator.refused("people", "add", "ada", "--photo", tmp_path / "bo")
    assert "no group has the name" in await operator.refused("people", "add", "x", "--group", "nowhere")
    assert "no permission has the name" in await operator.refused("people", "add", "x", "--permission", "never")
    assert "NO_FACE" in await operator.refused("people", "add", "x", "--photo", tmp_path / "nobody")
    assert "not a JPEG" in await operator.refused("people", "add", "x", "--photo", tmp_path / "text")
    assert "does not exist" in await operator.refused("people", "add", "x", "--photo", tmp_path / "none")
    assert "no /" in await operator.refused("people", "add", "a/b")
    order = ("--valid-from", "2", "--valid-until", "1")
    assert "info.valid_until must not be before" in await operator.refused("people", "add", "x", *order)
    partly = await operator.refused("people", "add", "bo", "--photo", tmp_path / "bo", "--photo", tmp_path / "nobody")
    assert "photo 2 of 2 was not added, but those before it were" in partly
    assert [p["identity_id"] for p in await operator.do("people", "list")] == ["ada", "bo"]

    assert [p["identity_id"] for p in await operator.do("people", "list", "--type", "vip", "--name", "AD")] == ["ada"]
    assert [p["identity_id"] for p in await operator.do("people", "list", "--permission", "day")] == ["ada"]
    first = await operator.ask("people", "list", "--limit", "1", "--json")
    assert (len(first.stdout.splitlines()), first.stderr) == (1, "1 of 2 people; --all lists all of them\n")
    assert len(await operator.do("people", "list", "--limit", "1", "--all")) == 2
    assert "no group has the name" in await operator.refused("people", "list", "--group", "nowhere")
    assert [p["identity_id"] for p in await operator.do("people", "show", "bo", "ada")] == ["bo", "ada"]
    assert "ID_NOT_FOUND" in await operator.refused("people", "show", "ada", "x")

    changes = ("--name", "Ada L", "--type", "employee", "--permission", "0", "--info", "room=13", "--fiqa-level", "no")
    moments = ("--valid-from", "2026-02-01T00:00Z", "--valid-until", "2027-01-01T00:00Z")
    (changed,) = await operator.do("people", "change", "ada", *changes, *moments, "--photo", ada, "--replace-photos")
    assert changed["info"] == changed["info"] | {"name": "Ada L", "type": 1, "permission_ids": ["0"], "room": "13"}
    assert "ID_NOT_FOUND" in await operator.refused("people", "change", "x", "--name", "X")
    assert "at least one option" in await operator.refused("people", "change", "ada")
    assert "needs at least one --photo" in await operator.refused(
        "people", "change", "ada", "--name", "x", "--replace-photos"
    )
    assert "ID_NOT_FOUND" in await operator.refused("people", "delete", "x")
    some = await operator.ask("people", "delete", "bo", "x", "bo", status=1)
    assert (orjson.loads(some.stdout)["deleted"], some.stderr.split(":")[0]) == (["bo"], "x")
    (done,) = await operator.do("people", "delete", "ada")
    assert (done["deleted"], done["failed"]) == (["ada"], [])
    assert any("the store of events keeps" in each for each in done["left"])


async def test_everybody_is_deleted_in_several_calls(operator: Operator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("picturematch.commands.people_delete._AT_ONCE", 2)
    everybody = [f"p{number}" for number in range(5)]
    for who in everybody:
        await operator.do("people", "add", who)
    await operator.do("devices", "add", "10.0.0.1")
    (done,) = await operator.do("people", "delete", "--all", "--yes")
    assert (done["deleted"], done["failed"]) == (everybody, [])
    assert await operator.do("people", "list") == []
    assert len(await operator.do("devices", "show")) == 1
    assert await operator.do("people", "delete", "--all", "--yes") == [{"deleted": [], "failed": [], "left": []}]


async def test_a_key_is_asked_for_in_one_sentence_and_a_server_that_is_not_there_is_named(tmp_path: Path) -> None:
    settings = {"NEED_API_KEY_FROM_LOOPBACK": "true", "API_KEYS": '["a-long-random-key"]'}
    given = {f"PICTUREMATCH_INGEST__{name}": value for name, value in settings.items()}
    async with serving(tmp_path, **given) as server:
        operator = Operator(server.url)
        for command in (("groups", "list"), ("permissions", "list"), ("devices", "show"), ("people", "list")):
            assert "an API key is given by --api-key" in await operator.refused(*command)
            assert "an API key is given by --api-key" in await operator.refused(
                *command, "--api-key", "a-wrong-long-key"
            )
            await operator.ask(*command, "--api-key", "a-long-random-key")
    for command in (("groups", "list"), ("devices", "show")):
        assert server.url in await Operator(server.url).refused(*command)
