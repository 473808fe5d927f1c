"""Waiting in tests: for something to become true, with a bound."""

import asyncio
from collections.abc import Awaitable, Callable


async def until(condition: Callable[[], object], timeout_s: float = 10.0, every_s: float = 0.01) -> None:
    """Return once the condition holds; TimeoutError when it does not in time."""
    async with asyncio.timeout(timeout_s):
        while not condition():  # noqa: ASYNC110 - what is waited for is often another process's doing
            await asyncio.sleep(every_s)


async def until_asked(condition: Callable[[], Awaitable[object]], timeout_s: float, every_s: float = 0.05) -> None:
    """The same for a condition that has to be asked for."""
    async with asyncio.timeout(timeout_s):
        while not await condition():  # noqa: ASYNC110 - as above
            await asyncio.sleep(every_s)
