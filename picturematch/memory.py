"""Memory that was used for large pictures goes back to the system.

A decoded picture of 32 megapixels takes about 100 MB. glibc by itself would learn from the first of them to keep such
blocks, one set for every thread that ever had one, and a server would stay several times as large as it needs to be.
"""

import ctypes
import platform

# Of glibc's malloc.h.
_TRIM_THRESHOLD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -3, -8

LARGE_BYTES = 4 * 1024 * 1024
"""Blocks from this size on are the system's own and go back as they are freed; as much stays at hand for smaller ones.
What a picture of 640 x 480 needs is smaller, so that ordinary work does not pay for it."""

ARENAS = 2
"""Heaps for all threads together; each keeps what its own threads have freed."""


def give_memory_back() -> bool:
    """Have the allocator give freed memory back, in this process and from now on; call it before threads start.

    Returns whether it could be told: elsewhere than on Linux with glibc nothing is done, and nothing is needed where
    the allocator has no such habit.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False
    choices = ((_MMAP_THRESHOLD, LARGE_BYTES), (_TRIM_THRESHOLD, LARGE_BYTES), (_ARENA_MAX, ARENAS))
    return all(mallopt(name, value) == 1 for name, value in choices)
