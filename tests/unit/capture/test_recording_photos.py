"""Which photos of candidates a recording stores."""

from typing import Any

import pytest
from msgspec import structs

from capture.recording.people_index import PeopleIndex
from capture.recording.photos import Photos
from contract.codec import encode
from contract.people.keys import MEAN_FACE, face_key, photo_key
from contract.people.records import FaceRecord, PhotoReference
from tests.support.rows import search


@pytest.mark.parametrize(("number", "stored"), [(0, 0), (1, 1), (MEAN_FACE, 2)])
async def test_the_photo_of_the_nearest_face_is_stored_and_for_the_mean_that_of_the_newest(
    number: int, stored: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    index = PeopleIndex(photos=True)
    for face in range(3):
        photo = PhotoReference(sha256=b"photo %d" % face, partition=0, offset=face)
        record = FaceRecord(identity_id="a", number=face, embedder="e", templates={}, photo=photo)
        index.apply(face_key("a", face, "e"), encode(record))
    kept: list[bytes] = []

    async def keep(self: Photos, key: bytes, reference: PhotoReference) -> None:
        kept.append(key)

    monkeypatch.setattr(Photos, "keep", keep)
    decision = search(("a", 0.9))
    first, *others = decision.candidates
    nearest = structs.replace(first, number=number)
    nothing: Any = None
    await Photos(nothing, "photos", nothing).keep_of([structs.replace(decision, candidates=(nearest, *others))], index)
    assert kept == [photo_key("a", stored)]
