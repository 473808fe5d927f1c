"""Estimates one number about a person, an age or a sex, with a stagewise regression network.

SSR-Net (T.-Y. Yang, Y.-H. Huang, Y.-Y. Lin, P.-C. Hsiu, Y.-Y. Chuang, "SSR-Net: A Compact Soft Stagewise Regression
Network for Age Estimation", IJCAI 2018) computes the number in stages, each of which refines the one before. The
outputs of a stage are the probabilities of its bins, a shift of each bin, and a stretch of the bins' width.

The face is aligned onto the ArcFace template, as for the embedder, with as much of its surroundings as the manifest
defines. Measured on photos of people whose sex is known from their first names, an upright box has far more errors
(docs/models.md).
"""

import math

import numpy as np

from engine.vision.networks.arcface import align
from engine.vision.ports import Face, Image
from engine.vision.tensor import Run, Tensor, resize, to_tensor
from models.manifest import NetworkEntry

STAGES = 3

FINER = 4
"""The factor by which the aligned face is larger than the network's input, to which it is then averaged: sampling a
large face at the small size of the input would turn its skin into a pattern."""


def stagewise(outputs: tuple[Tensor, ...]) -> float:
    """Return the number that the outputs of the stages give, on the scale 0..1 of the network's range.

    The number may lie a little outside 0..1; it is nan where the outputs are not finite or give no number. `outputs`:
    the probabilities of the bins of each stage, then the stretch of each stage, then the shifts of each stage.
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
    """Estimates one number about a person, 0 to `largest`: the mean for the face and for its mirror image."""

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
        """Return the number for a face in the image; nan where the network's outputs give none.

        Raises:
            PictureUnreadable: the face cannot be aligned.
        """
        width, height = self._size
        large = align(image, face, FINER * width, FINER * height, self._spec.box_scale)
        aligned = resize(large, width, height)
        views = (aligned, np.ascontiguousarray(aligned[:, ::-1]))
        mean = sum(stagewise(self._run(to_tensor(view, self._spec))) for view in views) / len(views)
        return min(max(mean, 0.0), 1.0) * self._largest if math.isfinite(mean) else math.nan
