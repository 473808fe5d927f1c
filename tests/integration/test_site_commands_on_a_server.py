"""`people`, `groups`, `permissions` and `access` against a running server, as an operator uses them."""

import json
from pathlib import Path
from typing import Any

from tests.faults.test_serve import serving
from tests.support.commands import run
from tests.support.faces import photo

WEEK = [{"days": [1, 2, 3, 4, 5], "from": "08:00", "to": "18:00"}]


async def test_an_operator_sets_up_a_site_and_finds_out_who_may_pass(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    for name, seed, size in (("ada.jpg", 1, 160), ("ada-2.jpg", 1, 200), ("bo.jpg", 2, 160)):
        (tmp_path / name).write_bytes(photo(seed, size))
    async with serving(folder) as server:

        async def do(*words: object, status: int = 0) -> list[Any]:
            done = await run(*words, "--url", server.url)
            assert (done.status, status) == (status, done.status), done
            return [json.loads(line) for line in done.out.splitlines()]

        await do("groups", "add", "staff", "--description", "the day shift")
        await do("groups", "add", "staff", status=2)
        await do("permissions", "add", "day", "--pass-times", "mon-fri 08:00-18:00")
        photos = ("--photo", tmp_path / "ada.jpg", "--photo", tmp_path / "ada-2.jpg")
        await do("people", "add", "ada", "--name", "Ada", *photos, "--group", "staff", "--permission", "day")
        await do("people", "add", "bo", "--name", "Bo", "--photo", tmp_path / "bo.jpg", "--type", "visitor")

        (permission,) = await do("permissions", "show", "day")
        assert (permission["people"], permission["info"]["pass_times"]) == (1, WEEK)
        assert [p["identity_id"] for p in await do("people", "list", "--group", "staff")] == ["ada"]
        assert [p["identity_id"] for p in await do("people", "list", "--permission", "day")] == ["ada"]
        assert [p["identity_id"] for p in await do("people", "list", "--type", "visitor")] == ["bo"]
        assert [p["identity_id"] for p in await do("people", "list", "--name", "a")] == ["ada"]
        await do("groups", "add-people", "staff", "bo", "nobody", status=1)
        assert (await do("groups", "show", "staff"))[0]["people"] == 2
        await do("groups", "change", "staff", "--info", "floor:=3")
        (staff,) = await do("groups", "list", "--name", "sta")
        assert (staff["description"], staff["info"]["floor"]) == ("the day shift", 3)
        await do("people", "change", "ada", "--valid-until", "2026-12-31T00:00Z", "--type", "vip")
        (ada,) = await do("people", "show", "ada")
        assert ada["info"] | {"image_id": "", "user_id": ""} == {
            "name": "Ada",
            "type": 5,
            "valid_until": 1798675200.0,
            "image_id": "",
            "user_id": "",
            "permission_ids": [permission["permission_id"]],
        }

        async def access(who: str, at: str) -> dict[str, bool]:
            done = await run("access", who, "10.0.0.1", "--at", at, "--data-folder", folder, "--json", **_STAND_IN)
            checks = {check["check"]: check["passes"] for check in map(json.loads, done.out.splitlines())}
            assert done.status == (0 if all(checks.values()) else 1), done
            return checks

        bo = await access("Bo", "2026-11-23T09:00Z")
        assert (bo["group"], bo["permission"], bo["face"]) == (True, True, True)
        ada_now = await access("ada", "2027-01-01T09:00Z")
        assert (ada_now["group"], ada_now["permission"], ada_now["validity"]) == (False, False, False)
        words = await run("access", "ada", "10.0.0.1", "--data-folder", folder, **_STAND_IN)
        assert words.out.endswith("the person would not pass\n")

        await do("groups", "remove-people", "staff", "bo")
        assert (await do("groups", "delete", "staff", "--with-people", "--yes"))[0]["people_deleted"] == 1
        assert [p["identity_id"] for p in await do("people", "list")] == ["bo"]
        assert (await do("people", "delete", "bo", "ada", status=1))[0]["deleted"] == ["bo"]


_STAND_IN = {"PICTUREMATCH_MODELS__KIND": "stand-in"}
