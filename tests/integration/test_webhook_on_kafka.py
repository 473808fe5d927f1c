"""Door relays on a real Kafka broker: two processes of one sink share the partitions, and one of them is killed."""

import asyncio
import signal
import time
import uuid
from collections import Counter
from dataclasses import replace

from aiohttp import web
from msgspec import structs

from broker.kafka.broker import KafkaBroker, open_kafka
from contract.events import Event
from contract.topics import Topics
from picturematch.settings import load_settings
from tests.support.commands import finish, start
from tests.support.receivers import Receiver, Upload, ok, receiving
from tests.support.repeating import Repeating
from tests.support.sinking import event, record_of
from tests.support.waiting import until

PATIENCE_S = 60.0
PARTITIONS = 4
VALID_S = 2.0


def passing_by(log: KafkaBroker, topics: Topics, written: list[Event]) -> Repeating:
    """People pass, some of whom are strangers, on all partitions."""

    async def append() -> None:
        number = len(written)
        wrong = {"outcome": "stranger", "retcode": "0", "identity_id": ""} if number % 5 == 4 else {}
        passage = structs.replace(event(number, **wrong), received_time=time.time())
        await log.append([replace(record_of(passage, partition=number % PARTITIONS), topic=topics.events)])
        written.append(passage)

    return Repeating(append, 0.02)


async def test_a_door_opens_at_most_once_and_in_time_while_processes_come_and_go(kafka_bootstrap: str) -> None:
    given = {
        "PICTUREMATCH_BROKER": f"kafka://{kafka_bootstrap}",
        "PICTUREMATCH_LOG__TOPIC_PREFIX": f"door-{uuid.uuid4().hex}",
        "PICTUREMATCH_LOG__REQUEST_PARTITIONS": str(PARTITIONS),
        "PICTUREMATCH_KAFKA__SESSION_TIMEOUT_MS": "6000",
    }
    settings = load_settings(None, given)
    arrived: list[tuple[str, str, float]] = []

    def note(upload: Upload) -> web.StreamResponse:
        arrived.append((upload.path, upload.headers["webhook-id"], time.time()))
        return ok(upload)

    def by(path: str) -> int:
        return sum(found[0] == path for found in arrived)

    async def relay(path: str, relays: Receiver) -> asyncio.subprocess.Process:
        url = relays.url.replace("/events", path)
        return await start(
            "sink", "webhook", "--name", "door", "--url", url, "--acts", "--valid", f"{VALID_S}s", **given
        )

    written: list[Event] = []
    async with receiving(note) as relays, open_kafka(settings.kafka_config) as log:  # type: ignore[arg-type]
        await log.ensure_topics(settings.topic_specs)
        passing = passing_by(log, settings.topics, written)
        one = await relay("/one", relays)
        await until(lambda: by("/one") >= 20, PATIENCE_S)
        two = await relay("/two", relays)
        await until(lambda: by("/two") >= 20, PATIENCE_S)
        one.kill()
        assert (await finish(one)).status == -signal.SIGKILL
        killed_s = time.time()
        lanes = {int(name[6:]) % PARTITIONS for _, name, _ in arrived}
        assert lanes == set(range(PARTITIONS)), "both processes had partitions"
        await until(lambda: lanes_since(arrived, killed_s + 1) == lanes, PATIENCE_S)
        await passing.end()
        await asyncio.sleep(0.5)
        two.terminate()
        ended = await finish(two, PATIENCE_S)
    assert ended.status == 0, ended.err
    opened = Counter(name for _, name, _ in arrived)
    assert set(opened.values()) == {1}, "no door opens twice"
    by_id = {passage.id: passage for passage in written}
    assert {by_id[name].outcome for name in opened} == {"matched"}
    late = [at_s - by_id[name].received_time for _, name, at_s in arrived]
    assert max(late) < VALID_S + 0.5, "a door opens in time or not at all"


def lanes_since(arrived: list[tuple[str, str, float]], since_s: float) -> set[int]:
    return {int(name[6:]) % PARTITIONS for _, name, at_s in arrived if at_s > since_s}
