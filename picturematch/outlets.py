"""Runs the sinks of a process, each in a task of its own: a failed sink delays nobody and is run again.

The settings file names sinks; the site names the receivers of uploads (`picturematch.pushing`).
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from importlib import import_module
from types import TracebackType
from typing import Any, Self

from prometheus_client import CollectorRegistry

from broker.table import TableFollower
from contract.operator_error import OperatorError
from contract.people.directory import Directory
from ingest.tls import ServerTls
from picturematch.health import HealthServer
from picturematch.keeping_up import keep_up
from picturematch.opening import Clock, open_broker
from picturematch.people_topic import PeopleTopic
from picturematch.ports import open_ports
from picturematch.pushing import Pushing
from picturematch.settings import HealthSettings, Settings
from sinks.context import Crop, SinkContext
from sinks.listening import Listening
from sinks.meter import SinkMetrics
from sinks.settings import (
    JsonlSettings,
    MqttSettings,
    PushSettings,
    SinkSettings,
    SqlSettings,
    WebhookSettings,
    WebsocketSettings,
)

RunSink = Callable[[Any, SinkContext], Awaitable[int]]
"""Runs a sink until its context's `stop` is set, and returns the number of delivered events."""

_MODULES: dict[type[SinkSettings], str] = {
    JsonlSettings: "sinks.jsonl",
    WebhookSettings: "sinks.webhook",
    SqlSettings: "sinks.sql",
    MqttSettings: "sinks.mqtt",
    WebsocketSettings: "sinks.websocket",
}
"""The module of each kind of sink, whose function `run_sink_of` is a `RunSink`. It is imported when it is needed, since
a kind may need libraries that are an extra of the package."""


def runner_of(settings: SinkSettings) -> RunSink:
    """Return the function that runs sinks of the kind of `settings`.

    Raises:
        OperatorError: a library that the kind needs is not installed.
    """
    module = _MODULES[type(settings)]
    try:
        run: RunSink = import_module(module).run_sink_of
    except ModuleNotFoundError as error:
        kind = type(settings).__struct_config__.tag
        raise OperatorError(
            f"a sink of the kind {kind} needs the library {error.name}: install picturematch with its extra, as in"
            f" pip install 'picturematch[{kind}]'"
        ) from error
    return run


class Outlets:
    """The sinks of a process; an async context manager.

    Args:
        settings: The settings of the process: its sinks, and the rules of uploads to the receivers that the site names.
        context: What the sinks get, without their own `stop`.
    """

    def __init__(self, settings: Settings, context: SinkContext) -> None:
        self._settings, self._stop = settings, asyncio.Event()
        self._context = context.with_stop(self._stop)
        self._tasks: list[asyncio.Task[Any]] = []

    async def __aenter__(self) -> Self:
        own = () if self._settings.store_sink is None else (self._settings.store_sink,)
        sinks = (*own, *self._settings.sinks)
        self._tasks = [asyncio.create_task(self._keep_up(sink), name=f"sink-{sink.name}") for sink in sinks]
        pushing = _pushing(self._settings, self._context)
        self._tasks.append(asyncio.create_task(pushing.run(), name="pushing"))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        await asyncio.wait(self._tasks)

    async def _keep_up(self, sink: SinkSettings) -> None:
        await keep_up(sink.name, lambda: runner_of(sink)(sink, self._context), self._stop)


async def run_alone(
    settings: Settings,
    sink: SinkSettings | PushSettings,
    crop: Crop,
    stop: asyncio.Event,
    *,
    clock: Clock = time.time,
    idle_exit_s: float | None = None,
    health: HealthSettings | None = None,
    tls: ServerTls | None = None,
) -> int:
    """Run one sink in a process of its own, beside a server; return the number of delivered events.

    Args:
        settings: the settings of the process.
        sink: the settings of the sink; those of uploads: all push sinks run.
        crop: cuts faces out of pictures.
        stop: the event that ends the sink.
        clock: returns epoch seconds.
        idle_exit_s: the seconds without events after which the sink ends; None: never.
        health: where /healthz, /readyz and /metrics are served; None: nowhere.
        tls: the certificate with which the sink listens for clients of its own; None: plain HTTP.

    Raises:
        OperatorError: the log or the destination cannot be used.
    """
    people = Directory()
    topic = PeopleTopic(people, settings.topics.people)
    registry = CollectorRegistry()
    async with AsyncExitStack() as stack:
        broker = await stack.enter_async_context(open_broker(settings, "guest", clock))
        follower = await stack.enter_async_context(TableFollower(broker, settings.topics.people, topic.take))
        if health is not None:

            def not_ready() -> list[str]:
                return [] if broker.available() else ["the log cannot be reached"]

            await stack.enter_async_context(HealthServer(health, not_ready, registry))
        await follower.caught_up()
        listening: Listening | None = None
        if isinstance(sink, WebsocketSettings):
            listening = await stack.enter_async_context(open_ports(settings, people, broker, registry, clock, tls))
        context = SinkContext(
            broker=broker,
            topics=settings.topics,
            people=people,
            crop=crop,
            metrics=SinkMetrics(registry, clock),
            clock=clock,
            stop=stop,
            events_retention_ms=settings.log.events_retention_ms,
            idle_exit_s=idle_exit_s,
            listening=listening,
        )
        if isinstance(sink, PushSettings):
            return await _pushing(settings, context).run()
        return await runner_of(sink)(sink, context)


def _pushing(settings: Settings, context: SinkContext) -> Pushing:
    return Pushing(settings.push, settings.ingest.receiver_hosts, context)
