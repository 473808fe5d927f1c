"""Something that a test does again and again in the background, never half."""

import asyncio
from collections.abc import Awaitable, Callable

Step = Callable[[], Awaitable[None]]


class Repeating:
    """Repeats a step in a task from now on, until `end`. `pause_s`: seconds between two steps."""

    def __init__(self, step: Step, pause_s: float) -> None:
        self._step, self._pause_s, self._ended = step, pause_s, False
        self._task = asyncio.create_task(self._run())

    async def end(self) -> None:
        """Let the step that runs come to its end, and begin no other one. Raises what a step has raised."""
        self._ended = True
        await self._task

    async def _run(self) -> None:
        while not self._ended:
            await self._step()
            await asyncio.sleep(self._pause_s)
