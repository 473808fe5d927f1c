"""Writes a hand-made capture: its gallery first, and then its requests."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from capture.files import empty_after_errors
from capture.folder import CaptureFolder
from capture.making.gallery import GalleryPart
from capture.making.values import LeftOut, MadeRequest

_BATCH = 64


@dataclass(slots=True)
class Made:
    """The numbers of photos that were enrolled, of requests, and of pictures that were left out."""

    enrolled: int = 0
    requests: int = 0
    left_out: int = 0


class Maker:
    """Writes a capture into a new or empty folder, which is as before after an error.

    `report` is called with every picture that is left out, and `step` after every picture.
    """

    def __init__(self, out: Path, report: Callable[[LeftOut], None], step: Callable[[], None]) -> None:
        self._out, self._report, self._step = out, report, step
        self._made = Made()

    def make(self, gallery: Iterable[GalleryPart] | None, requests: Iterable[MadeRequest | LeftOut]) -> Made:
        """Write the capture. `gallery` None: it has no people, so that it can only be posted to a server.

        Raises:
            CaptureError: the folder is not empty or cannot be written, or an input cannot be used.
        """
        with empty_after_errors(self._out), CaptureFolder(self._out) as folder:
            if gallery is not None:
                folder.describe(people_from=0, photos="all")
                self._keep_gallery(folder, gallery)
            self._keep_requests(folder, requests)
        return self._made

    def _keep_gallery(self, folder: CaptureFolder, gallery: Iterable[GalleryPart]) -> None:
        parts = iter(gallery)
        while batch := list(islice(parts, _BATCH)):
            for part in batch:
                if part.left_out is not None:
                    self._leave_out(part.left_out)
                    continue
                if part.jpeg is not None:
                    folder.keep_pictures([part.jpeg])
                self._made.enrolled += 1
                self._step()
            folder.append_people([line for part in batch for line in part.lines])

    def _keep_requests(self, folder: CaptureFolder, requests: Iterable[MadeRequest | LeftOut]) -> None:
        left = iter(requests)
        while batch := list(islice(left, _BATCH)):
            lines = []
            for request in batch:
                if isinstance(request, LeftOut):
                    self._leave_out(request)
                    continue
                folder.keep_pictures(request.pictures)
                lines.append(request.line)
                self._step()
            folder.append(lines)
            self._made.requests += len(lines)

    def _leave_out(self, picture: LeftOut) -> None:
        self._made.left_out += 1
        self._report(picture)
        self._step()
