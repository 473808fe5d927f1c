"""Looks for the pictures of very many lines: their folder is listed once, which is quicker than a look at each file."""

import os
from array import array
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from capture.pictures import PictureFiles
from contract.captures.convert import PICTURES_FOLDER, picture_file
from contract.captures.values import CaptureError, CaptureLine

_DIGITS = 16
"""A picture is known by the first digits of its sha256, which make a number of 64 bits: no two pictures share them."""
_SHA256_BYTES = 32
_NAME_LENGTH = len(picture_file("0" * 64)) - len(f"{PICTURES_FOLDER}/")


class ListedPictures:
    """The pictures that were there when this object was made, by 8 bytes each. Other processes can receive it.

    Raises:
        CaptureError: the folder of the pictures cannot be read.
    """

    def __init__(self, files: PictureFiles) -> None:
        self._files = files
        numbers = array("Q")
        try:
            numbers.extend(_listed(files.prefix))
        except FileNotFoundError:
            pass  # a capture without a picture has no folder either
        except OSError as error:
            raise CaptureError(f"{PICTURES_FOLDER} cannot be read: {error.strerror}") from error
        self._numbers = np.sort(np.asarray(numbers, np.uint64))

    def missing(self, lines: Sequence[tuple[int, CaptureLine]]) -> Mapping[int, str]:
        """Return, by the number of the line, a sentence about each line a picture of which is missing."""
        named = [line.request.picture for _, line in lines]
        others = [(place, sha256) for place, (_, line) in enumerate(lines) for sha256 in line.request.all_pictures[1:]]
        unlisted_others = self._unlisted([sha256 for _, sha256 in others])
        unlisted = {*self._unlisted(named), *(others[place][0] for place in unlisted_others)}
        # A recording that goes on may have stored the picture since.
        found = ((number, self._files.missing(number, line)) for number, line in map(lines.__getitem__, unlisted))
        return {number: sentence for number, sentence in found if sentence is not None}

    def _unlisted(self, named: Sequence[str]) -> list[int]:
        """Return the places of those pictures that are not in the list."""
        if not len(self._numbers):
            return list(range(len(named)))
        wanted = np.frombuffer(bytes.fromhex("".join(named)), ">u8")[:: _SHA256_BYTES // 8].astype(np.uint64)
        places = np.minimum(np.searchsorted(self._numbers, wanted), len(self._numbers) - 1)
        unlisted: list[int] = np.flatnonzero(self._numbers[places] != wanted).tolist()
        return unlisted


def _listed(folder: str) -> Iterator[int]:
    with os.scandir(folder) as entries:
        for entry in entries:
            if len(entry.name) == _NAME_LENGTH and entry.is_file(follow_symlinks=False):
                try:
                    yield int.from_bytes(bytes.fromhex(entry.name[:_DIGITS]))
                except ValueError:
                    continue  # another file, which nothing reads
