"""Measures how far a sink is behind, and reports events that retention may remove before they are passed on."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from broker.port import Broker, BrokerError, GroupMember
from sinks.meter import Meter

_log = logging.getLogger(__name__)

_EVERY_S = 2.0
_REPORT_EVERY_S = 600.0
_RISKY_AGE = 0.5
"""The share of the events' retention from which on the age of an event that is not passed on is reported."""


@asynccontextmanager
async def measured(
    meter: Meter, broker: Broker, topic: str, member: GroupMember, retention_ms: int | None
) -> AsyncIterator[None]:
    """Measure how far a sink is behind as long as the context is open.

    `retention_ms`: how long the topic keeps events; None: for ever.
    """
    meter.set_up(True)
    watching = asyncio.create_task(_watch(meter, broker, topic, member, retention_ms))
    try:
        yield
    finally:
        watching.cancel()
        await asyncio.wait({watching})
        meter.set_up(False)


async def _watch(meter: Meter, broker: Broker, topic: str, member: GroupMember, retention_ms: int | None) -> None:
    reported_s = -_REPORT_EVERY_S
    while True:
        try:
            ends = await broker.end_offsets(topic)
            owned = member.assignment()
            committed = {partition: await member.committed(partition) for partition in meter.unknown(owned)}
        except BrokerError:
            await asyncio.sleep(_EVERY_S)
            continue
        meter.ends({partition: ends[partition] for partition in owned if partition in ends}, committed)
        age_s = meter.lag_s()
        is_risky = retention_ms is not None and age_s > _RISKY_AGE * retention_ms / 1000
        if is_risky and time.monotonic() - reported_s >= _REPORT_EVERY_S:
            reported_s = time.monotonic()
            _log.error(
                "sink %s has an event that was not passed on for %.0f s; the log removes events after %.0f s: mend the"
                " receiver, or raise log.events_retention_ms",
                *(meter.name, age_s, (retention_ms or 0) / 1000),
            )
        await asyncio.sleep(_EVERY_S)
