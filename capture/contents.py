"""Counts what a capture contains, for `picturematch capture check`, which reads every byte of it."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import msgspec

from capture.reader import CaptureReader
from contract.captures.convert import LOOKS_FOLDER, PICTURES_FOLDER, is_capture_file
from contract.captures.values import CaptureError, CaptureLine, Manifest, PeopleLine
from contract.people.keys import FaceKey, NotReadable, parse_key
from contract.people.records import FaceRecord, PhotoReference
from contract.people.unreadable import read_face


class Contents(msgspec.Struct, kw_only=True):
    """The contents of a capture.

    `outcomes`: outcome -> decisions. `embeddings`: decisions that have the embedding of their face. `received`: the
    times of arrival of the first and the last request (epoch seconds). `people`: records of the people topic, `faces`:
    those of faces, `photos`: faces whose photo is among the pictures. `looks`: model set -> requests looked at.
    """

    manifest: Manifest
    requests: int = 0
    outcomes: Counter[str] = msgspec.field(default_factory=Counter)
    embeddings: int = 0
    expectations: int = 0
    received: tuple[float, float] | None = None
    people: int = 0
    faces: int = 0
    photos: int = 0
    configs: int = 0
    pictures: int = 0
    picture_bytes: int = 0
    looks: dict[str, int] = msgspec.field(default_factory=dict)


def contents_of(folder: Path, reader: CaptureReader, step: Callable[[], None] = lambda: None) -> Contents:
    """Read all of a capture and return its contents. `reader`: with keep_going; its `damage` then has everything found.

    `step` is called after every request and every picture.

    Raises:
        CaptureError: a folder of the capture cannot be read.
    """
    contents = Contents(manifest=reader.manifest)
    for _, line in reader.lines():
        _count_line(contents, line)
        step()
    for _, record in reader.people():
        contents.people += 1
        _count_face(contents, record, reader)
    contents.configs = sum(1 for _ in reader.configs())
    for name in _names(folder / PICTURES_FOLDER, PICTURES_FOLDER):
        _count_picture(contents, name, reader)
        step()
    for name in _names(folder / LOOKS_FOLDER, LOOKS_FOLDER):
        contents.looks[name] = sum(1 for _ in reader.looks(name))
    return contents


def _names(folder: Path, inner: str) -> list[str]:
    """Return the stems, sorted, of a capture's files in one of its folders."""
    try:
        names = [path.name for path in folder.iterdir()]
    except FileNotFoundError:
        return []
    except OSError as error:
        raise CaptureError(f"{folder} cannot be read: {error.strerror}") from error
    return sorted(Path(name).stem for name in names if is_capture_file(f"{inner}/{name}"))


def _count_line(contents: Contents, line: CaptureLine) -> None:
    contents.requests += 1
    contents.expectations += line.expected_identity_id is not None
    if line.decision is not None:
        contents.outcomes[line.decision.outcome] += 1
        contents.embeddings += line.decision.embedding is not None
    if line.received_time is not None:
        first = contents.received[0] if contents.received else line.received_time
        contents.received = (first, line.received_time)


def _count_face(contents: Contents, record: PeopleLine, reader: CaptureReader) -> None:
    face = _face_of(record)
    if face is not None:
        contents.faces += 1
        contents.photos += isinstance(face.photo, PhotoReference) and reader.has_picture(face.photo.sha256.hex())


def _face_of(record: PeopleLine) -> FaceRecord | None:
    try:
        key = parse_key(record.key)
        if record.value is None or not isinstance(key, FaceKey):
            return None
        return read_face(key, record.value, embedder=None, dimension=0)[0]
    except NotReadable:
        return None


def _count_picture(contents: Contents, sha256: str, reader: CaptureReader) -> None:
    contents.pictures += 1
    try:
        contents.picture_bytes += len(reader.picture(sha256))
    except CaptureError:
        return  # the reader has noted it
