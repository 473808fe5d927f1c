"""Look-alikes on a running system, on either log: the answer to an enrolment, and the command."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np
import orjson
import pytest

from contract.http import USERS_PATH
from tests.integration.test_roles_on_kafka import encoded
from tests.support.commands import run
from tests.support.faces import MODELS, photo
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


async def test_who_is_alike_only_to_the_mean_of_several_faces_is_named_and_listed(tmp_path: Path) -> None:
    """A match compares that mean, so the enrolment and the command do, too; in words, not by the number of a face."""
    side, axis = np.eye(2, MODELS.embedder.dimension)
    anna, bert = [0.4 * axis + 0.9 * side, 0.4 * axis - 0.9 * side], axis
    async with embedded_site(tmp_path) as site:
        await feature(site, "POST", "anna", anna[0], info={"name": "Anna"})
        await feature(site, "PUT", "anna", anna[1])
        (alike,) = (await feature(site, "POST", "bert", bert))["lookalikes"]
        assert (alike["identity_id"], alike["score"]) == ("anna", pytest.approx(1, abs=1e-5))
        assert alike.keys() == {"identity_id", "score", "percent", "shares_scope"}

        found = await at(site, "people", "lookalikes", "--format", "json")
        (pair,) = map(orjson.loads, found.out.splitlines())
        assert (pair["identity_ids"], pair["faces"]) == (["anna", "bert"], ["mean", 0])
        text = await at(site, "people", "lookalikes")
        assert text.out.startswith("anna (Anna, mean of the faces) and bert (no name, face 0): cosine 1.000")
        assert "among 3 faces and 1 mean of 2 people" in text.err
        off = {**site.environment, "PICTUREMATCH_MATCHING__MEAN_TEMPLATES": "false"}
        without = await run("people", "lookalikes", **off)
        assert (without.status, without.out) == (0, "")
        assert "among 3 faces of 2 people" in without.err


async def feature(site: Processes, method: str, identity_id: str, vector: np.ndarray, **fields: Any) -> dict[str, Any]:
    """The data of the answer to an enrolment with a feature."""
    named = {"import_mode": True, "feature": vector.tolist(), "feature_model": MODELS.embedder_identity}
    body = {"identity_id": identity_id, "info": {}, **named, **fields}
    async with aiohttp.ClientSession() as session, session.request(method, site.url + USERS_PATH, json=body) as answer:
        assert answer.status == 200, await answer.text()
        data: dict[str, Any] = (await answer.json())["data"]
        return data
