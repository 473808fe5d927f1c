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


class Pagination(Struct, frozen=True, kw_only=True):
    """The place of a page in a whole list: both numbers of the query, and the numbers of pages and of objects."""

    skip_num: int
    limit: int
    num_pages: int
    total_count: int

    @classmethod
    def of(cls, skip_num: int, limit: int, total_count: int) -> "Pagination":
        """Return the place of a page in a list of `total_count` objects."""
        return cls(skip_num=skip_num, limit=limit, num_pages=-(-total_count // limit), total_count=total_count)


class Data(Struct, Generic[T], frozen=True):
    """The envelope of the answers of version 5."""

    data: T
