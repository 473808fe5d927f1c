"""Makes a call again until it has an answer, with growing pauses and a limit on the attempts."""

import asyncio
import random
from collections.abc import Awaitable, Callable

from clients.answers import ServerAnswer
from clients.http import NoAnswer
from contract.errors import Code

ATTEMPTS = 6
FIRST_DELAY_S = 0.25
LONGEST_DELAY_S = 10.0

Sleep = Callable[[float], Awaitable[None]]


async def ask_patiently(
    ask: Callable[[], Awaitable[ServerAnswer]], sleep: Sleep = asyncio.sleep
) -> tuple[ServerAnswer, bool]:
    """Return the answer, and whether an earlier attempt without an answer may have had an effect.

    `ask` makes the call once; a call without an answer, or at a busy server, is made again. A server that is busy at
    the last attempt too is an answer.

    Raises:
        NoAnswer: the last attempt had no answer.
        CannotRun: `ask` raised it.
    """
    doubtful = False
    for attempt in range(ATTEMPTS):
        last = attempt + 1 == ATTEMPTS
        delay_s = min(FIRST_DELAY_S * 2**attempt, LONGEST_DELAY_S) * random.uniform(0.5, 1.0)  # noqa: S311 - spreads load
        try:
            answer = await ask()
        except NoAnswer as error:
            if last:
                raise
            doubtful = doubtful or error.reached
        else:
            if last or not answer.is_busy:
                return answer, doubtful
            doubtful = doubtful or answer.code == Code.TIMEOUT
            delay_s = min(max(delay_s, answer.retry_after_s or 0.0), LONGEST_DELAY_S)
        await sleep(delay_s)
    raise AssertionError("the last attempt returns or raises")
