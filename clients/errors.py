"""The error of the clients of a running server."""

from contract.operator_error import OperatorError


class CannotRun(OperatorError):
    """The whole run cannot succeed; the message is a sentence for the user, which includes what to do."""
