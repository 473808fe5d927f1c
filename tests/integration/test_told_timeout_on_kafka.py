"""Enrolments on a Kafka broker that stands still for longer than the deadline, at any moment of the transaction."""

import asyncio
from collections.abc import Iterator

import pytest

from tests.integration.test_roles_on_kafka import USERS, create_topics, encoded, environment, post, roles
from tests.support.faces import photo
from tests.support.kafka import own_kafka
from tests.support.kafka_dev import DevBroker

PATIENCE_S = 60.0
DEADLINE_MS = 1000


@pytest.fixture
def broker() -> Iterator[DevBroker]:
    """A broker of this test's own."""
    with own_kafka() as own:
        yield own


@pytest.mark.slow
@pytest.mark.timeout(400)
async def test_an_enrolment_that_was_told_timeout_may_simply_be_sent_again(broker: DevBroker) -> None:
    given = {**environment(broker.bootstrap), "PICTUREMATCH_INGEST__DEADLINE_MS": str(DEADLINE_MS)}
    await create_topics(given)
    told_timeout = number = 0
    async with roles(given) as (_, _, session):

        async def enrol(number: int) -> tuple[int, object]:
            return await post(session, USERS, identity_id=f"p{number}", reg_photo=encoded(photo(number)))

        async def until_answered(number: int) -> tuple[int, object]:
            async with asyncio.timeout(PATIENCE_S):
                while True:
                    answer = await enrol(number)
                    if answer[0] not in (503, 504):
                        return answer
                    await asyncio.sleep(0.2)

        assert (await until_answered(0))[0] == 200
        while told_timeout < 6 and number < 24:
            number += 1
            asking = asyncio.create_task(enrol(number))
            await asyncio.sleep(0.006 * (number % 12))
            broker.pause()
            try:
                await asyncio.sleep(1.5 * DEADLINE_MS / 1000)
            finally:
                broker.resume()
            told_timeout += (await asking)[0] == 504
            for _ in range(2):
                status, answer = await until_answered(number)
                assert status == 200, answer
    assert told_timeout
