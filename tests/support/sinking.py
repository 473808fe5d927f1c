"""Events on a log, and receivers that are scripted, for tests of sinks."""

import asyncio
from collections.abc import Callable, Sequence

from prometheus_client import CollectorRegistry

from broker.port import Broker, NewRecord, TopicSpec
from contract.cloud_events import cloud_event_headers
from contract.events import Event, RequestPlace, Threshold, encode_event
from contract.topics import Topics
from sinks.delivery import deliver_events
from sinks.lane import Plan
from sinks.letters import Letters
from sinks.meter import Meter, SinkMetrics
from sinks.outgoing import Outgoing
from sinks.receiver import Delivered, Delivery

TOPICS = Topics()
PARTITIONS = 2
NOW_S = 1_700_000_000.0


def event(number: int, **changes: object) -> Event:
    """A match of identity 7 that arrived at NOW_S + number, with a clear margin."""
    fields: dict[str, object] = {
        "id": f"event-{number}",
        "kind": "match",
        "outcome": "matched",
        "compare_time": NOW_S + number,
        "received_time": NOW_S + number,
        "processed_time": NOW_S + number,
        "request": RequestPlace(topic=TOPICS.requests, partition=0, offset=number),
        "gallery_version": 3,
        "models": {"embedder": "sha"},
        "device_ip": "10.0.0.1",
        "retcode": "1",
        "identity_id": "7",
        "score": 0.75,
        "cosine": 0.75,
        "threshold": Threshold(value=0.48, cosine=0.48, rule="setting"),
    }
    return Event(**(fields | changes))  # type: ignore[arg-type]


def record_of(event: Event, partition: int = 0) -> NewRecord:
    """The record of an event, as a processor writes it."""
    headers = cloud_event_headers(event, "picturematch.match.v1", "/picturematch")
    return NewRecord(TOPICS.events, (event.device_ip or "").encode(), encode_event(event), headers, partition)


async def with_topics(log: Broker) -> None:
    """Create the topics that a sink needs."""
    specs = [TopicSpec(TOPICS.events, PARTITIONS), TopicSpec(TOPICS.dead_letters, 1), TopicSpec(TOPICS.requests, 1)]
    await log.ensure_topics([*specs, TopicSpec(TOPICS.people, 1, compacted=True)])


class ScriptedReceiver:
    """A receiver that answers with the next of `answers`, and then that it has got the event."""

    def __init__(self, answers: Sequence[Delivery | Callable[[], Delivery]] = ()) -> None:
        self.answers = list(answers)
        self.tried: list[str] = []
        self.events: list[Outgoing] = []
        self.got: list[str] = []
        self.closed = False
        self.holds: asyncio.Event | None = None
        """Where it is set, a delivery waits for this event."""
        self.refuses: Callable[[str], Delivery | None] = lambda _: None
        """What the receiver answers to the event with an id; None: the next of `answers`."""

    async def open(self) -> None:
        self.closed = False

    async def deliver(self, event: Outgoing) -> Delivery:
        self.tried.append(event.id)
        self.events.append(event)
        if self.holds is not None:
            await self.holds.wait()
        answer = self.refuses(event.id) or (self.answers.pop(0) if self.answers else Delivered())
        found = answer() if callable(answer) else answer
        if isinstance(found, Delivered):
            self.got.append(event.id)
        return found

    async def close(self) -> None:
        self.closed = True


def meter(name: str = "hall") -> Meter:
    return SinkMetrics(CollectorRegistry()).of(name)


async def deliver(
    log: Broker,
    receiver: ScriptedReceiver,
    plan: Plan,
    stop: asyncio.Event | None = None,
    *,
    name: str = "hall",
    idle_exit_s: float | None = 0.3,
    measured: Meter | None = None,
) -> int:
    """Run a receiver on the events until it is idle."""
    async with log.member(TOPICS.events, f"sink-{name}") as member:
        return await deliver_events(
            receiver,
            member,
            log,
            TOPICS.events,
            plan,
            Letters(TOPICS.dead_letters, name),
            measured or meter(name),
            stop or asyncio.Event(),
            idle_exit_s=idle_exit_s,
        )
