"""The types of embeddings as arrays."""

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float32]
"""An embedding: a one-dimensional float32 array of unit length."""

Vectors = NDArray[np.float32]
"""Several embeddings: a two-dimensional float32 array, whose rows are of unit length."""
