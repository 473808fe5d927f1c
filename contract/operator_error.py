"""The base class of all errors that the operator of PictureMatch can correct; commands print their messages."""


class OperatorError(Exception):
    """An error that the operator can correct; the message is a sentence for each fault and what to do about it."""
