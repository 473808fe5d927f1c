"""A gallery and requests from photos of people: a folder per person, or what `picturematch enrol` can read."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from capture.making.values import LeftOut, MadeRequest, Photo, picture_at
from clients.enrol_list import Entry, find_entries
from clients.errors import CannotRun
from contract.captures.values import CapturedRequest, CaptureError, CaptureLine
from contract.pictures.digest import picture_digest

STRANGERS = "strangers"


def photos_at(path: Path) -> Iterator[Photo | LeftOut]:
    """Yield the photos of a folder or a list (clients.enrol_list), and its entries that are no photos, in order.

    Raises:
        CaptureError: the folder or the list cannot be read, or the photos of a person do not follow each other.
    """
    known, person = set[str](), ""
    try:
        for entry in find_entries(path):
            if not isinstance(entry, Entry):
                yield LeftOut(entry.where, entry.reason)
            elif entry.photo is None:
                yield LeftOut(entry.where, "it has no photo")
            else:
                if entry.identity_id != person and entry.identity_id in known:
                    raise CaptureError(
                        f"{entry.where} is of {entry.identity_id}, whose other photos come earlier; put all photos "
                        "of a person into one folder, or into lines that follow each other"
                    )
                person = entry.identity_id
                known.add(person)
                yield Photo(person, entry.where, entry.photo, entry.info, entry.group_name)
    except CannotRun as error:
        raise CaptureError(str(error)) from error
    except OSError as error:
        raise CaptureError(f"{path} cannot be read: {error}") from error


@dataclass(frozen=True, slots=True)
class PeopleFolders:
    """A folder with a folder of photos per person, whose name is the identity; both in the order of their names.

    The first `enrolled` photos of each person are for the gallery, also where one of them cannot be used, so that the
    requests do not depend on the networks; the others become requests, which expect that person. `strangers`: the name
    of the folder whose photos all become requests, which expect a stranger. `device_ip`: of all requests.
    """

    root: Path
    enrolled: int = 1
    strangers: str = STRANGERS
    device_ip: str = "folders"

    def gallery(self) -> Iterator[Photo | LeftOut]:
        """Yield the photos of the gallery, and what is no photo in a folder of a person. Raises as `photos_at`."""
        return (photo for photo, enrolled in self._photos() if enrolled)

    def requests(self) -> Iterator[MadeRequest | LeftOut]:
        """Yield the requests, and the photos that cannot be used for one. Raises as `photos_at`.

        Where nobody is enrolled, nobody reads the gallery, so that what is no photo is among the requests.
        """
        for photo, enrolled in self._photos():
            if isinstance(photo, LeftOut):
                if not self.enrolled:
                    yield photo
            elif not enrolled:
                try:
                    yield self._request(photo)
                except ValueError as error:
                    yield LeftOut(photo.where, str(error))

    def _photos(self) -> Iterator[tuple[Photo | LeftOut, bool]]:
        """Yield each photo, and whether it is for the gallery; so is each thing that is no photo."""
        person, count = "", 0
        for photo in photos_at(self.root):
            if isinstance(photo, LeftOut):
                yield photo, True
            elif photo.path.parent == self.root:
                yield LeftOut(photo.where, "it is in no person's folder"), True
            else:
                count = count + 1 if photo.identity_id == person else 1
                person = photo.identity_id
                yield photo, person != self.strangers and count <= self.enrolled

    def _request(self, photo: Photo) -> MadeRequest:
        picture = picture_at(photo.path)
        request = CapturedRequest(picture=picture_digest(picture), device_ip=self.device_ip)
        expected = "" if photo.identity_id == self.strangers else photo.identity_id
        return MadeRequest(
            CaptureLine(request_id=photo.where, request=request, expected_identity_id=expected), (picture,)
        )
