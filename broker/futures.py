"""What is common to futures whose results may interest nobody any more."""

import asyncio
from typing import Any


def heed(done: "asyncio.Future[Any]") -> None:
    """For `add_done_callback`: whoever waited may have given up, and asyncio complains of errors nobody looks at."""
    if not done.cancelled():
        done.exception()
