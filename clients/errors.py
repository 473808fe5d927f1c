"""What the clients of a running server raise. Imports nothing, so that every command may catch it."""


class CannotRun(Exception):
    """The whole run is pointless; the message is a sentence that says what to do."""
