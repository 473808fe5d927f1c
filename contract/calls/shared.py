"""Fields and answers that several calls have in common."""

from typing import Generic, TypeVar

from msgspec import Struct

from contract.calls.declaration import Field
from contract.calls.rules import MOMENT, choice

T = TypeVar("T")

EXAMPLE_PICTURE = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNoAAAAggCBd81ytgAAAABJRU5ErkJggg=="
"""A PNG of one pixel."""
COMPARE_TIME = Field(
    "compare_time",
    MOMENT,
    "The time of the picture in seconds since the epoch; numeric strings and milliseconds are accepted. Absent: the"
    " time of arrival.",
    example=1700000000.25,
)
QUALITY_LEVEL = choice("high", "middle", "low", "custom", "no")


class Data(Struct, Generic[T], frozen=True):
    """The envelope of the answers of version 5."""

    data: T
