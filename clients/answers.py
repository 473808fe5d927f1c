"""The answers of servers, as values; whoever reads them needs no HTTP client."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from contract.errors import Code


@dataclass(frozen=True, slots=True)
class ServerAnswer:
    """A JSON answer of the server.

    `code` and `message` are set where the answer is an error of the error table. `unchanged`: the request was an
    enrolment that repeated an earlier one.
    """

    http_status: int
    fields: Mapping[str, Any]
    code: int | None = None
    message: str = ""
    retry_after_s: float | None = None
    unchanged: bool = False

    @property
    def is_busy(self) -> bool:
        """Whether the same call may succeed later: the server was overloaded, or its deadline passed."""
        return self.http_status in (503, 504)

    @property
    def error_text(self) -> str:
        """The code, name and message of an error, as text for the user."""
        return f"{code_name(self.code)}: {self.message}" if self.code else f"HTTP {self.http_status}"


def code_name(code: int | None) -> str:
    """Return an error code, with its name on the wire where it is in the error table."""
    try:
        return f"{code} {Code(code or 0).status}"
    except ValueError:
        return str(code)
