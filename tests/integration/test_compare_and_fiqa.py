"""compare and FIQA through a whole system: what is asked over HTTP, answered, and left in the log."""

import base64
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from contract.events import Event, decode_event
from contract.http import COMPARE_PATH, FIQA_PATH, FIQA_V6_PATH, MATCH_PATH
from contract.topics import Topics
from engine.vision.networks.standin import draw_face, stand_in_models
from ingest.settings import IngestSettings
from picturematch.settings import ModelSettings, Settings
from picturematch.system import System
from picturematch.wiring import run_system
from tests.integration.test_processor import read_all
from tests.support.faces import photo, scene


@pytest.fixture
async def system(tmp_path: Path) -> AsyncIterator[System]:
    settings = Settings(data_folder=tmp_path, ingest=IngestSettings(port=0), models=ModelSettings(kind="stand-in"))
    async with run_system(settings, stand_in_models()) as running:
        yield running


def text(picture: bytes) -> str:
    return base64.b64encode(picture).decode()


async def ask(system: System, path: str, **fields: Any) -> dict[str, Any]:
    async with aiohttp.ClientSession() as session, session.post(system.url + path, json=fields) as response:
        return {**await response.json(), "id": response.headers["X-Request-Id"]}


async def compare(system: System, face: bytes, card: bytes, **fields: Any) -> dict[str, Any]:
    return await ask(system, COMPARE_PATH, face_image_base64=text(face), card_image_base64=text(card), **fields)


async def events(system: System) -> list[Event]:
    return [decode_event(record.value or b"") for record in await read_all(system.broker, Topics().events)]


async def test_two_pictures_of_one_person_are_the_same_and_of_two_are_not(system: System) -> None:
    same = await compare(system, photo(1), photo(1, size=200))
    different = await compare(system, photo(1), photo(2))
    assert (same["retcode"], different["retcode"]) == ("1", "0")
    assert same["score"] > 0.9
    assert different["score"] < 0.5


async def test_a_saved_comparison_leaves_the_event_that_its_answer_told_of(system: System) -> None:
    info = {"identity_id": "4711", "name": "Ada", "document": {"number": 7}}
    answer = await compare(
        system, photo(1), photo(1, size=200), need_save=True, identity_info=info, compare_time=1_700_000_000.25
    )
    (event,) = await events(system)
    assert (event.id, event.kind, event.outcome) == (answer["id"], "compare", "same")
    assert (event.retcode, event.score) == (answer["retcode"], answer["score"])
    assert (event.identity_id, event.name, event.identity_info) == ("4711", "Ada", info)
    assert event.compare_time == 1_700_000_000.25


async def test_what_nobody_wanted_saved_leaves_no_event(system: System) -> None:
    assert (await compare(system, photo(1), photo(1)))["retcode"] == "1"
    assert (await compare(system, photo(1), scene()))["error"]["status"] == "NO_FACE"
    assert "data" in await ask(system, FIQA_PATH, image_base64_str=text(photo(1)))
    empty = await ask(system, MATCH_PATH, rgb_image_base64=text(photo(1)), device_ip="10.0.0.1")
    assert empty["error"]["status"] == "EMPTY_GROUP_ERROR"
    assert [event.id for event in await events(system)] == [empty["id"]]


async def test_the_quality_of_each_face_is_answered_item_by_item_the_largest_first(system: System) -> None:
    picture = scene(draw_face(1, 80), draw_face(2, 150, yaw=30))
    answer = await ask(system, FIQA_PATH, image_base64_str=text(picture), fiqa_level="middle")
    largest, smaller = answer["data"]
    assert (largest["fiqa_result"], largest["fails"]) == (True, [])
    assert largest["bbox"] == pytest.approx([120, 40, 270, 190], abs=4)
    assert set(largest["success"]) >= {"face_size", "headpose", "partial", "brightness"}
    assert largest["info"]["face_size"] == pytest.approx(150, abs=4)
    assert smaller["info"]["face_size"] == pytest.approx(80, abs=4)
    assert "clarity" in largest["info"], "measured, although the level has no limit for it"
    assert 0 <= largest["score"] <= 1


async def test_version_6_of_fiqa_is_about_the_largest_face(system: System) -> None:
    picture = scene(draw_face(1, 80), draw_face(2, 150))
    answer = await ask(system, FIQA_V6_PATH, image_base64_str=text(picture), fiqa_level="middle")
    assert answer["detailed_result"]["detailed_scores"]["face_size"] == pytest.approx(150, abs=4)
    nobody = await ask(system, FIQA_V6_PATH, image_base64_str=text(scene()))
    assert nobody["error"]["code"] == "NO_FACE_ERROR"


async def test_what_was_found_in_both_pictures_of_a_comparison_comes_when_asked_for(system: System) -> None:
    answer = await compare(system, photo(1), photo(1), with_debug_info=True)
    assert [answer["debug_info"][picture]["faces"] for picture in ("face", "card")] == [1, 1]


async def test_low_quality_is_an_answer_to_fiqa_and_an_error_of_compare(system: System) -> None:
    small = photo(1, size=70)
    (face,) = (await ask(system, FIQA_PATH, image_base64_str=text(small)))["data"]
    assert (face["fiqa_result"], face["fails"]) == (False, ["face_size"])
    refused = await compare(system, small, photo(1), fiqa_level="high")
    assert refused["error"]["status"] == "LOW_QUALITY_ERROR"
    assert refused["error"]["message"].startswith("face_image_base64")
    assert "face_size" in refused["error"]["message"]
    assert (await compare(system, photo(1), small, fiqa_level="high"))["retcode"] == "1"
