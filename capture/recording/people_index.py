"""The photos of people, and the numbers of people and faces, from the records of the people topic. Pure."""

import msgspec

from contract.codec import decode_with
from contract.configs import Checkpoint
from contract.people.keys import FaceKey, NotReadable, PersonKey, parse_key, photo_key
from contract.people.records import FaceRecord, PhotoReference

_decoder = msgspec.msgpack.Decoder(FaceRecord)


class PeopleIndex:
    """The fold of the keys of the people topic.

    `photos`: whether the references to photos are kept, those of faces that were deleted since too. Of every other
    record only a hash of its key is kept.
    """

    def __init__(self, *, photos: bool) -> None:
        self._keep_photos = photos
        self._people: set[int] = set()
        self._faces: set[int] = set()
        self._photos: dict[bytes, PhotoReference] = {}
        self._newest: dict[str, int] = {}

    def apply(self, key: bytes, value: bytes | None) -> tuple[bytes, PhotoReference] | None:
        """Apply the next record; return key and reference of the photo of the face that it contains."""
        try:
            named = parse_key(key)
        except NotReadable:
            return None
        if isinstance(named, PersonKey | FaceKey):
            keys = self._people if isinstance(named, PersonKey) else self._faces
            (keys.discard if value is None else keys.add)(hash(key))
        if not isinstance(named, FaceKey) or value is None or not self._keep_photos:
            return None
        try:
            photo = decode_with(_decoder, value).photo
        except msgspec.DecodeError:
            return None
        if photo is None:
            return None
        photo_of_face = photo_key(named.identity_id, named.number)
        self._photos[photo_of_face] = photo
        self._newest[named.identity_id] = max(named.number, self._newest.get(named.identity_id, 0))
        return photo_of_face, photo

    def photo(self, identity_id: str, number: int | None = None) -> tuple[bytes, PhotoReference] | None:
        """Return key and reference of the photo of a face, or of the person's newest face; None: none is known."""
        number = self._newest.get(identity_id) if number is None else number
        key = b"" if number is None else photo_key(identity_id, number)
        reference = self._photos.get(key)
        return None if reference is None else (key, reference)

    def contradicts(self, checkpoint: Checkpoint) -> bool:
        """Return whether a checkpoint of the version that has been reached has other numbers of people or faces."""
        return (checkpoint.people, checkpoint.faces) != (len(self._people), len(self._faces))
