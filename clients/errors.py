"""What the clients of a running server raise."""

from contract.operator_error import OperatorError


class CannotRun(OperatorError):
    """The whole run is pointless; the message is a sentence that says what to do."""
