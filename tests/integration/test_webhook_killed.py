"""kill -9 of the webhook sink at random moments, while events keep coming."""

import asyncio
import base64
import random
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web
from msgspec import structs
from standardwebhooks.webhooks import Webhook

from broker.embedded import EmbeddedBroker, open_embedded
from contract.events import Event
from tests.support.commands import Finished, finish, run, start
from tests.support.receivers import Receiver, receiving
from tests.support.repeating import Repeating
from tests.support.sinking import TOPICS, event, record_of, with_topics
from tests.support.waiting import until

PATIENCE_S = 60.0
SECRET = base64.b64encode(b"the secret of the door, 32 bytes").decode()


@pytest.fixture
def secret_file(tmp_path: Path) -> Path:
    file = tmp_path / "door.secret"
    file.write_text(f"{SECRET}\n")
    return file


@asynccontextmanager
async def log_in(folder: Path) -> AsyncIterator[EmbeddedBroker]:
    async with open_embedded(folder, role="owner", clock_ms=lambda: int(time.time() * 1000)) as log:
        await with_topics(log)
        yield log


def ids(receiver: Receiver) -> list[str]:
    """The ids of what has come, each verified."""
    return [Webhook(SECRET).verify(upload.body, dict(upload.headers))["id"] for upload in receiver.tried]


def appending_to(log: EmbeddedBroker, written: list[Event]) -> Repeating:
    async def append() -> None:
        passage = structs.replace(event(len(written)), received_time=time.time())
        await log.append([record_of(passage, partition=len(written) % 2)])
        written.append(passage)

    return Repeating(append, 0.005)


ROUNDS = [pytest.param(5, id="5"), pytest.param(50, id="50", marks=pytest.mark.slow)]


@pytest.mark.timeout(600)
@pytest.mark.parametrize("rounds", ROUNDS)
async def test_nothing_is_lost_and_what_comes_twice_has_the_same_id(
    tmp_path: Path, secret_file: Path, rounds: int
) -> None:
    chance, data, written = random.Random(31), tmp_path / "data", []
    async with receiving() as receiver, log_in(data) as log:
        command = ("sink", "webhook", "--data-folder", data, "--url", receiver.url, "--secret-file", secret_file)
        appending = appending_to(log, written)
        for _ in range(rounds):
            before = len(receiver.tried)
            process = await start(*command, "--from-first")
            await until(lambda before=before: len(receiver.tried) > before, PATIENCE_S, every_s=0.001)
            await asyncio.sleep(chance.uniform(0, 0.3))
            process.kill()
            assert (await finish(process, PATIENCE_S)).status == -signal.SIGKILL
        await appending.end()
        last = await finish(await start(*command, "--from-first", "--idle-exit", "1s"), 300.0)
    assert last.status == 0, last.err
    got = Counter(ids(receiver))
    assert set(got) == {passage.id for passage in written}
    assert SECRET not in last.err
    # Of each kill at most the deliveries since the last commit come again: those of a second, or two hundred.
    assert max(got.values()) <= 1 + rounds
    for remainder in (0, 1):
        first_times = list(dict.fromkeys(name for name in ids(receiver) if int(name[6:]) % 2 == remainder))
        assert first_times == sorted(first_times, key=lambda name: int(name[6:])), "in the order of their partition"


@pytest.mark.timeout(600)
@pytest.mark.parametrize("rounds", ROUNDS)
async def test_a_door_opens_at_most_once_for_each_passage_and_never_for_those_during_an_interruption(
    tmp_path: Path, secret_file: Path, rounds: int
) -> None:
    chance, data, written = random.Random(32), tmp_path / "data", []
    async with receiving() as relay, log_in(data) as log:
        command = ("sink", "webhook", "--data-folder", data, "--url", relay.url, "--secret-file", secret_file, "--acts")
        appending = appending_to(log, written)
        gaps: list[tuple[float, float]] = []
        ended_s = 0.0
        for _ in range(rounds):
            before = len(relay.tried)
            process = await start(*command, "--valid", "30s")
            await until(lambda before=before: len(relay.tried) > before, PATIENCE_S, every_s=0.001)
            gaps.append((ended_s, time.time()))
            await asyncio.sleep(chance.uniform(0, 0.2))
            process.kill()
            assert (await finish(process, PATIENCE_S)).status == -signal.SIGKILL
            ended_s = time.time()
        await appending.end()
        # A sink that is started now opens for nobody, however young the passages are.
        before = len(relay.tried)
        last = await run(*command, "--valid", "30s", "--idle-exit", "1s")
        assert (last.status, len(relay.tried)) == (0, before), last.err
    opened = Counter(ids(relay))
    assert set(opened.values()) == {1}, "no door opens twice"
    by_id = {passage.id: passage for passage in written}
    for name in opened:
        passed_s = by_id[name].received_time
        # A process needs a good part of a second to start; a passage of that time was there before the sink.
        assert not any(start_s < passed_s < end_s - 2.0 for start_s, end_s in gaps), name


async def test_a_receiver_that_is_gone_ends_the_command_and_the_next_start_asks_again_once(tmp_path: Path) -> None:
    data = tmp_path / "data"
    async with receiving(lambda _: web.Response(status=410)) as receiver, log_in(data) as log:
        await log.append([record_of(event(number)) for number in range(3)])
        command = ("sink", "webhook", "--data-folder", data, "--url", receiver.url, "--from-first")
        for tries in (1, 2):
            ended: Finished = await run(*command)
            assert (ended.status, len(receiver.tried)) == (2, tries)
            assert "410 Gone" in ended.err
            assert ended.err.count("Traceback") == 0
        receiver.answer = lambda _: web.Response()
        ended = await run(*command, "--idle-exit", "1s")
        assert (ended.status, ended.out) == (0, "3 events passed on by sink webhook\n")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--url", "ftp://gate/"), "--url must be"),
        (("--url", "http://user:word@gate/"), "--url must be"),
        (("--url", "http://gate/", "--name", "Gate"), "--name must be"),
        (("--url", "http://gate/", "--acts", "--margin", "2"), "--margin must be"),
        (("--url", "http://gate/", "--acts", "--valid", "2m"), "--valid must be"),
    ],
)
async def test_a_wrong_option_is_refused_in_a_sentence(tmp_path: Path, arguments: tuple[str, ...], words: str) -> None:
    ended = await run("sink", "webhook", "--data-folder", tmp_path, *arguments)
    assert ended.status == 2
    assert words in ended.err
    assert ended.err.count("\n") == 1
    assert "word@" not in ended.err


async def test_a_secret_that_is_too_short_is_refused_without_its_text(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text("c2hvcnQtc2VjcmV0")
    async with log_in(tmp_path / "data"):
        ended = await run(
            *("sink", "webhook", "--data-folder", tmp_path / "data", "--url", "http://127.0.0.1:9/"),
            *("--secret-file", file),
        )
    assert (ended.status, "openssl rand -base64 32" in ended.err) == (2, True)
    assert "c2hvcnQtc2VjcmV0" not in ended.err
    assert TOPICS.events not in ended.err
