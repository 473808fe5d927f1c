"""kill -9 of the JSON lines sink, at random moments, while events keep coming."""

import asyncio
import json
import random
import signal
import sqlite3
import time
from collections import Counter
from contextlib import closing
from pathlib import Path

import pytest

from broker.embedded import EmbeddedBroker, open_embedded
from broker.embedded.groups import group_file
from tests.support.commands import finish, run, start
from tests.support.records import TOPICS, append_decided, make_topics, match_request
from tests.support.repeating import Repeating
from tests.support.waiting import until

ROUNDS = [pytest.param(8, id="8"), pytest.param(50, id="50", marks=pytest.mark.slow)]
PATIENCE_S = 60.0  # a command takes a second to start, and many seconds on a busy machine


def lines_of(out: Path) -> list[bytes]:
    return [line for path in sorted(out.glob("events-*")) for line in path.read_bytes().splitlines(keepends=True)]


def size_of(out: Path) -> int:
    return sum(path.stat().st_size for path in out.glob("events-*"))


def events_committed(data: Path) -> int:
    offsets = group_file(data, TOPICS.events, "sink-jsonl", "sqlite")
    if not offsets.exists():
        return 0
    with closing(sqlite3.connect(f"file:{offsets}?mode=ro", uri=True)) as connection:
        try:
            return connection.execute("SELECT coalesce(sum(next_offset), 0) FROM progress").fetchone()[0]
        except sqlite3.OperationalError:  # the table is not there yet
            return 0


def appending_to(log: EmbeddedBroker, written: list[str]) -> Repeating:
    async def append() -> None:
        request = match_request(len(written), f"10.0.0.{len(written) % 7}")
        await append_decided(log, request)
        written.append(request.request_id)

    return Repeating(append, 0.001)


@pytest.mark.timeout(600)
@pytest.mark.parametrize("rounds", ROUNDS)
async def test_every_event_is_in_the_files_exactly_once_however_often_the_sink_is_killed(
    tmp_path: Path, rounds: int
) -> None:
    chance = random.Random(20)
    data, out = tmp_path / "data", tmp_path / "out"
    command = ("sink", "jsonl", "--data-folder", data, "--out", out, "--max-bytes", 40_000)
    written: list[str] = []
    grew = 0
    async with open_embedded(data, role="owner", clock_ms=lambda: int(time.time() * 1000)) as log:
        await make_topics(log)
        appending = appending_to(log, written)
        for number in range(rounds):
            before = size_of(out)
            process = await start(*command)
            # Every other time at the first bytes: they are written then, and not yet committed.
            await until(lambda before=before: size_of(out) > before, PATIENCE_S, every_s=0.001)
            await asyncio.sleep(chance.uniform(0, 0.05) * (number % 2))
            assert process.returncode is None
            process.kill()
            assert (await finish(process, PATIENCE_S)).status == -signal.SIGKILL
            grew += size_of(out) > before
        await appending.end()
        last = await finish(await start(*command, "--idle-exit", "0.5s"), PATIENCE_S)
        ends = await log.end_offsets(TOPICS.events)

    assert last.status == 0, last.err
    assert grew == rounds, "every round was killed at work"
    lines = [json.loads(line) for line in lines_of(out)]
    places = [(line["place"]["partition"], line["place"]["offset"]) for line in lines]
    assert sorted(places) == sorted((p, offset) for p, end in ends.items() for offset in range(end))
    assert set(written) == {line["id"] for line in lines}
    assert len(list(out.glob("events-*"))) > 1


async def test_the_first_signal_drains_and_the_exit_status_is_that_of_success(tmp_path: Path) -> None:
    data, out = tmp_path / "data", tmp_path / "out"
    async with open_embedded(data, role="owner", clock_ms=lambda: int(time.time() * 1000)) as log:
        await make_topics(log)
        for count, number in enumerate((signal.SIGTERM, signal.SIGINT), start=1):
            await append_decided(log, match_request(count))
            process = await start("sink", "jsonl", "--data-folder", data, "--out", out)
            await until(lambda count=count: len(lines_of(out)) == count, PATIENCE_S)
            process.send_signal(number)
            ended = await finish(process, PATIENCE_S)
            assert (ended.status, ended.err) == (0, "")
    assert len(lines_of(out)) == 2


async def test_a_group_and_a_folder_have_one_sink(tmp_path: Path) -> None:
    data, out = tmp_path / "data", tmp_path / "out"
    async with open_embedded(data, role="owner", clock_ms=lambda: int(time.time() * 1000)) as log:
        await make_topics(log)
        await append_decided(log, match_request(1))
        first = await start("sink", "jsonl", "--data-folder", data, "--out", out)
        await until(lambda: lines_of(out), PATIENCE_S)
        for arguments in (("--out", tmp_path / "other"), ("--out", out, "--group", "other")):
            second = await run("sink", "jsonl", "--data-folder", data, *arguments)
            assert second.status == 2
            assert second.err.startswith("picturematch: ")
            assert second.err.count("\n") == 1
        first.terminate()
        assert (await finish(first, PATIENCE_S)).status == 0


@pytest.mark.parametrize("back", [True, False], ids=["put back", "gone"])
async def test_a_folder_that_is_moved_away_while_events_come_ends_the_sink_and_loses_none(
    tmp_path: Path, back: bool
) -> None:
    data, out, away = tmp_path / "data", tmp_path / "out", tmp_path / "away"
    command = ("sink", "jsonl", "--data-folder", data, "--out", out)
    async with open_embedded(data, role="owner", clock_ms=lambda: int(time.time() * 1000)) as log:
        await make_topics(log)
        await append_decided(log, match_request(1))
        process = await start(*command)
        # An event whose line is written and not yet committed would rightly be written again where the folder is gone.
        await until(lambda: events_committed(data) == 1, PATIENCE_S)
        out.rename(away)
        for number in range(2, 5):
            await append_decided(log, match_request(number))
        ended = await finish(process, PATIENCE_S)
        if back:
            away.rename(out)
        last = await finish(await start(*command, "--idle-exit", "0.2s"), PATIENCE_S)
    assert (ended.status, last.status) == (2, 0)
    assert ended.err.startswith(f"picturematch: {out} was moved, deleted or unmounted while events were written to it")
    carried = Counter(json.loads(line)["id"] for line in (*lines_of(out), *lines_of(away)))
    assert carried == Counter(["r1", "r2", "r3", "r4"])
