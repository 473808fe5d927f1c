"""The webhook sink on an embedded log, with real HTTP receivers that check what they get as a receiver would."""

import asyncio
import base64
import time
from collections.abc import AsyncIterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from msgspec import structs
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from broker.embedded import EmbeddedBroker, open_embedded
from broker.port import NewRecord
from contract.events import decode_event
from sinks.acting import Acting
from sinks.lane import ReceiverOff
from sinks.port import SinkError
from sinks.retrying import Retrying
from sinks.settings import WebhookSettings
from sinks.webhook import run_sink_of
from tests.support.receivers import Receiver, Upload, hang, receiving, reset, talking
from tests.support.sink_contexts import sink_context
from tests.support.sinking import event, record_of, with_topics
from tests.support.waiting import until
from tests.unit.sinks.test_delivery import letters

OLD = base64.b64encode(b"the old secret of 32 bytes......").decode()
NEW = "whsec_" + base64.b64encode(b"the new secret of 32 bytes......").decode()
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
QUICK = Retrying(max_tries=3, first_wait_s=0.001, longest_wait_s=0.002)


@pytest.fixture
async def log(tmp_path: Path) -> AsyncIterator[EmbeddedBroker]:
    async with open_embedded(tmp_path / "data", role="owner", clock_ms=lambda: int(time.time() * 1000)) as broker:
        await with_topics(broker)
        yield broker


def settings(url: str, **changes: Any) -> WebhookSettings:
    fields: dict[str, Any] = {"name": "hall", "url": url, "from_now": False, "retrying": QUICK, "timeout_s": 1.0}
    return WebhookSettings(**(fields | changes))


async def post(log: EmbeddedBroker, given: WebhookSettings, idle_exit_s: float = 0.3) -> int:
    return await run_sink_of(given, sink_context(log, idle_exit_s=idle_exit_s))


def verified(upload: Upload, secret: str) -> Any:
    """What a receiver reads that checks the signature."""
    return Webhook(secret).verify(upload.body, dict(upload.headers))


async def test_a_receiver_verifies_each_event_by_either_secret_while_they_are_rotated(log: EmbeddedBroker) -> None:
    await log.append([record_of(event(1))])
    async with receiving() as receiver:
        assert await post(log, settings(receiver.url, secrets=(OLD, NEW))) == 1
    (upload,) = receiver.tried
    for secret in (OLD, NEW):
        found = verified(upload, secret)
        assert found["id"] == upload.headers["webhook-id"] == "event-1"
    other = base64.b64encode(b"a secret that was never in use..").decode()
    with pytest.raises(WebhookVerificationError):
        verified(upload, other)
    changed = Upload(upload.path, upload.headers, upload.body.replace(b"event-1", b"event-2"), {}, {})
    with pytest.raises(WebhookVerificationError):
        verified(changed, NEW)


async def test_the_body_is_a_cloud_event_whose_data_are_the_event_as_the_log_has_it(log: EmbeddedBroker) -> None:
    record = record_of(event(1))
    traced = NewRecord(
        record.topic,
        record.key,
        record.value,
        (*record.headers, ("traceparent", TRACE.encode()), ("tracestate", b"a=1")),
        record.partition,
    )
    await log.append([traced, record_of(event(2))])
    async with receiving() as receiver:
        await post(log, settings(receiver.url))
    upload, plain = receiver.tried
    found = upload.json
    assert upload.headers["Content-Type"] == "application/cloudevents+json; charset=utf-8"
    assert {name: found[name] for name in ("specversion", "id", "source", "type", "datacontenttype")} == {
        "specversion": "1.0",
        "id": "event-1",
        "source": "/picturematch",
        "type": "picturematch.match.v1",
        "datacontenttype": "application/json",
    }
    assert str(found["time"]).endswith("Z")
    assert record.value is not None
    assert record.value in upload.body, "unchanged"
    assert decode_event(record.value) == event(1)
    assert (upload.headers["traceparent"], upload.headers["tracestate"]) == (TRACE, "a=1")
    assert (found["traceparent"], found["tracestate"]) == (TRACE, "a=1")
    assert "traceparent" not in plain.headers
    assert "webhook-signature" not in plain.headers, "there is no secret"
    assert abs(int(plain.headers["webhook-timestamp"]) - time.time()) < 60


async def test_a_retry_has_the_same_id_and_a_signature_of_its_own_time(log: EmbeddedBroker) -> None:
    answers = [web.Response(status=500), web.Response(status=204)]
    await log.append([record_of(event(1))])
    slow = Retrying(max_tries=3, first_wait_s=2.2, longest_wait_s=2.2)
    async with receiving(lambda _: answers.pop(0)) as receiver:
        await post(log, settings(receiver.url, secrets=(NEW,), retrying=slow), idle_exit_s=0.5)
    first, second = receiver.tried
    assert first.headers["webhook-id"] == second.headers["webhook-id"]
    assert first.headers["webhook-timestamp"] != second.headers["webhook-timestamp"]
    for upload in (first, second):
        verified(upload, NEW)


async def test_the_receiver_decides_how_long_the_wait_is(log: EmbeddedBroker) -> None:
    answers = [web.Response(status=429, headers={"Retry-After": "1"}), web.Response(status=200)]
    at: list[float] = []

    def answer(_: Upload) -> web.StreamResponse:
        at.append(time.monotonic())
        return answers.pop(0)

    await log.append([record_of(event(1))])
    patient = Retrying(max_tries=3, first_wait_s=0.001, longest_wait_s=10.0)
    async with receiving(answer) as receiver:
        assert await post(log, settings(receiver.url, retrying=patient)) == 1
    assert at[1] - at[0] >= 1.0


@pytest.mark.parametrize("status", [400, 413, 415, 422])
async def test_an_event_that_the_receiver_will_never_take_is_a_dead_letter_at_once(
    log: EmbeddedBroker, status: int
) -> None:
    await log.append([record_of(event(1)), record_of(event(2))])
    answers = [web.Response(status=status), web.Response(status=200)]
    async with receiving(lambda _: answers.pop(0)) as receiver:
        assert await post(log, settings(receiver.url)) == 1
    assert [upload.json["id"] for upload in receiver.tried] == ["event-1", "event-2"]
    (letter,) = await letters(log)
    assert (letter.stage, letter.error) == ("sink/hall", f"the receiver answered with status {status}")


@pytest.mark.parametrize("status", [301, 307, 401, 404, 500, 503])
async def test_any_other_status_is_tried_again(log: EmbeddedBroker, status: int) -> None:
    await log.append([record_of(event(1))])
    answers = [web.Response(status=status, headers={"Location": "http://127.0.0.1:9/"}), web.Response(status=202)]
    async with receiving(lambda _: answers.pop(0)) as receiver:
        assert await post(log, settings(receiver.url)) == 1
    assert len(receiver.tried) == 2


async def test_410_gone_switches_the_receiver_off_and_the_next_start_asks_once_more(log: EmbeddedBroker) -> None:
    await log.append([record_of(event(n)) for n in range(3)])
    answers = [web.Response(status=200)]
    gone = web.Response(status=410)

    def answer(_: Upload) -> web.StreamResponse:
        return answers.pop(0) if answers else web.Response(status=gone.status)

    async with receiving(answer) as receiver:
        for tries in (2, 3):
            with pytest.raises(ReceiverOff, match="410 Gone"):
                await post(log, settings(receiver.url))
            assert len(receiver.tried) == tries
        answers.extend([web.Response(status=200), web.Response(status=200)])
        assert await post(log, settings(receiver.url)) == 2
    assert [upload.json["id"] for upload in receiver.tried] == ["event-0", *["event-1"] * 3, "event-2"]
    assert await letters(log) == []


@pytest.mark.parametrize("talk", [hang, reset])
async def test_a_hostile_receiver_costs_its_own_events_only_and_is_told_without_the_url(
    log: EmbeddedBroker, talk: Any, caplog: pytest.LogCaptureFixture
) -> None:
    await log.append([record_of(event(1))])
    stop = asyncio.Event()
    async with talking(talk) as port, receiving() as good:
        bad = settings(f"http://127.0.0.1:{port}/token=secret", timeout_s=0.2)
        running = asyncio.create_task(run_sink_of(bad, sink_context(log, stop)))
        assert await post(log, settings(good.url, name="good")) == 1
        await until(lambda: "tried again" in caplog.text)
        stop.set()
        await running
    assert "token=secret" not in caplog.text
    assert "event could not be delivered" in caplog.text


@pytest.mark.parametrize(
    "secret", ["not base64 at all!", "whsec_" + "A" * 28 + "!", base64.b64encode(b"x" * 23).decode()]
)
async def test_a_secret_that_is_no_secret_is_refused_in_words_that_do_not_name_it(
    log: EmbeddedBroker, secret: str
) -> None:
    with pytest.raises(SinkError, match="openssl rand") as refused:
        await post(log, settings("http://127.0.0.1:9/", secrets=(NEW, secret)))
    assert secret not in str(refused.value)


class TestActing:
    """A door relay: the receiver opens a door for each request that it verifies."""

    async def opened(
        self, log: EmbeddedBroker, receiver: Receiver, *records: NewRecord, within_s: float = 0.5, **changes: Any
    ) -> list[str]:
        """The ids for which the relay opens when the records come after the sink has started."""
        stop = asyncio.Event()
        given = settings(receiver.url, secrets=(NEW,), acts=True, **changes)
        running = asyncio.create_task(run_sink_of(given, sink_context(log, stop)))
        await asyncio.sleep(0.3)
        await log.append(list(records))
        await asyncio.sleep(within_s)
        stop.set()
        await running
        return [verified(upload, NEW)["id"] for upload in receiver.tried]

    def passage(self, number: int, age_s: float = 0.0, **changes: Any) -> NewRecord:
        """A match of a person who passed `age_s` ago."""
        return record_of(structs.replace(event(number), received_time=time.time() - age_s, **changes))

    async def test_it_opens_for_matched_people_who_pass_now(self, log: EmbeddedBroker) -> None:
        await log.append([self.passage(0)])
        wrong = [
            self.passage(1, outcome="stranger", retcode="0", identity_id=""),
            self.passage(2, outcome="blacklisted", retcode="0"),
            self.passage(3, outcome="blacklisted", retcode="1"),
            self.passage(4, replay_of="x"),
            self.passage(5, retry_of="x"),
            self.passage(6, repeat_of="x"),
            self.passage(7, age_s=3.0),
            self.passage(8, cosine=0.47),
        ]
        async with receiving() as relay:
            opened = await self.opened(log, relay, *wrong, self.passage(9))
        assert opened == ["event-9"], "and not for event-0, which was there before the sink"
        data: Any = relay.tried[0].json["data"]
        assert (data["threshold"]["cosine"], data["cosine"], data["liveness"]) == (0.48, 0.75, None)

    async def test_a_failed_request_is_never_sent_again(self, log: EmbeddedBroker) -> None:
        async with receiving(lambda _: web.Response(status=503)) as relay:
            await self.opened(log, relay, self.passage(1))
            assert await self.opened(log, relay, self.passage(2)) == ["event-1", "event-2"]

    async def test_a_relay_that_hangs_does_not_open_late_for_those_behind(self, log: EmbeddedBroker) -> None:
        async def answer(_: Upload) -> web.StreamResponse:
            await asyncio.sleep(1.4)
            return web.Response()

        async with receiving(answer) as relay:
            slow = {"timeout_s": 1.3, "acting": Acting(valid_s=1.2), "within_s": 1.6}
            opened = await self.opened(log, relay, self.passage(1), self.passage(2), **slow)
        assert opened == ["event-1"]

    async def test_a_connection_that_is_made_too_late_brings_nothing_to_the_relay(
        self, log: EmbeddedBroker, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        connect = asyncio.get_running_loop().sock_connect

        async def slow(*given: Any) -> None:
            await asyncio.sleep(0.8)
            await connect(*given)

        monkeypatch.setattr(asyncio.get_running_loop(), "sock_connect", slow)
        async with receiving() as relay:
            late = {"timeout_s": 5.0, "acting": Acting(valid_s=0.4), "within_s": 1.5}
            assert await self.opened(log, relay, self.passage(1), **late) == []

    async def test_the_request_says_until_when_the_relay_may_open(self, log: EmbeddedBroker) -> None:
        record = self.passage(1)
        async with receiving() as relay:
            await self.opened(log, relay, record)
        until_s = datetime.fromisoformat(str(relay.tried[0].json["validuntil"])).timestamp()
        assert until_s == pytest.approx(decode_event(record.value or b"").received_time + 2.0, abs=0.001)
