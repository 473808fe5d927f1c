"""What callers and operators are told while nobody processes requests."""

import asyncio

import pytest

from broker.port import BrokerError, BrokerInUse, BrokerUnavailable, UnknownTopic
from contract.answers import Answer
from contract.requests import Request
from tests.support.waiting import until
from tests.wire.harness import Serving, Site, answer_well


async def say_nothing(request: Request) -> Answer | None:
    return None


async def reasons(site: Site) -> str:
    reply = await site.call("GET", "/readyz")
    return "" if reply.code == 200 else str(reply.json["error"]["message"])


async def test_without_a_processor_calls_are_refused_before_anything_enters_the_log(serving: Serving) -> None:
    async with serving() as site:
        site.log.is_served = False
        reply = await site.match()
        assert (reply.code, reply.headers["retry-after"]) == (50380, "1")
        assert "no processor answers requests now" in reply.json["error"]["message"]
        assert site.requests == []
        assert "no processor is running" in await reasons(site)
        assert site.metric("picturematch_http_shed_total", reason="processor") == 1
        site.log.is_served = True
        assert await reasons(site) == ""
        assert (await site.match()).code == 200


async def test_a_site_whose_signs_of_life_cannot_be_read_goes_on(serving: Serving) -> None:
    async with serving() as site:
        site.log.is_served = None
        assert await reasons(site) == ""
        assert (await site.match()).code == 200


async def test_while_requests_stay_unanswered_most_calls_are_refused_and_the_first_reply_ends_that(
    serving: Serving,
) -> None:
    async with serving(say_nothing, deadline_ms=600) as site:
        assert (await site.match()).code == 50480
        assert "requests stay unanswered" in await reasons(site)
        tried = [(await site.match()).code for _ in range(20)]
        assert 50380 in tried
        assert tried.count(50480) <= 6, "one call a second is let in to try"
        site.script = answer_well
        async with asyncio.timeout(10):
            while (await site.match()).code != 200:  # noqa: ASYNC110 - the server is what is waited for
                await asyncio.sleep(0.05)
        assert await reasons(site) == ""


async def test_requests_that_never_entered_the_log_are_not_missed(serving: Serving) -> None:
    async with serving(deadline_ms=300) as site:
        site.log.append_error = BrokerUnavailable("the disk is full")
        assert (await site.match()).code == 50380
        await asyncio.sleep(0.5)
        site.log.append_error = None
        assert await reasons(site) == ""
        assert (await site.match()).code == 200


async def test_a_reply_that_comes_before_the_append_is_confirmed_leaves_no_request_unanswered(serving: Serving) -> None:
    async with serving(deadline_ms=900) as site:
        site.log.append_lasts_s = 0.2
        assert (await site.match()).code == 200
        await asyncio.sleep(1.0)
        assert await reasons(site) == ""


async def test_calls_that_wait_for_their_turn_do_not_enter_the_log_when_nobody_processes_any_more(
    serving: Serving,
) -> None:
    goes_on = asyncio.Event()

    async def wait(request: Request) -> Answer | None:
        await goes_on.wait()
        return await answer_well(request)

    async with serving(wait, deadline_ms=10_000) as site:
        calls = [asyncio.create_task(site.match()) for _ in range(12)]
        await until(lambda: len(site.requests) + site.metric("picturematch_http_waiting") == 12)
        sent = len(site.requests)
        assert sent < 12
        site.log.is_served = False
        goes_on.set()
        codes = [(await call).code for call in calls]
        assert (codes.count(200), codes.count(50380)) == (sent, 12 - sent)
        assert len(site.requests) == sent
        assert site.metric("picturematch_http_shed_total", reason="processor") == 12 - sent


@pytest.mark.parametrize("error", [UnknownTopic("there is no topic picturematch.requests"), BrokerInUse("it is taken")])
async def test_a_log_that_does_not_take_requests_is_told_to_callers_as_overload_and_to_the_operator_once(
    serving: Serving, caplog: pytest.LogCaptureFixture, error: BrokerError
) -> None:
    async with serving() as site:
        site.log.append_error = error
        assert [(await site.match()).code for _ in range(3)] == [50380] * 3
        site.log.append_error = None
        assert (await site.match()).code == 200
    told = [record.getMessage() for record in caplog.records if "requests can" in record.getMessage()]
    assert told == [f"requests cannot be written ({error})", "requests can be written again"]
