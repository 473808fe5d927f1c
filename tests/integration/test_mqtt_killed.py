"""kill -9 of the mqtt sink as a process of its own: nothing lost, doubles with the same id, doors at most once."""

import asyncio
import json
import math
import random
import signal
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from broker.embedded import EmbeddedBroker, open_embedded
from contract.events import Event
from contract.people.site import Site
from sinks.mqtt_topics import MqttTopics
from tests.support.commands import finish, run, start
from tests.support.mosquitto import (
    PASSWORD,
    USER,
    Mosquitto,
    Watcher,
    mosquitto,
    needs_mosquitto,
    watching,
    with_password,
)
from tests.support.mqtt_sinking import record_of
from tests.support.repeating import Repeating
from tests.support.sinking import event, with_topics
from tests.support.waiting import until

pytestmark = needs_mosquitto

ROUNDS = 4
AHEAD = 300
"""The most events that wait for a sink, which spends most of the time of this test on its starts."""
UNREGISTERED = MqttTopics("picturematch").event(Site().device_id_of("10.0.0.1"), "matched")
PATIENCE_S = 60.0


def log_at(folder: Path) -> EmbeddedBroker:
    return open_embedded(folder, role="owner", clock_ms=lambda: int(time.time() * 1000))


def fresh(number: int) -> Event:
    return event(number, received_time=time.time())


def ids(watcher: Watcher) -> list[str]:
    return [json.loads(one.payload)["id"] for one in watcher.received if one.topic.endswith("/matched")]


def appending_to(log: EmbeddedBroker, written: list[str], may_append: Callable[[], bool]) -> Repeating:
    async def append() -> None:
        if may_append():
            some = [fresh(number) for number in range(len(written), len(written) + 5)]
            await log.append([record_of(one, partition=number % 2) for number, one in enumerate(some)])
            written.extend(one.id for one in some)

    return Repeating(append, 0.01)


async def killed_again_and_again(
    data: Path,
    broker: Mosquitto,
    command: tuple[object, ...],
    rounds: int,
    ahead: float = math.inf,
) -> tuple[list[str], list[str]]:
    """Kill the sink that often while events come; return the ids that were written, and those that arrived."""
    chance = random.Random(22)
    written: list[str] = []
    async with log_at(data) as log, watching(broker, "picturematch/#") as watcher:
        await with_topics(log)

        def may_append() -> bool:
            return len(written) - matched(watcher) < ahead

        appending = appending_to(log, written, may_append)
        for number in range(rounds):
            before, wills = matched(watcher), offline(watcher)
            process = await start(*command)
            await until(lambda before=before: matched(watcher) > before, PATIENCE_S, every_s=0.002)
            await asyncio.sleep(chance.uniform(0, 0.1) * (number % 2))
            assert process.returncode is None
            process.kill()
            assert (await finish(process, PATIENCE_S)).status == -signal.SIGKILL
            await until(lambda wills=wills: offline(watcher) == wills + 1, PATIENCE_S)
        await appending.end()
        last = await finish(await start(*command, "--idle-exit", "0.5s"), PATIENCE_S)
        assert last.status == 0, last.err
        await asyncio.sleep(0.2)
        await until(lambda: offline(watcher) == rounds + 1, PATIENCE_S)
    return written, ids(watcher)


def matched(watcher: Watcher) -> int:
    """How many messages about matches have arrived."""
    return watcher.counts[UNREGISTERED]


def offline(watcher: Watcher) -> int:
    """How often the sink was said to be gone, by its last will or by itself."""
    return [one.payload for one in watcher.at("picturematch/status")].count(b"offline")


def repeated(got: list[str]) -> list[str]:
    """The ids that have arrived more than once."""
    return [name for name, count in Counter(got).items() if count > 1]


async def deliver_all(tmp_path: Path, rounds: int) -> tuple[list[str], list[str]]:
    folder = tmp_path / "mosquitto"
    secret = tmp_path / "secret"
    secret.write_text(PASSWORD)
    with mosquitto(folder) as broker:
        command = (
            *("sink", "mqtt", "--data-folder", tmp_path / "data", "--host", "127.0.0.1", "--port", broker.port),
            *("--from-first", "--user", USER, "--password-file", secret, "--prefix", "picturematch"),
        )
        return await killed_again_and_again(tmp_path / "data", broker, command, rounds, AHEAD)


async def open_doors(tmp_path: Path, rounds: int) -> tuple[list[str], list[str]]:
    with mosquitto(tmp_path / "mosquitto") as broker:
        at = ("--host", "127.0.0.1", "--port", broker.port)
        command = ("sink", "mqtt", "--name", "door", *at, "--acts", "--data-folder", tmp_path / "data")
        return await killed_again_and_again(tmp_path / "data", broker, command, rounds)


async def test_nothing_is_lost_however_often_the_sink_is_killed(tmp_path: Path) -> None:
    written, got = await deliver_all(tmp_path, ROUNDS)
    assert set(got) == set(written)
    assert len(got) < 2 * len(written)


async def test_no_door_opens_twice_however_often_the_sink_is_killed(tmp_path: Path) -> None:
    written, got = await open_doors(tmp_path, ROUNDS)
    assert set(got) <= set(written)
    assert repeated(got) == []


@pytest.mark.slow
@pytest.mark.timeout(1200)
async def test_nothing_is_lost_over_fifty_kills(tmp_path: Path) -> None:
    written, got = await deliver_all(tmp_path, 50)
    assert set(got) == set(written)
    assert len(got) < 2 * len(written)


@pytest.mark.slow
@pytest.mark.timeout(1200)
async def test_no_door_opens_twice_over_fifty_kills(tmp_path: Path) -> None:
    written, got = await open_doors(tmp_path, 50)
    assert set(got) <= set(written)
    assert repeated(got) == []


async def test_the_command_says_what_is_wrong_and_shows_no_secret(tmp_path: Path) -> None:
    data, secret = tmp_path / "data", tmp_path / "secret"
    secret.write_text("not the password\n")
    folder = tmp_path / "mosquitto"
    with mosquitto(folder, *with_password(folder)) as broker:
        async with log_at(data) as log:
            await with_topics(log)
            await log.append([record_of(fresh(1))])
            base = ("sink", "mqtt", "--data-folder", data, "--host", "127.0.0.1", "--port", broker.port, "--from-first")
            process = await start(*base, "--user", USER, "--password-file", secret)
            assert process.stderr is not None
            line = b""
            while b"check user" not in line:
                line = await asyncio.wait_for(process.stderr.readline(), PATIENCE_S)
                assert line, "the command ended"
            process.terminate()
            ended = await finish(process, PATIENCE_S)
            assert ended.status == 0
            assert "not the password" not in ended.err + line.decode()
            secret.write_text("\n")
            wrong = await run(*base, "--password-file", secret)
            assert wrong.status == 2
            assert wrong.err.splitlines()[-1].startswith("picturematch: sink mqtt: the first line of the password file")
            topic = await run(*base, "--prefix", "a/#")
            assert topic.status == 2
            assert "must be levels separated by /" in topic.err
