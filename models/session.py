"""The seam between a network and the runtime that runs it."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Tensor = NDArray[np.float32]


class Session(Protocol):
    """A network with one input that a runtime has opened.

    Calls are thread-safe and deterministic, and a call computes in the calling thread only. What a session raises,
    also when it is opened, is the runtime's own; `models.network` makes a sentence of it.
    """

    @property
    def output_names(self) -> Sequence[str]:
        """The names of all outputs, in the file's order."""

    def __call__(self, tensor: Tensor, outputs: Sequence[str]) -> tuple[Tensor, ...]:
        """Return the named outputs for one input tensor; the arrays belong to the caller."""
