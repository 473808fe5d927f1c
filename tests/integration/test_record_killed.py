"""kill -9 of `picturematch record` while it writes, several times in a row: the capture holds each request once."""

import asyncio
import time
from collections import Counter
from pathlib import Path

import orjson
import pytest

from broker.embedded import open_embedded
from tests.support.commands import finish, start
from tests.support.records import TOPICS, append_decided, make_topics, match_request
from tests.support.waiting import until

PATIENCE_S = 60.0
PARTITIONS = 3
REQUESTS = 80
KILLS = 3


@pytest.mark.timeout(600)
async def test_a_capture_that_was_killed_and_continued_holds_each_request_once(tmp_path: Path) -> None:
    data, out = tmp_path / "data", tmp_path / "out"
    requests = out / "requests.jsonl"
    command = ("record", "--data-folder", data, "--out", out)

    def size() -> int:
        return requests.stat().st_size if requests.exists() else 0

    async with open_embedded(data, role="owner", clock_ms=lambda: int(time.time() * 1000)) as log:
        await make_topics(log, PARTITIONS)
        for kill in range(KILLS):
            for number in range(REQUESTS):
                await append_decided(log, match_request(kill * REQUESTS + number, f"10.0.0.{number % 7}"))
            before = size()
            process = await start(*command)
            await until(lambda before=before: size() > before, PATIENCE_S, every_s=0.001)
            process.kill()
            await finish(process, PATIENCE_S)
        last = await finish(await start(*command), PATIENCE_S)
        assert last.status == 0, last.err
        ends = await log.end_offsets(TOPICS.requests)
    lines = [orjson.loads(line) for line in await asyncio.to_thread(lambda: requests.read_bytes().splitlines())]
    places = Counter((line["place"]["partition"], line["place"]["offset"]) for line in lines)
    assert places == Counter((partition, offset) for partition, end in ends.items() for offset in range(end))
    assert all(line["decision"] for line in lines)
