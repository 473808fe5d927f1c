"""Dead letters on a real Kafka broker: appended beside running processors, and matched by them."""

import asyncio
import json
import uuid
from typing import Any

from broker.kafka.broker import open_kafka
from broker.kafka.config import KafkaConfig
from broker.port import NewRecord, Reader, Start
from contract.dead_letters import DeadLetter, decode_dead_letter
from contract.requests import Headers
from contract.topics import Topics
from tests.support.commands import finish, run, start

TOPICS = Topics()
POISON = b"\xffnot a request"
DEADLINE_S = 45.0


async def event_of(events: Reader, **wanted: str) -> dict[str, Any]:
    """The first event that comes with these fields."""
    async with asyncio.timeout(DEADLINE_S):
        while True:
            for record in await events.fetch(100, 1.0):
                event: dict[str, Any] = json.loads(record.value or b"{}")
                if wanted.items() <= event.items():
                    return event


async def test_a_retry_needs_no_stop_and_keeps_the_bytes(kafka_bootstrap: str) -> None:
    settings = {"PICTUREMATCH_BROKER": f"kafka://{kafka_bootstrap}", "PICTUREMATCH_MODELS__KIND": "stand-in"}
    created = await run("topics", "create", **settings)
    assert created.status == 0, created.err
    request_id = uuid.uuid4().hex
    async with (
        open_kafka(KafkaConfig(bootstrap=kafka_bootstrap)) as log,
        log.reader(TOPICS.events, Start.LATEST) as events,
    ):
        processor = await start("process", "--health-port", 0, **settings)
        try:
            headers = ((Headers.REQUEST_ID, request_id.encode()),)
            await log.append([NewRecord(TOPICS.requests, b"10.0.0.1", POISON, headers)])
            assert (await event_of(events, id=request_id))["kind"] == "unreadable"

            shown = await run("dead-letters", "list", "--json", **settings)
            (letter,) = [x for x in map(json.loads, shown.out.splitlines()) if x["request_id"] == request_id]
            assert (letter["stage"], letter["attempt"], letter["size_bytes"]) == ("decode", 1, len(POISON))

            done = await run("dead-letters", "retry", letter["place"], **settings)
            assert (done.status, done.err) == (0, "")
            new_id = done.out.split()[-1]
            assert (await event_of(events, retry_of=request_id))["id"] == new_id

            once_more = await run("dead-letters", "retry", letter["place"], **settings)
            assert once_more.status == 1
            assert new_id in once_more.err
        finally:
            processor.terminate()
            ended = await finish(processor)
        assert ended.status == 0, ended.err
        letters = []
        async with log.reader(TOPICS.dead_letters, Start.EARLIEST) as reader:
            while records := await reader.fetch(1000, 1.0):
                letters += [decode_dead_letter(record.value or b"") for record in records]
    ours = [x for x in letters if isinstance(x, DeadLetter) and x.headers[0] == (Headers.REQUEST_ID, new_id.encode())]
    assert [(x.value, x.attempt) for x in ours] == [(POISON, 2)]
