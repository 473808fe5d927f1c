"""Waiting that a stop ends, and the steps of reading that all runners of sinks share."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from broker.port import BrokerError, GroupMember

T = TypeVar("T")

_log = logging.getLogger(__name__)

RETRY_FIRST_S, RETRY_MOST_S = 0.1, 5.0


async def pause(seconds: float, stop: asyncio.Event) -> bool:
    """Sleep for that many seconds; return True as soon as `stop` is set, else False."""
    try:
        await asyncio.wait_for(stop.wait(), seconds)
    except TimeoutError:
        return False
    return True


async def before(work: "asyncio.Future[Any]", stop: asyncio.Event) -> bool:
    """Wait for the work or for `stop`; return whether the work ended. Else it is cancelled; a fetch loses no record."""
    stopping = asyncio.ensure_future(stop.wait())
    both: list[asyncio.Future[Any]] = [work, stopping]
    try:
        await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        return work.done()
    finally:
        stopping.cancel()
        work.cancel()  # has no effect on work that has ended
        await asyncio.wait(both)
        if not work.cancelled():
            work.exception()  # retrieved here, because the caller may not, and asyncio would log an error


async def until_it_works(work: Callable[[], Awaitable[T]], stop: asyncio.Event) -> T | None:
    """Return the result of the work, which is tried again while the log is out of reach; None: `stop` was set.

    Raises:
        BrokerError: the work failed, and another attempt would not help.
    """
    delay_s = RETRY_FIRST_S
    while True:
        trying = asyncio.ensure_future(work())
        try:
            if not await before(trying, stop):
                return None
            return trying.result()
        except BrokerError as error:
            if not error.retriable:
                raise
            if delay_s == RETRY_FIRST_S:
                _log.warning("%s", error)
            if await pause(delay_s, stop):
                return None
            delay_s = min(2 * delay_s, RETRY_MOST_S)


async def rewind(member: GroupMember, partition: int, stop: asyncio.Event) -> None:
    """Rewind the partition, so that its records are delivered again; retry until that succeeds or `stop` is set."""
    delay_s = RETRY_FIRST_S
    while True:
        try:
            return await member.rewind(partition)
        except BrokerError as error:
            if not error.retriable:
                raise
            if await pause(delay_s, stop):
                return None
            delay_s = min(2 * delay_s, RETRY_MOST_S)
