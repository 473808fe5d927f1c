"""A callback for futures whose callers may have given up."""

import asyncio
from typing import Any


def retrieve_error(done: "asyncio.Future[Any]") -> None:
    """Retrieve the error of a future, if it has one; for `add_done_callback`.

    asyncio logs every error that nobody retrieves, also where the caller has given up and does not need it.
    """
    if not done.cancelled():
        done.exception()
