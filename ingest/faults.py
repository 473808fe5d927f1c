"""Request ids, and the log line and the refusal of an unexpected error."""

import logging
import traceback
import uuid

from contract.errors import Code, Refusal

_log = logging.getLogger(__name__)


def new_request_id() -> str:
    """Return a new request id: 32 hexadecimal digits."""
    return uuid.uuid4().hex


def log_failure(request_id: str, failure: BaseException) -> None:
    """Log the type and traceback of an unexpected error, without its message, which may quote the request."""
    trace = "".join(traceback.format_tb(failure.__traceback__))
    _log.error("request %s failed with %s\n%s", request_id, type(failure).__name__, trace)


def internal_error(request_id: str) -> Refusal:
    """Return the refusal of a request during which an unexpected error occurred."""
    return Refusal(Code.INTERNAL_ERROR, f"internal error; the log has it under request id {request_id}")
