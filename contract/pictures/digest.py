"""The digest by which captures, events and records name a picture."""

from hashlib import sha256


def picture_digest(picture: bytes) -> str:
    """Return the sha256 of a picture's bytes, in hex."""
    return sha256(picture).hexdigest()
