"""The vendor's push on a real Kafka broker, by the command that runs beside the roles."""

import asyncio
import re
from contextlib import asynccontextmanager

import aiohttp

from tests.integration.test_roles_on_kafka import create_topics, encoded, environment, post, roles
from tests.support.commands import finish, run, start
from tests.support.faces import photo
from tests.support.ports import free_port
from tests.support.receivers import receiving
from tests.support.waiting import until

MATCH, USERS = "/SophonMatch/api/PictureMatch", "/SophonFogSys/api/users"
URLS = "/SophonFogSys/api/HistoryEventUrl"
PATIENCE_S = 60.0


@asynccontextmanager
async def pushing(given: dict[str, str], port: int):
    """A process that runs the push sinks, from when they are up on."""
    process = await start("sink", "push", "--metrics-port", port, **given)
    try:
        async with aiohttp.ClientSession() as session, asyncio.timeout(PATIENCE_S):
            while not re.search(r"picturematch_sink_up\{.*\} 1\.0", await metrics_at(session, port)):
                assert process.returncode is None
                await asyncio.sleep(0.1)
        yield process
    finally:
        if process.returncode is None:
            process.terminate()
        ended = await finish(process, PATIENCE_S)
        assert ended.status == 0, ended.err


async def metrics_at(session: aiohttp.ClientSession, port: int) -> str:
    try:
        async with session.get(f"http://127.0.0.1:{port}/metrics") as response:
            return await response.text()
    except aiohttp.ClientError:
        return ""


async def test_two_processes_share_the_uploads_and_another_start_goes_on(kafka_bootstrap: str) -> None:
    given = environment(kafka_bootstrap) | {"PICTUREMATCH_KAFKA__SESSION_TIMEOUT_MS": "6000"}
    await create_topics(given)
    async with receiving() as receiver, roles(given) as (_, _, session):
        await post(session, USERS, identity_id="a", reg_photo=encoded(photo(1)), info={"name": "A"})
        body = {"history_upload_event_url": [receiver.url], "content-type": "json", "reported_peroid": 1}
        status, answer = await post(session, URLS, **body)
        assert status == 200, answer

        async def match(number: int) -> None:
            sent = {"device_ip": f"10.0.0.{number}", "rgb_image_base64": encoded(photo(1)), "compare_time": number}
            assert (await post(session, MATCH, **sent))[0] == 200

        # Before any process has uploaded anything: the receiver begins with the events since it was named.
        await match(1)
        async with pushing(given, free_port()):
            await until(lambda: len(receiver.tried) == 1, PATIENCE_S)
            async with pushing(given, free_port()):
                for number in range(2, 9):
                    await match(number)
                await until(lambda: {found.json["timestamp"] for found in receiver.tried} >= times(8), PATIENCE_S)
        await match(9)
        last = await run("sink", "push", "--idle-exit", "6s", **given)
        assert last.status == 0, last.err
        await asyncio.sleep(0.2)
    assert {found.json["timestamp"] for found in receiver.tried} == times(9)
    assert len(receiver.tried) <= 10, "at most the upload around the arrival of the second process came twice"


def times(last: int) -> set[object]:
    return {1000 * number for number in range(1, last + 1)}
