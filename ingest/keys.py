"""API keys: how a call sends one, how a new one is made, and which known key equals it. Pure, but for making keys.

A key is the value of X-API-Key, the token of Authorization: Bearer, or the password of HTTP Basic; never a part of the
URL, because URLs are logged.
"""

import base64
import binascii
import hmac
import re
import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from typing import Literal

from multidict import MultiMapping

from contract.people.site import KeyRecord
from contract.roles import Role

PREFIX = "pm_"
"""What every key begins with that `new_key` makes, so that a scanner for secrets recognises one in a text."""

Reason = Literal["wrong", "unjudged", "weak_role", "plain_http", "in_url", "starting"]
"""Why a key was refused: it is wrong; too many wrong keys came from its address; its role may not make the call; it was
sent over plain HTTP; it was sent in the URL; the keys of the people topic were not read yet, so it may be right."""

_RANDOM_BYTES = 32
_IN_URL = frozenset({"api_key", "api-key", "apikey", "x-api-key", "x_api_key", "access_token"})
_MADE = re.compile(rf"{PREFIX}[A-Za-z0-9_-]{{43}}")


@dataclass(frozen=True, slots=True)
class SentKey:
    """A key that a call has sent. `is_password`: as the password of HTTP Basic, which browsers send by themselves."""

    value: bytes
    is_password: bool = False


@dataclass(frozen=True, slots=True)
class KnownKey:
    """A key that may be used. `key_id`: its id in the people topic; None: the key is in the settings."""

    name: str
    role: Role
    sha256: bytes
    key_id: str | None = None


def new_key() -> str:
    """Return a new random key of 256 bits, of characters that need no quoting anywhere."""
    return PREFIX + secrets.token_urlsafe(_RANDOM_BYTES)


def digest(key: bytes) -> bytes:
    """Return the hash of a key. A fast hash is enough, because a random key of 256 bits cannot be guessed."""
    return sha256(key).digest()


def sent_key(headers: MultiMapping[str]) -> SentKey | None:
    """Return the key in the headers of a call; None: they contain none."""
    text = headers.get("X-API-Key")
    if text is not None:
        return SentKey(_bytes(text)) if text else None
    scheme, _, token = headers.get("Authorization", "").partition(" ")
    token = token.strip()
    if scheme.lower() == "bearer" and token:
        return SentKey(_bytes(token))
    if scheme.lower() == "basic":
        try:
            _, _, password = base64.b64decode(_bytes(token), validate=True).partition(b":")
        except binascii.Error:
            return None
        return SentKey(password, is_password=True) if password else None
    return None


def is_in_url(query: MultiMapping[str]) -> bool:
    """Return whether the query of a URL contains a key: under a usual name, or a key that `new_key` made."""
    return any(name.lower() in _IN_URL or _MADE.search(value) for name, value in query.items())


def find_key(sent: bytes, api_keys: Sequence[str], records: Iterable[KeyRecord]) -> KnownKey | None:
    """Return the key that equals the key `sent`: one of the settings, or one of the people topic; None: none does.

    Every key is compared, by digests of one length, so that the time does not reveal which key was similar.
    """
    offered = digest(sent)
    in_settings = [known for known in _of_settings(tuple(api_keys)) if hmac.compare_digest(offered, known.sha256)]
    in_topic = [record for record in records if hmac.compare_digest(offered, record.sha256)]
    found = (*in_settings, *(KnownKey(record.name, record.role, record.sha256, record.key_id) for record in in_topic))
    return found[0] if found else None


@lru_cache(maxsize=8)
def _of_settings(api_keys: tuple[str, ...]) -> tuple[KnownKey, ...]:
    return tuple(
        KnownKey(f"settings key {number}", "administrator", digest(key.encode()))
        for number, key in enumerate(api_keys, 1)
    )


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")
