"""Converts images to the input of a network, as the network's manifest entry describes it."""

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

from engine.vision.ports import Box, Image
from models.manifest import InputSpec

Tensor = NDArray[np.float32]

Run = Callable[[Tensor], tuple[Tensor, ...]]
"""An open network, for example a `models.network.Network`: a function from the input to the outputs, in the manifest's
order."""


def to_tensor(image: Image, spec: InputSpec) -> Tensor:
    """Return the image as a batch of one, of the same size, with the colour order, mean, divisor and axes of `spec`."""
    if spec.colour == "grey":
        pixels = np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), np.uint8)[:, :, np.newaxis]
    else:
        pixels = image[:, :, ::-1] if spec.colour == "rgb" else image
    planes = pixels.transpose(2, 0, 1)[np.newaxis]
    tensor = np.empty(planes.shape, np.float32)
    for channel in range(planes.shape[1]):
        mean, divisor = spec.mean[channel], spec.divisor[channel]
        np.subtract(planes[0, channel], np.float32(mean), out=tensor[0, channel], dtype=np.float32)
        if divisor != 1.0:
            tensor[0, channel] *= np.float32(1.0 / divisor)
    return tensor if spec.layout == "nchw" else np.ascontiguousarray(tensor.transpose(0, 2, 3, 1))


def resize(image: Image, width: int, height: int) -> Image:
    """Return the image at that size: averaged where it shrinks, interpolated where it grows."""
    if image.shape[1] == width and image.shape[0] == height:
        return image
    shrinks = width * height < image.shape[0] * image.shape[1]
    resized = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
    return np.asarray(resized, np.uint8)


def crop_around(image: Image, box: Box, scale: float) -> Image:
    """Return the part of the image in the box, enlarged `scale` times about its centre; at least one pixel.

    The enlarged box is shifted where it would extend beyond the border, and shrunk in its proportions where the image
    is too small for it.
    """
    rows, columns = image.shape[:2]
    width, height = max(box.width, 1.0), max(box.height, 1.0)
    scale = min(scale, columns / width, rows / height)
    width, height = width * scale, height * scale
    left = min(max(box.x + (box.width - width) / 2, 0.0), columns - width)
    top = min(max(box.y + (box.height - height) / 2, 0.0), rows - height)
    x, y = min(int(left), columns - 1), min(int(top), rows - 1)
    return image[y : max(y + 1, round(top + height)), x : max(x + 1, round(left + width))]


def share_outside(image: Image, box: Box) -> float:
    """Return the share of the box, 0..1, that lies outside the image."""
    rows, columns = image.shape[:2]
    width = min(box.x + box.width, columns) - max(box.x, 0.0)
    height = min(box.y + box.height, rows) - max(box.y, 0.0)
    if box.area <= 0:
        return 1.0
    return float(1.0 - max(width, 0.0) * max(height, 0.0) / box.area)


def softmax(logits: np.ndarray) -> np.ndarray:
    """Return probabilities from logits along the last axis, in float64."""
    powers = np.exp(logits.astype(np.float64) - logits.max(axis=-1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=-1, keepdims=True))
