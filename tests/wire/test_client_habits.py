"""Habits of the vendor's clients that every call accepts: a bare `?` after the URL, and base64 as they write it."""

import base64
from collections.abc import Callable
from typing import Any

import pytest

from contract.calls.declaration import Declaration
from contract.calls.rules import PICTURE
from contract.calls.shared import EXAMPLE_PICTURE
from contract.messages import Request
from ingest.api.listing import DECLARATIONS
from tests.support.interface_document import name
from tests.wire.harness import HttpReply, Serving, Site, add_person

WITH_PICTURES = [each for each in DECLARATIONS if any(field.rule is PICTURE for field in each.fields)]
WRITTEN: dict[str, Callable[[bytes], str]] = {
    "in the URL-safe alphabet": lambda data: base64.urlsafe_b64encode(data).decode(),
    "in lines": lambda data: base64.encodebytes(data).decode(),
    "without padding": lambda data: base64.b64encode(data).decode().rstrip("="),
    "as a data URL": lambda data: f"data:image/jpeg;base64,{base64.b64encode(data).decode()}",
}


async def ask(site: Site, declaration: Declaration, text: str, mark: str = "") -> HttpReply:
    """Make a call with the declared examples, in which `text` takes the place of the example picture."""
    example = declaration.example()
    path = declaration.path.format(**example) + mark
    if declaration.method == "GET":
        return await site.call("GET", path)
    body = {field: text if value == EXAMPLE_PICTURE else value for field, value in example.items()}
    return await site.call(declaration.method, path, json=body)


def pictures_of(request: Request) -> list[Any]:
    """The pictures of a request of any kind."""
    names = ("picture", "face_picture", "card_picture", "photo")
    return [getattr(request, name) for name in names if getattr(request, name, None)]


@pytest.mark.parametrize("declaration", DECLARATIONS, ids=name)
async def test_a_bare_question_mark_after_the_url_is_accepted(serving: Serving, declaration: Declaration) -> None:
    async with serving() as site:
        await add_person(site, "666666", site.picture)
        site.people.version = site.gallery_version
        plain = await ask(site, declaration, site.picture_base64)
        marked = await ask(site, declaration, site.picture_base64, "?")
        assert (plain.status, marked.status) == (200, 200), marked.body


@pytest.mark.parametrize("declaration", WITH_PICTURES, ids=name)
@pytest.mark.parametrize("way", WRITTEN)
async def test_base64_is_accepted_as_clients_write_it(site: Site, declaration: Declaration, way: str) -> None:
    # The bytes behind the end of a JPEG make its base64 end with padding.
    data = site.picture + bytes(1 + -len(site.picture) % 3)
    text = WRITTEN[way](data)
    assert text != base64.b64encode(data).decode()
    reply = await ask(site, declaration, text)
    assert reply.status == 200, reply.body
    assert set(pictures_of(site.requests[-1])) == {data}
