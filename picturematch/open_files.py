"""The limit on open files of this process, and the number of connections that this limit allows."""

import contextlib
import resource

_FOR_THE_REST = 640
"""Open files besides connections: clients that are being refused, of which asyncio accepts a whole backlog (512) at
once, and the files of the log, the networks and pictures."""
_FEWEST_CONNECTIONS = 16


def room_for_connections(wanted: int) -> int:
    """Raise the limit on open files of this process as far as needed and allowed; return the connections that fit.

    At the limit, accepting a client fails, and asyncio repeats the attempt again and again.
    """
    files, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = wanted + _FOR_THE_REST
    if _is_less(files, needed):
        raised = needed if _is_less(needed, most) else most
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (raised, most))
            files = raised
    return max(_FEWEST_CONNECTIONS, files - _FOR_THE_REST) if _is_less(files, needed) else wanted


def _is_less(limit: int, than: int) -> bool:
    """Return whether a limit is lower than another one; infinity is represented by a negative number."""
    if limit == resource.RLIM_INFINITY:
        return False
    return than == resource.RLIM_INFINITY or limit < than
