"""Folders of photos seen by the engine, several at a time: what the benchmark of accuracy and `calibrate` share."""

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from clients.picture_file import UnusablePicture, read_picture
from contract.errors import Code, PictureRefused
from engine.evaluation.photos import FaceChoice, MeasuredPhoto, measure_photo
from engine.vision.ports import ModelSet


@dataclass(frozen=True, slots=True)
class Unseen:
    """A photo that gives no vector, and why. `no_face`: it could be decoded, but shows none."""

    reason: str
    no_face: bool


def see_all(
    photos: Sequence[Path], models: ModelSet, choice: FaceChoice, max_pixels: int, threads: int | None = None
) -> Iterator[MeasuredPhoto | Unseen]:
    """See the photos, in their order; what cannot be seen is an answer.

    Args:
        photos: the files.
        models: the opened networks.
        choice: which of several faces counts.
        max_pixels: the limit on what is decoded.
        threads: how many at a time; None for one per core.
    """

    def one(path: Path) -> MeasuredPhoto | Unseen:
        try:
            return measure_photo(read_picture(path), models, choice, max_pixels)
        except PictureRefused as refusal:
            return Unseen(refusal.message, refusal.code is Code.NO_FACE)
        except UnusablePicture as error:
            return Unseen(str(error), no_face=False)
        except OSError as error:
            return Unseen(f"cannot be read: {error.strerror or error}", no_face=False)

    at_a_time = threads or os.cpu_count() or 1
    with ThreadPoolExecutor(at_a_time) as pool:
        yield from _in_order(pool, one, photos, 4 * at_a_time)


def _in_order(
    pool: ThreadPoolExecutor, work: Callable[[Path], MeasuredPhoto | Unseen], photos: Sequence[Path], ahead: int
) -> Iterator[MeasuredPhoto | Unseen]:
    # A map would hand every photo to the pool at once; bounded, an interrupted command ends soon.
    left = iter(photos)
    waiting: list[Future[MeasuredPhoto | Unseen]] = [pool.submit(work, path) for path in islice(left, ahead)]
    try:
        while waiting:
            yield waiting.pop(0).result()
            waiting.extend(pool.submit(work, path) for path in islice(left, 1))
    finally:
        for future in waiting:
            future.cancel()
