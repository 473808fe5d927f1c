"""A source that is a folder of photos: the name of a photo is that of the person, or that of the sub-folder is."""

import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from clients.bulk.items import Item, Person, Unusable, readable
from clients.enrol_list import PHOTO_SUFFIXES


class PhotoFolder:
    """A folder: the stem of a photo's name is the person's identity_id and name; in a sub-folder, its name is.

    The photos of a sub-folder are the faces of one person. Links are not followed: a folder that comes from elsewhere
    could name any file of this machine.
    """

    restore = False
    site: Mapping[str, Any] = {}

    def __init__(self, folder: Path) -> None:
        self.files: Sequence[Path] = (folder,)
        self._folder = folder

    def count(self) -> int:
        """Return the number of people and of entries that cannot be used."""
        return sum(1 for _ in self.items())

    def items(self) -> Iterator[Item]:
        """Yield the people in the order of the names."""
        for path in visible(self._folder):
            if is_folder(path):
                yield from self._person_folder(path)
            elif (reason := _unusable(path)) is not None:
                yield Unusable(readable(path.name), reason)
            else:
                yield _person(path.name, path.stem, [path])

    def _person_folder(self, folder: Path) -> Iterator[Item]:
        photos: list[Path] = []
        for path in visible(folder):
            if (reason := _unusable(path)) is None:
                photos.append(path)
            else:
                yield Unusable(readable(f"{folder.name}/{path.name}"), reason)
        if photos:
            yield _person(folder.name, folder.name, photos)
        else:
            yield Unusable(readable(folder.name), "the folder contains no photo")


def visible(folder: Path) -> Sequence[Path]:
    """Return the entries of a folder, hidden ones left out, in the order of their names."""
    return sorted(path for path in folder.iterdir() if not path.name.startswith("."))


def is_folder(path: Path) -> bool:
    """Return whether a path is a folder, and not a link to one."""
    return path.is_dir() and not path.is_symlink()


def _unusable(path: Path) -> str | None:
    if path.is_symlink():
        return "a link is not followed"
    if path.is_dir():
        return "folders inside a person's folder are not read"
    if path.suffix.lower() not in PHOTO_SUFFIXES:
        return f"not a photo: the name ends in none of {', '.join(sorted(PHOTO_SUFFIXES))}"
    return None


def _person(where: str, name: str, photos: Sequence[Path]) -> Item:
    try:
        name.encode()
    except UnicodeEncodeError:
        return Unusable(readable(where), "the name is not UTF-8")
    # Some file systems store names decomposed; with another normal form the same person would have another id.
    identity_id = unicodedata.normalize("NFC", name)
    fields = {"identity_id": identity_id, "info": {"name": identity_id}, "faces": [{} for _ in photos]}
    return Person(where, fields, dict(enumerate(photos)))
