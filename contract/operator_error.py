"""The root of what a command answers with one sentence: something that whoever runs PictureMatch can put right."""


class OperatorError(Exception):
    """The message is one sentence, or one for each thing found, that says what is wrong and what to do."""
