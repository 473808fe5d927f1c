"""Keeps a sink running: a sink that fails is started again, with growing waits, and stops nothing else."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from contract.operator_error import OperatorError
from sinks.lane import ReceiverOff

_log = logging.getLogger(__name__)

_FIRST_WAIT_S, _LONGEST_WAIT_S = 1.0, 60.0
_STEADY_S = 300.0
"""A sink that has run for so long begins with the first wait again when it fails."""


async def keep_up(name: str, run: Callable[[], Awaitable[int]], stop: asyncio.Event) -> None:
    """Run a sink until it ends, or until its receiver has switched itself off; run it again where it fails.

    Args:
        name: The name of the sink, for the log.
        run: Runs the sink until `stop` is set, or until it is idle.
        stop: The event that ends the sink.
    """
    loop = asyncio.get_running_loop()
    wait_s = _FIRST_WAIT_S
    while not stop.is_set():
        began_s = loop.time()
        try:
            await run()
            return
        except ReceiverOff as error:
            _log.error("%s; it is not started again until the next start of this process", error)
            return
        except (OperatorError, OSError) as error:
            _log.error("sink %s has failed and is started again: %s", name, error)
        except Exception:  # noqa: BLE001 - a fault of one sink must stop neither the process nor another sink
            _log.exception("sink %s has failed and is started again", name)
        wait_s = _FIRST_WAIT_S if loop.time() - began_s >= _STEADY_S else wait_s
        try:
            async with asyncio.timeout(wait_s):
                await stop.wait()
        except TimeoutError:
            wait_s = min(2 * wait_s, _LONGEST_WAIT_S)
