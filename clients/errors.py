"""The error of the clients of a running server. This module imports nothing, so that every command may catch it."""


class CannotRun(Exception):
    """The whole run cannot succeed; the message is a sentence for the user, which includes what to do."""
