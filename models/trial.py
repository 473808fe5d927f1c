"""What a network computes from made-up pictures, as a digest. Pure.

In bfloat16 the results of a network depend on the kind of the processor and on the release of the runtime. The digest
tells such results apart: equal digests mean that all results for the made-up pictures are equal, bit for bit.
"""

import hashlib
from collections.abc import Callable

import numpy as np

from models.manifest import InputSpec
from models.session import Tensor

_PICTURES = 16
_DIGITS = 8
_STEP, _GREYS = 7919, 251
"""Two primes: the pixels are multiples of the one modulo the other, so they are the same numbers everywhere."""


def rounding_of(network: Callable[[Tensor], tuple[Tensor, ...]], spec: InputSpec) -> str:
    """Return eight hexadecimal digits of the sha256 of what the network computes from made-up pictures.

    `spec`: the input of the network; its width and height are present.
    """
    channels = 1 if spec.colour == "grey" else 3
    shape = (1, channels, spec.height or 0, spec.width or 0)
    axes = (-1, 1, 1)
    mean, divisor = (np.array(of[:channels], np.float32).reshape(axes) for of in (spec.mean, spec.divisor))
    digest = hashlib.sha256()
    for picture in range(_PICTURES):
        places = np.arange(picture, picture + np.prod(shape), dtype=np.int64)
        pixels = (places * places // (picture + 1) * _STEP % _GREYS).reshape(shape).astype(np.float32)
        tensor = (pixels - mean) / divisor
        for output in network(tensor if spec.layout == "nchw" else np.ascontiguousarray(tensor.transpose(0, 2, 3, 1))):
            digest.update(output.tobytes())
    return digest.hexdigest()[:_DIGITS]
