"""The call of `picturematch people reembed` (docs/interface.md)."""

import base64
from typing import Any

import pytest

from contract.http import REEMBED_PATH
from contract.requests import EmbeddedFace, ReembedRequest
from tests.wire.harness import HttpReply, Site

WHOLE = base64.b64encode(bytes(8)).decode()
FACE = {"identity_id": "ada", "number": 3, "photo_sha256": "0a" * 32, "templates": {"whole": WHOLE}}


async def reembed(site: Site, action: str, *faces: dict[str, Any]) -> HttpReply:
    return await site.call("POST", REEMBED_PATH, json={"action": action, "embedder": "e-r1", "faces": list(faces)})


async def test_the_faces_arrive_as_they_were_sent_and_each_has_its_outcome(site: Site) -> None:
    reply = await reembed(site, "add", FACE, {**FACE, "number": 4})
    assert (reply.code, reply.headers["x-gallery-version"]) == (200, "7")
    assert reply.json == {"data": {"outcomes": ["added", "added"]}}
    (request,) = site.requests
    assert isinstance(request, ReembedRequest)
    assert (request.action, request.embedder) == ("add", "e-r1")
    assert request.faces[0] == EmbeddedFace(
        identity_id="ada", number=3, photo_sha256=b"\x0a" * 32, templates={"whole": bytes(8)}
    )


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
