"""Names prepared networks: by the hash of their source and the version of the preparation. Pure."""

import hashlib

RECIPE_VERSION = 3
"""The version of the preparation. It is increased whenever the preparation changes its result, or the engine its use of
that result: vectors of faces that were aligned or averaged in another way must not be compared with each other."""


def identity_of(source_sha256: str) -> str:
    """Return the identity of a prepared network: the hash of its source and the version of the preparation.

    The hash of the prepared bytes is not used, because these bytes are not canonical.
    """
    return f"{source_sha256}-r{RECIPE_VERSION}"


def sha256_of(data: bytes) -> str:
    """Return the sha256 of the bytes in hexadecimal."""
    return hashlib.sha256(data).hexdigest()
