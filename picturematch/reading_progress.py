"""Shows how far a starting process has read the people topic, where that takes more than moments."""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress

from picturematch.shell import Steps, progress

_AFTER_S = 1.0
"""A reading that ends sooner shows nothing."""


@contextmanager
def reading_progress(title: str, clock_s: Callable[[], float] = time.monotonic) -> Iterator[Callable[[int, int], None]]:
    """Yield a function (offsets that are read, offsets in all) that shows progress within the block.

    On a terminal that is a bar, else a plain line every few seconds; both go to standard error. The bar vanishes with
    the end of the block.
    """
    began_s, shown = clock_s(), 0
    steps: Steps | None = None
    stack = ExitStack()

    def show(read: int, total: int) -> None:
        nonlocal steps, shown
        if steps is None and clock_s() - began_s < _AFTER_S:
            return
        with suppress(OSError):  # nobody reads standard error any more
            if steps is None:
                steps = stack.enter_context(progress(title, total))
            steps.step(read - shown)
        shown = read

    try:
        yield show
    finally:
        with suppress(OSError):
            stack.close()
