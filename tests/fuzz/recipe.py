"""What the corpus says of each of its files."""

from dataclasses import dataclass
from typing import Literal

from contract.errors import Code

UNREADABLE = Code.IMAGE_ERROR
TOO_LARGE = Code.IMAGE_SIZE_TOO_LARGE_ERROR


@dataclass(frozen=True, slots=True)
class Hostile:
    """A file and its answer: the refusal's code; "refused" where either code will do; "picture" where one comes of it;
    "either" where only the decoder can tell, and the contract is all that is asked."""

    data: bytes
    answer: Code | Literal["picture", "refused", "either"] = UNREADABLE
