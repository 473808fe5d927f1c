"""Runs the sinks that the settings name, each in a task of its own: a failed sink delays nobody and is run again."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
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
from picturematch.opening import Clock, open_broker
from picturematch.people_topic import PeopleTopic
from picturematch.ports import open_ports
from picturematch.settings import HealthSettings, Settings
from sinks.context import Crop, SinkContext
from sinks.lane import ReceiverOff
from sinks.listening import Listening
from sinks.meter import SinkMetrics
from sinks.settings import JsonlSettings, SinkSettings, WebhookSettings, WebsocketSettings

_log = logging.getLogger(__name__)

_FIRST_WAIT_S, _LONGEST_WAIT_S = 1.0, 60.0
_STEADY_S = 300.0
"""A sink that has run for so long begins with the first wait again when it fails."""

RunSink = Callable[[Any, SinkContext], Awaitable[int]]
"""Runs a sink until its context's `stop` is set, and returns the number of delivered events."""

_MODULES: dict[type[SinkSettings], str] = {
    JsonlSettings: "sinks.jsonl",
    WebhookSettings: "sinks.webhook",
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
    """The sinks of a process; an async context manager. `sinks`: their settings; `context`: without its own `stop`."""

    def __init__(self, sinks: Sequence[SinkSettings], context: SinkContext) -> None:
        self._sinks, self._stop = sinks, asyncio.Event()
        self._context = context.with_stop(self._stop)
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        self._tasks = [asyncio.create_task(self._keep_up(sink), name=f"sink-{sink.name}") for sink in self._sinks]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        if self._tasks:
            await asyncio.wait(self._tasks)

    async def _keep_up(self, sink: SinkSettings) -> None:
        """Run a sink until the process stops; run it again after a failure, with growing waits."""
        loop = asyncio.get_running_loop()
        wait_s = _FIRST_WAIT_S
        while not self._stop.is_set():
            began_s = loop.time()
            try:
                await runner_of(sink)(sink, self._context)
            except ReceiverOff as error:
                _log.error("%s; it is not started again until the next start of this process", error)
                return
            except (OperatorError, OSError) as error:
                _log.error("sink %s has failed and is started again: %s", sink.name, error)
            except Exception:  # noqa: BLE001 - a fault of one sink must stop neither the process nor another sink
                _log.exception("sink %s has failed and is started again", sink.name)
            wait_s = _FIRST_WAIT_S if loop.time() - began_s >= _STEADY_S else wait_s
            try:
                async with asyncio.timeout(wait_s):
                    await self._stop.wait()
            except TimeoutError:
                wait_s = min(2 * wait_s, _LONGEST_WAIT_S)


async def run_alone(
    settings: Settings,
    sink: SinkSettings,
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
        sink: the settings of the sink.
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
        return await runner_of(sink)(sink, context)
