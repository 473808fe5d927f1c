"""The log lines about clients that cannot be accepted because the process lacks file descriptors or memory.

asyncio repeats such an accept at once, as often as the backlog is long, and once more each second; each time it passes
a traceback to the exception handler of the event loop.
"""

import asyncio
import errno
import logging
from typing import Any

_log = logging.getLogger(__name__)

_NO_ROOM = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
_LOG_EVERY_S = 1.0


class AcceptErrorLog:
    """Logs one sentence a second instead of these tracebacks; passes all other errors to the previous handler."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._before = loop.get_exception_handler()
        self._logged_at = -_LOG_EVERY_S
        loop.set_exception_handler(self._handle)

    def close(self) -> None:
        """Restore the previous handler of the loop."""
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
        if now - self._logged_at >= _LOG_EVERY_S:
            self._logged_at = now
            _log.error(
                "no client can be accepted now: %s; raise the limit of this process (ulimit -n) or lower "
                "ingest.max_connections",
                failure.strerror,
            )
