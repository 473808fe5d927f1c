"""What a sink gets from its process, for tests that run a sink in their own."""

import asyncio
import time
from collections.abc import Callable

from prometheus_client import CollectorRegistry

from broker.port import Broker
from contract.people.directory import Directory
from sinks.context import SinkContext
from sinks.meter import SinkMetrics
from tests.support.sinking import TOPICS


def sink_context(
    log: Broker,
    stop: asyncio.Event | None = None,
    *,
    registry: CollectorRegistry | None = None,
    people: Directory | None = None,
    clock: Callable[[], float] = time.time,
    idle_exit_s: float | None = None,
) -> SinkContext:
    """The context of a process that runs a sink on `log` and cuts no faces."""
    return SinkContext(
        broker=log,
        topics=TOPICS,
        people=people or Directory(),
        crop=lambda picture, box: None,
        metrics=SinkMetrics(registry or CollectorRegistry(), clock),
        clock=clock,
        stop=stop or asyncio.Event(),
        events_retention_ms=None,
        idle_exit_s=idle_exit_s,
    )
