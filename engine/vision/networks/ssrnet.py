"""One number about a person, by a stagewise regression network: an age, or a sex.

SSR-Net (T.-Y. Yang, Y.-H. Huang, Y.-Y. Lin, P.-C. Hsiu, Y.-Y. Chuang, "SSR-Net: A Compact Soft Stagewise Regression
Network for Age Estimation", IJCAI 2018) answers in stages, each refining the one before: a stage gives the
probabilities of its bins, a shift of each bin's place, and by how much the bins' width is stretched.

The face is moved onto the ArcFace template as the embedder's is, with as much of its surroundings as the manifest says:
measured on photos whose first names tell the sex, an upright box tells it far less well (docs/models.md).
"""

import math

import numpy as np

from engine.vision.networks.arcface import align
from engine.vision.ports import Face, Image
from engine.vision.tensor import Run, Tensor, resize, to_tensor
from models.manifest import NetworkEntry

STAGES = 3

FINER = 4
"""The face is aligned this many times larger than it is fed, then averaged: small inputs would make a large face's
skin a pattern."""


def stagewise(outputs: tuple[Tensor, ...]) -> float:
    """The number, where the network's whole range is 0..1 (it may lie a little outside); nan where they make none.

    `outputs`: of each stage the probabilities of its bins, then of each stage the stretch, then of each the shifts.
    """
    bins, stretches, shifts = (
        [np.asarray(output, np.float64).reshape(-1) for output in outputs[first : first + STAGES]]
        for first in (0, STAGES, 2 * STAGES)
    )
    number, width = 0.0, 1.0
    if not all(np.isfinite(values).all() for values in (*bins, *stretches, *shifts)):
        return math.nan
    for probabilities, stretch, shift in zip(bins, stretches, shifts, strict=True):
        parts = probabilities.size * (1.0 + float(stretch[0]))
        if parts == 0.0:
            return math.nan
        width /= parts
        number += width * float(probabilities @ (np.arange(probabilities.size) + shift))
    return number


class SsrNet:
    """Guesses one number about a person, 0 to `largest`: the mean of the face's and of its mirror image's."""

    def __init__(self, run: Run, entry: NetworkEntry, largest: float) -> None:
        if not entry.input.width or not entry.input.height:
            raise ValueError(f"the network {entry.name} needs input.width and input.height")
        if len(entry.outputs) != 3 * STAGES:
            raise ValueError(f"the network {entry.name} needs {3 * STAGES} outputs")
        self._run = run
        self._spec = entry.input
        self._size = (entry.input.width, entry.input.height)
        self._largest = largest

    def __call__(self, image: Image, face: Face) -> float:
        """The number for that face of the picture; nan where the network's outputs make none.

        Raises:
            PictureUnreadable: the face cannot be aligned.
        """
        width, height = self._size
        large = align(image, face, FINER * width, FINER * height, self._spec.box_scale)
        aligned = resize(large, width, height)
        views = (aligned, np.ascontiguousarray(aligned[:, ::-1]))
        mean = sum(stagewise(self._run(to_tensor(view, self._spec))) for view in views) / len(views)
        return min(max(mean, 0.0), 1.0) * self._largest if math.isfinite(mean) else math.nan
