"""Look-alikes on a running system, on either log: the answer to an enrolment, and the command."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import orjson
import pytest

from contract.http import USERS_PATH
from tests.integration.test_roles_on_kafka import encoded
from tests.support.faces import photo
from tests.support.sites import Processes, at, embedded_site, kafka_site


async def call(site: Processes, method: str, identity_id: str, seed: int, **fields: Any) -> dict[str, Any]:
    body = {"identity_id": identity_id, "reg_photo": encoded(photo(seed)), **fields}
    async with aiohttp.ClientSession() as session, session.request(method, site.url + USERS_PATH, json=body) as answer:
        return {"status": answer.status, **(await answer.json())}


@pytest.fixture(params=["embedded", "kafka"])
async def site(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Processes]:
    """A running system, on either log."""
    if request.param == "embedded":
        opened = embedded_site(tmp_path)
    else:
        opened = kafka_site(request.getfixturevalue("kafka_bootstrap"), tmp_path)
    async with opened as running:
        yield running


async def test_an_enrolment_names_look_alikes_and_the_command_lists_the_pairs(site: Processes, tmp_path: Path) -> None:
    assert "lookalikes" not in (await call(site, "POST", "anna", 1))["data"]
    assert "lookalikes" not in (await call(site, "POST", "bert", 2))["data"]
    none = await at(site, "people", "lookalikes")
    assert (none.status, none.out) == (0, "")
    assert "0 pairs" in none.err

    (alike,) = (await call(site, "POST", "anna-2", 1))["data"]["lookalikes"]
    assert (alike["identity_id"], alike["shares_scope"]) == ("anna", True)
    assert alike["score"] > 0.99
    (again,) = (await call(site, "PUT", "anna", 1))["data"]["lookalikes"]
    assert again["identity_id"] == "anna-2"

    found = await at(site, "people", "lookalikes", "--format", "json")
    (pair,) = map(orjson.loads, found.out.splitlines())
    assert found.status == 1
    assert (pair["identity_ids"], pair["faces"], pair["shares_scope"]) == (["anna", "anna-2"], [0, 0], True)
    text = await at(site, "people", "lookalikes", "--above", "0.9")
    assert text.out.startswith("anna (no name, face 0) and anna-2 (no name, face 0): cosine 1.000")

    photos = tmp_path / "photos"
    photos.mkdir()
    (photos / "carl.jpg").write_bytes(photo(2))
    enrolled = await at(site, "enrol", photos, "--url", site.url)
    assert enrolled.status == 0
    assert "carl.jpg: warning: the face is too similar to that of bert" in enrolled.err
    assert "1 face with look-alikes" in enrolled.out
