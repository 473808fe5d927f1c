"""The hub of real-time clients: who gets what, what is remembered, and who is dropped."""

import asyncio
import time

import pytest
from prometheus_client import CollectorRegistry

from broker.port import Record
from contract.errors import Code, Refused
from contract.events import Event, encode_event
from contract.ids import device_id_at
from contract.people.directory import Directory
from sinks.context import SinkContext
from sinks.meter import SinkMetrics
from sinks.outgoing import Outgoing
from sinks.realtime_choice import Choice, Form
from sinks.realtime_hub import MAX_QUEUE, SLOW, Client, Hub
from tests.support.sinking import TOPICS, event

DOOR = device_id_at("10.0.0.1")
STREAM = Choice(Form("stream"), None)
VENDORS = Choice(Form("v5"), frozenset({DOOR}))


class NoLog:
    """A log without records: no form of these tests reads one."""


def hub(max_clients: int = 10, max_held_bytes: int = 1024 * 1024, max_of_peer: int = 10) -> Hub:
    metrics = SinkMetrics(CollectorRegistry())
    context = SinkContext(
        broker=NoLog(),  # type: ignore[arg-type]
        topics=TOPICS,
        people=Directory(),
        crop=lambda *_: None,
        metrics=metrics,
        clock=time.time,
        stop=asyncio.Event(),
        events_retention_ms=None,
    )
    limits = {"max_clients": max_clients, "max_of_peer": max_of_peer, "max_held_bytes": max_held_bytes}
    return Hub(context, metrics.of("live"), **limits)


def passed(happened: Event, number: int = 0) -> Outgoing:
    record = Record(TOPICS.events, 0, number, 0, None, encode_event(happened))
    return Outgoing(happened, record, "picturematch.match.v1")


def joined(of: Hub, choice: Choice | None, last_event_id: str = "") -> Client:
    client = Client(choice)
    of.join(client, last_event_id)
    return client


async def names(client: Client) -> list[bytes]:
    return [(await message.text() or b"").split(b"\n")[0] for message in client.queue]


async def test_one_message_is_made_for_all_clients_of_a_form_and_counted_once() -> None:
    of = hub()
    clients = [joined(of, VENDORS) for _ in range(3)]
    of.take(passed(event(1)))
    (message,) = {id(client.queue[0]): client.queue[0] for client in clients}.values()
    text = await message.text()
    assert text is not None
    await asyncio.sleep(0)
    assert of.held_bytes == len(text)
    for client in clients[:2]:
        of.sent(client, message)
    assert of.held_bytes == len(text)
    of.leave(clients[2])
    assert of.held_bytes == 0


async def test_a_full_queue_drops_its_client_and_no_other() -> None:
    of = hub(max_held_bytes=100 * 1024 * 1024)
    slow, quick = joined(of, STREAM), joined(of, STREAM)
    for number in range(MAX_QUEUE + 1):
        of.take(passed(event(number), number))
        of.sent(quick, quick.queue[0])
    assert (slow.ended, len(slow.queue), quick.ended) == (SLOW, 0, None)
    assert of.held_bytes == 0
    assert await slow.next() is None


async def test_too_many_bytes_drop_the_client_that_is_furthest_behind() -> None:
    of = hub(max_held_bytes=1024 * 1024)
    behind, other = joined(of, STREAM), joined(of, STREAM)
    for number in range(15):
        of.take(passed(event(number, grab_fiqa_info={"x": "x" * 100_000}), number))
        if number % 2 and other.queue:
            of.sent(other, other.queue[0])
        assert of.held_bytes <= 1024 * 1024
    assert (behind.ended, other.ended) == (SLOW, None)


async def test_a_dropped_client_does_not_count_the_message_that_is_made_for_it_afterwards() -> None:
    of = hub()
    client = joined(of, VENDORS)
    of.take(passed(event(1)))
    message = client.queue[0]
    await asyncio.sleep(0)  # the message is being made
    of.drop(client)
    assert await message.text() is not None
    await asyncio.sleep(0)
    assert of.held_bytes == 0
    of.sent(client, message)  # its sender was waiting for the message
    assert of.held_bytes == 0


async def test_a_message_that_nobody_waits_for_any_more_is_not_made() -> None:
    """Otherwise the events of a client that is dropped again and again would fill the memory."""
    of = hub()
    client = joined(of, VENDORS)
    of.take(passed(event(1)))
    message = client.queue[0]
    of.drop(client)
    assert await message.text() is None
    assert of.held_bytes == 0


async def test_a_stream_that_has_missed_many_events_is_not_dropped_for_them() -> None:
    of = hub(max_held_bytes=100 * 1024 * 1024)
    for number in range(MAX_QUEUE * 3):
        of.take(passed(event(number), number))
    client = joined(of, STREAM, "event-0")
    missed = MAX_QUEUE * 3 - 1
    assert len(client.queue) == missed
    for number in range(MAX_QUEUE):
        of.take(passed(event(1000 + number), 1000 + number))
    assert client.stays()
    of.sent(client, client.queue[0])
    of.take(passed(event(2000), 2000))
    assert not client.stays(), "no more than so many beyond those that it has missed"
    again = joined(of, STREAM, "event-1000")
    while again.queue:
        of.sent(again, again.queue[0])
    assert again.most == MAX_QUEUE


async def test_there_is_room_for_so_many_clients() -> None:
    of = hub(max_clients=2)
    first = joined(of, None)
    joined(of, None)
    with pytest.raises(Refused) as refused:
        joined(of, None)
    assert refused.value.code is Code.OVERLOADED
    of.leave(first)
    joined(of, None)


async def test_one_address_has_so_many_clients_and_leaves_room_for_others() -> None:
    of = hub(max_of_peer=2)
    first = Client(None, "10.0.0.1")
    for client in (first, Client(None, "10.0.0.1"), Client(None, "10.0.0.2")):
        of.join(client)
    with pytest.raises(Refused, match="2 clients of this address listen") as refused:
        of.join(Client(None, "10.0.0.1"))
    assert refused.value.code is Code.OVERLOADED
    of.leave(first)
    of.join(Client(None, "10.0.0.1"))


async def test_a_stream_goes_on_after_its_last_event_within_the_last_thousand() -> None:
    of = hub()
    for number in range(1005):
        of.take(passed(event(number), number))
    assert await names(joined(of, STREAM, "event-1002")) == [b"id: event-1003", b"id: event-1004"]
    assert await names(joined(of, STREAM, "event-4")) == []
    assert len(await names(joined(of, STREAM, "event-5"))) == 999
    assert await names(joined(of, STREAM)) == []


async def test_what_is_remembered_is_bounded_in_bytes_too() -> None:
    of = hub()
    for number in range(50):
        of.take(passed(event(number, grab_fiqa_info={"x": "x" * 200_000}), number))
    assert await names(joined(of, STREAM, "event-1")) == []
    assert await names(joined(of, STREAM, "event-48")) == [b"id: event-49"]


async def test_an_error_goes_to_one_client_and_a_flood_of_errors_drops_it() -> None:
    of = hub()
    client, other = joined(of, None), joined(of, None)
    of.tell(client, b"no")
    assert (len(client.queue), len(other.queue)) == (1, 0)
    for _ in range(MAX_QUEUE):
        of.tell(client, b"no")
    assert client.ended == SLOW
