"""The call of `picturematch people import` (docs/interface.md)."""

import base64
from typing import Any

import pytest

from contract.answers import ImportedAnswer
from contract.http import IMPORT_PATH
from contract.imports import MOST_FACES, MOST_LOOKED_AT, MOST_PEOPLE, ImportFailure
from contract.site_requests import ImportRequest
from tests.wire.harness import HttpReply, Site

WHOLE = {"whole": base64.b64encode(bytes(8)).decode()}
FACE = {"embedder": "e-r1", "templates": WHOLE}
PICTURE = base64.b64encode(b"any bytes").decode()


async def bring(site: Site, *people: dict[str, Any], **fields: Any) -> HttpReply:
    return await site.call("POST", IMPORT_PATH, json={"people": list(people), **fields})


async def test_the_people_are_one_request_with_raw_bytes(site: Site) -> None:
    ada = {
        "identity_id": "ada",
        "group_name": "staff, day",
        "info": {"zeta": 1, "name": "Ada", "gone": None},
        "faces": [FACE, {"number": 7, "photo": f"data:image/jpeg;base64,{PICTURE}", "sent_sha256": "0" * 64}],
    }
    reply = await bring(site, ada, {"identity_id": "bob"}, fiqa_level="low")
    assert reply.code == 200
    assert reply.json["data"]["added"] == 2
    (request,) = site.requests
    assert isinstance(request, ImportRequest)
    person, other = request.people
    assert (person.group_names, other.group_names, other.faces) == (("staff", "day"), None, ())
    assert list(person.info) == ["zeta", "name", "gone"], "in the order as sent"
    assert person.faces[0].templates == {"whole": bytes(8)}
    assert (person.faces[1].photo, person.faces[1].sent_sha256) == (b"any bytes", bytes(32))
    assert (request.quality_level, request.restore) == ("low", False)


async def test_groups_and_permissions_alone_are_a_request(site: Site) -> None:
    sent = {"groups": [{"group_id": "g", "name": "n", "info": {"a": 1}}], "permissions": []}
    reply = await site.call("POST", IMPORT_PATH, json={**sent, "restore": True})
    assert reply.code == 200
    (request,) = site.requests
    assert isinstance(request, ImportRequest)
    assert (request.site.groups[0].info, request.restore) == ({"a": 1}, True)


@pytest.mark.parametrize(
    "people",
    [
        [{"identity_id": str(n)} for n in range(MOST_PEOPLE + 1)],
        [{"identity_id": "a", "faces": [FACE] * (MOST_FACES + 1)}],
        [{"identity_id": "a", "faces": [{"photo": PICTURE}] * (MOST_LOOKED_AT + 1)}],
        [{"identity_id": str(n), "faces": [{**FACE, "photo": PICTURE}]} for n in range(MOST_LOOKED_AT + 1)],
        [{"identity_id": "a", "faces": [{"embedder": "e-r1"}]}],
        [{"identity_id": "a"}, {"identity_id": "b\u202e"}],
        [],
    ],
    ids=[
        "people",
        "faces",
        "photos",
        "photos that are no JPEG",
        "neither templates nor photo",
        "a misleading id",
        "nobody",
    ],
)
async def test_too_many_or_malformed_people_refuse_the_whole_call(site: Site, people: list[dict[str, Any]]) -> None:
    reply = await bring(site, *people)
    assert reply.code == 40071
    assert site.requests == []


async def test_jpegs_beside_templates_are_stored_as_they_are_and_may_be_many(site: Site) -> None:
    """Any other picture is decoded and encoded: many of them would hold up the administration for minutes."""
    jpeg = base64.b64encode(b"\xff\xd8\xff any bytes").decode()
    people = [{"identity_id": str(n), "faces": [{**FACE, "photo": jpeg}]} for n in range(MOST_LOOKED_AT + 1)]
    assert (await bring(site, *people)).code == 200


async def test_only_an_export_may_contain_an_id_that_earlier_versions_accepted(site: Site) -> None:
    person = {"identity_id": "b\u202e", "group_ids": []}
    assert (await bring(site, person)).code == 40071
    assert (await bring(site, person, restore=True)).code == 200
    assert (await bring(site, {"identity_id": "a\x1b"}, restore=True)).code == 40071
    assert len(site.requests) == 1


async def test_a_thousand_people_have_more_values_than_other_calls_may_have(site: Site) -> None:
    info = {f"m{n}": n for n in range(25)}
    people = [{"identity_id": str(n), "info": info, "faces": [FACE]} for n in range(MOST_PEOPLE)]
    assert (await bring(site, *people)).code == 200


async def test_those_who_failed_have_their_place_and_their_error(site: Site) -> None:
    async def answer(_: object) -> ImportedAnswer:
        failed = ImportFailure(place=1, identity_id="b", code=40010, message="no")
        return ImportedAnswer(added=1, present=(2,), faces=1, failed=(failed,), groups={"g": "h"})

    site.script = answer
    reply = await bring(site, *({"identity_id": who} for who in "abc"))
    assert reply.json["data"] == {
        "added": 1,
        "present": [2],
        "faces": 1,
        "unsearched": 0,
        "failed": [
            {"place": 1, "identity_id": "b", "error": {"code": 40010, "message": "no", "status": "BAD_FEATURE_ERROR"}}
        ],
        "groups": {"g": "h"},
        "permissions": {},
    }
