"""kill -9 of a whole server at random moments, while matches come whose events are uploaded."""

import asyncio
import base64
import random
import time
from collections import Counter
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from contract.http import HISTORY_EVENT_URL_PATH, MATCH_PATH, USERS_PATH
from tests.support.faces import photo
from tests.support.receivers import Receiver, receiving
from tests.support.sites import Processes, environment
from tests.support.waiting import until

PATIENCE_S = 60.0
ROUNDS = [pytest.param(3, id="3"), pytest.param(50, id="50", marks=pytest.mark.slow)]


def uploaded(receiver: Receiver) -> Counter[Any]:
    """The compare_time of what has come."""
    return Counter(upload.json["timestamp"] for upload in receiver.tried)


@pytest.mark.timeout(900)
@pytest.mark.parametrize("rounds", ROUNDS)
async def test_every_answered_match_is_uploaded_however_often_the_server_is_killed(tmp_path: Path, rounds: int) -> None:
    chance = random.Random(33)
    site = Processes(
        environment(
            PICTUREMATCH_DATA_FOLDER=str(tmp_path / "data"),
            PICTUREMATCH_MATCHING__UNKNOWN_DEVICE="accept",
            PICTUREMATCH_PUSH__RETRYING__FIRST_WAIT_S="0.1",
        ),
        tmp_path,
    )
    picture, answered = base64.b64encode(photo(7)).decode(), []

    async def post(session: aiohttp.ClientSession, path: str, **body: Any) -> int:
        async with session.post(f"{site.url}{path}", json=body) as response:
            return response.status

    async def keep_matching(session: aiohttp.ClientSession) -> None:
        number = 0
        while True:
            number += 1
            match = {"device_ip": f"10.0.0.{number % 5}", "rgb_image_base64": picture, "compare_time": float(number)}
            try:
                if await post(session, MATCH_PATH, **match) == 200:
                    answered.append(1000 * number)
            except aiohttp.ClientError:
                await asyncio.sleep(0.05)

    try:
        await site.start()
        async with receiving() as receiver, aiohttp.ClientSession() as session:
            person = {"identity_id": "7", "reg_photo": picture, "info": {"name": "Anna"}, "fiqa_level": "no"}
            assert await post(session, USERS_PATH, **person, group_name="default_group") == 200
            receivers = {"history_upload_event_url": [receiver.url], "content-type": "json", "reported_peroid": 1}
            assert await post(session, HISTORY_EVENT_URL_PATH, **receivers) == 200
            matching = asyncio.create_task(keep_matching(session))
            for _ in range(rounds):
                before = len(receiver.tried)
                await until(lambda before=before: len(receiver.tried) > before, PATIENCE_S)
                await asyncio.sleep(chance.uniform(0, 0.5))
                await site.restart()
            matching.cancel()
            await asyncio.wait([matching])
            await until(lambda: set(answered) <= set(uploaded(receiver)), PATIENCE_S)
            at_s = time.monotonic()
            await until(lambda: time.monotonic() - at_s > 2.5, PATIENCE_S)
        assert len(answered) > 10
        # What comes twice is what was uploaded in the last moments before a kill.
        assert max(uploaded(receiver).values()) <= 1 + rounds
    finally:
        await site.end()
