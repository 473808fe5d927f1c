"""Hostile and odd files, each made by code and named, with what each must come to."""

from dataclasses import dataclass

from engine.errors import Code


@dataclass(frozen=True, slots=True)
class Hostile:
    """A file and its answer: the refusal's code, or None where a picture comes of it."""

    data: bytes
    answer: Code | None = Code.IMAGE_ERROR


def hostile_pictures() -> dict[str, Hostile]:
    """Name -> file."""
    return {
        "nothing": Hostile(b""),
        "one byte": Hostile(b"\xff"),
    }
