"""Embeddings as arrays."""

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float32]
"""An embedding: one dimension, float32, of unit length."""
