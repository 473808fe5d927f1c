"""The replies or the requests topic made again beside running roles: no request waits behind a reply that has no
partition, and callers get answers again. Counted with the library's own clients."""

import asyncio
import io
import json
from contextlib import AsyncExitStack

import aiohttp
import pytest

from contract.codec import encode
from contract.requests import Headers, MatchRequest
from picturematch.wiring import run_system
from tests.integration.test_offsets_on_kafka import Installation, metric
from tests.integration.test_roles_on_kafka import MATCH, create_topics, encoded
from tests.support.faces import MODELS, photo
from tests.support.plain_kafka import delete_topic, make_again, make_topic, send
from tests.support.waiting import until_asked

PATIENCE_S = 90.0
PARTITION_OF_OLD = 3


@pytest.fixture
async def there(kafka_bootstrap: str) -> Installation:
    installation = Installation(kafka_bootstrap)
    await create_topics(installation.given)
    return installation


async def ask(there: Installation, name: str, reply_partition: int, request_partition: int = 0) -> None:
    """A request of an ingress that reads that partition of the replies."""
    request = MatchRequest(
        request_id=name, device_ip="10.0.0.1", picture=photo(1), compare_time_s=1.0, received_time_s=1.0
    )
    headers = (
        (Headers.REQUEST_ID, name.encode()),
        (Headers.REPLY_TOPIC, there.topics.replies.encode()),
        (Headers.REPLY_PARTITION, b"%d" % reply_partition),
        (Headers.REPLY_INSTANCE, b"somebody"),
    )
    await send(there.bootstrap, there.topics.requests, [encode(request)], partition=request_partition, headers=headers)


async def test_a_reply_whose_partition_is_gone_holds_nothing_up(there, caplog):
    async with there.processor() as url:
        await ask(there, "before", PARTITION_OF_OLD)
        assert await there.decided()
        await make_again(there.bootstrap, there.topics.replies, 2)
        await ask(there, "nowhere", PARTITION_OF_OLD)
        await ask(there, "behind", 0)
        await ask(there, "beside", PARTITION_OF_OLD, request_partition=1)
        done = await there.decided(PATIENCE_S)
        assert done, f"of 4 requests these have events: {sorted(await there.events())}"
        assert await metric(url, "picturematch_replies_left_out_total") == 2
    assert sorted((await there.events()).elements()) == ["before", "behind", "beside", "nowhere"]
    lines = [line for line in caplog.messages if "replies are left out" in line]
    assert len(lines) == 2, "one for each partition of the requests"


async def test_a_processor_that_starts_afterwards_is_not_held_up_either(there):
    await make_again(there.bootstrap, there.topics.replies, 2)
    there.change(PICTUREMATCH_LOG__REPLY_PARTITIONS="2")
    await ask(there, "nowhere", PARTITION_OF_OLD)
    await ask(there, "behind", 1)
    async with there.processor() as url:
        assert await there.decided()
        assert await metric(url, "picturematch_replies_left_out_total") == 1
    assert sorted((await there.events()).elements()) == ["behind", "nowhere"]


@pytest.mark.slow
@pytest.mark.timeout(400)
async def test_a_processor_whose_partitions_passed_on_and_came_back_meanwhile_is_not_held_up_either(there):
    """Its producers are new then and know the topic as it is, while it remembers the topic as it was."""
    async with there.processor() as url:
        await ask(there, "before", PARTITION_OF_OLD)
        assert await there.decided()
        await make_again(there.bootstrap, there.topics.replies, 2)
        there.change(PICTUREMATCH_LOG__REPLY_PARTITIONS="2")
        async with there.processor() as other:

            async def other_has_a_partition() -> bool:
                await there.send(1)
                await there.send(1, partition=1)
                assert await there.decided(PATIENCE_S)
                return await metric(other, "picturematch_events_total") > 0

            await until_asked(other_has_a_partition, PATIENCE_S)
        await ask(there, "nowhere", PARTITION_OF_OLD)
        await ask(there, "beside", PARTITION_OF_OLD, request_partition=1)
        done = await there.decided(PATIENCE_S)
        assert done, f"these have events: {sorted(await there.events())}"
        assert await metric(url, "picturematch_replies_left_out_total") == 2


@pytest.mark.slow
async def test_without_the_replies_topic_requests_are_decided_all_the_same(there):
    async with there.processor():
        await ask(there, "before", 0)
        assert await there.decided()
        await delete_topic(there.bootstrap, there.topics.replies)
        await ask(there, "without", 0)
        done = await there.decided(PATIENCE_S)
        assert done, f"of 2 requests these have events: {sorted(await there.events())}"
        await make_topic(there.bootstrap, there.topics.replies, 4)
        await ask(there, "after", PARTITION_OF_OLD)
        assert await there.decided(PATIENCE_S)


async def test_more_partitions_are_found_without_a_restart(there):
    await make_again(there.bootstrap, there.topics.replies, 2)
    there.change(PICTUREMATCH_LOG__REPLY_PARTITIONS="2")
    async with there.processor() as url:
        await ask(there, "before", 1)
        assert await there.decided()
        await make_again(there.bootstrap, there.topics.replies, 6)
        await ask(there, "new", 5)
        assert await there.decided(PATIENCE_S)
        assert await metric(url, "picturematch_replies_left_out_total") == 0


UNANSWERED = {50480, 50380}


async def answered(session: aiohttp.ClientSession) -> bool:
    """Whether a call is answered by a processor."""
    body = json.dumps({"device_ip": "10.0.0.1", "rgb_image_base64": encoded(photo(1))}).encode()
    async with session.post(MATCH, data=io.BytesIO(body), headers={"Content-Type": "application/json"}) as answer:
        return (await answer.json()).get("error", {}).get("code", 0) not in UNANSWERED


async def until_answered(session: aiohttp.ClientSession) -> None:
    while not await answered(session):  # noqa: ASYNC110 - another process's doing
        await asyncio.sleep(0.5)


@pytest.mark.timeout(400)
@pytest.mark.parametrize("partitions", [1, pytest.param(4, marks=pytest.mark.slow)])
async def test_ingresses_find_a_partition_again_and_callers_get_answers(there, partitions):
    """Several ingresses, so that some of them read a partition that is gone."""
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(run_system(there.settings, MODELS, ingest=False))
        sessions = []
        for _ in range(4):
            ingress = await stack.enter_async_context(run_system(there.settings, None))
            sessions.append(await stack.enter_async_context(aiohttp.ClientSession(ingress.url)))
        assert all([await answered(session) for session in sessions])
        await make_again(there.bootstrap, there.topics.replies, partitions)
        waiting = [asyncio.ensure_future(until_answered(session)) for session in sessions]
        _, unanswered = await asyncio.wait(waiting, timeout=PATIENCE_S)
        for task in unanswered:
            task.cancel()
        assert not unanswered, f"{len(unanswered)} of {len(sessions)} ingresses answer no call any more"


@pytest.mark.slow
@pytest.mark.timeout(400)
async def test_without_the_requests_topic_calls_are_refused_and_answered_again_when_it_is_back(there):
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(run_system(there.settings, MODELS, ingest=False))
        ingress = await stack.enter_async_context(run_system(there.settings, None))
        session = await stack.enter_async_context(aiohttp.ClientSession(ingress.url))
        assert await answered(session)
        await delete_topic(there.bootstrap, there.topics.requests)
        body = {"device_ip": "10.0.0.1", "rgb_image_base64": encoded(photo(1))}
        codes = []
        for _ in range(15):
            async with session.post(MATCH, json=body) as answer:
                codes.append((await answer.json()).get("error", {}).get("code"))
            await asyncio.sleep(0.5)
        assert set(codes) <= UNANSWERED, codes
        await make_topic(there.bootstrap, there.topics.requests, there.settings.log.request_partitions)
        async with asyncio.timeout(PATIENCE_S):
            await until_answered(session)
