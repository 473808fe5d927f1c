"""How many files and sockets this process may hold open, and how many connections that leaves room for."""

import contextlib
import resource

_FOR_THE_REST = 640
"""Clients that are being sent away, of which asyncio accepts a whole backlog (512) before it looks at the first; and
the log, the networks, and pictures being read."""
_FEWEST_CONNECTIONS = 16


def room_for_connections(wanted: int) -> int:
    """Raise the process's own limit as far as the system lets it; the number of connections there is room for then.

    Without room an accept fails, and asyncio tries it again and again.
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
    """Whether the one limit is lower; infinity is a negative number."""
    if limit == resource.RLIM_INFINITY:
        return False
    return than == resource.RLIM_INFINITY or limit < than
