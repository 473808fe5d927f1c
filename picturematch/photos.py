"""Measures many photos with the engine in parallel, for `calibrate` and the benchmark of accuracy."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from clients.picture_file import UnusablePicture, read_picture
from contract.errors import Code, PictureRefused
from engine.evaluation.photos import FaceChoice, MeasuredPhoto, SeveralFaces, measure_photo
from engine.in_order import in_order
from engine.vision.ports import ModelSet


@dataclass(frozen=True, slots=True)
class Unmeasured:
    """A photo without an embedding, and the reason. `no_face`: the photo was decoded but shows no face;
    `several_faces`: it shows several where only one is allowed."""

    reason: str
    no_face: bool
    several_faces: bool = False


def measure_photos(
    photos: Sequence[Path], models: ModelSet, choice: FaceChoice, max_pixels: int, threads: int | None = None
) -> Iterator[MeasuredPhoto | Unmeasured]:
    """Measure the photos and yield the results in the order of the photos, failures too.

    Args:
        photos: the files of the photos.
        models: the opened networks.
        choice: the face that counts where a photo shows several.
        max_pixels: the most pixels of a photo.
        threads: the number of photos at a time; None: one per core.
    """

    def one(path: Path) -> MeasuredPhoto | Unmeasured:
        try:
            return measure_photo(read_picture(path), models, choice, max_pixels)
        except SeveralFaces as refusal:
            return Unmeasured(refusal.message, no_face=False, several_faces=True)
        except PictureRefused as refusal:
            return Unmeasured(refusal.message, refusal.code is Code.NO_FACE)
        except UnusablePicture as error:
            return Unmeasured(str(error), no_face=False)
        except OSError as error:
            return Unmeasured(f"cannot be read: {error.strerror or error}", no_face=False)

    yield from in_order(one, photos, threads or os.cpu_count() or 1)
