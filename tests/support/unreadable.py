"""Records of the people topic that cannot be read, one of every kind."""

from typing import Any

import msgspec
import numpy as np

from contract.codec import encode
from contract.people.keys import face_key, person_key
from contract.people.records import FaceRecord
from tests.support.faces import MODELS

DIMENSION = MODELS.embedder.dimension
MODEL = MODELS.embedder_identity


def _map(**fields: Any) -> bytes:
    return msgspec.msgpack.encode(fields)


def _person(**changes: Any) -> bytes:
    fields = {"identity_id": "anna", "group_names": ["default_group"], "info": {}, "faces": [0], "next_face": 1}
    return _map(**{**fields, **changes})


def _face(vector: np.ndarray | bytes, **changes: Any) -> bytes:
    data = vector if isinstance(vector, bytes) else vector.astype("<f4").tobytes()
    fields = {"identity_id": "anna", "number": 0, "embedder": MODEL, "templates": {"whole": data}}
    return encode(FaceRecord(**{**fields, **changes}))


def _unit(length: int) -> np.ndarray:
    vector = np.ones(length)
    return vector / np.linalg.norm(vector)


ANNA, FACE = person_key("anna"), face_key("anna", 0, MODEL)
_NESTED = msgspec.msgpack.encode({"a": 7}).replace(b"\x81\xa1a\x07", b"\x81\xa1a" * 100_000 + b"\x07")

UNREADABLE: dict[str, tuple[bytes, bytes]] = {
    "not MessagePack": (ANNA, b"\xc1\xff\x00"),
    "empty": (ANNA, b""),
    "JSON": (ANNA, b'{"identity_id": "anna"}'),
    "cut short": (ANNA, _person()[:-3]),
    "with something behind": (ANNA, _person() + b"\x00"),
    "fields missing": (ANNA, _map(identity_id="anna")),
    "a field of another type": (ANNA, _person(faces="none")),
    "another person's": (ANNA, _person(identity_id="bert")),
    "an id that is not UTF-8": (ANNA, _person().replace(b"\xa4anna", b"\xa4an\xff\xfe")),
    "nested too deeply": (ANNA, _person(info={"x": 0}).replace(b"\xa1x\x00", b"\xa1x" + _NESTED)),
    "info that JSON cannot tell": (ANNA, _person(info={"x": b"bytes"})),
    "info of an extension type": (ANNA, _person(info={"x": msgspec.msgpack.Ext(5, b"data")})),
    "a person where a face should be": (FACE, _person()),
    "another face": (FACE, _face(_unit(DIMENSION), number=1)),
    "a vector too short": (FACE, _face(_unit(DIMENSION - 1))),
    "a vector too long": (FACE, _face(_unit(DIMENSION + 1))),
    "a vector cut within a number": (FACE, _face(_unit(DIMENSION).astype("<f4").tobytes()[:-1])),
    "no vector": (FACE, _face(b"")),
    "a vector that is not finite": (FACE, _face(np.full(DIMENSION, np.nan))),
    "an infinite vector": (FACE, _face(np.full(DIMENSION, np.inf))),
    "a vector of length two": (FACE, _face(2 * _unit(DIMENSION))),
    "a foreign vector cut within a number": (
        face_key("anna", 0, "another"),
        _face(b"\x00\x00\x00\x00\x01", embedder="another"),
    ),
    "a key that is not UTF-8": (b"person/\xff\xfe", _person()),
    "a key of another kind": (b"group/1", _map(name="g")),
    "a key without a name": (b"person/", _person(identity_id="")),
    "a face's key without a number": (b"face/anna/m", _face(_unit(DIMENSION))),
    "a face's key with a word": (b"face/anna/zero/m", _face(_unit(DIMENSION))),
    "a face's key with another zero": (b"face/anna/00/m", _face(_unit(DIMENSION))),
    "a photo's key without a number": (b"photo/anna/", _map(identity_id="anna", number=0, jpeg=b"")),
    "an empty key": (b"", _person()),
    "a key for a terminal": (b"person/\x1b[2J\xe2\x80\xae\xc2\x9b", b"\xc1"),
}
"""What is wrong with it -> key and value. All but the last few are under the keys of the person anna and her face 0."""
