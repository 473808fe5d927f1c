"""The keys of the people topic and of the photos topic."""

from dataclasses import dataclass
from urllib.parse import quote, unquote

_SHOWN_CHARACTERS = 200


class NotReadable(Exception):
    """A record is not one of the people topic; the message names the reason, and nothing of the record's contents."""


@dataclass(frozen=True, slots=True)
class PersonKey:
    """person/ID."""

    identity_id: str


@dataclass(frozen=True, slots=True)
class FaceKey:
    """face/ID/N/EMBEDDER: the Nth face of a person as one embedder sees it; `embedder` is its identity."""

    identity_id: str
    number: int
    embedder: str


PeopleKey = PersonKey | FaceKey


def person_key(identity_id: str) -> bytes:
    """Key of a person's record."""
    return f"person/{identity_id}".encode()


def face_key(identity_id: str, number: int, embedder: str) -> bytes:
    """Key of what an embedder made of a person's Nth face."""
    return f"face/{identity_id}/{number}/{quote(embedder, safe='')}".encode()


def photo_key(identity_id: str, number: int) -> bytes:
    """Key, in the photos topic, of the photo that a person's Nth face was enrolled with."""
    return f"photo/{identity_id}/{number}".encode()


def parse_key(key: bytes) -> PeopleKey:
    """What a key of the people topic names.

    Raises:
        NotReadable: it is not a key of the people topic.
    """
    try:
        kind, _, name = key.decode().partition("/")
    except UnicodeDecodeError:
        raise NotReadable("the key is not UTF-8") from None
    if kind == "person" and name:
        return PersonKey(name)
    face, _, quoted = name.rpartition("/")
    identity_id, _, number = face.rpartition("/")
    embedder = unquote(quoted, errors="replace")
    canonical = number.isascii() and number.isdigit() and len(number) < 19 and str(int(number)) == number
    if kind == "face" and identity_id and canonical and quoted and quote(embedder, safe="") == quoted:
        return FaceKey(identity_id, int(number), embedder)
    raise NotReadable("the key is none of the people topic's")


def key_of(key: bytes | None, offset: int, *, damaged: bool) -> bytes | None:
    """The key under which a record is remembered: its own; of a damaged record that lost its key damaged/OFFSET, since
    the record hides an unknown person until a tombstone of that name confirms that the person was enrolled again."""
    return b"damaged/%d" % offset if key is None and damaged else key


def printable_key(key: bytes) -> str:
    """A key for logs and terminals: whatever is not printable is escaped, and a long key is cut."""
    text = key.decode("utf-8", "backslashreplace")
    shown = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text[:_SHOWN_CHARACTERS])
    return shown + "..." if len(text) > _SHOWN_CHARACTERS else shown
