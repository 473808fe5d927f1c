"""The keys of the people topic and of the photos topic."""

from dataclasses import dataclass
from typing import Literal, get_args
from urllib.parse import quote, unquote

import msgspec

MEAN_FACE = -1
"""The reserved face number of the mean of a person's faces, in searches and in evidence; no record has it."""

REMOVE_COPIES_KEY = b"copies"
"""The key of a tombstone by which every process removes its local copy of the people: somebody was erased."""

_SHOWN_CHARACTERS = 200


class NotReadable(Exception):
    """A record of the people topic cannot be read; the message names the reason but no part of the record's value."""


@dataclass(frozen=True, slots=True)
class PersonKey:
    """The key person/ID."""

    identity_id: str


class FaceKey(msgspec.Struct, frozen=True, gc=False):
    """The key face/ID/N/EMBEDDER: the Nth face of a person, embedded by one embedder; `embedder` is its identity."""

    identity_id: str
    number: int
    embedder: str


SiteKind = Literal["group", "permission", "device", "setting", "key"]
SITE_KINDS: tuple[SiteKind, ...] = get_args(SiteKind)


@dataclass(frozen=True, slots=True)
class SiteKey:
    """The key KIND/ID of an object of the site: a group, permission, device, setting or API key."""

    kind: SiteKind
    id: str


PeopleKey = PersonKey | FaceKey | SiteKey


def person_key(identity_id: str) -> bytes:
    """Return the key of a person's record."""
    return f"person/{identity_id}".encode()


def face_key(identity_id: str, number: int, embedder: str) -> bytes:
    """Return the key of the record that contains an embedder's templates of a person's face number `number`."""
    return f"face/{identity_id}/{number}/{quote(embedder, safe='')}".encode()


def photo_key(identity_id: str, number: int) -> bytes:
    """Return the key, in the photos topic, of the photo with which a person's face number `number` was enrolled."""
    return f"photo/{identity_id}/{number}".encode()


def image_id(identity_id: str, number: int) -> str:
    """Return the name, in answers, of the photo with which a person's face number `number` was enrolled."""
    return f"{identity_id}-{number}"


def parse_image_id(text: str) -> tuple[str, int] | None:
    """Return the person and the face number that the name of a photo contains; None: the text is not such a name."""
    identity_id, _, number = text.rpartition("-")
    return (identity_id, int(number)) if identity_id and _is_number(number) else None


def site_key(key: SiteKey) -> bytes:
    """Return the key of an object's record."""
    return f"{key.kind}/{quote(key.id, safe='')}".encode()


def parse_key(key: bytes) -> PeopleKey:
    """Return the person, the face or the object of the site that a key of the people topic names.

    Raises:
        NotReadable: the bytes are not a key of the people topic.
    """
    try:
        kind, _, name = key.decode().partition("/")
    except UnicodeDecodeError:
        raise NotReadable("the key is not UTF-8") from None
    if kind == "person" and name:
        return PersonKey(name)
    for site_kind in SITE_KINDS:
        if kind == site_kind and name and quote(unquote(name, errors="replace"), safe="") == name:
            return SiteKey(site_kind, unquote(name))
    face, _, quoted = name.rpartition("/")
    identity_id, _, number = face.rpartition("/")
    embedder = unquote(quoted, errors="replace")
    if kind == "face" and identity_id and _is_number(number) and quoted and quote(embedder, safe="") == quoted:
        return FaceKey(identity_id, int(number), embedder)
    raise NotReadable("the key is not a key of the people topic")


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 19 and str(int(text)) == text


def person_of(key: PeopleKey) -> str | None:
    """Return the identity_id of the person whom a record with this key is about; None: it is not about a person."""
    return None if isinstance(key, SiteKey) else key.identity_id


def key_of(key: bytes | None, offset: int, *, damaged: bool) -> bytes | None:
    """Return the key under which a record is remembered.

    That is the record's own key, or damaged/OFFSET for a damaged record that lost its key: such a record hides an
    unknown person until a tombstone with that key confirms that the person was enrolled again.
    """
    return b"damaged/%d" % offset if key is None and damaged else key


def printable_key(key: bytes) -> str:
    """Return a key as text for logs and terminals: characters that are not printable are escaped, a long key is cut."""
    text = key.decode("utf-8", "backslashreplace")
    shown = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text[:_SHOWN_CHARACTERS])
    return shown + "..." if len(text) > _SHOWN_CHARACTERS else shown
