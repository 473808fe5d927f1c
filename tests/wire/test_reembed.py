"""The call of `picturematch people reembed` (docs/interface.md)."""

import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from contract.http import REEMBED_PATH
from contract.people.records import PersonRecord, PhotoReference
from contract.site_requests import EmbeddedFace, ReembedRequest
from contract.terms import DEFAULT_GROUP
from ingest.line import Line, Place
from tests.wire.harness import HttpReply, Site

WHOLE = base64.b64encode(bytes(8)).decode()
FACE = {"identity_id": "ada", "number": 3, "photo_sha256": "0a" * 32, "templates": {"whole": WHOLE}}


async def reembed(site: Site, action: str, *faces: dict[str, Any], **used: Any) -> HttpReply:
    body = {"action": action, "embedder": "e-r1", "faces": list(faces), **used}
    return await site.call("POST", REEMBED_PATH, json=body)


def enrol(site: Site, *numbers: int, sha256: bytes = b"\x0a" * 32) -> None:
    """Enrol ada with these faces, of one photo."""
    site.people.persons["ada"] = PersonRecord(
        identity_id="ada", group_ids=(DEFAULT_GROUP,), info={}, faces=numbers, next_face=9
    )
    for number in numbers:
        site.people.photos["ada", number] = PhotoReference(sha256=sha256, partition=0, offset=0)


async def test_the_faces_arrive_as_they_were_sent_and_each_has_its_outcome(site: Site) -> None:
    enrol(site, 3, 4)
    used = {"face": "largest", "covered_templates": False}
    reply = await reembed(site, "add", FACE, {**FACE, "number": 4}, **used)
    assert (reply.code, reply.headers["x-gallery-version"]) == (200, "7")
    assert reply.json == {"data": {"outcomes": ["added", "added"]}}
    (request,) = site.requests
    assert isinstance(request, ReembedRequest)
    assert (request.action, request.embedder) == ("add", "e-r1")
    assert (request.face, request.covered_templates) == ("largest", False)
    assert request.faces[0] == EmbeddedFace(
        identity_id="ada", number=3, photo_sha256=b"\x0a" * 32, templates={"whole": bytes(8)}
    )


async def test_templates_of_who_is_not_enrolled_with_the_photo_any_more_are_not_written_to_the_log(site: Site) -> None:
    enrol(site, 3)
    site.people.photos["ada", 4] = site.people.photos["ada", 3]  # a photo of a face that the person has no more
    others = ({**FACE, "number": 4}, {**FACE, "photo_sha256": "0b" * 32}, {**FACE, "identity_id": "erased"})
    assert (await reembed(site, "add", *others, FACE)).code == 200
    (request,) = site.requests
    assert isinstance(request, ReembedRequest)
    assert [
        (face.identity_id, face.number, bool(face.templates), bool(face.photo_sha256)) for face in request.faces
    ] == [
        ("ada", 4, False, False),
        ("ada", 3, False, False),
        ("erased", 3, False, False),
        ("ada", 3, True, True),
    ]


async def test_who_is_deleted_while_the_call_waits_for_its_turn_leaves_no_template(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    enrol(site, 3)
    turn = Line.turn

    @asynccontextmanager
    async def late(line: Line, *args: Any) -> AsyncIterator[Place]:
        async with turn(line, *args) as place:
            site.people.persons.clear()
            yield place

    monkeypatch.setattr(Line, "turn", late)
    assert (await reembed(site, "add", FACE)).code == 200
    (request,) = site.requests
    assert isinstance(request, ReembedRequest)
    assert request.faces == (EmbeddedFace(identity_id="ada", number=3),)


async def test_to_remove_a_face_needs_no_templates(site: Site) -> None:
    reply = await reembed(site, "remove", {"identity_id": "ada", "number": 3})
    assert reply.json == {"data": {"outcomes": ["removed"]}}


@pytest.mark.parametrize("missing", ["photo_sha256", "templates"])
async def test_to_add_a_face_needs_its_photo_and_its_templates(site: Site, missing: str) -> None:
    reply = await reembed(site, "add", FACE, {name: value for name, value in FACE.items() if name != missing})
    assert reply.code == 40071
    assert b"faces[1] needs photo_sha256 and templates" in reply.body
    assert not site.requests


@pytest.mark.parametrize("count", [0, 201])
async def test_no_faces_and_too_many_are_refused(site: Site, count: int) -> None:
    assert (await reembed(site, "remove", *[{"identity_id": "a", "number": 1}] * count)).code == 40071
