"""Configures the allocator so that memory of large pictures is returned to the system.

A decoded picture of 32 megapixels takes about 100 MB. By default, glibc adapts to the first such blocks and keeps them,
one set for every thread that has used one, so a server would stay several times as large as necessary.
"""

import asyncio
import ctypes
import gc
import platform
from collections.abc import Iterator
from contextlib import contextmanager

# Constants of glibc's malloc.h.
_TRIM_THRESHOLD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -3, -8

LARGE_BYTES = 4 * 1024 * 1024
"""Blocks from this size on are requested from the system and returned when they are freed; for smaller blocks, up to
this amount stays allocated. The blocks of a picture of 640 x 480 are smaller, so ordinary work is not slowed down."""

ARENAS = 2
"""The number of heaps for all threads together; each heap keeps the memory that its own threads have freed."""


_COLLECT_AFTER = (10_000, 10, 100)
"""Objects, and collections of younger objects, after which Python searches for cycles. By default it begins after 700
objects, and an import of people, whose objects all stay, is a fifth slower for it."""

_TRIM_EVERY_S = 2.0


def collect_seldom() -> None:
    """Have Python search for cycles of unused objects less often than by default."""
    gc.set_threshold(*_COLLECT_AFTER)


def keep_for_good() -> None:
    """Exempt the present objects from the search for cycles: the people whom the process has read stay in memory, and
    each search through all of them would stop the event loop."""
    gc.collect()
    gc.freeze()


@contextmanager
def without_collecting() -> Iterator[None]:
    """Search for no cycles within the block, which makes many objects that all stay."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


async def trim_memory() -> None:
    """Return freed memory of the heaps to the system, every two seconds, for ever; without glibc, do nothing.

    A heap returns only what is free at its end: one small block above large freed ones would keep them allocated.
    """
    if platform.libc_ver()[0] != "glibc":
        return
    trim = ctypes.CDLL(None).malloc_trim
    while True:
        await asyncio.sleep(_TRIM_EVERY_S)
        # In a thread, because a heap that a matching thread uses at the moment has to be waited for.
        await asyncio.to_thread(trim, LARGE_BYTES)


def give_memory_back() -> bool:
    """Configure the allocator of this process to return freed memory; call this before threads start.

    Returns whether the allocator accepted the configuration. Without glibc nothing is done; other allocators do not
    keep such blocks.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False
    choices = ((_MMAP_THRESHOLD, LARGE_BYTES), (_TRIM_THRESHOLD, LARGE_BYTES), (_ARENA_MAX, ARENAS))
    return all(mallopt(name, value) == 1 for name, value in choices)
