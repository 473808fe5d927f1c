"""Names and ids that would show other than they are, or steer a terminal, are refused by name."""

import json
from typing import Any
from urllib.parse import quote

import orjson
import pytest

from contract.http import COMPARE_PATH, MATCH_PATH, USERS_PATH
from tests.support.terminal import FRIENDLY
from tests.wire.harness import HttpReply, Site, add_person

MISLEADING = [
    *"\x00\t\n\x1b\x7f\x80\x85\x9b\x9f\u2028\u2029\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069",
]
SURROGATES = ["\ud800", "\udfff"]
every_one = pytest.mark.parametrize("character", MISLEADING, ids=lambda c: f"U+{ord(c):04X}")
JSON = {"Content-Type": "application/json"}


def refusal(reply: HttpReply) -> tuple[int, str]:
    """The code of an error, and the field that its message begins with; the message must be printable."""
    message = reply.json["error"]["message"]
    assert message.isprintable()
    return reply.code, message.split(" ")[0].rstrip(":")


@every_one
async def test_of_an_enrolment(site: Site, character: str) -> None:
    bad = f"Ada{character}Byron"
    good: dict[str, Any] = {"identity_id": "1", "reg_photo": site.picture_base64}
    for method in ("POST", "PUT"):
        assert refusal(await site.users(method, {**good, "identity_id": bad})) == (40091, "identity_id")
        assert refusal(await site.users(method, {**good, "info": {"name": bad}})) == (40091, "info.name")
        permitted = {**good, "info": {"permission_ids": ["0", bad]}}
        assert refusal(await site.users(method, permitted)) == (40012, "info.permission_ids")
    for groups in (bad, f"staff,{bad}"):
        assert refusal(await site.users("POST", {**good, "group_name": groups})) == (40012, "group_name")
    assert site.requests == []


@every_one
async def test_of_a_match_and_a_comparison(site: Site, character: str) -> None:
    bad = f"gate{character}1"
    assert refusal(await site.match(device_ip=bad)) == (40071, "device_ip")
    assert refusal(await site.match(group_name=bad)) == (40012, "group_name")
    assert refusal(await site.match(group_name="staff", permission_name=bad)) == (40012, "permission_name")
    for field in ("identity_id", "name"):
        told = {"need_save": True, "identity_info": {field: bad}}
        assert refusal(await site.compare(**told)) == (40071, f"identity_info.{field}")
    assert site.requests == []


@every_one
async def test_of_a_look_up(site: Site, character: str) -> None:
    reply = await site.call("GET", f"{USERS_PATH}?group_name={quote(f'a{character}b')}")
    assert refusal(reply) == (40012, "group_name")


@pytest.mark.parametrize("character", ["\x85", "\u2028", "\u2029", "\x1c"], ids=lambda c: f"U+{ord(c):04X}")
async def test_around_a_group_name_they_are_no_blanks(site: Site, character: str) -> None:
    for text in (f"{character}staff", f"staff{character}"):
        assert refusal(await site.match(group_name=text)) == (40012, "group_name")
    assert (await site.match(group_name=" staff\n")).code == 200


@pytest.mark.parametrize("character", SURROGATES, ids=["high", "low"])
async def test_unpaired_surrogates_are_no_text_at_all(site: Site, character: str) -> None:
    for path, body in (
        (USERS_PATH, {"identity_id": character, "reg_photo": site.picture_base64}),
        (USERS_PATH, {"identity_id": "1", "reg_photo": site.picture_base64, "info": {"note": character}}),
        (MATCH_PATH, site.body(grab_fiqa_info={"note": character})),
        (COMPARE_PATH, {"identity_info": {"name": character}}),
    ):
        assert (await site.call("POST", path, data=json.dumps(body).encode(), headers=JSON)).code == 40000
    assert site.requests == []


async def test_names_of_all_scripts_are_welcome(site: Site) -> None:
    for name in FRIENDLY.split(" "):
        body = {"identity_id": name, "reg_photo": site.picture_base64, "group_name": name, "info": {"name": name}}
        reply = await site.users("POST", body)
        assert reply.code == 200
        assert reply.json["data"]["identity_id"] == name
        told = {"need_save": True, "identity_info": {"identity_id": name, "name": name}}
        assert (await site.compare(**told)).code == 200
    assert (await site.users("POST", {**body, "info": {"name": FRIENDLY}})).code == 200


async def test_whoever_is_enrolled_under_a_turned_id_can_be_looked_up_and_deleted(site: Site) -> None:
    turned = "666\u202e666"
    await add_person(site, turned, b"photo")
    site.people.version = site.gallery_version
    looked_up = await site.call("GET", f"{USERS_PATH}?identity_id={quote(turned)}")
    assert looked_up.json["data"]["identities_list"][0]["identity_id"] == turned
    assert (await site.users("DELETE", {"identity_id": turned})).code == 200
    assert (await site.users("DELETE", {"identity_ids": [turned]})).code == 200
    for steering in ("6\x9b6", "6\x1b6", "6\x7f6"):
        assert refusal(await site.users("DELETE", {"identity_id": steering})) == (40091, "identity_id")


async def test_other_texts_are_kept_as_they_came(site: Site) -> None:
    note = {"note": "a\u202eb\x9bc\u2028"}
    assert (await site.match(grab_fiqa_info=note)).code == 200
    assert (await site.users("POST", {"identity_id": "1", "reg_photo": site.picture_base64, "info": note})).code == 200
    assert [orjson.dumps(note) in orjson.dumps(kept) for kept in (site.requests[0].grab_fiqa_info,)] == [True]
    assert site.requests[1].info == note
