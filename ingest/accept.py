"""What is said when clients cannot be accepted for want of files or memory.

asyncio tries such an accept again at once, as often as the backlog is long, and once more each second; every time it
hands a trace to the loop's exception handler.
"""

import asyncio
import errno
import logging
from typing import Any

_log = logging.getLogger(__name__)

_NO_ROOM = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
_SAY_EVERY_S = 1.0


class AcceptComplaints:
    """One sentence a second instead of them; everything else goes to the handler that was there before."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._before = loop.get_exception_handler()
        self._said_at = -_SAY_EVERY_S
        loop.set_exception_handler(self._handle)

    def close(self) -> None:
        """Give the loop its former handler back."""
        self._loop.set_exception_handler(self._before)

    def _handle(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        failure = context.get("exception")
        if not (isinstance(failure, OSError) and failure.errno in _NO_ROOM and "socket" in context):
            if self._before is None:
                loop.default_exception_handler(context)
            else:
                self._before(loop, context)
            return
        now = loop.time()
        if now - self._said_at >= _SAY_EVERY_S:
            self._said_at = now
            _log.error(
                "no client can be accepted now: %s; raise the limit of this process (ulimit -n) or lower "
                "ingest.max_connections",
                failure.strerror,
            )
